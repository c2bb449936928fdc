//! Every way in which a GGUF file can be wrong has its code and says where.

use dyadic_formats::GgufType;
use dyadic_model::ModelError;
use dyadic_model::gguf::{GgufFile, GgufWriter, WriteValue};

/// A file built field by field, so that any of them can be wrong.
#[derive(Clone)]
struct Raw(Vec<u8>);

impl Raw {
    fn new(version: u32, tensors: u64, metadata: u64) -> Self {
        Self(b"GGUF".to_vec()).put(version).put(tensors).put(metadata)
    }

    fn put(mut self, value: impl WriteValue) -> Self {
        value.write(&mut self.0);
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn entry<V: WriteValue>(self, key: &str, value: V) -> Self {
        self.put(key).put(V::TYPE.id()).put(value)
    }

    fn tensor(self, name: &str, shape: &[u64], type_id: u32, offset: u64) -> Self {
        let dimensions = u32::try_from(shape.len()).unwrap();
        let listed = self.put(name).put(dimensions);
        shape.iter().fold(listed, |raw, &dimension| raw.put(dimension)).put(type_id).put(offset)
    }

    fn data(mut self, len: usize) -> Self {
        let start = self.0.len().next_multiple_of(32);
        self.0.resize(start + len, 7);
        self
    }

    fn open(self) -> Result<GgufFile, ModelError> {
        GgufFile::from_bytes("raw.gguf", self.0)
    }
}

/// Asserts the code and that the message names the file and all of `parts`.
#[track_caller]
fn assert_error<T: std::fmt::Debug>(result: Result<T, ModelError>, code: &str, parts: &[&str]) {
    let error = result.expect_err("the file is wrong");
    let message = error.to_string();
    assert_eq!(error.code(), code, "{message}");
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

const F32: u32 = 0;
const Q4_0: u32 = 2;

#[test]
fn other_files_are_called_by_their_names() {
    let zip = |member: &str| {
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.resize(26, 0);
        bytes.extend_from_slice(&u16::try_from(member.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(member.as_bytes());
        bytes
    };
    let cases: [(Vec<u8>, &str); 19] = [
        (b"".to_vec(), "an empty file"),
        (vec![0; 4096], "a file of zeros"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), "a PNG image"),
        (b"\xff\xd8\xff\xe0".to_vec(), "a JPEG image"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}}".to_vec(), "a safetensors file"),
        (zip("archive/data.pkl"), "a PyTorch checkpoint"),
        (zip("weights.npy"), "an archive of NumPy arrays"),
        (zip("word/document.xml"), "a zip archive"),
        (b"\x80\x02}q\0.".to_vec(), "a PyTorch checkpoint"),
        (b"\x93NUMPY\x01\0".to_vec(), "a NumPy array"),
        (b"\x1f\x8b\x08".to_vec(), "a gzip file"),
        (b"tjgg\x03\0\0\0".to_vec(), "before GGUF"),
        (b"\n<!DOCTYPE html><html>".to_vec(), "a web page"),
        (b"<HTML>".to_vec(), "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), "Git LFS pointer"),
        (b"{\"error\": \"not found\"}".to_vec(), "JSON text"),
        ("Größe: 5\n".as_bytes().to_vec(), "a text file"),
        (b"\x7fELF\x02".to_vec(), "a program"),
        (b"GGU\xfe".to_vec(), "a file of unknown kind"),
    ];
    for (bytes, kind) in cases {
        let result = GgufFile::from_bytes("wrong.gguf", bytes);
        assert_error(result, "ERR_GGUF_MAGIC", &["wrong.gguf: not a GGUF file", kind]);
    }
}

#[test]
fn a_text_cut_inside_a_character_is_still_text() {
    let text = "ä".repeat(1000).into_bytes();
    for start in 0..2 {
        let bytes = [&b" "[..start], &text].concat();
        let result = GgufFile::from_bytes("wrong.gguf", bytes);
        assert_error(result, "ERR_GGUF_MAGIC", &["a text file"]);
    }
}

#[test]
fn only_versions_2_and_3_are_read() {
    for version in [2, 3] {
        assert_eq!(Raw::new(version, 0, 0).open().unwrap().version(), version);
    }
    assert_error(Raw::new(1, 0, 0).open(), "ERR_GGUF_VERSION", &["version 1", "convert"]);
    assert_error(Raw::new(4, 0, 0).open(), "ERR_GGUF_VERSION", &["version 4", "2 and 3"]);
    let big_endian = Raw::new(3_u32.swap_bytes(), 0, 0);
    assert_error(big_endian.open(), "ERR_GGUF_BYTE_ORDER", &["big-endian", "version 3"]);
}

#[test]
fn counts_beyond_the_file_are_refused() {
    for count in [4_u64, 1 << 32, 1 << 60, u64::MAX] {
        let number = count.to_string();
        let parts = ["tensor count at offset 8", &number, "at most"];
        assert_error(Raw::new(3, count, 0).data(64).open(), "ERR_GGUF_BOUNDS", &parts);
        let parts = ["metadata count at offset 16", &number];
        assert_error(Raw::new(3, 0, count).data(20).open(), "ERR_GGUF_BOUNDS", &parts);
    }
    let keys = Raw::new(3, 0, 65_537).bytes(&vec![0; 1 << 20]);
    assert_error(keys.open(), "ERR_GGUF_BOUNDS", &["metadata count", "65537", "at most 65536"]);
    let tensors = Raw::new(3, (1 << 20) + 1, 0).bytes(&vec![0; 32 << 20]);
    assert_error(tensors.open(), "ERR_GGUF_BOUNDS", &["tensor count", "at most 1048576"]);
}

#[test]
fn lengths_beyond_the_file_are_refused() {
    let long = u64::MAX - 7;
    let key = Raw::new(3, 0, 1).put(long).data(64);
    let parts = ["length of the metadata key 0", "at offset 24", "at most 65535"];
    assert_error(key.open(), "ERR_GGUF_BOUNDS", &parts);

    let key = Raw::new(3, 0, 1).put(1000_u64).bytes(&[b'k'; 20]);
    let parts = ["inside the metadata key 0: 1000 bytes expected at offset 32, 20 found"];
    assert_error(key.open(), "ERR_GGUF_TRUNCATED", &parts);

    let text = Raw::new(3, 0, 1).put("general.name").put(8_u32).put(long).data(64);
    let parts = ["value of metadata \"general.name\"", &long.to_string()];
    assert_error(text.open(), "ERR_GGUF_TRUNCATED", &parts);

    for element in [0_u32, 6, 7, 8, 9, 12] {
        let array = Raw::new(3, 0, 1).put("tokens").put(9_u32).put(element).put(long).data(64);
        let parts = ["number of elements of value of metadata \"tokens\"", "at most"];
        assert_error(array.open(), "ERR_GGUF_BOUNDS", &parts);
    }
}

#[test]
fn unknown_value_types_are_refused() {
    let value = Raw::new(3, 0, 1).put("k").put(13_u32).data(8);
    let parts = ["type of metadata \"k\" at offset 33 is 13", "0 to 12"];
    assert_error(value.open(), "ERR_GGUF_TYPE", &parts);
    let array = Raw::new(3, 0, 1).put("k").put(9_u32).put(99_u32).put(0_u64);
    assert_error(array.open(), "ERR_GGUF_TYPE", &["elements of value of metadata \"k\"", "99"]);
}

#[test]
fn arrays_nest_four_deep_and_no_deeper() {
    let nested = |depth: usize| {
        let outer = Raw::new(3, 0, 1).put("k").put(9_u32);
        (1..depth).fold(outer, |raw, _| raw.put(9_u32).put(1_u64)).put(4_u32).put(0_u64)
    };
    assert!(nested(4).open().is_ok());
    assert_error(nested(5).open(), "ERR_GGUF_BOUNDS", &["nested arrays", "is 5", "at most 4"]);
    assert_error(nested(100_000).open(), "ERR_GGUF_BOUNDS", &["nested arrays"]);
}

#[test]
fn names_are_checked() {
    let invalid = Raw::new(3, 0, 1).put(2_u64).bytes(&[0xc3, 0x28]).put(0_u32).put(1_u8);
    assert_error(invalid.open(), "ERR_GGUF_UTF8", &["metadata key 0", "offset 32"]);
    let empty = Raw::new(3, 0, 1).entry("", 1_u8).data(8);
    assert_error(empty.open(), "ERR_GGUF_BOUNDS", &["metadata key 0", "empty"]);

    let invalid = Raw::new(3, 1, 0).put(1_u64).bytes(&[0xff]).data(64);
    assert_error(invalid.open(), "ERR_GGUF_UTF8", &["name of tensor 0"]);
    let empty = Raw::new(3, 1, 0).tensor("", &[1], F32, 0).data(64);
    assert_error(empty.open(), "ERR_GGUF_BOUNDS", &["name of tensor 0", "empty"]);
    let long = Raw::new(3, 1, 0).tensor(&"n".repeat(128), &[1], F32, 0).data(64);
    assert_error(long.open(), "ERR_GGUF_BOUNDS", &["name of tensor 0", "128", "at most 127"]);
    assert!(Raw::new(3, 1, 0).tensor(&"n".repeat(127), &[1], F32, 0).data(4).open().is_ok());
}

#[test]
fn names_are_unique() {
    let keys = Raw::new(3, 0, 3).entry("a", 1_u8).entry("b", 2_u8).entry("a", 3_u8);
    assert_error(keys.open(), "ERR_GGUF_DUPLICATE", &["metadata key \"a\" occurs twice"]);
    let tensors = Raw::new(3, 2, 0).tensor("w", &[1], F32, 0).tensor("w", &[1], F32, 32).data(64);
    assert_error(tensors.open(), "ERR_GGUF_DUPLICATE", &["tensor \"w\" occurs twice"]);
}

#[test]
fn shapes_are_checked() {
    let open = |shape: &[u64], type_id| {
        Raw::new(3, 1, 0).tensor("blk.0.w", shape, type_id, 0).data(256).open()
    };
    assert_eq!(open(&[], F32).unwrap().tensors()[0].elements(), 1);
    assert_eq!(open(&[2, 3, 2, 1], F32).unwrap().tensors()[0].shape(), [2, 3, 2, 1]);
    let five = ["dimensions of tensor \"blk.0.w\"", "is 5", "at most 4"];
    assert_error(open(&[1; 5], F32), "ERR_GGUF_BOUNDS", &five);
    assert_error(open(&[0, 4], F32), "ERR_GGUF_SHAPE", &["\"blk.0.w\"", "[0, 4]", "0"]);
    let rows = ["\"blk.0.w\"", "[48, 2]", "multiple of 32 for Q4_0"];
    assert_error(open(&[48, 2], Q4_0), "ERR_GGUF_SHAPE", &rows);
    let huge = 1_u64 << 33;
    let parts = ["number of elements of tensor \"blk.0.w\" overflows"];
    assert_error(open(&[huge, huge], F32), "ERR_GGUF_OVERFLOW", &parts);
    assert_error(open(&[huge, huge], 999), "ERR_GGUF_OVERFLOW", &parts);
    let parts = ["number of bytes of tensor \"blk.0.w\" overflows"];
    assert_error(open(&[huge, huge >> 3], F32), "ERR_GGUF_OVERFLOW", &parts);
}

#[test]
fn data_lies_in_the_file_and_apart() {
    let open = |offset, len| Raw::new(3, 1, 0).tensor("w", &[64], F32, offset).data(len).open();
    assert!(open(0, 256).is_ok());
    assert!(open(32, 288).is_ok());
    let parts = ["inside the data of tensor \"w\": 256 bytes expected", "255 found", "incomplete"];
    assert_error(open(0, 255), "ERR_GGUF_TRUNCATED", &parts);
    assert_error(open(1 << 40, 256), "ERR_GGUF_TRUNCATED", &["256 bytes expected", "0 found"]);
    let parts = ["offset of tensor \"w\" is 16", "multiple of the file's alignment, 32"];
    assert_error(open(16, 512), "ERR_GGUF_ALIGNMENT", &parts);
    let parts = ["offset of tensor \"w\" overflows"];
    assert_error(open(u64::MAX - 31, 256), "ERR_GGUF_OVERFLOW", &parts);
    assert_error(open(u64::MAX - 255, 256), "ERR_GGUF_OVERFLOW", &parts);

    let two = Raw::new(3, 2, 0).tensor("b", &[64], F32, 224).tensor("a", &[64], F32, 0).data(512);
    let parts = ["\"b\" begins at offset", "inside the data of \"a\""];
    assert_error(two.open(), "ERR_GGUF_OVERLAP", &parts);
}

#[test]
fn alignment_is_a_power_of_two() {
    let open = |alignment: u32| {
        let raw = Raw::new(3, 1, 1).entry("general.alignment", alignment);
        raw.tensor("w", &[1], F32, 0).data(4096).open()
    };
    for alignment in [1, 2, 8, 64, 2048] {
        assert!(open(alignment).is_ok(), "{alignment}");
    }
    for alignment in [0, 3, 33, u32::MAX] {
        let parts = ["general.alignment", &alignment.to_string(), "a power of two"];
        assert_error(open(alignment), "ERR_GGUF_ALIGNMENT", &parts);
    }
    assert_error(open(1 << 31), "ERR_GGUF_TRUNCATED", &["data of tensor \"w\""]);
    let text = Raw::new(3, 0, 1).entry("general.alignment", "32");
    assert_error(text.open(), "ERR_GGUF_METADATA", &["general.alignment", "a string", "u32"]);
}

#[test]
fn metadata_of_another_type_is_named() {
    let mut writer = GgufWriter::new();
    writer
        .metadata("negative", -1_i32)
        .metadata("large", 1_u64 << 40)
        .metadata("text", "seven")
        .metadata("float", 1.5_f32)
        .metadata("mixed", [1_i32, -2])
        .metadata("flag", true);
    let file = GgufFile::from_bytes("model.gguf", writer.to_bytes()).unwrap();
    let metadata = file.metadata();
    let code = "ERR_GGUF_METADATA";
    assert_error(metadata.get::<u32>("negative"), code, &["\"negative\"", "i32 -1", "u32"]);
    assert_error(metadata.get::<u32>("large"), code, &["u64 1099511627776", "expected u32"]);
    assert_error(metadata.get::<u32>("text"), code, &["a string", "expected u32"]);
    assert_error(metadata.get::<u32>("float"), code, &["f32 1.5", "expected u32"]);
    assert_error(metadata.get::<f32>("negative"), code, &["i32 -1", "expected f32"]);
    assert_error(metadata.get::<bool>("negative"), code, &["expected bool"]);
    assert_error(metadata.get::<&str>("flag"), code, &["bool true", "expected a string"]);
    let parts = ["an array of 2 i32 whose element 1 is i32 -2", "expected an array of u32"];
    assert_error(metadata.get::<Vec<u32>>("mixed"), code, &parts);
    assert_error(metadata.get::<Vec<u32>>("flag"), code, &["expected an array of u32"]);
    let parts = ["model.gguf", "\"none\" is missing, expected an array of a string"];
    assert_error(metadata.get::<Vec<&str>>("none"), code, &parts);
    assert_error(metadata.find::<u32>("text"), code, &["expected u32"]);
    assert_eq!(metadata.find::<u32>("none").unwrap(), None);
}

#[test]
fn metadata_that_cannot_be_read_does_not_keep_the_file_closed() {
    let raw = Raw::new(3, 0, 3)
        .put("bool")
        .put(7_u32)
        .put(2_u8)
        .put("text")
        .put(8_u32)
        .put(1_u64)
        .bytes(&[0xff])
        .entry("general.architecture", "llama");
    let file = raw.open().unwrap();
    let code = "ERR_GGUF_METADATA";
    assert_error(file.metadata().get::<bool>("bool"), code, &["a bool with the value 2"]);
    assert_error(file.metadata().get::<&str>("text"), code, &["not UTF-8"]);
    let inspected = file.inspect();
    assert_eq!(inspected["metadata"]["bool"], serde_json::Value::Null);
    assert_eq!(inspected["architecture"], "llama");
}

#[test]
fn tensors_of_unsupported_types_are_listed_and_not_read() {
    let cases =
        [(19, "IQ1_S"), (16, "IQ2_XXS"), (18, "IQ3_XXS"), (4, "unknown"), (4096, "unknown")];
    for (id, name) in cases {
        let file = Raw::new(3, 2, 0)
            .tensor("blk.0.ffn_up.weight", &[256, 2], id, 0)
            .tensor("norm", &[1], F32, 256)
            .data(260)
            .open()
            .unwrap();
        let tensor = &file.tensors()[0];
        assert_eq!((tensor.type_name(), tensor.known_type()), (name, None));
        assert_eq!((tensor.elements(), tensor.byte_len()), (512, None));
        let parts = ["\"blk.0.ffn_up.weight\"", name, &id.to_string()];
        assert_error(file.data(tensor), "ERR_GGUF_UNSUPPORTED_TYPE", &parts);
        file.release(tensor);
        assert_eq!(file.data(&file.tensors()[1]).unwrap().len(), 4);
        let listed = &file.inspect()["tensors"][0];
        assert_eq!((&listed["type"], &listed["bytes"]), (&name.into(), &serde_json::Value::Null));
    }
}

#[test]
fn missing_and_foreign_tensors_are_errors() {
    let file = Raw::new(3, 1, 0).tensor("w", &[4], F32, 0).data(16).open().unwrap();
    assert_error(file.tensor("v"), "ERR_GGUF_TENSOR", &["raw.gguf", "tensor \"v\" is missing"]);
    assert!(file.find_tensor("v").is_none());
    let larger = Raw::new(3, 1, 0).tensor("v", &[400], F32, 0).data(1600).open().unwrap();
    assert_error(file.data(&larger.tensors()[0]), "ERR_GGUF_TENSOR", &["\"v\""]);
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut writer = GgufWriter::new();
    let mut add = |name: &str, shape: &[usize], block_type, len| {
        writer.tensor(name, shape, block_type, vec![0; len]).map(drop)
    };
    assert!(add("w", &[32], GgufType::Q4_0, 18).is_ok());
    assert_error(add("w", &[32], GgufType::Q4_0, 18), "ERR_GGUF_DUPLICATE", &["\"w\""]);
    let parts = ["\"v\" takes 18 bytes, 17 were given"];
    assert_error(add("v", &[32], GgufType::Q4_0, 17), "ERR_GGUF_SHAPE", &parts);
    assert_error(add("v", &[31], GgufType::Q4_0, 18), "ERR_GGUF_SHAPE", &["multiple of 32"]);
    assert_error(add("v", &[1; 5], GgufType::F32, 4), "ERR_GGUF_BOUNDS", &["dimensions"]);
    assert_error(add("", &[1], GgufType::F32, 4), "ERR_GGUF_BOUNDS", &["empty"]);
    assert_error(add(&"n".repeat(128), &[1], GgufType::F32, 4), "ERR_GGUF_BOUNDS", &["127"]);
}
