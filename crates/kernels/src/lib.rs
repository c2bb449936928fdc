//! SIMD micro-kernels: one folder an op, one file an instruction set. See `README.md` for the naming grammar and how to add one.
//!
//! For every op `scalar.rs` is the specification, and every other kernel returns the same bits: floating-point reductions have a canonical
//! order, multiply-adds are fused exactly where the specification fuses them, and functions are our own polynomials.

#![expect(
    clippy::inline_always,
    reason = "a body over lanes must be compiled inside the function that has the features"
)]

pub mod activation;
pub mod attention;
pub mod bessel;
pub mod bitplane;
pub mod convert;
pub mod elementary;
pub mod exp;
pub mod integer;
pub mod isa;
mod lanes;
pub mod matmul;
pub mod norm;
pub mod quantize_activations;
pub mod registry;
pub mod roofline;
pub mod rope;
pub mod sin_cos;
pub mod softmax;

pub use isa::{Isa, IsaError};
pub use registry::{Kernel, KernelInfo, Kernels, Op};
