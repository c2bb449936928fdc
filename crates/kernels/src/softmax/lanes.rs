//! The passes of softmax over one chunk, over [`Lanes`].

use super::{HIGHEST, LOWEST, Pair};
use crate::attention::EMPTY_EXPONENT;
use crate::convert::ConvertLanes;
use crate::exp::lanes::ext_exp;
use crate::lanes::{LANES, Lanes, Unary, canonical, map, map_in_place};

/// Elements of a tile.
const TILE: usize = 4 * LANES;

/// `e^x` as a pair, x clamped.
#[inline(always)]
fn bounded_ext_exp<S: Lanes>(s: S, x: S::F) -> (S::F, S::F) {
    // The constants come first, so that a NaN passes.
    ext_exp(s, s.max(s.splat(LOWEST), s.min(s.splat(HIGHEST), x)))
}

/// `e^d` for a d <= 0; 0 below -87.7.
#[inline(always)]
fn exp_of_difference<S: Lanes>(s: S, d: S::F) -> S::F {
    let (m, n) = ext_exp(s, s.max(s.splat(LOWEST), d));
    s.scale_down(m, n)
}

/// The four vectors of a whole tile.
#[inline(always)]
fn load_tile<S: Lanes>(s: S, tile: &[f32; TILE]) -> [S::F; 4] {
    let parts = tile.as_chunks::<LANES>().0;
    [s.load(&parts[0]), s.load(&parts[1]), s.load(&parts[2]), s.load(&parts[3])]
}

/// The four vectors of a tile of fewer than 64 elements, filled up with -infinity.
#[inline(always)]
fn load_partial_tile<S: Lanes>(s: S, tail: &[f32]) -> [S::F; 4] {
    let mut v = [s.splat(f32::NEG_INFINITY); 4];
    for (v, part) in v.iter_mut().zip(tail.chunks(LANES)) {
        *v = s.load_partial(part, f32::NEG_INFINITY);
    }
    v
}

/// What a pass over tiles keeps.
trait Reduce<S: Lanes>: Copy {
    fn tile(self, s: S, x: [S::F; 4]) -> Self;
}

#[inline(always)]
fn reduce<S: Lanes, R: Reduce<S>>(s: S, x: &[f32], start: R) -> R {
    let (tiles, tail) = x.as_chunks::<TILE>();
    let mut state = start;
    for tile in tiles {
        state = state.tile(s, load_tile(s, tile));
    }
    if !tail.is_empty() {
        state = state.tile(s, load_partial_tile(s, tail));
    }
    state
}

#[derive(Clone, Copy)]
struct Max<F>([F; 4]);

impl<S: Lanes> Reduce<S> for Max<S::F> {
    #[inline(always)]
    fn tile(mut self, s: S, x: [S::F; 4]) -> Self {
        for (max, x) in self.0.iter_mut().zip(x) {
            *max = s.max(x, *max);
        }
        self
    }
}

#[inline(always)]
pub(super) fn max<S: Lanes>(s: S, x: &[f32]) -> f32 {
    let Max(m) = reduce(s, x, Max::<S::F>([s.splat(f32::NEG_INFINITY); 4]));
    s.reduce_max(s.max(s.max(m[0], m[2]), s.max(m[1], m[3])))
}

/// Sums that share one reference value (an exponent or a maximum) for each lane.
#[derive(Clone, Copy)]
struct Extended<F> {
    reference: F,
    sums: [F; 4],
}

impl<S: Lanes> Reduce<S> for Extended<S::F> {
    #[inline(always)]
    fn tile(mut self, s: S, x: [S::F; 4]) -> Self {
        let (mut m, mut n) = (x, x);
        for k in 0..4 {
            (m[k], n[k]) = bounded_ext_exp(s, x[k]);
        }
        let mut common = self.reference;
        for n in n {
            common = s.max(common, n);
        }
        let rescale = s.scale_down(s.splat(1.0), s.sub(self.reference, common));
        for k in 0..4 {
            let scaled = s.scale_down(m[k], s.sub(n[k], common));
            self.sums[k] = s.fma(self.sums[k], rescale, scaled);
        }
        self.reference = common;
        self
    }
}

#[inline(always)]
pub(super) fn ext_exp_sum<S: Lanes>(s: S, x: &[f32]) -> Pair {
    let start = Extended { reference: s.splat(EMPTY_EXPONENT), sums: [s.splat(0.0); 4] };
    let Extended { reference, sums } = reduce(s, x, start);
    let common = s.reduce_max(reference);
    let sum = s.add(s.add(sums[0], sums[2]), s.add(sums[1], sums[3]));
    let rescale = s.scale_down(s.splat(1.0), s.sub(reference, s.splat(common)));
    let sum = s.sum(s.mul(sum, rescale));
    Pair { sum: canonical(sum), exponent: canonical(common) }
}

#[derive(Clone, Copy)]
struct ExtExpScale {
    factor: f32,
    exponent: f32,
}

impl Unary for ExtExpScale {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        let (m, n) = bounded_ext_exp(s, x);
        let scaled = s.mul(m, s.splat(self.factor));
        s.canonical(s.scale_down(scaled, s.sub(n, s.splat(self.exponent))))
    }
}

#[inline(always)]
pub(super) fn ext_exp_scale<S: Lanes>(
    s: S,
    x: &[f32],
    factor: f32,
    exponent: f32,
    out: &mut [f32],
) {
    map(s, ExtExpScale { factor, exponent }, x, out);
}

#[derive(Clone, Copy)]
struct ExpSum<F> {
    max: F,
    sums: [F; 4],
}

impl<S: Lanes> Reduce<S> for ExpSum<S::F> {
    #[inline(always)]
    fn tile(mut self, s: S, x: [S::F; 4]) -> Self {
        for (sum, x) in self.sums.iter_mut().zip(x) {
            *sum = s.add(*sum, exp_of_difference(s, s.sub(x, self.max)));
        }
        self
    }
}

#[inline(always)]
pub(super) fn exp_sum<S: Lanes>(s: S, x: &[f32], max: f32) -> f32 {
    let start = ExpSum { max: s.splat(max), sums: [s.splat(0.0); 4] };
    canonical(s.sum_64(reduce(s, x, start).sums))
}

#[derive(Clone, Copy)]
struct ExpScale {
    max: f32,
    factor: f32,
}

impl Unary for ExpScale {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        let e = exp_of_difference(s, s.sub(x, s.splat(self.max)));
        s.canonical(s.mul(e, s.splat(self.factor)))
    }
}

#[inline(always)]
pub(super) fn exp_scale<S: Lanes>(s: S, x: &[f32], max: f32, factor: f32, out: &mut [f32]) {
    map(s, ExpScale { max, factor }, x, out);
}

#[inline(always)]
pub(super) fn exp_store<S: Lanes>(s: S, x: &[f32], max: f32, out: &mut [f32]) -> f32 {
    let mut sums = [s.splat(0.0); 4];
    let (tiles, tail) = x.as_chunks::<TILE>();
    let (out_tiles, out_tail) = out.as_chunks_mut::<TILE>();
    let max = s.splat(max);
    for (tile, out) in tiles.iter().zip(out_tiles) {
        let x = load_tile(s, tile);
        let out = out.as_chunks_mut::<LANES>().0;
        for k in 0..4 {
            let e = s.canonical(exp_of_difference(s, s.sub(x[k], max)));
            s.store(e, &mut out[k]);
            sums[k] = s.add(sums[k], e);
        }
    }
    for ((sum, x), out) in sums.iter_mut().zip(tail.chunks(LANES)).zip(out_tail.chunks_mut(LANES)) {
        let x = s.load_partial(x, f32::NEG_INFINITY);
        let e = s.canonical(exp_of_difference(s, s.sub(x, max)));
        s.store_partial(e, out);
        *sum = s.add(*sum, e);
    }
    canonical(s.sum_64(sums))
}

#[derive(Clone, Copy)]
struct Scale {
    factor: f32,
}

impl Unary for Scale {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(s.mul(x, s.splat(self.factor)))
    }
}

#[inline(always)]
pub(super) fn scale<S: Lanes>(s: S, x: &mut [f32], factor: f32) {
    map_in_place(s, Scale { factor }, x);
}

#[derive(Clone, Copy)]
struct Online<F> {
    max: F,
    sums: [F; 4],
}

impl<S: Lanes> Reduce<S> for Online<S::F> {
    #[inline(always)]
    fn tile(mut self, s: S, x: [S::F; 4]) -> Self {
        let mut max = self.max;
        for x in x {
            max = s.max(max, x);
        }
        let rescale = exp_of_difference(s, s.sub(self.max, max));
        for (sum, x) in self.sums.iter_mut().zip(x) {
            *sum = s.fma(*sum, rescale, exp_of_difference(s, s.sub(x, max)));
        }
        self.max = max;
        self
    }
}

#[inline(always)]
pub(super) fn online_sum<S: Lanes>(s: S, x: &[f32]) -> Pair {
    let start = Online { max: s.splat(f32::MIN), sums: [s.splat(0.0); 4] };
    let Online { max: maxima, sums } = reduce(s, x, start);
    let max = s.reduce_max(maxima);
    let sum = s.add(s.add(sums[0], sums[2]), s.add(sums[1], sums[3]));
    let sum = s.sum(s.mul(sum, exp_of_difference(s, s.sub(maxima, s.splat(max)))));
    Pair { sum: canonical(sum), exponent: canonical(max) }
}

#[derive(Clone, Copy)]
struct Subtract {
    high: f32,
    low: f32,
}

impl Unary for Subtract {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(s.sub(s.sub(x, s.splat(self.high)), s.splat(self.low)))
    }
}

#[inline(always)]
pub(super) fn subtract<S: Lanes>(s: S, x: &[f32], high: f32, low: f32, out: &mut [f32]) {
    map(s, Subtract { high, low }, x, out);
}

#[inline(always)]
pub(super) fn widen_i8<S: Lanes>(s: S, x: &[i8], scale: f32, out: &mut [f32]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    let scale = s.splat(scale);
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.store(s.canonical(s.mul(s.load_i8(chunk), scale)), out);
    }
    if !tail.is_empty() {
        let mut chunk = [0; LANES];
        chunk[..tail.len()].copy_from_slice(tail);
        s.store_partial(s.canonical(s.mul(s.load_i8(&chunk), scale)), out_tail);
    }
}

#[inline(always)]
pub(super) fn narrow_u8<S: ConvertLanes>(s: S, x: &[f32], out: &mut [u8]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    let narrow = |x: S::F, out: &mut [u8; LANES]| {
        let known = s.select(s.is_nan(x), s.splat(0.0), x);
        s.store_u8(s.to_int(s.mul(known, s.splat(255.0))), out);
    };
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        narrow(s.load(chunk), out);
    }
    if !tail.is_empty() {
        let mut chunk = [0; LANES];
        narrow(s.load_partial(tail, 0.0), &mut chunk);
        out_tail.copy_from_slice(&chunk[..tail.len()]);
    }
}
