//! One sequence of tokens under evaluation, and what becomes of its logits.

use std::sync::Arc;
use std::time::Instant;

use super::EngineError;
use super::job::Job;
use super::request::{FinishReason, GeneratedText, Piece, Timings, Usage};
use crate::ModelError;
use crate::constraint::Constraint;
use crate::kv_cache::KvCache;
use crate::sampler::{Sampler, StopMatcher};
use crate::tokenizer::{StreamDecoder, Tokenizer};

/// A sequence of tokens, a part of which its cache holds.
pub(super) struct Sequence {
    pub(super) job: Arc<Job>,
    pub(super) cache: KvCache,
    /// The tokens so far; those from `cache.len()` on are still to be evaluated.
    pub(super) tokens: Vec<u32>,
    pub(super) consumer: Consumer,
}

/// What becomes of a sequence's logits.
pub(super) enum Consumer {
    /// The prompt of a generation: its last logits start this many samples.
    Prompt,
    /// One sample of a generation.
    Sample(Box<Sample>),
    /// The last logits are the answer.
    Logits,
    /// Each token is scored by the logits before it.
    Perplexity(Box<Perplexity>),
}

impl Sequence {
    /// Tokens that are still to be evaluated.
    pub(super) fn pending(&self) -> usize {
        self.tokens.len() - self.cache.len()
    }

    /// Whether it must wait for its caller before it can go on.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(&self.consumer, Consumer::Sample(sample) if sample.awaits_mask)
    }
}

/// What the samples of one generation have in common.
pub(super) struct Generation {
    pub(super) job: Arc<Job>,
    pub(super) session: Option<u32>,
    pub(super) max_tokens: Option<usize>,
    pub(super) mask_hook: bool,
    /// The samples, until the prompt has been evaluated.
    pub(super) unstarted: Vec<Sample>,
    pub(super) finished: Vec<Option<GeneratedText>>,
    pub(super) usage: Usage,
    pub(super) started: Instant,
    pub(super) first_logits: Option<Instant>,
}

impl Generation {
    /// Time taken until `now`.
    pub(super) fn timings(&self, now: Instant) -> Timings {
        let first = self.first_logits.unwrap_or(now);
        let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        let rate = |count: usize, seconds: f64| {
            #[expect(clippy::cast_precision_loss, reason = "counts of tokens stay far below 2^53")]
            let count = count as f64;
            if seconds > 0.0 { count / seconds } else { 0.0 }
        };
        let (prompt, decode) = (seconds(self.started, first), seconds(first, now));
        let evaluated = self.usage.prompt_tokens - self.usage.cached_prompt_tokens;
        // The first token of each sample falls out of the prompt's logits.
        let decoded = self.usage.completion_tokens.saturating_sub(self.finished.len());
        Timings {
            prompt_ms: prompt * 1e3,
            decode_ms: decode * 1e3,
            prompt_tokens_per_second: rate(evaluated, prompt),
            decode_tokens_per_second: rate(decoded, decode),
        }
    }
}

/// One continuation of a prompt.
pub(super) struct Sample {
    pub(super) index: usize,
    sampler: Sampler,
    constraint: Option<Box<dyn Constraint>>,
    decoder: StreamDecoder,
    stop: StopMatcher,
    pub(super) awaits_mask: bool,
    text: String,
    pub(super) ids: Vec<u32>,
    logprobs: Vec<f32>,
}

impl Sample {
    pub(super) fn new(
        index: usize,
        sampler: Sampler,
        constraint: Option<Box<dyn Constraint>>,
        stop: StopMatcher,
    ) -> Self {
        Self {
            index,
            sampler,
            constraint,
            decoder: StreamDecoder::new(),
            stop,
            awaits_mask: false,
            text: String::new(),
            ids: Vec::new(),
            logprobs: Vec::new(),
        }
    }

    /// Bans what the constraint does not allow next.
    pub(super) fn constrain(&mut self, logits: &mut [f32]) -> Result<(), ModelError> {
        match &mut self.constraint {
            Some(constraint) => Ok(constraint.mask(logits)?),
            None => Ok(()),
        }
    }

    /// Chooses the next token. Returns it with the text that is certain now, and why the text ends, where it does.
    pub(super) fn choose(
        &mut self,
        logits: &mut [f32],
        tokenizer: &Tokenizer,
        max_tokens: Option<usize>,
    ) -> Result<(Piece, Option<FinishReason>), ModelError> {
        let sampled = self.sampler.sample(logits)?;
        self.sampler.accept(sampled.id);
        // Where only an end-of-text token could follow, the text ends without it.
        let mut is_finished = false;
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(sampled.id)?;
            is_finished = constraint.is_finished();
        }
        self.ids.push(sampled.id);
        let (mut text, mut finish) = (String::new(), None);
        if tokenizer.is_end_of_generation(sampled.id) {
            finish = Some(FinishReason::EndOfText);
        } else {
            let decoded = self.decoder.push(tokenizer, sampled.id);
            text.push_str(&self.stop.push(&decoded));
            if self.stop.is_matched() {
                finish = Some(FinishReason::Stop);
            } else if is_finished {
                finish = Some(FinishReason::EndOfText);
            } else if max_tokens.is_some_and(|most| self.ids.len() >= most) {
                finish = Some(FinishReason::Length);
            }
        }
        if matches!(finish, Some(FinishReason::EndOfText | FinishReason::Length)) {
            let rest = self.decoder.finish();
            text.push_str(&self.stop.push(&rest));
            if self.stop.is_matched() {
                finish = Some(FinishReason::Stop);
            } else {
                text.push_str(&self.stop.finish());
            }
        }
        self.text.push_str(&text);
        self.logprobs.extend(sampled.logprob);
        let piece = Piece {
            sample: self.index,
            id: sampled.id,
            text,
            logprob: sampled.logprob,
            top: sampled.top,
        };
        Ok((piece, finish))
    }

    pub(super) fn finish(self, finish_reason: FinishReason) -> GeneratedText {
        GeneratedText { text: self.text, ids: self.ids, finish_reason, logprobs: self.logprobs }
    }
}

/// The running sums of a perplexity measurement: one sequence evaluates its chunks one after the other.
pub(super) struct Perplexity {
    ids: Vec<u32>,
    context_length: usize,
    chunks: usize,
    chunk: usize,
    whole: Mean,
    second_half: Mean,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of tokens stay far below 2^53")]
    fn value(&self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Perplexity {
    /// # Errors
    /// Where the text has not one whole chunk of at least two tokens.
    pub(super) fn new(
        ids: Vec<u32>,
        context_length: usize,
        most_chunks: usize,
    ) -> Result<Self, EngineError> {
        if context_length < 2 {
            return Err(EngineError::Option {
                option: "contextLength",
                value: context_length.to_string(),
                expected: "at least 2",
            });
        }
        let whole = ids.len() / context_length;
        if whole == 0 {
            return Err(EngineError::TooFewTokens { tokens: ids.len(), needed: context_length });
        }
        let chunks = if most_chunks == 0 { whole } else { whole.min(most_chunks) };
        Ok(Self {
            ids,
            context_length,
            chunks,
            chunk: 0,
            whole: Mean::default(),
            second_half: Mean::default(),
        })
    }

    /// The tokens of the chunk under way, but for the last, which is only predicted.
    pub(super) fn chunk_tokens(&self) -> Vec<u32> {
        self.ids[self.chunk * self.context_length..][..self.context_length - 1].to_vec()
    }

    /// Scores the token after position `position` of the chunk: `negative_log_likelihood(token)` is its score.
    pub(super) fn score(
        &mut self,
        position: usize,
        negative_log_likelihood: impl FnOnce(u32) -> f64,
    ) {
        let target = self.ids[self.chunk * self.context_length + position + 1];
        let score = negative_log_likelihood(target);
        self.whole.add(score);
        if position + 1 >= self.context_length / 2 {
            self.second_half.add(score);
        }
    }

    /// Goes to the next chunk; false where that was the last.
    pub(super) fn next_chunk(&mut self) -> bool {
        self.chunk += 1;
        self.chunk < self.chunks
    }

    /// The part that is done, 0 to 1.
    pub(super) fn fraction(&self, position: usize) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "a progress display")]
        let (done, all) = (
            (self.chunk * self.context_length + position) as f32,
            (self.chunks * self.context_length) as f32,
        );
        done / all
    }

    /// Mean negative log-likelihood of all predicted tokens, of those in the second halves, and their number.
    pub(super) fn means(&self) -> (f64, f64, usize) {
        (self.whole.value(), self.second_half.value(), self.whole.count)
    }
}
