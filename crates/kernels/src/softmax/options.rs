//! What a caller of softmax chooses.

use std::ops::Range;

/// How a row is computed. The algorithms differ in their last bits, but for recompute and reload, and in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Two reads and a write; exponentials twice.
    TwoPass,
    /// Three reads and a write; exponentials twice.
    Recompute,
    /// Three reads and two writes; exponentials once: the fastest where the row stays in a cache.
    Reload,
    /// Two reads and a write; exponentials a little more than twice.
    Online,
}

/// The rule of [`Algorithm::for_len`]: each algorithm serves the rows up to its length.
pub const AUTO: [(usize, Algorithm); 2] =
    [(2 << 20, Algorithm::Reload), (usize::MAX, Algorithm::TwoPass)];

impl Algorithm {
    /// The algorithm for a row of `len` elements where none is asked for. It depends on the length alone, so that the bits do not depend on
    /// the machine.
    #[must_use]
    pub fn for_len(len: usize) -> Self {
        AUTO.into_iter().find(|&(most, _)| len <= most).map_or(Self::TwoPass, |(_, chosen)| chosen)
    }

    /// The name that users give.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwoPass => "twoPass",
            Self::Recompute => "recompute",
            Self::Reload => "reload",
            Self::Online => "online",
        }
    }
}

/// What a row becomes that has no element above -infinity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptyRow {
    /// Zeros (the logarithm: -infinity).
    #[default]
    Zeros,
    /// NaN, as in `PyTorch`.
    Nan,
    /// `1 / n`.
    Uniform,
}

/// What a row becomes that has elements of +infinity and no NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InfiniteRow {
    /// NaN, as in `NumPy` and `PyTorch`, where infinity - infinity is.
    #[default]
    Nan,
    /// The limit as these elements grow alike: each has an equal share, the others 0 (the logarithm: -infinity).
    OneHot,
}

/// Where the elements of a row come from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// f32.
    F32(&'a [f32]),
    /// The bits of f16.
    F16(&'a [u16]),
    /// The bits of bf16.
    Bf16(&'a [u16]),
    /// Integers times a scale.
    I8(&'a [i8], f32),
}

/// Where the probabilities go.
#[derive(Debug)]
pub enum Target<'a> {
    /// f32.
    F32(&'a mut [f32]),
    /// The bits of f16.
    F16(&'a mut [u16]),
    /// The bits of bf16.
    Bf16(&'a mut [u16]),
    /// 255 times the probability, rounded to nearest, ties to even; NaN is 0.
    U8(&'a mut [u8]),
}

/// What is added to a row, or hidden of it.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// Nothing.
    #[default]
    None,
    /// Added to the scaled elements; -infinity and -3.4e38 both hide.
    Additive(&'a [f32]),
    /// Elements whose byte is 0 are hidden.
    Keep(&'a [u8]),
}

/// What may be asked of softmax.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxOptions<'a> {
    /// [`Algorithm::for_len`] where none is given.
    pub algorithm: Option<Algorithm>,
    /// What elements are multiplied by first.
    pub scale: f32,
    /// Then they become `cap * tanh(x / cap)`.
    pub soft_cap: Option<f32>,
    /// Then the mask applies.
    pub mask: Mask<'a>,
    /// A further logit that takes part in the denominator only.
    pub sink: Option<f32>,
    /// What a row without elements above -infinity becomes.
    pub empty_row: EmptyRow,
    /// What a row with elements of +infinity becomes.
    pub infinite_row: InfiniteRow,
}

impl Default for SoftmaxOptions<'_> {
    fn default() -> Self {
        Self {
            algorithm: None,
            scale: 1.0,
            soft_cap: None,
            mask: Mask::None,
            sink: None,
            empty_row: EmptyRow::default(),
            infinite_row: InfiniteRow::default(),
        }
    }
}

/// Runs tasks `0..n`, each once, in any order and on any threads, and returns when all are done.
pub type Run<'a> = &'a dyn Fn(usize, &(dyn Fn(usize) + Sync));

/// A [`Run`] on the calling thread.
pub fn serial(tasks: usize, body: &(dyn Fn(usize) + Sync)) {
    (0..tasks).for_each(body);
}

impl Source<'_> {
    /// The elements of `range`.
    ///
    /// # Panics
    /// Where the range is not inside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self {
            Self::F32(x) => Self::F32(&x[range]),
            Self::F16(x) => Self::F16(&x[range]),
            Self::Bf16(x) => Self::Bf16(&x[range]),
            Self::I8(x, scale) => Self::I8(&x[range], *scale),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) | Self::Bf16(x) => x.len(),
            Self::I8(x, _) => x.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Target<'a> {
    /// The first `len` elements, and the rest.
    ///
    /// # Panics
    /// Where there are fewer.
    #[must_use]
    pub fn split_at(self, len: usize) -> (Self, Self) {
        match self {
            Self::F32(x) => {
                let (first, rest) = x.split_at_mut(len);
                (Self::F32(first), Self::F32(rest))
            }
            Self::F16(x) => {
                let (first, rest) = x.split_at_mut(len);
                (Self::F16(first), Self::F16(rest))
            }
            Self::Bf16(x) => {
                let (first, rest) = x.split_at_mut(len);
                (Self::Bf16(first), Self::Bf16(rest))
            }
            Self::U8(x) => {
                let (first, rest) = x.split_at_mut(len);
                (Self::U8(first), Self::U8(rest))
            }
        }
    }

    /// The elements of `range`.
    ///
    /// # Panics
    /// Where the range is not inside.
    #[must_use]
    pub fn slice_mut(&mut self, range: Range<usize>) -> Target<'_> {
        match self {
            Self::F32(x) => Target::F32(&mut x[range]),
            Self::F16(x) => Target::F16(&mut x[range]),
            Self::Bf16(x) => Target::Bf16(&mut x[range]),
            Self::U8(x) => Target::U8(&mut x[range]),
        }
    }

    /// Sets every element to what a hidden one becomes: 0, or -infinity of a logarithm (0 of `u8`).
    pub fn hide(self, logarithm: bool) {
        match self {
            Self::F32(x) => x.fill(if logarithm { f32::NEG_INFINITY } else { 0.0 }),
            Self::F16(x) => x.fill(if logarithm { 0xFC00 } else { 0 }),
            Self::Bf16(x) => x.fill(if logarithm { 0xFF80 } else { 0 }),
            Self::U8(x) => x.fill(0),
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F16(x) | Self::Bf16(x) => x.len(),
            Self::U8(x) => x.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its parts of `len` elements, the last may be shorter.
    #[must_use]
    pub fn chunks(self, len: usize) -> Vec<Target<'a>> {
        match self {
            Self::F32(x) => x.chunks_mut(len).map(Target::F32).collect(),
            Self::F16(x) => x.chunks_mut(len).map(Target::F16).collect(),
            Self::Bf16(x) => x.chunks_mut(len).map(Target::Bf16).collect(),
            Self::U8(x) => x.chunks_mut(len).map(Target::U8).collect(),
        }
    }
}
