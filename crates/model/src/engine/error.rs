//! What can go wrong between a request and its answer.

use std::any::Any;

use thiserror::Error;

/// Errors of generation and evaluation requests.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EngineError {
    /// A prompt, or a prompt and its continuation, does not fit the context.
    #[error("the context is full: {needed} tokens are needed, contextLength is {limit}")]
    ContextLength {
        /// Tokens that the cache would have to hold.
        needed: usize,
        /// The model's context length in this process.
        limit: usize,
    },
    /// A request without a single token to evaluate.
    #[error("the prompt is empty: at least one token is needed to predict the next")]
    EmptyPrompt,
    /// A token id that the vocabulary does not have.
    #[error("token id {id} at index {index} is outside the vocabulary of {vocabulary_size} tokens")]
    TokenRange {
        /// The id.
        id: u32,
        /// Where in the request it stands.
        index: usize,
        /// Tokens in the vocabulary.
        vocabulary_size: usize,
    },
    /// An option outside its range.
    #[error("{option} is {value}; it must be {expected}")]
    Option {
        /// The option, as the caller knows it.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// A text too short for the evaluation that was asked for.
    #[error("{tokens} tokens are too few: {needed} are needed")]
    TooFewTokens {
        /// Tokens given.
        tokens: usize,
        /// Tokens that are needed at least.
        needed: usize,
    },
    /// The session is generating already.
    #[error("session {0} is in use by another generation")]
    SessionBusy(u32),
    /// No session has this number.
    #[error("there is no session {0}")]
    UnknownSession(u32),
    /// No job has this number, or it has ended and its result was taken.
    #[error("there is no job {0}, or its result was taken already")]
    UnknownJob(u32),
    /// The caller ended the job.
    #[error("the operation was aborted")]
    Aborted,
    /// The model was disposed before the job was done.
    #[error("the model has been disposed")]
    Disposed,
    /// A fault of ours: the message of the panic.
    #[error("internal error: {0}")]
    Internal(String),
}

impl EngineError {
    /// The error that a caught panic becomes.
    #[must_use]
    pub fn from_panic(panic: &(dyn Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Self::Internal(message.unwrap_or("a panic without a message").to_owned())
    }

    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ContextLength { .. } => "ERR_CONTEXT_LENGTH",
            Self::EmptyPrompt => "ERR_PROMPT_EMPTY",
            Self::TokenRange { .. } => "ERR_TOKEN_RANGE",
            Self::Option { .. } => "ERR_OPTION",
            Self::TooFewTokens { .. } => "ERR_TOO_FEW_TOKENS",
            Self::SessionBusy(_) => "ERR_BUSY",
            Self::UnknownSession(_) => "ERR_SESSION",
            Self::UnknownJob(_) => "ERR_JOB",
            Self::Aborted => "ERR_ABORTED",
            Self::Disposed => "ERR_DISPOSED",
            Self::Internal(_) => "ERR_INTERNAL",
        }
    }
}
