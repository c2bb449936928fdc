//! Logarithms of the modified Bessel functions, which neither overflow nor underflow, and the von Mises-Fisher distribution built on them.
//!
//! No single expansion serves all orders and arguments. The first of these that applies is used; at the borders each is within 1e-12 of the
//! exact value, relative to the larger of 1 and that value (thresholds: Cuingnet and others, logbesselk):
//!
//! ```text
//! x > 1400 and v < 3.05      Hankel's expansion for large x, 3 terms
//! x > 30 and v < 15.3919     the same, 20 terms
//! x or v large               Debye's uniform expansion, 4, 6, 9 or 13 terms
//! else                       I: the power series, of positive terms; K: the trapezoidal rule on its integral
//! ```

mod lanes;
mod scalar;
mod von_mises_fisher;

pub use scalar::{log_bessel_i, log_bessel_k};
pub use von_mises_fisher::{VonMisesFisher, VonMisesFisherError};

use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// `out = ln I_v(x)`.
    static LOG_BESSEL_I: LogBesselIFn = "log_bessel_i_f64",
    fn(v: &[f64], x: &[f64], out: &mut [f64]),
    scalar: scalar::log_bessel_i_slice,
    lanes: lanes::log_bessel_i,
}

lane_op! {
    /// `out = ln K_v(x)`.
    static LOG_BESSEL_K: LogBesselKFn = "log_bessel_k_f64",
    fn(v: &[f64], x: &[f64], out: &mut [f64]),
    scalar: scalar::log_bessel_k_slice,
    lanes: lanes::log_bessel_k,
}

impl Kernels {
    /// `out[i]` = [`log_bessel_i`]`(v[i], x[i])`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn log_bessel_i(&self, v: &[f64], x: &[f64], out: &mut [f64]) {
        assert_eq!(v.len(), x.len(), "log_bessel_i: orders and arguments");
        assert_eq!(x.len(), out.len(), "log_bessel_i: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.log_bessel_i.function)(v, x, out) }
    }

    /// `out[i]` = [`log_bessel_k`]`(v[i], x[i])`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn log_bessel_k(&self, v: &[f64], x: &[f64], out: &mut [f64]) {
        assert_eq!(v.len(), x.len(), "log_bessel_k: orders and arguments");
        assert_eq!(x.len(), out.len(), "log_bessel_k: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.log_bessel_k.function)(v, x, out) }
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::{Rng, cases};

    use super::{LOG_BESSEL_I, LOG_BESSEL_K, log_bessel_i, log_bessel_k};
    use crate::elementary::exp;

    /// 1e-12 of the larger of 1 and the value.
    fn close(actual: f64, exact: f64) -> bool {
        (actual - exact).abs() <= 1e-12 * exact.abs().max(1.0)
    }

    /// The grid of `scripts/golden_bessel.py`: 250 orders by 400 arguments, both sides of every border among them.
    #[test]
    fn agrees_with_flint_on_a_grid() {
        const GRID: &[u8] = include_bytes!("../../tests/golden/log_bessel.f64");
        const POINTS: usize = 100_000;
        let (numbers, rest) = GRID.as_chunks::<8>();
        let numbers: Vec<f64> = numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
        let (orders, numbers) = numbers.split_at(250);
        let (arguments, numbers) = numbers.split_at(400);
        let (log_i, log_k) = numbers.split_at(POINTS);
        assert_eq!((log_k.len(), rest.len()), (POINTS, 0));
        let mut largest = [(0.0, 0.0, 0.0); 2];
        let points = orders.iter().flat_map(|&v| arguments.iter().map(move |&x| (v, x)));
        for ((v, x), (&i, &k)) in points.zip(log_i.iter().zip(log_k)) {
            let pairs = [(log_bessel_i(v, x), i), (log_bessel_k(v, x), k)];
            for (largest, (actual, exact)) in largest.iter_mut().zip(pairs) {
                let error = (actual - exact).abs() / exact.abs().max(1.0);
                assert!(error < 1e-12, "order {v}, argument {x}: {actual}, exact {exact}");
                if error > largest.0 {
                    *largest = (error, v, x);
                }
            }
        }
        // The figures of docs/numerics.md, with --nocapture.
        eprintln!("largest error, order, argument: ln I {:?}, ln K {:?}", largest[0], largest[1]);
    }

    #[test]
    fn published_values() {
        assert!(close(log_bessel_i(1023.0, 300.0), -923.656_894_532_813_7));
        assert!(close(log_bessel_i(4095.0, 5000.0), 3_396.839_321_239_165));
        assert!(close(log_bessel_i(16_383.0, 300.0), -60_512.783_344_823));
    }

    /// `I_v K_(v+1) + I_(v+1) K_v = 1 / x` (DLMF 10.28.2) ties both functions and neighbouring orders together.
    #[test]
    fn the_wronskian_holds_across_regions() {
        for v in [0.0, 0.3, 2.9, 9.9, 14.9, 19.9, 46.5, 163.0] {
            for x in [0.01, 1.0, 19.0, 25.0, 31.0, 50.0, 300.0, 1500.0] {
                let sum = exp(log_bessel_i(v, x) + log_bessel_k(v + 1.0, x))
                    + exp(log_bessel_i(v + 1.0, x) + log_bessel_k(v, x));
                assert!((sum * x - 1.0).abs() < 1e-10, "{v} {x}: {}", sum * x);
            }
        }
    }

    #[test]
    fn limits() {
        assert_eq!(log_bessel_i(0.0, 0.0), 0.0);
        assert_eq!(log_bessel_i(2.0, 0.0), f64::NEG_INFINITY);
        assert_eq!(log_bessel_k(2.0, 0.0), f64::INFINITY);
        assert!(log_bessel_i(-1.0, 1.0).is_nan() && log_bessel_k(1.0, -1.0).is_nan());
        assert!(log_bessel_i(1e8, 1e-3).is_finite() && log_bessel_k(1e8, 1e-3).is_finite());
    }

    /// Neighbours of every region, so that chunks are mixed; and what has no value.
    #[test]
    fn kernels_equal_the_scalar_ones() {
        let mut rng = Rng::new(1);
        let special =
            [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310, 1e-200, 1e200, f64::MAX, 1e8, 1e-3];
        for len in cases::lengths() {
            let mut any = |index: usize, largest: f64| match index % 7 {
                0 => special[rng.below(special.len())],
                _ => exp(rng.uniform_f64() * 16.0 - 6.0).min(largest),
            };
            // Whole chunks of one region as well as mixed ones.
            let largest = [1e9, 10.0, 300.0][len % 3];
            let v: Vec<f64> = (0..len).map(|i| any(i, largest)).collect();
            let x: Vec<f64> = (0..len).map(|i| any(i + 3, largest)).collect();
            for (op, one) in [
                (&LOG_BESSEL_I, log_bessel_i as fn(f64, f64) -> f64),
                (&LOG_BESSEL_K, log_bessel_k),
            ] {
                for kernel in op.supported() {
                    let mut out = vec![7.0; len];
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&v, &x, &mut out) };
                    for ((out, &v), &x) in out.iter().zip(&v).zip(&x) {
                        let name = kernel.name;
                        let expected = one(v, x);
                        assert_eq!(out.to_bits(), expected.to_bits(), "{name} {v} {x}: {out}");
                    }
                }
            }
        }
    }
}
