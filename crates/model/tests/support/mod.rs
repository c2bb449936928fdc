//! A decoder of a few thousand weights in a GGUF file, and a client of its engine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use dyadic_formats::GgufType;
use dyadic_model::ModelError;
use dyadic_model::engine::{
    Command, Event, GenerateRequest, Job, LanguageModel, LoadOptions, Outcome, Piece, Sink,
};
use dyadic_model::gguf::GgufWriter;
use dyadic_model::kv_cache::KvType;
use dyadic_model::sampler::SamplingOptions;
use dyadic_testkit::Rng;

/// Sizes: two layers, four query heads over two KV heads.
const WIDTH: usize = 64;
const INNER: usize = 96;
const LAYERS: usize = 2;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const HEAD_DIM: usize = WIDTH / HEADS;
/// Positions of its context.
pub(crate) const CONTEXT: usize = 256;
/// One token a byte, then the end of the text.
pub(crate) const END: u32 = 256;
const VOCABULARY: usize = 257;

/// The visible characters that stand for the bytes in a byte-level vocabulary (GPT-2).
fn byte_names() -> Vec<String> {
    let plain = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut next = 256;
    (0..=u8::MAX)
        .map(|byte| {
            let code = if plain(byte) {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap().to_string()
        })
        .collect()
}

/// A model of random weights of type `weights`; with the `qwen2` architecture it has biases, with `qwen3` norms of queries and keys.
pub(crate) fn tiny_model(architecture: &str, weights: GgufType) -> Vec<u8> {
    let mut rng = Rng::new(7);
    let mut writer = GgufWriter::new();
    let mut tokens = byte_names();
    tokens.push("<|endoftext|>".to_owned());
    let mut types = vec![1_i32; VOCABULARY];
    types[END as usize] = 3;
    let key = |suffix: &str| format!("{architecture}.{suffix}");
    writer
        .metadata("general.architecture", architecture)
        .metadata(&key("block_count"), LAYERS as u32)
        .metadata(&key("embedding_length"), WIDTH as u32)
        .metadata(&key("feed_forward_length"), INNER as u32)
        .metadata(&key("attention.head_count"), HEADS as u32)
        .metadata(&key("attention.head_count_kv"), KV_HEADS as u32)
        .metadata(&key("attention.layer_norm_rms_epsilon"), 1e-5_f32)
        .metadata(&key("rope.freq_base"), 10_000.0_f32)
        .metadata(&key("context_length"), CONTEXT as u32)
        .metadata("tokenizer.ggml.model", "gpt2")
        .metadata("tokenizer.ggml.pre", "gpt-2")
        .metadata("tokenizer.ggml.tokens", tokens)
        .metadata("tokenizer.ggml.token_type", types)
        .metadata("tokenizer.ggml.merges", Vec::<String>::new())
        .metadata("tokenizer.ggml.eos_token_id", END);
    let mut matrix = |writer: &mut GgufWriter<'_>, name: &str, rows: usize, columns: usize| {
        let values = rng.normal_vec(rows * columns, 0.4);
        let mut bytes = vec![0; rows * columns / weights.block_len() * weights.block_bytes()];
        weights.encode(&values, &mut bytes).unwrap();
        writer.tensor(name, &[columns, rows], weights, bytes).unwrap();
    };
    let mut vector = {
        let mut rng = Rng::new(8);
        move |writer: &mut GgufWriter<'_>, name: &str, length: usize| {
            let bytes: Vec<u8> = rng
                .normal_vec(length, 0.1)
                .into_iter()
                .flat_map(|value| (1.0 + value).to_le_bytes())
                .collect();
            writer.tensor(name, &[length], GgufType::F32, bytes).unwrap();
        }
    };
    matrix(&mut writer, "token_embd.weight", VOCABULARY, WIDTH);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        vector(&mut writer, &name("attn_norm.weight"), WIDTH);
        vector(&mut writer, &name("ffn_norm.weight"), WIDTH);
        matrix(&mut writer, &name("attn_q.weight"), WIDTH, WIDTH);
        matrix(&mut writer, &name("attn_k.weight"), KV_HEADS * HEAD_DIM, WIDTH);
        matrix(&mut writer, &name("attn_v.weight"), KV_HEADS * HEAD_DIM, WIDTH);
        matrix(&mut writer, &name("attn_output.weight"), WIDTH, WIDTH);
        matrix(&mut writer, &name("ffn_gate.weight"), INNER, WIDTH);
        matrix(&mut writer, &name("ffn_up.weight"), INNER, WIDTH);
        matrix(&mut writer, &name("ffn_down.weight"), WIDTH, INNER);
        if architecture == "qwen2" {
            vector(&mut writer, &name("attn_q.bias"), WIDTH);
            vector(&mut writer, &name("attn_k.bias"), KV_HEADS * HEAD_DIM);
            vector(&mut writer, &name("attn_v.bias"), KV_HEADS * HEAD_DIM);
        }
        if architecture == "qwen3" {
            vector(&mut writer, &name("attn_q_norm.weight"), HEAD_DIM);
            vector(&mut writer, &name("attn_k_norm.weight"), HEAD_DIM);
        }
    }
    vector(&mut writer, "output_norm.weight", WIDTH);
    writer.to_bytes()
}

/// A file in a temporary folder, removed when dropped.
pub(crate) struct TemporaryFile(pub(crate) PathBuf);

impl TemporaryFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("dyadic-{}-{number}.gguf", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

struct Channel(Mutex<Sender<Event>>);

impl Sink for Channel {
    fn send(&self, _: u32, event: Event) {
        // A test that has ended listens no more.
        let _ = self.0.lock().unwrap().send(event);
    }
}

/// A loaded model and how to ask it.
pub(crate) struct Client {
    pub(crate) model: LanguageModel,
}

pub(crate) fn load_options(path: PathBuf) -> LoadOptions {
    LoadOptions { path, threads: None, context_length: None, kv_type: KvType::F16, isa: None }
}

pub(crate) fn load(options: LoadOptions) -> Result<Client, ModelError> {
    let (sender, _progress) = channel();
    let job = Job::new(Arc::new(Channel(Mutex::new(sender))), None);
    let (done, loaded) = channel();
    LanguageModel::load_in_background(options, job, move |model| done.send(model).unwrap());
    loaded.recv().unwrap().map(|model| Client { model })
}

impl Client {
    pub(crate) fn start(
        &self,
        command: impl FnOnce(Arc<Job>) -> Command,
    ) -> (Arc<Job>, Receiver<Event>) {
        let (sender, events) = channel();
        let mailbox = Arc::clone(self.model.mailbox());
        let job = Job::new(Arc::new(Channel(Mutex::new(sender))), Some(mailbox));
        self.model.mailbox().post(command(Arc::clone(&job)));
        (job, events)
    }

    pub(crate) fn generate(
        &self,
        request: GenerateRequest,
    ) -> Result<(Vec<Piece>, Outcome), ModelError> {
        let (_, events) = self.start(|job| Command::Generate(job, Box::new(request)));
        collect(&events)
    }

    /// The bits of the logits after the last of `ids`.
    pub(crate) fn logits(&self, ids: &[u32]) -> Result<Vec<u32>, ModelError> {
        let (_, events) = self.start(|job| Command::Logits(job, ids.to_vec()));
        match collect(&events)?.1 {
            Outcome::Logits { values, .. } => Ok(values.into_iter().map(f32::to_bits).collect()),
            other => panic!("unexpected outcome {other:?}"),
        }
    }
}

/// Waits for the end of a job.
pub(crate) fn collect(events: &Receiver<Event>) -> Result<(Vec<Piece>, Outcome), ModelError> {
    let mut pieces = Vec::new();
    loop {
        match events.recv().unwrap() {
            Event::Progress { fraction, .. } => assert!((0.0..=1.0).contains(&fraction)),
            Event::Pieces(more) => pieces.extend(more),
            Event::Mask { .. } => panic!("no mask was asked for"),
            Event::Done(outcome) => return Ok((pieces, outcome)),
            Event::Failed(error) => return Err(error),
        }
    }
}

/// A greedy generation of at most `max_tokens` tokens.
pub(crate) fn request(prompt: &[u32], max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.to_vec(),
        session: None,
        max_tokens: Some(max_tokens),
        samples: 1,
        sampling: SamplingOptions::default(),
        stop: Vec::new(),
        schema: None,
        mask_hook: false,
        ignore_end_of_text: true,
    }
}
