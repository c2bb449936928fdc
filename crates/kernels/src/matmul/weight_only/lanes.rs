//! A row is a lane. The codes of a block are unpacked into a buffer, then columns are multiplied one after the other.

use super::super::layout::{
    BLOCK, Codes, Grouping, LayoutSpec, Minimum, Scales, TILE_ROWS, VECTOR, for_each_part,
    low_bits, power_of_two,
};
use super::super::{Product, Step};
use super::{CHAINS, Linear};
use crate::lanes::{LANES, Lanes};

/// The codes of a block: byte j of `[quad][row]` is that of column 4 · quad + j.
type Quads = [[u32; TILE_ROWS]; BLOCK / 4];

/// See [`super`].
#[inline(always)]
pub(super) fn matmul<S: Lanes>(s: S, product: &Product<f32>) {
    // SAFETY: the product has a specification and values, which outlive it.
    let (spec, values) = unsafe { (&*product.spec, &*product.values) };
    let weights = Weights { spec, values, linear: Linear::of(spec.codes) };
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        match step.tokens {
            4 => tokens::<S, 4>(s, weights, tile, &step),
            2 => tokens::<S, 2>(s, weights, tile, &step),
            _ => tokens::<S, 1>(s, weights, tile, &step),
        }
    }
}

#[derive(Clone, Copy)]
struct Weights<'a> {
    spec: &'a LayoutSpec,
    values: &'a [f32; 256],
    linear: Option<Linear>,
}

#[inline(always)]
fn tokens<S: Lanes, const T: usize>(s: S, weights: Weights<'_>, tile: &[u8], step: &Step<f32>) {
    let spec = weights.spec;
    let quads_of_span = if spec.scales.has_halves() { BLOCK / 8 } else { BLOCK / 4 };
    let has_minimums = spec.has_minimums();
    let zero = s.splat(0.0);
    let mut y = [zero; T];
    let mut codes: Quads = [[0; TILE_ROWS]; BLOCK / 4];
    let quads = step.blocks / CHAINS;
    for first in (0..quads).step_by(quads_of_span) {
        let block = first / (BLOCK / 4);
        let half = first % (BLOCK / 4) / quads_of_span;
        if half == 0 {
            unpack(spec, tile, block, &mut codes);
        }
        let (scale, minimum) = scales(s, spec, tile, block, half);
        let mut dot = [[zero; CHAINS]; T];
        let mut sum = [[0.0f32; CHAINS]; T];
        for quad in first..(first + quads_of_span).min(quads) {
            let value = decode(s, weights, &codes[quad % (BLOCK / 4)]);
            for (j, &value) in value.iter().enumerate() {
                let x = step.activations.wrapping_add((CHAINS * quad + j) * step.panel);
                // SAFETY: the panels hold `blocks` numbers of each token, and those of the step are neighbours.
                let x = unsafe { &*x.cast::<[f32; T]>() };
                for t in 0..T {
                    dot[t][j] = s.fma(value, s.splat(x[t]), dot[t][j]);
                    sum[t][j] += x[t];
                }
            }
        }
        for t in 0..T {
            let total = s.add(s.add(dot[t][0], dot[t][1]), s.add(dot[t][2], dot[t][3]));
            y[t] = s.fma(total, scale, y[t]);
            if has_minimums {
                let total = (sum[t][0] + sum[t][1]) + (sum[t][2] + sum[t][3]);
                y[t] = s.fma(minimum, s.splat(total), y[t]);
            }
        }
    }
    for (t, y) in y.into_iter().enumerate() {
        let mut out = [0.0; LANES];
        s.store(s.canonical(y), &mut out);
        // SAFETY: token `t` is one of the step's.
        unsafe { step.store(t, 0, out) };
    }
}

/// What four columns of codes mean.
#[inline(always)]
fn decode<S: Lanes>(s: S, weights: Weights<'_>, codes: &[u32; TILE_ROWS]) -> [S::F; 4] {
    // No closures: they would not be compiled with the features of `s`.
    let quad = load_words(s, codes);
    let low = s.splat_i(0xFF);
    let codes = [
        s.and_i(quad, low),
        s.and_i(s.sar_i::<8>(quad), low),
        s.and_i(s.sar_i::<16>(quad), low),
        s.and_i(s.sar_i::<24>(quad), low),
    ];
    let mut out = [s.splat(0.0); 4];
    if let Some(Linear { flip, factor, offset }) = weights.linear {
        let (flip, factor, offset) = (s.splat_i(flip), s.splat(factor), s.splat(offset));
        for j in 0..4 {
            out[j] = s.fma(s.to_float(s.xor_i(codes[j], flip)), factor, offset);
        }
    } else if weights.spec.codes.bits() <= 4 {
        let (table, _) = weights.values.as_chunks::<16>();
        for j in 0..4 {
            out[j] = s.look_up_16(&table[0], codes[j]);
        }
    } else {
        for j in 0..4 {
            out[j] = s.look_up_256(weights.values, codes[j]);
        }
    }
    out
}

/// Sixteen words as lanes.
#[inline(always)]
fn load_words<S: Lanes>(s: S, words: &[u32; TILE_ROWS]) -> S::I {
    let mut bits = [0.0; LANES];
    for row in 0..LANES {
        bits[row] = f32::from_bits(words[row]);
    }
    s.bits(s.load(&bits))
}

/// The codes of a block.
#[inline(always)]
fn unpack(spec: &LayoutSpec, tile: &[u8], block: usize, out: &mut Quads) {
    if let Codes::Trits = spec.codes {
        for row in 0..TILE_ROWS {
            let codes = spec.codes(tile, block, row);
            let (quads, _) = codes.as_chunks::<4>();
            for (out, quad) in out.iter_mut().zip(quads) {
                out[row] = u32::from_le_bytes(*quad);
            }
        }
        return;
    }
    let codes = &tile[spec.block_offset(block)..][..spec.code_bytes()];
    let vector = |offset: usize| -> [u32; TILE_ROWS] {
        let (words, _) = codes[offset..offset + VECTOR].as_chunks::<4>();
        std::array::from_fn(|row| u32::from_le_bytes(words[row]))
    };
    if spec.codes.bits() == 8 {
        for (quad, out) in out.iter_mut().enumerate() {
            *out = vector(quad * VECTOR);
        }
        return;
    }
    *out = [[0; TILE_ROWS]; BLOCK / 4];
    for_each_part(spec.codes.bits(), |part, position, offset| {
        let fields = (8 / part) as usize;
        let mask = low_bits(part);
        for index in 0..part as usize {
            let words = vector(offset + index * VECTOR);
            for field in 0..fields {
                let shift = part * field as u32;
                for (out, word) in out[index * fields + field].iter_mut().zip(words) {
                    *out |= (word >> shift & mask) << position;
                }
            }
        }
    });
}

/// The scales and minimums of 16 rows in one half of a block.
#[inline(always)]
fn scales<S: Lanes>(
    s: S,
    spec: &LayoutSpec,
    tile: &[u8],
    block: usize,
    half: usize,
) -> (S::F, S::F) {
    let header = &tile[spec.header_offset(block)..][..spec.header_bytes()];
    let scales = if spec.scales.is_grouped() {
        &[]
    } else {
        &tile[spec.block_offset(block)..][..spec.block_bytes()][spec.code_bytes()..]
    };
    let signed: fn(u8) -> f32 = |byte| f32::from(byte.cast_signed());
    let none = s.splat(0.0);
    match spec.scales {
        Scales::F16 { .. } => (f16(s, header, 0), none),
        Scales::F16Minimum => (f16(s, header, 0), f16(s, header, 1)),
        Scales::F16Halves => (f16(s, scales, half), none),
        Scales::PowerOfTwo => (bytes(s, scales, 0, power_of_two), none),
        Scales::SuperI8 => (s.mul(f16(s, header, 0), bytes(s, scales, 0, signed)), none),
        Scales::SuperI8Halves => (s.mul(f16(s, header, 0), bytes(s, scales, half, signed)), none),
        Scales::SuperU8Minimum => (
            s.mul(f16(s, header, 0), bytes(s, scales, 0, f32::from)),
            s.mul(f16(s, header, 1), bytes(s, scales, 1, f32::from)),
        ),
        Scales::SuperU4MinimumHalves => (
            s.mul(f16(s, header, 0), bytes(s, scales, half, |byte| f32::from(byte & 15))),
            s.mul(f16(s, header, 1), bytes(s, scales, half, |byte| f32::from(byte >> 4))),
        ),
        Scales::Grouped | Scales::GroupedHalves => {
            let Grouping { wide, minimum, .. } = spec.grouping;
            let halves = if spec.scales.has_halves() { 2 } else { 1 };
            let scale = number(s, wide, header, half);
            let minimum = match minimum {
                Minimum::None => none,
                Minimum::Number => number(s, wide, header, halves + half),
                Minimum::ZeroPoint => {
                    let zeros = spec.grouping.number_bytes() * halves * TILE_ROWS;
                    let zeros = &header[zeros + half * TILE_ROWS..][..TILE_ROWS];
                    let minus =
                        std::array::from_fn(|row| -f32::from(zeros[row].cast_signed()) + 0.0);
                    s.mul(s.load(&minus), scale)
                }
            };
            (scale, minimum)
        }
    }
}

/// Sixteen f16.
#[inline(always)]
fn f16<S: Lanes>(s: S, bytes: &[u8], index: usize) -> S::F {
    let (halves, _) = bytes[2 * TILE_ROWS * index..].as_chunks::<2>();
    let mut bits = [0; LANES];
    for row in 0..LANES {
        bits[row] = u16::from_le_bytes(halves[row]);
    }
    s.load_f16(&bits)
}

/// Sixteen f32, or f16.
#[inline(always)]
fn number<S: Lanes>(s: S, wide: bool, bytes: &[u8], index: usize) -> S::F {
    if !wide {
        return f16(s, bytes, index);
    }
    let (floats, _) = bytes[4 * TILE_ROWS * index..].as_chunks::<4>();
    let mut numbers = [0.0; LANES];
    for row in 0..LANES {
        numbers[row] = f32::from_le_bytes(floats[row]);
    }
    s.load(&numbers)
}

/// What sixteen bytes stand for.
#[inline(always)]
fn bytes<S: Lanes>(s: S, bytes: &[u8], index: usize, number: fn(u8) -> f32) -> S::F {
    let bytes = &bytes[TILE_ROWS * index..][..TILE_ROWS];
    let mut numbers = [0.0; LANES];
    for row in 0..LANES {
        numbers[row] = number(bytes[row]);
    }
    s.load(&numbers)
}
