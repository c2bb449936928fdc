//! AVX-512 VNNI: a row is a lane of one register.

use std::arch::x86_64::*;

use super::activations::ActivationBlock;
use super::codes::{TRIT_FIELDS, for_each_piece, trit_place};
use super::layout::{Codes, Minimum, Scales, TILE_ROWS, VECTOR};
use super::{Block, Layout, Product, Step, Terms};

/// How far ahead of the codes in use the next ones are fetched for one or two tokens, in bytes.
const PREFETCH: usize = 8192;

/// Blocks whose activations fill a quarter of a first-level cache of 32 KB.
const BLOCKS_IN_CACHE: usize = 128;

/// See [`super`].
///
/// # Safety
/// As [`Product`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    for step in product.steps(&[8, 4, 3, 2, 1]) {
        // SAFETY: a step of a valid product has as many tokens as it says.
        unsafe {
            match step.tokens {
                8 => tokens::<L, 8>(&step),
                4 => tokens::<L, 4>(&step),
                3 => tokens::<L, 3>(&step),
                2 => tokens::<L, 2>(&step),
                _ => tokens::<L, 1>(&step),
            }
        }
    }
}

/// Repeats a body for each constant `$t` below `$count`, at most 8: the accumulators of a loop that the compiler does not unroll live in memory.
macro_rules! unroll {
    ($t:ident < $count:ident, $body:block) => {
        unroll!($t, $count, $body, 0, 1, 2, 3, 4, 5, 6, 7)
    };
    ($t:ident, $count:ident, $body:block, $($index:literal),*) => {
        $(if $index < $count {
            let $t = $index;
            $body
        })*
    };
}

/// The scales of 16 rows in one block, of each half.
pub(super) struct BlockScales {
    pub(super) scale: [__m512; 2],
    pub(super) minimum: [__m512; 2],
}

/// # Safety
/// `step` is of a valid product and has `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
unsafe fn tokens<L: Layout, const T: usize>(step: &Step<ActivationBlock>) {
    let terms = Terms::<L>::new(step, const { L::SPEC.codes.offset() });
    let zero = [_mm512_setzero_ps(); 2];
    let mut scales = BlockScales { scale: zero, minimum: zero };
    let mut acc = [_mm512_setzero_ps(); T];
    // Narrow weights that stream through the cache beside few activations are best left to the prefetchers of the CPU; many activations are pushed out again
    // and again, and the prefetchers lose their stream (Zen 4, 2 bits from memory, one thread: K = 4096 31 GB/s without and 27 with prefetches, K = 8192 21
    // and 29). From 4 bits on they never do.
    let is_fetched = T <= 2 && const { L::SPEC.codes.bits() < 4 } && step.blocks > BLOCKS_IN_CACHE;
    for block in step.blocks::<L>() {
        if is_fetched {
            for line in (0..const { L::SPEC.block_bytes() }).step_by(64) {
                _mm_prefetch::<_MM_HINT_T0>(block.codes.wrapping_add(PREFETCH + line).cast());
            }
        }
        // SAFETY: the block, its header and the activations of `T` tokens are of a valid product.
        let (codes, [even, odd]) =
            unsafe { (load_codes::<L, T>(&block), block.activations::<T>()) };
        if block.starts_run || !const { L::SPEC.scales.are_in_header() } {
            // SAFETY: as above.
            scales = unsafe { load_scales::<L>(&block) };
        }
        unroll!(t < T, {
            acc[t] = accumulate::<L, T>(acc[t], &codes, &scales, &terms, [&even[t], &odd[t]]);
        });
    }
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: token `t` is one of the step's.
        unsafe { store(step, t, acc) };
    }
}

/// Writes 16 rows of one token, or as many as the step has.
///
/// # Safety
/// `token < step.tokens`, and the step is of a valid product.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store<A>(step: &Step<A>, token: usize, acc: __m512) {
    let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(acc, acc);
    let acc = _mm512_mask_mov_ps(acc, nan, _mm512_set1_ps(f32::NAN));
    let rows = 0xFFFF >> (TILE_ROWS - step.rows);
    // SAFETY: `rows` rows of the token may be written.
    unsafe { _mm512_mask_storeu_ps(step.out.wrapping_add(token * step.out_stride), rows, acc) };
}

/// How many bits further up the codes of odd quads stay, for `tokens` tokens.
///
/// One token: where two fields of a byte are neighbours, both come of one shift, and two chains of products meet in one more. That is 23 instructions instead
/// of 25 for a block of 2 bits (Zen 4, 4096 × 4096 in the cache: 115 instead of 134 µs). With more tokens the shifts are shared, and the two that meet are
/// not.
const fn odd_position(codes: Codes, tokens: usize) -> u32 {
    match codes {
        Codes::Unsigned { .. } | Codes::Bipolar if tokens == 1 => match codes.bits() {
            bits @ 1..=4 => bits,
            _ => 0,
        },
        _ => 0,
    }
}

/// Adds one block of one token, given twice ([`Block::activations`]).
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
fn accumulate<L: Layout, const T: usize>(
    mut acc: __m512,
    codes: &[__m512i; 8],
    scales: &BlockScales,
    terms: &Terms<L>,
    [block, odd]: [&ActivationBlock; 2],
) -> __m512 {
    let dot = |start: i32, quads: std::ops::Range<usize>| {
        let odd_position = const { odd_position(L::SPEC.codes, T) };
        let (mut dot, mut dot_odd) = (_mm512_set1_epi32(start), _mm512_setzero_si512());
        for quad in quads {
            let four = if quad % 2 == 0 { block.quad(quad) } else { odd.quad(quad) };
            let dot = if odd_position > 0 && quad % 2 == 1 { &mut dot_odd } else { &mut dot };
            *dot = _mm512_dpbusd_epi32(*dot, codes[quad], _mm512_set1_epi32(four));
        }
        if odd_position > 0 {
            dot_odd = _mm512_sra_epi32(dot_odd, _mm_cvtsi32_si128(odd_position.cast_signed()));
            dot = _mm512_add_epi32(dot, dot_odd);
        }
        _mm512_cvtepi32_ps(dot)
    };
    let activation_scale = _mm512_set1_ps(block.scale);
    if const { L::SPEC.scales.has_halves() } {
        for half in 0..2 {
            let start = terms.half_start(block, half);
            let scale = _mm512_mul_ps(scales.scale[half], activation_scale);
            acc = _mm512_fmadd_ps(dot(start, 4 * half..4 * half + 4), scale, acc);
            if terms.has_minimums() {
                let sum = _mm512_set1_ps(block.scaled_half_sum(half));
                acc = _mm512_fmadd_ps(scales.minimum[half], sum, acc);
            }
        }
    } else {
        let scale = _mm512_mul_ps(scales.scale[0], activation_scale);
        acc = _mm512_fmadd_ps(dot(terms.start(block), 0..8), scale, acc);
        if terms.has_minimums() {
            let sum = _mm512_set1_ps(block.scaled_sum);
            acc = _mm512_fmadd_ps(scales.minimum[0], sum, acc);
        }
    }
    acc
}

/// Shifts the bits of each byte right, or left where `by` is negative; bits that cross into another byte are for the caller to mask.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift_right(x: __m512i, by: i32) -> __m512i {
    match by {
        1 => _mm512_srli_epi16::<1>(x),
        2 => _mm512_srli_epi16::<2>(x),
        3 => _mm512_srli_epi16::<3>(x),
        4 => _mm512_srli_epi16::<4>(x),
        5 => _mm512_srli_epi16::<5>(x),
        6 => _mm512_srli_epi16::<6>(x),
        7 => _mm512_srli_epi16::<7>(x),
        -1 => _mm512_slli_epi16::<1>(x),
        -2 => _mm512_slli_epi16::<2>(x),
        -3 => _mm512_slli_epi16::<3>(x),
        -4 => _mm512_slli_epi16::<4>(x),
        -5 => _mm512_slli_epi16::<5>(x),
        -6 => _mm512_slli_epi16::<6>(x),
        _ => x,
    }
}

/// The codes of a block as unsigned operands, a register for each quad, those of odd quads [`odd_position`] bits further up.
///
/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn load_codes<L: Layout, const T: usize>(block: &Block) -> [__m512i; 8] {
    let codes = const { L::SPEC.codes };
    let odd_position = const { odd_position(L::SPEC.codes, T) };
    let load = |vector: usize| {
        // SAFETY: the codes of a block are that many vectors.
        unsafe { _mm512_loadu_si512(block.codes.wrapping_add(vector * VECTOR).cast()) }
    };
    if let Codes::Signed8 = codes {
        let sign = _mm512_set1_epi8(i8::MIN);
        return std::array::from_fn(|quad| _mm512_xor_si512(load(quad), sign));
    }
    if let Codes::Trits = codes {
        let from = block.codes;
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
    let mut quads = [_mm512_setzero_si512(); 8];
    for_each_piece!(L::SPEC.codes.bits(), |piece| {
        let position = piece.to + codes.position() + piece.quad as u32 % 2 * odd_position;
        let mask = _mm512_set1_epi32((piece.mask() << position).cast_signed());
        let shifted =
            shift_right(load(piece.vector), piece.from.cast_signed() - position.cast_signed());
        let quad = &mut quads[piece.quad];
        *quad = _mm512_or_si512(*quad, _mm512_and_si512(shifted, mask));
    });
    let table = match codes {
        Codes::Table4(table) => Some(table),
        Codes::Table { .. } => Some(&block.spec::<L>().table),
        _ => None,
    };
    if let Some(table) = table {
        let offset = const { L::SPEC.codes.offset() };
        // SAFETY: the table has 16 bytes.
        let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
        let table = _mm_add_epi8(table, _mm_set1_epi8(offset as i8));
        let table = _mm512_broadcast_i32x4(table);
        quads = quads.map(|indices| _mm512_shuffle_epi8(table, indices));
    }
    quads
}

/// Two look-ups among 256 bytes take a byte of trits apart: arithmetic would need a dozen steps for each digit.
///
/// # Safety
/// `weights` is the first vector of a block of that phase.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
unsafe fn load_trits<const PHASE: usize>(weights: *const u8) -> [__m512i; 8] {
    let two_bits = _mm512_set1_epi8(3);
    std::array::from_fn(|quad| {
        let (vector, digit) = trit_place(PHASE, quad);
        // SAFETY: a block has these vectors.
        let x = unsafe { _mm512_loadu_si512(weights.wrapping_add(vector * VECTOR).cast()) };
        let fields = look_up(&TRIT_FIELDS[digit / 4], x);
        if digit == 4 {
            return fields;
        }
        _mm512_and_si512(shift_right(fields, 2 * digit as i32), two_bits)
    })
}

/// What each byte stands for.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(table: &[u8; 256], x: __m512i) -> __m512i {
    // SAFETY: the table has four times 64 bytes.
    let part = |i: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * i).cast()) };
    let low = _mm512_permutex2var_epi8(part(0), x, part(1));
    let high = _mm512_permutex2var_epi8(part(2), x, part(3));
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high)
}

/// # Safety
/// `block` is of a valid product.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn load_scales<L: Layout>(block: &Block) -> BlockScales {
    let header = block.header;
    let scales = block.codes.wrapping_add(const { L::SPEC.code_bytes() });
    let f16 = |from: *const u8, index: usize| {
        // SAFETY: the layout has 16 more halves there.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(from.wrapping_add(32 * index).cast()) })
    };
    let bytes = |index: usize| {
        // SAFETY: the layout has 16 more bytes there.
        unsafe { _mm_loadu_si128(scales.wrapping_add(16 * index).cast()) }
    };
    let unsigned = |index: usize| _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes(index)));
    let signed = |index: usize| _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes(index)));
    let zero = [_mm512_setzero_ps(); 2];
    let both = |value: __m512| [value; 2];
    match const { L::SPEC.scales } {
        Scales::F16 { .. } => BlockScales { scale: both(f16(header, 0)), minimum: zero },
        Scales::F16Minimum => {
            BlockScales { scale: both(f16(header, 0)), minimum: both(f16(header, 1)) }
        }
        Scales::F16Halves => BlockScales { scale: [f16(scales, 0), f16(scales, 1)], minimum: zero },
        Scales::PowerOfTwo => {
            let exponent = _mm512_cvtepu8_epi32(bytes(0));
            let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(exponent, _mm512_set1_epi32(1)));
            // 2^-128 and 2^-127.
            let subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), exponent);
            let small = _mm512_cmplt_epu32_mask(exponent, _mm512_set1_epi32(2));
            let scale = _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, small, subnormal));
            BlockScales { scale: both(scale), minimum: zero }
        }
        Scales::SuperI8 => {
            let scale = _mm512_mul_ps(f16(header, 0), signed(0));
            BlockScales { scale: both(scale), minimum: zero }
        }
        Scales::SuperI8Halves => {
            let scale = f16(header, 0);
            let scale = [_mm512_mul_ps(scale, signed(0)), _mm512_mul_ps(scale, signed(1))];
            BlockScales { scale, minimum: zero }
        }
        Scales::SuperU8Minimum => BlockScales {
            scale: both(_mm512_mul_ps(f16(header, 0), unsigned(0))),
            minimum: both(_mm512_mul_ps(f16(header, 1), unsigned(1))),
        },
        Scales::SuperU4MinimumHalves => {
            let (scale, minimum) = (f16(header, 0), f16(header, 1));
            let pair = [0, 1].map(|half| _mm512_cvtepu8_epi32(bytes(half)));
            let low = |x| _mm512_cvtepi32_ps(_mm512_and_si512(x, _mm512_set1_epi32(15)));
            let high = |x| _mm512_cvtepi32_ps(_mm512_srli_epi32::<4>(x));
            BlockScales {
                scale: [_mm512_mul_ps(scale, low(pair[0])), _mm512_mul_ps(scale, low(pair[1]))],
                minimum: [
                    _mm512_mul_ps(minimum, high(pair[0])),
                    _mm512_mul_ps(minimum, high(pair[1])),
                ],
            }
        }
        Scales::Grouped | Scales::GroupedHalves => {
            let halves = if const { L::SPEC.scales.has_halves() } { 2 } else { 1 };
            let grouping = block.spec::<L>().grouping;
            let number = |index: usize| {
                if grouping.wide {
                    // SAFETY: the header has 16 more f32 there.
                    unsafe { _mm512_loadu_ps(header.wrapping_add(64 * index).cast()) }
                } else {
                    f16(header, index)
                }
            };
            let zero_points = header.wrapping_add(halves * TILE_ROWS * grouping.number_bytes());
            let minimum = |index: usize, scale: __m512| match grouping.minimum {
                Minimum::None => _mm512_setzero_ps(),
                Minimum::Number => number(halves + index),
                Minimum::ZeroPoint => {
                    let at = zero_points.wrapping_add(16 * index);
                    // SAFETY: the header has 16 more bytes there.
                    let bytes = unsafe { _mm_loadu_si128(at.cast()) };
                    let zero = _mm512_cvtepi8_epi32(bytes);
                    let minus = _mm512_sub_epi32(_mm512_setzero_si512(), zero);
                    _mm512_mul_ps(_mm512_cvtepi32_ps(minus), scale)
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
