//! A file as bytes in memory, without reading it.
#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe; this module is the one place that does it"
)]

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

/// Why a file could not be opened, mapped or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Nothing has this path.
    #[error("{}: no such file", path.display())]
    NotFound {
        /// The path as it was given.
        path: PathBuf,
    },
    /// It is there and cannot be used.
    #[error("{}: cannot {operation}: {reason}", path.display())]
    Access {
        /// The path as it was given.
        path: PathBuf,
        /// What was tried: `open`, `map`, `write`.
        operation: &'static str,
        /// What the system said, or what stands there instead of a file.
        reason: String,
    },
}

impl FileError {
    /// The error of a failed system call on `path`.
    #[must_use]
    pub fn from_io(path: &Path, operation: &'static str, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::NotFound { path: path.to_owned() }
        } else {
            Self::Access { path: path.to_owned(), operation, reason: error.to_string() }
        }
    }

    /// The stable code that JavaScript sees.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "ERR_FILE_NOT_FOUND",
            Self::Access { .. } => "ERR_FILE_ACCESS",
        }
    }
}

/// The bytes of a file: mapped, so that pages are read when they are first touched and shared with every other process that maps them.
///
/// Whoever shortens the file while it is mapped ends this process by SIGBUS, and whoever writes to it changes what is read here: the price
/// of every mapped file. Downloads are therefore renamed into place when they are complete.
#[derive(Debug)]
pub struct FileMap {
    path: PathBuf,
    bytes: Backing,
}

#[derive(Debug)]
enum Backing {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl FileMap {
    /// Maps a regular file for reading.
    ///
    /// # Errors
    /// [`FileError`] where there is none, it is a directory or a device, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        // Asked before opening: to open a named pipe would wait for a writer.
        let metadata =
            fs::metadata(path).map_err(|error| FileError::from_io(path, "open", &error))?;
        if !metadata.is_file() {
            let what = if metadata.is_dir() { "a directory" } else { "not a regular file" };
            return Err(FileError::Access {
                path: path.to_owned(),
                operation: "open",
                reason: format!("it is {what}"),
            });
        }
        let file = File::open(path).map_err(|error| FileError::from_io(path, "open", &error))?;
        // SAFETY: the map is only read. That nobody changes the file meanwhile cannot be checked; the type's documentation says what follows.
        let map =
            unsafe { Mmap::map(&file) }.map_err(|error| FileError::from_io(path, "map", &error))?;
        Ok(Self { path: path.to_owned(), bytes: Backing::Mapped(map) })
    }

    /// Bytes that are in memory already; `name` stands in messages for the path.
    #[must_use]
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self { path: PathBuf::from(name), bytes: Backing::Owned(bytes) }
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Backing::Mapped(map) => map,
            Backing::Owned(bytes) => bytes,
        }
    }

    /// Tells the system that this process needs the pages of `range` no longer, so that they do not count as its memory. They can still be
    /// read: they are then fetched again, from the page cache or the disk. Pages that `range` covers in part are released too. Does nothing
    /// outside Unix, for bytes in memory, and for a range outside the file.
    pub fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Backing::Mapped(map) = &self.bytes
            && range.start < range.end
            && range.end <= map.len()
        {
            // SAFETY: the map is of a file, shared and never written, so dropped pages are read again from that file and hold the same bytes.
            let advised = unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.end - range.start,
                )
            };
            // It is advice: where it is refused, the pages stay, which is no fault.
            drop(advised);
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}
