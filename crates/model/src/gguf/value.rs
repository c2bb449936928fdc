//! The values of metadata.

use std::fmt;

use super::GgufErrorKind;
use super::reader::Reader;

/// Arrays inside arrays inside arrays ... end here. No known file nests them at all.
const MAX_ARRAY_DEPTH: u32 = 4;

/// The type of a metadata value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// All of them, each at the index that is its number in a file.
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// Its number in a file.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The type with that number.
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(id).ok()?).copied()
    }

    /// Its name: `u8`, `string`, ...
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }

    /// The bytes of a value; of a string or an array the fewest it can have.
    const fn smallest(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }

    pub(super) fn read(
        reader: &mut Reader<'_>,
        field: fmt::Arguments<'_>,
    ) -> Result<Self, GgufErrorKind> {
        let offset = reader.position();
        let id = reader.u32(format_args!("type of {field}"))?;
        Self::from_id(id).ok_or_else(|| GgufErrorKind::value_type(field.to_string(), offset, id))
    }

    /// Steps over a value, checking that all of it is there.
    pub(super) fn skip(
        self,
        reader: &mut Reader<'_>,
        field: fmt::Arguments<'_>,
    ) -> Result<(), GgufErrorKind> {
        self.skip_nested(reader, field, 0)
    }

    fn skip_nested(
        self,
        reader: &mut Reader<'_>,
        field: fmt::Arguments<'_>,
        depth: u32,
    ) -> Result<(), GgufErrorKind> {
        match self {
            Self::String => reader.string(field).map(drop),
            Self::Array => {
                let offset = reader.position() as u64;
                if depth == MAX_ARRAY_DEPTH {
                    return Err(GgufErrorKind::Bounds {
                        field: format!("depth of nested arrays of {field}"),
                        offset,
                        found: u64::from(depth) + 1,
                        limit: u64::from(depth),
                    });
                }
                let element = Self::read(reader, format_args!("the elements of {field}"))?;
                let len = reader
                    .count(element.smallest(), format_args!("number of elements of {field}"))?;
                match element {
                    Self::String | Self::Array => {
                        (0..len).try_for_each(|_| element.skip_nested(reader, field, depth + 1))
                    }
                    // No overflow: `count` has checked that so many bytes are there.
                    _ => reader.take(len as u64 * element.smallest(), field).map(drop),
                }
            }
            _ => reader.take(self.smallest(), field).map(drop),
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metadata value; texts and arrays are borrowed from the file.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as ValueType")]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    /// Reads a value of a type, and steps over it, but of an array only to its first element. The bytes have been stepped over once before, so
    /// only their content can be wrong.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        value_type: ValueType,
    ) -> Result<Self, ValueMismatch> {
        let field = format_args!("value");
        let value = match value_type {
            ValueType::U8 => Self::U8(reader.array::<1>(field)?[0]),
            ValueType::I8 => Self::I8(i8::from_le_bytes(reader.array(field)?)),
            ValueType::U16 => Self::U16(u16::from_le_bytes(reader.array(field)?)),
            ValueType::I16 => Self::I16(i16::from_le_bytes(reader.array(field)?)),
            ValueType::U32 => Self::U32(reader.u32(field)?),
            ValueType::I32 => Self::I32(i32::from_le_bytes(reader.array(field)?)),
            ValueType::F32 => Self::F32(f32::from_le_bytes(reader.array(field)?)),
            ValueType::U64 => Self::U64(reader.u64(field)?),
            ValueType::I64 => Self::I64(i64::from_le_bytes(reader.array(field)?)),
            ValueType::F64 => Self::F64(f64::from_le_bytes(reader.array(field)?)),
            ValueType::Bool => match reader.array::<1>(field)? {
                [0] => Self::Bool(false),
                [1] => Self::Bool(true),
                [other] => return Err(ValueMismatch(format!("a bool with the value {other}"))),
            },
            ValueType::String => match std::str::from_utf8(reader.string(field)?) {
                Ok(text) => Self::String(text),
                Err(_) => return Err(ValueMismatch("a string that is not UTF-8".to_owned())),
            },
            ValueType::Array => {
                let element_type = ValueType::read(reader, field)?;
                let len = reader.count(element_type.smallest(), field)?;
                Self::Array(Array { element_type, len, elements: *reader })
            }
        };
        Ok(value)
    }

    /// Its type.
    #[must_use]
    pub const fn value_type(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The value of any integer type.
    #[must_use]
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Self::U8(value) => value.into(),
            Self::I8(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::U64(value) => value.into(),
            Self::I64(value) => value.into(),
            _ => return None,
        })
    }

    /// What it is, for messages: `i32 -1`, `array of 3 string`.
    fn describe(&self) -> String {
        match self {
            Self::F32(value) => format!("f32 {value}"),
            Self::F64(value) => format!("f64 {value}"),
            Self::Bool(value) => format!("bool {value}"),
            Self::String(_) => "a string".to_owned(),
            Self::Array(array) => format!("an array of {} {}", array.len, array.element_type),
            integer => {
                format!("{} {}", integer.value_type(), integer.as_integer().unwrap_or_default())
            }
        }
    }
}

/// An array of metadata, borrowed from the file.
#[derive(Clone, Copy, Debug)]
pub struct Array<'a> {
    element_type: ValueType,
    len: usize,
    elements: Reader<'a>,
}

impl<'a> Array<'a> {
    /// The type of every element.
    #[must_use]
    pub const fn element_type(&self) -> ValueType {
        self.element_type
    }

    /// The number of elements: never more than the file has bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements in order. A text that is not UTF-8 is an error.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, ValueMismatch>> + use<'a> {
        let Self { element_type, len, mut elements } = *self;
        (0..len).map(move |_| {
            if element_type == ValueType::Array {
                let array = Value::read(&mut elements.clone(), element_type)?;
                element_type.skip(&mut elements, format_args!("value"))?;
                Ok(array)
            } else {
                Value::read(&mut elements, element_type)
            }
        })
    }
}

/// What a value is instead of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueMismatch(pub(super) String);

impl From<GgufErrorKind> for ValueMismatch {
    fn from(kind: GgufErrorKind) -> Self {
        Self(kind.to_string())
    }
}

/// A type that a metadata value can be read as.
pub trait FromValue<'a>: Sized {
    /// The name of the type, for messages.
    fn expected() -> String;

    /// Reads the value.
    ///
    /// # Errors
    /// What it is, where it is something else.
    fn from_value(value: Value<'a>) -> Result<Self, ValueMismatch>;
}

/// Every integer type of a file is accepted where the number fits: writers differ in the types they choose.
macro_rules! integer_from_value {
    ($($integer:ty),+) => {$(
        impl FromValue<'_> for $integer {
            fn expected() -> String {
                stringify!($integer).to_owned()
            }

            fn from_value(value: Value<'_>) -> Result<Self, ValueMismatch> {
                value
                    .as_integer()
                    .and_then(|integer| Self::try_from(integer).ok())
                    .ok_or_else(|| ValueMismatch(value.describe()))
            }
        }
    )+};
}

integer_from_value!(u8, i8, u16, i16, u32, i32, u64, i64, usize);

impl<'a> FromValue<'a> for Value<'a> {
    fn expected() -> String {
        "a value".to_owned()
    }

    fn from_value(value: Value<'a>) -> Result<Self, ValueMismatch> {
        Ok(value)
    }
}

impl FromValue<'_> for f32 {
    fn expected() -> String {
        "f32".to_owned()
    }

    fn from_value(value: Value<'_>) -> Result<Self, ValueMismatch> {
        match value {
            Value::F32(value) => Ok(value),
            #[expect(clippy::cast_possible_truncation, reason = "rounded to nearest, as asked for")]
            Value::F64(value) => Ok(value as f32),
            _ => Err(ValueMismatch(value.describe())),
        }
    }
}

impl FromValue<'_> for bool {
    fn expected() -> String {
        "bool".to_owned()
    }

    fn from_value(value: Value<'_>) -> Result<Self, ValueMismatch> {
        match value {
            Value::Bool(value) => Ok(value),
            _ => Err(ValueMismatch(value.describe())),
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn expected() -> String {
        "a string".to_owned()
    }

    fn from_value(value: Value<'a>) -> Result<Self, ValueMismatch> {
        match value {
            Value::String(value) => Ok(value),
            _ => Err(ValueMismatch(value.describe())),
        }
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<T> {
    fn expected() -> String {
        format!("an array of {}", T::expected())
    }

    fn from_value(value: Value<'a>) -> Result<Self, ValueMismatch> {
        let Value::Array(array) = value else {
            return Err(ValueMismatch(value.describe()));
        };
        let mut elements = Self::with_capacity(array.len);
        for (index, element) in array.iter().enumerate() {
            let element = element.and_then(T::from_value).map_err(|ValueMismatch(found)| {
                ValueMismatch(format!("{} whose element {index} is {found}", value.describe()))
            })?;
            elements.push(element);
        }
        Ok(elements)
    }
}
