//! The operands of a kernel, and the way through them: steps of one tile and some tokens, blocks of a step.

use std::marker::PhantomData;

use super::activations::{ActivationBlock, PANEL, panel_width};
use super::layout::{Codes, LayoutSpec, TILE_ROWS, VECTOR};
use super::{Layout, OutputColumns, lut};

/// The operands of a kernel. `A` is what a panel holds of a token at one block: its quantized activations, or in [`super::float`] one number.
pub(crate) struct Product<A> {
    /// The tables of the activations, in [`lut`]; else null.
    pub(super) tables: *const lut::TableBlock,
    /// What the codes mean, in [`super::weight_only`]; else null.
    pub(super) values: *const [f32; 256],
    /// What the weights are; null in [`super::float`].
    pub(super) spec: *const LayoutSpec,
    /// `tiles` tiles of `tile_bytes` bytes each, of `blocks` blocks.
    pub(super) weights: *const u8,
    pub(super) tiles: usize,
    pub(super) tile_bytes: usize,
    pub(super) blocks: usize,
    /// `tokens * blocks` blocks in panels.
    pub(super) activations: *const A,
    pub(super) tokens: usize,
    /// Row 0 of token 0. Row `r` of token `t` is `out_stride * t + r` elements further, for all `r < rows`.
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    /// Of the last of the `tiles` tiles, at least one row.
    pub(super) rows: usize,
}

/// The work of a kernel between two looks at the clock: one tile and some tokens of one panel.
pub(super) struct Step<A> {
    pub(super) spec: *const LayoutSpec,
    pub(super) weights: *const u8,
    pub(super) blocks: usize,
    /// The block of the first token at block 0; the next token's is behind it, the next block's `panel` further.
    pub(super) activations: *const A,
    pub(super) panel: usize,
    pub(super) tokens: usize,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    /// Rows to write, 1 to 16.
    pub(super) rows: usize,
}

impl<A> Product<A> {
    /// The product of whole tiles with all tokens. It borrows its operands in fact, though not by its type.
    ///
    /// # Panics
    /// Where the lengths do not fit.
    pub(super) fn new(
        weights: &[u8],
        tile_bytes: usize,
        blocks: usize,
        activations: &[A],
        out: &mut OutputColumns<'_>,
    ) -> Self {
        let tiles = out.columns.div_ceil(TILE_ROWS);
        assert_eq!(Some(weights.len()), tile_bytes.checked_mul(tiles), "bytes of weights");
        assert_eq!(Some(activations.len()), out.tokens.checked_mul(blocks), "activations");
        Self {
            tables: std::ptr::null(),
            values: std::ptr::null(),
            spec: std::ptr::null(),
            weights: weights.as_ptr(),
            tiles,
            tile_bytes,
            blocks,
            activations: activations.as_ptr(),
            tokens: out.tokens,
            out: out.out,
            out_stride: out.stride,
            rows: out.columns,
        }
    }

    /// The steps that make up the product, each of a number of tokens that is in `sizes`: falling, ending with 1.
    ///
    /// A tile stays in the cache for all its tokens.
    #[inline(always)]
    pub(super) fn steps(&self, sizes: &'static [usize]) -> Steps<'_, A> {
        Steps { product: self, sizes, tile: 0, token: 0 }
    }
}

pub(super) struct Steps<'a, A> {
    pub(super) product: &'a Product<A>,
    pub(super) sizes: &'static [usize],
    pub(super) tile: usize,
    pub(super) token: usize,
}

impl<A> Iterator for Steps<'_, A> {
    type Item = Step<A>;

    #[inline(always)]
    fn next(&mut self) -> Option<Step<A>> {
        let Self { product, tile, token, .. } = *self;
        if tile == product.tiles {
            return None;
        }
        let first = token / PANEL * PANEL;
        let panel = panel_width(product.tokens, first);
        let left = first + panel - token;
        let tokens = *self.sizes.iter().find(|&&size| size <= left)?;
        self.token += tokens;
        if self.token == product.tokens {
            self.token = 0;
            self.tile += 1;
        }
        Some(Step {
            spec: product.spec,
            weights: product.weights.wrapping_add(tile * product.tile_bytes),
            blocks: product.blocks,
            activations: product.activations.wrapping_add(first * product.blocks + token - first),
            panel,
            tokens,
            out: product.out.wrapping_add(token * product.out_stride + tile * TILE_ROWS),
            out_stride: product.out_stride,
            rows: (product.rows - tile * TILE_ROWS).min(TILE_ROWS),
        })
    }
}

impl Step<ActivationBlock> {
    /// The blocks in order.
    #[inline(always)]
    pub(super) fn blocks<L: Layout>(&self) -> Blocks<L> {
        Blocks {
            spec: self.spec,
            header: self.weights,
            codes: self.weights,
            activations: self.activations,
            panel: self.panel,
            left: self.blocks,
            left_in_run: 0,
            phase: 0,
            layout: PhantomData,
        }
    }
}

impl<A> Step<A> {
    /// Writes the results of token `token` of the step for rows `first` and following.
    ///
    /// # Safety
    /// `token < self.tokens`, and the step is of a valid [`Product`].
    #[inline(always)]
    pub(super) unsafe fn store<const N: usize>(
        &self,
        token: usize,
        first: usize,
        values: [f32; N],
    ) {
        let rows = self.rows.saturating_sub(first).min(N);
        let out = self.out.wrapping_add(token * self.out_stride + first);
        // SAFETY: rows `first..first + rows` are among the `self.rows` rows of the output of this token.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), out, rows) };
    }
}

/// What the accumulation of a block must know beside its scales. Constants, but for grouped layouts.
pub(super) struct Terms<L> {
    pub(super) offset: i32,
    pub(super) has_minimums: bool,
    pub(super) layout: PhantomData<L>,
}

impl<L: Layout> Terms<L> {
    /// Whether the zero point is known only when the product is made.
    const ZERO_POINT_VARIES: bool =
        L::SPEC.scales.is_grouped() && matches!(L::SPEC.codes, Codes::Unsigned { .. });

    /// For a kernel that loads codes with `offset` added, where the zero point does not vary.
    #[inline(always)]
    pub(super) fn new(step: &Step<ActivationBlock>, offset: i32) -> Self {
        if const { L::SPEC.scales.is_grouped() } {
            // SAFETY: products of grouped layouts have their specification, which outlives them.
            let spec = unsafe { &*step.spec };
            let offset = if Self::ZERO_POINT_VARIES { spec.codes.offset() } else { offset };
            return Self { offset, has_minimums: spec.has_minimums(), layout: PhantomData };
        }
        Self { offset, has_minimums: const { L::SPEC.has_minimums() }, layout: PhantomData }
    }

    #[inline(always)]
    pub(super) fn has_minimums(&self) -> bool {
        if const { L::SPEC.scales.is_grouped() } {
            self.has_minimums
        } else {
            const { L::SPEC.has_minimums() }
        }
    }

    /// What the dot product of a block starts from, so that the offset of its codes comes out.
    #[inline(always)]
    pub(super) fn start(&self, block: &ActivationBlock) -> i32 {
        if Self::ZERO_POINT_VARIES {
            block.minus_sum * self.offset
        } else {
            block.minus_sum_times(self.offset)
        }
    }

    /// The same for half of a block.
    #[inline(always)]
    pub(super) fn half_start(&self, block: &ActivationBlock, half: usize) -> i32 {
        if Self::ZERO_POINT_VARIES {
            (block.minus_32_half_sums[half] >> 5) * self.offset
        } else {
            block.minus_half_sum_times(half, self.offset)
        }
    }
}

/// Walks the blocks of a tile and of the panel beside it.
pub(super) struct Blocks<L> {
    pub(super) spec: *const LayoutSpec,
    pub(super) header: *const u8,
    pub(super) codes: *const u8,
    pub(super) activations: *const ActivationBlock,
    pub(super) panel: usize,
    pub(super) left: usize,
    pub(super) left_in_run: usize,
    pub(super) phase: usize,
    pub(super) layout: PhantomData<L>,
}

/// Where the parts of one block begin.
pub(super) struct Block {
    pub(super) spec: *const LayoutSpec,
    pub(super) header: *const u8,
    /// Whether the block before had another header, or there was none.
    #[cfg(target_arch = "x86_64")]
    pub(super) starts_run: bool,
    /// For trits: which of the five blocks that share their vectors it is.
    pub(super) phase: usize,
    pub(super) codes: *const u8,
    /// Of the step's first token; the others follow.
    pub(super) activations: *const ActivationBlock,
}

impl Block {
    /// What the weights are when the product is made: in grouped layouts, more than their type says.
    #[inline(always)]
    pub(super) fn spec<L: Layout>(&self) -> &LayoutSpec {
        if const { L::SPEC.scales.is_grouped() } {
            // SAFETY: products of grouped layouts have their specification, which outlives them.
            unsafe { &*self.spec }
        } else {
            const { &L::SPEC }
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl Block {
    /// The activations of `T` tokens, twice: even quads are to be read through the first reference, odd ones through the second.
    ///
    /// A broadcast from memory costs a dot product nothing. But loads of neighbouring quads the compiler merges into a wider one, and then spends
    /// a shift and a shuffle on each quad to take it apart; so it must not see that they are neighbours.
    ///
    /// # Safety
    /// The block is of a step of a valid product of `T` tokens.
    #[inline(always)]
    pub(super) unsafe fn activations<const T: usize>(&self) -> [&[ActivationBlock; T]; 2] {
        let mut copy = self.activations;
        // SAFETY: no instruction, only an operand.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) copy, options(pure, readonly, nostack, preserves_flags));
        }
        // SAFETY: both point to the activations of `T` tokens, which outlive the product.
        [self.activations, copy].map(|activations| unsafe { &*activations.cast() })
    }
}

impl<L: Layout> Iterator for Blocks<L> {
    type Item = Block;

    #[inline(always)]
    fn next(&mut self) -> Option<Block> {
        let spec = const { &L::SPEC };
        if self.left == 0 {
            return None;
        }
        let starts_run = self.left_in_run == 0;
        if const { L::SPEC.scales.is_grouped() } {
            if starts_run {
                // SAFETY: products of grouped layouts have their specification.
                let spec = unsafe { &*self.spec };
                self.left_in_run = spec.grouping.run;
                self.header = self.codes;
                self.codes = self.codes.wrapping_add(spec.header_bytes());
            }
        } else if spec.blocks_per_header() == 1 || starts_run {
            self.left_in_run = spec.blocks_per_header();
            self.header = self.codes;
            self.codes = self.codes.wrapping_add(spec.header_bytes());
        }
        let block = Block {
            spec: self.spec,
            header: self.header,
            #[cfg(target_arch = "x86_64")]
            starts_run,
            phase: self.phase,
            codes: self.codes,
            activations: self.activations,
        };
        self.left -= 1;
        self.left_in_run -= 1;
        let bytes = if const { matches!(L::SPEC.codes, Codes::Trits) } {
            // Of 40 quads in 8 vectors the blocks begin in vectors 0, 1, 3, 4, 6; a superblock that ends sooner ends its last vector.
            let vectors = match (self.phase, self.left_in_run) {
                (0 | 2, 0) | (1 | 3 | 4, _) => 2,
                (_, _) => 1,
            };
            let extra = usize::from(matches!((self.phase, self.left_in_run), (1 | 3, 0)));
            self.phase = if self.phase == 4 || self.left_in_run == 0 { 0 } else { self.phase + 1 };
            (vectors + extra) * VECTOR
        } else {
            spec.block_bytes()
        };
        self.codes = self.codes.wrapping_add(bytes);
        self.activations = self.activations.wrapping_add(self.panel);
        Some(block)
    }
}
