//! Node-API boundary: converts between JavaScript values and the crates below, and nothing else.

pub mod error;
pub mod hub;
pub mod machine;
pub mod model;
