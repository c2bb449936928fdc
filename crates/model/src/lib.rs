//! Model files, tokenizers, architectures, KV cache, sampling and the generation engine.
