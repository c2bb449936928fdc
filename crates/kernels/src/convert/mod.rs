//! Conversion between f32 and 16-bit floats, stored as bits.
//!
//! Narrowing rounds to nearest, ties to even; what is too large becomes infinite. Every NaN becomes the quiet NaN without a payload.

mod lanes;
mod scalar;

use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// f16 to f32.
    static F16_TO_F32: F16ToF32Fn = "convert_f16_f32",
    fn(x: &[u16], out: &mut [f32]),
    scalar: scalar::f16_to_f32,
    lanes: lanes::f16_to_f32,
}

lane_op! {
    /// f32 to f16.
    static F32_TO_F16: F32ToF16Fn = "convert_f32_f16",
    fn(x: &[f32], out: &mut [u16]),
    scalar: scalar::f32_to_f16,
    lanes: lanes::f32_to_f16,
}

impl Kernels {
    /// The f32 values of the f16 bits `x`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn f16_to_f32(&self, x: &[u16], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "f16_to_f32: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.f16_to_f32.function)(x, out) }
    }

    /// The bits of `x` rounded to f16.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn f32_to_f16(&self, x: &[f32], out: &mut [u16]) {
        assert_eq!(x.len(), out.len(), "f32_to_f16: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.f32_to_f16.function)(x, out) }
    }
}

/// The f32 values of the bf16 bits `x`. A shift, which needs no kernel of its own: the compiler vectorizes it.
pub fn bf16_to_f32(x: &[u16], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = scalar::bf16_value(x);
    }
}

/// The bits of `x` rounded to bf16. Integer arithmetic, which needs no kernel of its own: the compiler vectorizes it.
pub fn f32_to_bf16(x: &[f32], out: &mut [u16]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = scalar::bf16_bits(x);
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, cases, ulp};
    use half::bf16;

    use super::{F16_TO_F32, F32_TO_F16, scalar};
    use crate::lanes::canonical;

    #[test]
    fn every_f16_converts() {
        let x: Vec<u16> = (0..=u16::MAX).collect();
        let mut expected = vec![0.0; x.len()];
        scalar::f16_to_f32(&x, &mut expected);
        for kernel in F16_TO_F32.supported() {
            let mut out = vec![1.0; x.len()];
            // SAFETY: the CPU supports the kernel, and the lengths are equal.
            unsafe { (kernel.function)(&x, &mut out) };
            ulp::assert_same_bits(&out, &expected, kernel.name);
        }
    }

    #[test]
    fn kernels_equal_the_scalar_ones() {
        let mut rng = Rng::new(1);
        for len in cases::lengths() {
            // A third over all floats, the rest about the range of f16 with its subnormals.
            let x: Vec<f32> = (0..len)
                .map(|i| match i % 3 {
                    0 => rng.any_f32(),
                    1 => rng.normal() * 3e4,
                    _ => rng.normal() * 1e-5,
                })
                .collect();
            let mut expected = vec![0; len];
            scalar::f32_to_f16(&x, &mut expected);
            for flush in Flush::BOTH {
                let x = Guarded::new(&x, flush);
                let mut half = Guarded::filled(7u16, len, flush);
                for kernel in F32_TO_F16.supported() {
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&x, &mut half) };
                    assert_eq!(*half, *expected, "{}", kernel.name);
                }
                let mut back = Guarded::filled(7.0, len, flush);
                for kernel in F16_TO_F32.supported() {
                    // SAFETY: as above.
                    unsafe { (kernel.function)(&half, &mut back) };
                }
            }
        }
    }

    #[test]
    fn bf16_agrees_with_the_half_crate() {
        for bits in (0..=u32::MAX).step_by(4093) {
            let x = f32::from_bits(bits);
            assert_eq!(scalar::bf16_bits(x), bf16::from_f32(canonical(x)).to_bits(), "{bits:08X}");
        }
        assert!((0..=u16::MAX).all(|bits| {
            let expected = canonical(bf16::from_bits(bits).to_f32());
            canonical(scalar::bf16_value(bits)).to_bits() == expected.to_bits()
        }));
    }
}
