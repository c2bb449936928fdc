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
    let quad = s.bits(s.load(&codes.map(f32::from_bits)));
    let low = s.splat_i(0xFF);
    let codes = [quad, s.sar_i::<8>(quad), s.sar_i::<16>(quad), s.sar_i::<24>(quad)];
    let codes = codes.map(|code| s.and_i(code, low));
    match weights.linear {
        Some(Linear { flip, factor, offset }) => {
            let (factor, offset) = (s.splat(factor), s.splat(offset));
            codes.map(|code| s.fma(s.to_float(s.xor_i(code, s.splat_i(flip))), factor, offset))
        }
        None if weights.spec.codes.bits() <= 4 => {
            let (table, _) = weights.values.as_chunks::<16>();
            codes.map(|code| s.look_up_16(&table[0], code))
        }
        None => codes.map(|code| s.look_up_256(weights.values, code)),
    }
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
    let f16 = |bytes: &[u8], index: usize| {
        let (halves, _) = bytes[2 * TILE_ROWS * index..].as_chunks::<2>();
        s.load_f16(&std::array::from_fn(|row| u16::from_le_bytes(halves[row])))
    };
    let floats = |index: usize| {
        let (floats, _) = header[4 * TILE_ROWS * index..].as_chunks::<4>();
        s.load(&std::array::from_fn(|row| f32::from_le_bytes(floats[row])))
    };
    let bytes = |index: usize, number: fn(u8) -> f32| {
        let bytes = &scales[TILE_ROWS * index..][..TILE_ROWS];
        s.load(&std::array::from_fn(|row| number(bytes[row])))
    };
    let signed = |byte: u8| f32::from(byte.cast_signed());
    let none = s.splat(0.0);
    match spec.scales {
        Scales::F16 { .. } => (f16(header, 0), none),
        Scales::F16Minimum => (f16(header, 0), f16(header, 1)),
        Scales::F16Halves => (f16(scales, half), none),
        Scales::PowerOfTwo => (bytes(0, power_of_two), none),
        Scales::SuperI8 => (s.mul(f16(header, 0), bytes(0, signed)), none),
        Scales::SuperI8Halves => (s.mul(f16(header, 0), bytes(half, signed)), none),
        Scales::SuperU8Minimum => {
            (s.mul(f16(header, 0), bytes(0, f32::from)), s.mul(f16(header, 1), bytes(1, f32::from)))
        }
        Scales::SuperU4MinimumHalves => (
            s.mul(f16(header, 0), bytes(half, |byte| f32::from(byte & 15))),
            s.mul(f16(header, 1), bytes(half, |byte| f32::from(byte >> 4))),
        ),
        Scales::Grouped | Scales::GroupedHalves => {
            let Grouping { wide, minimum, .. } = spec.grouping;
            let number = |index: usize| if wide { floats(index) } else { f16(header, index) };
            let halves = if spec.scales.has_halves() { 2 } else { 1 };
            let scale = number(half);
            let minimum = match minimum {
                Minimum::None => none,
                Minimum::Number => number(halves + half),
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
