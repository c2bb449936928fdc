//! Model files, tokenizers, architectures, KV cache, sampling and the generation engine.

#![deny(unsafe_code)]

pub mod dtype;
mod error;
pub mod file_kind;
pub mod file_map;
pub mod gguf;
pub mod npy;
pub mod safetensors;
pub mod sampler;
pub mod tokenizer;

pub use error::ModelError;
