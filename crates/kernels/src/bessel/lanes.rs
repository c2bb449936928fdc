//! Logarithms of Bessel functions, eight at a time: loops over eight lanes without branches, which the compiler turns into vector
//! instructions of the instruction set that the token stands for.

use std::array::from_fn;
use std::f64::consts::{FRAC_PI_2, PI};

use super::scalar::{
    self, COSH, DEBYE, DEBYE_TERMS, HANKEL_TERMS, LEAST_QUADRATURE_ARGUMENT, Region, STEP, nodes,
};
use crate::elementary::{exp_normal, ln, ln_normal};
use crate::lanes::Lanes;

/// Lanes of f64.
const WIDTH: usize = 8;

type F64s = [f64; WIDTH];

/// Orders and arguments between these magnitudes, or 0 for an order: no step of the expansions leaves the normal numbers.
const ORDINARY: (f64, f64) = (1e-150, 1e150);

/// `ln` of positive normal numbers.
#[inline(always)]
fn ln_each(x: F64s) -> F64s {
    from_fn(|l| ln_normal(x[l], 0))
}

/// [`scalar::hankel`] with so many terms in each lane.
#[inline(always)]
fn hankel(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s {
    let (mut term, mut sum) = ([1.0; WIDTH], [1.0; WIDTH]);
    let mut k = 1.0;
    while k <= f64::from(HANKEL_TERMS) {
        let odd = 2.0 * k - 1.0;
        for l in 0..WIDTH {
            term[l] *= (4.0 * v[l] * v[l] - odd * odd) / (8.0 * k * x[l]);
            sum[l] = if k <= terms[l] { sum[l] + term[l] } else { sum[l] };
        }
        k += 1.0;
    }
    sum
}

/// [`scalar::debye`] with so many terms in each lane.
#[inline(always)]
fn debye(v: F64s, x: F64s, sign: f64, terms: [f64; WIDTH]) -> (F64s, F64s, F64s) {
    let (mut r, mut w, mut q) = ([0.0; WIDTH], [0.0; WIDTH], [0.0; WIDTH]);
    for l in 0..WIDTH {
        let (large, small) = if v[l] > x[l] { (v[l], x[l]) } else { (x[l], v[l]) };
        let ratio = small / large;
        r[l] = large * (1.0 + ratio * ratio).sqrt();
        w[l] = 1.0 / r[l];
        q[l] = (v[l] * w[l]) * (v[l] * w[l]);
    }
    let most = terms.into_iter().fold(0.0, f64::max);
    let (mut sum, mut power) = ([0.0; WIDTH], [1.0; WIDTH]);
    let mut index = 0.0;
    for (k, coefficients) in DEBYE.iter().enumerate().take(DEBYE_TERMS + 1) {
        if index > most {
            break;
        }
        let mut p = [0.0; WIDTH];
        for &c in coefficients[..=k].iter().rev() {
            for l in 0..WIDTH {
                p[l] = p[l] * q[l] + c;
            }
        }
        for l in 0..WIDTH {
            sum[l] = if index <= terms[l] { sum[l] + power[l] * p[l] } else { sum[l] };
            power[l] *= sign * w[l];
        }
        index += 1.0;
    }
    let ratio = ln_each(from_fn(|l| x[l] / (v[l] + r[l])));
    (r, from_fn(|l| r[l] + v[l] * ratio[l]), sum)
}

/// [`scalar::quadrature_k`] with so many nodes in each lane.
#[inline(always)]
fn quadrature_k(v: F64s, x: F64s, nodes: [f64; WIDTH]) -> F64s {
    let growth: F64s = from_fn(|l| exp_normal(v[l] * STEP));
    let decay: F64s = from_fn(|l| exp_normal(-v[l] * STEP));
    let (mut up, mut down) = (growth, decay);
    let mut sum: F64s = from_fn(|l| 0.5 * exp_normal(-x[l]));
    let most = nodes.into_iter().fold(0.0, f64::max);
    let mut index = 1.0;
    for cosh in &COSH[1..] {
        if index >= most {
            break;
        }
        for l in 0..WIDTH {
            let next = sum[l] + exp_normal(-x[l] * cosh) * (0.5 * (up[l] + down[l]));
            sum[l] = if index < nodes[l] { next } else { sum[l] };
            up[l] *= growth[l];
            down[l] *= decay[l];
        }
        index += 1.0;
    }
    ln_each(sum.map(|sum| sum * STEP))
}

/// Which lanes each way serves, with how many terms or nodes; -1 for the others.
struct Regions {
    hankel: [f64; WIDTH],
    debye: [f64; WIDTH],
    quadrature: [f64; WIDTH],
}

impl Regions {
    #[inline(always)]
    fn new(v: F64s, x: F64s) -> Self {
        let none = [-1.0; WIDTH];
        let mut regions = Self { hankel: none, debye: none, quadrature: none };
        for l in 0..WIDTH {
            let (least, most) = ORDINARY;
            if !(v[l] == 0.0 || (least..most).contains(&v[l])) || !(least..most).contains(&x[l]) {
                continue;
            }
            match scalar::region(v[l], x[l]) {
                Region::Hankel { terms } => regions.hankel[l] = f64::from(terms),
                Region::Debye { terms } => regions.debye[l] = f64::from(terms),
                #[expect(clippy::cast_precision_loss, reason = "at most 122")]
                Region::Small if x[l] >= LEAST_QUADRATURE_ARGUMENT => {
                    regions.quadrature[l] = nodes(x[l]) as f64;
                }
                Region::Small => {}
            }
        }
        regions
    }
}

/// What differs between the two functions.
trait Bessel {
    fn one(v: f64, x: f64) -> f64;
    fn hankel(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s;
    fn debye(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s;
    /// `None` where the region is served one by one.
    fn quadrature(v: F64s, x: F64s, nodes: [f64; WIDTH]) -> Option<F64s>;
}

struct First;
struct Second;

impl Bessel for First {
    fn one(v: f64, x: f64) -> f64 {
        scalar::log_bessel_i(v, x)
    }

    #[inline(always)]
    fn hankel(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s {
        let sum = ln_each(hankel(v, x.map(|x| -x), terms));
        let scale = ln_each(x.map(|x| 2.0 * PI * x));
        from_fn(|l| x[l] - 0.5 * scale[l] + sum[l])
    }

    #[inline(always)]
    fn debye(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s {
        let (r, eta, sum) = debye(v, x, 1.0, terms);
        let (r, sum, constant) = (ln_each(r), ln_each(sum), 0.5 * ln(2.0 * PI));
        from_fn(|l| eta[l] - constant - 0.5 * r[l] + sum[l])
    }

    #[inline(always)]
    fn quadrature(_: F64s, _: F64s, _: [f64; WIDTH]) -> Option<F64s> {
        None
    }
}

impl Bessel for Second {
    fn one(v: f64, x: f64) -> f64 {
        scalar::log_bessel_k(v, x)
    }

    #[inline(always)]
    fn hankel(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s {
        let sum = ln_each(hankel(v, x, terms));
        let scale = ln_each(x.map(|x| FRAC_PI_2 / x));
        from_fn(|l| 0.5 * scale[l] - x[l] + sum[l])
    }

    #[inline(always)]
    fn debye(v: F64s, x: F64s, terms: [f64; WIDTH]) -> F64s {
        let (r, eta, sum) = debye(v, x, -1.0, terms);
        let (r, sum, constant) = (ln_each(r), ln_each(sum), 0.5 * ln(FRAC_PI_2));
        from_fn(|l| constant - 0.5 * r[l] - eta[l] + sum[l])
    }

    #[inline(always)]
    fn quadrature(v: F64s, x: F64s, nodes: [f64; WIDTH]) -> Option<F64s> {
        Some(quadrature_k(v, x, nodes))
    }
}

#[inline(always)]
fn map<B: Bessel>(v: &[f64], x: &[f64], out: &mut [f64]) {
    let chunks = v.chunks(WIDTH).zip(x.chunks(WIDTH)).zip(out.chunks_mut(WIDTH));
    for ((v_part, x_part), out) in chunks {
        // What fills up the last chunk is in the region of fewest terms.
        let (mut v, mut x) = ([300.0; WIDTH], [300.0; WIDTH]);
        v[..v_part.len()].copy_from_slice(v_part);
        x[..x_part.len()].copy_from_slice(x_part);
        let regions = Regions::new(v, x);
        let (mut result, mut done) = ([f64::NAN; WIDTH], [false; WIDTH]);
        let mut take = |values: F64s, served: [f64; WIDTH]| {
            for l in 0..WIDTH {
                result[l] = if served[l] >= 0.0 { values[l] } else { result[l] };
                done[l] |= served[l] >= 0.0;
            }
        };
        let any = |served: [f64; WIDTH]| served.iter().any(|&terms| terms >= 0.0);
        if any(regions.debye) {
            take(B::debye(v, x, regions.debye), regions.debye);
        }
        if any(regions.hankel) {
            take(B::hankel(v, x, regions.hankel), regions.hankel);
        }
        if any(regions.quadrature)
            && let Some(values) = B::quadrature(v, x, regions.quadrature)
        {
            take(values, regions.quadrature);
        }
        for l in 0..WIDTH {
            if !done[l] {
                result[l] = B::one(v[l], x[l]);
            }
        }
        out.copy_from_slice(&result[..out.len()]);
    }
}

#[inline(always)]
pub(super) fn log_bessel_i<S: Lanes>(_: S, v: &[f64], x: &[f64], out: &mut [f64]) {
    map::<First>(v, x, out);
}

#[inline(always)]
pub(super) fn log_bessel_k<S: Lanes>(_: S, v: &[f64], x: &[f64], out: &mut [f64]) {
    map::<Second>(v, x, out);
}
