//! Post-training quantization: calibration, scales, conversion to integers, bit allocation. Pure and deterministic: no files, no threads of its
//! own, no clock, and one answer for one input.

#![forbid(unsafe_code)]

pub mod allocate;
pub mod calibrate;
pub mod convert;
pub mod cost;
pub mod dfp;
pub mod dyadic;
pub mod graph;
pub mod partial_products;
pub mod plan;
pub mod sensitivity;
pub mod simulate;
pub mod tables;
pub mod w8a8;
