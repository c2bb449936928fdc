//! What each bit pattern means: low-bit number formats, their encoding, decoding, rounding and packing.
//!
//! A format is a value. [`Element`] says what one code means, and the same generic code encodes and decodes all of them. Everything here is
//! the plain definition, without SIMD and without `unsafe`; the kernels of `dyadic-kernels` equal it bit for bit.
#![forbid(unsafe_code)]

mod analysis;
pub mod block;
pub mod codebook;
pub mod complex;
mod describe;
mod element;
mod emulate;
mod encode;
mod error;
pub mod float;
mod format;
pub mod int;
pub mod lmul;
mod mixed_width;
mod multi_precision;
mod names;
pub mod pack;
pub mod parse;
mod posit;
mod pseudo_quantization;
mod quantize;
mod quantized;
pub mod random;
mod rounding;
pub mod scale;
pub mod search;
mod tabulated;
mod wasserstein;

pub use analysis::{Analysis, ErrorStats};
pub use block::{GgufType, UnpackedBlock};
pub use describe::{BitField, Description};
pub use element::Element;
pub use emulate::{Emulator, Operation};
pub use encode::{EncodeOptions, Encoder};
pub use error::FormatError;
pub use format::{Format, Granularity, Scale, ScaleRule, Storage, SuperScale, Zero};
pub use mixed_width::MixedWidth;
pub use multi_precision::lower_precision;
pub use parse::{all, names};
pub use posit::Posit;
pub use pseudo_quantization::{Noise, PseudoQuantization};
pub use quantized::{Groups, Parts, Quantized, QuantizedRef, Reader};
pub use rounding::{NanPolicy, Overflow, Remainder, Rounding, StochasticBits};
pub use wasserstein::wasserstein1;
