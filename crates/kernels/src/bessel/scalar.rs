//! Logarithms of Bessel functions, one at a time: what the other files must equal.

use std::f64::consts::{FRAC_PI_2, LN_2, PI};
use std::sync::LazyLock;

use crate::elementary::{exp, exp_normal, ln};

/// The number of terms of Debye's expansion, and the argument or order above which so few are enough.
const DEBYE_REGIONS: [(u8, f64, f64); 4] =
    [(4, 274.2377, 163.6993), (6, 84.4153, 46.9971), (9, 35.9074, 20.1534), (13, 19.6931, 10.6971)];

/// The most terms of Hankel's expansion.
pub(super) const HANKEL_TERMS: u8 = 20;

/// The most terms of Debye's expansion.
pub(super) const DEBYE_TERMS: usize = 13;

/// `u_k(t) = t^k P_k(t^2)`: the coefficients of `P_k`, the lowest power first (DLMF 10.41.10).
pub(super) static DEBYE: LazyLock<[[f64; DEBYE_TERMS + 1]; DEBYE_TERMS + 1]> =
    LazyLock::new(|| {
        // u_{k+1} = t^2 (1 - t^2) u_k' / 2 + 1/8 of the integral of (1 - 5 s^2) u_k; a power t^(k + 2 j) is element j of P_k.
        let mut table = [[0.0; DEBYE_TERMS + 1]; DEBYE_TERMS + 1];
        table[0][0] = 1.0;
        for k in 0..DEBYE_TERMS {
            let current = table[k];
            let next = &mut table[k + 1];
            let mut power = f64::from(u8::try_from(k).expect("13 terms"));
            for (j, c) in current.into_iter().enumerate().take(k + 1) {
                next[j] += c * (power / 2.0 + 0.125 / (power + 1.0));
                next[j + 1] -= c * (power / 2.0 + 0.625 / (power + 3.0));
                power += 2.0;
            }
        }
        table
    });

/// Which expansion serves an order and an argument.
pub(super) enum Region {
    Hankel { terms: u8 },
    Debye { terms: u8 },
    Small,
}

pub(super) fn region(v: f64, x: f64) -> Region {
    if x > 1400.0 && v < 3.05 {
        return Region::Hankel { terms: 3 };
    }
    if x > 30.0 && v < 15.3919 {
        return Region::Hankel { terms: HANKEL_TERMS };
    }
    DEBYE_REGIONS
        .iter()
        .find(|&&(_, large_x, large_v)| x > large_x || v > large_v)
        .map_or(Region::Small, |&(terms, ..)| Region::Debye { terms })
}

/// `ln I_v(x)` for an order `v >= 0` and `x >= 0`: the modified Bessel function of the first kind. -infinity at 0 but for order 0. NaN outside.
///
/// The error is below 1e-12 of the larger of 1 and the result.
#[must_use]
pub fn log_bessel_i(v: f64, x: f64) -> f64 {
    if v.is_nan() || x.is_nan() || v < 0.0 || x < 0.0 || v.is_infinite() {
        return f64::NAN;
    }
    if x == 0.0 {
        return if v == 0.0 { 0.0 } else { f64::NEG_INFINITY };
    }
    if x.is_infinite() {
        return x;
    }
    match region(v, x) {
        Region::Hankel { terms } => x - 0.5 * ln(2.0 * PI * x) + ln(hankel(v, -x, terms)),
        Region::Debye { terms } => {
            let (r, eta, sum) = debye(v, x, 1.0, terms);
            eta - 0.5 * ln(2.0 * PI) - 0.5 * ln(r) + ln(sum)
        }
        Region::Small => {
            // The sum of (x^2/4)^k / (k! (v+1)...(v+k)): at most e^20.
            let quarter = 0.25 * x * x;
            let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
            while term > 1e-17 * sum {
                term *= quarter / (k * (v + k));
                sum += term;
                k += 1.0;
            }
            v * ln(0.5 * x) - ln_gamma(v + 1.0) + ln(sum)
        }
    }
}

/// `ln K_v(x)` for an order `v >= 0` and `x >= 0`: the modified Bessel function of the second kind. Infinite at 0. NaN outside.
///
/// The error is below 1e-12 of the larger of 1 and the result.
#[must_use]
pub fn log_bessel_k(v: f64, x: f64) -> f64 {
    if v.is_nan() || x.is_nan() || v < 0.0 || x < 0.0 || v.is_infinite() {
        return f64::NAN;
    }
    if x == 0.0 {
        return f64::INFINITY;
    }
    if x.is_infinite() {
        return -x;
    }
    match region(v, x) {
        Region::Hankel { terms } => 0.5 * ln(FRAC_PI_2 / x) - x + ln(hankel(v, x, terms)),
        Region::Debye { terms } => {
            let (r, eta, sum) = debye(v, x, -1.0, terms);
            0.5 * ln(FRAC_PI_2) - 0.5 * ln(r) - eta + ln(sum)
        }
        Region::Small if x >= LEAST_QUADRATURE_ARGUMENT => quadrature_k(v, x),
        Region::Small => integral_k(v, x),
    }
}

/// The sum of `a_k(v) / x^k` (DLMF 10.17.1).
fn hankel(v: f64, x: f64, terms: u8) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..=terms {
        let k = f64::from(k);
        let odd = 2.0 * k - 1.0;
        term *= (4.0 * v * v - odd * odd) / (8.0 * k * x);
        sum += term;
    }
    sum
}

/// `r = hypot(v, x)`, `r + v ln(x / (v + r))`, and the sum of `sign^k u_k(v/r) / v^k` (DLMF 10.41.3).
fn debye(v: f64, x: f64, sign: f64, terms: u8) -> (f64, f64, f64) {
    let (large, small) = if v > x { (v, x) } else { (x, v) };
    let ratio = small / large;
    let r = large * (1.0 + ratio * ratio).sqrt();
    let w = 1.0 / r;
    let q = (v * w) * (v * w);
    let (mut sum, mut power) = (0.0, 1.0);
    for (k, coefficients) in DEBYE.iter().enumerate().take(usize::from(terms) + 1) {
        let p = coefficients[..=k].iter().rev().fold(0.0, |p, c| p * q + c);
        sum += power * p;
        power *= sign * w;
    }
    (r, r + v * ln(x / (v + r)), sum)
}

/// The distance of the nodes of the trapezoidal rule for K. Its error falls as `e^(-pi^2 / h)`, since the integrand is even and analytic in the
/// strip of half width pi/2: 1e-18 for the orders below 10.7 that it serves.
pub(super) const STEP: f64 = 1.0 / 6.0;

/// The arguments from which on no term of the rule overflows.
pub(super) const LEAST_QUADRATURE_ARGUMENT: f64 = 1e-6;

/// The largest exponent that counts: with orders below 10.7 a term is then below e^-45 of the largest.
const LARGEST_EXPONENT: f64 = 260.0;

/// `cosh(j STEP)`, up to [`LARGEST_EXPONENT`] over [`LEAST_QUADRATURE_ARGUMENT`].
pub(super) static COSH: LazyLock<[f64; 122]> = LazyLock::new(|| {
    let mut table = [0.0; 122];
    let mut t = 0.0;
    for cosh in &mut table {
        *cosh = 0.5 * (exp(t) + exp(-t));
        t += STEP;
    }
    table
});

/// How many nodes count for an argument.
pub(super) fn nodes(x: f64) -> usize {
    COSH.partition_point(|cosh| x * cosh <= LARGEST_EXPONENT)
}

/// `ln K_v(x)` from the integral over t >= 0 of `e^(-x cosh t) cosh(v t)`, for orders below 10.7 and arguments from
/// [`LEAST_QUADRATURE_ARGUMENT`] to 20. One exponential a node: `e^(v t)` grows by a factor.
fn quadrature_k(v: f64, x: f64) -> f64 {
    let (growth, decay) = (exp_normal(v * STEP), exp_normal(-v * STEP));
    let (mut up, mut down) = (growth, decay);
    let mut sum = 0.5 * exp_normal(-x);
    for cosh in &COSH[1..nodes(x)] {
        sum += exp_normal(-x * cosh) * (0.5 * (up + down));
        up *= growth;
        down *= decay;
    }
    ln(sum * STEP)
}

/// The same integral for smaller arguments: every term relative to the largest one so far.
fn integral_k(v: f64, x: f64) -> f64 {
    // ln(cosh(v t)) = v t + ln(1 + e^(-2 v t)) - ln 2
    let exponent = |t: f64| {
        let cosh = 0.5 * (exp(t) + exp(-t));
        -x * cosh + v * t + ln(1.0 + exp(-2.0 * v * t)) - LN_2
    };
    // The exponent rises to one peak, then falls faster and faster: a running sum relative to its largest term.
    let (mut max, mut sum) = (exponent(0.0), 0.5);
    let mut t = STEP;
    loop {
        let e = exponent(t);
        if e > max {
            sum = sum * exp(max - e) + 1.0;
            max = e;
        } else {
            sum += exp(e - max);
            if e < max - 45.0 {
                break;
            }
        }
        t += STEP;
    }
    max + ln(sum * STEP)
}

/// `ln Gamma(x)` for x >= 1: Stirling's series above 16, below it by recurrence.
pub(super) fn ln_gamma(x: f64) -> f64 {
    /// `B_2k / (2k (2k - 1))`
    const STIRLING: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360_360.0,
        1.0 / 156.0,
    ];
    let (mut x, mut product) = (x, 1.0);
    while x < 16.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = STIRLING.iter().rev().fold(0.0, |sum, c| sum * square + c) * inverse;
    (x - 0.5) * ln(x) - x + 0.5 * ln(2.0 * PI) + series - ln(product)
}

pub(super) fn log_bessel_i_slice(v: &[f64], x: &[f64], out: &mut [f64]) {
    for (out, (&v, &x)) in out.iter_mut().zip(v.iter().zip(x)) {
        *out = log_bessel_i(v, x);
    }
}

pub(super) fn log_bessel_k_slice(v: &[f64], x: &[f64], out: &mut [f64]) {
    for (out, (&v, &x)) in out.iter_mut().zip(v.iter().zip(x)) {
        *out = log_bessel_k(v, x);
    }
}
