//! The metadata of a file: keys and typed values.

use std::sync::Arc;

use super::reader::Reader;
use super::value::{FromValue, Value, ValueMismatch, ValueType};
use super::{GgufError, GgufErrorKind};
use crate::ModelError;
use crate::file_map::FileMap;

/// The longest key: the limit of the GGUF specification.
const MAX_KEY_LEN: u64 = 65_535;

/// More keys than any model has; keeps the table of a file made of nothing but keys small.
const MAX_KEYS: u64 = 1 << 16;

/// The metadata of a file. Values are read from the mapped file when they are asked for: opening a file with a vocabulary of 150 000 tokens
/// copies none of them.
#[derive(Debug)]
pub struct Metadata {
    file: Arc<FileMap>,
    /// In the order of the file.
    entries: Vec<Entry>,
    /// Indices of `entries`, by key.
    by_key: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    value_type: ValueType,
    /// Of the value, from the beginning of the file.
    offset: usize,
}

impl Metadata {
    pub(super) fn read(
        file: &Arc<FileMap>,
        reader: &mut Reader<'_>,
        count: usize,
    ) -> Result<Self, GgufErrorKind> {
        if count as u64 > MAX_KEYS {
            return Err(GgufErrorKind::Bounds {
                field: "metadata count".to_owned(),
                offset: 16,
                found: count as u64,
                limit: MAX_KEYS,
            });
        }
        let mut entries = Vec::with_capacity(count);
        for index in 0..count {
            let key = reader.name(MAX_KEY_LEN, format_args!("metadata key {index}"))?;
            let value_type = ValueType::read(reader, format_args!("metadata \"{key}\""))?;
            let offset = reader.position();
            value_type.skip(reader, format_args!("value of metadata \"{key}\""))?;
            entries.push(Entry { key: key.into(), value_type, offset });
        }
        let mut by_key: Vec<usize> = (0..count).collect();
        by_key.sort_unstable_by_key(|&index| &*entries[index].key);
        if let Some(pair) =
            by_key.windows(2).find(|pair| entries[pair[0]].key == entries[pair[1]].key)
        {
            let name = entries[pair[0]].key.to_string();
            return Err(GgufErrorKind::Duplicate { what: "metadata key", name });
        }
        Ok(Self { file: Arc::clone(file), entries, by_key })
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The keys and the types of their values, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = (&str, ValueType)> {
        self.entries.iter().map(|entry| (&*entry.key, entry.value_type))
    }

    /// Whether there is such a key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of a key as `T`: any integer type that holds the number, `f32`, `bool`, `&str`, [`Value`], or a `Vec` of these. Texts are
    /// borrowed from the file.
    ///
    /// # Errors
    /// `ERR_GGUF_METADATA` where the key is missing, or its value is of another type or does not fit.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, ModelError> {
        self.find(key)?.ok_or_else(|| {
            self.error(GgufErrorKind::MissingKey { key: key.to_owned(), expected: T::expected() })
        })
    }

    /// As [`Metadata::get`], `None` where the key is missing.
    ///
    /// # Errors
    /// `ERR_GGUF_METADATA` where the value is of another type or does not fit.
    pub fn find<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, ModelError> {
        self.find_or_kind(key).map_err(|kind| self.error(kind))
    }

    pub(super) fn find_or_kind<'a, T: FromValue<'a>>(
        &'a self,
        key: &str,
    ) -> Result<Option<T>, GgufErrorKind> {
        let Some(entry) = self.entry(key) else {
            return Ok(None);
        };
        let value = self.value(entry).and_then(T::from_value).map_err(|ValueMismatch(found)| {
            GgufErrorKind::WrongType {
                key: key.to_owned(),
                offset: entry.offset as u64,
                expected: T::expected(),
                found,
            }
        })?;
        Ok(Some(value))
    }

    /// All keys and values in the order of the file; in place of a value that cannot be read, what it is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Result<Value<'_>, ValueMismatch>)> {
        self.entries.iter().map(|entry| (&*entry.key, self.value(entry)))
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        let place = self.by_key.binary_search_by_key(&key, |&index| &*self.entries[index].key);
        Some(&self.entries[self.by_key[place.ok()?]])
    }

    fn value(&self, entry: &Entry) -> Result<Value<'_>, ValueMismatch> {
        Value::read(&mut Reader::at(self.file.bytes(), entry.offset), entry.value_type)
    }

    fn error(&self, kind: GgufErrorKind) -> ModelError {
        GgufError::new(self.file.path(), kind).into()
    }
}
