//! Packed weights, operations over whole tensors, and the thread pool.

mod error;
pub mod pool;

pub use error::TensorError;
