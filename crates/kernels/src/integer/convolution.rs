//! Convolutions as products ([`super::linear`]) with windows of the image, which are read where they lie: a run of bytes for each row of the kernel.
//!
//! Channels last. Weights are `[out, kernel row, kernel column, in]`. Beyond the image is the zero point, 0: the image is copied once, with its padding.

use super::linear::{Linear, LinearError, LinearOutput, LinearWeights, Places};
use crate::registry::Kernels;

/// The shapes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Height and width of the image.
    pub input: [usize; 2],
    /// Numbers of a pixel.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Zeros above and below, and left and right.
    pub padding: [usize; 2],
}

impl Conv2d {
    /// Whether the kernel fits the padded image and no size overflows.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let fits = |i: usize| {
            let padded = self.padding[i].checked_mul(2)?.checked_add(self.input[i])?;
            let small = isize::try_from(padded).is_ok() && self.padding[i] < self.kernel[i];
            (small && self.stride[i] > 0 && (1..=padded).contains(&self.kernel[i])).then_some(())
        };
        let sizes = || {
            let image = self.input[0].checked_mul(self.input[1])?.checked_mul(self.channels)?;
            let columns = self.kernel[0].checked_mul(self.kernel[1])?.checked_mul(self.channels)?;
            let [height, width] = self.output();
            height.checked_mul(width)?.checked_mul(columns)?;
            (image > 0).then_some(())
        };
        fits(0).is_some() && fits(1).is_some() && sizes().is_some()
    }

    /// Height and width of the result, for a valid convolution.
    #[must_use]
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.input[i] + 2 * self.padding[i] - self.kernel[i]) / self.stride[i] + 1)
    }

    /// Numbers of a window: the columns of its weights.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.channels
    }

    /// Bytes of a row of the padded image.
    const fn line(&self) -> usize {
        (self.input[1] + 2 * self.padding[1]) * self.channels
    }

    /// Bytes of a row of the kernel, in whole quads: weights are 0 beyond it.
    fn run(&self) -> usize {
        (self.kernel[1] * self.channels).next_multiple_of(4)
    }

    /// Bytes of the padded image. The last run may end in the quad behind it.
    #[must_use]
    pub fn padded_len(&self) -> usize {
        (self.input[0] + 2 * self.padding[0]) * self.line() + 3
    }

    /// The image with zeros around it.
    ///
    /// # Panics
    /// Where the convolution is not valid or the lengths do not fit it.
    pub fn pad(&self, x: &[i8], out: &mut [i8]) {
        assert!(self.is_valid(), "{self:?}");
        let (row, line) = (self.input[1] * self.channels, self.line());
        assert_eq!(x.len(), self.input[0] * row, "pixels");
        assert_eq!(out.len(), self.padded_len(), "pixels with padding");
        let before = self.padding[1] * self.channels;
        let (above, inside) = out.split_at_mut(self.padding[0] * line);
        let (inside, below) = inside.split_at_mut(self.input[0] * line);
        above.fill(0);
        for (x, out) in x.chunks_exact(row).zip(inside.chunks_exact_mut(line)) {
            out[..before].fill(0);
            out[before..][..row].copy_from_slice(x);
            out[before + row..].fill(0);
        }
        below.fill(0);
    }
}

/// Packed filters, with what follows the convolution: results of type `O`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvolutionWeights<O> {
    convolution: Conv2d,
    weights: LinearWeights<O>,
}

impl<O: LinearOutput> ConvolutionWeights<O> {
    /// Packs the filters: `linear` has a column for each number of a window.
    ///
    /// # Errors
    /// As [`LinearWeights::new`].
    ///
    /// # Panics
    /// Where the convolution is not valid.
    pub fn new(linear: &Linear<'_>, convolution: Conv2d) -> Result<Self, LinearError> {
        assert!(convolution.is_valid(), "{convolution:?}");
        let [rows, columns] = linear.shape;
        if columns != convolution.columns() {
            return Err(LinearError::Shape { rows, columns });
        }
        let mut weights = Vec::new();
        for row in linear.weights.chunks(convolution.kernel[1] * convolution.channels) {
            weights.extend(row);
            weights.resize(weights.len().next_multiple_of(convolution.run()), 0);
        }
        let shape = [rows, convolution.kernel[0] * convolution.run()];
        let linear = Linear { shape, weights: &weights, ..*linear };
        Ok(Self { convolution, weights: LinearWeights::pack(&linear, columns)? })
    }

    /// The shapes.
    #[must_use]
    pub const fn convolution(&self) -> &Conv2d {
        &self.convolution
    }

    /// Output channels.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.weights.rows()
    }

    /// Bytes of packed weights.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }
}

impl Kernels {
    /// Positions of a convolution from `first` on: `out` has `weights.rows()` channels for each. `padded` is the image as [`Conv2d::pad`] leaves it.
    ///
    /// # Panics
    /// Where the image is not of the padded size or there are not so many positions.
    pub fn conv2d<O: LinearOutput>(
        &self,
        weights: &ConvolutionWeights<O>,
        padded: &[i8],
        first: usize,
        out: &mut [O],
    ) {
        let ConvolutionWeights { convolution, weights } = weights;
        let (rows, line) = (weights.rows(), convolution.line());
        let [height, width] = convolution.output();
        let positions = out.len() / rows;
        assert_eq!(out.len(), positions * rows, "results of {rows} channels");
        assert!(first <= height * width && positions <= height * width - first, "positions");
        assert_eq!(padded.len(), convolution.padded_len(), "pixels with padding");
        let places = Places {
            stride: convolution.stride[1] * convolution.channels,
            line: width,
            line_stride: convolution.stride[0] * line,
            runs: convolution.kernel[0],
            run_stride: line,
            first,
        };
        let output = weights.output();
        self.matrix_product(weights.matrix(), (padded, places), positions, output, (out, rows));
    }
}
