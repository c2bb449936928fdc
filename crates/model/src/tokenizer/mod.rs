//! Tokenizers: text to token ids and back.
//!
//! A [`Tokenizer`] is built from a [`Vocabulary`], which a model file describes in its metadata. Text first falls apart at special
//! and user-defined tokens; what is left goes through one of two encoders, byte-level BPE (with a pre-tokenizer) or SentencePiece's
//! BPE. Ids are those of llama.cpp, with these differences, all on purpose:
//!
//! - Ordinary text never becomes a control token, also where merging could spell one (`<` and `s>` to `<s>`).
//! - Of special tokens that overlap in the text, the leftmost wins, then the longest, as in Hugging Face's tokenizers.
//! - Decoding returns the text as it was; spaces before punctuation are not "cleaned up".
//!
//! ```
//! use dyadic_model::tokenizer::{Tokenizer, Vocabulary, VocabularyModel};
//!
//! let tokens = ["a", "b", "Ġ", "ab", "Ġab", "<|end|>"].into_iter().collect();
//! let mut vocabulary = Vocabulary::new(VocabularyModel::ByteLevelBpe, tokens);
//! vocabulary.pre_tokenizer = Some("gpt-2".to_owned());
//! vocabulary.merges = ["a b", "Ġ ab"].into_iter().collect();
//! let tokenizer = Tokenizer::new(vocabulary)?;
//!
//! assert_eq!(tokenizer.encode("ab ab<|end|>", true)?, [3, 4, 5]);
//! assert_eq!(tokenizer.decode(&[3, 4, 5], false)?, "ab ab");
//! assert!(tokenizer.is_end_of_generation(5));
//! # Ok::<(), dyadic_model::tokenizer::TokenizerError>(())
//! ```

mod byte_level;
mod byte_pair;
mod cache;
mod error;
mod known_tokens;
mod merge;
mod metadata;
mod pre_tokenizer;
mod sentence_piece;
mod special;
mod stream;
mod strings;
mod table;
mod unicode;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use error::TokenizerError;
pub use stream::StreamDecoder;
pub use strings::ByteStrings;
pub use vocabulary::{TokenType, Vocabulary, VocabularyModel};

use byte_pair::BytePairEncoder;
use merge::Merger;
use pre_tokenizer::PreTokenizer;
use sentence_piece::SentencePieceEncoder;
use special::{Fragment, SpecialTokens};

/// Longest text of one call: positions in a text are 32-bit numbers.
const LONGEST_TEXT: usize = 1 << 30;

/// Most tokens of a vocabulary: ids and the symbols beyond them are 32-bit numbers.
const MOST_TOKENS: usize = i32::MAX as usize;

/// How SentencePiece vocabularies write a space.
const ESCAPED_SPACE: &str = "\u{2581}";

/// Something about a vocabulary that can be worked with, but that its user should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenizerWarning {
    /// The pre-tokenizer is unknown, or not named: text is cut as `default` says, and some ids will differ from those that the
    /// model was trained on.
    UnknownPreTokenizer {
        /// The name in the file.
        name: Option<String>,
    },
    /// A special token's id is outside the vocabulary and was left out.
    SpecialIdOutOfRange {
        /// Which one.
        token: &'static str,
        /// The id in the file.
        id: u32,
    },
}

impl std::fmt::Display for TokenizerWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownPreTokenizer { name: Some(name) } => write!(
                f,
                "unknown pre-tokenizer \"{name}\": using \"default\"; some token ids will differ from the model's"
            ),
            Self::UnknownPreTokenizer { name: None } => f.write_str(
                "the file names no pre-tokenizer: using \"default\"; some token ids may differ from the model's",
            ),
            Self::SpecialIdOutOfRange { token, id } => {
                write!(f, "the {token} token's id {id} is outside the vocabulary: ignored")
            }
        }
    }
}

/// Turns text into token ids and back. It can be shared by threads.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish that a file states by itself")]
pub struct Tokenizer {
    /// Raw bytes that each token stands for.
    raw: ByteStrings,
    types: Vec<TokenType>,
    encoder: Encoder,
    special: SpecialTokens,
    ends: Vec<u32>,
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    padding: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    space_prefix: bool,
    strip_after_special: bool,
    warnings: Vec<TokenizerWarning>,
}

#[derive(Debug)]
enum Encoder {
    BytePair(Box<BytePairEncoder>),
    SentencePiece(Box<SentencePieceEncoder>),
}

impl Tokenizer {
    /// Builds a tokenizer.
    ///
    /// # Errors
    /// [`TokenizerError`] if the vocabulary contradicts itself.
    pub fn new(vocabulary: Vocabulary) -> Result<Self, TokenizerError> {
        let count = vocabulary.tokens.len();
        if count == 0 || count > MOST_TOKENS {
            return Err(TokenizerError::VocabularySize { tokens: count });
        }
        let listed = |what, found| match found {
            0 => Ok(()),
            found if found == count => Ok(()),
            found => Err(TokenizerError::LengthMismatch { what, found, expected: count }),
        };
        listed("token types", vocabulary.token_types.len())?;
        listed("scores", vocabulary.scores.len())?;

        let mut warnings = Vec::new();
        let mut known = |token, id: Option<u32>| match id {
            Some(id) if id as usize >= count => {
                warnings.push(TokenizerWarning::SpecialIdOutOfRange { token, id });
                None
            }
            id => id,
        };
        let bos = known("BOS", vocabulary.bos);
        let eos = known("EOS", vocabulary.eos);
        let eot = known("EOT", vocabulary.eot);
        let eom = known("EOM", vocabulary.eom);
        let unknown = known("unknown", vocabulary.unknown);
        let padding = known("padding", vocabulary.padding);

        let mut types = vocabulary.token_types;
        types.resize(count, TokenType::Normal);
        let ends = known_tokens::find_ends(vocabulary.tokens.iter(), &mut types, &[eos, eot, eom]);
        let raw = raw_tokens(vocabulary.model, &vocabulary.tokens, &types);
        let of_type = |wanted: TokenType| {
            (0..)
                .zip(raw.iter())
                .zip(&types)
                .filter(move |&(_, &kind)| kind == wanted)
                .map(|(token, _)| token)
        };
        let special = SpecialTokens::new(
            of_type(TokenType::UserDefined),
            of_type(TokenType::Control).chain(of_type(TokenType::Unknown)),
        )?;
        let is_text = |id: u32| {
            !matches!(types[id as usize], TokenType::Control | TokenType::Unknown | TokenType::Byte)
        };
        let (encoder, adds_bos) = match vocabulary.model {
            VocabularyModel::ByteLevelBpe => {
                let name = vocabulary.pre_tokenizer;
                let pre_tokenizer =
                    name.as_deref().and_then(PreTokenizer::named).unwrap_or_else(|| {
                        warnings.push(TokenizerWarning::UnknownPreTokenizer { name });
                        PreTokenizer::fallback()
                    });
                let parts = byte_pair::Parts {
                    pre_tokenizer,
                    tokens: &vocabulary.tokens,
                    merges: &vocabulary.merges,
                    raw: &raw,
                    unknown,
                };
                let encoder = BytePairEncoder::new(&parts, is_text)?;
                (Encoder::BytePair(Box::new(encoder)), pre_tokenizer.adds_bos)
            }
            VocabularyModel::SentencePiece => {
                let bytes = byte_tokens(&raw, &types);
                let encoder =
                    SentencePieceEncoder::new(&raw, &vocabulary.scores, &bytes, unknown, is_text);
                (Encoder::SentencePiece(Box::new(encoder)), true)
            }
        };
        Ok(Self {
            space_prefix: vocabulary.model == VocabularyModel::SentencePiece
                && vocabulary.add_space_prefix.unwrap_or(true),
            raw,
            types,
            encoder,
            special,
            ends,
            bos,
            eos,
            unknown,
            padding,
            add_bos: vocabulary.add_bos.unwrap_or(adds_bos),
            add_eos: vocabulary.add_eos.unwrap_or(false),
            strip_after_special: vocabulary.strip_after_special,
            warnings,
        })
    }

    /// The token ids of `text`. Control tokens in it (`<|im_start|>`) are parsed only where `special`; else they are text like any
    /// other. BOS and EOS are never added: see [`Tokenizer::add_bos`].
    ///
    /// # Errors
    /// If the text is longer than 1 GiB, or has something that the vocabulary cannot express.
    pub fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > LONGEST_TEXT {
            return Err(TokenizerError::TextTooLong { bytes: text.len(), limit: LONGEST_TEXT });
        }
        // English takes about four bytes a token; more are found by growing.
        let mut ids = Vec::with_capacity(text.len() / 4 + 1);
        let mut merger = Merger::default();
        let mut after_special = true;
        let mut strip = false;
        self.special.split(text, special, |fragment| {
            match fragment {
                Fragment::Token(id) => {
                    ids.push(id);
                    after_special = true;
                    strip = self.strips_after(id);
                }
                Fragment::Text(text) => {
                    let text = if strip { text.trim_ascii_start() } else { text };
                    if !text.is_empty() {
                        self.encode_ordinary(text, after_special, &mut merger, &mut ids)?;
                        after_special = false;
                    }
                }
            }
            Ok(())
        })?;
        Ok(ids)
    }

    fn encode_ordinary(
        &self,
        text: &str,
        after_special: bool,
        merger: &mut Merger,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.encoder {
            Encoder::BytePair(encoder) => encoder.encode(text, &self.raw, merger, ids),
            Encoder::SentencePiece(encoder) => {
                let mut text = Cow::Borrowed(text);
                if text.contains(ESCAPED_SPACE) {
                    text = text.replace(ESCAPED_SPACE, " ").into();
                }
                if self.space_prefix && after_special {
                    text = [" ", &*text].concat().into();
                }
                encoder.encode(&text, &self.raw, merger, ids)
            }
        }
    }

    /// The text of token ids. Special tokens yield their text where `special`, and nothing else. Bytes that are no UTF-8 become
    /// U+FFFD.
    ///
    /// # Errors
    /// If an id is outside the vocabulary.
    pub fn decode(&self, ids: &[u32], special: bool) -> Result<String, TokenizerError> {
        let mut text = String::with_capacity(ids.len() * 4);
        let mut decoder = StreamDecoder::new().with_special(special).at_start();
        for &id in ids {
            self.check_id(id)?;
            decoder.push_to(self, id, &mut text);
        }
        text.push_str(&decoder.finish());
        Ok(text)
    }

    /// Checks that an id is inside the vocabulary.
    ///
    /// # Errors
    /// If it is not.
    pub fn check_id(&self, id: u32) -> Result<(), TokenizerError> {
        if (id as usize) < self.types.len() {
            return Ok(());
        }
        Err(TokenizerError::IdOutOfRange { id, vocabulary_size: self.types.len() })
    }

    /// The bytes that a token stands for, for special tokens those of their name. They need not be whole characters. Empty for ids
    /// outside the vocabulary.
    #[must_use]
    #[inline]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.raw.get(id as usize).unwrap_or_default()
    }

    /// What a token is for; `None` for ids outside the vocabulary.
    #[must_use]
    #[inline]
    pub fn token_type(&self, id: u32) -> Option<TokenType> {
        self.types.get(id as usize).copied()
    }

    /// Whether a token steers the model and is no text: control tokens and the unknown token.
    #[must_use]
    #[inline]
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.token_type(id), Some(TokenType::Control | TokenType::Unknown))
    }

    /// Whether a token yields no text where special tokens are left out: special and unused ones.
    fn is_hidden(&self, id: u32) -> bool {
        self.is_special(id) || self.token_type(id) == Some(TokenType::Unused)
    }

    /// Whether generation ends with this token: EOS, EOT, EOM, and the tokens known to end turns by name.
    #[must_use]
    #[inline]
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The tokens that end generation, in ascending order.
    #[must_use]
    pub fn end_of_generation_ids(&self) -> &[u32] {
        &self.ends
    }

    /// The token of a text that stands for itself: the id of `<|im_start|>`, for example. `None` if no token has these bytes.
    #[must_use]
    pub fn find_token(&self, text: &str) -> Option<u32> {
        (0..).zip(self.raw.iter()).find(|(_, token)| *token == text.as_bytes()).map(|(id, _)| id)
    }

    /// Beginning of a text.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// End of a text.
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Stands for text that cannot be encoded.
    #[must_use]
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Padding.
    #[must_use]
    pub fn padding(&self) -> Option<u32> {
        self.padding
    }

    /// Whether the model wants prompts to start with BOS. Encoding never adds it.
    #[must_use]
    pub fn add_bos(&self) -> bool {
        self.add_bos && self.bos.is_some()
    }

    /// Whether the model wants texts to end with EOS. Encoding never adds it.
    #[must_use]
    pub fn add_eos(&self) -> bool {
        self.add_eos && self.eos.is_some()
    }

    /// Whether encoding puts a space before a text, and before the text behind a special token.
    #[must_use]
    pub fn adds_space_prefix(&self) -> bool {
        self.space_prefix
    }

    /// Number of tokens: ids are below it.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.types.len()
    }

    /// What the user should hear of.
    #[must_use]
    pub fn warnings(&self) -> &[TokenizerWarning] {
        &self.warnings
    }

    /// Phi-3's special tokens swallow whitespace, but for those that it has from Llama 2.
    fn strips_after(&self, id: u32) -> bool {
        self.strip_after_special
            && !matches!(self.token_bytes(id), b"<unk>" | b"<s>" | b"<|endoftext|>")
    }
}

/// The bytes that tokens stand for.
fn raw_tokens(model: VocabularyModel, tokens: &ByteStrings, types: &[TokenType]) -> ByteStrings {
    let mut raw = ByteStrings::with_capacity(tokens.len(), tokens.byte_len());
    let mut bytes = Vec::new();
    for (token, kind) in tokens.iter().zip(types) {
        bytes.clear();
        match (kind, model) {
            (TokenType::Control | TokenType::Unknown | TokenType::UserDefined, _) => {
                bytes.extend_from_slice(token);
            }
            (TokenType::Byte, _) if let Some(byte) = byte_of_token(token) => bytes.push(byte),
            (_, VocabularyModel::ByteLevelBpe) => byte_level::decode_into(token, &mut bytes),
            (_, VocabularyModel::SentencePiece) => unescape_into(token, &mut bytes),
        }
        // Raw bytes are no longer than the file's spelling, which fits.
        let fits = raw.push(&bytes);
        debug_assert!(fits, "raw bytes are no longer than the tokens");
    }
    raw
}

/// Appends a token with spaces for U+2581.
fn unescape_into(token: &[u8], out: &mut Vec<u8>) {
    let mut rest = token;
    while let Some((&first, behind)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(ESCAPED_SPACE.as_bytes()) {
            out.push(b' ');
            rest = behind;
        } else {
            out.push(first);
            rest = behind;
        }
    }
}

/// The byte of a token `<0x0A>`.
fn byte_of_token(token: &[u8]) -> Option<u8> {
    let digits = token.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// The token of each byte: byte tokens, else the normal token of that byte alone.
fn byte_tokens(raw: &ByteStrings, types: &[TokenType]) -> [Option<u32>; 256] {
    let mut tokens = [None; 256];
    let mut single = |wanted: TokenType| {
        for ((id, token), &kind) in (0..).zip(raw.iter()).zip(types) {
            if let ([byte], true) = (token, kind == wanted) {
                tokens[usize::from(*byte)] = Some(id);
            }
        }
    };
    single(TokenType::Normal);
    single(TokenType::Byte);
    tokens
}
