//! What a file is, by its first bytes: so that a wrong file is called by its name.

use std::fmt;

/// The kind of a file, as far as its beginning tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// No bytes at all.
    Empty,
    /// Only zeros at the beginning: space that a download has reserved and not filled.
    Zeros,
    /// A GGUF model.
    Gguf,
    /// A model of llama.cpp from before GGUF.
    Ggml,
    /// Safetensors.
    Safetensors,
    /// A pickle, inside a zip archive or bare.
    PyTorch,
    /// One `NumPy` array.
    Npy,
    /// A zip archive of `NumPy` arrays.
    Npz,
    /// Another zip archive.
    Zip,
    /// A gzip stream.
    Gzip,
    /// HDF5, as Keras writes.
    Hdf5,
    /// The text that stands in a Git checkout for a file kept in Git LFS.
    GitLfsPointer,
    /// A web page.
    Html,
    /// JSON text.
    Json,
    /// A PNG image.
    Png,
    /// A JPEG image.
    Jpeg,
    /// A GIF image.
    Gif,
    /// A PDF document.
    Pdf,
    /// A program or library.
    Executable,
    /// Some other text.
    Text,
    /// Nothing that is known here.
    Unknown,
}

const MAGICS: [(&[u8], FileKind); 18] = [
    (b"GGUF", FileKind::Gguf),
    // Little-endian words: "ggml", "ggmf", "ggjt", "ggla".
    (b"lmgg", FileKind::Ggml),
    (b"fmgg", FileKind::Ggml),
    (b"tjgg", FileKind::Ggml),
    (b"algg", FileKind::Ggml),
    (b"\x93NUMPY", FileKind::Npy),
    (b"\x89PNG\r\n\x1a\n", FileKind::Png),
    (b"\xff\xd8\xff", FileKind::Jpeg),
    (b"GIF8", FileKind::Gif),
    (b"%PDF-", FileKind::Pdf),
    (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (b"\x1f\x8b", FileKind::Gzip),
    (b"\x7fELF", FileKind::Executable),
    (b"MZ", FileKind::Executable),
    (b"version https://git-lfs", FileKind::GitLfsPointer),
    // Pickle protocols 2 to 4.
    (b"\x80\x02", FileKind::PyTorch),
    (b"\x80\x03", FileKind::PyTorch),
    (b"\x80\x04", FileKind::PyTorch),
];

/// The first `n` bytes decide between text and anything else.
const SNIFFED: usize = 512;

impl FileKind {
    /// The kind of the file that begins with `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let head = &bytes[..bytes.len().min(SNIFFED)];
        if head.is_empty() {
            return Self::Empty;
        }
        // Eight bytes of length, then a JSON object. Asked first: the length may begin like any magic of two bytes.
        if head.get(8) == Some(&b'{') && head.get(4..8) == Some(&[0; 4]) {
            return Self::Safetensors;
        }
        if let Some(&(_, kind)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
            return kind;
        }
        if head.starts_with(b"PK\x03\x04") {
            return zip_kind(head);
        }
        if head.iter().all(|&byte| byte == 0) {
            return Self::Zeros;
        }
        text_kind(head)
    }
}

/// Tells archives apart by the name of their first member, which begins at byte 30 of the local header.
fn zip_kind(head: &[u8]) -> FileKind {
    let name_len =
        head.get(26..28).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])));
    let name = head.get(30..).unwrap_or_default();
    let name = &name[..name.len().min(name_len)];
    if name.ends_with(b"/data.pkl") || name.ends_with(b"/.format_version") {
        FileKind::PyTorch
    } else if name.ends_with(b".npy") {
        FileKind::Npz
    } else {
        FileKind::Zip
    }
}

fn text_kind(head: &[u8]) -> FileKind {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The cut may have split a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return FileKind::Unknown,
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return FileKind::Unknown;
    }
    let text = text.trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype") || text.starts_with("<html") {
        FileKind::Html
    } else if text.starts_with('{') || text.starts_with('[') {
        FileKind::Json
    } else {
        FileKind::Text
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::Zeros => "a file of zeros, perhaps an unfinished download",
            Self::Gguf => "a GGUF model",
            Self::Ggml => "a GGML model from before GGUF; convert it with llama.cpp's scripts",
            Self::Safetensors => "a safetensors file",
            Self::PyTorch => "a PyTorch checkpoint",
            Self::Npy => "a NumPy array",
            Self::Npz => "an archive of NumPy arrays",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip file",
            Self::Hdf5 => "an HDF5 file",
            Self::GitLfsPointer => {
                "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
            }
            Self::Html => "a web page, perhaps the answer of a failed download",
            Self::Json => "JSON text",
            Self::Png => "a PNG image",
            Self::Jpeg => "a JPEG image",
            Self::Gif => "a GIF image",
            Self::Pdf => "a PDF document",
            Self::Executable => "a program",
            Self::Text => "a text file",
            Self::Unknown => "a file of unknown kind",
        })
    }
}
