//! Sine and cosine of angles in radians, of any size. The ops over slices are those of [`crate::activation::Function`].
//!
//! `|x| = n pi/2 + r` with |r| <= pi/4, then a polynomial of r and a sign by the quarter that n says. Up to [`scalar::NEAR`] the product of n and the first
//! of three parts of pi/2 is subtracted exactly; beyond, as many bits of 2/pi as it takes are multiplied in integers, one element at a time.

pub(crate) mod lanes;
pub(crate) mod scalar;

#[cfg(test)]
mod tests {
    use dyadic_testkit::ulp;

    use super::scalar::{NEAR, cos, sin};
    use crate::activation::{Accuracy, Function};
    use crate::{Isa, Kernels};

    #[test]
    fn a_signalling_nan_does_not_hide_a_far_angle() {
        let signalling = f32::from_bits(0x7F80_0001);
        for (at, nan) in (0..16).flat_map(|at| (0..16).map(move |nan| (at, nan))) {
            let mut x = [0.5; 16];
            x[at] = 1e9;
            x[nan] = signalling;
            for (function, one) in [(Function::Sin, sin as fn(f32) -> f32), (Function::Cos, cos)] {
                let expected =
                    x.map(|x| if x.is_nan() { f32::from_bits(0x7FC0_0000) } else { one(x) });
                for isa in Isa::supported() {
                    let mut out = [0.0; 16];
                    let kernels = Kernels::for_isa(isa).unwrap();
                    kernels.apply(function, Accuracy::OneUlp, &x, &mut out);
                    ulp::assert_same_bits(&out, &expected, isa.name());
                }
            }
        }
    }

    #[test]
    fn special_values() {
        assert_eq!(sin(-0.0).to_bits(), 0x8000_0000);
        assert_eq!([sin(0.0), cos(0.0), cos(-0.0)], [0.0, 1.0, 1.0]);
        for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(sin(x).is_nan() && cos(x).is_nan());
        }
    }

    /// On both sides of the border both reductions are exact to far more than f32 shows.
    #[test]
    fn the_two_reductions_agree() {
        for x in [NEAR, NEAR.next_up(), 1e6, 16_777_216.0, 1e30, f32::MAX] {
            let exact = f64::from(x);
            assert!((f64::from(sin(x)) - exact.sin()).abs() < 1e-7, "{x}");
            assert!((f64::from(cos(-x)) - exact.cos()).abs() < 1e-7, "{x}");
        }
    }
}
