//! Writing GGUF files.

use std::borrow::Cow;
use std::path::Path;

use dyadic_formats::GgufType;

use super::{
    ALIGNMENT_KEY, DEFAULT_ALIGNMENT, GgufError, GgufErrorKind, MAGIC, ValueType, tensor_info,
};
use crate::ModelError;
use crate::file_map::FileError;

/// A value that can be written as metadata: integers, floats, `bool`, texts, and arrays of these.
pub trait WriteValue {
    /// Its type in the file.
    const TYPE: ValueType;

    /// Appends the value, without its type.
    fn write(&self, out: &mut Vec<u8>);
}

macro_rules! write_number {
    ($($number:ty => $value_type:ident),+) => {$(
        impl WriteValue for $number {
            const TYPE: ValueType = ValueType::$value_type;

            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )+};
}

write_number!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, f32 => F32, u64 => U64, i64 => I64, f64 => F64);

impl WriteValue for bool {
    const TYPE: ValueType = ValueType::Bool;

    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl WriteValue for str {
    const TYPE: ValueType = ValueType::String;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        out.extend_from_slice(self.as_bytes());
    }
}

impl WriteValue for String {
    const TYPE: ValueType = ValueType::String;

    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl<T: WriteValue> WriteValue for [T] {
    const TYPE: ValueType = ValueType::Array;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&T::TYPE.id().to_le_bytes());
        out.extend_from_slice(&(self.len() as u64).to_le_bytes());
        for element in self {
            element.write(out);
        }
    }
}

impl<T: WriteValue, const N: usize> WriteValue for [T; N] {
    const TYPE: ValueType = ValueType::Array;

    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: WriteValue> WriteValue for Vec<T> {
    const TYPE: ValueType = ValueType::Array;

    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: WriteValue + ?Sized> WriteValue for &T {
    const TYPE: ValueType = T::TYPE;

    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

/// Builds a GGUF file of version 3 that [`super::GgufFile`] and llama.cpp read.
///
/// ```
/// use dyadic_formats::GgufType;
/// use dyadic_model::gguf::{GgufFile, GgufWriter};
///
/// # fn main() -> Result<(), dyadic_model::ModelError> {
/// let mut writer = GgufWriter::new();
/// writer.metadata("general.architecture", "llama");
/// writer.metadata("tokenizer.ggml.tokens", ["<s>", "</s>"]);
/// let norm = [1_f32, 0.5].map(f32::to_le_bytes).concat();
/// writer.tensor("output_norm.weight", &[2], GgufType::F32, norm)?;
/// let file = GgufFile::from_bytes("tiny.gguf", writer.to_bytes())?;
/// assert_eq!(file.tensor("output_norm.weight")?.shape(), [2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GgufWriter<'a> {
    metadata: Vec<Entry>,
    tensors: Vec<Tensor<'a>>,
    alignment: u32,
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    value_type: ValueType,
    value: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Tensor<'a> {
    name: String,
    shape: Vec<u64>,
    block_type: GgufType,
    data: Cow<'a, [u8]>,
}

impl<'a> GgufWriter<'a> {
    /// An empty file with the usual alignment of 32 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self { metadata: Vec::new(), tensors: Vec::new(), alignment: DEFAULT_ALIGNMENT }
    }

    /// An empty file whose data is aligned to `alignment` bytes; sets `general.alignment`.
    ///
    /// # Panics
    /// Where `alignment` is no power of two.
    #[must_use]
    pub fn with_alignment(alignment: u32) -> Self {
        assert!(alignment.is_power_of_two(), "{alignment} is no power of two");
        let mut writer = Self { alignment, ..Self::new() };
        writer.metadata(ALIGNMENT_KEY, alignment);
        writer
    }

    /// Appends a metadata key, or gives a key that is there its new value.
    pub fn metadata<V: WriteValue>(&mut self, key: &str, value: V) -> &mut Self {
        let mut bytes = Vec::new();
        value.write(&mut bytes);
        let entry = Entry { key: key.to_owned(), value_type: V::TYPE, value: bytes };
        match self.metadata.iter_mut().find(|existing| existing.key == key) {
            Some(existing) => *existing = entry,
            None => self.metadata.push(entry),
        }
        self
    }

    /// Appends a tensor. `shape` is in the order of ggml, that of neighbouring elements first; `data` holds whole blocks of `block_type`.
    ///
    /// # Errors
    /// `ERR_GGUF_SHAPE` where the rows are no whole blocks or `data` has another length, `ERR_GGUF_BOUNDS` for more than four dimensions or a
    /// name of 0 or more than 127 bytes, `ERR_GGUF_DUPLICATE` for a name that is there.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        block_type: GgufType,
        data: impl Into<Cow<'a, [u8]>>,
    ) -> Result<&mut Self, ModelError> {
        let data = data.into();
        let shape: Vec<u64> = shape.iter().map(|&dimension| dimension as u64).collect();
        tensor_info::check(name, &shape, block_type, data.len()).map_err(Self::error)?;
        if self.tensors.iter().any(|tensor| tensor.name == name) {
            let name = name.to_owned();
            return Err(Self::error(GgufErrorKind::Duplicate { what: "tensor", name }));
        }
        self.tensors.push(Tensor { name: name.to_owned(), shape, block_type, data });
        Ok(self)
    }

    /// The file in memory.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.lists();
        for tensor in &self.tensors {
            self.pad(&mut bytes);
            bytes.extend_from_slice(&tensor.data);
        }
        // ggml wants the last tensor padded too.
        self.pad(&mut bytes);
        bytes
    }

    /// Writes the file. A file that is there is replaced; one that could not be written in full stays behind.
    ///
    /// # Errors
    /// [`ModelError::File`] where it cannot be written.
    pub fn write_file(&self, path: &Path) -> Result<(), ModelError> {
        std::fs::write(path, self.to_bytes())
            .map_err(|error| FileError::from_io(path, "write", &error).into())
    }

    /// Everything before the data.
    fn lists(&self) -> Vec<u8> {
        let mut lists = Vec::from(MAGIC);
        3_u32.write(&mut lists);
        (self.tensors.len() as u64).write(&mut lists);
        (self.metadata.len() as u64).write(&mut lists);
        for entry in &self.metadata {
            entry.key.write(&mut lists);
            entry.value_type.id().write(&mut lists);
            lists.extend_from_slice(&entry.value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            tensor.name.write(&mut lists);
            #[expect(clippy::cast_possible_truncation, reason = "at most four")]
            (tensor.shape.len() as u32).write(&mut lists);
            for dimension in &tensor.shape {
                dimension.write(&mut lists);
            }
            tensor.block_type.id().write(&mut lists);
            offset.write(&mut lists);
            offset += (tensor.data.len() as u64).next_multiple_of(self.alignment.into());
        }
        lists
    }

    fn pad(&self, bytes: &mut Vec<u8>) {
        bytes.resize(bytes.len().next_multiple_of(self.alignment as usize), 0);
    }

    fn error(kind: GgufErrorKind) -> ModelError {
        GgufError::new(Path::new("new GGUF file"), kind).into()
    }
}

impl Default for GgufWriter<'_> {
    fn default() -> Self {
        Self::new()
    }
}
