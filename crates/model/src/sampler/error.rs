//! What can go wrong in sampling.

/// An error of sampling or of stop strings.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// An option or a stop string is out of its range.
    #[error("{option} must be {range}, not {value}")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        range: String,
    },
    /// The logits are not as many as the vocabulary.
    #[error("expected {expected} logits, one for each token of the vocabulary, got {actual}")]
    Length {
        /// The size of the vocabulary.
        expected: usize,
        /// How many logits there are.
        actual: usize,
    },
    /// A logit is NaN or positive infinity.
    #[error("the logit of token {id} is {value}")]
    Logit {
        /// The token.
        id: u32,
        /// Its logit.
        value: f32,
    },
    /// All logits are negative infinity.
    #[error("no token can be chosen: the bias, the mask or the model bans every one")]
    NoCandidate,
}

impl SamplingError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Option { .. } => "ERR_SAMPLING_OPTION",
            Self::Length { .. } => "ERR_SAMPLING_LENGTH",
            Self::Logit { .. } => "ERR_SAMPLING_LOGITS",
            Self::NoCandidate => "ERR_SAMPLING_NO_CANDIDATE",
        }
    }
}
