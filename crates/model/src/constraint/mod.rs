//! Constraints: which tokens may come next, so that a text has a given form.
//!
//! For every token the engine asks the constraint to [mask](Constraint::mask) the logits, then the [sampler](crate::sampler) chooses, then
//! both are told of the choice.
//!
//! A [`JsonSchemaConstraint`] works in three steps:
//!
//! ```text
//! JSON schema --> grammar over bytes --> automaton, made as it is walked --> mask: the tokens of the trie that it can read
//! ```
//!
//! The grammar is a recursive transition network, since JSON nests. Its automaton works on bytes, so tokens that end in the middle of a
//! character are as good as any, and whatever is generated is UTF-8. Every state can be completed: a text never gets stuck, as long as the
//! vocabulary has a token for each byte.

mod automaton;
mod char_set;
mod error;
mod grammar;
mod json;
mod number_range;
mod pattern;
mod schema;
mod trie;

use std::sync::Arc;

use serde_json::Value;

use automaton::Automaton;

pub use error::ConstraintError;
pub use trie::TokenTrie;

/// What a text must be like, told token by token.
pub trait Constraint: Send {
    /// Sets the logits of the tokens that may not come next to negative infinity.
    ///
    /// # Errors
    /// Where what may come next cannot be found out within the limits of the constraint.
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError>;

    /// Tells of the token that was chosen.
    ///
    /// # Errors
    /// [`ConstraintError::Token`] (`ERR_CONSTRAINT_TOKEN`) where it may not come next.
    fn accept(&mut self, id: u32) -> Result<(), ConstraintError>;

    /// Whether the text so far has the form: it may end here.
    fn is_complete(&self) -> bool;

    /// Whether the text must end here: it has the form, and nothing may follow.
    fn is_finished(&self) -> bool;
}

/// Allows only texts that are JSON and satisfy a JSON schema.
///
/// The first time that a point of the grammar is met costs a walk over the vocabulary; where it is met again, as within strings or in every
/// object of a list, the mask is remembered. A clone shares nothing but the grammar and starts where the original is, with its memory.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use dyadic_model::constraint::{Constraint, JsonSchemaConstraint, TokenTrie};
///
/// let tokens = ["[", "]", "tr", "ue", "x", ""].map(|token| token.as_bytes().into());
/// let trie = Arc::new(TokenTrie::of_bytes(tokens.into(), &[5]));
/// let schema = serde_json::json!({ "type": "array", "items": { "type": "boolean" } });
/// let mut constraint = JsonSchemaConstraint::new(&schema, trie)?;
/// constraint.accept(0)?;
/// let mut logits = [0.0; 6];
/// constraint.mask(&mut logits)?;
/// assert_eq!(logits.map(f32::is_finite), [false, true, true, false, false, false]);
/// # Ok::<(), dyadic_model::constraint::ConstraintError>(())
/// ```
#[derive(Clone, Debug)]
pub struct JsonSchemaConstraint {
    automaton: Automaton,
    trie: Arc<TokenTrie>,
    /// Whether a token that ends the text was accepted.
    ended: bool,
}

impl JsonSchemaConstraint {
    /// A constraint for texts that satisfy `schema`: `true` or `{}` is any JSON, `{"type": "object"}` any object. The supported keywords are
    /// `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`,
    /// `minLength`, `maxLength`, `pattern`, `format`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `anyOf`, `oneOf`,
    /// `allOf`, `$ref` within the schema, and annotations.
    ///
    /// # Errors
    /// [`ConstraintError::Unsupported`] (`ERR_SCHEMA_UNSUPPORTED`) for other keywords, [`ConstraintError::Invalid`]
    /// (`ERR_SCHEMA_INVALID`) for what is no schema, [`ConstraintError::Unsatisfiable`] (`ERR_SCHEMA_UNSATISFIABLE`) where no text satisfies
    /// it, [`ConstraintError::Limit`] (`ERR_SCHEMA_LIMIT`) where it is too large.
    pub fn new(schema: &Value, trie: Arc<TokenTrie>) -> Result<Self, ConstraintError> {
        let (grammar, rule) = schema::compile(schema)?;
        let automaton = Automaton::new(Arc::new(grammar), rule, Arc::clone(&trie))?;
        Ok(Self { automaton, trie, ended: false })
    }
}

impl Constraint for JsonSchemaConstraint {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), ConstraintError> {
        if self.ended {
            logits.fill(f32::NEG_INFINITY);
            return Ok(());
        }
        let mask = self.automaton.mask()?;
        // The model may have logits for ids that the vocabulary lacks.
        let words = mask.iter().copied().chain(std::iter::repeat(0));
        for (logits, allowed) in logits.chunks_mut(64).zip(words) {
            match allowed {
                0 => logits.fill(f32::NEG_INFINITY),
                u64::MAX => {}
                _ => {
                    for (bit, logit) in logits.iter_mut().enumerate() {
                        if allowed >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, id: u32) -> Result<(), ConstraintError> {
        if self.ended {
            return Err(ConstraintError::Token { id });
        }
        if self.trie.end_of_generation().contains(&id) {
            if !self.is_complete() {
                return Err(ConstraintError::Token { id });
            }
            self.ended = true;
            return Ok(());
        }
        self.automaton.accept(id)
    }

    fn is_complete(&self) -> bool {
        self.automaton.is_complete()
    }

    fn is_finished(&self) -> bool {
        self.ended || self.automaton.is_finished()
    }
}

#[cfg(test)]
mod tests;
