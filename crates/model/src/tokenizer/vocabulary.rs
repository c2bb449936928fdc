//! What a tokenizer is made from, as plain data.

use super::strings::ByteStrings;

/// How a vocabulary turns text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VocabularyModel {
    /// `gpt2`: bytes merge by a ranked list of pairs.
    ByteLevelBpe,
    /// `llama`: characters merge by the scores of tokens, with byte tokens as fallback.
    SentencePiece,
}

/// What a token is for (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum TokenType {
    /// Ordinary text.
    #[default]
    Normal,
    /// Stands for text that the vocabulary cannot express.
    Unknown,
    /// Steers the model and is no text: `<s>`, `<|im_end|>`. Parsed only where the caller asks for it.
    Control,
    /// Text that is matched before anything else, in every text.
    UserDefined,
    /// Never used in training.
    Unused,
    /// A single byte: `<0x0A>`.
    Byte,
}

impl TokenType {
    /// The type of a number of `tokenizer.ggml.token_type`. Unknown numbers are [`TokenType::Unused`], as in llama.cpp.
    #[must_use]
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            _ => Self::Unused,
        }
    }
}

/// A vocabulary as a model file describes it.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// How text becomes tokens.
    pub model: VocabularyModel,
    /// Name of the pre-tokenizer (`tokenizer.ggml.pre`), for byte-level BPE. `None` stands for `default`.
    pub pre_tokenizer: Option<String>,
    /// Tokens by id, as the file spells them: byte-level BPE in GPT-2's characters, SentencePiece with U+2581 for a space.
    pub tokens: ByteStrings,
    /// Type of each token; empty if all are normal.
    pub token_types: Vec<TokenType>,
    /// Score of each token, for SentencePiece; empty if all are 0.
    pub scores: Vec<f32>,
    /// Merges in order of rank, for byte-level BPE: two tokens with a space between.
    pub merges: ByteStrings,
    /// Beginning of a text.
    pub bos: Option<u32>,
    /// End of a text.
    pub eos: Option<u32>,
    /// End of a turn.
    pub eot: Option<u32>,
    /// End of a message that others of the same turn follow.
    pub eom: Option<u32>,
    /// Text that cannot be encoded.
    pub unknown: Option<u32>,
    /// Padding.
    pub padding: Option<u32>,
    /// Whether prompts should start with BOS; `None` leaves it to the kind of vocabulary.
    pub add_bos: Option<bool>,
    /// Whether texts should end with EOS; `None` is no.
    pub add_eos: Option<bool>,
    /// Whether a space goes before the text, for SentencePiece; `None` is yes.
    pub add_space_prefix: Option<bool>,
    /// Whether special tokens swallow the whitespace behind them, as those of Phi-3 do.
    pub strip_after_special: bool,
}

impl Vocabulary {
    /// A vocabulary of tokens, with everything else left to defaults.
    #[must_use]
    pub fn new(model: VocabularyModel, tokens: ByteStrings) -> Self {
        Self {
            model,
            pre_tokenizer: None,
            tokens,
            token_types: Vec::new(),
            scores: Vec::new(),
            merges: ByteStrings::default(),
            bos: None,
            eos: None,
            eot: None,
            eom: None,
            unknown: None,
            padding: None,
            add_bos: None,
            add_eos: None,
            add_space_prefix: None,
            strip_after_special: false,
        }
    }
}
