//! Safetensors, the file format of Hugging Face: reading and writing.
//!
//! ```text
//! header length: u64   header: JSON   data
//! {"__metadata__": {"format": "pt"}, "name": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}, ...}
//! ```
//!
//! Offsets count from the end of the header; the data of all tensors fills the rest of the file without gaps or overlaps. Source: the format's
//! description in `huggingface/safetensors`. Dimensions are in the order of C: the last is that of neighbouring elements. A file is taken as
//! hostile, as in [`crate::gguf`].

mod error;
mod header;
mod writer;

use std::ops::Range;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

pub use error::{SafetensorsError, SafetensorsErrorKind};
pub use writer::{Described, SafetensorsWriter, header_bytes};

use crate::ModelError;
use crate::dtype::Dtype;
use crate::file_kind::FileKind;
use crate::file_map::FileMap;
use header::{Header, TensorEntry};

/// The limit of the format.
const MAX_HEADER_LEN: u64 = 100_000_000;

/// Bytes of the header's length.
const PREFIX: usize = 8;

/// An open safetensors file. The data stays in the mapped file.
#[derive(Debug)]
pub struct SafetensorsFile {
    file: FileMap,
    /// The bytes of the whole file, of which `file` may hold the beginning only.
    file_len: usize,
    metadata: Vec<(String, String)>,
    /// In the order of their data.
    tensors: Vec<TensorInfo>,
    /// Indices of `tensors`, by name.
    by_name: Vec<usize>,
}

/// Where a tensor is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// From the beginning of the file.
    range: Range<usize>,
}

impl TensorInfo {
    /// Its name, unique in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type of its elements.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its dimensions, that of neighbouring elements last; none for a single number. A dimension may be 0.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements: the product of the shape. It does not overflow.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.byte_len() * 8 / self.dtype.bits()
    }

    /// Where its data lies, from the beginning of the file.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The length of its data in bytes.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.range.len()
    }
}

impl SafetensorsFile {
    /// Maps a file and reads its header.
    ///
    /// # Errors
    /// [`ModelError::File`] where the file cannot be opened, [`ModelError::Safetensors`] where it is of another kind or damaged.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = FileMap::open(path)?;
        let file_len = file.bytes().len();
        Self::read(file, file_len)
    }

    /// Reads a file that is in memory already; `name` stands in messages for the path.
    ///
    /// # Errors
    /// As [`SafetensorsFile::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ModelError> {
        let file_len = bytes.len();
        Self::read(FileMap::from_bytes(name, bytes), file_len)
    }

    /// Reads the header of a file whose data somebody else reads, at [`TensorInfo::range`]. `bytes` are the beginning of the file, with the whole
    /// header; `file_len` is how long the file is. [`SafetensorsFile::data`] is then an error.
    ///
    /// # Errors
    /// As [`SafetensorsFile::open`].
    pub fn from_header(name: &str, bytes: Vec<u8>, file_len: usize) -> Result<Self, ModelError> {
        Self::read(FileMap::from_bytes(name, bytes), file_len)
    }

    fn read(file: FileMap, file_len: usize) -> Result<Self, ModelError> {
        match parse(file.bytes(), file_len) {
            Ok((metadata, tensors, by_name)) => {
                Ok(Self { file, file_len, metadata, tensors, by_name })
            }
            Err(kind) => Err(SafetensorsError::new(file.path(), kind).into()),
        }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The texts of `__metadata__` in the order of the file.
    #[must_use]
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// All tensors in the order of their data.
    #[must_use]
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of that name, if there is one.
    #[must_use]
    pub fn find_tensor(&self, name: &str) -> Option<&TensorInfo> {
        let place = self.by_name.binary_search_by_key(&name, |&index| self.tensors[index].name());
        Some(&self.tensors[self.by_name[place.ok()?]])
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// `ERR_SAFETENSORS_TENSOR` where there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, ModelError> {
        self.find_tensor(name).ok_or_else(|| self.missing(name))
    }

    /// The data of one of this file's tensors, from the mapped file. It may begin at any address.
    ///
    /// # Errors
    /// `ERR_SAFETENSORS_TENSOR` for a tensor of another file.
    pub fn data(&self, tensor: &TensorInfo) -> Result<&[u8], ModelError> {
        self.file.bytes().get(tensor.range.clone()).ok_or_else(|| self.missing(tensor.name()))
    }

    /// Tells the system that the pages of a tensor are needed no longer. The data can still be read.
    pub fn release(&self, tensor: &TensorInfo) {
        self.file.release(tensor.range.clone());
    }

    /// What is in the file, in the form of [`crate::gguf::GgufFile::inspect`] as far as it applies.
    #[must_use]
    pub fn inspect(&self) -> Json {
        let metadata: Map<String, Json> =
            self.metadata.iter().map(|(key, text)| (key.clone(), text.as_str().into())).collect();
        let tensors: Vec<Json> = self
            .tensors
            .iter()
            .map(|tensor| {
                json!({
                    "name": tensor.name,
                    "type": tensor.dtype.name(),
                    "shape": tensor.shape,
                    "bytes": tensor.byte_len(),
                    "part": 0,
                    "offset": tensor.range.start,
                })
            })
            .collect();
        json!({
            "format": "safetensors",
            "parts": [{ "path": self.path().display().to_string(), "bytes": self.file_len }],
            "parameters": self.tensors.iter().map(TensorInfo::elements).fold(0, usize::saturating_add),
            "tensorBytes": self.tensors.iter().map(TensorInfo::byte_len).sum::<usize>(),
            "metadata": metadata,
            "tensors": tensors,
        })
    }

    fn missing(&self, name: &str) -> ModelError {
        let kind = SafetensorsErrorKind::MissingTensor { tensor: name.to_owned() };
        SafetensorsError::new(self.path(), kind).into()
    }
}

/// `__metadata__`, the tensors in the order of their data, and their indices by name.
type Parsed = (Vec<(String, String)>, Vec<TensorInfo>, Vec<usize>);

/// `bytes` are the beginning of a file of `file_len` bytes, with the whole header.
fn parse(bytes: &[u8], file_len: usize) -> Result<Parsed, SafetensorsErrorKind> {
    let found = FileKind::of(bytes);
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(SafetensorsErrorKind::Magic { found });
    };
    if found != FileKind::Safetensors {
        return Err(SafetensorsErrorKind::Magic { found });
    }
    let found = u64::from_le_bytes(*prefix);
    if found > MAX_HEADER_LEN {
        return Err(SafetensorsErrorKind::HeaderLength { found, limit: MAX_HEADER_LEN });
    }
    let split = usize::try_from(found).ok().and_then(|len| rest.split_at_checked(len));
    let (header, _) = split.ok_or_else(|| SafetensorsErrorKind::Truncated {
        field: "header".to_owned(),
        offset: PREFIX as u64,
        needed: found,
        available: rest.len() as u64,
    })?;
    let Header { metadata, mut tensors } = serde_json::from_slice(header)
        .map_err(|error| SafetensorsErrorKind::Header { reason: error.to_string() })?;
    tensors.sort_by_key(|(_, entry)| entry.data_offsets);
    let tensors =
        place(tensors, PREFIX + header.len(), file_len.saturating_sub(PREFIX + header.len()))?;

    let mut by_name: Vec<usize> = (0..tensors.len()).collect();
    by_name.sort_unstable_by_key(|&index| tensors[index].name());
    let twice = by_name.windows(2).find(|pair| tensors[pair[0]].name == tensors[pair[1]].name);
    match twice {
        Some(pair) => {
            Err(SafetensorsErrorKind::Duplicate { tensor: tensors[pair[0]].name.clone() })
        }
        None => Ok((metadata, tensors, by_name)),
    }
}

/// Checks tensors in the order of their data against the bytes that there are: `data_len`, from `start` on.
fn place(
    entries: Vec<(String, TensorEntry)>,
    start: usize,
    data_len: usize,
) -> Result<Vec<TensorInfo>, SafetensorsErrorKind> {
    let mut tensors = Vec::with_capacity(entries.len());
    let mut expected = 0;
    for (name, entry) in entries {
        let (begin, end) = entry.data_offsets;
        if begin != expected || end < begin {
            return Err(SafetensorsErrorKind::Layout { tensor: name, begin, end, expected });
        }
        let Some(dtype) = Dtype::from_name(&entry.dtype) else {
            return Err(SafetensorsErrorKind::Dtype { tensor: name, found: entry.dtype });
        };
        check_len(&name, dtype, &entry.shape, end - begin)?;
        let (Ok(first), Ok(last)) = (usize::try_from(begin), usize::try_from(end)) else {
            let (dtype, shape) = (dtype.name(), entry.shape);
            return Err(SafetensorsErrorKind::Overflow { tensor: name, dtype, shape });
        };
        if last > data_len {
            return Err(SafetensorsErrorKind::Truncated {
                field: format!("data of tensor \"{name}\""),
                offset: (start + first) as u64,
                needed: end - begin,
                available: data_len.saturating_sub(first) as u64,
            });
        }
        let range = start + first..start + last;
        tensors.push(TensorInfo { name, dtype, shape: entry.shape, range });
        expected = end;
    }
    let (expected, found) = (start as u64 + expected, (start + data_len) as u64);
    if expected == found {
        Ok(tensors)
    } else {
        Err(SafetensorsErrorKind::Trailing { expected, found })
    }
}

/// That `found` bytes are what a tensor takes.
fn check_len(
    name: &str,
    dtype: Dtype,
    shape: &[usize],
    found: u64,
) -> Result<(), SafetensorsErrorKind> {
    let (tensor, shape_vec) = (name.to_owned(), shape.to_vec());
    match dtype.byte_len(shape) {
        Some(expected) if expected as u64 == found => Ok(()),
        Some(expected) => Err(SafetensorsErrorKind::ByteLength {
            tensor,
            dtype: dtype.name(),
            shape: shape_vec,
            expected: expected as u64,
            found,
        }),
        None => {
            Err(SafetensorsErrorKind::Overflow { tensor, dtype: dtype.name(), shape: shape_vec })
        }
    }
}
