//! The evaluation of a batch of tokens.
//!
//! Shapes in comments are (rows, columns), row-major. A batch is the new tokens of several sequences, one behind the other; only attention looks
//! at which sequence a token belongs to.

use std::sync::atomic::{AtomicBool, Ordering};

use dyadic_kernels::Kernels;
use dyadic_kernels::attention::{Attention, AttentionScratch};
use dyadic_kernels::rope::RopeTable;
use dyadic_tensor::{Activations, Projection, linear};

use super::{Decoder, Layer, Linear};
use crate::kv_cache::{KvCache, KvElement, KvPageMut, KvType, PAGE_TOKENS};

/// Query tokens of one attention task: with the heads of a group, enough rows to use each key many times.
const ATTENTION_TOKENS: usize = 32;

/// Rows that are worth handing to another thread in an element-wise loop: some 10 µs of work.
const ELEMENTWISE_ROWS: usize = 16;

/// Which logits of a sequence are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitRows {
    /// None: more of its prompt follows.
    None,
    /// Those after its last token.
    Last,
    /// Those after each token.
    All,
}

/// The new tokens of one sequence.
pub struct BatchEntry<'a> {
    /// The tokens, at least one; they follow what the cache holds.
    pub tokens: &'a [u32],
    /// Keys and values of the tokens before; those of `tokens` are appended.
    pub cache: &'a mut KvCache,
    /// Which logits are wanted.
    pub logits: LogitRows,
}

/// Buffers that evaluations of one decoder reuse.
pub struct Scratch {
    /// The rotations of the positions seen so far.
    rope: RopeTable,
    /// The position of each token of the batch in its sequence.
    positions: Vec<usize>,
    /// The residual stream (tokens, embedding).
    residual: Vec<f32>,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    /// Outputs of the attention tasks, one behind the other: each (tokens of the task, heads of the group, head).
    attended: Vec<f32>,
    attention: Vec<AttentionScratch>,
    gate: Vec<f32>,
    up: Vec<f32>,
    /// silu(gate) * up
    inner: Vec<f32>,
    /// What a block adds to the residual stream (tokens, embedding).
    delta: Vec<f32>,
    activations: Activations,
    logits: Vec<f32>,
}

impl Scratch {
    /// Empty buffers for `decoder`.
    #[must_use]
    pub fn new(decoder: &Decoder) -> Self {
        Self {
            rope: decoder.rope.clone(),
            positions: Vec::new(),
            residual: Vec::new(),
            normed: Vec::new(),
            query: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            attended: Vec::new(),
            attention: Vec::new(),
            gate: Vec::new(),
            up: Vec::new(),
            inner: Vec::new(),
            delta: Vec::new(),
            activations: Activations::default(),
            logits: Vec::new(),
        }
    }

    /// The logits of the last evaluation: (rows wanted, vocabulary). Give them back with [`Self::return_logits`].
    #[must_use]
    pub fn take_logits(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.logits)
    }

    /// Returns the buffer of [`Self::take_logits`] for the next evaluation.
    pub fn return_logits(&mut self, logits: Vec<f32>) {
        self.logits = logits;
    }
}

impl Decoder {
    /// Evaluates the tokens of a batch; the logits wanted are then in `scratch`. Returns false, with the caches as they were, where
    /// `interrupted` was set meanwhile: it is looked at before each layer.
    ///
    /// What is computed for a sequence depends neither on the other sequences of the batch nor on `threads`, nor on how its tokens are cut into
    /// batches.
    ///
    /// # Panics
    /// Where a token is outside the vocabulary.
    pub fn forward(
        &self,
        scratch: &mut Scratch,
        batch: &mut [BatchEntry<'_>],
        threads: usize,
        interrupted: &AtomicBool,
    ) -> bool {
        let config = &self.config;
        let tokens: usize = batch.iter().map(|entry| entry.tokens.len()).sum();
        let width = config.embedding_length;
        resize(&mut scratch.residual, tokens * width);
        resize(&mut scratch.normed, tokens * width);
        resize(&mut scratch.delta, tokens * width);
        resize(&mut scratch.query, tokens * config.query_length());
        resize(&mut scratch.attended, tokens * config.query_length());
        resize(&mut scratch.key, tokens * config.kv_length());
        resize(&mut scratch.value, tokens * config.kv_length());
        resize(&mut scratch.gate, tokens * config.feed_forward_length);
        resize(&mut scratch.up, tokens * config.feed_forward_length);
        resize(&mut scratch.inner, tokens * config.feed_forward_length);
        self.embed(scratch, batch);
        for entry in batch.iter_mut() {
            let tokens = entry.tokens.len();
            match entry.cache.shape().kv_type {
                KvType::F16 => entry.cache.reserve::<u16>(tokens),
                KvType::F32 => entry.cache.reserve::<f32>(tokens),
                KvType::I8 => entry.cache.reserve::<i8>(tokens),
            }
        }
        let run = Run { decoder: self, kernels: self.kernels, threads };
        for (index, layer) in self.layers.iter().enumerate() {
            if interrupted.load(Ordering::Relaxed) {
                return false;
            }
            // The first layer has no delta of a layer before it.
            run.norm(scratch, &layer.attention_norm, index > 0);
            run.attention(scratch, batch, index, layer);
            run.norm(scratch, &layer.feed_forward_norm, true);
            run.feed_forward(scratch, layer);
        }
        for entry in batch.iter_mut() {
            entry.cache.advance(entry.tokens.len());
        }
        run.logits(scratch, batch);
        true
    }

    /// Looks up the embeddings and the positions.
    fn embed(&self, scratch: &mut Scratch, batch: &[BatchEntry<'_>]) {
        let positions = batch.iter().flat_map(|entry| {
            let start = entry.cache.len();
            start..start + entry.tokens.len()
        });
        scratch.positions.clear();
        scratch.positions.extend(positions);
        let furthest = scratch.positions.iter().copied().max().unwrap_or(0);
        scratch.rope.extend_to(furthest + 1);
        let tokens = batch.iter().flat_map(|entry| entry.tokens);
        let rows = scratch.residual.chunks_mut(self.config.embedding_length);
        for (&token, row) in tokens.zip(rows) {
            self.embedding.weights.decode_row(token as usize, row).expect("tokens were checked");
        }
    }
}

/// One evaluation: what every step of it needs.
struct Run<'a> {
    decoder: &'a Decoder,
    kernels: &'static Kernels,
    threads: usize,
}

impl Run<'_> {
    /// `residual += delta` where there is one; `normed = rms_norm(residual)`.
    fn norm(&self, scratch: &mut Scratch, weight: &[f32], add: bool) {
        let width = weight.len();
        let epsilon = self.decoder.config.norm_epsilon;
        let mut rows: Vec<(&mut [f32], &[f32], &mut [f32])> = scratch
            .residual
            .chunks_mut(width)
            .zip(scratch.delta.chunks(width))
            .zip(scratch.normed.chunks_mut(width))
            .map(|((residual, delta), normed)| (residual, delta, normed))
            .collect();
        self.decoder.pool.for_each_rows(self.threads, &mut rows, 1, ELEMENTWISE_ROWS, |_, rows| {
            for (residual, delta, normed) in rows {
                if add {
                    self.kernels.add_rms_norm(residual, delta, weight, epsilon, normed);
                } else {
                    self.kernels.rms_norm(residual, weight, epsilon, normed);
                }
            }
        });
    }

    /// Multiplies matrices by the same input (tokens, columns), which is prepared once for all weights that want it alike.
    fn project<const N: usize>(
        &self,
        activations: &mut Activations,
        input: &[f32],
        projections: [Projection<'_>; N],
    ) {
        const CHECKED: &str = "the shapes were checked when the model was loaded";
        let (pool, threads) = (self.decoder.pool, self.threads);
        let mut rest = Vec::from(projections);
        while let Some(first) = rest.first() {
            let (kind, columns) = (first.weights.activations(), first.weights.columns());
            let (mut alike, others): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|other| other.weights.activations() == kind);
            activations.set(pool, threads, self.kernels, input, columns, kind).expect(CHECKED);
            linear(pool, threads, activations, &mut alike).expect(CHECKED);
            rest = others;
        }
    }

    /// `delta = output(attention(rope(query(normed)), cache))`, with the keys and values of `normed` appended to the caches.
    fn attention(
        &self,
        scratch: &mut Scratch,
        batch: &mut [BatchEntry<'_>],
        index: usize,
        layer: &Layer,
    ) {
        self.project(
            &mut scratch.activations,
            &scratch.normed,
            [
                projection(&layer.query, &mut scratch.query),
                projection(&layer.key, &mut scratch.key),
                projection(&layer.value, &mut scratch.value),
            ],
        );
        let kv_type = batch.first().map(|entry| entry.cache.shape().kv_type);
        match kv_type {
            Some(KvType::F16) => {
                self.append::<u16>(scratch, batch, index, layer);
                self.attend::<u16>(scratch, batch, index, layer);
            }
            Some(KvType::F32) => {
                self.append::<f32>(scratch, batch, index, layer);
                self.attend::<f32>(scratch, batch, index, layer);
            }
            Some(KvType::I8) => {
                self.append::<i8>(scratch, batch, index, layer);
                self.attend::<i8>(scratch, batch, index, layer);
            }
            None => {}
        }
        self.project(
            &mut scratch.activations,
            &scratch.query,
            [projection(&layer.attention_output, &mut scratch.delta)],
        );
    }

    /// Rotates the new keys and writes them and the new values into the caches.
    fn append<T: KvElement>(
        &self,
        scratch: &mut Scratch,
        batch: &mut [BatchEntry<'_>],
        index: usize,
        layer: &Layer,
    ) {
        /// The new tokens of one sequence and head.
        struct Task<'a, T> {
            head: usize,
            /// The first of the batch's rows.
            row: usize,
            tokens: usize,
            /// Where the first goes in the first page.
            slot: usize,
            pages: Vec<KvPageMut<'a, T>>,
        }
        let config = &self.decoder.config;
        let (head_dim, kv_length) = (config.head_dim, config.kv_length());
        let mut tasks = Vec::new();
        let mut row = 0;
        for entry in batch.iter_mut() {
            let (slot, tokens) = (entry.cache.len() % PAGE_TOKENS, entry.tokens.len());
            let heads = entry.cache.append_pages::<T>(index).into_iter().enumerate();
            tasks.extend(heads.map(|(head, pages)| Task { head, row, tokens, slot, pages }));
            row += tokens;
        }
        let (keys, values) = (&scratch.key, &scratch.value);
        let (rope, positions) = (&scratch.rope, &scratch.positions);
        // A few tokens are written sooner than another thread has begun.
        let threads = if row < ELEMENTWISE_ROWS { 1 } else { self.threads };
        self.decoder.pool.for_each_mut(threads, &mut tasks, |_, task| {
            let mut key = vec![0.0; head_dim];
            for token in 0..task.tokens {
                let row = task.row + token;
                let part = row * kv_length + task.head * head_dim;
                key.copy_from_slice(&keys[part..][..head_dim]);
                let norm = layer.query_key_norm.as_ref().map(|(_, key)| key.as_slice());
                self.place(&mut key, norm, rope.at(positions[row]));
                let value = &values[part..][..head_dim];
                let (page, slot) =
                    ((task.slot + token) / PAGE_TOKENS, (task.slot + token) % PAGE_TOKENS);
                T::store(self.kernels, &key, value, slot, &mut task.pages[page]);
            }
        });
    }

    /// Attention of the new queries; its result replaces them in `scratch.query`.
    fn attend<T: KvElement>(
        &self,
        scratch: &mut Scratch,
        batch: &[BatchEntry<'_>],
        index: usize,
        layer: &Layer,
    ) {
        /// Some new tokens of one sequence, and the query heads that share one KV head.
        struct Task<'a> {
            entry: usize,
            head: usize,
            /// The first of the batch's rows.
            row: usize,
            tokens: usize,
            out: &'a mut [f32],
            scratch: AttentionScratch,
        }
        let config = &self.decoder.config;
        let (head_dim, group) = (config.head_dim, config.group());
        let (length, query_length) = (group * head_dim, config.query_length());
        let mut spare = std::mem::take(&mut scratch.attention).into_iter();
        let mut tasks = Vec::new();
        let mut rest = scratch.attended.as_mut_slice();
        let mut row = 0;
        for (entry_index, entry) in batch.iter().enumerate() {
            for head in 0..config.kv_heads {
                for first in (0..entry.tokens.len()).step_by(ATTENTION_TOKENS) {
                    let tokens = ATTENTION_TOKENS.min(entry.tokens.len() - first);
                    let out;
                    (out, rest) = rest.split_at_mut(tokens * length);
                    let (row, scratch) = (row + first, spare.next().unwrap_or_default());
                    tasks.push(Task { entry: entry_index, head, row, tokens, out, scratch });
                }
            }
            row += entry.tokens.len();
        }
        let (queries, rope, positions) = (&scratch.query, &scratch.rope, &scratch.positions);
        let norm = layer.query_key_norm.as_ref().map(|(query, _)| query.as_slice());
        #[expect(clippy::cast_precision_loss, reason = "heads are far shorter than 2^24")]
        let scale = 1.0 / (head_dim as f32).sqrt();
        self.decoder.pool.for_each_mut(self.threads, &mut tasks, |_, task| {
            // (tokens of the task, heads of the group, head)
            let mut rotated = vec![0.0; task.tokens * length];
            let mut visible = Vec::with_capacity(task.tokens * group);
            for (token, heads) in rotated.chunks_mut(length).enumerate() {
                let row = task.row + token;
                let part = row * query_length + task.head * length;
                heads.copy_from_slice(&queries[part..][..length]);
                self.place(heads, norm, rope.at(positions[row]));
                visible.extend(std::iter::repeat_n(0..positions[row] + 1, group));
            }
            let input = Attention {
                head_dim,
                queries: &rotated,
                visible: &visible,
                pages: &batch[task.entry].cache.head_pages::<T>(index, task.head),
                scale,
                soft_cap: None,
                sinks: &[],
            };
            match self.decoder.l_mul {
                Some(l_mul) => T::attention_l_mul(l_mul, &input, task.out),
                None => T::attention(self.kernels, &input, &mut task.scratch, task.out),
            }
        });
        for task in &mut tasks {
            for (token, heads) in task.out.chunks(length).enumerate() {
                let part = (task.row + token) * query_length + task.head * length;
                scratch.query[part..][..length].copy_from_slice(heads);
            }
        }
        scratch.attention = tasks.into_iter().map(|task| task.scratch).collect();
    }

    /// Norms (where the architecture does) and rotates heads of one position.
    fn place(&self, heads: &mut [f32], norm: Option<&[f32]>, (cos, sin): (&[f32], &[f32])) {
        let config = &self.decoder.config;
        if let Some(weight) = norm {
            for head in heads.chunks_exact_mut(config.head_dim) {
                let input = head.to_vec();
                self.kernels.rms_norm(&input, weight, config.norm_epsilon, head);
            }
        }
        self.kernels.rope(heads, config.head_dim, cos, sin, config.architecture.rope_pairing);
    }

    /// `delta = down(silu(gate(normed)) * up(normed))`.
    fn feed_forward(&self, scratch: &mut Scratch, layer: &Layer) {
        self.project(
            &mut scratch.activations,
            &scratch.normed,
            [projection(&layer.gate, &mut scratch.gate), projection(&layer.up, &mut scratch.up)],
        );
        let length = self.decoder.config.feed_forward_length;
        let (gate, up) = (&scratch.gate, &scratch.up);
        self.decoder.pool.for_each_rows(
            self.threads,
            &mut scratch.inner,
            length,
            ELEMENTWISE_ROWS,
            |first, inner| {
                let part = first * length..first * length + inner.len();
                self.kernels.silu_mul(&gate[part.clone()], &up[part], inner);
            },
        );
        self.project(
            &mut scratch.activations,
            &scratch.inner,
            [projection(&layer.down, &mut scratch.delta)],
        );
    }

    /// The logits that are wanted, one row behind the other.
    fn logits(&self, scratch: &mut Scratch, batch: &[BatchEntry<'_>]) {
        let width = self.decoder.config.embedding_length;
        let mut rows = Vec::new();
        let mut row = 0;
        for entry in batch {
            let end = row + entry.tokens.len();
            rows.extend(match entry.logits {
                LogitRows::None => end..end,
                LogitRows::Last => end - 1..end,
                LogitRows::All => row..end,
            });
            row = end;
        }
        resize(&mut scratch.logits, rows.len() * self.decoder.vocabulary_size());
        if rows.is_empty() {
            return;
        }
        resize(&mut scratch.normed, rows.len() * width);
        for (&row, normed) in rows.iter().zip(scratch.normed.chunks_mut(width)) {
            self.kernels.add_rms_norm(
                &mut scratch.residual[row * width..][..width],
                &scratch.delta[row * width..][..width],
                &self.decoder.output_norm,
                self.decoder.config.norm_epsilon,
                normed,
            );
        }
        self.project(
            &mut scratch.activations,
            &scratch.normed,
            [projection(self.decoder.output(), &mut scratch.logits)],
        );
    }
}

fn projection<'a>(linear: &'a Linear, out: &'a mut [f32]) -> Projection<'a> {
    Projection { weights: &linear.weights, bias: linear.bias.as_deref(), out }
}

/// Sets the length; what the buffer holds is overwritten by whoever asked for it.
fn resize(buffer: &mut Vec<f32>, length: usize) {
    buffer.resize(length, 0.0);
}
