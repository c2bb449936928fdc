//! The header of an `.npy` file: a Python dictionary, of which only what `NumPy` writes there is understood.

use super::NpyErrorKind;
use crate::dtype::Dtype;

/// `NumPy` allows 64.
const MAX_DIMENSIONS: usize = 64;

/// `descr` of every type, little-endian.
const DESCRS: [(&str, Dtype); 13] = [
    ("|b1", Dtype::Bool),
    ("|u1", Dtype::U8),
    ("|i1", Dtype::I8),
    ("<u2", Dtype::U16),
    ("<i2", Dtype::I16),
    ("<u4", Dtype::U32),
    ("<i4", Dtype::I32),
    ("<u8", Dtype::U64),
    ("<i8", Dtype::I64),
    ("<f2", Dtype::F16),
    ("<f4", Dtype::F32),
    ("<f8", Dtype::F64),
    ("<c8", Dtype::C64),
];

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
}

/// `descr` of a type, where `NumPy` has it.
pub(super) fn descr(dtype: Dtype) -> Option<&'static str> {
    DESCRS.iter().find(|(_, known)| *known == dtype).map(|&(descr, _)| descr)
}

/// The dictionary of an array in C order.
pub(super) fn text(descr: &str, shape: &[usize]) -> String {
    let dimensions: Vec<String> = shape.iter().map(ToString::to_string).collect();
    // Python writes the tuple of one number with a comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = dimensions.join(", ");
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}{comma}), }}")
}

/// Reads the dictionary; `offset` is where it begins in the file.
pub(super) fn parse(bytes: &[u8], offset: usize) -> Result<Header, NpyErrorKind> {
    let mut text = Text { bytes, position: 0, offset };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    text.expect(b'{')?;
    while !text.take_if(b'}') {
        let key = text.string()?;
        text.expect(b':')?;
        match key {
            b"descr" if descr.is_none() => descr = Some(text.dtype()?),
            b"fortran_order" if fortran_order.is_none() => fortran_order = Some(text.bool()?),
            b"shape" if shape.is_none() => shape = Some(text.shape()?),
            _ => return Err(text.error("'descr', 'fortran_order' and 'shape', each once")),
        }
        if !text.take_if(b',') {
            text.expect(b'}')?;
            break;
        }
    }
    text.end()?;
    match (descr, fortran_order, shape) {
        (Some(dtype), Some(fortran_order), Some(shape)) => {
            Ok(Header { dtype, fortran_order, shape })
        }
        _ => Err(text.error("'descr', 'fortran_order' and 'shape', each once")),
    }
}

/// A cursor over the dictionary's text.
struct Text<'a> {
    bytes: &'a [u8],
    position: usize,
    /// Of the text in the file.
    offset: usize,
}

impl<'a> Text<'a> {
    fn error(&self, expected: &str) -> NpyErrorKind {
        let offset = (self.offset + self.position) as u64;
        NpyErrorKind::Header { offset, expected: expected.to_owned() }
    }

    /// The rest, without the white space before it.
    fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let trimmed = rest.trim_ascii_start();
        self.position += rest.len() - trimmed.len();
        trimmed
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let found = self.rest().first() == Some(&byte);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), NpyErrorKind> {
        if self.take_if(byte) {
            Ok(())
        } else {
            Err(self.error(&format!("{:?}", char::from(byte))))
        }
    }

    fn end(&mut self) -> Result<(), NpyErrorKind> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.error("nothing but spaces")) }
    }

    /// A text in single or double quotes; `NumPy` writes none that needs an escape.
    fn string(&mut self) -> Result<&'a [u8], NpyErrorKind> {
        let Some((&quote @ (b'\'' | b'"'), rest)) = self.rest().split_first() else {
            return Err(self.error("a text in quotes"));
        };
        let Some(len) = rest.iter().position(|&byte| byte == quote) else {
            return Err(self.error("a text in quotes"));
        };
        self.position += len + 2;
        Ok(&rest[..len])
    }

    fn bool(&mut self) -> Result<bool, NpyErrorKind> {
        let rest = self.rest();
        for (word, value) in [("True", true), ("False", false)] {
            if rest.starts_with(word.as_bytes()) {
                self.position += word.len();
                return Ok(value);
            }
        }
        Err(self.error("True or False"))
    }

    fn dtype(&mut self) -> Result<Dtype, NpyErrorKind> {
        if self.rest().first() == Some(&b'[') {
            return Err(NpyErrorKind::Dtype { found: "records of several fields".to_owned() });
        }
        let found = self.string()?;
        let known = DESCRS.iter().find(|(descr, _)| descr.as_bytes() == found);
        known.map(|&(_, dtype)| dtype).ok_or_else(|| {
            let meaning = match found {
                [b'>', ..] => " (big-endian)",
                [_, b'O', ..] => " (Python objects)",
                [_, b'V', ..] => " (a type of another library, such as bfloat16)",
                _ => "",
            };
            let found = String::from_utf8_lossy(found);
            NpyErrorKind::Dtype { found: format!("\"{found}\"{meaning}") }
        })
    }

    /// A tuple of numbers.
    fn shape(&mut self) -> Result<Vec<usize>, NpyErrorKind> {
        let mut shape = Vec::new();
        self.expect(b'(')?;
        while !self.take_if(b')') {
            if shape.len() == MAX_DIMENSIONS {
                return Err(self.error("at most 64 dimensions"));
            }
            shape.push(self.number()?);
            if !self.take_if(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(shape)
    }

    fn number(&mut self) -> Result<usize, NpyErrorKind> {
        let rest = self.rest();
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..len]).ok().and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| self.error("a dimension"))?;
        self.position += len;
        // Python 2 marks long numbers.
        self.take_if(b'L');
        Ok(number)
    }
}
