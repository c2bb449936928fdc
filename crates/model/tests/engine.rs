//! The engine on a tiny model: one answer however the work is cut, sessions, samples, limits, abort.

#![expect(clippy::cast_possible_truncation, reason = "the sizes of a tiny model")]

mod support;

use std::sync::Arc;

use dyadic_formats::GgufType;
use dyadic_kernels::Isa;
use dyadic_model::engine::{
    BenchmarkRequest, Command, Event, FinishReason, GenerateRequest, GeneratedText, Outcome,
    PerplexityRequest, Usage,
};
use dyadic_model::kv_cache::KvType;
use dyadic_model::sampler::SamplingOptions;
use support::{CONTEXT, Client, TemporaryFile, collect, load, load_options, request, tiny_model};

fn client(architecture: &str, weights: GgufType) -> Client {
    let file = TemporaryFile::new(&tiny_model(architecture, weights));
    load(load_options(file.0.clone())).unwrap()
}

fn prompt(length: usize) -> Vec<u32> {
    (0..length).map(|index| ((index * 37 + 11) % 256) as u32).collect()
}

fn texts(outcome: Outcome) -> (Vec<GeneratedText>, Usage) {
    match outcome {
        Outcome::Generated { samples, usage, .. } => (samples, usage),
        other => panic!("unexpected outcome {other:?}"),
    }
}

fn only(outcome: Outcome) -> GeneratedText {
    texts(outcome).0.remove(0)
}

#[test]
fn logits_are_the_same_bits_on_every_isa_and_thread_count() {
    for (architecture, weights) in [
        ("llama", GgufType::Q4_0),
        ("llama", GgufType::Q8_0),
        ("qwen2", GgufType::Q4_0),
        ("qwen3", GgufType::F16),
        ("mistral", GgufType::F32),
    ] {
        for kv_type in [KvType::F16, KvType::F32, KvType::I8] {
            let file = TemporaryFile::new(&tiny_model(architecture, weights));
            let mut expected = None;
            for isa in Isa::supported() {
                for threads in [1, 2, 5] {
                    let options = dyadic_model::engine::LoadOptions {
                        threads: Some(threads),
                        kv_type,
                        isa: Some(isa.name().to_owned()),
                        ..load_options(file.0.clone())
                    };
                    let logits = load(options).unwrap().logits(&prompt(150)).unwrap();
                    assert!(logits.iter().all(|&bits| f32::from_bits(bits).is_finite()));
                    let expected = expected.get_or_insert_with(|| logits.clone());
                    assert!(
                        logits == *expected,
                        "{architecture} {weights:?} {kv_type:?} {isa} {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn a_prompt_cut_anywhere_continues_alike() {
    let client = client("llama", GgufType::Q4_0);
    let prompt = prompt(150);
    let whole = only(client.generate(request(&prompt, 20)).unwrap().1).ids;
    for cut in [1, 2, 31, 63, 64, 65, 127, 128, 129, 149] {
        let session = client.model.open_session();
        let part = GenerateRequest { session: Some(session), ..request(&prompt[..cut], 1) };
        client.generate(part).unwrap();
        let rest = GenerateRequest { session: Some(session), ..request(&prompt, 20) };
        let (samples, usage) = texts(client.generate(rest).unwrap().1);
        assert_eq!(samples[0].ids, whole, "cut at {cut}");
        assert_eq!(usage.cached_prompt_tokens, cut);
    }
}

#[test]
fn decoding_equals_evaluating_the_whole() {
    let client = client("llama", GgufType::Q4_0);
    let prompt = prompt(10);
    let sampling = SamplingOptions { logprobs: Some(3), ..SamplingOptions::default() };
    let asked = GenerateRequest { sampling, ..request(&prompt, 30) };
    let (pieces, outcome) = client.generate(asked).unwrap();
    let mut text = prompt.clone();
    for piece in &pieces {
        let logits = client.logits(&text).unwrap();
        let best = (0..256).max_by(|&a, &b| {
            f32::from_bits(logits[a]).total_cmp(&f32::from_bits(logits[b])).then(b.cmp(&a))
        });
        assert_eq!(best, Some(piece.id as usize));
        assert_eq!(piece.top.len(), 3);
        assert_eq!(piece.logprob, Some(piece.top[0].1));
        text.push(piece.id);
    }
    let generated = only(outcome);
    assert_eq!(generated.ids, text[prompt.len()..]);
    assert_eq!(generated.logprobs.len(), 30);
    assert_eq!(generated.finish_reason, FinishReason::Length);
    let streamed: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(streamed, generated.text);
}

#[test]
fn sequences_that_share_steps_do_not_disturb_each_other() {
    let client = client("llama", GgufType::Q8_0);
    let lengths = [1, 70, 150, 3];
    let alone: Vec<Vec<u32>> = lengths
        .iter()
        .map(|&length| only(client.generate(request(&prompt(length), 40)).unwrap().1).ids)
        .collect();
    let together: Vec<_> = lengths
        .iter()
        .map(|&length| {
            let asked = Box::new(request(&prompt(length), 40));
            client.start(|job| Command::Generate(job, asked)).1
        })
        .collect();
    for (events, alone) in together.iter().zip(alone) {
        assert_eq!(only(collect(events).unwrap().1).ids, alone);
    }
}

#[test]
fn samples_fork_from_one_prompt() {
    let client = client("llama", GgufType::Q4_0);
    let sampling =
        SamplingOptions { temperature: 1.0, seed: Some(3), ..SamplingOptions::default() };
    let asked = GenerateRequest { samples: 3, sampling, ..request(&prompt(70), 12) };
    let (samples, usage) = texts(client.generate(asked.clone()).unwrap().1);
    assert_eq!(usage.completion_tokens, 36);
    assert_ne!(samples[0].ids, samples[1].ids);
    assert_ne!(samples[1].ids, samples[2].ids);
    let (again, _) = texts(client.generate(asked.clone()).unwrap().1);
    assert!(samples.iter().zip(&again).all(|(a, b)| a.ids == b.ids));
    let first = GenerateRequest { samples: 1, ..asked };
    assert_eq!(only(client.generate(first).unwrap().1).ids, samples[0].ids);
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let client = client("llama", GgufType::Q4_0);
    let text = only(client.generate(request(&prompt(5), 60)).unwrap().1).text;
    let characters: Vec<char> = text.chars().filter(|&c| c != '\u{FFFD}').collect();
    let stop = characters.windows(2).find(|pair| text.contains(&String::from_iter(*pair))).unwrap();
    let stop = String::from_iter(stop);
    let asked = GenerateRequest { stop: vec![stop.clone()], ..request(&prompt(5), 60) };
    let generated = only(client.generate(asked).unwrap().1);
    assert_eq!(generated.finish_reason, FinishReason::Stop);
    assert_eq!(generated.text, text[..text.find(&stop).unwrap()]);
}

#[test]
fn requests_that_cannot_be_are_refused_by_code() {
    let client = client("llama", GgufType::Q4_0);
    let code = |asked: GenerateRequest| client.generate(asked).unwrap_err().code();
    assert_eq!(code(request(&[], 1)), "ERR_PROMPT_EMPTY");
    assert_eq!(code(request(&[257], 1)), "ERR_TOKEN_RANGE");
    assert_eq!(code(request(&prompt(CONTEXT + 1), 1)), "ERR_CONTEXT_LENGTH");
    assert_eq!(code(request(&prompt(CONTEXT - 2), 9)), "ERR_CONTEXT_LENGTH");
    assert!(client.generate(request(&prompt(CONTEXT), 1)).is_ok());
    assert_eq!(code(GenerateRequest { samples: 0, ..request(&[1], 1) }), "ERR_OPTION");
    assert_eq!(code(GenerateRequest { session: Some(9999), ..request(&[1], 1) }), "ERR_SESSION");
    let sampling = SamplingOptions { temperature: -1.0, ..SamplingOptions::default() };
    assert_eq!(code(GenerateRequest { sampling, ..request(&[1], 1) }), "ERR_SAMPLING_OPTION");
}

#[test]
fn a_cancelled_generation_leaves_its_session_usable() {
    let client = client("llama", GgufType::Q4_0);
    let session = client.model.open_session();
    let prompt = prompt(20);
    let expected = only(client.generate(request(&prompt, 50)).unwrap().1).ids;
    let asked = GenerateRequest { session: Some(session), max_tokens: None, ..request(&prompt, 0) };
    let (job, events) = client.start(|job| Command::Generate(job, Box::new(asked.clone())));
    assert!(matches!(events.recv().unwrap(), Event::Pieces(_)));
    let busy = client.generate(GenerateRequest { max_tokens: Some(1), ..asked.clone() });
    if let Err(error) = busy {
        assert_eq!(error.code(), "ERR_BUSY");
    }
    job.cancel();
    let error = collect(&events).unwrap_err();
    assert!(["ERR_ABORTED", "ERR_CONTEXT_LENGTH"].contains(&error.code()), "{error}");
    let again = GenerateRequest { max_tokens: Some(50), ..asked };
    let (samples, usage) = texts(client.generate(again).unwrap().1);
    assert_eq!(samples[0].ids, expected);
    assert_eq!(usage.cached_prompt_tokens, prompt.len() - 1);
}

#[test]
fn closing_a_model_ends_its_jobs() {
    let client = client("llama", GgufType::Q4_0);
    let asked = GenerateRequest { max_tokens: None, ..request(&prompt(5), 0) };
    let (_, events) = client.start(|job| Command::Generate(job, Box::new(asked.clone())));
    client.model.close();
    let first = collect(&events).unwrap_err();
    assert_eq!(first.code(), "ERR_DISPOSED");
    assert_eq!(client.generate(asked).unwrap_err().code(), "ERR_DISPOSED");
}

#[test]
fn the_mask_decides_what_is_chosen() {
    let client = client("llama", GgufType::Q4_0);
    let asked = GenerateRequest { mask_hook: true, ..request(&prompt(5), 4) };
    let (job, events) = client.start(|job| Command::Generate(job, Box::new(asked)));
    let mut chosen = Vec::new();
    let generated = loop {
        match events.recv().unwrap() {
            Event::Mask { sample, ids } => {
                assert_eq!(ids, chosen);
                let mut logits = job.mask_request(sample, <[f32]>::to_vec).unwrap();
                let allowed = 65 + ids.len();
                for (id, logit) in logits.iter_mut().enumerate() {
                    if id != allowed {
                        *logit = f32::NEG_INFINITY;
                    }
                }
                job.answer_mask(sample, &logits).unwrap();
            }
            Event::Pieces(pieces) => chosen.extend(pieces.iter().map(|piece| piece.id)),
            Event::Done(outcome) => break only(outcome),
            other => panic!("unexpected event {other:?}"),
        }
    };
    assert_eq!(generated.text, "ABCD");
    // Earlier, the next request may be there already.
    assert_eq!(job.answer_mask(0, &[]).unwrap_err().code(), "ERR_OPTION");
}

#[test]
fn perplexity_is_the_mean_over_predicted_tokens() {
    let client = client("llama", GgufType::Q8_0);
    let ids = prompt(100);
    let asked = PerplexityRequest { ids: ids.clone(), context_length: 40, chunks: 0 };
    let (_, events) = client.start(|job| Command::Perplexity(job, asked));
    let Outcome::Perplexity { perplexity, tokens, .. } = collect(&events).unwrap().1 else {
        panic!("another outcome");
    };
    assert_eq!(tokens, 2 * 39);
    let mut sum = 0.0;
    for chunk in ids.chunks_exact(40) {
        for end in 1..40 {
            let logits: Vec<f64> = client
                .logits(&chunk[..end])
                .unwrap()
                .into_iter()
                .map(|bits| f64::from(f32::from_bits(bits)))
                .collect();
            let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
            sum += total.ln() - logits[chunk[end] as usize];
        }
    }
    let expected = (sum / 78.0).exp();
    assert!((perplexity / expected - 1.0).abs() < 1e-5, "{perplexity} {expected}");
}

#[test]
fn a_benchmark_counts_its_repetitions() {
    let client = client("llama", GgufType::Q4_0);
    let asked =
        BenchmarkRequest { threads: 1, prompt_tokens: 16, decode_tokens: 4, repetitions: 3 };
    let (_, events) = client.start(|job| Command::Benchmark(job, asked));
    let Outcome::Benchmark { prompt, decode, .. } = collect(&events).unwrap().1 else {
        panic!("another outcome");
    };
    assert_eq!((prompt.len(), decode.len()), (3, 3));
    assert!(prompt.iter().chain(&decode).all(|&rate| rate > 0.0));
}

#[test]
fn files_that_are_no_model_are_refused_by_code() {
    let whole = tiny_model("llama", GgufType::Q4_0);
    let file = TemporaryFile::new(&whole);
    let code = |bytes: &[u8]| {
        let file = TemporaryFile::new(bytes);
        load(load_options(file.0.clone())).err().unwrap().code()
    };
    assert_eq!(code(&tiny_model("bloom", GgufType::Q4_0)), "ERR_MODEL_ARCHITECTURE");
    assert_eq!(code(&whole[..whole.len() / 2]), "ERR_GGUF_TRUNCATED");
    let too_long = dyadic_model::engine::LoadOptions {
        context_length: Some(CONTEXT + 1),
        ..load_options(file.0.clone())
    };
    assert_eq!(load(too_long).err().unwrap().code(), "ERR_OPTION");
    let missing = load_options(file.0.with_extension("missing"));
    assert_eq!(load(missing).err().unwrap().code(), "ERR_FILE_NOT_FOUND");
    let _ = Arc::new(file);
}
