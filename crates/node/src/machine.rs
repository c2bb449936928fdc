//! What this machine offers, and what a file holds.

use std::path::Path;

use dyadic_kernels::{Isa, Kernels};
use dyadic_model::ModelError;
use dyadic_model::gguf::GgufFile;
use dyadic_tensor::Limits;
use dyadic_tensor::pool::Pool;
use napi_derive::napi;
use serde_json::json;

use crate::error::{Result, guard};

/// The kernels of the process, and its pool with the threads that a call may use: 0 means all.
pub(crate) fn machine(
    threads: u32,
) -> std::result::Result<(&'static Kernels, (&'static Pool, usize)), ModelError> {
    let pool = Pool::global()?;
    let threads = if threads == 0 { pool.threads() } else { threads as usize };
    Ok((Kernels::active()?, (pool, threads)))
}

/// The instruction sets, kernels and threads in use, as JSON:
/// `{version, architecture, isa, isas, threads, kernels: [{op, name, isa}]}`.
#[napi]
pub fn doctor() -> Result<String> {
    guard(|| {
        let kernels = Kernels::active()?;
        let list = kernels
            .list()
            .into_iter()
            .map(|kernel| json!({"op": kernel.op, "name": kernel.name, "isa": kernel.isa.name()}));
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": std::env::consts::ARCH,
            "isa": kernels.isa().name(),
            "isas": Isa::supported().map(Isa::name).collect::<Vec<_>>(),
            "threads": Pool::global()?.threads(),
            "kernels": list.collect::<Vec<_>>(),
        })
        .to_string())
    })
}

/// What so many threads can do at most in a second, as JSON: `{memoryBytes, cacheBytes, int8Operations}`. Takes half a second or so.
#[napi]
pub fn machine_limits(threads: u32) -> Result<String> {
    guard(|| {
        let (kernels, (pool, threads)) = machine(threads)?;
        let limits = Limits::measure(kernels, pool, threads)?;
        Ok(json!({
            "memoryBytes": limits.memory_bytes,
            "cacheBytes": limits.cache_bytes,
            "int8Operations": limits.int8_operations,
        })
        .to_string())
    })
}

/// Metadata and tensors of a GGUF file, as JSON.
#[napi]
pub fn inspect(path: String) -> Result<String> {
    guard(|| Ok(GgufFile::open(Path::new(&path))?.inspect().to_string()))
}
