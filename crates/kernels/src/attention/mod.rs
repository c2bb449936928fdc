//! Grouped-query attention over a paged cache of keys and values.
//!
//! ```text
//! out[row] = sum_j softmax_j(scale * q[row] . k[j]) * v[j]        over the keys j that the row sees
//!
//! one page = 64 tokens of one sequence, layer and key-value head
//!   keys    [head_dim][64]            token minor: each key is a lane, and q . k needs no horizontal sum
//!   values  [64][value_stride]        value_stride = head_dim rounded up to 16; what is beyond head_dim is never used
//! ```
//!
//! Keys are walked in tiles of one page, in order. A row keeps a common exponent E, sixteen partial sums of the weights and an accumulator of
//! the values. For each tile:
//!
//! ```text
//! s_j      = scale * (fused sum over d, in order, of q_d k_dj);  soft cap;  clamped to +-2^18
//! (m, n)_j = ext_exp(s_j)                  value m * 2^n, so nothing overflows and no maximum is subtracted
//! E'       = max(E, n_j);  r = 2^(E - E')  a power of two: rescaling is exact (softmax.md section 5; Dao et al. 2022 rescale by e^(m - m'))
//! p_j      = m_j * 2^(n_j - E'), 0 where n_j - E' <= -127
//! sum_l    = sum_l * r + ((p_l + p_(l+32)) + (p_(l+16) + p_(l+48)))        l < 16
//! acc_d    = acc_d * r, then in order of j: fma(p_j, v_jd, acc_d)
//! ```
//!
//! At the end `out = acc / sum`. What a row returns depends on its own query and its own visible keys only: not on the rows beside it, on how
//! a prompt is cut, or on what memory holds beyond the keys. So decode and prefill give the same bits.

mod l_mul;
mod lanes;
mod scalar;

use std::ops::Range;

pub use l_mul::attention_l_mul;

use crate::lanes::{LANES, lane_op};
use crate::registry::Kernels;

/// The number of tokens of a page, and of a tile of the computation.
pub const PAGE_TOKENS: usize = 64;

/// Scores are clamped to this magnitude: the domain of `ext_exp`. Exponentials of the clamped values differ by up to e^524288, so a clamp
/// shows only among scores that are beyond it on the same side.
const SCORE_LIMIT: f32 = 262_144.0;

/// The exponent of an empty sum: less than that of any score.
pub(crate) const EMPTY_EXPONENT: f32 = -16_777_216.0;

/// The bytes behind the keys, and behind the values, of a page of i8: the f32 scale of each token, in the byte order of the machine.
pub const I8_SCALES: usize = 4 * PAGE_TOKENS;

/// The distance between the values of neighbouring tokens in a page: `head_dim` rounded up to 16.
#[must_use]
pub const fn value_stride(head_dim: usize) -> usize {
    head_dim.next_multiple_of(LANES)
}

/// The number of elements of the keys of a page.
#[must_use]
pub const fn key_page_len(head_dim: usize) -> usize {
    head_dim * PAGE_TOKENS
}

/// The number of elements of the values of a page.
#[must_use]
pub const fn value_page_len(head_dim: usize) -> usize {
    value_stride(head_dim) * PAGE_TOKENS
}

/// 64 tokens of one sequence, layer and key-value head. `T` is `f32`, `u16` for the bits of an f16, or `i8` for codes with a scale for each
/// token's key and value, which lie behind the codes: [`I8_SCALES`] more elements.
#[derive(Clone, Copy, Debug)]
pub struct KvPage<'a, T> {
    /// `[head_dim][64]`
    pub keys: &'a [T],
    /// `[64][value_stride(head_dim)]`
    pub values: &'a [T],
}

/// The queries that share one key-value head, and what they look at.
#[derive(Clone, Debug)]
pub struct Attention<'a, T> {
    /// The number of elements of a query, a key and a value.
    pub head_dim: usize,
    /// `[rows][head_dim]`; a row is one query head at one token.
    pub queries: &'a [f32],
    /// For each row the keys that it sees, counted from the start of the first page. No keys and no sink: the output is zeros.
    pub visible: &'a [Range<usize>],
    /// The pages, in order. Where the first pages of a sequence are gone (sliding window), tiles still begin at multiples of 64 tokens, so
    /// the bits do not change.
    pub pages: &'a [KvPage<'a, T>],
    /// What scores are multiplied by, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`. (Gemma 2)
    pub soft_cap: Option<f32>,
    /// For each row a further logit, not scaled, that takes part in the denominator only (gpt-oss); empty for none.
    pub sinks: &'a [f32],
}

impl<T> Attention<'_, T> {
    fn rows(&self) -> usize {
        self.visible.len()
    }
}

#[expect(private_bounds, reason = "f32, u16 (the bits of f16) and i8")]
impl<T: scalar::Element> Attention<'_, T> {
    /// Every demand of the op.
    fn assert_valid(&self, out: &[f32]) {
        let rows = self.rows();
        assert!(self.head_dim > 0, "attention: head_dim");
        assert_eq!(self.queries.len(), rows * self.head_dim, "attention: queries");
        assert_eq!(out.len(), rows * self.head_dim, "attention: out");
        assert!(self.sinks.is_empty() || self.sinks.len() == rows, "attention: sinks");
        let tokens = self.pages.len() * PAGE_TOKENS;
        for visible in self.visible {
            assert!(
                visible.start <= visible.end && visible.end <= tokens,
                "attention: visible keys"
            );
        }
        for page in self.pages {
            let (keys, values) = (key_page_len(self.head_dim), value_page_len(self.head_dim));
            assert_eq!(page.keys.len(), keys + T::SCALES, "attention: key page");
            assert_eq!(page.values.len(), values + T::SCALES, "attention: value page");
        }
    }
}

/// Memory that [`Kernels::attention_f16`] and its kin work in: kept by the caller so that a call allocates nothing once it has grown to about
/// `8 * rows * head_dim + 512 * head_dim` bytes.
#[derive(Clone, Debug, Default)]
pub struct AttentionScratch {
    /// For each block of rows `[head_dim][rows of the block]`
    queries: Vec<f32>,
    /// `[rows][value_stride]`
    accumulators: Vec<f32>,
    /// `[rows]`
    sums: Vec<[f32; LANES]>,
    /// `[rows]`: the common exponents.
    exponents: Vec<f32>,
    /// A page converted to f32.
    keys: Vec<f32>,
    values: Vec<f32>,
}

lane_op! {
    /// Attention over pages of f16.
    static ATTENTION_F16: AttentionF16Fn = "attention_f32_f16",
    fn(input: &Attention<'_, u16>, scratch: &mut AttentionScratch, out: &mut [f32]),
    scalar: scalar::attention,
    lanes: lanes::attention,
}

lane_op! {
    /// Attention over pages of i8.
    static ATTENTION_I8: AttentionI8Fn = "attention_f32_i8",
    fn(input: &Attention<'_, i8>, scratch: &mut AttentionScratch, out: &mut [f32]),
    scalar: scalar::attention,
    lanes: lanes::attention,
}

lane_op! {
    /// Attention over pages of f32.
    static ATTENTION_F32: AttentionF32Fn = "attention_f32_f32",
    fn(input: &Attention<'_, f32>, scratch: &mut AttentionScratch, out: &mut [f32]),
    scalar: scalar::attention,
    lanes: lanes::attention,
}

lane_op! {
    /// Writes the key and the value of one token into a page, rounded to f16.
    static STORE_KV_F16: StoreKvF16Fn = "store_kv_f32_f16",
    fn(key: &[f32], value: &[f32], slot: usize, keys: &mut [u16], values: &mut [u16]),
    scalar: scalar::store_kv,
    lanes: lanes::store_kv,
}

impl Kernels {
    /// Attention of `input` over pages of f16 (as bits); `out` is `[rows][head_dim]`.
    ///
    /// # Panics
    /// Where a length of `input` or `out` is not as documented.
    pub fn attention_f16(
        &self,
        input: &Attention<'_, u16>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        input.assert_valid(out);
        // SAFETY: this set holds kernels that the CPU supports, and the input is valid.
        unsafe { (self.attention_f16.function)(input, scratch, out) }
    }

    /// Attention of `input` over pages of i8; `out` is `[rows][head_dim]`.
    ///
    /// # Panics
    /// Where a length of `input` or `out` is not as documented.
    pub fn attention_i8(
        &self,
        input: &Attention<'_, i8>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        input.assert_valid(out);
        // SAFETY: this set holds kernels that the CPU supports, and the input is valid.
        unsafe { (self.attention_i8.function)(input, scratch, out) }
    }

    /// Attention of `input` over pages of f32; `out` is `[rows][head_dim]`.
    ///
    /// # Panics
    /// Where a length of `input` or `out` is not as documented.
    pub fn attention_f32(
        &self,
        input: &Attention<'_, f32>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    ) {
        input.assert_valid(out);
        // SAFETY: this set holds kernels that the CPU supports, and the input is valid.
        unsafe { (self.attention_f32.function)(input, scratch, out) }
    }

    /// Writes the key and the value of one token into place `slot` of a page of f16 (as bits), rounded to nearest, ties to even; magnitudes
    /// from 65520 on become infinite.
    ///
    /// # Panics
    /// Where `slot` is 64 or more or a page is not of the head's size.
    pub fn store_kv_f16(
        &self,
        key: &[f32],
        value: &[f32],
        slot: usize,
        keys: &mut [u16],
        values: &mut [u16],
    ) {
        assert_page(key, value, slot, keys.len(), values.len());
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are as the op demands.
        unsafe { (self.store_kv_f16.function)(key, value, slot, keys, values) }
    }

    /// Writes the key and the value of one token into place `slot` of a page of i8: 127 levels each side, by the largest magnitude of the key
    /// and of the value. What is not finite makes all of that token's key or value NaN; magnitudes below 2^-100 count as zeros.
    ///
    /// # Panics
    /// Where `slot` is 64 or more or a page is not of the head's size.
    pub fn store_kv_i8(
        &self,
        key: &[f32],
        value: &[f32],
        slot: usize,
        keys: &mut [i8],
        values: &mut [i8],
    ) {
        let codes = |page: &[i8]| page.len().saturating_sub(I8_SCALES);
        assert_page(key, value, slot, codes(keys), codes(values));
        let (codes, scales) = keys.split_at_mut(key_page_len(key.len()));
        scalar::quantize_token(key, slot, codes, scales, |d| d * PAGE_TOKENS + slot);
        let (codes, scales) = values.split_at_mut(value_page_len(value.len()));
        let start = slot * value_stride(value.len());
        codes[start..start + value_stride(value.len())].fill(0);
        scalar::quantize_token(value, slot, codes, scales, |d| start + d);
    }

    /// Writes the key and the value of one token into place `slot` of a page of f32.
    ///
    /// # Panics
    /// Where `slot` is 64 or more or a page is not of the head's size.
    pub fn store_kv_f32(
        &self,
        key: &[f32],
        value: &[f32],
        slot: usize,
        keys: &mut [f32],
        values: &mut [f32],
    ) {
        assert_page(key, value, slot, keys.len(), values.len());
        for (column, &key) in keys.chunks_exact_mut(PAGE_TOKENS).zip(key) {
            column[slot] = key;
        }
        let row = &mut values[slot * value_stride(value.len())..][..value_stride(value.len())];
        row[..value.len()].copy_from_slice(value);
        row[value.len()..].fill(0.0);
    }
}

fn assert_page(key: &[f32], value: &[f32], slot: usize, keys: usize, values: usize) {
    assert_eq!(key.len(), value.len(), "store_kv: key and value");
    assert!(slot < PAGE_TOKENS, "store_kv: slot {slot}");
    assert_eq!(keys, key_page_len(key.len()), "store_kv: key page");
    assert_eq!(values, value_page_len(key.len()), "store_kv: value page");
}

#[cfg(test)]
mod tests;
