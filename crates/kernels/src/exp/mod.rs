//! The exponential in two shapes, and the logarithm. The ops over slices are those of [`crate::activation::Function`].
//!
//! `exp`: `n = round(x log2(e))`, `f = x log2(e) - n` in two fused steps, a polynomial of degree 7, 5 or 3 for `2^f`, times `2^n`.
//!
//! `ext_exp`: the same without the last step. A positive number stays a pair `(m, n)` of value `m * 2^n` with `n` an integer-valued f32,
//! so neither a sum nor a ratio of exponentials ever overflows, and no maximum need be subtracted first (Dukhan and Ablavatski 2020,
//! arXiv 2001.04438). Softmax and attention are built on it.

pub(crate) mod lanes;
pub(crate) mod scalar;

#[cfg(test)]
mod tests {
    use dyadic_testkit::{Rng, ulp};

    use super::scalar;

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
            assert_eq!(scalar::exp::<7>(x).to_bits(), f32::to_bits(expected), "exp({x})");
        }
    }
}
