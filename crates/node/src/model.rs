//! Language models: loading, and the requests that a loaded one takes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dyadic_model::engine::{
    BenchmarkRequest, Command, Event, GenerateRequest, LanguageModel, LoadOptions, Outcome,
    PerplexityRequest,
};
use dyadic_model::kv_cache::KvType;
use dyadic_model::sampler::SamplingOptions;
use dyadic_model::{EngineError, ModelError};
use napi::Env;
use napi::bindgen_prelude::{Float32Array, ObjectFinalize, Uint32Array};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::hub::Hub;

/// How a model is loaded.
#[napi(object, object_to_js = false)]
pub struct NativeLoadOptions {
    /// The GGUF file.
    pub path: String,
    /// Threads of the pool that it may use; all where absent.
    pub threads: Option<u32>,
    /// Positions that a sequence may have; min(the model's, 4096) where absent.
    pub context_length: Option<u32>,
    /// Element type of the KV cache.
    #[napi(ts_type = "'f16' | 'f32' | 'int8'")]
    pub kv_type: Option<String>,
    /// The instruction set, in place of the best or `DYADIC_ISA`.
    pub isa: Option<String>,
}

/// A generation.
#[napi(object, object_to_js = false)]
pub struct NativeGenerateRequest {
    /// The whole prompt.
    pub prompt: Uint32Array,
    /// The session whose cache is used and kept.
    pub session: Option<u32>,
    /// Tokens to make at most.
    pub max_tokens: Option<u32>,
    /// Independent continuations; 1 where absent.
    pub samples: Option<u32>,
    /// 0: greedy.
    pub temperature: Option<f64>,
    /// Keep the k most likely tokens.
    pub top_k: Option<u32>,
    /// Keep the smallest set with this probability.
    pub top_p: Option<f64>,
    /// Keep tokens at least this likely relative to the best.
    pub min_p: Option<f64>,
    /// Locally typical sampling.
    pub typical_p: Option<f64>,
    /// Divides the logits of tokens seen in the window.
    pub repetition_penalty: Option<f64>,
    /// Tokens that penalties look back on.
    pub repetition_window: Option<u32>,
    /// Subtracted for each time that a token was seen.
    pub frequency_penalty: Option<f64>,
    /// Subtracted once a token was seen.
    pub presence_penalty: Option<f64>,
    /// Tokens whose logits are shifted.
    pub logit_bias_ids: Option<Uint32Array>,
    /// By how much.
    pub logit_bias_values: Option<Float32Array>,
    /// Of the random numbers, 0 to 2^53 - 1.
    pub seed: Option<f64>,
    /// Strings that end the text.
    pub stop: Option<Vec<String>>,
    /// How many likely tokens are reported with each token; the chosen one's log-probability comes with any number.
    pub logprobs: Option<u32>,
    /// A JSON schema, as JSON.
    pub schema: Option<String>,
    /// Whether the logits of each step go through `readLogits` and `writeLogits`.
    pub mask_hook: Option<bool>,
    /// Whether end-of-text tokens are banned.
    pub ignore_eos: Option<bool>,
}

/// Starts to load a model. Returns the job; when it is done, `hub.takeModel(job)` has the model.
#[napi]
pub fn load_model(hub: &Hub, options: NativeLoadOptions) -> Result<u32> {
    let inbox = Arc::clone(hub.inbox());
    guard(move || {
        let options = LoadOptions {
            path: PathBuf::from(options.path),
            threads: options.threads.map(|threads| threads as usize),
            context_length: options.context_length.map(|length| length as usize),
            kv_type: match options.kv_type.as_deref() {
                None | Some("f16") => KvType::F16,
                Some("f32") => KvType::F32,
                Some("int8") => KvType::I8,
                Some(other) => {
                    return Err(option("kvType", &other, "'f16', 'f32' or 'int8'").into());
                }
            },
            isa: options.isa,
        };
        let job = inbox.start_job(None);
        let id = job.id();
        LanguageModel::load_in_background(options, Arc::clone(&job), move |result| match result {
            Ok(model) => {
                let info = model.info().clone();
                inbox.leave_model(id, Arc::new(model));
                job.send(Event::Done(Outcome::Loaded(Box::new(info))));
            }
            Err(error) => job.send(Event::Failed(error)),
        });
        Ok(id)
    })
}

/// A loaded model.
#[napi(custom_finalize)]
pub struct NativeModel {
    /// `None` once disposed.
    model: Option<Arc<LanguageModel>>,
    /// Bytes that the garbage collector was told of.
    bytes: i64,
}

impl ObjectFinalize for NativeModel {
    fn finalize(mut self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

impl NativeModel {
    pub(crate) fn new(env: Env, model: Arc<LanguageModel>) -> Result<Self> {
        let bytes = i64::try_from(model.info().resident_bytes).unwrap_or(i64::MAX);
        guard(|| {
            env.adjust_external_memory(bytes)
                .map_err(|error| EngineError::Internal(error.to_string()))?;
            Ok(())
        })?;
        Ok(Self { model: Some(model), bytes })
    }

    fn release(&mut self, env: Env) -> napi::Result<()> {
        if let Some(model) = self.model.take() {
            model.close();
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }

    fn model(&self) -> std::result::Result<&Arc<LanguageModel>, ModelError> {
        self.model.as_ref().ok_or_else(|| EngineError::Disposed.into())
    }

    /// Makes a job and posts the command that `command` makes of it.
    fn post(
        &self,
        hub: &Hub,
        command: impl FnOnce(Arc<dyadic_model::engine::Job>) -> std::result::Result<Command, ModelError>,
    ) -> Result<u32> {
        guard(|| {
            let mailbox = self.model()?.mailbox();
            let job = hub.inbox().start_job(Some(Arc::clone(mailbox)));
            let id = job.id();
            match command(Arc::clone(&job)) {
                Ok(command) => mailbox.post(command),
                Err(error) => job.send(Event::Failed(error)),
            }
            Ok(id)
        })
    }
}

#[napi]
impl NativeModel {
    /// What the model is, as JSON.
    #[napi]
    pub fn info(&self) -> Result<String> {
        guard(|| Ok(Outcome::Loaded(Box::new(self.model()?.info().clone())).to_json()))
    }

    /// The token ids of a text.
    #[napi]
    pub fn tokenize(&self, text: String, special: bool) -> Result<Vec<u32>> {
        guard(|| Ok(self.model()?.tokenizer().encode(&text, special)?))
    }

    /// The text of token ids.
    #[napi]
    pub fn detokenize(&self, ids: Uint32Array, special: bool) -> Result<String> {
        guard(|| Ok(self.model()?.tokenizer().decode(&ids, special)?))
    }

    /// Chat messages (JSON: `[{"role", "content"}]`) through the model's chat template.
    #[napi]
    pub fn render_chat(
        &self,
        messages_json: String,
        add_generation_prompt: bool,
    ) -> Result<String> {
        guard(|| self.model()?.render_chat(&messages_json, add_generation_prompt))
    }

    /// Makes a session, whose KV cache is kept between generations.
    #[napi]
    pub fn open_session(&self) -> Result<u32> {
        guard(|| Ok(self.model()?.open_session()))
    }

    /// Forgets a session.
    #[napi]
    pub fn close_session(&self, session: u32) {
        if let Some(model) = &self.model {
            model.mailbox().post(Command::CloseSession(session));
        }
    }

    /// Starts a generation.
    #[napi]
    pub fn generate(&self, hub: &Hub, request: NativeGenerateRequest) -> Result<u32> {
        self.post(hub, |job| Ok(Command::Generate(job, Box::new(generate_request(request)?))))
    }

    /// Starts to compute the logits after the last of `ids`; when done, `hub.takeFloats(job, out)`.
    #[napi]
    pub fn logits(&self, hub: &Hub, ids: Uint32Array) -> Result<u32> {
        self.post(hub, |job| Ok(Command::Logits(job, ids.to_vec())))
    }

    /// Starts to measure the perplexity of `ids` over `chunks` (0: all) chunks of `context_length` tokens.
    #[napi]
    pub fn perplexity(
        &self,
        hub: &Hub,
        ids: Uint32Array,
        context_length: u32,
        chunks: u32,
    ) -> Result<u32> {
        let request = PerplexityRequest {
            ids: ids.to_vec(),
            context_length: context_length as usize,
            chunks: chunks as usize,
        };
        self.post(hub, |job| Ok(Command::Perplexity(job, request)))
    }

    /// Starts to measure prompt and decode speed.
    #[napi]
    pub fn benchmark(
        &self,
        hub: &Hub,
        threads: u32,
        prompt_tokens: u32,
        decode_tokens: u32,
        repetitions: u32,
    ) -> Result<u32> {
        let request = BenchmarkRequest {
            threads: threads as usize,
            prompt_tokens: prompt_tokens as usize,
            decode_tokens: decode_tokens as usize,
            repetitions: repetitions as usize,
        };
        self.post(hub, |job| Ok(Command::Benchmark(job, request)))
    }

    /// Frees the model: jobs under way fail with `ERR_DISPOSED`. May be called again.
    #[napi]
    pub fn dispose(&mut self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

fn generate_request(
    request: NativeGenerateRequest,
) -> std::result::Result<GenerateRequest, ModelError> {
    let defaults = SamplingOptions::default();
    let logit_bias = match (request.logit_bias_ids, request.logit_bias_values) {
        (Some(ids), Some(values)) if ids.len() == values.len() => {
            ids.iter().copied().zip(values.iter().copied()).collect()
        }
        (None, None) => BTreeMap::new(),
        _ => {
            return Err(option("logitBias", &"uneven", "as many ids as values").into());
        }
    };
    let schema = request
        .schema
        .map(|schema| serde_json::from_str(&schema))
        .transpose()
        .map_err(|error| option("schema", &error, "a JSON document"))?;
    #[expect(clippy::cast_possible_truncation, reason = "sampling is in single precision")]
    let float = |value: Option<f64>, default: f32| value.map_or(default, |value| value as f32);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "TypeScript checks that the seed is an integer from 0 to 2^53 - 1"
    )]
    let seed = request.seed.map(|seed| seed as u64);
    Ok(GenerateRequest {
        prompt: request.prompt.to_vec(),
        session: request.session,
        max_tokens: request.max_tokens.map(|tokens| tokens as usize),
        samples: request.samples.unwrap_or(1) as usize,
        sampling: SamplingOptions {
            temperature: float(request.temperature, defaults.temperature),
            top_k: request.top_k.map_or(defaults.top_k, |k| k as usize),
            top_p: float(request.top_p, defaults.top_p),
            min_p: float(request.min_p, defaults.min_p),
            typical_p: float(request.typical_p, defaults.typical_p),
            repetition_penalty: float(request.repetition_penalty, defaults.repetition_penalty),
            penalty_window: request
                .repetition_window
                .map_or(defaults.penalty_window, |window| Some(window as usize)),
            frequency_penalty: float(request.frequency_penalty, defaults.frequency_penalty),
            presence_penalty: float(request.presence_penalty, defaults.presence_penalty),
            logit_bias,
            seed,
            logprobs: request.logprobs.map(|count| count as usize),
        },
        stop: request.stop.unwrap_or_default(),
        schema,
        mask_hook: request.mask_hook.unwrap_or(false),
        ignore_end_of_text: request.ignore_eos.unwrap_or(false),
    })
}

fn option(option: &'static str, value: &dyn ToString, expected: &'static str) -> EngineError {
    EngineError::Option { option, value: value.to_string(), expected }
}
