//! The exponential, in two shapes.
//!
//! `exp`: `n = round(x log2(e))`, `f = x log2(e) - n` in two fused steps, a polynomial of degree 7 for `2^f`, times `2^n`.
//!
//! `ext_exp`: the same without the last step. A positive number stays a pair `(m, n)` of value `m * 2^n` with `n` an integer-valued f32,
//! so neither a sum nor a ratio of exponentials ever overflows, and no maximum need be subtracted first (Dukhan and Ablavatski 2020,
//! arXiv 2001.04438). Softmax and attention are built on it.

pub(crate) mod lanes;
pub(crate) mod scalar;

use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// `out[i] = e^x[i]`.
    static EXP: ExpFn = "exp_f32",
    fn(x: &[f32], out: &mut [f32]),
    scalar: scalar::exp_slice,
    lanes: lanes::exp_slice,
}

impl Kernels {
    /// `out[i] = e^x[i]`, at most 0.98 ULP from the exact value. Infinity above 88.72, 0 below -103.97, NaN for NaN.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn exp(&self, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "exp: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.exp.function)(x, out) }
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, cases, ulp};

    use super::{EXP, scalar};

    /// The scalar specification against f64 on every `step`-th float.
    fn exp_error(step: usize) -> f64 {
        (0..=u32::MAX)
            .step_by(step)
            .map(f32::from_bits)
            .map(|x| ulp::error_f32(scalar::exp(x), f64::from(x).exp()))
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_one_ulp() {
        let error = exp_error(997);
        assert!(error < 0.98, "{error}");
    }

    #[test]
    #[ignore = "all 2^32 floats: minutes"]
    fn exp_is_within_one_ulp_everywhere() {
        let error = exp_error(1);
        assert!(error < 0.98, "{error}");
    }

    #[test]
    fn ext_exp_keeps_its_bounds() {
        // Error of m against exp(x - n ln 2) in ULP of 1, by the largest |x| (spec: 1.97 below 2^15, 3.65 below 2^18).
        for (limit, bound) in [(32_768.0, 1.98), (262_144.0, 3.7)] {
            let mut rng = Rng::new(1);
            let mut largest = 0.0f64;
            for _ in 0..500_000 {
                let x = rng.uniform(-limit, limit);
                let (m, n) = scalar::ext_exp(x);
                assert!(n.fract() == 0.0);
                assert!(limit > 32_768.0 || (0.7..=1.42).contains(&m), "{x}: {m}");
                // ln 2 to 106 bits, so that n ln 2 is good to 2^-60.
                let t = f64::from(x)
                    - f64::from(n) * 0.693_147_180_369_123_8
                    - f64::from(n) * 1.908_214_929_270_587_7e-10;
                largest = largest.max(ulp::error_f32(m, t.exp()));
            }
            assert!(largest < bound, "{limit}: {largest}");
        }
    }

    #[test]
    fn special_values() {
        for (x, expected) in [
            (0.0, 1.0),
            (-0.0, 1.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::NEG_INFINITY, 0.0),
            (88.722_84, f32::INFINITY),
            (-103.972_08, f32::from_bits(1)),
            (-104.0, 0.0),
        ] {
            assert_eq!(scalar::exp(x).to_bits(), f32::to_bits(expected), "exp({x})");
        }
        assert_eq!(scalar::exp(f32::from_bits(0xFFC1_2345)).to_bits(), 0x7FC0_0000);
    }

    #[test]
    fn kernels_equal_the_scalar_one() {
        let mut rng = Rng::new(2);
        for kernel in EXP.supported() {
            for len in cases::lengths() {
                for flush in Flush::BOTH {
                    let x: Vec<f32> = (0..len)
                        .map(|i| if i % 3 == 0 { rng.any_f32() } else { rng.uniform(-110.0, 95.0) })
                        .collect();
                    let mut expected = vec![0.0; len];
                    scalar::exp_slice(&x, &mut expected);
                    let x = Guarded::new(&x, flush);
                    let mut out = Guarded::filled(7.0, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&x, &mut out) };
                    ulp::assert_same_bits(&out, &expected, kernel.name);
                }
            }
        }
    }

    #[test]
    fn kernels_equal_the_scalar_one_on_special_values() {
        for kernel in EXP.supported() {
            let x = cases::SPECIAL_F32;
            let (mut out, mut expected) = (x, x);
            scalar::exp_slice(&x, &mut expected);
            // SAFETY: the CPU supports the kernel, and the lengths are equal.
            unsafe { (kernel.function)(&x, &mut out) };
            ulp::assert_same_bits(&out, &expected, kernel.name);
        }
    }
}
