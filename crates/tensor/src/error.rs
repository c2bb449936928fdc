//! Why an operation over tensors failed.

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// `DYADIC_THREADS` is not a number of threads.
    #[error("DYADIC_THREADS is '{value}'; expected a whole number from 1 to {max}")]
    InvalidThreads {
        /// What it is.
        value: String,
        /// The most threads that a pool may have.
        max: usize,
    },
}

impl TensorError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidThreads { .. } => "ERR_INVALID_THREADS",
        }
    }
}
