//! Classes of characters that pre-tokenizer patterns speak of, from the Unicode 16 general categories.

use unicode_general_category::{GeneralCategory, get_general_category};

/// A set of character classes, one bit a class. A character has at most one bit; control, format, private-use and unassigned
/// characters have none.
pub(super) type Classes = u8;

/// `\p{Lu}` and `\p{Lt}`.
pub(super) const UPPERCASE: Classes = 1;
/// `\p{Ll}`.
pub(super) const LOWERCASE: Classes = 1 << 1;
/// `\p{Lm}` and `\p{Lo}`.
pub(super) const CASELESS: Classes = 1 << 2;
/// `\p{M}`.
pub(super) const MARK: Classes = 1 << 3;
/// `\p{N}`.
pub(super) const NUMBER: Classes = 1 << 4;
/// `\p{P}`.
pub(super) const PUNCTUATION: Classes = 1 << 5;
/// `\p{S}`.
pub(super) const SYMBOL: Classes = 1 << 6;
/// `\s`: the `White_Space` property.
pub(super) const SPACE: Classes = 1 << 7;
/// `\p{L}`.
pub(super) const LETTER: Classes = UPPERCASE | LOWERCASE | CASELESS;

const ASCII: [Classes; 128] = {
    let mut table = [0; 128];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'A'..=b'Z' => UPPERCASE,
            b'a'..=b'z' => LOWERCASE,
            b'0'..=b'9' => NUMBER,
            b'\t'..=b'\r' | b' ' => SPACE,
            b'$' | b'+' | b'<'..=b'>' | b'^' | b'`' | b'|' | b'~' => SYMBOL,
            b'!'..=b'@' | b'['..=b'{' | b'}' => PUNCTUATION,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// The class of any character.
fn class_of(character: char) -> Classes {
    use GeneralCategory as G;
    match get_general_category(character) {
        G::UppercaseLetter | G::TitlecaseLetter => UPPERCASE,
        G::LowercaseLetter => LOWERCASE,
        G::ModifierLetter | G::OtherLetter => CASELESS,
        G::NonspacingMark | G::SpacingMark | G::EnclosingMark => MARK,
        G::DecimalNumber | G::LetterNumber | G::OtherNumber => NUMBER,
        G::ConnectorPunctuation
        | G::DashPunctuation
        | G::OpenPunctuation
        | G::ClosePunctuation
        | G::InitialPunctuation
        | G::FinalPunctuation
        | G::OtherPunctuation => PUNCTUATION,
        G::MathSymbol | G::CurrencySymbol | G::ModifierSymbol | G::OtherSymbol => SYMBOL,
        _ if character.is_whitespace() => SPACE,
        _ => 0,
    }
}

/// A character, its class and its length in bytes.
#[derive(Clone, Copy)]
pub(super) struct Scanned {
    pub(super) character: char,
    pub(super) class: Classes,
    pub(super) len: usize,
}

/// The character that starts at byte `at` of `text`, or `None` at its end.
///
/// `at` must be a character boundary.
#[inline]
pub(super) fn scan(text: &str, at: usize) -> Option<Scanned> {
    let &first = text.as_bytes().get(at)?;
    if first < 128 {
        return Some(Scanned {
            character: first as char,
            class: ASCII[usize::from(first)],
            len: 1,
        });
    }
    let character = text[at..].chars().next()?;
    Some(Scanned { character, class: class_of(character), len: character.len_utf8() })
}

/// The end of the longest run of characters from byte `at` on whose class satisfies `accepts`.
#[inline]
pub(super) fn run_end(text: &str, mut at: usize, accepts: impl Fn(Scanned) -> bool) -> usize {
    while let Some(next) = scan(text, at) {
        if !accepts(next) {
            break;
        }
        at += next.len;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ASCII table is written by hand: the general categories say the same.
    #[test]
    fn the_ascii_table_agrees_with_the_general_categories() {
        for byte in 0..128u8 {
            let character = char::from(byte);
            assert_eq!(ASCII[usize::from(byte)], class_of(character), "{character:?}");
        }
    }

    #[test]
    fn classes_agree_with_the_standard_library_where_it_has_them() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let class = class_of(character);
            assert_eq!(class == SPACE, character.is_whitespace(), "{character:?}");
            assert!(class.count_ones() <= 1, "{character:?}");
        }
    }
}
