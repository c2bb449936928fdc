//! A row is a lane. The codes of a block are unpacked into a buffer, then columns are multiplied one after the other.

use super::super::codes::{TRIT_FIELDS, for_each_piece, low_bits, trit_place};
use super::super::layout::{
    BLOCK, Codes, Grouping, LayoutSpec, Minimum, Scales, TILE_ROWS, VECTOR,
};
use super::super::{Product, Step};
use super::CHAINS;
use crate::lanes::{ByteTable, LANES, Lanes};

/// The codes of a block: byte j of a lane of `[quad]` is that of column 4 · quad + j.
type Quads<S> = [<S as Lanes>::I; BLOCK / 4];

/// What the four columns of a quad mean. Types, since closures would not be compiled with the features of their caller.
trait Meaning: Copy {
    fn of<S: Lanes>(self, s: S, quad: S::I) -> [S::F; 4];
}

/// Codes of up to 4 bits.
#[derive(Clone, Copy)]
struct Nibbles<'a>(&'a [f32; 16]);

/// Unsigned integers minus their zero point.
#[derive(Clone, Copy)]
struct Unsigned(f32);

/// Signed bytes.
#[derive(Clone, Copy)]
struct Signed;

/// Any numbers.
#[derive(Clone, Copy)]
struct Numbers<'a>(&'a ByteTable);

impl Meaning for Nibbles<'_> {
    #[inline(always)]
    fn of<S: Lanes>(self, s: S, quad: S::I) -> [S::F; 4] {
        [
            s.look_up_16(self.0, quad),
            s.look_up_16(self.0, s.sar_i::<8>(quad)),
            s.look_up_16(self.0, s.sar_i::<16>(quad)),
            s.look_up_16(self.0, s.sar_i::<24>(quad)),
        ]
    }
}

impl Meaning for Unsigned {
    #[inline(always)]
    fn of<S: Lanes>(self, s: S, quad: S::I) -> [S::F; 4] {
        let (byte, zero) = (s.splat_i(0xFF), s.splat(self.0));
        [
            s.sub(s.to_float(s.and_i(quad, byte)), zero),
            s.sub(s.to_float(s.and_i(s.sar_i::<8>(quad), byte)), zero),
            s.sub(s.to_float(s.and_i(s.sar_i::<16>(quad), byte)), zero),
            s.sub(s.to_float(s.and_i(s.sar_i::<24>(quad), byte)), zero),
        ]
    }
}

impl Meaning for Signed {
    #[inline(always)]
    fn of<S: Lanes>(self, s: S, quad: S::I) -> [S::F; 4] {
        [
            s.to_float(s.sar_i::<24>(s.shl_i::<24>(quad))),
            s.to_float(s.sar_i::<24>(s.shl_i::<16>(quad))),
            s.to_float(s.sar_i::<24>(s.shl_i::<8>(quad))),
            s.to_float(s.sar_i::<24>(quad)),
        ]
    }
}

impl Meaning for Numbers<'_> {
    #[inline(always)]
    fn of<S: Lanes>(self, s: S, quad: S::I) -> [S::F; 4] {
        s.look_up_bytes(self.0, quad)
    }
}

/// See [`super`].
#[inline(always)]
pub(super) fn matmul<S: Lanes>(s: S, product: &Product<f32>) {
    // SAFETY: the product has a specification and values, which outlive it.
    let (spec, values) = unsafe { (&*product.spec, &*product.values) };
    match spec.codes {
        codes if codes.bits() <= 4 => {
            let (tables, _) = values.as_chunks::<16>();
            with_meaning(s, Nibbles(&tables[0]), spec, product);
        }
        Codes::Unsigned { zero_point, .. } => {
            with_meaning(s, Unsigned(f32::from(zero_point)), spec, product);
        }
        Codes::Signed8 => with_meaning(s, Signed, spec, product),
        _ => with_meaning(s, Numbers(&ByteTable::new(values)), spec, product),
    }
}

#[inline(always)]
fn with_meaning<S: Lanes>(s: S, meaning: impl Meaning, spec: &LayoutSpec, product: &Product<f32>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let tile = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        match step.tokens {
            4 => tokens::<S, 4>(s, meaning, spec, tile, &step),
            2 => tokens::<S, 2>(s, meaning, spec, tile, &step),
            _ => tokens::<S, 1>(s, meaning, spec, tile, &step),
        }
    }
}

#[inline(always)]
fn tokens<S: Lanes, const T: usize>(
    s: S,
    meaning: impl Meaning,
    spec: &LayoutSpec,
    tile: &[u8],
    step: &Step<f32>,
) {
    let quads_of_span = if spec.scales.has_halves() { BLOCK / 8 } else { BLOCK / 4 };
    let has_minimums = spec.has_minimums();
    let zero = s.splat(0.0);
    let mut y = [zero; T];
    let mut codes: Quads<S> = [s.splat_i(0); BLOCK / 4];
    let quads = step.blocks / CHAINS;
    for first in (0..quads).step_by(quads_of_span) {
        let block = first / (BLOCK / 4);
        let half = first % (BLOCK / 4) / quads_of_span;
        if half == 0 {
            unpack(s, spec, tile, block, &mut codes);
        }
        let (scale, minimum) = scales(s, spec, tile, block, half);
        let mut dot = [[zero; CHAINS]; T];
        let mut sum = [[0.0f32; CHAINS]; T];
        for quad in first..(first + quads_of_span).min(quads) {
            let values = meaning.of(s, codes[quad % (BLOCK / 4)]);
            for (j, &value) in values.iter().enumerate() {
                let x = step.activations.wrapping_add((CHAINS * quad + j) * step.panel);
                // SAFETY: the panels hold `blocks` numbers of each token, and those of the step are neighbours.
                let x = unsafe { &*x.cast::<[f32; T]>() };
                for t in 0..T {
                    dot[t][j] = s.fma(value, s.splat(x[t]), dot[t][j]);
                    if has_minimums {
                        sum[t][j] += x[t];
                    }
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

/// The codes of a block.
#[inline(always)]
fn unpack<S: Lanes>(s: S, spec: &LayoutSpec, tile: &[u8], block: usize, out: &mut Quads<S>) {
    if let Codes::Trits = spec.codes {
        unpack_trits(s, &tile[spec.block_offset(block)..], spec.phase(block), out);
        return;
    }
    let (vectors, _) = tile[spec.block_offset(block)..][..spec.code_bytes()].as_chunks::<VECTOR>();
    *out = [s.splat_i(0); BLOCK / 4];
    match spec.codes.bits() {
        1 => unpack_bits::<S, 1>(s, vectors, out),
        2 => unpack_bits::<S, 2>(s, vectors, out),
        3 => unpack_bits::<S, 3>(s, vectors, out),
        4 => unpack_bits::<S, 4>(s, vectors, out),
        5 => unpack_bits::<S, 5>(s, vectors, out),
        6 => unpack_bits::<S, 6>(s, vectors, out),
        7 => unpack_bits::<S, 7>(s, vectors, out),
        _ => unpack_bits::<S, 8>(s, vectors, out),
    }
}

/// The codes of a block of `BITS` bits.
#[inline(always)]
fn unpack_bits<S: Lanes, const BITS: u32>(s: S, vectors: &[[u8; VECTOR]], out: &mut Quads<S>) {
    for_each_piece!(BITS, |piece| {
        let words = load_words(s, &vectors[piece.vector]);
        let shifted = shift_right(s, words, piece.from.cast_signed() - piece.to.cast_signed());
        let mask = s.splat_i((piece.mask() << piece.to).cast_signed());
        let out = &mut out[piece.quad];
        *out = s.or_i(*out, s.and_i(shifted, mask));
    });
}

#[inline(always)]
fn unpack_trits<S: Lanes>(s: S, vectors: &[u8], phase: usize, out: &mut Quads<S>) {
    let mut fields = [[0; VECTOR]; 2];
    let mut unpacked = None;
    for quad in 0..BLOCK / 4 {
        let (vector, digit) = trit_place(phase, quad);
        if unpacked != Some(vector) {
            unpacked = Some(vector);
            for (index, &byte) in vectors[vector * VECTOR..][..VECTOR].iter().enumerate() {
                fields[0][index] = TRIT_FIELDS[0][usize::from(byte)];
                fields[1][index] = TRIT_FIELDS[1][usize::from(byte)];
            }
        }
        let words = load_words(s, &fields[digit / 4]);
        let digits = match digit {
            1 => s.sar_i::<2>(words),
            2 => s.sar_i::<4>(words),
            3 => s.sar_i::<6>(words),
            _ => words,
        };
        out[quad] = s.and_i(digits, s.splat_i(low_bits(2).cast_signed()));
    }
}

/// Sixteen words as lanes.
#[inline(always)]
fn load_words<S: Lanes>(s: S, bytes: &[u8; VECTOR]) -> S::I {
    let (words, _) = bytes.as_chunks::<4>();
    let mut bits = [0.0; LANES];
    for row in 0..LANES {
        bits[row] = f32::from_le_bytes(words[row]);
    }
    s.bits(s.load(&bits))
}

/// Shifts right, or left where `by` is negative; bits that cross into another byte are for the caller to mask.
#[inline(always)]
fn shift_right<S: Lanes>(s: S, x: S::I, by: i32) -> S::I {
    match by {
        1 => s.sar_i::<1>(x),
        2 => s.sar_i::<2>(x),
        3 => s.sar_i::<3>(x),
        4 => s.sar_i::<4>(x),
        5 => s.sar_i::<5>(x),
        6 => s.sar_i::<6>(x),
        7 => s.sar_i::<7>(x),
        -1 => s.shl_i::<1>(x),
        -2 => s.shl_i::<2>(x),
        -3 => s.shl_i::<3>(x),
        -4 => s.shl_i::<4>(x),
        -5 => s.shl_i::<5>(x),
        -6 => s.shl_i::<6>(x),
        _ => x,
    }
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
    let none = s.splat(0.0);
    match spec.scales {
        Scales::F16 { .. } => (f16(s, header, 0), none),
        Scales::F16Minimum => (f16(s, header, 0), f16(s, header, 1)),
        Scales::F16Halves => (f16(s, scales, half), none),
        Scales::PowerOfTwo => (power_of_two(s, unsigned(s, scales, 0)), none),
        Scales::SuperI8 => (s.mul(f16(s, header, 0), signed(s, scales, 0)), none),
        Scales::SuperI8Halves => (s.mul(f16(s, header, 0), signed(s, scales, half)), none),
        Scales::SuperU8Minimum => (
            s.mul(f16(s, header, 0), s.to_float(unsigned(s, scales, 0))),
            s.mul(f16(s, header, 1), s.to_float(unsigned(s, scales, 1))),
        ),
        Scales::SuperU4MinimumHalves => {
            let bytes = unsigned(s, scales, half);
            let (low, high) = (s.and_i(bytes, s.splat_i(15)), s.sar_i::<4>(bytes));
            (s.mul(f16(s, header, 0), s.to_float(low)), s.mul(f16(s, header, 1), s.to_float(high)))
        }
        Scales::Grouped | Scales::GroupedHalves => {
            let Grouping { wide, minimum, .. } = spec.grouping;
            let halves = if spec.scales.has_halves() { 2 } else { 1 };
            let scale = number(s, wide, header, half);
            let minimum = match minimum {
                Minimum::None => none,
                Minimum::Number => number(s, wide, header, halves + half),
                Minimum::ZeroPoint => {
                    let zeros = &header[spec.grouping.number_bytes() * halves * TILE_ROWS..];
                    s.mul(s.sub(none, signed(s, zeros, half)), scale)
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

/// Sixteen signed bytes.
#[inline(always)]
fn signed<S: Lanes>(s: S, bytes: &[u8], index: usize) -> S::F {
    let bytes = &bytes[TILE_ROWS * index..][..TILE_ROWS];
    let mut signed = [0; LANES];
    for row in 0..LANES {
        signed[row] = bytes[row].cast_signed();
    }
    s.load_i8(&signed)
}

/// Sixteen unsigned bytes.
#[inline(always)]
fn unsigned<S: Lanes>(s: S, bytes: &[u8], index: usize) -> S::I {
    s.and_i(s.to_int(signed(s, bytes, index)), s.splat_i(0xFF))
}

/// 2^(exponent − 128), as [`super::super::layout::power_of_two`].
#[inline(always)]
fn power_of_two<S: Lanes>(s: S, exponent: S::I) -> S::F {
    let normal = s.float_of_bits(s.shl_i::<23>(s.sub_i(exponent, s.splat_i(1))));
    let exponent = s.to_float(exponent);
    let (least, second) =
        (s.splat(f32::from_bits(0x0020_0000)), s.splat(f32::from_bits(0x0040_0000)));
    let subnormal = s.select(s.lt(exponent, s.splat(1.0)), least, second);
    s.select(s.lt(exponent, s.splat(2.0)), subnormal, normal)
}
