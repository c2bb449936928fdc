//! Packed weights, operations over whole tensors, and the thread pool.

mod activations;
mod attention;
mod buffer;
pub mod checkpoint;
mod complex;
mod error;
mod linear;
mod machine_numbers;
mod packed;
mod parallel;
pub mod pool;
mod quantized;
mod roofline;
mod rows;
mod shape;
mod softmax;

pub use activations::{ActivationKind, Activations};
pub use attention::{AttentionRows, KvPrecision, attention};
pub use complex::{ComplexWeights, Planes};
pub use error::TensorError;
pub use linear::{Projection, linear};
pub use packed::{KernelChoice, PackedWeights};
pub use quantized::{dequantize, quantize, quantize_f64};
pub use roofline::Limits;
pub use rows::{Io, Norm, add_rms_norm, apply, normalize, rope};
pub use shape::Shape;
pub use softmax::{Causal, SoftmaxRows, softmax_axis, softmax_rows, softmax_rows_in_place};
