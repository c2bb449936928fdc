//! Weights in the form that kernels read.
//!
//! A matrix is packed once, when it is loaded, and then the only copy: products read it, and so do look-ups of single rows. Where a file's blocks hold a
//! scale for each 32 weights, so does the packed form: packing rounds nothing.

mod mixed_width;
mod quantized;
mod repack;

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dyadic_formats::float::canonical;
use dyadic_formats::{Format, GgufType, MixedWidth, Quantized, Storage, pack};
use dyadic_kernels::Kernels;
use dyadic_kernels::matmul::float::FloatLayout;
use dyadic_kernels::matmul::layout::{BLOCK, Codes, LayoutSpec, TILE_ROWS};
use dyadic_kernels::matmul::weight_only::integer_values;
use dyadic_kernels::matmul::{LayoutId, byte_lut, int8_lut, lut, popcount};

use self::quantized::Plan;
use crate::activations::ActivationKind;
use crate::buffer::Buffer;
use crate::pool::Pool;
use crate::{Shape, TensorError};

/// About how many bytes of packed weights a task of packing writes.
const TASK_BYTES: usize = 1 << 18;

/// How the weights of a matrix lie in memory.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// Codes with scales, for integer activations and for f32 ones.
    Codes(CodeLayout),
    /// Floating-point numbers, for f32 activations.
    Float(FloatLayout),
}

/// A layout of codes, with all that products must know of the tensor.
#[derive(Clone, Debug)]
pub(crate) struct CodeLayout {
    /// How they lie.
    pub(crate) spec: LayoutSpec,
    /// What each code means.
    pub(crate) values: Box<[f32; 256]>,
    /// What the whole matrix is multiplied by.
    pub(crate) factor: f32,
    /// In which order.
    pub(crate) order: Order,
}

/// In which order codes lie. The bits of a result do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As [`LayoutSpec`] says, for dot products.
    Quads,
    /// In bit planes, for products by tables of four columns.
    Planes,
    /// In nibbles of bit planes, for products by rounded tables.
    Nibbles,
    /// In words of bit planes, for products by population counts.
    Words,
    /// In bytes of four tiles, for products by tables of a byte; tiles that are left over in quads.
    Bytes,
}

/// How the integer products of a matrix are made. The bits of a result do not depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelChoice {
    /// As was measured to be faster on CPUs of this kind.
    #[default]
    Auto,
    /// By integer dot products.
    Dot,
    /// By look-up tables where the layout has such kernels (integers of 1 to 4 bits). They gain nothing from many tokens.
    Tables,
    /// By rounded look-up tables where the layout has such kernels, of [`ActivationKind::Int8Tables`]; those of other kinds take longer then.
    Int8Tables,
    /// By population counts where the layout has such kernels and activations are [`ActivationKind::Bipolar`] of so few bits that the product of the widths is
    /// at most 8; other products take longer then.
    BitPlanes,
}

impl Layout {
    /// The layout that holds tensors of a type without loss. `None` for types that are no weights.
    fn of(format: GgufType) -> Option<Self> {
        let id = match format {
            GgufType::F32 => return Some(Self::Float(FloatLayout::F32)),
            GgufType::F16 => return Some(Self::Float(FloatLayout::F16)),
            GgufType::BF16 => return Some(Self::Float(FloatLayout::Bf16)),
            GgufType::Q4_0 => LayoutId::U4F16,
            GgufType::Q4_1 => LayoutId::U4F16Minimum,
            GgufType::Q5_0 => LayoutId::U5F16,
            GgufType::Q5_1 => LayoutId::U5F16Minimum,
            GgufType::Q8_0 => LayoutId::I8F16,
            GgufType::Q2_K => LayoutId::U2Super,
            GgufType::Q3_K => LayoutId::U3Super,
            GgufType::Q4_K => LayoutId::U4Super,
            GgufType::Q5_K => LayoutId::U5Super,
            GgufType::Q6_K => LayoutId::U6Super,
            GgufType::IQ4_NL => LayoutId::Iq4F16,
            GgufType::IQ4_XS => LayoutId::Iq4Super,
            GgufType::TQ1_0 | GgufType::TQ2_0 => LayoutId::U2F16x8,
            GgufType::MXFP4 => LayoutId::E2m1PowerOfTwo,
            GgufType::NVFP4 => LayoutId::E2m1F16Halves,
            GgufType::Q1_0 => LayoutId::BipolarF16x4,
            GgufType::Q2_0 => LayoutId::U2F16x2,
            GgufType::I8 | GgufType::I16 | GgufType::I32 | GgufType::I64 | GgufType::F64 => {
                return None;
            }
        };
        let spec = *id.spec();
        let values = Box::new(integer_values(&spec));
        Some(Self::Codes(CodeLayout::new(spec, values, 1.0)))
    }

    fn tile_bytes(&self, columns: usize) -> Option<usize> {
        match self {
            Self::Codes(layout) => layout.spec.tile_bytes(columns.div_ceil(BLOCK)),
            Self::Float(layout) => layout.tile_bytes(columns),
        }
    }
}

/// A matrix of weights, rows × columns, packed for the kernels of one instruction set.
pub struct PackedWeights {
    kernels: &'static Kernels,
    format: Format,
    layout: Layout,
    rows: usize,
    columns: usize,
    tile_bytes: usize,
    /// Tiles of 16 rows.
    bytes: Buffer,
}

impl PackedWeights {
    /// Packs a row-major matrix of GGUF blocks, on up to `threads` threads of `pool`.
    ///
    /// # Errors
    /// - [`TensorError::UnsupportedFormat`] where the type is none that weights have;
    /// - [`TensorError::WeightBytes`] where `bytes` is not a matrix of that shape, or a row is no whole number of blocks;
    /// - [`TensorError::EmptyShape`] where there are no rows or no columns;
    /// - [`TensorError::OutOfMemory`].
    pub fn pack(
        kernels: &'static Kernels,
        pool: &Pool,
        threads: usize,
        format: GgufType,
        bytes: &[u8],
        shape: Shape,
    ) -> Result<Self, TensorError> {
        let Shape { rows, columns } = shape;
        let layout = Layout::of(format).ok_or(TensorError::UnsupportedFormat { format })?;
        if rows == 0 || columns == 0 {
            return Err(TensorError::EmptyShape { shape });
        }
        let row_bytes = format.byte_len(columns);
        let expected = row_bytes.and_then(|row_bytes| row_bytes.checked_mul(rows));
        let (Some(row_bytes), Some(true)) = (row_bytes, expected.map(|len| len == bytes.len()))
        else {
            return Err(TensorError::WeightBytes { format, shape, expected, actual: bytes.len() });
        };
        let of_gguf = Format::gguf(format).ok_or(TensorError::UnsupportedFormat { format })?;
        Self::fill(kernels, pool, threads, of_gguf, layout, shape, |layout, index, tile| {
            let first = index * TILE_ROWS * row_bytes;
            let rows = &bytes[first..bytes.len().min(first + TILE_ROWS * row_bytes)];
            repack::tile(format, layout, rows, row_bytes, tile);
        })
    }

    /// Packs a tensor of any format, on up to `threads` threads of `pool`.
    ///
    /// Codes up to 8 bits stay codes where their groups are whole rows or a multiple of 16 columns; everything else becomes f32.
    /// [`PackedWeights::kernel_name`] and [`PackedWeights::layout_name`] say which it was.
    ///
    /// # Errors
    /// As [`PackedWeights::pack`]; [`TensorError::Length`] where the parts of the tensor do not belong together.
    pub fn from_quantized(
        kernels: &'static Kernels,
        pool: &Pool,
        threads: usize,
        tensor: &Quantized,
    ) -> Result<Self, TensorError> {
        let shape = Shape { rows: tensor.rows, columns: tensor.columns };
        if let Storage::Gguf(format) = tensor.format.storage {
            return Self::pack(kernels, pool, threads, format, &tensor.codes, shape);
        }
        if shape.rows == 0 || shape.columns == 0 {
            return Err(TensorError::EmptyShape { shape });
        }
        if let Storage::MixedWidth(mixed) = tensor.format.storage {
            return Self::from_mixed_width(kernels, pool, threads, tensor, mixed);
        }
        check_parts(tensor)?;
        let plan = Plan::new(tensor);
        let (layout, format) = (plan.layout.clone(), tensor.format.clone());
        Self::fill(kernels, pool, threads, format, layout, shape, |_, index, tile| {
            plan.tile(index, tile);
        })
    }

    fn from_mixed_width(
        kernels: &'static Kernels,
        pool: &Pool,
        threads: usize,
        tensor: &Quantized,
        mixed: MixedWidth,
    ) -> Result<Self, TensorError> {
        let shape = Shape { rows: tensor.rows, columns: tensor.columns };
        let records = shape.columns / MixedWidth::ELEMENTS;
        let whole = records * MixedWidth::ELEMENTS;
        TensorError::check_length("the columns of whole records", whole, shape.columns)?;
        let row_bytes = records.saturating_mul(mixed.record_bytes());
        let expected = row_bytes.saturating_mul(shape.rows);
        TensorError::check_length("the records of a tensor", expected, tensor.codes.len())?;
        mixed_width::check(mixed, &tensor.codes)?;
        let spec = *LayoutId::Odd4Super.spec();
        let values = Box::new(integer_values(&spec));
        let layout = Layout::Codes(CodeLayout::new(spec, values, mixed_width::UNIT));
        let format = tensor.format.clone();
        Self::fill(kernels, pool, threads, format, layout, shape, |_, index, tile| {
            let rows = tensor.codes.chunks_exact(row_bytes).skip(index * TILE_ROWS);
            for (row, records) in rows.take(TILE_ROWS).enumerate() {
                mixed_width::row(mixed, &spec, records, row, tile);
            }
        })
    }

    /// Weights whose tiles are written by `pack(layout, index, zeroed tile)`.
    fn fill(
        kernels: &'static Kernels,
        pool: &Pool,
        threads: usize,
        format: Format,
        layout: Layout,
        Shape { rows, columns }: Shape,
        pack: impl Fn(&Layout, usize, &mut [u8]) + Sync,
    ) -> Result<Self, TensorError> {
        let tile_bytes = layout.tile_bytes(columns);
        let packed_bytes = tile_bytes.and_then(|tile| tile.checked_mul(rows.div_ceil(TILE_ROWS)));
        let (Some(tile_bytes), Some(packed_bytes)) = (tile_bytes, packed_bytes) else {
            return Err(TensorError::OutOfMemory { bytes: usize::MAX });
        };
        let mut buffer = Buffer::new(packed_bytes)
            .map_err(|_| TensorError::OutOfMemory { bytes: packed_bytes })?;
        let task_tiles = (TASK_BYTES / tile_bytes).max(1);
        let tasks: Vec<_> = buffer.chunks_mut(task_tiles * tile_bytes).map(Mutex::new).collect();
        pool.run(threads, tasks.len(), &|task| {
            let first = task * task_tiles;
            let mut tiles = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            for (index, tile) in tiles.chunks_exact_mut(tile_bytes).enumerate() {
                pack(&layout, first + index, tile);
            }
        });
        drop(tasks);
        let mut weights =
            Self { kernels, format, layout, rows, columns, tile_bytes, bytes: buffer };
        weights.choose(pool, threads, KernelChoice::Auto);
        Ok(weights)
    }

    /// Says how products are made, and rearranges the weights for it.
    pub fn choose(&mut self, pool: &Pool, threads: usize, choice: KernelChoice) {
        let Layout::Codes(layout) = &mut self.layout else { return };
        let Some(id) = layout.spec.id else { return };
        let isa = self.kernels.isa();
        let to = match choice {
            KernelChoice::Auto if lut::is_preferred(isa, id) => Order::Planes,
            KernelChoice::Tables if byte_lut::is_supported(isa, id, self.rows) => Order::Bytes,
            KernelChoice::Tables if lut::is_supported(id) => Order::Planes,
            KernelChoice::Int8Tables if int8_lut::is_supported(id) => Order::Nibbles,
            KernelChoice::BitPlanes if popcount::is_supported(id) => Order::Words,
            _ => Order::Quads,
        };
        let from = std::mem::replace(&mut layout.order, to);
        if from == to {
            return;
        }
        let (kernels, spec, tile_bytes) = (self.kernels, layout.spec, self.tile_bytes);
        let blocks = self.columns.div_ceil(BLOCK);
        let fours = self.bytes.chunks_mut(byte_lut::TILES * tile_bytes);
        let fours: Vec<_> = fours.map(Mutex::new).collect();
        pool.run(threads, fours.len(), &|index| {
            let mut four = fours[index].lock().unwrap_or_else(PoisonError::into_inner);
            rearrange(kernels, &spec, &mut four, tile_bytes, blocks, [from, to]);
        });
    }

    /// Ternary weights with a scale for each row or all, packed again with five weights in a byte: a fifth fewer bytes to keep, but 1.7 times the work to take
    /// apart (Zen 4, in the cache: 28 against 16.5 µs for 1024 × 2048). `None` for other weights. The bits of a product do not depend on it.
    ///
    /// # Errors
    /// [`TensorError::OutOfMemory`].
    pub fn to_trits(&self, pool: &Pool, threads: usize) -> Result<Option<Self>, TensorError> {
        let Layout::Codes(CodeLayout { spec, values, factor, .. }) = &self.layout else {
            return Ok(None);
        };
        let blocks = self.columns.div_ceil(BLOCK);
        let is_ternary = spec.codes == Codes::Unsigned { bits: 2, zero_point: 1 };
        let has_fives = spec.grouping.run >= blocks || spec.grouping.run.is_multiple_of(5);
        if !is_ternary || spec.id != Some(LayoutId::U2Grouped) || !has_fives {
            return Ok(None);
        }
        let pattern = LayoutId::TritsGrouped.spec();
        let trits = LayoutSpec { grouping: spec.grouping, ..*pattern };
        let layout = Layout::Codes(CodeLayout::new(trits, values.clone(), *factor));
        let shape = Shape { rows: self.rows, columns: self.columns };
        let has_other_codes = AtomicBool::new(false);
        let packed = Self::fill(
            self.kernels,
            pool,
            threads,
            self.format.clone(),
            layout,
            shape,
            |_, index, tile| {
                let from = &*self.tile_in_quads(index);
                for block in 0..blocks {
                    let header = &from[spec.header_offset(block)..][..spec.header_bytes()];
                    trits.header_mut(tile, block).copy_from_slice(header);
                    for row in 0..TILE_ROWS {
                        let codes = spec.codes(from, block, row);
                        if codes.contains(&3) {
                            has_other_codes.store(true, Ordering::Relaxed);
                        }
                        let (quads, _) = codes.as_chunks::<4>();
                        let quads = std::array::from_fn(|quad| u32::from_le_bytes(quads[quad]));
                        trits.store_codes(tile, block, row, &quads);
                    }
                }
            },
        )?;
        Ok((!has_other_codes.into_inner()).then_some(packed))
    }

    /// The number of rows: outputs of a product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns: inputs of a product.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The format that the weights had.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The bytes that the packed weights take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The name of the layout.
    #[must_use]
    pub fn layout_name(&self) -> &'static str {
        match &self.layout {
            Layout::Codes(layout) => layout.spec.name,
            Layout::Float(layout) => layout.name(),
        }
    }

    /// The name of the kernel that multiplies these weights by activations of the default kind.
    #[must_use]
    pub fn kernel_name(&self) -> &'static str {
        self.kernel_name_for(self.activations())
    }

    /// The name of the kernel that multiplies these weights by activations of a kind.
    #[must_use]
    pub fn kernel_name_for(&self, kind: ActivationKind) -> &'static str {
        match &self.layout {
            Layout::Codes(layout @ CodeLayout { spec, order, .. }) => match spec.id {
                Some(id) if layout.bits_of_planes(kind).is_some() => {
                    self.kernels.matmul_by_popcount_name(id)
                }
                Some(id) if kind == ActivationKind::Int8Tables && int8_lut::is_supported(id) => {
                    self.kernels.matmul_by_int8_tables_name(id)
                }
                Some(id) if kind.has_tables() && *order == Order::Planes => {
                    self.kernels.matmul_by_tables_name(id)
                }
                Some(id) if kind.has_tables() && *order == Order::Bytes => {
                    self.kernels.matmul_by_byte_tables_name(id)
                }
                Some(id) if kind.is_integer() => self.kernels.matmul_name(id),
                _ => self.kernels.matmul_codes_name(),
            },
            Layout::Float(layout) => self.kernels.matmul_float_name(*layout),
        }
    }

    /// The kind of activations that these weights get by default: int8-g32 for quantized weights, f32 for others. By their format alone, never by the
    /// CPU.
    #[must_use]
    pub fn activations(&self) -> ActivationKind {
        let is_quantized = match self.format.storage {
            Storage::Gguf(_) | Storage::MixedWidth(_) => true,
            Storage::Planar => self.format.scale.is_some() || self.format.element.bits() <= 8,
        };
        if is_quantized { ActivationKind::Int8G32 } else { ActivationKind::F32 }
    }

    /// Whether products with integer activations take them as integers; else they are multiplied as the numbers that they stand for.
    pub(crate) fn takes_integers(&self) -> bool {
        matches!(&self.layout, Layout::Codes(layout) if layout.spec.id.is_some())
    }

    /// Writes the weights of one row: the look-up of an embedding. Exactly as the format defines them, but that with zero points under f32 scales the last
    /// bit may differ.
    ///
    /// # Errors
    /// - [`TensorError::Row`] where there is no such row;
    /// - [`TensorError::Length`] where `out` has not one element for each column.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) -> Result<(), TensorError> {
        if row >= self.rows {
            return Err(TensorError::Row { row, rows: self.rows });
        }
        TensorError::check_length("the output of a row", self.columns, out.len())?;
        let (tile, row) = (row / TILE_ROWS, row % TILE_ROWS);
        let tile = &*self.tile_in_quads(tile);
        match &self.layout {
            Layout::Codes(layout) => {
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    let weights = layout.decode_block(tile, block, row);
                    out.copy_from_slice(&weights[..out.len()]);
                }
            }
            Layout::Float(layout) => {
                for (column, out) in out.iter_mut().enumerate() {
                    *out = layout.load(tile, row, column);
                }
            }
        }
        Ok(())
    }

    /// A tile from which single weights can be read.
    pub(crate) fn tile_of_numbers(&self, index: usize) -> TileOfNumbers<'_> {
        TileOfNumbers { layout: &self.layout, tile: self.tile_in_quads(index) }
    }

    /// A tile with its codes as kernels other than those by tables read them.
    fn tile_in_quads(&self, index: usize) -> Cow<'_, [u8]> {
        let tile = self.tiles(index, 1);
        let Layout::Codes(CodeLayout { spec, order, .. }) = &self.layout else {
            return Cow::Borrowed(tile);
        };
        let blocks = self.columns.div_ceil(BLOCK);
        let first = index / byte_lut::TILES * byte_lut::TILES;
        match order {
            Order::Quads => Cow::Borrowed(tile),
            Order::Bytes if first + byte_lut::TILES <= self.rows.div_ceil(TILE_ROWS) => {
                let mut quads = vec![0; tile.len()];
                let four = self.tiles(first, byte_lut::TILES);
                self.kernels.bytes_to_tiles(spec, four, blocks, index - first, &mut quads);
                Cow::Owned(quads)
            }
            Order::Bytes | Order::Planes | Order::Nibbles | Order::Words => {
                let mut quads = tile.to_vec();
                let orders = [*order, Order::Quads];
                rearrange(self.kernels, spec, &mut quads, tile.len(), blocks, orders);
                Cow::Owned(quads)
            }
        }
    }

    pub(crate) fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn tile_bytes(&self) -> usize {
        self.tile_bytes
    }

    /// The bytes of `count` tiles from `first` on.
    pub(crate) fn tiles(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.tile_bytes..][..count * self.tile_bytes]
    }
}

/// Moves the codes of up to four tiles from one order to another.
pub(crate) fn rearrange(
    kernels: &Kernels,
    spec: &LayoutSpec,
    four: &mut [u8],
    tile_bytes: usize,
    blocks: usize,
    [from, to]: [Order; 2],
) {
    let whole = four.len() == byte_lut::TILES * tile_bytes;
    let codes = four.to_vec();
    let tiles = codes.chunks_exact(tile_bytes).zip(four.chunks_exact_mut(tile_bytes));
    match from {
        Order::Planes => tiles.for_each(|(from, to)| lut::from_planes(spec, from, blocks, to)),
        Order::Nibbles => {
            tiles.for_each(|(from, to)| int8_lut::from_nibbles(spec, from, blocks, to));
        }
        Order::Words => tiles.for_each(|(from, to)| popcount::from_words(spec, from, blocks, to)),
        Order::Bytes if whole => kernels.bytes_to_tiles(spec, &codes, blocks, 0, four),
        Order::Bytes | Order::Quads => {}
    }
    let tiles = four.chunks_exact_mut(tile_bytes);
    match to {
        Order::Planes => tiles.for_each(|tile| lut::to_planes(spec, tile, blocks)),
        Order::Nibbles => tiles.for_each(|tile| int8_lut::to_nibbles(spec, tile, blocks)),
        Order::Words => tiles.for_each(|tile| popcount::to_words(spec, tile, blocks)),
        Order::Bytes if whole => byte_lut::from_tiles(spec, four, blocks),
        Order::Bytes | Order::Quads => {}
    }
}

/// A tile of weights, for look-ups of single ones.
pub(crate) struct TileOfNumbers<'a> {
    layout: &'a Layout,
    tile: Cow<'a, [u8]>,
}

impl TileOfNumbers<'_> {
    /// The weight of a row at a column.
    pub(crate) fn weight(&self, row: usize, column: usize) -> f32 {
        match self.layout {
            Layout::Codes(layout) => {
                layout.decode_block(&self.tile, column / BLOCK, row)[column % BLOCK]
            }
            Layout::Float(layout) => layout.load(&self.tile, row, column),
        }
    }
}

impl CodeLayout {
    fn new(spec: LayoutSpec, values: Box<[f32; 256]>, factor: f32) -> Self {
        Self { spec, values, factor, order: Order::Quads }
    }

    /// The bits of activations, where products with them are made by population counts.
    pub(crate) fn bits_of_planes(&self, kind: ActivationKind) -> Option<u32> {
        match kind {
            ActivationKind::Bipolar { bits }
                if self.order == Order::Words
                    && bits * self.spec.codes.bits() <= popcount::MAX_WIDTHS =>
            {
                Some(bits)
            }
            _ => None,
        }
    }

    /// 32 weights of a row, as the format's own decoder rounds them.
    fn decode_block(&self, tile: &[u8], block: usize, row: usize) -> [f32; BLOCK] {
        let Self { spec, values, factor, .. } = self;
        if !matches!(spec.codes, Codes::Numbers { .. }) && *factor == 1.0 {
            return spec.decode_block(tile, block, row);
        }
        let scales = spec.row_scales(tile, block, row);
        let codes = spec.codes(tile, block, row);
        std::array::from_fn(|k| {
            let half = k / (BLOCK / 2);
            let weight = values[usize::from(codes[k])] * (scales.scale[half] * factor);
            let weight = if spec.has_minimums() { weight + scales.minimum[half] } else { weight };
            canonical(weight)
        })
    }
}

/// Checks that the parts of a planar tensor are as long as its format and shape say.
fn check_parts(tensor: &Quantized) -> Result<(), TensorError> {
    let format = &tensor.format;
    let check = |what, codes: Option<usize>, bits: u32, bytes: &[u8]| {
        let expected = match (codes, bits) {
            (Some(_), 0) => Some(0),
            (Some(codes), bits) => pack::packed_len(codes, bits),
            (None, _) => None,
        };
        TensorError::check_length(what, expected.unwrap_or(usize::MAX), bytes.len())
    };
    let elements = tensor.rows.checked_mul(tensor.columns);
    check("the codes of a tensor", elements, format.element.bits(), &tensor.codes)?;
    let groups = tensor.reader().groups().count();
    let scale_bits = format.scale.as_ref().map_or(0, |scale| scale.element.bits());
    check("the scales of a tensor", Some(groups), scale_bits, &tensor.scales)?;
    check("the zero points of a tensor", Some(groups), format.zero_bits(), &tensor.zeros)?;
    check("the selectors of a tensor", Some(groups), format.selector_bits(), &tensor.selectors)
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeights")
            .field("format", &self.format.to_string())
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("kernel", &self.kernel_name())
            .finish_non_exhaustive()
    }
}
