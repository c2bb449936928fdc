//! Floating-point formats.

mod descriptor;
mod half;

pub(crate) use descriptor::power_of_two;
pub use descriptor::{Float, NonFinite, Subnormals};
pub use half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// The one NaN that arithmetic of this project returns: the default NaN of Arm. The default NaN of x86 is negative.
pub const CANONICAL_NAN: f32 = f32::from_bits(0x7FC0_0000);

/// `value`, with every NaN replaced by [`CANONICAL_NAN`].
#[must_use]
#[inline]
pub const fn canonical(value: f32) -> f32 {
    if value.is_nan() { CANONICAL_NAN } else { value }
}
