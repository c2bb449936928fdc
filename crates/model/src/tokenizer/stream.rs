//! Text from tokens, one by one.

use super::Tokenizer;

/// Turns token ids into text as they come. Text is returned once its characters are complete, so a character whose bytes are
/// spread over tokens comes whole; bytes that can become no character become U+FFFD.
///
/// However the ids are cut into calls, the pieces of text together are the same.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    special: bool,
    /// Whether a space that the encoder put before the text is still to be taken off.
    at_start: bool,
    /// Bytes of a character that is not complete: at most three between calls.
    pending: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder for ids that go on from other text, such as a model's answer. Special tokens yield no text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Special tokens yield their text where `special`.
    #[must_use]
    pub fn with_special(self, special: bool) -> Self {
        Self { special, ..self }
    }

    /// The ids are those of a whole text: the space that SentencePiece vocabularies put before a text is taken off.
    #[must_use]
    pub fn at_start(self) -> Self {
        Self { at_start: true, ..self }
    }

    /// Takes the next id and returns the text that is complete now. An id outside the vocabulary yields no text.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        let mut text = String::new();
        self.push_to(tokenizer, id, &mut text);
        text
    }

    /// As [`StreamDecoder::push`], appending to `out`.
    pub fn push_to(&mut self, tokenizer: &Tokenizer, id: u32, out: &mut String) {
        if !self.special && tokenizer.is_hidden(id) {
            return;
        }
        let mut bytes = tokenizer.token_bytes(id);
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.at_start)
            && tokenizer.adds_space_prefix()
            && !tokenizer.is_special(id)
        {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        if self.pending.is_empty()
            && let Ok(text) = std::str::from_utf8(bytes)
        {
            out.push_str(text);
            return;
        }
        self.pending.extend_from_slice(bytes);
        self.drain(out);
    }

    /// Moves what is decided from `pending` to `out`: only a beginning of a character may stay.
    fn drain(&mut self, out: &mut String) {
        let mut done = 0;
        loop {
            match std::str::from_utf8(&self.pending[done..]) {
                Ok(text) => {
                    out.push_str(text);
                    self.pending.clear();
                    return;
                }
                Err(error) => {
                    let valid = done + error.valid_up_to();
                    out.push_str(&String::from_utf8_lossy(&self.pending[done..valid]));
                    let Some(len) = error.error_len() else {
                        self.pending.drain(..valid);
                        return;
                    };
                    out.push(char::REPLACEMENT_CHARACTER);
                    done = valid + len;
                }
            }
        }
    }

    /// Ends the text: the beginning of a character that was never completed becomes one U+FFFD. The decoder can be used again.
    pub fn finish(&mut self) -> String {
        let incomplete = !self.pending.is_empty();
        self.pending.clear();
        if incomplete { String::from(char::REPLACEMENT_CHARACTER) } else { String::new() }
    }
}
