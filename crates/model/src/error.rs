//! What can go wrong in this crate.

use dyadic_formats::FormatError;
use dyadic_integer::{ImageError, IntegerError};
use dyadic_kernels::IsaError;
use dyadic_kernels::bessel::VonMisesFisherError;
use dyadic_kernels::rope::RopeError;
use dyadic_quant::allocate::AllocationError;
use dyadic_quant::convert::ConvertError;
use dyadic_quant::plan::PlanError;
use dyadic_tensor::TensorError;

use crate::chat_template::ChatTemplateError;
use crate::constraint::ConstraintError;
use crate::decoder::DecoderError;
use crate::engine::EngineError;
use crate::file_map::FileError;
use crate::gguf::GgufError;
use crate::npy::NpyError;
use crate::safetensors::SafetensorsError;
use crate::sampler::SamplingError;
use crate::tokenizer::TokenizerError;
use crate::vision::VisionError;

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
    /// A schema cannot be enforced, or a token breaks it.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// A token could not be chosen, or an option of that is out of its range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// A vocabulary, a text or a token id is not usable.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file is no decoder that can be run.
    #[error(transparent)]
    Decoder(#[from] DecoderError),
    /// A file is no vision model, or what it is asked to look at is no image.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// What should be a picture is none, or does not fit the model.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A graph of integers that is damaged or was asked for what it cannot.
    #[error(transparent)]
    Integer(#[from] IntegerError),
    /// A network that has no integer form.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Numbers of a network that do not fit into integers.
    #[error(transparent)]
    Convert(#[from] ConvertError),
    /// No widths of weights keep the budgets.
    #[error(transparent)]
    Allocation(#[from] AllocationError),
    /// A request could not be carried out.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The frequencies of a rotary embedding cannot be.
    #[error(transparent)]
    Rope(#[from] RopeError),
    /// An instruction set that this CPU has not.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// Weights could not be packed, or the thread pool not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// Data that are not of their format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Directions that no distribution fits.
    #[error(transparent)]
    Directions(#[from] VonMisesFisherError),
    /// Chat messages or a chat template are not usable.
    #[error(transparent)]
    ChatTemplate(#[from] ChatTemplateError),
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
            Self::Constraint(error) => error.code(),
            Self::Sampling(error) => error.code(),
            Self::Tokenizer(error) => error.code(),
            Self::Decoder(error) => error.code(),
            Self::Vision(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Integer(error) => error.code(),
            Self::Plan(error) => error.code(),
            Self::Convert(error) => error.code(),
            Self::Allocation(error) => error.code(),
            Self::Engine(error) => error.code(),
            Self::Rope(error) => error.code(),
            Self::Isa(error) => error.code(),
            Self::Tensor(error) => error.code(),
            Self::Format(error) => error.code(),
            Self::Directions(error) => error.code(),
            Self::ChatTemplate(error) => error.code(),
        }
    }
}
