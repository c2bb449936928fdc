//! References, error measures, guard pages and case generators for the tests of the other crates.
//!
//! Everything here is deterministic: a case that fails once fails again. Nothing here ships; depend on it under `[dev-dependencies]`.

pub mod cases;
pub mod guard;
pub mod reference;
pub mod skip;
pub mod ulp;

pub use cases::Rng;
pub use guard::Guarded;
