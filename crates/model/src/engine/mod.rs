//! The generation engine: a thread for each loaded model, on which all its sequences advance in shared steps.
//!
//! Requests come as [`Command`]s through a [`Mailbox`]; each belongs to a [`Job`], which tells its [`Event`]s to a [`Sink`]. A step evaluates
//! the next tokens of every sequence that can go on: one token of each that decodes, and a bounded piece of each prompt. What a sequence
//! computes does not depend on which others share its steps.

mod error;
mod job;
mod request;
mod scheduler;
mod sequence;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;
use serde::Serialize;

pub use error::EngineError;
pub use job::{Event, Job, Mailbox, Sink};
pub use request::{
    BenchmarkRequest, Command, FinishReason, GenerateRequest, GeneratedText, Outcome,
    PerplexityRequest, Piece, Timings, Usage,
};

use crate::ModelError;
use crate::chat_template::{ChatTemplate, Message, RenderOptions};
use crate::constraint::TokenTrie;
use crate::decoder::Decoder;
use crate::gguf::GgufFile;
use crate::kv_cache::KvType;
use crate::tokenizer::Tokenizer;
use scheduler::Scheduler;

/// The context length where none is asked for, if the model was trained for at least as much.
const DEFAULT_CONTEXT_LENGTH: usize = 4096;

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The GGUF file, or the first of a split one.
    pub path: PathBuf,
    /// Threads of the pool that the model may use; all where `None`.
    pub threads: Option<usize>,
    /// Positions that a sequence may have; min(the model's, 4096) where `None`.
    pub context_length: Option<usize>,
    /// Element type of the KV cache.
    pub kv_type: KvType,
    /// The instruction set, by name, in place of [`Isa::active`].
    pub isa: Option<String>,
}

/// What a loaded model is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelInfo {
    /// `general.architecture`.
    pub architecture: String,
    /// `general.name`.
    pub name: Option<String>,
    /// Tokens of the vocabulary.
    pub vocabulary_size: usize,
    /// Positions that a sequence may have in this process.
    pub context_length: usize,
    /// Positions that the model was trained for.
    pub trained_context_length: usize,
    /// Elements of a token's embedding.
    pub embedding_length: usize,
    /// Decoder layers.
    pub layers: usize,
    /// Query heads of a layer.
    pub heads: usize,
    /// Key-value heads of a layer.
    pub kv_heads: usize,
    /// Weights.
    pub parameters: u64,
    /// Whether the model wants a beginning-of-text token before a raw prompt.
    pub add_bos: bool,
    /// The beginning-of-text token.
    pub bos: Option<u32>,
    /// The end-of-text token.
    pub eos: Option<u32>,
    /// The source of the chat template in use.
    pub chat_template: String,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the packed weights in memory.
    pub resident_bytes: u64,
    /// Bytes that the KV cache takes for a page of 64 tokens.
    pub kv_page_bytes: usize,
    /// Threads that it uses.
    pub threads: usize,
    /// The instruction set of its kernels.
    pub isa: &'static str,
    /// The kernels that multiply its weights.
    pub kernels: Vec<&'static str>,
}

/// What the engine's thread and the handles of a model share.
pub(crate) struct Shared {
    decoder: Decoder,
    tokenizer: Tokenizer,
    chat_template: ChatTemplate,
    token_trie: OnceLock<Arc<TokenTrie>>,
    mailbox: Arc<Mailbox>,
    kernels: &'static Kernels,
    kv_type: KvType,
    context_length: usize,
    threads: usize,
}

impl Shared {
    /// The trie of the vocabulary, made when a constraint first needs it.
    fn token_trie(&self) -> &Arc<TokenTrie> {
        self.token_trie.get_or_init(|| Arc::new(TokenTrie::new(&self.tokenizer)))
    }
}

/// A loaded language model. Its thread ends when this is dropped.
pub struct LanguageModel {
    shared: Arc<Shared>,
    info: ModelInfo,
}

impl LanguageModel {
    /// Loads a model on a thread of its own, which then becomes its engine. Progress goes to `job`, the model to `done`.
    pub fn load_in_background(
        options: LoadOptions,
        job: Arc<Job>,
        done: impl FnOnce(Result<Self, ModelError>) + Send + 'static,
    ) {
        let waiting = Arc::clone(&job);
        let load = move || {
            let loaded = catch_unwind(AssertUnwindSafe(|| Self::load(&options, &job)))
                .unwrap_or_else(|panic| Err(EngineError::from_panic(panic.as_ref()).into()));
            match loaded {
                Ok(model) => {
                    let shared = Arc::clone(&model.shared);
                    done(Ok(model));
                    Scheduler::new(shared).run();
                }
                Err(error) => done(Err(error)),
            }
        };
        let started = std::thread::Builder::new().name("dyadic-engine".to_owned()).spawn(load);
        if let Err(error) = started {
            waiting.send(Event::Failed(EngineError::Internal(error.to_string()).into()));
        }
    }

    fn load(options: &LoadOptions, job: &Arc<Job>) -> Result<Self, ModelError> {
        let isa = match &options.isa {
            Some(name) => name.parse()?,
            None => Isa::active()?,
        };
        let kernels = Kernels::for_isa(isa)?;
        let pool = Pool::global()?;
        let threads = options.threads.unwrap_or(pool.threads());
        check_positive("threads", threads)?;
        let file = GgufFile::open(&options.path)?;
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        let chat_template = ChatTemplate::from_metadata(file.metadata())?;
        job.check()?;
        let decoder = Decoder::load(&file, kernels, pool, threads, &mut |fraction| {
            job.send(Event::Progress { stage: "load", fraction });
            job.check()
        })?;
        let config = decoder.config();
        if tokenizer.vocabulary_size() > decoder.vocabulary_size() {
            return Err(EngineError::Option {
                option: "tokenizer.ggml.tokens",
                value: format!("{} tokens", tokenizer.vocabulary_size()),
                expected: "at most as many as the output matrix has rows",
            }
            .into());
        }
        let context_length = options
            .context_length
            .unwrap_or_else(|| config.context_length.min(DEFAULT_CONTEXT_LENGTH));
        check_positive("contextLength", context_length)?;
        if context_length > config.context_length {
            return Err(EngineError::Option {
                option: "contextLength",
                value: context_length.to_string(),
                expected: "at most the context length that the model was trained for",
            }
            .into());
        }
        let info = ModelInfo {
            architecture: config.architecture.name.to_owned(),
            name: file.metadata().find::<&str>("general.name")?.map(str::to_owned),
            vocabulary_size: decoder.vocabulary_size(),
            context_length,
            trained_context_length: config.context_length,
            embedding_length: config.embedding_length,
            layers: config.layers,
            heads: config.heads,
            kv_heads: config.kv_heads,
            parameters: decoder.parameters(),
            add_bos: tokenizer.add_bos(),
            bos: tokenizer.bos(),
            eos: tokenizer.eos(),
            chat_template: chat_template.source().to_owned(),
            file_bytes: file.file_bytes(),
            resident_bytes: decoder.byte_len(),
            kv_page_bytes: decoder.kv_shape(options.kv_type).page_bytes(),
            threads,
            isa: isa.name(),
            kernels: decoder.kernel_names(),
        };
        let shared = Arc::new(Shared {
            decoder,
            tokenizer,
            chat_template,
            token_trie: OnceLock::new(),
            mailbox: Arc::default(),
            kernels,
            kv_type: options.kv_type,
            context_length,
            threads,
        });
        Ok(Self { shared, info })
    }

    /// What the model is.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Its tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.shared.tokenizer
    }

    /// Where its requests go.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.shared.mailbox
    }

    /// Makes a session, whose cache is kept between generations, until [`Command::CloseSession`].
    #[must_use]
    pub fn open_session(&self) -> u32 {
        let session = scheduler::next_session();
        self.shared.mailbox.post(Command::OpenSession(session));
        session
    }

    /// Chat messages, as JSON, through the chat template.
    ///
    /// # Errors
    /// Where the JSON is no list of messages, or the template refuses them.
    pub fn render_chat(
        &self,
        messages: &str,
        add_generation_prompt: bool,
    ) -> Result<String, ModelError> {
        let messages = Message::list_from_json(messages)?;
        let options = RenderOptions { add_generation_prompt, ..RenderOptions::default() };
        self.shared.chat_template.render(&messages, &options)
    }

    /// Ends the engine: jobs under way fail with [`EngineError::Disposed`], and the memory is freed when the step under way has ended.
    pub fn close(&self) {
        self.shared.mailbox.close();
    }
}

impl Drop for LanguageModel {
    fn drop(&mut self) {
        self.close();
    }
}

fn check_positive(option: &'static str, value: usize) -> Result<(), EngineError> {
    if value == 0 {
        return Err(EngineError::Option { option, value: "0".to_owned(), expected: "at least 1" });
    }
    Ok(())
}
