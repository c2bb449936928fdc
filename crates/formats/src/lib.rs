//! What each bit pattern means: low-bit number formats, their encoding, decoding, rounding and packing.
//!
//! Everything here is the plain definition, without SIMD and without `unsafe`; the kernels of `dyadic-kernels` equal it bit for bit.
#![forbid(unsafe_code)]

pub mod block;
mod error;
pub mod float;

pub use block::{GgufType, UnpackedBlock};
pub use error::FormatError;
