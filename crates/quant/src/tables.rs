//! Functions of 8-bit integers as tables.
//!
//! They are made of our own polynomials, which give the same bits on every machine: tables do not depend on a libm.

use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::{Isa, Kernels};

/// `f(q · from) / own` for each q from −128 on, rounded to nearest, ties away from 0, and limited to ±127.
#[must_use]
pub fn lookup_table(function: Function, from: f64, own: f64) -> Box<[i8; 256]> {
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
    let x: Vec<f32> = (-128..128).map(|q| (f64::from(q) * from) as f32).collect();
    let mut table = Box::new([0; 256]);
    for (entry, value) in table.iter_mut().zip(evaluate(function, &x)) {
        *entry = to_i8((f64::from(value) / own).round());
    }
    table
}

/// `⌊one · e^(−d · scale) + ½⌋` for each distance d from 0 to 255: in 8 bits with `one` = 255, in 16 with 2^15.
///
/// # Panics
/// Where `one` is larger than the type holds.
#[must_use]
pub fn exponential_table<T: TryFrom<u32> + Copy + Default>(scale: f64, one: f64) -> [T; 256] {
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
    let x: Vec<f32> = (0..256).map(|d| (-f64::from(d) * scale) as f32).collect();
    let mut table = [T::default(); 256];
    for (entry, value) in table.iter_mut().zip(evaluate(Function::Exp, &x)) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to `one`")]
        let code = (one * f64::from(value) + 0.5).floor() as u32;
        *entry = T::try_from(code).ok().expect("no exponential is above that of 0");
    }
    table
}

fn evaluate(function: Function, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    let kernels = Kernels::for_isa(Isa::Scalar).expect("every CPU has it");
    kernels.apply(function, Accuracy::OneUlp, x, &mut out);
    out
}

/// I-BERT's GELU of 8 bits: `q · (erf + one)`, requantized. It is a function of 8 bits, so a table.
#[must_use]
pub fn ibert_gelu_table(from: f64, own: f64) -> Box<[i8; 256]> {
    let (a, b) = (-0.2888, -1.769);
    // 16 bits more than the input has, without which the polynomial is of no use: its argument is q · 2^16.
    let from = from / 65536.0;
    #[expect(clippy::approx_constant, reason = "as the reference has it")]
    let scale = from / 1.4142;
    let (b, c) = ((b / scale).floor(), (1.0 / a / (scale * scale)).floor());
    let scale = a * scale * scale * 16384.0;
    let one = (1.0 / scale).floor();
    let ratio = from * scale / 2.0 / own;
    let mut table = Box::new([0; 256]);
    for (entry, q) in table.iter_mut().zip(-128..128) {
        let q = f64::from(q) * 65536.0;
        let limited = q.abs().min(-b) + b;
        let erf = (q.signum() * (limited * limited + c) / 16384.0).floor();
        *entry = to_i8((q * (erf + one) * ratio + 0.5).floor());
    }
    table
}

#[expect(clippy::cast_possible_truncation, reason = "limited to ±127")]
pub(crate) fn to_i8(x: f64) -> i8 {
    x.clamp(-127.0, 127.0) as i8
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::reference::{gelu, sigmoid, silu};

    use super::*;

    fn assert_within_half_a_unit(function: Function, exact: fn(f64) -> f64) {
        for (from, own) in [(0.05, 0.04), (0.06, 1.0 / 127.0), (0.013, 0.02)] {
            for (q, entry) in (-128..128).zip(*lookup_table(function, from, own)) {
                let exact = (exact(f64::from(q) * from) / own).clamp(-127.0, 127.0);
                let error = f64::from(entry) - exact;
                assert!(error.abs() <= 0.5 + 1e-4, "{function:?}, {q}: {entry}, {exact}");
            }
        }
    }

    #[test]
    fn tables_are_within_half_a_unit() {
        assert_within_half_a_unit(Function::Gelu, gelu);
        assert_within_half_a_unit(Function::Silu, silu);
        assert_within_half_a_unit(Function::Sigmoid, sigmoid);
        assert_within_half_a_unit(Function::Tanh, f64::tanh);
    }
}
