//! What can go wrong with a vocabulary, a text or token ids.

use thiserror::Error;

/// Why a tokenizer could not be built or used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file has no vocabulary, or a part of one is missing.
    #[error("the file has no {key}, which its tokenizer needs")]
    MissingKey {
        /// Metadata key.
        key: &'static str,
    },
    /// A part of the vocabulary has another type than it should.
    #[error("{key} should be {expected}")]
    WrongType {
        /// Metadata key.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The file's tokenizer is of a kind that is not supported.
    #[error(
        "tokenizer model \"{model}\" is not supported (supported: \"gpt2\", byte-level BPE; \"llama\", SentencePiece)"
    )]
    UnsupportedModel {
        /// Value of `tokenizer.ggml.model`.
        model: String,
    },
    /// A list of the vocabulary has another length than the list of tokens.
    #[error("the vocabulary has {found} {what} for {expected} tokens")]
    LengthMismatch {
        /// What is listed.
        what: &'static str,
        /// Entries found.
        found: usize,
        /// Number of tokens.
        expected: usize,
    },
    /// The vocabulary has no tokens, or more than fit 32-bit ids.
    #[error("a vocabulary of {tokens} tokens cannot be used (1 to 2147483647 can)")]
    VocabularySize {
        /// Number of tokens.
        tokens: usize,
    },
    /// The special tokens of the vocabulary are too long or too many to be searched for.
    #[error("the vocabulary's special tokens cannot be indexed: {reason}")]
    SpecialTokens {
        /// Why not.
        reason: String,
    },
    /// A token id is outside the vocabulary.
    #[error("token id {id} is outside the vocabulary of {vocabulary_size} tokens")]
    IdOutOfRange {
        /// The id.
        id: u32,
        /// Number of tokens.
        vocabulary_size: usize,
    },
    /// The text is longer than can be encoded in one call.
    #[error("a text of {bytes} bytes is too long to encode in one call (at most {limit})")]
    TextTooLong {
        /// Length of the text in UTF-8.
        bytes: usize,
        /// Longest text.
        limit: usize,
    },
    /// The text has a byte that no token stands for, and the vocabulary has no unknown token.
    #[error("the vocabulary has no token for byte 0x{byte:02X}, nor an unknown token")]
    NoTokenForByte {
        /// The byte.
        byte: u8,
    },
}

impl TokenizerError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingKey { .. }
            | Self::WrongType { .. }
            | Self::LengthMismatch { .. }
            | Self::VocabularySize { .. }
            | Self::SpecialTokens { .. } => "ERR_TOKENIZER_VOCABULARY",
            Self::UnsupportedModel { .. } => "ERR_TOKENIZER_UNSUPPORTED",
            Self::IdOutOfRange { .. } => "ERR_TOKEN_ID",
            Self::TextTooLong { .. } => "ERR_TEXT_LENGTH",
            Self::NoTokenForByte { .. } => "ERR_TOKENIZER_NO_TOKEN",
        }
    }
}
