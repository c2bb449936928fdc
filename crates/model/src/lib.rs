//! Model files, tokenizers, architectures, KV cache, sampling and the generation engine.

#![deny(unsafe_code)]

pub mod chat_template;
pub mod constraint;
pub mod decoder;
pub mod dtype;
pub mod engine;
mod error;
pub mod file_kind;
pub mod file_map;
pub mod gguf;
pub mod kv_cache;
pub mod npy;
pub mod safetensors;
pub mod sampler;
pub mod tokenizer;
pub mod vision;

pub use engine::EngineError;
pub use error::ModelError;
