//! Until the constraints and chat templates are here.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "temporary")]
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use std::sync::Arc;
pub trait Constraint {
    fn mask(&mut self, l: &mut [f32]) -> Result<(), ModelError>;
    fn accept(&mut self, id: u32) -> Result<(), ModelError>;
}
#[derive(Clone)]
pub struct JsonSchemaConstraint;
pub struct TokenTrie;
impl TokenTrie {
    pub fn new(_: &Tokenizer) -> Self {
        Self
    }
}
impl JsonSchemaConstraint {
    pub fn new(_: &serde_json::Value, _: Arc<TokenTrie>) -> Result<Self, ModelError> {
        Ok(Self)
    }
}
impl Constraint for JsonSchemaConstraint {
    fn mask(&mut self, _: &mut [f32]) -> Result<(), ModelError> {
        Ok(())
    }
    fn accept(&mut self, _: u32) -> Result<(), ModelError> {
        Ok(())
    }
}
use crate::gguf::Metadata;

#[derive(serde::Deserialize)]
pub struct Message {
    pub role: String,
    pub content: String,
}
#[derive(Default)]
pub struct RenderOptions {
    pub add_generation_prompt: bool,
}
pub struct ChatTemplate;
impl ChatTemplate {
    pub fn from_metadata(_: &Metadata) -> Result<Self, ModelError> {
        Ok(Self)
    }
    pub fn source(&self) -> &str {
        ""
    }
    pub fn render(&self, _: &[Message], _: &RenderOptions) -> Result<String, ModelError> {
        Ok(String::new())
    }
}
