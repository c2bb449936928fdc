//! Attention, one row and one key at a time: what the other files must equal.

use half::f16;

use super::{
    Attention, AttentionScratch, EMPTY_EXPONENT, I8_SCALES, PAGE_TOKENS, SCORE_LIMIT, key_page_len,
    value_page_len, value_stride,
};
use crate::activation::scalar::capped;
use crate::exp::scalar::{ext_exp, scale_down};
use crate::lanes::{LANES, canonical};

/// An element of a page.
pub(super) trait Element: Copy {
    /// The elements behind the keys, and behind the values, of a page that hold a scale for each token.
    const SCALES: usize = 0;

    fn to_f32(self) -> f32;

    /// The scale of a token.
    fn scale(_: &[Self], _token: usize) -> f32 {
        1.0
    }
}

impl Element for f32 {
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for u16 {
    fn to_f32(self) -> f32 {
        f16::from_bits(self).to_f32()
    }
}

impl Element for i8 {
    const SCALES: usize = I8_SCALES;

    fn to_f32(self) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn scale(scales: &[Self], token: usize) -> f32 {
        f32::from_ne_bytes(scales.as_chunks::<4>().0[token].map(i8::cast_unsigned))
    }
}

/// The multiplications of attention.
pub(super) trait Arithmetic: Copy {
    /// `a * b + c`
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32;
}

/// Exact products, added and rounded once.
#[derive(Clone, Copy)]
pub(super) struct Fused;

impl Arithmetic for Fused {
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// What a row has seen so far.
struct Row {
    exponent: f32,
    sums: [f32; LANES],
    accumulator: Vec<f32>,
}

impl Row {
    fn see<T: Element>(
        &mut self,
        arithmetic: impl Arithmetic,
        input: &Attention<'_, T>,
        row: usize,
        tile: usize,
    ) {
        let page = &input.pages[tile];
        let query = &input.queries[row * input.head_dim..][..input.head_dim];
        let visible = &input.visible[row];
        let first = visible.start.max(tile * PAGE_TOKENS) - tile * PAGE_TOKENS;
        let end = visible.end.min((tile + 1) * PAGE_TOKENS) - tile * PAGE_TOKENS;

        let key_scales = &page.keys[key_page_len(input.head_dim)..];
        let value_scales = &page.values[value_page_len(input.head_dim)..];

        // (m, n) of each key; those out of sight weigh nothing.
        let mut pairs = [(0.0, EMPTY_EXPONENT); PAGE_TOKENS];
        for (j, pair) in pairs.iter_mut().enumerate().take(end).skip(first) {
            let mut dot = 0.0f32;
            for (d, &q) in query.iter().enumerate() {
                let key = page.keys[d * PAGE_TOKENS + j].to_f32();
                dot = arithmetic.multiply_add(q, key, dot);
            }
            let mut score = dot * T::scale(key_scales, j) * input.scale;
            if let Some(cap) = input.soft_cap {
                score = capped(score, cap);
            }
            *pair = ext_exp(score.clamp(-SCORE_LIMIT, SCORE_LIMIT));
        }
        let exponent =
            pairs.iter().fold(self.exponent, |max, &(_, n)| if max > n { max } else { n });
        let rescale = scale_down(1.0, self.exponent - exponent);
        self.exponent = exponent;

        let p = pairs.map(|(m, n)| scale_down(m, n - exponent));
        for (l, sum) in self.sums.iter_mut().enumerate() {
            *sum = sum.mul_add(rescale, (p[l] + p[l + 32]) + (p[l + 16] + p[l + 48]));
        }
        for (d, accumulator) in self.accumulator.iter_mut().enumerate() {
            *accumulator *= rescale;
            for (j, p) in p.iter().enumerate().take(end).skip(first) {
                let value = page.values[j * value_stride(input.head_dim) + d].to_f32();
                let weight = p * T::scale(value_scales, j);
                *accumulator = arithmetic.multiply_add(weight, value, *accumulator);
            }
        }
    }

    fn finish(self, sink: Option<f32>, out: &mut [f32]) {
        let mut sums = self.sums;
        for half in [8, 4, 2, 1] {
            for l in 0..half {
                sums[l] += sums[l + half];
            }
        }
        let (rescale, sum) = merge_sink(self.exponent, sums[0], sink);
        for (out, accumulator) in out.iter_mut().zip(self.accumulator) {
            *out = if sum == 0.0 { 0.0 } else { canonical(accumulator * rescale / sum) };
        }
    }
}

/// The factor of the accumulator and the denominator, once the sink has joined the sum of a row.
#[inline(always)]
pub(super) fn merge_sink(exponent: f32, sum: f32, sink: Option<f32>) -> (f32, f32) {
    let Some(sink) = sink else { return (1.0, sum) };
    let (m, n) = ext_exp(sink.clamp(-SCORE_LIMIT, SCORE_LIMIT));
    let common = if exponent > n { exponent } else { n };
    let rescale = scale_down(1.0, exponent - common);
    (rescale, sum.mul_add(rescale, scale_down(m, n - common)))
}

pub(super) fn attention<T: Element>(
    input: &Attention<'_, T>,
    _: &mut AttentionScratch,
    out: &mut [f32],
) {
    attention_with(Fused, input, out);
}

pub(super) fn attention_with<T: Element>(
    arithmetic: impl Arithmetic,
    input: &Attention<'_, T>,
    out: &mut [f32],
) {
    for (index, out) in out.chunks_exact_mut(input.head_dim).enumerate() {
        let mut row = Row {
            exponent: EMPTY_EXPONENT,
            sums: [0.0; LANES],
            accumulator: vec![0.0; input.head_dim],
        };
        let visible = &input.visible[index];
        if !visible.is_empty() {
            for tile in visible.start / PAGE_TOKENS..visible.end.div_ceil(PAGE_TOKENS) {
                row.see(arithmetic, input, index, tile);
            }
        }
        row.finish(input.sinks.get(index).copied(), out);
    }
}

/// One token of a page of i8: `scale = amax / 127`, codes to nearest, ties to even. What is not finite makes the scale NaN; magnitudes below
/// 2^-100 count as zeros. `place` says where an element goes.
pub(super) fn quantize_token(
    x: &[f32],
    slot: usize,
    elements: &mut [i8],
    scales: &mut [i8],
    place: impl Fn(usize) -> usize,
) {
    /// Added to a number below 2^22 it leaves the nearest integer in the last bits, ties to even.
    const ROUND: f32 = 12_582_912.0;
    let mut amax = 0.0f32;
    let mut finite = true;
    for x in x {
        amax = if x.abs() > amax { x.abs() } else { amax };
        finite &= x.is_finite();
    }
    let usable = finite && amax >= f32::from_bits(27 << 23);
    let factor = if usable { 127.0 / amax } else { 0.0 };
    for (i, &x) in x.iter().enumerate() {
        let x = if usable { x } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, reason = "an integer of at most 127")]
        let code = (x * factor + ROUND - ROUND) as i8;
        elements[place(i)] = code;
    }
    let scale = match (finite, usable) {
        (false, _) => f32::NAN,
        (true, false) => 0.0,
        (true, true) => amax / 127.0,
    };
    scales.as_chunks_mut::<4>().0[slot] = scale.to_ne_bytes().map(u8::cast_signed);
}

pub(super) fn store_kv(
    key: &[f32],
    value: &[f32],
    slot: usize,
    keys: &mut [u16],
    values: &mut [u16],
) {
    for (column, &key) in keys.chunks_exact_mut(PAGE_TOKENS).zip(key) {
        column[slot] = f16::from_f32(canonical(key)).to_bits();
    }
    let stride = value_stride(value.len());
    let row = &mut values[slot * stride..][..stride];
    row.fill(0);
    for (out, &value) in row.iter_mut().zip(value) {
        *out = f16::from_f32(canonical(value)).to_bits();
    }
}
