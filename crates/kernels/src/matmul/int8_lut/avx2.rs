//! AVX2: a register of nibbles is two groups of 16 rows and two planes, and has the table of a group in both halves.

use std::arch::x86_64::*;

use super::super::avx2::{load_scales, prefetch, store};
use super::super::layout::BLOCK;
use super::super::{Block, Layout, Product, Step};
use super::{GROUP, GROUPS, Int8Tables, SMALLEST, TOP, blocks_per_group, center, doubling};

/// Bytes of nibbles in a register.
const REGISTER: usize = 32;

/// See [`super`].
///
/// # Safety
/// As [`super::TablesFn`] says.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tables(x: &[[f32; BLOCK]], tables: &mut [Int8Tables]) {
    let magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(i32::MAX));
    let mut largest = _mm256_setzero_si256();
    let mut sum = 0.0;
    for (index, x) in x.iter().enumerate() {
        // SAFETY: a block is four registers.
        let x: [_; 4] =
            std::array::from_fn(|i| unsafe { _mm256_loadu_ps(x.as_ptr().wrapping_add(8 * i)) });
        let sums = sums_of_four(x);
        let low_and_high =
            _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps::<1>(sums));
        // Lanes of neighbouring groups are in the other half: these are the sums of eight.
        let halves = _mm_hadd_ps(low_and_high, low_and_high);
        let block_sum = _mm_cvtss_f32(_mm_hadd_ps(halves, halves));
        sum = if index == 0 { block_sum } else { sum + block_sum };
        let sums = sums_of_four(x.map(|x| _mm256_and_ps(x, magnitude)));
        largest = _mm256_max_epu32(largest, _mm256_castps_si256(sums));
    }
    let largest =
        _mm_max_epu32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256::<1>(largest));
    let largest = _mm_max_epu32(largest, _mm_shuffle_epi32::<0b_01_00_11_10>(largest));
    let largest = _mm_max_epu32(largest, _mm_shuffle_epi32::<0b_10_11_00_01>(largest));
    let largest = f32::from_bits(_mm_cvtsi128_si32(largest).cast_unsigned());
    let is_zero = largest < SMALLEST;
    let is_number = largest.is_finite();
    for (tables, x) in tables.iter_mut().zip(x) {
        tables.sum = 0.0;
        if is_zero || !is_number {
            tables.entries = Int8Tables::ZERO.entries;
            tables.half_scale = if is_number { 0.0 } else { f32::NAN };
            continue;
        }
        tables.half_scale = 0.5 * (largest / TOP);
        let factor = _mm256_set1_ps(TOP / largest);
        let (fours, _) = x.as_chunks::<{ 4 * GROUP }>();
        let (entries, _) = tables.entries.as_chunks_mut::<4>();
        for (x, entries) in fours.iter().zip(entries) {
            let (groups, _) = x.as_chunks::<GROUP>();
            let first: [_; 4] = std::array::from_fn(|group| first_entries(&groups[group], factor));
            let even = _mm256_packs_epi32(first[0], first[1]);
            let odd = _mm256_packs_epi32(first[2], first[3]);
            let bytes = _mm256_packs_epi16(even, odd);
            // Entries 0 to 7 of each group side by side.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let bytes = _mm256_permutevar8x32_epi32(bytes, order);
            let reverse = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8,
            ));
            let reversed = _mm256_shuffle_epi8(bytes, reverse);
            let opposite = _mm256_sub_epi8(_mm256_setzero_si256(), reversed);
            // Of groups 0 and 2, and of groups 1 and 3.
            let even = _mm256_unpacklo_epi64(bytes, opposite);
            let odd = _mm256_unpackhi_epi64(bytes, opposite);
            let first = _mm256_permute2x128_si256::<0x20>(even, odd);
            let last = _mm256_permute2x128_si256::<0x31>(even, odd);
            for (entries, two) in entries.chunks_exact_mut(2).zip([first, last]) {
                // SAFETY: two tables are a register.
                unsafe { _mm256_storeu_si256(entries.as_mut_ptr().cast(), two) };
            }
        }
    }
    tables[0].sum = sum;
}

/// Pairwise sums of the eight groups of a block: 0, 2, 4, 6, then 1, 3, 5, 7.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of_four(x: [__m256; 4]) -> __m256 {
    _mm256_hadd_ps(_mm256_hadd_ps(x[0], x[1]), _mm256_hadd_ps(x[2], x[3]))
}

/// Entries 0 to 7 of a group: those where its last activation is subtracted.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn first_entries(four: &[f32; GROUP], factor: __m256) -> __m256i {
    let minus = i32::MIN;
    let signed = |t: usize, signs: __m256i| {
        _mm256_xor_ps(_mm256_set1_ps(four[t]), _mm256_castsi256_ps(signs))
    };
    let first = signed(0, _mm256_setr_epi32(minus, 0, minus, 0, minus, 0, minus, 0));
    let second = signed(1, _mm256_setr_epi32(minus, minus, 0, 0, minus, minus, 0, 0));
    let third = signed(2, _mm256_setr_epi32(minus, minus, minus, minus, 0, 0, 0, 0));
    let low = _mm256_add_ps(first, second);
    let sum = _mm256_add_ps(low, _mm256_sub_ps(third, _mm256_set1_ps(four[3])));
    _mm256_cvtps_epi32(_mm256_mul_ps(sum, factor))
}

/// See [`super`].
///
/// # Safety
/// As [`super::Int8LutFn`] says.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn matmul<L: Layout>(product: &Product<Int8Tables>) {
    for step in product.steps(&[1]) {
        // SAFETY: a step of one token of a valid product.
        unsafe { token::<L>(&step) };
    }
}

/// # Safety
/// `step` is of one token of a valid product.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn token<L: Layout>(step: &Step<Int8Tables>) {
    // SAFETY: the product has a specification, which outlives it.
    let spec = unsafe { &*step.spec };
    let group_blocks = blocks_per_group(spec, step.blocks);
    let center = _mm256_set1_ps(center(spec.codes));
    let has_offset = super::center(spec.codes) != 0.0 || spec.has_minimums();
    let block_bytes = const { L::SPEC.code_bytes() };
    let mut block = Block {
        spec: step.spec,
        header: step.weights,
        starts_run: true,
        phase: 0,
        codes: step.weights,
        activations: std::ptr::null(),
    };
    let mut tables = step.activations;
    let mut acc = [_mm256_setzero_ps(); 2];
    let mut left = step.blocks;
    while left > 0 {
        let run = spec.blocks_per_header().min(left);
        left -= run;
        block.header = block.codes;
        block.codes = block.codes.wrapping_add(spec.header_bytes());
        let mut t = [_mm256_setzero_ps(); 2];
        let mut a = 0.0;
        let mut left_in_run = run;
        while left_in_run > 0 {
            let blocks = group_blocks.min(left_in_run);
            left_in_run -= blocks;
            // SAFETY: the panel has the tables of this block.
            let first = unsafe { &*tables };
            let mut sums = Sums::zero();
            for _ in 0..blocks {
                prefetch::<L>(&block);
                // SAFETY: the codes of a block are that many bytes, and the panel has its tables.
                unsafe { sums.add::<L>(block.codes, &*tables) };
                block.codes = block.codes.wrapping_add(block_bytes);
                tables = tables.wrapping_add(step.panel);
            }
            let half_scale = _mm256_set1_ps(first.half_scale);
            let sums = sums.rows::<L>();
            for half in 0..2 {
                t[half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[half]), half_scale, t[half]);
            }
            a += first.sum;
        }
        for half in 0..2 {
            // SAFETY: the header of these blocks is that of a valid product.
            let scales = unsafe { load_scales::<L>(&block, half) };
            acc[half] = _mm256_fmadd_ps(t[half], scales.scale[0], acc[half]);
            if has_offset {
                let offset = _mm256_fmadd_ps(scales.scale[0], center, scales.minimum[0]);
                acc[half] = _mm256_fmadd_ps(offset, _mm256_set1_ps(a), acc[half]);
            }
        }
    }
    for (half, acc) in acc.into_iter().enumerate() {
        // SAFETY: the step has a token.
        unsafe { store(step, 0, half, acc) };
    }
}

/// Sums of entries in 16 bits.
struct Sums {
    /// Of pairs of planes: rows r and r + 8 side by side, for even groups and for odd ones.
    pairs: [__m256i; 2],
    /// Of a single plane: rows 0 to 7 of groups 0 and 1 of four, and rows 8 to 15.
    single: [__m256i; 2],
}

impl Sums {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> Self {
        let zero = [_mm256_setzero_si256(); 2];
        Self { pairs: zero, single: zero }
    }

    /// Adds the look-ups of a block.
    ///
    /// # Safety
    /// `codes` are the nibbles of a block of the layout.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add<L: Layout>(&mut self, codes: *const u8, tables: &Int8Tables) {
        let pairs = const { L::SPEC.codes.bits() as usize / 2 };
        let nibbles = |register: usize| {
            // SAFETY: the nibbles of a block are that many registers.
            let x = unsafe { _mm256_loadu_si256(codes.wrapping_add(REGISTER * register).cast()) };
            let nibble = _mm256_set1_epi8(15);
            [_mm256_and_si256(x, nibble), _mm256_and_si256(_mm256_srli_epi16::<4>(x), nibble)]
        };
        for even in (0..if pairs > 0 { GROUPS } else { 0 }).step_by(2) {
            let table = |group: usize| {
                // SAFETY: a table is 16 bytes.
                let table = unsafe { _mm_load_si128(tables.entries[group].as_ptr().cast()) };
                _mm256_broadcastsi128_si256(table)
            };
            let two = [table(even), table(even + 1)];
            for pair in 0..pairs {
                let indices = nibbles(pair * GROUPS / 2 + even / 2);
                let weights = _mm256_set1_epi16((1 | 2 << 8) << (2 * pair));
                let [low, high] = [0, 1].map(|odd| {
                    _mm256_maddubs_epi16(weights, _mm256_shuffle_epi8(two[odd], indices[odd]))
                });
                let sum = &mut self.pairs[even / 2 % 2];
                *sum = _mm256_add_epi16(*sum, _mm256_add_epi16(low, high));
            }
        }
        if const { L::SPEC.codes.bits() % 2 == 1 } {
            let weight = 1 << (2 * pairs + doubling(const { L::SPEC.codes }) as usize);
            let weights = _mm256_set1_epi8(weight);
            for four in 0..GROUPS / 4 {
                let indices = nibbles(pairs * GROUPS / 2 + four);
                let [low, high] = [0, 1].map(|two| {
                    let table = &tables.entries[4 * four + 2 * two..][..2];
                    // SAFETY: two tables are 32 bytes, and aligned so.
                    let table = unsafe { _mm256_load_si256(table.as_ptr().cast()) };
                    _mm256_shuffle_epi8(table, indices[two])
                });
                let bytes = [_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)];
                for (sum, bytes) in self.single.iter_mut().zip(bytes) {
                    *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(weights, bytes));
                }
            }
        }
    }

    /// The sums of rows 0 to 7, and of rows 8 to 15.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn rows<L: Layout>(self) -> [__m256i; 2] {
        let pairs = _mm256_add_epi16(self.pairs[0], self.pairs[1]);
        let low = _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(pairs));
        let pairs = [low, _mm256_srai_epi32::<16>(pairs)];
        let single = self.single.map(|sums| {
            let high = _mm256_extracti128_si256::<1>(sums);
            _mm256_cvtepi16_epi32(_mm_add_epi16(_mm256_castsi256_si128(sums), high))
        });
        match const { L::SPEC.codes.bits() } {
            1 => single,
            3 => std::array::from_fn(|half| _mm256_add_epi32(pairs[half], single[half])),
            _ => pairs,
        }
    }
}
