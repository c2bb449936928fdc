//! Products of complex matrices whose elements are 1, i, −1 or −i (iFairy), in 2 bits each.
//!
//! ```text
//! W = re_scale · Re(unit) + i · im_scale · Im(unit)
//! y_re = re_scale · (U_re x_re) − im_scale · (U_im x_im)        U_re, U_im: −1, 0, 1
//! y_im = re_scale · (U_re x_im) + im_scale · (U_im x_re)
//! ```
//!
//! The real and the imaginary parts of the units are two tables for the same codes, so the packed matrix is kept once and read twice, with `x_re` and `x_im`
//! for two tokens: integer additions alone, until the scales.

use dyadic_formats::complex::{self, ComplexScales};
use dyadic_formats::float::canonical;
use dyadic_kernels::Kernels;
use dyadic_kernels::matmul::layout::{BLOCK, Grouping, LayoutSpec, TILE_ROWS};
use dyadic_kernels::matmul::{LayoutId, OutputColumns};

use crate::activations::{ActivationKind, Activations};
use crate::buffer::Buffer;
use crate::pool::Pool;
use crate::{Shape, TensorError};

/// A matrix of complex units, packed.
pub struct ComplexWeights {
    kernels: &'static Kernels,
    shape: Shape,
    scales: ComplexScales,
    /// The layouts of the real and the imaginary parts.
    parts: [LayoutSpec; 2],
    bytes: Buffer,
}

/// A complex vector for each token, in two planes.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Real parts, tokens × elements.
    pub re: Vec<f32>,
    /// Imaginary parts.
    pub im: Vec<f32>,
}

impl ComplexWeights {
    /// Packs the codes of units ([`complex::decode`]), row-major.
    ///
    /// # Errors
    /// - [`TensorError::EmptyShape`] where there are no rows or no columns;
    /// - [`TensorError::Length`] where there is not one code for each element;
    /// - [`TensorError::OutOfMemory`].
    pub fn pack(
        kernels: &'static Kernels,
        codes: &[u8],
        scales: ComplexScales,
        shape: Shape,
    ) -> Result<Self, TensorError> {
        let Shape { rows, columns } = shape;
        if rows == 0 || columns == 0 {
            return Err(TensorError::EmptyShape { shape });
        }
        TensorError::check_length(
            "the codes of a matrix",
            rows.saturating_mul(columns),
            codes.len(),
        )?;
        let blocks = columns.div_ceil(BLOCK);
        let grouping = Grouping { run: blocks, ..Grouping::DEFAULT };
        let parts = [0, 1].map(|part| {
            let table = std::array::from_fn(|code| match (part, code) {
                (0, 0) | (1, 1) => 1,
                (0, 2) | (1, 3) => -1,
                _ => 0,
            });
            LayoutSpec { grouping, table, ..*LayoutId::T2Grouped.spec() }
        });
        let spec = &parts[0];
        let tile_bytes = spec.tile_bytes(blocks).unwrap_or(usize::MAX);
        let len = tile_bytes.saturating_mul(rows.div_ceil(TILE_ROWS));
        let mut bytes = Buffer::new(len).map_err(|_| TensorError::OutOfMemory { bytes: len })?;
        for (row, codes) in codes.chunks_exact(columns).enumerate() {
            let tile = &mut bytes[row / TILE_ROWS * tile_bytes..][..tile_bytes];
            let row = row % TILE_ROWS;
            spec.store_grouped_scale(tile, 0, 0, row, (1.0, 0.0));
            for (block, codes) in codes.chunks(BLOCK).enumerate() {
                let mut padded = [0; BLOCK];
                padded[..codes.len()].copy_from_slice(codes);
                let (quads, _) = padded.as_chunks::<4>();
                let quads = std::array::from_fn(|q| u32::from_le_bytes(quads[q]) & 0x0303_0303);
                spec.store_codes(tile, block, row, &quads);
            }
        }
        Ok(Self { kernels, shape, scales, parts, bytes })
    }

    /// Rounds complex weights and packs them.
    ///
    /// # Errors
    /// As [`ComplexWeights::pack`].
    pub fn quantize(
        kernels: &'static Kernels,
        values: &[complex::Complex],
        shape: Shape,
    ) -> Result<Self, TensorError> {
        let mut codes = vec![0; values.len()];
        let scales = complex::quantize(values, &mut codes);
        Self::pack(kernels, &codes, scales, shape)
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The bytes that the packed weights take: 2 bits an element, and 2 bytes a row.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The product with each token of `x`; activations are rounded as `kind` says, one of one digit; others count as
    /// int8-g32.
    ///
    /// # Errors
    /// [`TensorError::Length`] where the planes are no tokens of as many elements as the matrix has columns.
    pub fn multiply(
        &self,
        pool: &Pool,
        x: &Planes,
        kind: ActivationKind,
    ) -> Result<Planes, TensorError> {
        let Shape { rows, columns } = self.shape;
        TensorError::check_length("the imaginary parts", x.re.len(), x.im.len())?;
        let tokens = x.re.len() / columns;
        let blocks = columns.div_ceil(BLOCK);
        let mut activations = Activations::new();
        let both = [&x.re[..], &x.im[..]].concat();
        let kind = match kind {
            ActivationKind::Int8G64 | ActivationKind::Int8PerToken | ActivationKind::Int4G32 => {
                kind
            }
            _ => ActivationKind::Int8G32,
        };
        activations.set(pool, 1, self.kernels, &both, columns, kind)?;
        // [part of W][part of x][token][row]
        let products = self.parts.map(|spec| {
            let mut out = vec![0.0; 2 * tokens * rows];
            let mut columns = OutputColumns::new(&mut out, rows);
            let activations = activations.blocks(0, 2 * tokens);
            self.kernels.matmul(&spec, &self.bytes, blocks, activations, &mut columns);
            out
        });
        let ComplexScales { re, im } = self.scales;
        let (u_re, u_im) =
            (products[0].split_at(tokens * rows), products[1].split_at(tokens * rows));
        let combine = |a: &[f32], b: &[f32], sign: f32| {
            a.iter().zip(b).map(|(a, b)| canonical(re * a + sign * (im * b))).collect()
        };
        Ok(Planes { re: combine(u_re.0, u_im.1, -1.0), im: combine(u_re.1, u_im.0, 1.0) })
    }
}
