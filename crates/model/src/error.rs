//! What can go wrong in this crate.

use crate::file_map::FileError;
use crate::gguf::GgufError;
use crate::npy::NpyError;
use crate::safetensors::SafetensorsError;
use crate::sampler::SamplingError;
use crate::tokenizer::TokenizerError;

/// Any error of this crate: one variant for each area, which holds the details.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be opened, mapped or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A GGUF file is damaged, of another kind, or lacks what was asked of it.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An `.npy` file is damaged, of another kind, or holds elements that are not numbers.
    #[error(transparent)]
    Npy(#[from] NpyError),
    /// A safetensors file is damaged, of another kind, or lacks what was asked of it.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
    /// A token could not be chosen, or an option of that is out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A vocabulary, a text or a token id is not usable.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl ModelError {
    /// The stable code that JavaScript sees: `ERR_` and words in capitals.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(error) => error.code(),
            Self::Gguf(error) => error.code(),
            Self::Npy(error) => error.code(),
            Self::Safetensors(error) => error.code(),
            Self::Sampling(error) => error.code(),
            Self::Tokenizer(error) => error.code(),
        }
    }
}
