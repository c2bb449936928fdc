//! Node-API boundary: converts between JavaScript values and the crates below, and nothing else.

#![allow(
    clippy::must_use_candidate,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "the functions are called from JavaScript, which owns what it passes; ts/ documents their errors"
)]

pub mod array_files;
pub mod error;
pub mod format;
pub mod hub;
pub mod laboratory;
pub mod linear;
pub mod machine;
pub mod model;
pub mod operands;
pub mod ops;
mod pictures;
pub mod quantize;
pub mod softmax;
pub mod tensor;
pub mod vision;
