//! From logits to a token.
//!
//! [`Sampler::sample`] does, in this order (llama.cpp's default chain, with the definitions that llama.cpp and Hugging Face share):
//!
//! 1. add the logit bias,
//! 2. repetition, frequency and presence penalties on the tokens of the window,
//! 3. where the temperature is 0: the largest logit, and nothing more,
//! 4. top-k, 5. typical-p, 6. top-p, 7. min-p, each on what the one before it left, renormalized,
//! 8. temperature, 9. the draw.
//!
//! The temperature comes last, so the filters judge the model's own distribution; Hugging Face divides by it first, which differs where
//! it is not 1. A constraint or a hook masks the logits before all this, so nothing that it forbids can be chosen or
//! counted. Of equal logits the lowest id is taken.
//!
//! The same seed gives the same tokens on every machine: the numbers come from a counter-based generator (Philox4x32-10) keyed by the seed,
//! at (step, stream), and all probabilities from additions, multiplications and divisions of f64 in a fixed order, without libm.

mod candidates;
mod error;
mod math;
mod options;
mod penalties;
mod random;
mod stop;

use std::hash::{BuildHasher, RandomState};

use candidates::{Candidates, argmax, largest};
use penalties::Window;
use random::Random;

pub use error::SamplingError;
pub use options::SamplingOptions;
pub use stop::StopMatcher;

/// Chooses the tokens of one text.
#[derive(Clone, Debug)]
pub struct Sampler {
    options: SamplingOptions,
    vocabulary_size: usize,
    seed: u64,
    random: Random,
    window: Window,
}

/// A chosen token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub id: u32,
    /// ln of its probability by the model, where [`SamplingOptions::logprobs`] asks for it.
    pub logprob: Option<f32>,
    /// As many of the most probable tokens as [`SamplingOptions::logprobs`] says, with ln of their probabilities, the most probable first.
    /// Tokens of probability 0 are left out.
    pub top: Vec<(u32, f32)>,
}

impl Sampler {
    /// A sampler for a model of `vocabulary_size` logits.
    ///
    /// # Errors
    /// [`SamplingError::Option`] (`ERR_SAMPLING_OPTION`) where an option is out of its range.
    pub fn new(options: SamplingOptions, vocabulary_size: usize) -> Result<Self, SamplingError> {
        Self::with_stream(options, vocabulary_size, 0)
    }

    /// The sampler of sample number `stream` of several drawn at once: same options, its own random numbers. Stream 0 is
    /// [`Sampler::new`].
    ///
    /// # Errors
    /// As [`Sampler::new`].
    pub fn with_stream(
        options: SamplingOptions,
        vocabulary_size: usize,
        stream: u64,
    ) -> Result<Self, SamplingError> {
        options.validate(vocabulary_size)?;
        if u32::try_from(vocabulary_size).is_err() {
            return Err(SamplingError::Option {
                option: "vocabulary_size",
                value: vocabulary_size.to_string(),
                range: "below 2^32".into(),
            });
        }
        // The keys of the standard hash maps are the standard library's only source of entropy.
        let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(stream));
        Ok(Self {
            seed,
            random: Random::new(seed, stream),
            window: Window::new(options.penalty_window),
            options,
            vocabulary_size,
        })
    }

    /// The seed in use: that of the options, or the one that was chosen where they have none.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Tells of a token that the text now holds, be it of the prompt or chosen: the penalties look at it.
    pub fn accept(&mut self, id: u32) {
        if self.options.penalizes() {
            self.window.push(id);
        }
    }

    /// Chooses the next token from `logits` (of the size of the vocabulary), which bias and penalties change in place. The choice counts
    /// only once it is told by [`Sampler::accept`].
    ///
    /// # Errors
    /// [`SamplingError::Length`] (`ERR_SAMPLING_LENGTH`) where `logits` are not as many as the vocabulary,
    /// [`SamplingError::Logit`] (`ERR_SAMPLING_LOGITS`) where one is NaN or positive infinity,
    /// [`SamplingError::NoCandidate`] (`ERR_SAMPLING_NO_CANDIDATE`) where all are negative infinity: everything is banned or masked.
    pub fn sample(&mut self, logits: &mut [f32]) -> Result<Sampled, SamplingError> {
        if logits.len() != self.vocabulary_size {
            return Err(SamplingError::Length {
                expected: self.vocabulary_size,
                actual: logits.len(),
            });
        }
        let before = match self.options.logprobs {
            Some(count) => Some(Distribution::of(logits, count)?),
            None => None,
        };
        let edited = self.edit(logits);
        let (best, max) = checked_argmax(logits)?;
        let id = if self.options.temperature == 0.0 {
            best
        } else {
            Self::filter(&self.options, logits, max)
                .draw(self.options.temperature, &mut self.random)
        };
        let Some(before) = before else {
            return Ok(Sampled { id, logprob: None, top: Vec::new() });
        };
        let logit = edited
            .iter()
            .find(|&&(edited, _)| edited == id)
            .map_or(logits[id as usize], |&(_, original)| original);
        Ok(Sampled { id, logprob: Some(before.logprob(logit)), top: before.top })
    }

    /// Adds bias and penalties; returns the logits that were there, by id, where log-probabilities need them.
    fn edit(&self, logits: &mut [f32]) -> Vec<(u32, f32)> {
        let options = &self.options;
        let mut originals = Vec::new();
        let wanted = options.logprobs.is_some();
        for (&id, &bias) in &options.logit_bias {
            let logit = &mut logits[id as usize];
            if wanted {
                originals.push((id, *logit));
            }
            *logit += bias;
        }
        for (id, count) in self.window.counts() {
            // A prompt may hold ids that the model has no logit for.
            let Some(logit) = logits.get_mut(id as usize) else { continue };
            if wanted && !options.logit_bias.contains_key(&id) {
                originals.push((id, *logit));
            }
            if *logit > 0.0 {
                *logit /= options.repetition_penalty;
            } else {
                *logit *= options.repetition_penalty;
            }
            #[expect(clippy::cast_precision_loss, reason = "no window holds 2^24 of one token")]
            let count = count as f32;
            *logit -= count * options.frequency_penalty + options.presence_penalty;
        }
        originals
    }

    /// The tokens that the filters leave, with `max` the largest logit.
    fn filter<'a>(options: &SamplingOptions, logits: &'a [f32], max: f32) -> Candidates<'a> {
        let mut candidates = Candidates::all(logits, max);
        if options.top_k > 0 {
            candidates.top_k(options.top_k);
        }
        if options.typical_p < 1.0 {
            candidates.typical_p(options.typical_p);
        }
        if options.top_p < 1.0 {
            candidates.top_p(options.top_p);
        }
        if options.min_p > 0.0 {
            candidates.min_p(options.min_p);
        }
        candidates
    }
}

/// What is kept of the model's own distribution before bias and penalties change the logits.
struct Distribution {
    log_sum_exp: f64,
    top: Vec<(u32, f32)>,
}

impl Distribution {
    fn of(logits: &[f32], count: usize) -> Result<Self, SamplingError> {
        let (_, max) = checked_argmax(logits)?;
        let log_sum_exp = Candidates::all(logits, max).log_sum_exp();
        let mut distribution = Self { log_sum_exp, top: Vec::new() };
        distribution.top = largest(logits, count)
            .into_iter()
            .map(|id| (id, distribution.logprob(logits[id as usize])))
            .collect();
        Ok(distribution)
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounds to f32")]
    fn logprob(&self, logit: f32) -> f32 {
        // The rounding of the sum may make the certain token's a little more than 0.
        (f64::from(logit) - self.log_sum_exp).min(0.0) as f32
    }
}

fn checked_argmax(logits: &[f32]) -> Result<(u32, f32), SamplingError> {
    match argmax(logits) {
        Ok(Some(found)) => Ok(found),
        Ok(None) => Err(SamplingError::NoCandidate),
        Err(id) => Err(SamplingError::Logit { id, value: logits[id as usize] }),
    }
}

#[cfg(test)]
mod tests;
