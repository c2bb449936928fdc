//! Reading and writing GGUF files.

use dyadic_formats::GgufType;
use dyadic_model::gguf::{GgufFile, GgufWriter, TensorInfo, Value, ValueType};
use dyadic_testkit::skip;

/// Data for a tensor of any type: bytes that differ.
fn bytes(len: usize) -> Vec<u8> {
    (0..=250).cycle().step_by(37).take(len).collect()
}

#[test]
fn every_metadata_type_comes_back() {
    let mut writer = GgufWriter::new();
    writer
        .metadata("u8", 200_u8)
        .metadata("i8", -100_i8)
        .metadata("u16", 60_000_u16)
        .metadata("i16", -30_000_i16)
        .metadata("u32", 4_000_000_000_u32)
        .metadata("i32", -2_000_000_000_i32)
        .metadata("f32", 1e-5_f32)
        .metadata("bool", true)
        .metadata("string", "Grüße, 世界")
        .metadata("array", [1_i32, -2, 3])
        .metadata("u64", u64::MAX)
        .metadata("i64", i64::MIN)
        .metadata("f64", 0.1_f64)
        .metadata("strings", ["", "a", "\n"])
        .metadata("nested", vec![vec![1_u8], vec![], vec![2, 3]])
        .metadata("bools", [true, false]);
    let file = GgufFile::from_bytes("types.gguf", writer.to_bytes()).unwrap();
    let metadata = file.metadata();
    assert_eq!(metadata.get::<u8>("u8").unwrap(), 200);
    assert_eq!(metadata.get::<i8>("i8").unwrap(), -100);
    assert_eq!(metadata.get::<u16>("u16").unwrap(), 60_000);
    assert_eq!(metadata.get::<i16>("i16").unwrap(), -30_000);
    assert_eq!(metadata.get::<u32>("u32").unwrap(), 4_000_000_000);
    assert_eq!(metadata.get::<i32>("i32").unwrap(), -2_000_000_000);
    assert_eq!(metadata.get::<f32>("f32").unwrap(), 1e-5);
    assert!(metadata.get::<bool>("bool").unwrap());
    assert_eq!(metadata.get::<&str>("string").unwrap(), "Grüße, 世界");
    assert_eq!(metadata.get::<Vec<i32>>("array").unwrap(), [1, -2, 3]);
    assert_eq!(metadata.get::<u64>("u64").unwrap(), u64::MAX);
    assert_eq!(metadata.get::<i64>("i64").unwrap(), i64::MIN);
    assert_eq!(metadata.get::<f32>("f64").unwrap(), 0.1);
    assert_eq!(metadata.get::<Vec<&str>>("strings").unwrap(), ["", "a", "\n"]);
    assert_eq!(metadata.get::<Vec<Vec<u32>>>("nested").unwrap(), [vec![1_u32], vec![], vec![2, 3]]);
    assert_eq!(metadata.get::<Vec<bool>>("bools").unwrap(), [true, false]);
    assert!(matches!(metadata.get::<Value<'_>>("f64").unwrap(), Value::F64(value) if value == 0.1));

    assert_eq!(metadata.len(), 16);
    assert_eq!(metadata.keys().next(), Some(("u8", ValueType::U8)));
    assert_eq!(metadata.keys().last(), Some(("bools", ValueType::Array)));
}

#[test]
fn every_tensor_type_comes_back() {
    let mut writer = GgufWriter::with_alignment(64);
    for block_type in GgufType::ALL {
        let (columns, rows) = (2 * block_type.block_len(), 3);
        let data = bytes(block_type.byte_len(columns * rows).unwrap());
        writer.tensor(block_type.name(), &[columns, rows], block_type, data).unwrap();
    }
    let file = GgufFile::from_bytes("types.gguf", writer.to_bytes()).unwrap();
    assert_eq!(file.tensors().len(), GgufType::ALL.len());
    for (tensor, block_type) in file.tensors().iter().zip(GgufType::ALL) {
        let columns = 2 * block_type.block_len();
        assert_eq!(tensor.name(), block_type.name());
        assert_eq!(tensor.known_type(), Some(block_type));
        assert_eq!(tensor.shape(), [columns, 3]);
        assert_eq!(tensor.elements(), 3 * columns);
        assert!(tensor.offset().is_multiple_of(64));
        let expected = bytes(6 * block_type.block_bytes());
        assert_eq!(file.data(tensor).unwrap(), expected, "{block_type}");
        assert_eq!(file.tensor(tensor.name()).unwrap(), tensor);
    }
}

#[test]
fn the_real_model_opens() {
    let Some(path) = skip::smollm2() else {
        return;
    };
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.metadata().get::<&str>("general.architecture").unwrap(), "llama");
    assert_eq!(file.metadata().get::<u32>("llama.block_count").unwrap(), 30);
    let tokens: Vec<&str> = file.metadata().get("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.len(), 49_152);
    assert_eq!(file.tensors().len(), 272);
    let embedding = file.tensor("token_embd.weight").unwrap();
    assert_eq!(embedding.shape(), [576, 49_152]);
    let len = embedding.known_type().unwrap().byte_len(embedding.elements()).unwrap();
    assert_eq!(file.data(embedding).unwrap().len(), len);
    file.release(embedding);
    assert_eq!(file.data(embedding).unwrap().len(), len);
    let elements: usize = file.tensors().iter().map(TensorInfo::elements).sum();
    assert_eq!(elements, 134_515_008);
    let last = file.tensors().iter().max_by_key(|tensor| tensor.offset()).unwrap();
    let end = last.offset() + last.byte_len().unwrap();
    assert!(end <= file.file_bytes() && file.file_bytes() < end + 32);
    assert_eq!(file.path(), path);
}
