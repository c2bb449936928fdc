//! Decoder-only transformers: sizes, weights, and the evaluation of batches of tokens.

mod architecture;
mod config;
mod error;
mod forward;

use dyadic_formats::lmul::LMul;
use dyadic_kernels::Kernels;
use dyadic_kernels::rope::{RopeScaling, RopeTable};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{PackedWeights, Shape};

pub use architecture::{ARCHITECTURES, Architecture, Presence};
pub use config::Config;
pub use error::DecoderError;
pub use forward::{BatchEntry, LogitRows, Scratch};

use crate::ModelError;
use crate::engine::EngineError;
use crate::gguf::{GgufFile, TensorInfo};
use crate::kv_cache::{KvShape, KvType};

/// The weights of one layer.
struct Layer {
    attention_norm: Vec<f32>,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Weights of the norm of each query head and each key head.
    query_key_norm: Option<(Vec<f32>, Vec<f32>)>,
    attention_output: Linear,
    feed_forward_norm: Vec<f32>,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// A matrix and an optional bias.
struct Linear {
    weights: PackedWeights,
    bias: Option<Vec<f32>>,
}

/// A decoder in memory, ready to run.
pub struct Decoder {
    config: Config,
    kernels: &'static Kernels,
    pool: &'static Pool,
    embedding: Linear,
    layers: Vec<Layer>,
    output_norm: Vec<f32>,
    /// `None` where the embedding is the output matrix too.
    output: Option<Linear>,
    rope: RopeTable,
    parameters: u64,
    /// What attention multiplies with, in place of multiplications.
    l_mul: Option<LMul>,
}

impl Decoder {
    /// Packs the weights of a file for the given kernels. `progress` is told the part done (0 to 1) after each tensor, and may end the load.
    /// The pages of a tensor are given back once it is packed, so that its weights are in memory once.
    ///
    /// # Errors
    /// Where the file is no decoder that can be run, or `progress` ends the load.
    pub fn load(
        file: &GgufFile,
        kernels: &'static Kernels,
        pool: &'static Pool,
        threads: usize,
        progress: &mut dyn FnMut(f32) -> Result<(), EngineError>,
    ) -> Result<Self, ModelError> {
        let config = Config::from_metadata(file.metadata())?;
        let tensor_bytes = file.tensors().iter().filter_map(TensorInfo::byte_len).sum();
        let mut loader =
            Loader { file, kernels, pool, threads, progress, tensor_bytes, done: 0, parameters: 0 };
        let (width, inner) = (config.embedding_length, config.feed_forward_length);
        let (query, kv) = (config.query_length(), config.kv_length());
        let embedding = loader.embedding(width)?;
        let vocabulary_size = embedding.weights.rows();
        let mut layers = Vec::new();
        for index in 0..config.layers {
            let name = |part: &str| format!("blk.{index}.{part}");
            let architecture = config.architecture;
            let projection = |loader: &mut Loader<'_>, part: &str, rows: usize| {
                loader.linear(&name(part), rows, width, architecture.qkv_bias)
            };
            layers.push(Layer {
                attention_norm: loader.vector(&name("attn_norm.weight"), width)?,
                query: projection(&mut loader, "attn_q", query)?,
                key: projection(&mut loader, "attn_k", kv)?,
                value: projection(&mut loader, "attn_v", kv)?,
                query_key_norm: match architecture.qk_norm {
                    Presence::Never => None,
                    Presence::Optional
                        if file.find_tensor(&name("attn_q_norm.weight")).is_none() =>
                    {
                        None
                    }
                    Presence::Optional | Presence::Required => Some((
                        loader.vector(&name("attn_q_norm.weight"), config.head_dim)?,
                        loader.vector(&name("attn_k_norm.weight"), config.head_dim)?,
                    )),
                },
                attention_output: loader.linear(
                    &name("attn_output"),
                    width,
                    query,
                    Presence::Optional,
                )?,
                feed_forward_norm: loader.vector(&name("ffn_norm.weight"), width)?,
                gate: loader.linear(&name("ffn_gate"), inner, width, Presence::Optional)?,
                up: loader.linear(&name("ffn_up"), inner, width, Presence::Optional)?,
                down: loader.linear(&name("ffn_down"), width, inner, Presence::Optional)?,
            });
        }
        let output_norm = loader.vector("output_norm.weight", width)?;
        let output = match file.find_tensor("output.weight") {
            Some(_) => Some(loader.linear("output", vocabulary_size, width, Presence::Never)?),
            None => None,
        };
        let frequency_factors = match file.find_tensor("rope_freqs.weight") {
            Some(_) => Some(loader.vector("rope_freqs.weight", config.rotary_dim / 2)?),
            None => None,
        };
        let rope = RopeTable::new(
            config.rotary_dim,
            f64::from(config.rope_base),
            RopeScaling::Linear { factor: f64::from(config.rope_linear_factor) },
            frequency_factors.as_deref(),
        )?;
        let parameters = loader.parameters;
        Ok(Self {
            config,
            kernels,
            pool,
            embedding,
            layers,
            output_norm,
            output,
            rope,
            parameters,
            l_mul: None,
        })
    }

    /// Emulates attention without multiplications, for studies of accuracy: some fifty times slower. `None` for products.
    pub fn set_attention_l_mul(&mut self, l_mul: Option<LMul>) {
        self.l_mul = l_mul;
    }

    /// Its sizes and constants.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Rows of the embedding.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        self.embedding.weights.rows()
    }

    /// Weights of the file.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.parameters
    }

    /// The sizes of its KV cache.
    #[must_use]
    pub fn kv_shape(&self, kv_type: KvType) -> KvShape {
        KvShape {
            layers: self.config.layers,
            heads: self.config.kv_heads,
            head_dim: self.config.head_dim,
            kv_type,
        }
    }

    /// Bytes of the packed weights.
    #[must_use]
    pub fn byte_len(&self) -> u64 {
        self.matrices().map(|weights| weights.byte_len() as u64).sum()
    }

    /// The kernels that multiply the weights, each once.
    #[must_use]
    pub fn kernel_names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for weights in self.matrices() {
            let name = weights.kernel_name();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The matrix that makes logits: where a file has none of its own, the embedding.
    fn output(&self) -> &Linear {
        self.output.as_ref().unwrap_or(&self.embedding)
    }

    fn matrices(&self) -> impl Iterator<Item = &PackedWeights> {
        let layers = self.layers.iter().flat_map(|layer| {
            [
                &layer.query,
                &layer.key,
                &layer.value,
                &layer.attention_output,
                &layer.gate,
                &layer.up,
                &layer.down,
            ]
        });
        std::iter::once(&self.embedding)
            .chain(layers)
            .chain(&self.output)
            .map(|linear| &linear.weights)
    }
}

/// Takes tensors out of a file, checks their shapes and packs them.
struct Loader<'a> {
    file: &'a GgufFile,
    kernels: &'static Kernels,
    pool: &'static Pool,
    threads: usize,
    progress: &'a mut dyn FnMut(f32) -> Result<(), EngineError>,
    /// Bytes of all tensors, and of those taken.
    tensor_bytes: u64,
    done: u64,
    parameters: u64,
}

impl Loader<'_> {
    /// A tensor's bytes, after a check of its shape (fastest dimension first).
    fn take<T>(
        &mut self,
        name: &str,
        shape: &[usize],
        convert: impl FnOnce(&Self, dyadic_formats::GgufType, &[u8]) -> Result<T, ModelError>,
    ) -> Result<T, ModelError> {
        let info = self.file.tensor(name)?;
        let bytes = self.file.data(info)?;
        if info.shape() != shape {
            return Err(DecoderError::Shape {
                name: name.to_owned(),
                found: info.shape().to_vec(),
                expected: shape.to_vec(),
            }
            .into());
        }
        let gguf_type = info.known_type().expect("data() refuses unknown types");
        let taken = convert(self, gguf_type, bytes)?;
        self.file.release(info);
        self.done += bytes.len() as u64;
        self.parameters += info.elements() as u64;
        #[expect(clippy::cast_precision_loss, reason = "a progress display")]
        let fraction = self.done as f32 / self.tensor_bytes.max(1) as f32;
        (self.progress)(fraction)?;
        Ok(taken)
    }

    /// A vector as single-precision numbers.
    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        self.take(name, &[length], |_, gguf_type, bytes| {
            let mut values = vec![0.0; length];
            gguf_type.decode(bytes, &mut values)?;
            Ok(values)
        })
    }

    /// The token embedding: its rows set the size of the vocabulary.
    fn embedding(&mut self, width: usize) -> Result<Linear, ModelError> {
        let name = "token_embd.weight";
        let rows = self.file.tensor(name)?.shape().get(1).copied().unwrap_or(0);
        Ok(Linear { weights: self.matrix(name, rows, width)?, bias: None })
    }

    fn matrix(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<PackedWeights, ModelError> {
        self.take(name, &[columns, rows], |loader, gguf_type, bytes| {
            Ok(PackedWeights::pack(
                loader.kernels,
                loader.pool,
                loader.threads,
                gguf_type,
                bytes,
                Shape { rows, columns },
            )?)
        })
    }

    /// `name.weight`, and `name.bias` where it is present or required.
    fn linear(
        &mut self,
        name: &str,
        rows: usize,
        columns: usize,
        bias: Presence,
    ) -> Result<Linear, ModelError> {
        let weights = self.matrix(&format!("{name}.weight"), rows, columns)?;
        let bias_name = format!("{name}.bias");
        let bias = match bias {
            Presence::Never => None,
            Presence::Optional if self.file.find_tensor(&bias_name).is_none() => None,
            Presence::Optional | Presence::Required => Some(self.vector(&bias_name, rows)?),
        };
        Ok(Linear { weights, bias })
    }
}
