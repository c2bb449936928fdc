//! What can go wrong with chat messages and templates.

use thiserror::Error;

/// Why messages could not be turned into a prompt.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatTemplateError {
    /// The messages are not a conversation.
    #[error("message {index}: {reason}")]
    Message {
        /// Which message, from 0.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// There are no messages.
    #[error("a conversation needs at least one message")]
    NoMessages,
    /// The template is not Jinja, or uses what is not supported.
    #[error("the chat template cannot be parsed: {reason}")]
    Syntax {
        /// What is wrong, and in which line.
        reason: String,
    },
    /// The template itself refused the messages (`raise_exception`).
    #[error("the chat template refuses the messages: {message}")]
    Raised {
        /// What the template says.
        message: String,
    },
    /// The template is larger, runs longer, nests deeper or writes more than any honest one.
    #[error("the chat template exceeds the limit of {limit}")]
    Limit {
        /// Which limit.
        limit: String,
    },
    /// The template failed.
    #[error("the chat template failed: {reason}")]
    Render {
        /// What failed, and in which line.
        reason: String,
    },
}

impl ChatTemplateError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Message { .. } | Self::NoMessages => "ERR_CHAT_MESSAGE",
            Self::Syntax { .. } => "ERR_CHAT_TEMPLATE_SYNTAX",
            Self::Raised { .. } => "ERR_CHAT_TEMPLATE_RAISED",
            Self::Limit { .. } => "ERR_CHAT_TEMPLATE_LIMIT",
            Self::Render { .. } => "ERR_CHAT_TEMPLATE",
        }
    }
}
