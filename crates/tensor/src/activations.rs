//! Inputs of products, prepared once for all matrices that read them.

use std::sync::{Mutex, PoisonError};

use dyadic_kernels::Kernels;
use dyadic_kernels::matmul::activations::{ActivationBlock, PANEL, panel_width};
use dyadic_kernels::matmul::float::CHAINS;
use dyadic_kernels::matmul::layout::BLOCK;

use crate::TensorError;
use crate::pool::Pool;

/// How activations are held for a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActivationKind {
    /// As they are, for floating-point weights.
    #[default]
    F32,
    /// As 8-bit integers with a scale for each 32 columns, for weights of 8 bits and less.
    Int8G32,
}

impl ActivationKind {
    /// Its name, as options and messages spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8G32 => "int8-g32",
        }
    }
}

/// The activations of some tokens, in the form that kernels read. Keeps its memory from one use to the next.
#[derive(Clone, Debug, Default)]
pub struct Activations {
    kind: ActivationKind,
    tokens: usize,
    columns: usize,
    blocks: Vec<ActivationBlock>,
    values: Vec<f32>,
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
        match kind {
            ActivationKind::Int8G32 => {
                let blocks = columns.div_ceil(BLOCK);
                self.blocks.resize(tokens * blocks, ActivationBlock::ZERO);
                let panels = self.blocks.chunks_mut(PANEL * blocks.max(1));
                for_each_panel(pool, threads, panels, &|first, panel| {
                    kernels.quantize_activations(x, columns, first, panel);
                });
            }
            ActivationKind::F32 => {
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

    /// The quantized blocks of tokens `first` to `first + tokens - 1`: whole panels but for the last one of all.
    pub(crate) fn blocks(&self, first: usize, tokens: usize) -> &[ActivationBlock] {
        let blocks = self.columns.div_ceil(BLOCK);
        &self.blocks[first * blocks..][..tokens * blocks]
    }

    /// The numbers of tokens `first` to `first + tokens - 1`: whole panels but for the last one of all.
    pub(crate) fn values(&self, first: usize, tokens: usize) -> &[f32] {
        let padded = self.columns.next_multiple_of(CHAINS);
        &self.values[first * padded..][..tokens * padded]
    }
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
