//! Tests that need what a machine may lack.
//!
//! Rust's test harness knows no test that is skipped while it runs: such a test returns early and says so here, and `npm test` counts it
//! as skipped, not as passed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Says that the calling test cannot run here: on stderr and, one line a test, in the file that `DYADIC_TEST_SKIPS` names.
///
/// # Panics
/// Where that file cannot be written: a skip that is not counted would pass for a success.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    eprint!("skipped {line}");
    if let Some(path) = std::env::var_os("DYADIC_TEST_SKIPS") {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opens");
        // One write, so that lines of concurrent tests do not mix.
        file.write_all(line.as_bytes()).expect("is written");
    }
}

/// The SmolLM2-135M-Instruct file (`Q4_1`) that tests on a real model use: the one that `DYADIC_TEST_MODEL` names, else the one that
/// `dyadic pull smollm2` fetched. Where there is none, the calling test is recorded as skipped.
#[must_use]
pub fn smollm2() -> Option<PathBuf> {
    let path = std::env::var_os("DYADIC_TEST_MODEL").map(PathBuf::from).or_else(|| {
        Some(cache()?.join("models").join("smollm2").join("SmolLM2-135M-Instruct.Q4_1.gguf"))
    });
    let found = path.filter(|path| path.is_file());
    if found.is_none() {
        skip("needs the model: `dyadic pull smollm2`, or set DYADIC_TEST_MODEL");
    }
    found
}

/// The cache of `ts/models/cache.ts`.
fn cache() -> Option<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(cache) = variable("DYADIC_CACHE") {
        return Some(cache);
    }
    if cfg!(windows) {
        return Some(variable("LOCALAPPDATA")?.join("dyadic").join("Cache"));
    }
    if cfg!(target_os = "macos") {
        return Some(variable("HOME")?.join("Library").join("Caches").join("dyadic"));
    }
    let home = || Some(variable("HOME")?.join(".cache"));
    Some(variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or_else(home)?.join("dyadic"))
}
