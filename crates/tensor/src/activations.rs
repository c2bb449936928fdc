//! Inputs of products, prepared once for all matrices that read them.

use std::sync::{Mutex, OnceLock, PoisonError};

use dyadic_kernels::Kernels;
use dyadic_kernels::matmul::LayoutId;
use dyadic_kernels::matmul::activations::{ActivationBlock, PANEL, panel_index, panel_width};
use dyadic_kernels::matmul::byte_lut::{self, ByteTable};
use dyadic_kernels::matmul::float::CHAINS;
use dyadic_kernels::matmul::int8_lut::{self, Int8Tables};
use dyadic_kernels::matmul::layout::BLOCK;
use dyadic_kernels::matmul::lut::TableBlock;
use dyadic_kernels::matmul::popcount::BitBlock;
use dyadic_kernels::quantize_activations::Rounding;

use crate::TensorError;
use crate::pool::Pool;

/// How activations are held for a product.
///
/// Integers go through integer products where the weights are integers too; other weights are multiplied by the numbers that the integers stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ActivationKind {
    /// As they are: weights alone are quantized.
    #[default]
    F32,
    /// As 8-bit integers with a scale for each 32 columns.
    Int8G32,
    /// As 8-bit integers with a scale for each 64 columns.
    Int8G64,
    /// As 8-bit integers with one scale for each token: loses 30 times the accuracy where there are outliers.
    Int8PerToken,
    /// As integers of −7 to 7 with a scale for each 32 columns.
    Int4G32,
    /// As 16-bit integers with one exponent for each token (dynamic fixed point, Das et al. 2018).
    ///
    /// A mantissa is two digits to the base 255, each a signed byte, and a product two products of 8-bit integers: no accumulator can overflow, whatever the
    /// input, so that there is nothing to shift down. Mantissas are −32512 to 32512.
    Int16,
    /// As [`Self::Int8G32`], but values of a magnitude of at least `threshold` stay f32 (`LLM.int8()`, Dettmers et al. 2022, with 6 and one scale a token).
    Int8Outliers {
        /// The least magnitude of an outlier.
        threshold: f32,
    },
    /// As they are, but that integer weights of 1 to 4 bits are multiplied by tables of their sums, rounded to 8 bits with a scale for 64 columns, or for 32
    /// where the scales of the weights change within 64 (T-MAC, Wei et al. 2024; [`int8_lut`]). The error is about that of [`Self::Int8G32`].
    Int8Tables,
    /// As odd integers −(2^bits − 1) to 2^bits − 1 with a scale for each 32 columns: with weights of so few bits that the product of the widths is at most 8,
    /// products can be made by population counts (APNN-TC, Feng et al. 2021; [`KernelChoice::BitPlanes`](crate::KernelChoice::BitPlanes)).
    ///
    /// The scale is the mean magnitude for 1 bit (XNOR-Net, Rastegari et al. 2016), else the largest magnitude / (2^bits − 1).
    Bipolar {
        /// 1 to 4.
        bits: u32,
    },
}

impl ActivationKind {
    /// All kinds, with the thresholds of their papers.
    pub const ALL: [Self; 12] = [
        Self::F32,
        Self::Int8G32,
        Self::Int8G64,
        Self::Int8PerToken,
        Self::Int4G32,
        Self::Int16,
        Self::Int8Outliers { threshold: 6.0 },
        Self::Int8Tables,
        Self::Bipolar { bits: 1 },
        Self::Bipolar { bits: 2 },
        Self::Bipolar { bits: 3 },
        Self::Bipolar { bits: 4 },
    ];

    /// Its name, as options and messages spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8G32 => "int8-g32",
            Self::Int8G64 => "int8-g64",
            Self::Int8PerToken => "int8-per-token",
            Self::Int4G32 => "int4-g32",
            Self::Int16 => "int16",
            Self::Int8Outliers { .. } => "int8-outliers",
            Self::Int8Tables => "int8-tables",
            Self::Bipolar { bits: 1 } => "bipolar1-g32",
            Self::Bipolar { bits: 2 } => "bipolar2-g32",
            Self::Bipolar { bits: 3 } => "bipolar3-g32",
            Self::Bipolar { .. } => "bipolar4-g32",
        }
    }

    /// Whether they are held as integers.
    pub(crate) fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::Int8Tables)
    }

    /// Whether products by exact tables take such activations: all integers of one digit.
    pub(crate) fn has_tables(self) -> bool {
        self.is_integer() && self != Self::Int16
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The largest mantissa of [`ActivationKind::Int16`]: 127 · 255 + 127.
const INT16_MAX: f32 = 32512.0;

/// The base of its digits.
const INT16_BASE: f32 = 255.0;

/// Magnitudes below it count as 0, so that 127 over one of them is no infinity: as in [`Kernels::quantize_activations`].
const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);

/// A value that a token keeps as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlier {
    pub(crate) column: u32,
    pub(crate) value: f32,
}

/// The activations of some tokens, in the form that kernels read. Keeps its memory from one use to the next.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    kind: ActivationKind,
    tokens: usize,
    columns: usize,
    blocks: Vec<ActivationBlock>,
    /// The low digits of [`ActivationKind::Int16`].
    low_blocks: Vec<ActivationBlock>,
    /// By token, those of [`ActivationKind::Int8Outliers`].
    outliers: Vec<Vec<Outlier>>,
    values: Vec<f32>,
    /// The tables of the blocks, where a product needed them: made once for all matrices that read these activations.
    tables: OnceLock<Vec<TableBlock>>,
    /// The same for bytes of codes, of 1 bit and of 2.
    byte_tables: [OnceLock<Vec<ByteTable>>; 2],
    /// The rounded tables of [`ActivationKind::Int8Tables`], for groups of 1 and 2 blocks.
    int8_tables: [OnceLock<Vec<Int8Tables>>; int8_lut::MAX_BLOCKS],
    /// The bit planes of [`ActivationKind::Bipolar`].
    bits: OnceLock<Vec<BitBlock>>,
    /// What the integers stand for, where a product needed it.
    decoded: OnceLock<Vec<f32>>,
}

impl Activations {
    /// Holds no tokens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `x`, tokens × columns, row-major, on up to `threads` threads of `pool`.
    ///
    /// # Errors
    /// [`TensorError::Length`] where `x` is no whole number of tokens of at least one column.
    pub fn set(
        &mut self,
        pool: &Pool,
        threads: usize,
        kernels: &Kernels,
        x: &[f32],
        columns: usize,
        kind: ActivationKind,
    ) -> Result<(), TensorError> {
        let tokens = x.len().checked_div(columns).unwrap_or(0);
        TensorError::check_length("activations", (tokens * columns).max(columns), x.len())?;
        self.kind = kind;
        self.tokens = tokens;
        self.columns = columns;
        self.outliers.clear();
        self.tables.take();
        self.byte_tables.iter_mut().for_each(|tables| drop(tables.take()));
        self.int8_tables.iter_mut().for_each(|tables| drop(tables.take()));
        self.bits.take();
        self.decoded.take();
        let blocks = columns.div_ceil(BLOCK);
        if kind.is_integer() {
            self.blocks.resize(tokens * blocks, ActivationBlock::ZERO);
        }
        match kind {
            ActivationKind::Int8G32 => self.round(pool, threads, kernels, x, BLOCK, 127.0),
            ActivationKind::Int8G64 => self.round(pool, threads, kernels, x, 2 * BLOCK, 127.0),
            ActivationKind::Int4G32 => self.round(pool, threads, kernels, x, BLOCK, 7.0),
            ActivationKind::Int8PerToken => self.round(pool, threads, kernels, x, columns, 127.0),
            ActivationKind::Int8Outliers { threshold } => {
                let mut rest = x.to_vec();
                for token in rest.chunks_exact_mut(columns) {
                    self.outliers.push(take_outliers(token, threshold));
                }
                self.round(pool, threads, kernels, &rest, BLOCK, 127.0);
            }
            ActivationKind::Int16 => {
                self.low_blocks.resize(tokens * blocks, ActivationBlock::ZERO);
                for (token, x) in x.chunks_exact(columns).enumerate() {
                    for (block, (high, low)) in int16_blocks(x).into_iter().enumerate() {
                        let index = panel_index(tokens, blocks, token, block);
                        self.blocks[index] = high;
                        self.low_blocks[index] = low;
                    }
                }
            }
            ActivationKind::Bipolar { bits } => {
                for (token, x) in x.chunks_exact(columns).enumerate() {
                    for (block, x) in x.chunks(BLOCK).enumerate() {
                        self.blocks[panel_index(tokens, blocks, token, block)] =
                            bipolar_block(x, bits);
                    }
                }
            }
            ActivationKind::F32 | ActivationKind::Int8Tables => {
                let padded = columns.next_multiple_of(CHAINS);
                self.values.resize(tokens * padded, 0.0);
                let panels = self.values.chunks_mut(PANEL * padded.max(1));
                for_each_panel(pool, threads, panels, &|first, panel| {
                    interleave(x, columns, first, panel);
                });
            }
        }
        Ok(())
    }

    /// Rounds to −`top` to `top` with a scale for each `group` columns, a multiple of 32 or all.
    fn round(
        &mut self,
        pool: &Pool,
        threads: usize,
        kernels: &Kernels,
        x: &[f32],
        group: usize,
        top: f32,
    ) {
        let columns = self.columns;
        let panels = self.blocks.chunks_mut(PANEL * columns.div_ceil(BLOCK).max(1));
        for_each_panel(pool, threads, panels, &|first, panel| {
            kernels.quantize_activations(x, columns, first, panel, Rounding { group, top });
        });
    }

    /// How they are held.
    #[must_use]
    pub fn kind(&self) -> ActivationKind {
        self.kind
    }

    /// The number of tokens.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The number of columns of a token.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The fraction of the activations that stay f32 because they are outliers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    pub fn outlier_fraction(&self) -> f64 {
        let count: usize = self.outliers.iter().map(Vec::len).sum();
        count as f64 / (self.tokens * self.columns).max(1) as f64
    }

    /// Those of a token that stay f32.
    pub(crate) fn outliers(&self, token: usize) -> &[Outlier] {
        self.outliers.get(token).map_or(&[], Vec::as_slice)
    }

    /// The quantized blocks of tokens `first` to `first + tokens - 1`: whole panels but for the last one of all.
    pub(crate) fn blocks(&self, first: usize, tokens: usize) -> &[ActivationBlock] {
        let blocks = self.columns.div_ceil(BLOCK);
        &self.blocks[first * blocks..][..tokens * blocks]
    }

    /// The tables of those blocks.
    pub(crate) fn tables(&self, first: usize, tokens: usize) -> &[TableBlock] {
        let blocks = self.columns.div_ceil(BLOCK);
        let tables = self.tables.get_or_init(|| {
            self.blocks.iter().map(|block| TableBlock::new(&block.codes)).collect()
        });
        &tables[first * blocks..][..tokens * blocks]
    }

    /// The tables of all blocks for bytes of the codes of a layout.
    pub(crate) fn byte_tables(&self, kernels: &Kernels, id: LayoutId) -> &[ByteTable] {
        let groups = byte_lut::groups(id);
        self.byte_tables[groups / 4 - 1].get_or_init(|| {
            let mut tables = vec![ByteTable::ZERO; self.blocks.len() * groups];
            kernels.byte_tables(id, &self.blocks, &mut tables);
            tables
        })
    }

    /// The planes of those blocks, of odd integers of `bits` bits.
    pub(crate) fn bits(&self, first: usize, tokens: usize, bits: u32) -> &[BitBlock] {
        let blocks = self.columns.div_ceil(BLOCK);
        let planes = self.bits.get_or_init(|| {
            self.blocks.iter().map(|block| BitBlock::new(&block.codes, bits)).collect()
        });
        &planes[first * blocks..][..tokens * blocks]
    }

    /// The rounded tables of tokens `first` to `first + tokens - 1`, for groups of so many blocks.
    pub(crate) fn int8_tables(
        &self,
        kernels: &Kernels,
        blocks_per_group: usize,
        first: usize,
        tokens: usize,
    ) -> &[Int8Tables] {
        let blocks = self.columns.div_ceil(BLOCK);
        let tables = self.int8_tables[blocks_per_group - 1].get_or_init(|| {
            let padded = self.columns.next_multiple_of(CHAINS);
            let mut tables = vec![Int8Tables::ZERO; self.tokens * blocks];
            let mut of_token = vec![Int8Tables::ZERO; blocks];
            for token in 0..self.tokens {
                let value = |column| self.values[panel_index(self.tokens, padded, token, column)];
                let x: Vec<f32> = (0..self.columns).map(value).collect();
                kernels.int8_tables(&x, blocks_per_group, &mut of_token);
                for (block, of_token) in of_token.iter().enumerate() {
                    tables[panel_index(self.tokens, blocks, token, block)] = *of_token;
                }
            }
            tables
        });
        &tables[first * blocks..][..tokens * blocks]
    }

    /// The quantized blocks of the low digits, where activations have two.
    pub(crate) fn low_blocks(&self, first: usize, tokens: usize) -> Option<&[ActivationBlock]> {
        let blocks = self.columns.div_ceil(BLOCK);
        (self.kind == ActivationKind::Int16)
            .then(|| &self.low_blocks[first * blocks..][..tokens * blocks])
    }

    /// The numbers of tokens `first` to `first + tokens - 1`: whole panels but for the last one of all. For integers, what they stand for.
    pub(crate) fn values(&self, first: usize, tokens: usize) -> &[f32] {
        let padded = self.columns.next_multiple_of(CHAINS);
        let values = if self.kind.is_integer() { self.decoded() } else { &self.values };
        &values[first * padded..][..tokens * padded]
    }

    fn decoded(&self) -> &Vec<f32> {
        self.decoded.get_or_init(|| {
            let (tokens, columns) = (self.tokens, self.columns);
            let padded = columns.next_multiple_of(CHAINS);
            let blocks = columns.div_ceil(BLOCK);
            let mut values = vec![0.0; tokens * padded];
            let number =
                |block: &ActivationBlock, k: usize| f32::from(block.codes[k]) * block.scale;
            for token in 0..tokens {
                for column in 0..columns {
                    let index = panel_index(tokens, blocks, token, column / BLOCK);
                    let value = &mut values[panel_index(tokens, padded, token, column)];
                    *value = number(&self.blocks[index], column % BLOCK);
                    if self.kind == ActivationKind::Int16 {
                        *value += number(&self.low_blocks[index], column % BLOCK);
                    }
                }
                for outlier in self.outliers(token) {
                    values[panel_index(tokens, padded, token, outlier.column as usize)] =
                        outlier.value;
                }
            }
            values
        })
    }
}

/// Of magnitudes as integers, which orders infinity and then every NaN above all numbers.
fn largest_magnitude(x: &[f32]) -> f32 {
    f32::from_bits(x.iter().map(|value| value.abs().to_bits()).fold(0, u32::max))
}

/// Sets the values of at least `threshold` to zero and returns them.
fn take_outliers(token: &mut [f32], threshold: f32) -> Vec<Outlier> {
    let mut outliers = Vec::new();
    for (column, value) in (0..).zip(token) {
        if value.abs() >= threshold {
            outliers.push(Outlier { column, value: *value });
            *value = 0.0;
        }
    }
    outliers
}

/// The nearest integer, ties to even, of a magnitude below 2^22. Adding 1.5 · 2^23 leaves no bits for a fraction; unlike `round_ties_even` it
/// needs no call where the baseline has no rounding instruction.
fn nearest(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// The nearest odd integers of `bits` bits of up to 32 activations; any where all are 0, or one is no number or infinite.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "odd integers of 4 bits; a count of at most 32"
)]
fn bipolar_block(x: &[f32], bits: u32) -> ActivationBlock {
    let top = ((1 << bits) - 1) as f32;
    let largest = largest_magnitude(x);
    let scale = match bits {
        _ if !largest.is_finite() => f32::NAN,
        _ if largest < SMALLEST => 0.0,
        1 => x.iter().map(|value| value.abs() / x.len() as f32).sum(),
        _ => largest / top,
    };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut codes = [0; BLOCK];
    for (code, &x) in codes.iter_mut().zip(x) {
        let odd = 2.0 * nearest(0.5 * (x * inverse) - 0.5) + 1.0;
        *code = odd.clamp(-top, top) as i8;
    }
    ActivationBlock::new(codes, scale)
}

/// The high and low digits of a token.
#[expect(clippy::cast_possible_truncation, reason = "-127 to 127")]
fn int16_blocks(x: &[f32]) -> Vec<(ActivationBlock, ActivationBlock)> {
    let largest = largest_magnitude(x);
    let scale = int16_scale(largest);
    let blocks = x.chunks(BLOCK).map(|x| {
        if largest < SMALLEST {
            return (ActivationBlock::ZERO, ActivationBlock::ZERO);
        }
        let (mut high, mut low) = ([0; BLOCK], [0; BLOCK]);
        if !largest.is_finite() {
            return (ActivationBlock::new(high, f32::NAN), ActivationBlock::ZERO);
        }
        for ((high, low), &value) in high.iter_mut().zip(&mut low).zip(x) {
            let mantissa = nearest(value / scale);
            let digit = nearest(mantissa / INT16_BASE);
            *high = digit as i8;
            *low = (mantissa - digit * INT16_BASE) as i8;
        }
        (ActivationBlock::new(high, INT16_BASE * scale), ActivationBlock::new(low, scale))
    });
    blocks.collect()
}

/// The least power of two under which `largest` is a mantissa.
fn int16_scale(largest: f32) -> f32 {
    let exponent = (largest.to_bits() >> 23).cast_signed() - 127 - 14;
    let scale = f32::from_bits((exponent.max(-126) + 127).cast_unsigned() << 23);
    if nearest(largest / scale) > INT16_MAX { 2.0 * scale } else { scale }
}

/// Calls `body(first token, panel)` for each panel.
fn for_each_panel<'a, T: Send + 'a>(
    pool: &Pool,
    threads: usize,
    panels: impl ExactSizeIterator<Item = &'a mut [T]>,
    body: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    if threads <= 1 || panels.len() <= 1 {
        panels.enumerate().for_each(|(index, panel)| body(index * PANEL, panel));
        return;
    }
    let panels: Vec<_> = panels.map(Mutex::new).collect();
    pool.run(threads, panels.len(), &|index| {
        body(index * PANEL, &mut panels[index].lock().unwrap_or_else(PoisonError::into_inner));
    });
}

/// Writes the panel that begins with token `first`: for each column, the values of its tokens.
fn interleave(x: &[f32], columns: usize, first: usize, panel: &mut [f32]) {
    let width = panel_width(x.len() / columns, first);
    let tokens = x[first * columns..].chunks_exact(columns);
    let (values, padding) = panel.split_at_mut(columns * width);
    for (token, x) in tokens.take(width).enumerate() {
        for (column, &value) in values.chunks_exact_mut(width).zip(x) {
            column[token] = value;
        }
    }
    padding.fill(0.0);
}
