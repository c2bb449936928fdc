//! Vocabularies of GGUF files: the keys `tokenizer.ggml.*`.

use super::Tokenizer;
use super::error::TokenizerError;
use super::strings::ByteStrings;
use super::vocabulary::{TokenType, Vocabulary, VocabularyModel};
use crate::ModelError;
use crate::gguf::Metadata;

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const TOKEN_TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";

/// Ids of Llama 2's vocabulary, which SentencePiece files leave out when theirs are the same.
const LLAMA_UNKNOWN: u32 = 0;
const LLAMA_BOS: u32 = 1;
const LLAMA_EOS: u32 = 2;

impl Vocabulary {
    /// Reads the vocabulary of a GGUF file.
    ///
    /// # Errors
    /// `ERR_TOKENIZER_UNSUPPORTED` for kinds of tokenizers other than `gpt2` and `llama`; `ERR_TOKENIZER_VOCABULARY` and
    /// `ERR_GGUF_METADATA` if keys are missing or of the wrong type.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, ModelError> {
        let missing = |key| TokenizerError::MissingKey { key };
        let model = match metadata.find::<&str>(MODEL)?.ok_or_else(|| missing(MODEL))? {
            "gpt2" => VocabularyModel::ByteLevelBpe,
            "llama" => VocabularyModel::SentencePiece,
            other => {
                return Err(TokenizerError::UnsupportedModel { model: other.to_owned() }.into());
            }
        };
        let tokens = strings(metadata, TOKENS)?.ok_or_else(|| missing(TOKENS))?;
        let mut vocabulary = Self::new(model, tokens);
        if let Some(numbers) = metadata.find::<Vec<i32>>(TOKEN_TYPES)? {
            vocabulary.token_types = numbers.into_iter().map(TokenType::from_number).collect();
        }
        let id = |name: &str| metadata.find::<u32>(&format!("tokenizer.ggml.{name}_token_id"));
        match model {
            VocabularyModel::ByteLevelBpe => {
                let pre_tokenizer = metadata.find::<&str>("tokenizer.ggml.pre")?;
                vocabulary.pre_tokenizer = pre_tokenizer.map(str::to_owned);
                vocabulary.merges = strings(metadata, MERGES)?.ok_or_else(|| missing(MERGES))?;
                vocabulary.bos = id("bos")?;
                vocabulary.eos = id("eos")?;
                vocabulary.unknown = id("unknown")?;
            }
            VocabularyModel::SentencePiece => {
                vocabulary.scores = metadata.find(SCORES)?.unwrap_or_default();
                let size = vocabulary.tokens.len();
                let or_llama = |found: Option<u32>, id: u32| {
                    found.or_else(|| ((id as usize) < size).then_some(id))
                };
                vocabulary.bos = or_llama(id("bos")?, LLAMA_BOS);
                vocabulary.eos = or_llama(id("eos")?, LLAMA_EOS);
                vocabulary.unknown = or_llama(id("unknown")?, LLAMA_UNKNOWN);
                let name = metadata.find::<&str>("general.name")?.unwrap_or_default();
                let name = name.to_ascii_lowercase();
                vocabulary.strip_after_special = name.contains("phi-3") || name.contains("phi3");
            }
        }
        vocabulary.eot = id("eot")?;
        vocabulary.eom = id("eom")?;
        vocabulary.padding = id("padding")?;
        vocabulary.add_bos = metadata.find("tokenizer.ggml.add_bos_token")?;
        vocabulary.add_eos = metadata.find("tokenizer.ggml.add_eos_token")?;
        vocabulary.add_space_prefix = metadata.find("tokenizer.ggml.add_space_prefix")?;
        Ok(vocabulary)
    }
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file.
    ///
    /// # Errors
    /// As [`Vocabulary::from_metadata`] and [`Tokenizer::new`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, ModelError> {
        Ok(Self::new(Vocabulary::from_metadata(metadata)?)?)
    }
}

/// A list of strings, copied out of the file.
fn strings(metadata: &Metadata, key: &'static str) -> Result<Option<ByteStrings>, ModelError> {
    let Some(texts) = metadata.find::<Vec<&str>>(key)? else { return Ok(None) };
    let mut list =
        ByteStrings::with_capacity(texts.len(), texts.iter().map(|text| text.len()).sum());
    for text in texts {
        if !list.push(text.as_bytes()) {
            let expected = "a list of strings of less than 4 GiB together";
            return Err(TokenizerError::WrongType { key, expected }.into());
        }
    }
    Ok(Some(list))
}
