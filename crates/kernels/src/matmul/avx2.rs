//! AVX2: a tile is two registers of 8 rows.
//!
//! `vpmaddubsw` adds two products in i16 and saturates. Its unsigned operand is the code; pairs are added up in i16 for as long as the largest
//! code allows ([`run`]), then widened. Codes that need 8 bits go in as their magnitude, at most 128, with their sign moved to the activation:
//! 2 · 128 · 127 < 2¹⁵.

use std::arch::x86_64::*;

use super::activations::ActivationBlock;
use super::codes::{for_each_piece, trit_place};
use super::layout::{Codes, Minimum, Scales, TILE_ROWS, VECTOR};
use super::{Block, Layout, Product, Step, Terms};

/// 3^n: what brings digit n of a byte of trits to the top.
const POWERS: [i16; 5] = [1, 3, 9, 27, 81];

/// How far ahead of the codes in use the next ones are fetched, in bytes.
const PREFETCH: usize = 4096;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[4, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says.
        unsafe {
            match step.tokens {
                4 => tokens::<L, 4>(&step),
                2 => tokens::<L, 2>(&step),
                _ => tokens::<L, 1>(&step),
            }
        }
    }
}

/// # Safety
/// `step` is of a valid product and has `T` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tokens<L: Layout, const T: usize>(step: &Step<ActivationBlock>) {
    let offset = const { if is_signed(L::SPEC.codes) { 0 } else { L::SPEC.codes.offset() } };
    let terms = Terms::<L>::new(step, offset);
    // One token leaves registers for all 16 rows, so that the weights are read in one go.
    let passes: &[&[usize]] = if T == 1 { &[&[0, 1]] } else { &[&[0], &[1]] };
    for &halves in passes {
        let mut acc = [[_mm256_setzero_ps(); T]; 2];
        for block in step.blocks::<L>() {
            if T == 1 {
                prefetch::<L>(&block);
            }
            // SAFETY: the step has `T` tokens.
            let [even, odd] = unsafe { block.activations::<T>() };
            for &half in halves {
                // SAFETY: the block is of a valid product.
                let (codes, scales) = unsafe {
                    if is_signed(const { L::SPEC.codes }) {
                        (load_codes::<L, true>(&block, half), load_scales::<L>(&block, half))
                    } else {
                        (load_codes::<L, false>(&block, half), load_scales::<L>(&block, half))
                    }
                };
                for t in 0..T {
                    let acc = &mut acc[half][t];
                    *acc = accumulate(*acc, &codes, &scales, &terms, [&even[t], &odd[t]]);
                }
            }
        }
        for &half in halves {
            for t in 0..T {
                // SAFETY: token `t` is one of the step's.
                unsafe { store(step, t, half, acc[half][t]) };
            }
        }
    }
}

/// Whether codes go into the dot product with a sign, because as unsigned numbers they would saturate it.
const fn is_signed(codes: Codes) -> bool {
    codes.offset() == 128
}

/// How many results of `vpmaddubsw` can be added in i16.
const fn run(codes: Codes) -> usize {
    let largest = match codes {
        Codes::Unsigned { bits, .. } => (1 << bits) - 1,
        Codes::Bipolar | Codes::Trits => 2,
        Codes::Signed8 | Codes::Table { .. } => 128,
        Codes::Numbers { .. } => 1,
        Codes::Table4(_) if is_signed(codes) => 128,
        Codes::Table4(_) => 31,
    };
    (i16::MAX as usize) / (2 * 127 * largest)
}

/// Adds one block of one token, given twice ([`Block::activations`]).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn accumulate<L: Layout>(
    mut acc: __m256,
    codes: &[__m256i; 8],
    scales: &BlockScales,
    terms: &Terms<L>,
    [block, odd]: [&ActivationBlock; 2],
) -> __m256 {
    let signed = const { is_signed(L::SPEC.codes) };
    let dot = |start: i32, first: usize, quads: usize| {
        let mut dot = _mm256_set1_epi32(start);
        let run = const { run(L::SPEC.codes) };
        for from in (first..first + quads).step_by(run) {
            let mut pairs = _mm256_setzero_si256();
            for quad in from..(from + run).min(first + quads) {
                let four = if quad % 2 == 0 { block.quad(quad) } else { odd.quad(quad) };
                let activations = _mm256_set1_epi32(four);
                let product = if signed {
                    let activations = _mm256_sign_epi8(activations, codes[quad]);
                    _mm256_maddubs_epi16(_mm256_abs_epi8(codes[quad]), activations)
                } else {
                    _mm256_maddubs_epi16(codes[quad], activations)
                };
                pairs = _mm256_add_epi16(pairs, product);
            }
            dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        }
        _mm256_cvtepi32_ps(dot)
    };
    let activation_scale = _mm256_set1_ps(block.scale);
    if const { L::SPEC.scales.has_halves() } {
        for half in 0..2 {
            let dot = dot(terms.half_start(block, half), 4 * half, 4);
            let scale = _mm256_mul_ps(scales.scale[half], activation_scale);
            acc = _mm256_fmadd_ps(dot, scale, acc);
            if terms.has_minimums() {
                let sum = _mm256_set1_ps(block.scaled_half_sum(half));
                acc = _mm256_fmadd_ps(scales.minimum[half], sum, acc);
            }
        }
    } else {
        let dot = dot(terms.start(block), 0, 8);
        let scale = _mm256_mul_ps(scales.scale[0], activation_scale);
        acc = _mm256_fmadd_ps(dot, scale, acc);
        if terms.has_minimums() {
            let sum = _mm256_set1_ps(block.scaled_sum);
            acc = _mm256_fmadd_ps(scales.minimum[0], sum, acc);
        }
    }
    acc
}

/// Asks for a later block.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn prefetch<L: Layout>(block: &Block) {
    for line in (0..const { L::SPEC.block_bytes() }).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(block.codes.wrapping_add(PREFETCH + line).cast());
    }
}

/// Writes 8 rows of one token.
///
/// # Safety
/// `token < step.tokens`, and the step is of a valid product.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn store<A>(step: &Step<A>, token: usize, half: usize, acc: __m256) {
    let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(acc, acc);
    let acc = _mm256_blendv_ps(acc, _mm256_set1_ps(f32::NAN), nan);
    let mut values = [0.0f32; 8];
    // SAFETY: `values` has 8 elements; token and step are as the caller says.
    unsafe {
        _mm256_storeu_ps(values.as_mut_ptr(), acc);
        step.store(token, 8 * half, values);
    }
}

/// Shifts the bits of each byte right, or left where `by` is negative; bits that cross into another byte are for the caller to mask.
#[inline]
#[target_feature(enable = "avx2")]
fn shift_right(x: __m256i, by: i32) -> __m256i {
    match by {
        1 => _mm256_srli_epi16::<1>(x),
        2 => _mm256_srli_epi16::<2>(x),
        3 => _mm256_srli_epi16::<3>(x),
        4 => _mm256_srli_epi16::<4>(x),
        5 => _mm256_srli_epi16::<5>(x),
        6 => _mm256_srli_epi16::<6>(x),
        7 => _mm256_srli_epi16::<7>(x),
        -1 => _mm256_slli_epi16::<1>(x),
        -2 => _mm256_slli_epi16::<2>(x),
        -3 => _mm256_slli_epi16::<3>(x),
        -4 => _mm256_slli_epi16::<4>(x),
        -5 => _mm256_slli_epi16::<5>(x),
        -6 => _mm256_slli_epi16::<6>(x),
        _ => x,
    }
}

/// The codes of rows 8·half to 8·half + 7, a register for each quad: as they are where `SIGNED` and they need 8 bits, else as unsigned operands.
///
/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn load_codes<L: Layout, const SIGNED: bool>(
    block: &Block,
    half: usize,
) -> [__m256i; 8] {
    let codes = const { L::SPEC.codes };
    let load = |vector: usize| {
        let at = block.codes.wrapping_add(vector * VECTOR + half * VECTOR / 2);
        // SAFETY: the codes of a block are that many vectors.
        unsafe { _mm256_loadu_si256(at.cast()) }
    };
    if let Codes::Signed8 = codes {
        let sign = _mm256_set1_epi8(if SIGNED { 0 } else { i8::MIN });
        return std::array::from_fn(|quad| _mm256_xor_si256(load(quad), sign));
    }
    if let Codes::Trits = codes {
        let from = block.codes.wrapping_add(half * VECTOR / 2);
        // SAFETY: the block is of a valid product and has this phase.
        return unsafe {
            match block.phase {
                0 => load_trits::<0>(from),
                1 => load_trits::<1>(from),
                2 => load_trits::<2>(from),
                3 => load_trits::<3>(from),
                _ => load_trits::<4>(from),
            }
        };
    }
    let mut quads = [_mm256_setzero_si256(); 8];
    for_each_piece!(L::SPEC.codes.bits(), |piece| {
        let position = piece.to + codes.position();
        let mask = _mm256_set1_epi32((piece.mask() << position).cast_signed());
        let shifted =
            shift_right(load(piece.vector), piece.from.cast_signed() - position.cast_signed());
        let quad = &mut quads[piece.quad];
        *quad = _mm256_or_si256(*quad, _mm256_and_si256(shifted, mask));
    });
    let table = match codes {
        Codes::Table4(table) => Some(table),
        Codes::Table { .. } => Some(&block.spec::<L>().table),
        _ => None,
    };
    if let Some(table) = table {
        let offset = if SIGNED { 0 } else { const { L::SPEC.codes.offset() } };
        // SAFETY: the table has 16 bytes.
        let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
        let table = _mm_add_epi8(table, _mm_set1_epi8(offset as i8));
        let table = _mm256_broadcastsi128_si256(table);
        quads = quads.map(|indices| _mm256_shuffle_epi8(table, indices));
    }
    quads
}

/// # Safety
/// `weights` is half of the first vector of a block of that phase.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_trits<const PHASE: usize>(weights: *const u8) -> [__m256i; 8] {
    let three = _mm256_set1_epi16(3);
    std::array::from_fn(|quad| {
        let (vector, digit) = trit_place(PHASE, quad);
        // SAFETY: a block has these vectors.
        let x = unsafe { _mm256_loadu_si256(weights.wrapping_add(vector * VECTOR).cast()) };
        // Even bytes and odd ones as fractions of 16 bits: what a multiplication carries out of them is a digit.
        let even = _mm256_slli_epi16::<8>(x);
        let odd = _mm256_andnot_si256(_mm256_set1_epi16(0xFF), x);
        let power = _mm256_set1_epi16(POWERS[digit]);
        let digits = |x| _mm256_mulhi_epu16(_mm256_mullo_epi16(x, power), three);
        _mm256_or_si256(digits(even), _mm256_slli_epi16::<8>(digits(odd)))
    })
}

/// The scales of 8 rows in one block, of each half.
pub(super) struct BlockScales {
    pub(super) scale: [__m256; 2],
    pub(super) minimum: [__m256; 2],
}

/// The scales of rows 8·half to 8·half + 7.
///
/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn load_scales<L: Layout>(block: &Block, half: usize) -> BlockScales {
    let header = block.header;
    let scales = block.codes.wrapping_add(const { L::SPEC.code_bytes() });
    let f16 = |from: *const u8, index: usize| {
        let at = from.wrapping_add(32 * index + 16 * half);
        // SAFETY: the layout has 16 more halves there.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(at.cast()) })
    };
    let bytes = |index: usize| {
        // SAFETY: the layout has 16 more bytes there.
        unsafe { _mm_loadl_epi64(scales.wrapping_add(16 * index + 8 * half).cast()) }
    };
    let unsigned = |index: usize| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes(index)));
    let signed = |index: usize| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes(index)));
    let zero = [_mm256_setzero_ps(); 2];
    let both = |value: __m256| [value; 2];
    match const { L::SPEC.scales } {
        Scales::F16 { .. } => BlockScales { scale: both(f16(header, 0)), minimum: zero },
        Scales::F16Minimum => {
            BlockScales { scale: both(f16(header, 0)), minimum: both(f16(header, 1)) }
        }
        Scales::F16Halves => BlockScales { scale: [f16(scales, 0), f16(scales, 1)], minimum: zero },
        Scales::PowerOfTwo => {
            let exponent = _mm256_cvtepu8_epi32(bytes(0));
            let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponent, _mm256_set1_epi32(1)));
            // 2^-128 and 2^-127.
            let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), exponent);
            let small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponent);
            let scale = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, subnormal, small));
            BlockScales { scale: both(scale), minimum: zero }
        }
        Scales::SuperI8 => {
            BlockScales { scale: both(_mm256_mul_ps(f16(header, 0), signed(0))), minimum: zero }
        }
        Scales::SuperI8Halves => {
            let scale = f16(header, 0);
            let scale = [_mm256_mul_ps(scale, signed(0)), _mm256_mul_ps(scale, signed(1))];
            BlockScales { scale, minimum: zero }
        }
        Scales::SuperU8Minimum => BlockScales {
            scale: both(_mm256_mul_ps(f16(header, 0), unsigned(0))),
            minimum: both(_mm256_mul_ps(f16(header, 1), unsigned(1))),
        },
        Scales::SuperU4MinimumHalves => {
            let (scale, minimum) = (f16(header, 0), f16(header, 1));
            let pair = [0, 1].map(|half| _mm256_cvtepu8_epi32(bytes(half)));
            let low = |x| _mm256_cvtepi32_ps(_mm256_and_si256(x, _mm256_set1_epi32(15)));
            let high = |x| _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(x));
            BlockScales {
                scale: pair.map(|x| _mm256_mul_ps(scale, low(x))),
                minimum: pair.map(|x| _mm256_mul_ps(minimum, high(x))),
            }
        }
        Scales::Grouped | Scales::GroupedHalves => {
            let halves = if const { L::SPEC.scales.has_halves() } { 2 } else { 1 };
            let grouping = block.spec::<L>().grouping;
            let number = |index: usize| {
                if grouping.wide {
                    let at = header.wrapping_add(64 * index + 32 * half);
                    // SAFETY: the header has 16 more f32 there, of which these are 8.
                    unsafe { _mm256_loadu_ps(at.cast()) }
                } else {
                    f16(header, index)
                }
            };
            let zero_points = header.wrapping_add(halves * TILE_ROWS * grouping.number_bytes());
            let minimum = |index: usize, scale: __m256| match grouping.minimum {
                Minimum::None => _mm256_setzero_ps(),
                Minimum::Number => number(halves + index),
                Minimum::ZeroPoint => {
                    let at = zero_points.wrapping_add(16 * index + 8 * half);
                    // SAFETY: the header has 16 more bytes there, of which these are 8.
                    let zero = _mm256_cvtepi8_epi32(unsafe { _mm_loadl_epi64(at.cast()) });
                    let minus = _mm256_sub_epi32(_mm256_setzero_si256(), zero);
                    _mm256_mul_ps(_mm256_cvtepi32_ps(minus), scale)
                }
            };
            let (low, high) = (number(0), number(halves - 1));
            BlockScales {
                scale: [low, high],
                minimum: [minimum(0, low), minimum(halves - 1, high)],
            }
        }
    }
}
