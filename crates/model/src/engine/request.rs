//! What can be asked of an engine, and what comes back.

use std::sync::Arc;

use serde::Serialize;

use super::EngineError;
use super::job::{Event, Job};
use crate::sampler::SamplingOptions;

/// A generation.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// The prompt, whole: a session's cache serves as much of its beginning as it shares.
    pub prompt: Vec<u32>,
    /// The session whose cache is used and kept.
    pub session: Option<u32>,
    /// Tokens to generate at most; `None`: until the model ends the text.
    pub max_tokens: Option<usize>,
    /// Independent continuations of the one prompt, at least 1.
    pub samples: usize,
    /// How tokens are chosen.
    pub sampling: SamplingOptions,
    /// Strings that end the text, and are not part of it.
    pub stop: Vec<String>,
    /// A JSON schema that the text must satisfy.
    pub schema: Option<serde_json::Value>,
    /// Whether the logits of each step go through the caller's hands.
    pub mask_hook: bool,
    /// Whether end-of-text tokens are banned, so that `max_tokens` are always made.
    pub ignore_end_of_text: bool,
}

/// What the engine's thread is told.
pub enum Command {
    /// Generate text.
    Generate(Arc<Job>, Box<GenerateRequest>),
    /// The logits after the last of these tokens.
    Logits(Arc<Job>, Vec<u32>),
    /// The perplexity of a text.
    Perplexity(Arc<Job>, PerplexityRequest),
    /// The speed of prompts and of decoding.
    Benchmark(Arc<Job>, BenchmarkRequest),
    /// Logits come back from the caller's mask.
    Masked {
        /// Of which job.
        job: Arc<Job>,
        /// Of which of its samples.
        sample: usize,
        /// The masked logits.
        logits: Vec<f32>,
    },
    /// Makes a session of this number.
    OpenSession(u32),
    /// Forgets a session and its cache.
    CloseSession(u32),
}

impl Command {
    /// Tells the job behind a command that it will not be done.
    pub(super) fn refuse(self, reason: &EngineError) {
        match self {
            Self::Generate(job, _)
            | Self::Logits(job, _)
            | Self::Perplexity(job, _)
            | Self::Benchmark(job, _) => job.send(Event::Failed(reason.clone().into())),
            Self::Masked { .. } | Self::OpenSession(_) | Self::CloseSession(_) => {}
        }
    }
}

/// A measurement of perplexity over consecutive chunks of a text, each from an empty cache.
#[derive(Clone, Debug)]
pub struct PerplexityRequest {
    /// The text.
    pub ids: Vec<u32>,
    /// Tokens of a chunk.
    pub context_length: usize,
    /// Chunks to measure at most; 0: all.
    pub chunks: usize,
}

/// A measurement of speed.
#[derive(Clone, Copy, Debug)]
pub struct BenchmarkRequest {
    /// Threads to use.
    pub threads: usize,
    /// Prompt tokens evaluated at once, from an empty cache.
    pub prompt_tokens: usize,
    /// Tokens decoded one at a time, from an empty cache.
    pub decode_tokens: usize,
    /// How often each is measured, after one run that is not.
    pub repetitions: usize,
}

/// A token as it comes out of a generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Which sample it belongs to.
    pub sample: usize,
    /// The token.
    pub id: u32,
    /// The text that is certain with it: empty while a character or a possible stop string is incomplete.
    pub text: String,
    /// Natural logarithm of its probability, where asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens and their log-probabilities, best first, where asked for.
    pub top: Vec<(u32, f32)>,
}

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FinishReason {
    /// A stop string was met.
    Stop,
    /// `max_tokens` were made.
    Length,
    /// The model ended its text.
    EndOfText,
}

/// The result of a job.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of loading.
    Loaded(Box<super::ModelInfo>),
    /// Of a generation.
    #[serde(rename_all = "camelCase")]
    Generated {
        /// One text a sample.
        samples: Vec<GeneratedText>,
        /// Tokens counted.
        usage: Usage,
        /// Time taken.
        timings: Timings,
    },
    /// Of [`Command::Logits`].
    Logits {
        /// The logits, one a token of the vocabulary.
        #[serde(skip)]
        values: Vec<f32>,
        /// Their number.
        length: usize,
    },
    /// Of [`Command::Perplexity`].
    #[serde(rename_all = "camelCase")]
    Perplexity {
        /// exp of the mean negative log-likelihood of every predicted token.
        perplexity: f64,
        /// The same over the second half of each chunk.
        perplexity_second_half: f64,
        /// Tokens predicted.
        tokens: usize,
    },
    /// Of [`Command::Benchmark`]: tokens a second of each repetition.
    Benchmark {
        /// Threads used.
        threads: usize,
        /// Prompt tokens a second.
        prompt: Vec<f64>,
        /// Decoded tokens a second.
        decode: Vec<f64>,
    },
    /// Of integer-only quantization.
    Quantized {
        /// The file of integers.
        #[serde(skip)]
        bytes: Vec<u8>,
        /// Its length.
        length: usize,
        /// The width of the weights of each layer that has some.
        bits: Vec<u32>,
    },
    /// Of a comparison of integers with floats.
    Compared {
        /// For each node.
        values: Vec<crate::vision::ValueError>,
    },
}

impl Outcome {
    /// The result as JSON, without the logits.
    ///
    /// # Panics
    /// Never: no part of it can fail to be written.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }
}

/// One finished text.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedText {
    /// The text, without a stop string or end-of-text token.
    pub text: String,
    /// Its tokens, an end-of-text token included.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Natural logarithms of the tokens' probabilities, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f32>,
}

/// Tokens of a generation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that a session's cache held already.
    pub cached_prompt_tokens: usize,
    /// Tokens generated, over all samples.
    pub completion_tokens: usize,
}

/// Time of a generation. Work shared with other generations counts whole for each.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Milliseconds from the start of the job to the first logits.
    pub prompt_ms: f64,
    /// Milliseconds from there to the end.
    pub decode_ms: f64,
    /// Prompt tokens evaluated a second.
    pub prompt_tokens_per_second: f64,
    /// Tokens generated a second after the first, over all samples.
    pub decode_tokens_per_second: f64,
}
