//! What can go wrong with a constraint.

/// An error of a schema or of a constraint in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// The schema is not a JSON schema.
    #[error("the schema at {pointer:?} is invalid: {reason}")]
    Invalid {
        /// Where, as a JSON pointer; empty is the root.
        pointer: String,
        /// What is wrong.
        reason: String,
    },
    /// The schema holds something that cannot be enforced.
    #[error("the schema at {pointer:?} is unsupported: {reason}")]
    Unsupported {
        /// Where, as a JSON pointer; empty is the root.
        pointer: String,
        /// What is unsupported.
        reason: String,
    },
    /// No text satisfies the schema.
    #[error("no JSON text that can be generated satisfies the schema")]
    Unsatisfiable,
    /// The schema needs more than a limit.
    #[error("the schema needs more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A token was accepted that the constraint forbids.
    #[error("token {id} is not allowed here")]
    Token {
        /// The token.
        id: u32,
    },
}

impl ConstraintError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "ERR_SCHEMA_INVALID",
            Self::Unsupported { .. } => "ERR_SCHEMA_UNSUPPORTED",
            Self::Unsatisfiable => "ERR_SCHEMA_UNSATISFIABLE",
            Self::Limit { .. } => "ERR_SCHEMA_LIMIT",
            Self::Token { .. } => "ERR_CONSTRAINT_TOKEN",
        }
    }
}
