//! Pre-tokenizers: how a byte-level vocabulary cuts text into pieces before merging. No merge crosses the end of a piece.
//!
//! Every model family states its cut as one or more regular expressions, applied one after the other: each cuts the pieces of
//! the one before. Here each expression is a matcher written by hand that finds the end of the next piece in one pass; a test
//! compares them with a regular-expression engine. The names are those of llama.cpp's `tokenizer.ggml.pre`.

mod patterns;
#[cfg(test)]
mod tests;

use patterns::{CharSet, Pattern, Words};

use super::unicode::{LETTER, MARK, NUMBER, PUNCTUATION};

/// Cuts text into the pieces that are merged separately.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreTokenizer {
    patterns: &'static [Pattern],
    /// Whether a piece that is a token as a whole is taken as that token, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// Whether models with this pre-tokenizer want a BOS token when their file does not say.
    pub(super) adds_bos: bool,
}

impl PreTokenizer {
    /// The pre-tokenizer of a file's `tokenizer.ggml.pre`, or `None` if the name is unknown.
    pub(super) fn named(name: &str) -> Option<Self> {
        let (patterns, ignores_merges, adds_bos): (&'static [Pattern], bool, bool) = match name {
            "default" => (DEFAULT, false, false),
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "gigachat" | "jina-v2-es"
            | "jina-v2-de" | "a.x-4.0" | "mellum" | "modern-bert" | "jina-v1-en"
            | "jina-v2-code" | "roberta-bpe" | "exaone4" | "mpt" | "olmo" | "jais" | "trillion"
            | "granite-docling" => (GPT_2, false, false),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone"
            | "minerva-7b" | "mellum2" => (SMOLLM, false, false),
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "falcon-h1" | "pixtral"
            | "midm-2.0" | "lfm2" | "jina-v5-nano" => (LLAMA_3, true, true),
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" => (LLAMA_3, false, false),
            "qwen2" | "deepseek-r1-qwen" | "kormo" | "f2llmv2" | "stablelm2" | "hunyuan"
            | "solar-open" | "megrez" | "grok-2" | "bailingmoe" | "bailingmoe2" | "llada-moe" => {
                (QWEN_2, false, false)
            }
            "qwen35" => (QWEN_35, false, false),
            "seed-coder" => (SEED_CODER, false, false),
            "ufakzeka" => (UFAKZEKA, false, false),
            "laguna" => (LAGUNA, false, false),
            "minicpm5" => (MINICPM_5, true, false),
            "falcon" => (FALCON, false, false),
            "deepseek-coder" => (DEEPSEEK_CODER, false, false),
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" | "hy_v4" => (DEEPSEEK_3, false, false),
            "gpt-4o" | "llama4" | "kanana2" | "talkie" | "minimax-m2" => (GPT_4O, false, false),
            "tekken" => (TEKKEN, true, true),
            _ => return None,
        };
        Some(Self { patterns, ignores_merges, adds_bos })
    }

    /// The pre-tokenizer for files that name none, or none that is known.
    pub(super) fn fallback() -> Self {
        Self { patterns: DEFAULT, ignores_merges: false, adds_bos: false }
    }

    /// Calls `sink` with the pieces of `text`, in order. Together they are the text.
    pub(super) fn split<'t>(&self, text: &'t str, sink: &mut impl FnMut(&'t str)) {
        split_by(self.patterns, text, sink);
    }
}

/// Recurses once for each pattern, of which there are at most five.
fn split_by<'t>(patterns: &[Pattern], text: &'t str, sink: &mut impl FnMut(&'t str)) {
    let Some((pattern, rest)) = patterns.split_first() else {
        sink(text);
        return;
    };
    let mut start = 0;
    while start < text.len() {
        let end = pattern.piece_end(text, start);
        split_by(rest, &text[start..end], sink);
        start = end;
    }
}

/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const GPT_2: &[Pattern] = &[Pattern::Gpt2];

const SMOLLM: &[Pattern] = &[
    // \p{N}
    Pattern::Isolate { set: CharSet::classes(NUMBER), at_most: 1 },
    Pattern::Gpt2,
];

const DEFAULT: &[Pattern] = &[
    // [\p{P}\$\+<=>\^~\|]+
    Pattern::Isolate {
        set: CharSet { classes: PUNCTUATION, ascii: b"$+<=>^~|", ranges: &[] },
        at_most: usize::MAX,
    },
    Pattern::Gpt2,
    // \p{N}+
    Pattern::Isolate { set: CharSet::classes(NUMBER), at_most: usize::MAX },
    // [0-9][0-9][0-9]
    Pattern::DigitTriples,
];

const FALCON: &[Pattern] = &[
    // [\p{P}\$\+<=>\^~\|`]+
    Pattern::Isolate {
        set: CharSet { classes: PUNCTUATION, ascii: b"$+<=>^~|`", ranges: &[] },
        at_most: usize::MAX,
    },
    Pattern::Gpt2,
    // [0-9][0-9][0-9]
    Pattern::DigitTriples,
];

/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
///
/// The case-insensitive `'s` of the original would also take `'ſ` (U+017F); like llama.cpp, only ASCII letters are taken here.
const LLAMA_3: &[Pattern] = &[Pattern::Words(Words::LLAMA_3)];

/// Llama 3's with `\p{N}` for `\p{N}{1,3}`.
const QWEN_2: &[Pattern] = &[Pattern::Words(Words { numbers: 1, ..Words::LLAMA_3 })];

/// Qwen 2's with `[\p{L}\p{M}]` for `\p{L}` in words, and marks out of punctuation.
const QWEN_35: &[Pattern] =
    &[Pattern::Words(Words { letters: LETTER | MARK, numbers: 1, ..Words::LLAMA_3 })];

/// Qwen 2's with ` ?[^\s\p{L}\p{N}\r\n]+` for punctuation.
const SEED_CODER: &[Pattern] =
    &[Pattern::Words(Words { numbers: 1, after_punctuation: b"", ..Words::LLAMA_3 })];

/// Qwen 2's without contractions, so that Turkish suffixes stay with their apostrophe.
const UFAKZEKA: &[Pattern] =
    &[Pattern::Words(Words { numbers: 1, contractions: false, ..Words::LLAMA_3 })];

const LAGUNA: &[Pattern] =
    &[Pattern::Lines, Pattern::Words(Words { numbers: 1, ..Words::LLAMA_3 })];

const MINICPM_5: &[Pattern] = &[
    // \p{N}{1,3}
    Pattern::Isolate { set: CharSet::classes(NUMBER), at_most: 3 },
    Pattern::Words(Words { numbers: usize::MAX, ..Words::LLAMA_3 }),
];

/// GPT-4o's: words are cut where lower case turns to upper case, and carry their contraction:
/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` the same with
/// `+` for `*` and `*` for `+`, then `\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
///
/// This is the expression of the models' own tokenizer files; llama.cpp approximates the cases by those of ASCII.
const GPT_4O: &[Pattern] =
    &[Pattern::Words(Words { cased: true, after_punctuation: b"\r\n/", ..Words::LLAMA_3 })];

/// GPT-4o's without contractions, and `\p{N}` for `\p{N}{1,3}`.
const TEKKEN: &[Pattern] = &[Pattern::Words(Words {
    cased: true,
    contractions: false,
    numbers: 1,
    after_punctuation: b"\r\n/",
    ..Words::LLAMA_3
})];

const DEEPSEEK_CODER: &[Pattern] = &[
    // [\r\n]
    Pattern::Isolate { set: CharSet { classes: 0, ascii: b"\r\n", ranges: &[] }, at_most: 1 },
    // \s?\p{L}+
    Pattern::IsolateSpaced(CharSet::classes(LETTER)),
    // \s?\p{P}+
    Pattern::IsolateSpaced(CharSet::classes(PUNCTUATION)),
    // [一-龥ࠀ-一가-퟿]+
    Pattern::Isolate {
        set: CharSet {
            classes: 0,
            ascii: b"",
            ranges: &[('\u{4E00}', '\u{9FA5}'), ('\u{800}', '\u{4E00}'), ('\u{AC00}', '\u{D7FF}')],
        },
        at_most: usize::MAX,
    },
    // \p{N}
    Pattern::Isolate { set: CharSet::classes(NUMBER), at_most: 1 },
];

const DEEPSEEK_3: &[Pattern] = &[
    // \p{N}{1,3}
    Pattern::Isolate { set: CharSet::classes(NUMBER), at_most: 3 },
    // [一-龥぀-ゟ゠-ヿ]+
    Pattern::Isolate {
        set: CharSet {
            classes: 0,
            ascii: b"",
            ranges: &[('\u{4E00}', '\u{9FA5}'), ('\u{3040}', '\u{30FF}')],
        },
        at_most: usize::MAX,
    },
    Pattern::Deepseek3,
];
