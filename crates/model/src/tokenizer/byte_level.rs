//! GPT-2's bijection between bytes and printable characters, in which byte-level vocabularies are written.
//!
//! Bytes that are printable in Latin-1 stand for themselves; the other 68 take the characters from U+0100 on, in order
//! (`bytes_to_unicode` of <https://github.com/openai/gpt-2/blob/master/src/encoder.py>). A space is `Ġ`, a newline `Ċ`.

const fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// Code point of each byte, and byte of each code point (`NO_BYTE` where there is none).
const TABLES: ([u16; 256], [u16; 324]) = {
    let mut to_char = [0; 256];
    let mut to_byte = [NO_BYTE; 324];
    let mut next = 256;
    let mut byte = 0u16;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop stops before 256")]
        let code = if is_printable(byte as u8) {
            byte
        } else {
            next += 1;
            next - 1
        };
        to_char[byte as usize] = code;
        to_byte[code as usize] = byte;
        byte += 1;
    }
    (to_char, to_byte)
};

const NO_BYTE: u16 = u16::MAX;

/// The character that stands for `byte`.
pub(super) fn char_of(byte: u8) -> char {
    char::from_u32(u32::from(TABLES.0[usize::from(byte)])).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that `character` stands for, if it stands for one.
pub(super) fn byte_of(character: char) -> Option<u8> {
    TABLES.1.get(character as usize).and_then(|&byte| u8::try_from(byte).ok())
}

/// Appends the bytes that a token's text stands for. Characters outside the bijection, and bytes that are no UTF-8, stand for
/// themselves.
pub(super) fn decode_into(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match byte_of(character) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_characters_are_a_bijection() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(b'a')), ('Ġ', 'Ċ', 'a'));
        assert_eq!((byte_of(' '), byte_of('▁'), byte_of('\u{144}')), (None, None, None));
    }
}
