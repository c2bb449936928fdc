//! Vision models of floats: reading them, and running them with our own kernels.

mod compare;
mod error;
mod evaluate;
mod quantize;
mod read;
mod sensitivity;
#[cfg(test)]
mod tests;

pub use compare::{ValueError, compare};
pub use error::VisionError;
pub use evaluate::FloatVision;
pub use quantize::{Budgets, QuantizeOptions, Sensitivity, StageProgress, WeightBits, quantize};
pub use read::{Ranges, VisionFile, read};
pub use sensitivity::{Progress, hessian_traces, output_errors};
