//! GGUF, the file format of llama.cpp: reading (versions 2 and 3, also split over several files) and writing.
//!
//! ```text
//! "GGUF"  version: u32  tensor count: u64  metadata count: u64
//! metadata:  key: string  type: u32  value                                     (string = length: u64, bytes)
//! tensors:   name: string  dimensions: u32  shape: [u64]  type: u32  offset: u64
//! padding to general.alignment (32), then the data; offsets count from there
//! ```
//!
//! Source: `docs/gguf.md` of ggml. A file is taken as hostile: every number is checked before it is used, and no more is allocated than a small
//! multiple of the file's size.

mod error;
mod inspect;
mod metadata;
mod reader;
mod split;
mod tensor_info;
mod value;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use error::{GgufError, GgufErrorKind};
pub use metadata::Metadata;
pub use tensor_info::TensorInfo;
pub use value::{Array, FromValue, Value, ValueMismatch, ValueType};
pub use writer::{GgufWriter, WriteValue};

use crate::ModelError;
use crate::file_kind::FileKind;
use crate::file_map::FileMap;
use reader::Reader;

const MAGIC: &[u8; 4] = b"GGUF";
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
const ALIGNMENT_KEY: &str = "general.alignment";
const DEFAULT_ALIGNMENT: u32 = 32;

/// The fewest bytes of a metadata entry: the length of its key, a letter, the type, a value of one byte.
const SMALLEST_METADATA: u64 = 8 + 1 + 4 + 1;

/// More tensors than any model has; keeps the table of a file made of nothing but tensor entries small.
const MAX_TENSORS: u64 = 1 << 20;

/// An open GGUF file, or all the files of a split one. The data stays in the mapped files.
#[derive(Debug)]
pub struct GgufFile {
    /// In the order of their numbers.
    parts: Vec<Part>,
    /// In the order of the parts, and in each in that of its list.
    tensors: Vec<TensorInfo>,
    /// Indices of `tensors`, by name.
    by_name: Vec<usize>,
}

/// One file.
#[derive(Debug)]
struct Part {
    file: Arc<FileMap>,
    version: u32,
    metadata: Metadata,
    /// Empty once they have moved into [`GgufFile::tensors`].
    tensors: Vec<TensorInfo>,
}

impl GgufFile {
    /// Maps a file and reads its lists. Of a split model (`NAME-00001-of-00003.gguf`) any part may be given; all are opened.
    ///
    /// # Errors
    /// [`ModelError::File`] where a file cannot be opened, [`ModelError::Gguf`] where it is of another kind, damaged, or the parts do not fit
    /// together.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        Self::from_parts(split::open_parts(path)?)
    }

    /// Reads a file that is in memory already; `name` stands in messages for the path.
    ///
    /// # Errors
    /// As [`GgufFile::open`]; a part of a split model is refused, since its siblings cannot be found.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, ModelError> {
        let part = Part::read(FileMap::from_bytes(name, bytes))?;
        if part.split_count()? > 1 {
            let reason = "a part of a split model can only be opened by its path".to_owned();
            return Err(part.error(GgufErrorKind::Split { reason }));
        }
        Self::from_parts(vec![part])
    }

    fn from_parts(mut parts: Vec<Part>) -> Result<Self, ModelError> {
        let mut tensors = Vec::new();
        for (number, part) in parts.iter_mut().enumerate() {
            tensors.extend(part.tensors.drain(..).map(|tensor| tensor.in_part(number)));
        }
        let mut by_name: Vec<usize> = (0..tensors.len()).collect();
        by_name.sort_unstable_by_key(|&index| tensors[index].name());
        let twice =
            by_name.windows(2).find(|pair| tensors[pair[0]].name() == tensors[pair[1]].name());
        if let Some(pair) = twice {
            let tensor = &tensors[pair[0].max(pair[1])];
            return Err(parts[tensor.part()].error(GgufErrorKind::Duplicate {
                what: "tensor",
                name: tensor.name().to_owned(),
            }));
        }
        Ok(Self { parts, tensors, by_name })
    }

    /// The path that was opened; of a split model that of its first part.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.first().file.path()
    }

    /// The version of the format: 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.first().version
    }

    /// The metadata; of a split model that of its first part.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.first().metadata
    }

    /// All tensors in the order of the file, or of the parts.
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
    /// `ERR_GGUF_TENSOR` where there is none.
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, ModelError> {
        self.find_tensor(name).ok_or_else(|| {
            self.first().error(GgufErrorKind::MissingTensor { tensor: name.to_owned() })
        })
    }

    /// The data of one of this file's tensors: whole blocks of its type, little-endian, from the mapped file.
    ///
    /// # Errors
    /// `ERR_GGUF_UNSUPPORTED_TYPE` where its type cannot be read, `ERR_GGUF_TENSOR` for a tensor of another file.
    pub fn data(&self, tensor: &TensorInfo) -> Result<&[u8], ModelError> {
        if tensor.known_type().is_none() {
            return Err(self.part_of(tensor).error(GgufErrorKind::UnsupportedType {
                tensor: tensor.name().to_owned(),
                type_id: tensor.type_id(),
                type_name: tensor.type_name(),
            }));
        }
        let part = self.part_of(tensor);
        tensor.range().and_then(|range| part.file.bytes().get(range)).ok_or_else(|| {
            part.error(GgufErrorKind::MissingTensor { tensor: tensor.name().to_owned() })
        })
    }

    /// Tells the system that the pages of a tensor are needed no longer, once its weights have been packed elsewhere, so that they do not
    /// count twice as memory of the process. The data can still be read.
    pub fn release(&self, tensor: &TensorInfo) {
        if let Some(range) = tensor.range() {
            self.part_of(tensor).file.release(range);
        }
    }

    /// The bytes of all its files together.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.file.bytes().len() as u64).sum()
    }

    fn first(&self) -> &Part {
        &self.parts[0]
    }

    fn part_of(&self, tensor: &TensorInfo) -> &Part {
        self.parts.get(tensor.part()).unwrap_or(self.first())
    }
}

impl Part {
    /// Reads the lists of a file.
    fn read(file: FileMap) -> Result<Self, ModelError> {
        let file = Arc::new(file);
        Self::parse(&file).map_err(|kind| GgufError::new(file.path(), kind).into())
    }

    fn parse(file: &Arc<FileMap>) -> Result<Self, GgufErrorKind> {
        let bytes = file.bytes();
        if !bytes.starts_with(MAGIC) {
            return Err(GgufErrorKind::Magic { found: FileKind::of(bytes) });
        }
        let mut reader = Reader::at(bytes, MAGIC.len());
        let version = reader.u32(format_args!("version"))?;
        if !VERSIONS.contains(&version) {
            let swapped = version.swap_bytes();
            return Err(if VERSIONS.contains(&swapped) {
                GgufErrorKind::ByteOrder { version: swapped }
            } else {
                GgufErrorKind::Version { found: version }
            });
        }
        let tensor_count = reader.count(tensor_info::SMALLEST, format_args!("tensor count"))?;
        if tensor_count as u64 > MAX_TENSORS {
            return Err(GgufErrorKind::Bounds {
                field: "tensor count".to_owned(),
                offset: 8,
                found: tensor_count as u64,
                limit: MAX_TENSORS,
            });
        }
        let metadata_count = reader.count(SMALLEST_METADATA, format_args!("metadata count"))?;
        let metadata = Metadata::read(file, &mut reader, metadata_count)?;
        let mut tensors = Vec::with_capacity(tensor_count);
        for index in 0..tensor_count {
            tensors.push(TensorInfo::read(&mut reader, index)?);
        }
        place(&mut tensors, alignment(&metadata)?, reader.position() as u64, bytes.len() as u64)?;
        Ok(Self { file: Arc::clone(file), version, metadata, tensors })
    }

    /// The number of files that the model is split into: 1 where it is whole.
    fn split_count(&self) -> Result<usize, ModelError> {
        Ok(self.metadata.find("split.count")?.unwrap_or(1))
    }

    fn error(&self, kind: GgufErrorKind) -> ModelError {
        GgufError::new(self.file.path(), kind).into()
    }
}

/// `general.alignment`: a power of two.
fn alignment(metadata: &Metadata) -> Result<u64, GgufErrorKind> {
    let found: u32 = metadata.find_or_kind(ALIGNMENT_KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    let found = u64::from(found);
    if found.is_power_of_two() {
        Ok(found)
    } else {
        let field = format!("metadata \"{ALIGNMENT_KEY}\"");
        Err(GgufErrorKind::Alignment { field, found, expected: "a power of two".to_owned() })
    }
}

/// Makes all offsets count from the beginning of the file, and checks that the data lies in it and apart.
fn place(
    tensors: &mut [TensorInfo],
    alignment: u64,
    lists_end: u64,
    file_len: u64,
) -> Result<(), GgufErrorKind> {
    // No overflow: the lists end inside the file, and the alignment is a 32-bit number.
    let data_offset = lists_end.next_multiple_of(alignment);
    for tensor in &mut *tensors {
        tensor.place(data_offset, alignment, file_len)?;
    }
    let mut by_offset: Vec<&TensorInfo> = tensors.iter().collect();
    by_offset.sort_unstable_by_key(|tensor| tensor.offset());
    for pair in by_offset.windows(2) {
        let end = pair[0].offset() + pair[0].byte_len().unwrap_or(0);
        if end > pair[1].offset() {
            return Err(GgufErrorKind::Overlap {
                first: pair[0].name().to_owned(),
                end,
                second: pair[1].name().to_owned(),
                offset: pair[1].offset(),
            });
        }
    }
    Ok(())
}
