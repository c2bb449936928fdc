//! Models that are split over several files, as `llama-gguf-split` writes them: `NAME-00001-of-00003.gguf`, with all metadata in the first.

use std::path::{Path, PathBuf};

use super::{GgufErrorKind, Part};
use crate::ModelError;
use crate::file_map::{FileError, FileMap};

/// Opens the file at `path` and, where it is a part of a split model, all its siblings.
pub(super) fn open_parts(path: &Path) -> Result<Vec<Part>, ModelError> {
    let name = SplitName::of(path);
    let given = Part::read(FileMap::open(path)?)?;
    let count = given.split_count()?;
    if count <= 1 {
        // Whole, whatever its name looks like.
        return Ok(vec![given]);
    }
    let Some(name) = name.filter(|name| name.count == count) else {
        return Err(given.error(GgufErrorKind::Split {
            reason: format!(
                "the file is one of {count} parts, so its name must end in -00001-of-{count:05}.gguf or the like"
            ),
        }));
    };
    let mut given = Some(given);
    let mut parts = Vec::new();
    for number in 0..count {
        let part = match given.take_if(|_| number == name.number) {
            Some(part) => part,
            None => open_sibling(&name, number)?,
        };
        check(&part, number, count)?;
        parts.push(part);
    }
    let listed: usize = parts.iter().map(|part| part.tensors.len()).sum();
    let expected = parts[0].metadata.find::<usize>("split.tensors.count")?;
    match expected {
        Some(expected) if expected != listed => Err(parts[0].error(GgufErrorKind::Split {
            reason: format!(
                "metadata \"split.tensors.count\" is {expected}, but the {count} parts list {listed} tensors"
            ),
        })),
        _ => Ok(parts),
    }
}

fn open_sibling(name: &SplitName, number: usize) -> Result<Part, ModelError> {
    let path = name.path(number);
    let file = FileMap::open(&path).map_err(|error| match error {
        FileError::NotFound { path } => super::GgufError::new(
            &path,
            GgufErrorKind::Split {
                reason: format!("part {} of {} is missing", number + 1, name.count),
            },
        )
        .into(),
        other => ModelError::from(other),
    })?;
    Part::read(file)
}

/// That a part says of itself what its name says.
fn check(part: &Part, number: usize, count: usize) -> Result<(), ModelError> {
    for (key, expected) in [("split.no", number), ("split.count", count)] {
        let found: usize = part.metadata.get(key)?;
        if found != expected {
            let reason = format!("metadata \"{key}\" is {found}, expected {expected}");
            return Err(part.error(GgufErrorKind::Split { reason }));
        }
    }
    Ok(())
}

/// The path of a part, taken apart.
struct SplitName {
    /// The path up to the number.
    prefix: PathBuf,
    /// From 0, while the name counts from 1.
    number: usize,
    count: usize,
}

impl SplitName {
    /// `None` where the path does not look like that of a part.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let parse = |digits: &str| {
            let valid = digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<usize>().ok().filter(|&value| valid && value > 0)
        };
        let (number, count) = (parse(number)? - 1, parse(count)?);
        (number < count).then(|| Self { prefix: path.with_file_name(prefix), number, count })
    }

    fn path(&self, number: usize) -> PathBuf {
        let mut path = self.prefix.clone().into_os_string();
        path.push(format!("-{:05}-of-{:05}.gguf", number + 1, self.count));
        path.into()
    }
}
