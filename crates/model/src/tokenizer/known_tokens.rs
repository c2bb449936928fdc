//! Tokens that are known by name, because files do not say what they are for.
//!
//! The lists are those of llama.cpp (`llama-vocab.cpp`, <https://github.com/ggml-org/llama.cpp/issues/9606>).

use super::vocabulary::TokenType;

/// What a token of a known name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownToken {
    /// Ends a turn or a text: generation stops.
    End,
    /// Steers fill-in-the-middle and is no text.
    Control,
    /// Part of the answer's structure that is to be seen.
    Visible,
}

/// What the token of this text is for, if the name is known.
pub(super) fn known_token(text: &[u8]) -> Option<KnownToken> {
    // The first byte turns away nearly all tokens.
    if !matches!(text.first(), Some(b'<' | b'[' | b'_' | 0xE2)) {
        return None;
    }
    Some(match std::str::from_utf8(text).ok()? {
        "<|eot_id|>" | "<|im_end|>" | "<|end|>" | "<|return|>" | "<|call|>" | "<|flush|>"
        | "<|calls|>" | "<end_of_turn>" | "<|endoftext|>" | "</s>" | "<|eom_id|>" | "<EOT>"
        | "_<EOT>" | "[EOT]" | "[EOS]" | "<|end_of_text|>" | "<end_of_utterance>" | "<eos>"
        | "<turn|>" | "<|tool_response>" | "<｜end▁of▁sentence｜>" | "[e~["
        // Ends of a file in code models: padding, the next repository, the next file.
        | "<|fim_pad|>" | "<fim-pad>" | "<fim_pad>" | "<PAD>" | "[PAD]" | "<|fim_repo|>"
        | "<|repo_name|>" | "<fim-repo>" | "<REPO>" | "<reponame>" | "<|file_sep|>" => {
            KnownToken::End
        }
        "<|fim_prefix|>" | "<fim-prefix>" | "<fim_prefix>" | "<｜fim▁begin｜>" | "<PRE>"
        | "▁<PRE>" | "<|code_prefix|>" | "<|prefix|>" | "<|fim_suffix|>" | "<fim-suffix>"
        | "<fim_suffix>" | "<｜fim▁hole｜>" | "<SUF>" | "▁<SUF>" | "<|code_suffix|>"
        | "<|suffix|>" | "<|fim_middle|>" | "<fim-middle>" | "<fim_middle>" | "<｜fim▁end｜>"
        | "<MID>" | "▁<MID>" | "<|code_middle|>" | "<|middle|>" => KnownToken::Control,
        "<|channel|>" | "<|message|>" | "<|start|>" | "<|constrain|>" => KnownToken::Visible,
        _ => return None,
    })
}

/// Finds the tokens that end generation, and corrects the types of tokens that are known by name. Returns their ids in order.
pub(super) fn find_ends<'a>(
    tokens: impl Iterator<Item = &'a [u8]>,
    types: &mut [TokenType],
    declared: &[Option<u32>],
) -> Vec<u32> {
    let mut ends = Vec::new();
    let mut harmony = (false, false);
    let (mut end, mut sentence_end, mut tool_response) = (None, None, false);
    for ((id, token), kind) in (0..).zip(tokens).zip(types.iter_mut()) {
        match known_token(token) {
            Some(KnownToken::End) => {
                ends.push(id);
                *kind = TokenType::Control;
            }
            Some(KnownToken::Control) => *kind = TokenType::Control,
            Some(KnownToken::Visible) => *kind = TokenType::UserDefined,
            None => continue,
        }
        match token {
            b"<|return|>" | b"<|flush|>" => harmony.0 = true,
            b"<|call|>" | b"<|calls|>" => harmony.1 = true,
            b"<|end|>" => end = Some(id),
            b"</s>" => sentence_end = Some(id),
            b"<|tool_response>" => tool_response = true,
            _ => {}
        }
    }
    ends.extend(declared.iter().flatten());
    // In gpt-oss and Solar, `<|end|>` ends a message and others follow; Gemma 4 has an `</s>` that is HTML.
    if let (true, true, Some(id)) = (harmony.0, harmony.1, end) {
        ends.retain(|&other| other != id);
        types[id as usize] = TokenType::UserDefined;
    }
    if let (true, Some(id)) = (tool_response, sentence_end) {
        ends.retain(|&other| other != id);
        types[id as usize] = TokenType::Normal;
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends_of(tokens: &[&str], declared: &[Option<u32>]) -> (Vec<u32>, Vec<TokenType>) {
        let mut types = vec![TokenType::Normal; tokens.len()];
        let ends = find_ends(tokens.iter().map(|token| token.as_bytes()), &mut types, declared);
        (ends, types)
    }

    #[test]
    fn ends_are_found_by_name_and_by_declaration() {
        use TokenType::{Control, Normal};
        let (ends, types) =
            ends_of(&["a", "<|im_end|>", "<x>", "<|fim_prefix|>"], &[Some(2), None]);
        assert_eq!(ends, [1, 2]);
        assert_eq!(types, [Normal, Control, Normal, Control]);
    }

    #[test]
    fn end_of_message_does_not_end_harmony() {
        let (ends, types) = ends_of(&["<|end|>", "<|return|>", "<|call|>", "<|channel|>"], &[]);
        assert_eq!(ends, [1, 2]);
        assert_eq!((types[0], types[3]), (TokenType::UserDefined, TokenType::UserDefined));
        assert_eq!(ends_of(&["<|end|>", "<|return|>"], &[]).0, [0, 1]);
    }

    #[test]
    fn html_does_not_end_gemma_4() {
        assert_eq!(ends_of(&["</s>", "<|tool_response>", "<eos>"], &[Some(2)]).0, [1, 2]);
    }
}
