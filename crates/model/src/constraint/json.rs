//! The tokens of JSON (RFC 8259) as grammar fragments.

use super::ConstraintError;
use super::char_set::CharSet;
use super::grammar::{Edge, GrammarBuilder, NodeId};

/// Spaces and tabs after a line break: whitespace is bounded, or a model could go on with it for ever.
const MAX_INDENTATION: usize = 20;

/// Digits before the point, after it, and in an exponent, where no bound asks for more. Up to 15 significant digits keep apart in an f64
/// (IEEE 754 binary64), and no number of these lengths overflows one.
pub(super) const MAX_DIGITS: usize = 15;
const MAX_EXPONENT_DIGITS: usize = 2;

const DIGIT: (u8, u8) = (b'0', b'9');

type Result<T> = std::result::Result<T, ConstraintError>;

/// The short escapes of RFC 8259, section 7: the letter and the character that it stands for.
const SHORT_ESCAPES: [(u8, char); 8] = [
    (b'"', '"'),
    (b'\\', '\\'),
    (b'/', '/'),
    (b'b', '\u{8}'),
    (b'f', '\u{c}'),
    (b'n', '\n'),
    (b'r', '\r'),
    (b't', '\t'),
];

/// What must be escaped in a string: control characters, the quotation mark and the backslash.
fn must_escape() -> CharSet {
    CharSet::of([('\0', '\u{1f}'), ('"', '"'), ('\\', '\\')])
}

impl GrammarBuilder {
    /// Nothing, one space, or a line break and up to [`MAX_INDENTATION`] spaces or tabs; ends at `target`.
    pub(super) fn whitespace(&mut self, from: NodeId, target: NodeId) -> Result<()> {
        self.skip(from, target)?;
        self.byte(from, (b' ', b' '), target)?;
        let mut at = self.literal(from, b"\n")?;
        for _ in 0..MAX_INDENTATION {
            self.skip(at, target)?;
            let next = self.node()?;
            self.byte(at, (b' ', b' '), next)?;
            self.byte(at, (b'\t', b'\t'), next)?;
            at = next;
        }
        self.skip(at, target)
    }

    /// A whole number of up to [`MAX_DIGITS`] digits.
    pub(super) fn integer(&mut self, from: NodeId) -> Result<NodeId> {
        let end = self.node()?;
        self.byte(from, (b'0', b'0'), end)?;
        let minus = self.literal(from, b"-")?;
        let first = self.node()?;
        self.byte(from, (b'1', b'9'), first)?;
        self.byte(minus, (b'1', b'9'), first)?;
        self.digits(first, 0, MAX_DIGITS - 1, end)?;
        Ok(end)
    }

    /// A number: with up to [`MAX_DIGITS`] digits before the point, as many after it, and an exponent of two.
    pub(super) fn number(&mut self, from: NodeId) -> Result<NodeId> {
        let [signed, whole, fraction, end] =
            [self.node()?, self.node()?, self.node()?, self.node()?];
        self.skip(from, signed)?;
        self.byte(from, (b'-', b'-'), signed)?;
        self.byte(signed, (b'0', b'0'), whole)?;
        let first = self.node()?;
        self.byte(signed, (b'1', b'9'), first)?;
        self.digits(first, 0, MAX_DIGITS - 1, whole)?;
        self.skip(whole, fraction)?;
        let point = self.literal(whole, b".")?;
        self.digits(point, 1, MAX_DIGITS, fraction)?;
        self.skip(fraction, end)?;
        let exponent = self.node()?;
        self.byte(fraction, (b'e', b'e'), exponent)?;
        self.byte(fraction, (b'E', b'E'), exponent)?;
        let sign = self.node()?;
        self.skip(exponent, sign)?;
        self.byte(exponent, (b'+', b'+'), sign)?;
        self.byte(exponent, (b'-', b'-'), sign)?;
        self.digits(sign, 1, MAX_EXPONENT_DIGITS, end)?;
        Ok(end)
    }

    /// `least` to `most` digits.
    pub(super) fn digits(
        &mut self,
        mut from: NodeId,
        least: usize,
        most: usize,
        target: NodeId,
    ) -> Result<()> {
        for count in 0..most {
            if count >= least {
                self.skip(from, target)?;
            }
            let next = self.node()?;
            self.byte(from, DIGIT, next)?;
            from = next;
        }
        self.skip(from, target)
    }

    /// Any one character of a string, plain or escaped: a surrogate only as one of a pair.
    pub(super) fn any_character(&mut self, from: NodeId, target: NodeId) -> Result<()> {
        self.characters(from, &must_escape().complement(), target)?;
        let escape = self.literal(from, b"\\")?;
        for (letter, _) in SHORT_ESCAPES {
            self.byte(escape, (letter, letter), target)?;
        }
        let unicode = self.literal(escape, b"u")?;
        let [one, two] = [self.node()?, self.node()?];
        self.hexadecimal(one, two)?;
        self.hexadecimal(two, target)?;
        // The digit after a "d" tells surrogates: 0 to 7 are none, 8 to b the first of a pair, c to f the second.
        let plain = self.node()?;
        self.hexadecimal(plain, one)?;
        for range in [(b'0', b'9'), (b'a', b'c'), (b'A', b'C'), (b'e', b'f'), (b'E', b'F')] {
            self.byte(unicode, range, plain)?;
        }
        let after_d = self.node()?;
        for d in [b'd', b'D'] {
            self.byte(unicode, (d, d), after_d)?;
        }
        self.byte(after_d, (b'0', b'7'), one)?;
        let [high_two, high_end] = [self.node()?, self.node()?];
        for range in [(b'8', b'9'), (b'a', b'b'), (b'A', b'B')] {
            self.sequence(after_d, &[range], high_two)?;
        }
        let high_three = self.node()?;
        self.hexadecimal(high_two, high_three)?;
        self.hexadecimal(high_three, high_end)?;
        let low = self.literal(high_end, b"\\u")?;
        let low_after_d = self.node()?;
        for d in [b'd', b'D'] {
            self.byte(low, (d, d), low_after_d)?;
        }
        for range in [(b'c', b'f'), (b'C', b'F')] {
            self.byte(low_after_d, range, one)?;
        }
        Ok(())
    }

    /// One character of a set: plain, or in its shortest escape where it must be escaped.
    pub(super) fn character_of(
        &mut self,
        from: NodeId,
        set: &CharSet,
        target: NodeId,
    ) -> Result<()> {
        self.characters(from, &set.intersection(&must_escape().complement()), target)?;
        let escaped = set.intersection(&must_escape());
        if escaped.is_empty() {
            return Ok(());
        }
        let escape = self.literal(from, b"\\")?;
        for character in ('\0'..='\u{1f}').chain(['"', '\\']).filter(|&c| escaped.contains(c)) {
            let short = SHORT_ESCAPES.iter().find(|&&(_, short)| short == character);
            let last = match short {
                Some(&(letter, _)) => self.literal(escape, &[letter])?,
                None => {
                    self.literal(escape, format!("u{:04x}", u32::from(character)).as_bytes())?
                }
            };
            self.edge(last, Edge::Skip { target })?;
        }
        Ok(())
    }

    /// A string, without escapes, that is none of `names`.
    pub(super) fn other_name<'a>(
        &mut self,
        from: NodeId,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<NodeId> {
        let [free, end] = [self.node()?, self.node()?];
        self.characters(free, &must_escape().complement(), free)?;
        let close = |builder: &mut Self, at| builder.byte(at, (b'"', b'"'), end);
        close(self, free)?;
        // A trie of the names: a string is none of them where it leaves the trie or ends at a node that ends no name.
        let mut names: Vec<Vec<char>> =
            names.into_iter().map(|name| name.chars().collect()).collect();
        names.sort_unstable();
        names.dedup();
        let root = self.literal(from, b"\"")?;
        let mut pending = vec![(root, &names[..], 0)];
        while let Some((node, names, depth)) = pending.pop() {
            let ends = names.first().is_some_and(|name| name.len() == depth);
            if !ends {
                close(self, node)?;
            }
            let longer = &names[usize::from(ends)..];
            let mut followers = CharSet::default();
            for group in longer.chunk_by(|a, b| a[depth] == b[depth]) {
                let character = group[0][depth];
                let single = CharSet::of([(character, character)]);
                followers = followers.union(&single);
                let child = self.node()?;
                self.characters(node, &single.intersection(&must_escape().complement()), child)?;
                pending.push((child, group, depth + 1));
            }
            let others = followers.union(&must_escape()).complement();
            self.characters(node, &others, free)?;
        }
        Ok(end)
    }

    fn hexadecimal(&mut self, from: NodeId, target: NodeId) -> Result<()> {
        for range in [DIGIT, (b'a', b'f'), (b'A', b'F')] {
            self.byte(from, range, target)?;
        }
        Ok(())
    }
}
