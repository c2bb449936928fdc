//! The matchers. Each stands for one regular expression, which its doc comment states.

use super::super::unicode::{
    CASELESS, Classes, LETTER, LOWERCASE, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, Scanned,
    UPPERCASE, run_end, scan,
};

/// A set of characters: those of some classes, some of ASCII, and some ranges (both ends in).
#[derive(Clone, Copy, Debug)]
pub(super) struct CharSet {
    pub(super) classes: Classes,
    pub(super) ascii: &'static [u8],
    pub(super) ranges: &'static [(char, char)],
}

impl CharSet {
    pub(super) const fn classes(classes: Classes) -> Self {
        Self { classes, ascii: b"", ranges: &[] }
    }

    #[inline]
    fn contains(&self, scanned: Scanned) -> bool {
        let character = scanned.character;
        scanned.class & self.classes != 0
            || is_one_of(character, self.ascii)
            || self.ranges.iter().any(|&(first, last)| (first..=last).contains(&character))
    }
}

/// One regular expression of a pre-tokenizer. What lies between two of its matches is a piece too.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// `[set]{1,at_most}`
    Isolate { set: CharSet, at_most: usize },
    /// `\s?[set]+`
    IsolateSpaced(CharSet),
    /// `[0-9][0-9][0-9]`
    DigitTriples,
    /// `[^\n]+|[\n]+`
    Lines,
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    Gpt2,
    /// The family of Llama 3's expression.
    Words(Words),
    /// ``[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+``
    Deepseek3,
}

/// The variants of
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    /// Whether English contractions are pieces (`cased`: parts of the word before them).
    pub(super) contractions: bool,
    /// What words are made of.
    pub(super) letters: Classes,
    /// Whether words are cut where lower case turns to upper case.
    pub(super) cased: bool,
    /// Longest piece of numbers.
    pub(super) numbers: usize,
    /// What punctuation takes with it.
    pub(super) after_punctuation: &'static [u8],
}

impl Words {
    pub(super) const LLAMA_3: Self = Self {
        contractions: true,
        letters: LETTER,
        cased: false,
        numbers: 3,
        after_punctuation: b"\r\n",
    };
}

impl Pattern {
    /// The end of the piece of `text` that starts at byte `start`, which must be a character boundary before the end.
    ///
    /// The result is a character boundary beyond `start`.
    pub(super) fn piece_end(&self, text: &str, start: usize) -> usize {
        match self {
            Self::Isolate { set, at_most } => {
                counted_run(text, start, *at_most, |c| set.contains(c))
                    .unwrap_or_else(|| run_end(text, start, |c| !set.contains(c)))
            }
            Self::IsolateSpaced(set) => or_gap(text, start, |at| {
                let space = match scan(text, at) {
                    Some(first) if first.class == SPACE => first.len,
                    _ => 0,
                };
                matched(text, at + space, |c| set.contains(c))
            }),
            Self::DigitTriples => or_gap(text, start, |at| {
                let triple = text.as_bytes().get(at..at + 3)?;
                triple.iter().all(u8::is_ascii_digit).then_some(at + 3)
            }),
            Self::Lines => {
                let newline = text.as_bytes()[start] == b'\n';
                run_end(text, start, |c| (c.character == '\n') == newline)
            }
            Self::Gpt2 => gpt_2(text, start),
            Self::Words(words) => words.piece_end(text, start),
            Self::Deepseek3 => or_gap(text, start, |at| deepseek_3(text, at)),
        }
    }
}

#[inline]
fn is_one_of(character: char, ascii: &[u8]) -> bool {
    character.is_ascii() && ascii.contains(&(character as u8))
}

/// The end of a match at `start`, or else of the gap before the next one.
#[inline]
fn or_gap(text: &str, start: usize, find: impl Fn(usize) -> Option<usize>) -> usize {
    if let Some(end) = find(start) {
        return end;
    }
    let mut at = start;
    while let Some(passed) = scan(text, at) {
        at += passed.len;
        if find(at).is_some() {
            break;
        }
    }
    at
}

/// `[..]+` at `start`: its end, or `None` if nothing matches.
#[inline]
fn matched(text: &str, start: usize, accepts: impl Fn(Scanned) -> bool) -> Option<usize> {
    let end = run_end(text, start, accepts);
    (end > start).then_some(end)
}

/// `[..]{1,at_most}` at `start`.
#[inline]
fn counted_run(
    text: &str,
    start: usize,
    at_most: usize,
    accepts: impl Fn(Scanned) -> bool,
) -> Option<usize> {
    let mut end = start;
    for _ in 0..at_most {
        match scan(text, end) {
            Some(next) if accepts(next) => end += next.len,
            _ => break,
        }
    }
    (end > start).then_some(end)
}

/// `'s|'t|'re|'ve|'m|'ll|'d` at `start`, in lower case or, with `any_case`, in any.
#[inline]
fn contraction(text: &str, start: usize, any_case: bool) -> Option<usize> {
    let bytes = &text.as_bytes()[start..];
    if bytes.first() != Some(&b'\'') {
        return None;
    }
    let letter = |at: usize| {
        let byte = bytes.get(at).copied().unwrap_or(0);
        if any_case { byte.to_ascii_lowercase() } else { byte }
    };
    match (letter(1), letter(2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(start + 2),
        (b'r' | b'v', b'e') | (b'l', b'l') => Some(start + 3),
        _ => None,
    }
}

/// `\s+(?!\S)|\s+` at `start`, where a whitespace character stands: all whitespace but the last character if something follows
/// and more than one stands here.
#[inline]
fn whitespace(text: &str, start: usize) -> usize {
    let mut end = start;
    let mut last = 0;
    while let Some(next) = scan(text, end) {
        if next.class != SPACE {
            return if end - last > start { end - last } else { end };
        }
        last = next.len;
        end += last;
    }
    end
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+` at `start`, where a whitespace character stands.
#[inline]
fn whitespace_or_lines(text: &str, start: usize) -> usize {
    let end = run_end(text, start, |c| c.class == SPACE);
    match text.as_bytes()[start..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
        Some(last) => start + last + 1,
        None => whitespace(text, start),
    }
}

/// Where ` ?[..]+` may begin its run: behind a space at `start`, else at `start`.
#[inline]
fn behind_space(text: &str, start: usize) -> usize {
    start + usize::from(text.as_bytes()[start] == b' ')
}

fn gpt_2(text: &str, start: usize) -> usize {
    if let Some(end) = contraction(text, start, false) {
        return end;
    }
    let at = behind_space(text, start);
    match scan(text, at).map(|next| next.class) {
        Some(class) if class & LETTER != 0 => run_end(text, at, |c| c.class & LETTER != 0),
        Some(NUMBER) => run_end(text, at, |c| c.class == NUMBER),
        None | Some(SPACE) => whitespace(text, start),
        Some(_) => run_end(text, at, |c| c.class & (SPACE | LETTER | NUMBER) == 0),
    }
}

impl Words {
    fn piece_end(&self, text: &str, start: usize) -> usize {
        if self.contractions
            && !self.cased
            && let Some(end) = contraction(text, start, true)
        {
            return end;
        }
        if let Some(end) = self.word(text, start) {
            return end;
        }
        if let Some(end) = counted_run(text, start, self.numbers, |c| c.class == NUMBER) {
            return end;
        }
        let outside = SPACE | NUMBER | LETTER | self.letters;
        if let Some(end) = matched(text, behind_space(text, start), |c| c.class & outside == 0) {
            return run_end(text, end, |c| is_one_of(c.character, self.after_punctuation));
        }
        whitespace_or_lines(text, start)
    }

    /// `[^\r\n\p{L}\p{N}]?` and letters.
    #[inline]
    fn word(&self, text: &str, start: usize) -> Option<usize> {
        let first = scan(text, start)?;
        let may_lead =
            first.class & (LETTER | NUMBER) == 0 && !matches!(first.character, '\r' | '\n');
        let behind = start + first.len;
        if !self.cased {
            let letters = |at| matched(text, at, |c| c.class & self.letters != 0);
            return may_lead.then(|| letters(behind)).flatten().or_else(|| letters(start));
        }
        let lowered = |at| capitals_then_lower(text, at);
        let raised = |at| matched(text, at, |c| c.class & CAPITALS != 0);
        let end = may_lead
            .then(|| lowered(behind))
            .flatten()
            .or_else(|| lowered(start))
            .or_else(|| may_lead.then(|| raised(behind)).flatten())
            .or_else(|| raised(start))?;
        let contracted = self.contractions.then(|| contraction(text, end, true)).flatten();
        Some(contracted.unwrap_or(end))
    }
}

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
const CAPITALS: Classes = UPPERCASE | CASELESS | MARK;
/// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
const LOWERS: Classes = LOWERCASE | CASELESS | MARK;

/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` at `start`.
///
/// The first run takes all it can. If no lower case follows, it gives back down to its last character without case, which
/// satisfies the second.
#[inline]
fn capitals_then_lower(text: &str, start: usize) -> Option<usize> {
    let mut end = start;
    let mut caseless_end = None;
    while let Some(next) = scan(text, end) {
        if next.class & CAPITALS == 0 {
            break;
        }
        end += next.len;
        if next.class & LOWERS != 0 {
            caseless_end = Some(end);
        }
    }
    matched(text, end, |c| c.class & LOWERS != 0).or(caseless_end)
}

fn deepseek_3(text: &str, start: usize) -> Option<usize> {
    let first = scan(text, start)?;
    let behind = start + first.len;
    if first.character.is_ascii_punctuation()
        && let Some(end) = matched(text, behind, |c| c.character.is_ascii_alphabetic())
    {
        return Some(end);
    }
    let letters = |at| matched(text, at, |c| c.class & (LETTER | MARK) != 0);
    let may_lead = first.class & (LETTER | PUNCTUATION | SYMBOL) == 0
        && !matches!(first.character, '\r' | '\n');
    if let Some(end) = may_lead.then(|| letters(behind)).flatten().or_else(|| letters(start)) {
        return Some(end);
    }
    let punctuation = |c: Scanned| c.class & (PUNCTUATION | SYMBOL) != 0;
    if let Some(end) = matched(text, behind_space(text, start), punctuation) {
        return Some(run_end(text, end, |c| matches!(c.character, '\r' | '\n')));
    }
    (first.class == SPACE).then(|| whitespace_or_lines(text, start))
}
