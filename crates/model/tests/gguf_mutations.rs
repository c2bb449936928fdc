//! A good file, damaged in every way, is read or refused with a code: no panic, and no more memory than its size explains.

use dyadic_formats::GgufType;
use dyadic_model::ModelError;
use dyadic_model::gguf::{GgufFile, GgufWriter, Value};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Metadata of all types, arrays of texts and of numbers, tensors of several types: 2 KiB of lists before 2 KiB of data.
fn good_file() -> Vec<u8> {
    let mut writer = GgufWriter::with_alignment(32);
    writer
        .metadata("general.architecture", "llama")
        .metadata("general.name", "a model of every kind of value")
        .metadata("llama.block_count", 2_u32)
        .metadata("llama.context_length", 4096_u64)
        .metadata("llama.attention.layer_norm_rms_epsilon", 1e-5_f32)
        .metadata("llama.rope.freq_base", 10_000_f64)
        .metadata("tokenizer.ggml.add_bos_token", false)
        .metadata(
            "tokenizer.ggml.tokens",
            (0..40).map(|i| format!("token {i}")).collect::<Vec<_>>(),
        )
        .metadata("tokenizer.ggml.token_type", vec![1_i32; 40])
        .metadata("tokenizer.ggml.scores", vec![-0.5_f32; 40])
        .metadata("bytes", [0_u8, 1, 255])
        .metadata("signed bytes", [-1_i8])
        .metadata("shorts", [1_u16, 2])
        .metadata("signed shorts", -2_i16)
        .metadata("longs", [i64::MIN])
        .metadata("nested", [["a", "b"], ["c", "d"]]);
    for (index, block_type) in
        [GgufType::F32, GgufType::Q4_0, GgufType::Q6_K, GgufType::NVFP4].into_iter().enumerate()
    {
        let columns = block_type.block_len() * 2;
        let data = vec![0x5a; block_type.byte_len(columns * 3).unwrap()];
        let name = format!("blk.{index}.weight");
        writer.tensor(&name, &[columns, 3], block_type, data).unwrap();
    }
    writer.to_bytes()
}

/// Where the data begins, as the reader sees it.
fn header_len(bytes: &[u8]) -> usize {
    let file = GgufFile::from_bytes("good.gguf", bytes.to_vec()).unwrap();
    usize::try_from(file.tensors()[0].offset()).unwrap()
}

fn walk(value: &Value<'_>) -> usize {
    match value {
        Value::Array(array) => array.iter().map(|element| element.map_or(0, |e| walk(&e))).sum(),
        _ => 1,
    }
}

/// Reads all that a file has to give.
fn read(bytes: Vec<u8>) -> Result<(), ModelError> {
    let file = GgufFile::from_bytes("damaged.gguf", bytes)?;
    for (key, value) in file.metadata().iter() {
        if let Ok(value) = value {
            walk(&value);
        }
        drop(file.metadata().get::<Vec<&str>>(key));
        drop(file.metadata().get::<Vec<u64>>(key));
    }
    for tensor in file.tensors() {
        match file.data(tensor) {
            Ok(data) => assert_eq!(data.len() as u64, tensor.byte_len().unwrap()),
            Err(error) => assert_eq!(error.code(), "ERR_GGUF_UNSUPPORTED_TYPE"),
        }
        assert_eq!(file.tensor(tensor.name())?, tensor);
    }
    assert_eq!(file.inspect()["format"], "gguf");
    Ok(())
}

/// Reads a damaged file and checks what comes of it.
fn check(bytes: Vec<u8>) {
    let len = bytes.len();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    if let Err(error) = read(bytes) {
        assert!(error.code().starts_with("ERR_GGUF_"), "{error:?}");
        assert!(error.to_string().starts_with("damaged.gguf: "), "{error}");
    }
    // The other tests of this program run meanwhile, so the bound is a loose one; an unchecked length would ask for gigabytes.
    let grown = MEMORY.peak_usage().saturating_sub(before);
    assert!(grown < 256 * len + (4 << 20), "{grown} bytes for a file of {len}");
}

#[test]
fn a_file_cut_anywhere_in_its_lists_is_refused() {
    let good = good_file();
    let header = header_len(&good);
    for len in 0..header {
        let error = read(good[..len].to_vec()).expect_err("the file is cut");
        let expected: &[&str] = match len {
            0..4 => &["ERR_GGUF_MAGIC"],
            // A count, checked against what is left of the file, or the field that is cut.
            _ => &["ERR_GGUF_BOUNDS", "ERR_GGUF_TRUNCATED"],
        };
        assert!(expected.contains(&error.code()), "{len}: {error}");
    }
    let last = good.len() - 32;
    for len in header..last {
        let error = read(good[..len].to_vec()).expect_err("the file is cut");
        assert_eq!(error.code(), "ERR_GGUF_TRUNCATED", "{len}: {error}");
    }
    read(good).unwrap();
}

#[test]
fn every_byte_of_the_lists_may_have_any_value() {
    let good = good_file();
    for position in 0..header_len(&good) {
        for value in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
            let mut bytes = good.clone();
            bytes[position] = value;
            check(bytes);
        }
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            check(bytes);
        }
    }
}

#[test]
fn every_number_of_the_lists_may_be_huge() {
    let good = good_file();
    let header = header_len(&good);
    for position in 0..header - 8 {
        for value in [u64::MAX, i64::MAX as u64, 1 << 62, 1 << 40, 1 << 32, u64::from(u32::MAX)] {
            let mut bytes = good.clone();
            bytes[position..position + 8].copy_from_slice(&value.to_le_bytes());
            check(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn several_damages_at_once(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = good_file();
        let header = header_len(&bytes);
        for (position, value) in damages {
            bytes[position.index(header)] = value;
        }
        for (position, value) in words {
            let position = position.index(header - 8);
            bytes[position..position + 8].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(cut) = cut {
            let len = cut.index(bytes.len());
            bytes.truncate(len);
        }
        check(bytes);
    }

    #[test]
    fn any_bytes_after_the_counts(
        version in 2_u32..4,
        tensors in 0_u64..4,
        keys in 0_u64..4,
        lists in prop::collection::vec(prop_oneof![Just(0), 0_u8..13, any::<u8>()], 0..512),
    ) {
        let counts = [tensors.to_le_bytes(), keys.to_le_bytes()].concat();
        check([b"GGUF", &version.to_le_bytes()[..], &counts, &lists].concat());
    }
}
