//! Convolutions as products: windows of the image become rows of a matrix, which [`super::linear`] multiplies.
//!
//! Channels last. A row holds a window in the order `[kernel row, kernel column, channel]`; weights are `[out, kernel row, kernel column, in]`.
//! Beyond the image is the zero point, 0.

use super::linear::{LinearOutput, LinearWeights};
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

    /// The windows of an image, row by row.
    ///
    /// # Panics
    /// Where the convolution is not valid or the lengths do not fit it.
    pub fn im2col(&self, x: &[i8], out: &mut [i8]) {
        assert!(self.is_valid(), "{self:?}");
        let [height, width] = self.input;
        let [out_height, out_width] = self.output();
        assert_eq!(x.len(), height * width * self.channels, "pixels");
        let columns = self.columns();
        assert_eq!(out.len(), out_height * out_width * columns, "windows");
        let of_row = self.kernel[1] * self.channels;
        for (position, window) in out.chunks_exact_mut(columns).enumerate() {
            let (top, left) =
                (position / out_width * self.stride[0], position % out_width * self.stride[1]);
            // The columns of the kernel that lie in the image: those before are beyond its left edge.
            let before = self.padding[1].saturating_sub(left).min(self.kernel[1]);
            let after = (left + self.kernel[1])
                .saturating_sub(width + self.padding[1])
                .min(self.kernel[1] - before);
            let inside = before * self.channels..(self.kernel[1] - after) * self.channels;
            for (dy, window) in window.chunks_exact_mut(of_row).enumerate() {
                let y = (top + dy).wrapping_sub(self.padding[0]);
                if y >= height || inside.is_empty() {
                    window.fill(0);
                    continue;
                }
                let from = (y * width + left + before - self.padding[1]) * self.channels;
                window[..inside.start].fill(0);
                window[inside.clone()].copy_from_slice(&x[from..][..inside.len()]);
                window[inside.end..].fill(0);
            }
        }
    }
}

impl Kernels {
    /// A convolution: `out` has a token of `weights.rows()` channels for each position. `scratch` keeps the windows.
    ///
    /// # Panics
    /// Where the convolution is not valid or weights or lengths do not fit it.
    pub fn conv2d<O: LinearOutput>(
        &self,
        convolution: &Conv2d,
        weights: &LinearWeights<O>,
        x: &[i8],
        scratch: &mut Vec<i8>,
        out: &mut [O],
    ) {
        assert!(convolution.is_valid(), "{convolution:?}");
        let [height, width] = convolution.output();
        assert_eq!(weights.columns(), convolution.columns(), "columns of the weights");
        if convolution.kernel == [1, 1] && convolution.stride == [1, 1] {
            return self.linear(weights, x, out);
        }
        scratch.resize(height * width * convolution.columns(), 0);
        convolution.im2col(x, scratch);
        self.linear(weights, scratch, out);
    }
}
