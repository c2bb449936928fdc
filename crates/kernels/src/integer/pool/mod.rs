//! Pooling over windows of an image, channels last.
//!
//! ```text
//! max_pool                  the greatest of the window, for each channel
//! average_pool, SameScale   (sum ± n/2) / n towards zero: to nearest, ties away from zero, as TensorFlow Lite
//! average_pool, Requantize  limit(round(sum · scale) + zero point), 1/n folded into the scale: one rounding
//! ```

mod scalar;

use super::dyadic::{Dyadic, Output};
use super::loop_op;
use crate::registry::Kernels;

/// The image and the window that moves over it, without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the image.
    pub input: [usize; 2],
    /// Numbers of a pixel.
    pub channels: usize,
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
}

/// How a sum becomes a mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The result has the scale of the input.
    SameScale,
    /// The result has another scale.
    Requantize {
        /// The scale of the input by the number of pixels times the scale of the result.
        scale: Dyadic,
        /// What follows.
        output: Output,
    },
}

impl Window {
    /// Whether a window fits the image and all numbers are at least 1 and their products small enough for sums of i8 in i32.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let area = self.window[0].checked_mul(self.window[1]);
        self.channels > 0
            && self.stride.iter().all(|&stride| stride > 0)
            && (0..2).all(|i| (1..=self.input[i]).contains(&self.window[i]))
            && area.is_some_and(|area| area < 1 << 23)
            && self.input_len().is_some()
    }

    /// Numbers of the image. `None` on overflow.
    #[must_use]
    pub fn input_len(&self) -> Option<usize> {
        self.input[0].checked_mul(self.input[1])?.checked_mul(self.channels)
    }

    /// Height and width of the result, for a valid window.
    #[must_use]
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|i| (self.input[i] - self.window[i]) / self.stride[i] + 1)
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "below 2^23")]
    #[inline(always)]
    fn area(&self) -> i32 {
        (self.window[0] * self.window[1]) as i32
    }

    /// Where the pixels of a window begin.
    #[inline(always)]
    fn pixels(&self, position: usize) -> impl Iterator<Item = usize> {
        let width = (self.input[1] - self.window[1]) / self.stride[1] + 1;
        let (y, x) = (position / width * self.stride[0], position % width * self.stride[1]);
        let (columns, channels, [height, window_width]) =
            (self.input[1], self.channels, self.window);
        (0..height).flat_map(move |dy| {
            (0..window_width).map(move |dx| ((y + dy) * columns + x + dx) * channels)
        })
    }

    fn check(&self, x: &[i8], out: &[i8]) {
        assert!(self.is_valid(), "{self:?}");
        assert_eq!(Some(x.len()), self.input_len(), "pixels");
        let [height, width] = self.output();
        assert_eq!(out.len(), height * width * self.channels, "results");
    }
}

loop_op! {
    /// See [`Kernels::max_pool`].
    static MAX_POOL: MaxPoolFn = "max_pool_i8",
    fn(x: &[i8], window: &Window, out: &mut [i8]),
    scalar::max_pool,
}

loop_op! {
    /// See [`Kernels::average_pool`].
    static AVERAGE_POOL: AveragePoolFn = "average_pool_i8",
    fn(x: &[i8], window: &Window, average: &Average, out: &mut [i8]),
    scalar::average_pool,
}

impl Kernels {
    /// The greatest of each window, for each channel.
    ///
    /// # Panics
    /// Where the window is not valid or the lengths do not fit it.
    pub fn max_pool(&self, x: &[i8], window: &Window, out: &mut [i8]) {
        window.check(x, out);
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.max_pool.function)(x, window, out) };
    }

    /// The mean of each window, for each channel.
    ///
    /// # Panics
    /// Where the window is not valid, the lengths do not fit it, or the limits do not fit i8.
    pub fn average_pool(&self, x: &[i8], window: &Window, average: &Average, out: &mut [i8]) {
        window.check(x, out);
        if let Average::Requantize { output, .. } = average {
            assert!(output.fits::<i8>(), "limits {output:?}");
        }
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.average_pool.function)(x, window, average, out) };
    }
}
