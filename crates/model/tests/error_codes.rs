//! `docs/errors.md` lists every code of model files, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The areas that the document covers.
const PREFIXES: [&str; 4] = ["ERR_FILE_", "ERR_GGUF_", "ERR_NPY_", "ERR_SAFETENSORS_"];

/// The codes of these areas between two of `quote` in a text.
fn codes(text: &str, quote: char) -> BTreeSet<String> {
    let known = |word: &&str| PREFIXES.iter().any(|prefix| word.starts_with(prefix));
    text.split(quote).filter(known).map(str::to_owned).collect()
}

fn codes_of_sources(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut codes_of_sources(&path));
        } else {
            found.append(&mut codes(&fs::read_to_string(&path).unwrap(), '"'));
        }
    }
    found
}

#[test]
fn every_code_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../../docs/errors.md")).unwrap();
    let defined = codes_of_sources(&root.join("src"));
    assert!(defined.contains("ERR_GGUF_MAGIC") && defined.len() > 30, "{defined:?}");
    assert_eq!(codes(&document, '`'), defined);
}
