//! Until the constraints and chat templates are here.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "temporary")]
use crate::ModelError;
use crate::tokenizer::Tokenizer;
use std::sync::Arc;
pub(super) trait Constraint {
    fn mask(&mut self, l: &mut [f32]) -> Result<(), ModelError>;
    fn accept(&mut self, id: u32) -> Result<(), ModelError>;
}
#[derive(Clone)]
pub(super) struct JsonSchemaConstraint;
pub(super) struct TokenTrie;
impl TokenTrie {
    pub(super) fn new(_: &Tokenizer) -> Self {
        Self
    }
}
impl JsonSchemaConstraint {
    pub(super) fn new(_: &serde_json::Value, _: Arc<TokenTrie>) -> Result<Self, ModelError> {
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
