//! Weights in the form that kernels read.
//!
//! A matrix is packed once, when it is loaded, and then the only copy: products read it, and so do look-ups of single rows. Where a file's blocks hold a
//! scale for each 32 weights, so does the packed form: packing rounds nothing.

mod repack;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use dyadic_formats::GgufType;
use dyadic_kernels::Kernels;
use dyadic_kernels::matmul::LayoutId;
use dyadic_kernels::matmul::float::FloatLayout;
use dyadic_kernels::matmul::layout::{BLOCK, TILE_ROWS};

use crate::activations::ActivationKind;
use crate::buffer::Buffer;
use crate::pool::Pool;
use crate::{Shape, TensorError};

/// About how many bytes of packed weights a task of packing writes.
const TASK_BYTES: usize = 1 << 18;

/// How the weights of a matrix lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Integer codes with scales, for 8-bit activations.
    Codes(LayoutId),
    /// Floating-point numbers, for f32 activations.
    Float(FloatLayout),
}

impl Layout {
    /// The layout that holds tensors of a type without loss. `None` for types that are no weights.
    const fn of(format: GgufType) -> Option<Self> {
        Some(match format {
            GgufType::F32 => Self::Float(FloatLayout::F32),
            GgufType::F16 => Self::Float(FloatLayout::F16),
            GgufType::BF16 => Self::Float(FloatLayout::Bf16),
            GgufType::Q4_0 => Self::Codes(LayoutId::U4F16),
            GgufType::Q4_1 => Self::Codes(LayoutId::U4F16Minimum),
            GgufType::Q5_0 => Self::Codes(LayoutId::U5F16),
            GgufType::Q5_1 => Self::Codes(LayoutId::U5F16Minimum),
            GgufType::Q8_0 => Self::Codes(LayoutId::I8F16),
            GgufType::Q2_K => Self::Codes(LayoutId::U2Super),
            GgufType::Q3_K => Self::Codes(LayoutId::U3Super),
            GgufType::Q4_K => Self::Codes(LayoutId::U4Super),
            GgufType::Q5_K => Self::Codes(LayoutId::U5Super),
            GgufType::Q6_K => Self::Codes(LayoutId::U6Super),
            GgufType::IQ4_NL => Self::Codes(LayoutId::Iq4F16),
            GgufType::IQ4_XS => Self::Codes(LayoutId::Iq4Super),
            GgufType::TQ1_0 | GgufType::TQ2_0 => Self::Codes(LayoutId::U2F16x8),
            GgufType::MXFP4 => Self::Codes(LayoutId::E2m1PowerOfTwo),
            GgufType::NVFP4 => Self::Codes(LayoutId::E2m1F16Halves),
            GgufType::Q1_0 => Self::Codes(LayoutId::BipolarF16x4),
            GgufType::Q2_0 => Self::Codes(LayoutId::U2F16x2),
            GgufType::I8 | GgufType::I16 | GgufType::I32 | GgufType::I64 | GgufType::F64 => {
                return None;
            }
        })
    }

    fn tile_bytes(self, columns: usize) -> Option<usize> {
        match self {
            Self::Codes(layout) => layout.spec().tile_bytes(columns.div_ceil(BLOCK)),
            Self::Float(layout) => layout.tile_bytes(columns),
        }
    }
}

/// A matrix of weights, rows × columns, packed for the kernels of one instruction set.
pub struct PackedWeights {
    kernels: &'static Kernels,
    format: GgufType,
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
        let tile_bytes = layout.tile_bytes(columns);
        let packed_bytes = tile_bytes.and_then(|tile| tile.checked_mul(rows.div_ceil(TILE_ROWS)));
        let (Some(tile_bytes), Some(packed_bytes)) = (tile_bytes, packed_bytes) else {
            return Err(TensorError::OutOfMemory { bytes: usize::MAX });
        };
        let mut buffer = Buffer::new(packed_bytes)
            .map_err(|_| TensorError::OutOfMemory { bytes: packed_bytes })?;

        let task_tiles = (TASK_BYTES / tile_bytes).max(1);
        let tasks: Vec<_> = buffer
            .chunks_mut(task_tiles * tile_bytes)
            .zip(bytes.chunks(task_tiles * TILE_ROWS * row_bytes))
            .map(Mutex::new)
            .collect();
        pool.run(threads, tasks.len(), &|task| {
            let mut task = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            let (tiles, rows) = &mut *task;
            let tiles = tiles.chunks_exact_mut(tile_bytes);
            for (tile, rows) in tiles.zip(rows.chunks(TILE_ROWS * row_bytes)) {
                repack::tile(format, layout, rows, row_bytes, tile);
            }
        });
        drop(tasks);
        Ok(Self { kernels, format, layout, rows, columns, tile_bytes, bytes: buffer })
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

    /// The type that the weights had in the file.
    #[must_use]
    pub fn format(&self) -> GgufType {
        self.format
    }

    /// The bytes that the packed weights take.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The name of the layout.
    #[must_use]
    pub fn layout_name(&self) -> &'static str {
        match self.layout {
            Layout::Codes(layout) => layout.spec().name,
            Layout::Float(layout) => layout.name(),
        }
    }

    /// The name of the kernel that multiplies these weights.
    #[must_use]
    pub fn kernel_name(&self) -> &'static str {
        match self.layout {
            Layout::Codes(layout) => self.kernels.matmul_name(layout),
            Layout::Float(layout) => self.kernels.matmul_float_name(layout),
        }
    }

    /// How activations must be prepared for these weights: by their type alone, never by the CPU.
    #[must_use]
    pub fn activations(&self) -> ActivationKind {
        match self.layout {
            Layout::Codes(_) => ActivationKind::Int8G32,
            Layout::Float(_) => ActivationKind::F32,
        }
    }

    /// Writes the weights of one row, as the format defines them: the look-up of an embedding.
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
        let tile = &self.bytes[tile * self.tile_bytes..][..self.tile_bytes];
        match self.layout {
            Layout::Codes(layout) => {
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    let values = layout.spec().decode_block(tile, block, row);
                    out.copy_from_slice(&values[..out.len()]);
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

    pub(crate) fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    pub(crate) fn tile_bytes(&self) -> usize {
        self.tile_bytes
    }

    /// The bytes of `count` tiles from `first` on.
    pub(crate) fn tiles(&self, first: usize, count: usize) -> &[u8] {
        &self.bytes[first * self.tile_bytes..][..count * self.tile_bytes]
    }
}

impl fmt::Debug for PackedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedWeights")
            .field("format", &self.format)
            .field("rows", &self.rows)
            .field("columns", &self.columns)
            .field("kernel", &self.kernel_name())
            .finish_non_exhaustive()
    }
}
