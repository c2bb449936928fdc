//! AVX-512 VBMI: a register is one byte of codes of 64 rows, two are a table.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::activations::{ActivationBlock, PANEL, panel_width};
use super::super::avx512::load_scales;
use super::super::layout::{BLOCK, Codes, LayoutSpec, TILE_ROWS, VECTOR};
use super::super::{Block, Layout, Product};
use super::{BASE, ByteTable, ENTRIES, FourVectors, TILES, missing, place, terms};

/// Bytes of tables that are used again and again before the next ones: half of the first-level cache.
const TABLE_BYTES: usize = 1 << 14;

/// Look-ups that are added as bytes.
const LOOK_UPS: usize = 4;

/// See [`super`].
///
/// # Safety
/// As [`super::ByteLutFn`] says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
pub(super) unsafe fn matmul<L: Layout>(
    product: &Product<ActivationBlock>,
    tables: *const ByteTable,
) {
    let groups = const { 4 * L::SPEC.codes.bits() as usize };
    let depth = TABLE_BYTES / (groups * size_of::<ByteTable>());
    for token in 0..product.tokens {
        for first in (0..product.blocks).step_by(depth) {
            let blocks = first..(first + depth).min(product.blocks);
            for four in 0..product.tiles / TILES {
                // SAFETY: the product is valid, and has this token, these tiles and these blocks.
                unsafe { four_tiles::<L>(product, tables, token, four, blocks.clone()) };
            }
        }
    }
}

/// Adds some blocks of four tiles to what is there, or to nothing where they are the first.
///
/// # Safety
/// `product` is valid and has this token, these tiles and these blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,fma,f16c")]
unsafe fn four_tiles<L: Layout>(
    product: &Product<ActivationBlock>,
    tables: *const ByteTable,
    token: usize,
    four: usize,
    blocks: Range<usize>,
) {
    let groups = const { 4 * L::SPEC.codes.bits() as usize };
    // SAFETY: the product has a specification, which outlives it.
    let of_product = unsafe { &*product.spec };
    let spec: &LayoutSpec =
        if const { L::SPEC.scales.is_grouped() } { of_product } else { const { &L::SPEC } };
    let has_minimums = spec.has_minimums();
    let four_bytes = TILES * product.tile_bytes;
    let weights = product.weights.wrapping_add(four * four_bytes);
    let first_row = four * TILES * TILE_ROWS;
    let out = product.out.wrapping_add(token * product.out_stride + first_row);
    let rows: [__mmask16; TILES] = std::array::from_fn(|tile| {
        let rows = (product.rows - first_row).saturating_sub(tile * TILE_ROWS).min(TILE_ROWS);
        ((1u32 << rows) - 1) as __mmask16
    });
    let panel = token / PANEL * PANEL;
    let width = panel_width(product.tokens, panel);

    let mut acc = [_mm512_setzero_ps(); TILES];
    if blocks.start > 0 {
        for tile in 0..TILES {
            let at = out.wrapping_add(tile * TILE_ROWS);
            // SAFETY: these rows of the token are ours, and were written for the blocks before.
            acc[tile] = unsafe { _mm512_maskz_loadu_ps(rows[tile], at) };
        }
    }
    for index in blocks {
        let at = panel * product.blocks + index * width + token - panel;
        // SAFETY: the product has this block of activations and its tables.
        let (activations, tables) =
            unsafe { (&*product.activations.add(at), tables.add(at * groups)) };
        let codes = weights.wrapping_add(TILES * spec.block_offset(index));
        for group in 0..groups {
            // The same block of the next tiles: they follow at a distance that no prefetcher guesses.
            _mm_prefetch::<_MM_HINT_T0>(codes.wrapping_add(four_bytes + group * VECTOR).cast());
        }
        let start = -missing(spec.codes) * activations.minus_sum;
        // SAFETY: there are that many groups of codes and tables.
        let dots = unsafe { look_up(groups, codes, tables, start) };
        let header = weights.wrapping_add(TILES * spec.header_offset(index));
        for tile in 0..TILES {
            let block = Block {
                spec: product.spec,
                header: header.wrapping_add(tile * spec.header_bytes()),
                starts_run: true,
                phase: 0,
                codes,
                activations,
            };
            // SAFETY: the header is that of a tile, and these layouts have no other scales.
            let scales = unsafe { load_scales::<L>(&block) };
            let dot = match const { L::SPEC.codes } {
                Codes::Bipolar => dots[tile],
                _ => _mm512_srai_epi32::<1>(dots[tile]),
            };
            let scale = _mm512_mul_ps(scales.scale[0], _mm512_set1_ps(activations.scale));
            acc[tile] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, acc[tile]);
            if has_minimums {
                let sum = _mm512_set1_ps(activations.scaled_sum);
                acc[tile] = _mm512_fmadd_ps(scales.minimum[0], sum, acc[tile]);
            }
        }
    }
    for tile in 0..TILES {
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(acc[tile], acc[tile]);
        let acc = _mm512_mask_mov_ps(acc[tile], nan, _mm512_set1_ps(f32::NAN));
        let at = out.wrapping_add(tile * TILE_ROWS);
        // SAFETY: these rows of the token may be written.
        unsafe { _mm512_mask_storeu_ps(at, rows[tile], acc) };
    }
}

/// `start` + Σ ±T of four times 16 rows.
///
/// # Safety
/// There are `groups` vectors of codes and tables.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512vbmi")]
unsafe fn look_up(
    groups: usize,
    codes: *const u8,
    tables: *const ByteTable,
    start: i32,
) -> [__m512i; TILES] {
    let weights = 1 | i32::from(BASE) << 8;
    let (even, odd) = (_mm512_set1_epi32(weights), _mm512_set1_epi32(weights << 16));
    let zero = _mm512_setzero_si512();
    let mut sums = [_mm512_set1_epi32(start); TILES];
    for first in (0..groups).step_by(LOOK_UPS) {
        let (mut low, mut high) = (zero, zero);
        for group in first..first + LOOK_UPS {
            // SAFETY: there are these codes and this table, of two times two registers.
            let (index, table) = unsafe {
                (_mm512_loadu_si512(codes.add(group * VECTOR).cast()), &*tables.add(group))
            };
            let negative = _mm512_movepi8_mask(index);
            let entry = |table: &[i8; ENTRIES]| {
                // SAFETY: a table has 128 bytes.
                let [first, second] =
                    [0, 64].map(|at| unsafe { _mm512_loadu_si512(table.as_ptr().add(at).cast()) });
                let entry = _mm512_permutex2var_epi8(first, index, second);
                _mm512_mask_sub_epi8(entry, negative, zero, entry)
            };
            low = _mm512_add_epi8(low, entry(&table.low));
            high = _mm512_add_epi8(high, entry(&table.high));
        }
        let (first, second) = (_mm512_unpacklo_epi8(low, high), _mm512_unpackhi_epi8(low, high));
        sums[0] = _mm512_dpbusd_epi32(sums[0], even, first);
        sums[1] = _mm512_dpbusd_epi32(sums[1], odd, first);
        sums[2] = _mm512_dpbusd_epi32(sums[2], even, second);
        sums[3] = _mm512_dpbusd_epi32(sums[3], odd, second);
    }
    sums
}

/// See [`super::TablesFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn tables(codes: &[i8; BLOCK], tables: &mut [ByteTable]) {
    let bits = tables.len() / 4;
    let masks = [0xAAAA_AAAA, 0xCCCC_CCCC, 0xF0F0_F0F0, 0xFF00_FF00, 0xFFFF_0000];
    for (group, table) in tables.iter_mut().enumerate() {
        let (first, steps) = terms(codes, bits, group);
        let mut entries = _mm512_set1_epi16(first);
        for (mask, &step) in masks.into_iter().zip(&steps) {
            entries = _mm512_mask_add_epi16(entries, mask, entries, _mm512_set1_epi16(step));
        }
        for quarter in 0..4 {
            let bits_5_and_6 = [0, steps[5], steps[6], steps[5] + steps[6]][quarter];
            let entries = _mm512_add_epi16(entries, _mm512_set1_epi16(bits_5_and_6));
            let high = _mm512_mulhrs_epi16(entries, _mm512_set1_epi16(546));
            let low = _mm512_mullo_epi16(high, _mm512_set1_epi16(BASE));
            let low = _mm512_sub_epi16(entries, low);
            let at = 32 * quarter;
            // SAFETY: both halves of a table have four times 32 bytes.
            unsafe {
                let (low_out, high_out) = (&raw mut table.low[at], &raw mut table.high[at]);
                _mm256_storeu_si256(low_out.cast(), _mm512_cvtepi16_epi8(low));
                _mm256_storeu_si256(high_out.cast(), _mm512_cvtepi16_epi8(high));
            }
        }
    }
}

/// For each tile, where among two groups the bytes of its vector are.
static PLACES: [[u8; VECTOR]; TILES] = {
    let mut places = [[0; VECTOR]; TILES];
    let mut at = 0;
    while at < TILES * VECTOR {
        let (tile, byte) = (at / VECTOR, at % VECTOR);
        places[tile][byte] = (byte % 2 * VECTOR + place(tile, byte / 4)) as u8;
        at += 1;
    }
    places
};

/// See [`super::QuadsFn`].
///
/// # Safety
/// As that says.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn quads(groups: &FourVectors, vectors: &mut [[u8; VECTOR]; TILES]) {
    let mut codes = [_mm512_setzero_si512(); 4];
    for (group, codes) in codes.iter_mut().enumerate() {
        // SAFETY: there are four groups of 64 bytes.
        let index = unsafe { _mm512_loadu_si512(groups.as_ptr().add(group * VECTOR).cast()) };
        let positive = _mm512_xor_si512(index, _mm512_set1_epi8(i8::MIN));
        let negative = _mm512_xor_si512(index, _mm512_set1_epi8(-1));
        *codes = _mm512_mask_mov_epi8(positive, _mm512_movepi8_mask(index), negative);
    }
    for (places, vector) in PLACES.iter().zip(vectors) {
        // SAFETY: places are 64 bytes.
        let places = unsafe { _mm512_loadu_si512(places.as_ptr().cast()) };
        let first = _mm512_permutex2var_epi8(codes[0], places, codes[1]);
        let second = _mm512_permutex2var_epi8(codes[2], places, codes[3]);
        // Columns 0 and 1 of each four are of the first two groups.
        let bytes = _mm512_mask_mov_epi16(first, 0xAAAA_AAAA, second);
        // SAFETY: a vector is 64 bytes.
        unsafe { _mm512_storeu_si512(vector.as_mut_ptr().cast(), bytes) };
    }
}
