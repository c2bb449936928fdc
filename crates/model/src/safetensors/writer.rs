//! Writing safetensors files.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::{PREFIX, SafetensorsError, SafetensorsErrorKind, check_len};
use crate::ModelError;
use crate::dtype::Dtype;
use crate::file_map::FileError;

/// Builds a safetensors file that [`super::SafetensorsFile`] and every other reader accepts.
///
/// ```
/// use dyadic_model::dtype::Dtype;
/// use dyadic_model::safetensors::{SafetensorsFile, SafetensorsWriter};
///
/// # fn main() -> Result<(), dyadic_model::ModelError> {
/// let mut writer = SafetensorsWriter::new();
/// writer.metadata("format", "pt");
/// writer.tensor("norm.weight", &[2], Dtype::F32, [1_f32, 0.5].map(f32::to_le_bytes).concat())?;
/// let file = SafetensorsFile::from_bytes("tiny.safetensors", writer.to_bytes())?;
/// assert_eq!(file.tensor("norm.weight")?.shape(), [2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct SafetensorsWriter<'a> {
    metadata: Vec<(String, String)>,
    tensors: Vec<Tensor<'a>>,
}

#[derive(Clone, Debug)]
struct Tensor<'a> {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Cow<'a, [u8]>,
}

impl<'a> SafetensorsWriter<'a> {
    /// An empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a text of `__metadata__`.
    pub fn metadata(&mut self, key: &str, text: &str) -> &mut Self {
        self.metadata.retain(|(existing, _)| existing != key);
        self.metadata.push((key.to_owned(), text.to_owned()));
        self
    }

    /// Appends a tensor; `shape` has the dimension of neighbouring elements last.
    ///
    /// # Errors
    /// `ERR_SAFETENSORS_SHAPE` where `data` has another length than shape and type ask for, `ERR_SAFETENSORS_OVERFLOW` where they ask for no
    /// whole number of bytes, `ERR_SAFETENSORS_DUPLICATE` for a name that is there or that the format has taken, `__metadata__`.
    pub fn tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
        data: impl Into<Cow<'a, [u8]>>,
    ) -> Result<&mut Self, ModelError> {
        let data = data.into();
        let taken = self.tensors.iter().map(|tensor| tensor.name.as_str());
        check_tensor(&(name, dtype, shape, data.len()), taken)?;
        self.tensors.push(Tensor { name: name.to_owned(), dtype, shape: shape.to_vec(), data });
        Ok(self)
    }

    /// Checks tensors as [`Self::tensor`] does: name, type, shape and number of bytes of each.
    ///
    /// # Errors
    /// As there.
    pub fn check(tensors: &[Described<'_>]) -> Result<(), ModelError> {
        let mut names = HashSet::new();
        for tensor in tensors {
            let twice = (!names.insert(tensor.0)).then_some(tensor.0);
            check_tensor(tensor, twice.into_iter())?;
        }
        Ok(())
    }

    /// The file in memory.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let tensors: Vec<_> = self
            .tensors
            .iter()
            .map(|t| (t.name.as_str(), t.dtype, &*t.shape, t.data.len()))
            .collect();
        let (mut bytes, order) = header_bytes(&self.metadata, &tensors);
        for index in order {
            bytes.extend_from_slice(&self.tensors[index].data);
        }
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
}

/// A tensor to be written: its name, type, shape and number of bytes.
pub type Described<'a> = (&'a str, Dtype, &'a [usize], usize);

/// Checks a tensor against its type and shape, and its name against those that are taken.
fn check_tensor<'a>(
    &(name, dtype, shape, len): &Described<'_>,
    mut taken: impl Iterator<Item = &'a str>,
) -> Result<(), ModelError> {
    let error = |kind| SafetensorsError::new(Path::new("new safetensors file"), kind);
    check_len(name, dtype, shape, len as u64).map_err(error)?;
    if name == "__metadata__" || taken.any(|other| other == name) {
        let tensor = name.to_owned();
        return Err(error(SafetensorsErrorKind::Duplicate { tensor }).into());
    }
    Ok(())
}

/// The beginning of a file, up to its data, for somebody else to write the data behind it in the order of the indices given back. Tensors
/// must pass [`SafetensorsWriter::check`].
///
/// Data is laid out by falling size of its elements, so that each tensor is aligned to its own where that is a power of two, as the writers of
/// Hugging Face do.
#[must_use]
pub fn header_bytes(
    metadata: &[(String, String)],
    tensors: &[Described<'_>],
) -> (Vec<u8>, Vec<usize>) {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(tensors[index].1.bits()));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        let texts = metadata.iter().map(|(key, text)| (key.clone(), text.clone().into()));
        header.insert("__metadata__".to_owned(), Json::Object(texts.collect()));
    }
    let mut end = 0;
    for &index in &order {
        let (name, dtype, shape, len) = tensors[index];
        let begin = end;
        end += len;
        let entry = json!({ "dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end] });
        header.insert(name.to_owned(), entry);
    }
    let mut header = Json::Object(header).to_string().into_bytes();
    // The format allows spaces at the end; the data then begins at a multiple of 8.
    header.resize(header.len().next_multiple_of(PREFIX), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut header);
    (bytes, order)
}
