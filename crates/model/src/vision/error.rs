//! Why a file is not a vision model that can be run.

use dyadic_quant::graph::NodeError;
use thiserror::Error;

/// Errors of reading and running vision models.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum VisionError {
    /// A safetensors file without the description of a graph.
    #[error("{file}: no vision model: the metadata have no entry \"dyadic\"")]
    NoGraph {
        /// The file.
        file: String,
    },
    /// A description that is not understood.
    #[error("{file}: the metadata \"dyadic\": {reason}")]
    Description {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor of another shape or type than its node needs.
    #[error("{file}: the tensor \"{tensor}\" {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A node that does not fit to the others.
    #[error("{file}: {error}")]
    Node {
        /// The file.
        file: String,
        /// Which, and why.
        error: NodeError,
    },
    /// Pixels that are no images of the model.
    #[error("{found} bytes of pixels are no images of {expected} bytes")]
    Images {
        /// How many bytes there are.
        found: usize,
        /// The bytes of one image.
        expected: usize,
    },
    /// Two graphs that are not of one network.
    #[error("the integer graph was not made of this float graph")]
    Pair,
    /// Nothing to calibrate with.
    #[error("there are no calibration images; some 64 are enough")]
    Calibration,
    /// A list that has not one entry for each product with weights.
    #[error("{found} {what} for {expected} layers with weights")]
    Layers {
        /// What is listed.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
}

impl VisionError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoGraph { .. } => "ERR_VISION_NO_GRAPH",
            Self::Description { .. } => "ERR_VISION_METADATA",
            Self::Tensor { .. } => "ERR_VISION_TENSOR",
            Self::Node { .. } => "ERR_VISION_NODE",
            Self::Images { .. } | Self::Layers { .. } => "ERR_SHAPE",
            Self::Pair => "ERR_VISION_PAIR",
            Self::Calibration => "ERR_CALIBRATION",
        }
    }
}
