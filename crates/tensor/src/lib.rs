//! Packed weights, operations over whole tensors, and the thread pool.

mod activations;
mod buffer;
pub mod checkpoint;
mod complex;
mod error;
mod linear;
mod packed;
mod parallel;
pub mod pool;
mod quantized;
mod shape;
mod softmax;

pub use activations::{ActivationKind, Activations};
pub use complex::{ComplexWeights, Planes};
pub use error::TensorError;
pub use linear::{Projection, linear};
pub use packed::PackedWeights;
pub use quantized::{dequantize, quantize, quantize_f64};
pub use shape::Shape;
pub use softmax::{Causal, SoftmaxRows, softmax_axis, softmax_rows};
