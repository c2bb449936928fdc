//! Networks of integers: the graph, the file that holds one, and the runner. Between the pixels of an image and the logits there is no floating-point
//! operation: this crate is compiled with floating-point arithmetic denied, and so are the kernels that it calls.
//!
//! `docs/design/integer-only.md` says how a network becomes such a file, and describes the file byte by byte.

#![deny(clippy::float_arithmetic)]
#![forbid(unsafe_code)]

mod check;
mod error;
mod file;
mod graph;
mod groups;
mod image;
mod memory;
mod model;
mod prepare;
mod run;

pub use dyadic_kernels::integer::Dyadic;
pub use error::{FileErrorKind, IntegerError};
pub use graph::{
    Description, Graph, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape, Softmax, Width,
    Windows,
};
pub use image::{Image, ImageError};
pub use memory::Value;
pub use model::{IntegerModel, ModelOptions};

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;
