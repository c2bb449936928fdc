//! Perplexity of a language model with its attention changed: KV caches of f16, f32 and 8-bit integers, and L-Mul in place of products.
//!
//! `cargo run --release -p dyadic-model --example attention_perplexity -- MODEL.gguf TEXT [CHUNKS] [CONTEXT]`
//!
//! The text is cut into chunks that each begin with the token of the beginning, where the model has one; every token but the first is scored.

#![expect(clippy::print_stdout, reason = "a tool reports what it measures")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use dyadic_formats::lmul::{LMul, LMulVariant};
use dyadic_kernels::Kernels;
use dyadic_kernels::softmax::{Source, serial};
use dyadic_model::ModelError;
use dyadic_model::decoder::{BatchEntry, Decoder, LogitRows, Scratch};
use dyadic_model::gguf::GgufFile;
use dyadic_model::kv_cache::{KvCache, KvType};
use dyadic_model::tokenizer::Tokenizer;
use dyadic_tensor::pool::Pool;

fn perplexity(
    decoder: &Decoder,
    kv_type: KvType,
    chunks: &[Vec<u32>],
    kernels: &Kernels,
    threads: usize,
) -> f64 {
    let mut scratch = Scratch::new(decoder);
    let (mut nats, mut count) = (0.0, 0.0);
    for tokens in chunks {
        let mut cache = KvCache::new(decoder.kv_shape(kv_type));
        let mut batch = [BatchEntry { tokens, cache: &mut cache, logits: LogitRows::All }];
        decoder.forward(&mut scratch, &mut batch, threads, &AtomicBool::new(false));
        let logits = scratch.take_logits();
        let rows = logits.chunks_exact(decoder.vocabulary_size());
        for (row, &next) in rows.zip(&tokens[1..]) {
            nats += kernels.cross_entropy(Source::F32(row), next as usize, &serial);
            count += 1.0;
        }
        scratch.return_logits(logits);
    }
    f64::exp(nats / count)
}

fn main() -> Result<(), ModelError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, text, rest @ ..] = arguments.as_slice() else {
        println!("usage: attention_perplexity MODEL.gguf TEXT [CHUNKS] [CONTEXT]");
        return Ok(());
    };
    let number = |index: usize, otherwise: usize| {
        rest.get(index).and_then(|argument| argument.parse().ok()).unwrap_or(otherwise)
    };
    let (count, context) = (number(0, 4), number(1, 512));
    let file = GgufFile::open(Path::new(model))?;
    let (kernels, pool) = (Kernels::active()?, Pool::global()?);
    let threads = pool.threads();
    let mut decoder = Decoder::load(&file, kernels, pool, threads, &mut |_| Ok(()))?;
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    let text = String::from_utf8_lossy(&std::fs::read(text).unwrap_or_default()).into_owned();
    let ids = tokenizer.encode(&text, false)?;
    let start: Vec<u32> = tokenizer.bos().filter(|_| tokenizer.add_bos()).into_iter().collect();
    let chunks: Vec<Vec<u32>> = ids
        .chunks_exact(context - start.len())
        .take(count)
        .map(|part| [start.as_slice(), part].concat())
        .collect();
    println!("{} chunks of {context} tokens", chunks.len());
    for (name, kv_type) in [("f32", KvType::F32), ("f16", KvType::F16), ("int8", KvType::I8)] {
        let result = perplexity(&decoder, kv_type, &chunks, kernels, threads);
        println!("{name:>24} {result:.4}");
    }
    for (bits, variant) in [
        (23, LMulVariant::Carry),
        (23, LMulVariant::Linear),
        (7, LMulVariant::Carry),
        (4, LMulVariant::Carry),
        (3, LMulVariant::Carry),
    ] {
        decoder.set_attention_l_mul(Some(LMul::new(bits, variant)));
        let result = perplexity(&decoder, KvType::F32, &chunks, kernels, threads);
        println!("{:>24} {result:.4}", format!("L-Mul, {bits} bits, {variant:?}"));
    }
    Ok(())
}
