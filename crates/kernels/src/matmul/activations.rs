//! Quantized activations: the other operand of [`super`].

use super::layout::BLOCK;

/// Tokens of a panel.
pub const PANEL: usize = 8;

/// 32 activations of one token as 8-bit integers, with all that a kernel broadcasts beside them: one cache line.
///
/// Activation `k` is about `scale * codes[k]`. The sums are exact; multiples of them are what an accumulator starts from so that a dot product
/// of unsigned codes becomes one of codes minus their zero point.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct ActivationBlock {
    /// −127 to 127.
    pub codes: [i8; BLOCK],
    /// The largest magnitude / 127.
    pub scale: f32,
    /// `scale` × the sum of `codes`, rounded once.
    pub scaled_sum: f32,
    /// Minus the sum of `codes`.
    pub minus_sum: i32,
    /// −8 × the sum of `codes`.
    pub minus_8_sum: i32,
    /// −16 × the sum of `codes`.
    pub minus_16_sum: i32,
    /// −128 × the sum of `codes`.
    pub minus_128_sum: i32,
    /// −32 × the sum of each half of `codes`.
    pub minus_32_half_sums: [i32; 2],
}

impl ActivationBlock {
    /// 32 zeros.
    pub const ZERO: Self = Self {
        codes: [0; BLOCK],
        scale: 0.0,
        scaled_sum: 0.0,
        minus_sum: 0,
        minus_8_sum: 0,
        minus_16_sum: 0,
        minus_128_sum: 0,
        minus_32_half_sums: [0; 2],
    };

    /// The block of these codes and this scale.
    #[must_use]
    pub fn new(codes: [i8; BLOCK], scale: f32) -> Self {
        let sum = |codes: &[i8]| codes.iter().map(|&code| i32::from(code)).sum::<i32>();
        let (low, high) = codes.split_at(BLOCK / 2);
        let mut block = Self { codes, ..Self::ZERO };
        block.set_sums(scale, [sum(low), sum(high)]);
        block
    }

    /// Sets everything but the codes, from the sums of their halves.
    #[inline(always)]
    pub(crate) fn set_sums(&mut self, scale: f32, halves: [i32; 2]) {
        let sum = halves[0] + halves[1];
        self.scale = scale;
        // At most 32 · 127: exact in f32.
        self.scaled_sum = scale * sum as f32;
        self.minus_sum = -sum;
        self.minus_8_sum = -8 * sum;
        self.minus_16_sum = -16 * sum;
        self.minus_128_sum = -128 * sum;
        self.minus_32_half_sums = halves.map(|sum| -32 * sum);
    }

    /// −`factor` × the sum of the codes, for a factor of 0 to 128. Kernels pass constants where they can.
    #[inline(always)]
    pub(super) const fn minus_sum_times(&self, factor: i32) -> i32 {
        match factor {
            0 => 0,
            1 => self.minus_sum,
            8 => self.minus_8_sum,
            16 => self.minus_16_sum,
            128 => self.minus_128_sum,
            _ => self.minus_sum * factor,
        }
    }

    /// −`factor` × the sum of a half of the codes, for a factor of 0 to 128.
    #[inline(always)]
    pub(super) const fn minus_half_sum_times(&self, half: usize, factor: i32) -> i32 {
        match factor {
            0 => 0,
            1..=32 if factor.count_ones() == 1 => {
                self.minus_32_half_sums[half] >> (5 - factor.trailing_zeros())
            }
            _ => (self.minus_32_half_sums[half] >> 5) * factor,
        }
    }

    /// Four codes, as the lanes of an integer dot product take them.
    ///
    /// # Panics
    /// Where `quad` is 8 or more.
    #[inline(always)]
    pub(super) const fn quad(&self, quad: usize) -> i32 {
        assert!(quad < BLOCK / 4);
        // One load. Joined from bytes, it becomes half of a wider load and shifts, which no instruction can broadcast from memory.
        // SAFETY: a block begins with its codes, 32 bytes, and is aligned to 64.
        unsafe { std::ptr::from_ref(self).cast::<i32>().add(quad).read() }
    }

    /// `scale` × the sum of half `half` of the codes, rounded once.
    #[inline(always)]
    #[must_use]
    pub fn scaled_half_sum(&self, half: usize) -> f32 {
        // −32 × the sum and scale / −32 are both exact.
        self.minus_32_half_sums[half] as f32 * (self.scale * (-1.0 / 32.0))
    }
}

/// The index of the block of `token` at block `block` among the panels of a batch.
///
/// Tokens are kept in panels of [`PANEL`], the last one narrower; in a panel, the blocks of all its tokens at one place of K are neighbours, so
/// that a kernel walks one pointer.
#[inline]
#[must_use]
pub const fn panel_index(tokens: usize, blocks: usize, token: usize, block: usize) -> usize {
    let first = token / PANEL * PANEL;
    let width = panel_width(tokens, first);
    first * blocks + block * width + (token - first)
}

/// The number of tokens of the panel that begins with token `first`.
#[inline]
#[must_use]
pub const fn panel_width(tokens: usize, first: usize) -> usize {
    if tokens - first < PANEL { tokens - first } else { PANEL }
}
