//! Any bytes are a file of integers or are refused with a code; what is one gives the same logits on every instruction set.
#![no_main]

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use dyadic_integer::{Graph, IntegerError, IntegerModel, ModelOptions};
use dyadic_kernels::Isa;
use libfuzzer_sys::fuzz_target;

/// Elements and weights of a graph that is run.
const SMALL: usize = 1 << 14;

fn read(bytes: &[u8]) -> Result<Graph, IntegerError> {
    Graph::from_bytes(Path::new("fuzz.dyadic"), bytes)
}

/// The same with the fields that no mutation gets right: the magic, the version, the length of the data and the checksum.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut file = bytes.to_vec();
    let rest = file.len().checked_sub(28)?;
    let header = u32::from_le_bytes(file[12..16].try_into().ok()?) as usize;
    let data = rest.checked_sub(header)? as u64;
    file[..12].copy_from_slice(b"DYADIC\r\n\x01\0\0\0");
    file[16..24].copy_from_slice(&data.to_le_bytes());
    let (content, checksum) = file.split_at_mut(24 + rest);
    checksum.copy_from_slice(&crc32fast::hash(content).to_le_bytes());
    Some(file)
}

fn logits(graph: &Graph, pixels: &[u8], isa: Isa) -> Result<Vec<i32>, IntegerError> {
    let options = ModelOptions { threads: NonZeroUsize::new(1), isa: Some(isa) };
    let mut logits = vec![0; graph.classes()];
    let model = IntegerModel::new(graph.clone(), &options)?;
    model.logits(pixels, &mut logits, &AtomicBool::new(false))?;
    Ok(logits)
}

fn run(graph: &Graph, seed: u8) -> Result<(), IntegerError> {
    let elements: usize = graph.shapes().iter().map(|shape| shape.elements()).sum();
    let matrices = graph.nodes().iter().filter_map(|node| node.op.matrix());
    if elements + matrices.map(|matrix| matrix.codes.len()).sum::<usize>() > SMALL {
        return Ok(());
    }
    let mut pixel = seed;
    let mut next = || {
        pixel = pixel.wrapping_mul(141).wrapping_add(3);
        pixel
    };
    let pixels: Vec<u8> = (0..graph.input().elements()).map(|_| next()).collect();
    let expected = logits(graph, &pixels, Isa::Scalar)?;
    assert_eq!(logits(graph, &pixels, Isa::best())?, expected);
    Ok(())
}

fn check(bytes: &[u8]) -> Result<(), IntegerError> {
    let graph = read(bytes)?;
    let written = graph.to_bytes();
    assert_eq!(read(&written)?, graph);
    run(&graph, bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte)))
}

fuzz_target!(|bytes: &[u8]| {
    for file in [Some(bytes.to_vec()), mended(bytes)].into_iter().flatten() {
        if let Err(error) = check(&file) {
            assert!(error.code().starts_with("ERR_INTEGER_"), "{}: {error}", error.code());
        }
    }
});
