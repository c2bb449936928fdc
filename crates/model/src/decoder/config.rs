//! The sizes and constants of a decoder, from the metadata of its file.

use super::architecture::{ARCHITECTURES, Architecture};
use super::error::DecoderError;
use crate::ModelError;
use crate::gguf::Metadata;

/// Sizes and constants of a decoder-only transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How its blocks are made.
    pub architecture: &'static Architecture,
    /// Decoder layers.
    pub layers: usize,
    /// Elements of a token's embedding.
    pub embedding_length: usize,
    /// Elements of the feed-forward network's inner vector.
    pub feed_forward_length: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key-value heads of a layer; `heads` is a multiple of it.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Leading elements of a head that are rotated.
    pub rotary_dim: usize,
    /// Added to the mean square in every `RMSNorm`.
    pub norm_epsilon: f32,
    /// Base of the rotation frequencies.
    pub rope_base: f32,
    /// Positions are divided by this (linear scaling).
    pub rope_linear_factor: f32,
    /// Positions that the model was trained for.
    pub context_length: usize,
}

/// Sizes above this are no model's, but a damaged file's.
const LARGEST: usize = 1 << 24;

impl Config {
    /// Reads and checks the metadata of a file.
    ///
    /// # Errors
    /// Names the key that is missing, contradictory or not supported.
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, ModelError> {
        let name = metadata.get::<&str>("general.architecture")?;
        let architecture = Architecture::find(name).ok_or_else(|| {
            let known: Vec<&str> = ARCHITECTURES.iter().map(|known| known.name).collect();
            DecoderError::Architecture { name: name.to_owned(), known: known.join(", ") }
        })?;
        let key = |suffix: &str| format!("{name}.{suffix}");
        let required = |suffix: &str| -> Result<usize, ModelError> {
            size(&key(suffix), metadata.get(&key(suffix))?)
        };
        let optional = |suffix: &str| -> Result<Option<usize>, ModelError> {
            metadata.find(&key(suffix))?.map(|value| size(&key(suffix), value)).transpose()
        };
        for suffix in ["expert_count", "attention.sliding_window_pattern"] {
            if metadata.find::<u32>(&key(suffix))?.is_some_and(|value| value > 0) {
                return Err(unsupported(&key(suffix), "a dense model without this key").into());
            }
        }
        let embedding_length = required("embedding_length")?;
        let heads = required("attention.head_count")?;
        let kv_heads = optional("attention.head_count_kv")?.unwrap_or(heads);
        let head_dim = match optional("attention.key_length")? {
            Some(length) => length,
            None if embedding_length.is_multiple_of(heads) => embedding_length / heads,
            None => {
                return Err(unsupported(
                    &key("attention.head_count"),
                    "a divisor of embedding_length",
                )
                .into());
            }
        };
        if !heads.is_multiple_of(kv_heads) {
            return Err(unsupported(
                &key("attention.head_count_kv"),
                "a divisor of attention.head_count",
            )
            .into());
        }
        if optional("attention.value_length")?.is_some_and(|length| length != head_dim) {
            return Err(unsupported(
                &key("attention.value_length"),
                "the same as attention.key_length",
            )
            .into());
        }
        let rotary_dim = optional("rope.dimension_count")?.unwrap_or(head_dim);
        if rotary_dim > head_dim || !rotary_dim.is_multiple_of(2) {
            return Err(unsupported(
                &key("rope.dimension_count"),
                "an even number, at most the length of a head",
            )
            .into());
        }
        let rope_linear_factor = match metadata.find::<&str>(&key("rope.scaling.type"))? {
            None | Some("none") => metadata.find::<f32>(&key("rope.scale_linear"))?.unwrap_or(1.0),
            Some("linear") => metadata.find::<f32>(&key("rope.scaling.factor"))?.unwrap_or(1.0),
            Some(_) => {
                return Err(unsupported(&key("rope.scaling.type"), "'none' or 'linear'").into());
            }
        };
        let positive = |suffix: &str, value: f32| {
            if value.is_finite() && value > 0.0 {
                Ok(value)
            } else {
                Err(ModelError::from(unsupported(&key(suffix), "a positive number")))
            }
        };
        Ok(Self {
            architecture,
            layers: required("block_count")?,
            embedding_length,
            feed_forward_length: required("feed_forward_length")?,
            heads,
            kv_heads,
            head_dim,
            rotary_dim,
            norm_epsilon: positive(
                "attention.layer_norm_rms_epsilon",
                metadata.get::<f32>(&key("attention.layer_norm_rms_epsilon"))?,
            )?,
            rope_base: positive(
                "rope.freq_base",
                metadata.find::<f32>(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            )?,
            rope_linear_factor: positive("rope.scaling.factor", rope_linear_factor)?,
            context_length: required("context_length")?,
        })
    }

    /// Query heads that share a key-value head.
    #[must_use]
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Elements of all query heads of a token.
    #[must_use]
    pub fn query_length(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of all key heads, and of all value heads, of a token.
    #[must_use]
    pub fn kv_length(&self) -> usize {
        self.kv_heads * self.head_dim
    }
}

fn size(key: &str, value: u32) -> Result<usize, ModelError> {
    match usize::try_from(value) {
        Ok(value) if (1..=LARGEST).contains(&value) => Ok(value),
        _ => Err(unsupported(key, "from 1 to 16777216").into()),
    }
}

fn unsupported(key: &str, expected: &'static str) -> DecoderError {
    DecoderError::Metadata { key: key.to_owned(), expected }
}
