//! What a caller may ask of a sampler, and the ranges of it.

use std::collections::BTreeMap;

use super::SamplingError;

/// How the next token is chosen. The order in which the options act is that of [`Sampler`](super::Sampler); the default is greedy decoding.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplingOptions {
    /// Logits are divided by it before the draw, after all filters: at least 0. 0 chooses the most probable token (greedy); filters then
    /// play no part.
    pub temperature: f32,
    /// Only the `top_k` most probable tokens may be drawn; 0 keeps all. Fan, Lewis, Dauphin, 2018, arXiv 1805.04833.
    pub top_k: usize,
    /// Only the fewest most probable tokens whose probabilities sum to at least `top_p` may be drawn: 0 to 1; 1 keeps all.
    /// "Nucleus sampling": Holtzman et al., 2019, arXiv 1904.09751.
    pub top_p: f32,
    /// Only tokens at least `min_p` times as probable as the most probable one may be drawn: 0 to 1; 0 keeps all.
    /// Nguyen et al., 2024, arXiv 2407.01082.
    pub min_p: f32,
    /// Only the fewest tokens whose information content is nearest to the entropy of the distribution, and whose probabilities sum to at
    /// least `typical_p`, may be drawn: 0 to 1; 1 keeps all. "Locally typical sampling": Meister et al., 2022, arXiv 2202.00666.
    pub typical_p: f32,
    /// A logit of a token in the penalty window is divided by it where positive, multiplied by it where negative: above 0; 1 changes
    /// nothing. Keskar et al. (CTRL), 2019, arXiv 1909.05858.
    pub repetition_penalty: f32,
    /// Subtracted from a logit for every time that its token is in the penalty window: finite; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Subtracted from a logit once if its token is in the penalty window: finite; 0 changes nothing.
    pub presence_penalty: f32,
    /// How many of the last tokens, of prompt and answer together, the three penalties look at. `None`: all.
    pub penalty_window: Option<usize>,
    /// Added to the logits of these tokens, before the penalties: finite, or negative infinity, which bans the token.
    pub logit_bias: BTreeMap<u32, f32>,
    /// The seed of the random numbers. `None`: a new one for each sampler, see [`Sampler::seed`](super::Sampler::seed).
    pub seed: Option<u64>,
    /// Whether the log-probability of the chosen token is returned, and of how many of the most probable ones: at most the size of the
    /// vocabulary. They are those of the model: of the logits as given to the sampler, before bias, penalties, filters and temperature.
    pub logprobs: Option<usize>,
}

impl Default for SamplingOptions {
    /// Greedy decoding, no penalties; a window of 64 tokens (llama.cpp's) for those that are set.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: Some(64),
            logit_bias: BTreeMap::new(),
            seed: None,
            logprobs: None,
        }
    }
}

impl SamplingOptions {
    /// Checks every option against its range.
    ///
    /// # Errors
    /// [`SamplingError::Option`] (`ERR_SAMPLING_OPTION`) for the first one that is out of it.
    pub fn validate(&self, vocabulary_size: usize) -> Result<(), SamplingError> {
        let finite = |x: f32| x.is_finite();
        let probability = |x: f32| (0.0..=1.0).contains(&x);
        let checks: [(&'static str, f32, bool, &'static str); 7] = [
            (
                "temperature",
                self.temperature,
                finite(self.temperature) && self.temperature >= 0.0,
                "a finite number of at least 0",
            ),
            ("top_p", self.top_p, probability(self.top_p), "from 0 to 1"),
            ("min_p", self.min_p, probability(self.min_p), "from 0 to 1"),
            ("typical_p", self.typical_p, probability(self.typical_p), "from 0 to 1"),
            (
                "repetition_penalty",
                self.repetition_penalty,
                finite(self.repetition_penalty) && self.repetition_penalty > 0.0,
                "a finite number above 0",
            ),
            (
                "frequency_penalty",
                self.frequency_penalty,
                finite(self.frequency_penalty),
                "a finite number",
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                finite(self.presence_penalty),
                "a finite number",
            ),
        ];
        for (option, value, holds, range) in checks {
            if !holds {
                return Err(SamplingError::Option {
                    option,
                    value: value.to_string(),
                    range: range.into(),
                });
            }
        }
        for (&id, &bias) in &self.logit_bias {
            if id as usize >= vocabulary_size {
                return Err(SamplingError::Option {
                    option: "logit_bias",
                    value: format!("a token id of {id}"),
                    range: format!("of token ids below {vocabulary_size}"),
                });
            }
            if !(finite(bias) || bias == f32::NEG_INFINITY) {
                return Err(SamplingError::Option {
                    option: "logit_bias",
                    value: format!("{bias} for token {id}"),
                    range: "finite or negative infinity".into(),
                });
            }
        }
        if let Some(count) = self.logprobs
            && count > vocabulary_size
        {
            return Err(SamplingError::Option {
                option: "logprobs",
                value: count.to_string(),
                range: format!("at most {vocabulary_size}, the size of the vocabulary"),
            });
        }
        Ok(())
    }

    /// Whether any penalty changes a logit, so that the tokens so far matter.
    #[expect(clippy::float_cmp, reason = "the neutral values are exact")]
    pub(super) fn penalizes(&self) -> bool {
        self.penalty_window != Some(0)
            && (self.repetition_penalty != 1.0
                || self.frequency_penalty != 0.0
                || self.presence_penalty != 0.0)
    }
}
