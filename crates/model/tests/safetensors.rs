//! Reading and writing safetensors files.

use dyadic_model::ModelError;
use dyadic_model::dtype::Dtype;
use dyadic_model::safetensors::{SafetensorsFile, SafetensorsWriter, TensorInfo};
use proptest::prelude::*;
use serde_json::json;

/// Written by the reference implementation, `safetensors` 0.8.0 for Python.
const GOLDEN: &[u8] = include_bytes!("golden/safetensors/numpy.safetensors");

fn open(header: &str, data_len: usize) -> Result<SafetensorsFile, ModelError> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data_len, 0);
    SafetensorsFile::from_bytes("raw.safetensors", bytes)
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

#[test]
fn the_reference_implementations_file_is_read() {
    let file = SafetensorsFile::from_bytes("golden", GOLDEN.to_vec()).unwrap();
    let metadata: Vec<_> = file.metadata().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(metadata, [("format", "np"), ("note", "é \"quoted\"")]);
    let names: Vec<_> = file.tensors().iter().map(TensorInfo::name).collect();
    assert_eq!(names, ["b", "scalar", "empty", "a"]);
    let check = |name: &str, dtype, shape: &[usize], bytes: &[u8]| {
        let tensor = file.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, shape));
        assert_eq!(tensor.elements(), shape.iter().product::<usize>());
        assert_eq!(file.data(tensor).unwrap(), bytes);
        file.release(tensor);
    };
    check("b", Dtype::I64, &[3], &[0_i64, 1, 2].map(i64::to_le_bytes).concat());
    check("scalar", Dtype::F64, &[], &2.5_f64.to_le_bytes());
    check("empty", Dtype::F32, &[0, 2], &[]);
    check("a", Dtype::F16, &[2, 2], &[0, 0, 0, 0x3c, 0, 0x40, 0, 0x42]);
    let inspected = file.inspect();
    assert_eq!((&inspected["parameters"], &inspected["tensorBytes"]), (&json!(8), &json!(40)));
    assert_eq!(inspected["tensors"][3]["type"], "F16");
}

#[test]
fn every_type_comes_back() {
    let mut writer = SafetensorsWriter::new();
    for dtype in Dtype::ALL {
        writer.tensor(dtype.name(), &[3, 4], dtype, vec![7; dtype.bits() * 12 / 8]).unwrap();
    }
    writer.metadata("format", "pt").metadata("k", "1").metadata("k", "2");
    let file = SafetensorsFile::from_bytes("types", writer.to_bytes()).unwrap();
    assert_eq!(file.metadata()[1], ("k".to_owned(), "2".to_owned()));
    assert_eq!(file.tensors().len(), Dtype::ALL.len());
    for dtype in Dtype::ALL {
        let tensor = file.tensor(dtype.name()).unwrap();
        assert_eq!((tensor.dtype(), tensor.elements()), (dtype, 12));
        assert!(file.data(tensor).unwrap().iter().all(|&byte| byte == 7));
        assert_eq!(tensor.byte_len(), dtype.bits() * 12 / 8);
    }
}

#[test]
fn a_header_whose_length_looks_like_another_files_magic_is_read() {
    // 0x5a4d begins as a Windows program does, 0x8b1f as gzip, 0x0280 as a pickle.
    for len in [0x5a4d_usize, 0x8b1f, 0x0280] {
        assert!(open(&format!("{{{}}}", " ".repeat(len - 2)), 0).is_ok());
    }
}

#[test]
fn other_files_are_called_by_their_names() {
    let from = |bytes: &[u8]| SafetensorsFile::from_bytes("wrong", bytes.to_vec());
    let code = "ERR_SAFETENSORS_MAGIC";
    assert_error(from(b""), code, &["wrong: not a safetensors file", "an empty file"]);
    assert_error(from(b"GGUF\x03\0\0\0\0\0\0\0"), code, &["a GGUF model"]);
    assert_error(from(b"{\"weight_map\": {}}"), code, &["JSON text"]);
    assert_error(from(b"version https://git-lfs.github.com/spec/v1"), code, &["Git LFS pointer"]);
    let missing = SafetensorsFile::open("/nowhere/model.safetensors".as_ref());
    assert_error(missing, "ERR_FILE_NOT_FOUND", &["/nowhere/model.safetensors"]);
}

#[test]
fn a_header_that_is_wrong_is_refused() {
    let code = "ERR_SAFETENSORS_HEADER";
    assert_error(open("{", 0), code, &["header", "line 1"]);
    assert_error(open("{\"a\": 5}", 0), code, &[]);
    assert_error(open("{\"a\": {\"dtype\": \"F32\", \"shape\": []}}", 4), code, &["data_offsets"]);
    assert_error(open("{\"__metadata__\": {\"k\": 5}}", 0), code, &["expected a string"]);
    assert_error(
        open("{\"a\": {\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1),
        code,
        &[],
    );
    assert_error(open(&format!("{{\"a\": {}", "[".repeat(100_000)), 0), code, &[]);
    let mut bytes = 200_000_000_u64.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    let long = SafetensorsFile::from_bytes("raw", bytes.clone());
    assert_error(long, "ERR_SAFETENSORS_BOUNDS", &["200000000", "at most 100000000"]);
    bytes[..8].copy_from_slice(&20_u64.to_le_bytes());
    let cut = SafetensorsFile::from_bytes("raw", bytes);
    assert_error(
        cut,
        "ERR_SAFETENSORS_TRUNCATED",
        &["inside the header: 20 bytes expected", "2 found"],
    );
}

#[test]
fn tensors_that_are_wrong_are_refused() {
    let one = |dtype: &str, shape: &str, begin: u64, end: u64, data_len| {
        open(
            &format!(
                r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#
            ),
            data_len,
        )
    };
    assert!(one("F32", "[2]", 0, 8, 8).is_ok());
    assert_error(one("F33", "[2]", 0, 8, 8), "ERR_SAFETENSORS_DTYPE", &["\"w\"", "\"F33\""]);
    let parts = ["\"w\" of F32 [3] takes 12 bytes, found 8"];
    assert_error(one("F32", "[3]", 0, 8, 8), "ERR_SAFETENSORS_SHAPE", &parts);
    let huge = format!("[{}, {}]", 1_u64 << 40, 1_u64 << 40);
    assert_error(one("F32", &huge, 0, 8, 8), "ERR_SAFETENSORS_OVERFLOW", &["\"w\""]);
    assert_error(one("F4", "[3]", 0, 2, 2), "ERR_SAFETENSORS_OVERFLOW", &["F4 [3]"]);
    let parts = ["data of tensor \"w\": 8 bytes expected", "7 found"];
    assert_error(one("F32", "[2]", 0, 8, 7), "ERR_SAFETENSORS_TRUNCATED", &parts);
    let parts = ["file is 71 bytes long, expected 70"];
    assert_error(one("F32", "[2]", 0, 8, 9), "ERR_SAFETENSORS_LAYOUT", &parts);
    assert_error(one("F32", "[2]", 4, 12, 12), "ERR_SAFETENSORS_LAYOUT", &["begin at 0"]);
    assert_error(one("F32", "[2]", 0, u64::MAX, 8), "ERR_SAFETENSORS_SHAPE", &[]);
    let entry = r#"{"dtype":"U8","shape":[4],"data_offsets":[0,4]}"#;
    let overlap = open(&format!(r#"{{"a":{entry},"b":{entry}}}"#), 4);
    assert_error(overlap, "ERR_SAFETENSORS_LAYOUT", &["\"b\"", "0 to 4", "begin at 4"]);
    let next = r#"{"dtype":"U8","shape":[4],"data_offsets":[4,8]}"#;
    let twice = open(&format!(r#"{{"a":{entry},"a":{next}}}"#), 8);
    assert_error(twice, "ERR_SAFETENSORS_DUPLICATE", &["\"a\" occurs twice"]);
}

#[test]
fn missing_tensors_are_errors() {
    let file = SafetensorsFile::from_bytes("golden", GOLDEN.to_vec()).unwrap();
    assert_error(file.tensor("z"), "ERR_SAFETENSORS_TENSOR", &["golden: tensor \"z\" is missing"]);
    let mut writer = SafetensorsWriter::new();
    let mut add = |name, shape: &[usize], dtype, len| {
        writer.tensor(name, shape, dtype, vec![0; len]).map(drop)
    };
    assert!(add("w", &[2], Dtype::F16, 4).is_ok());
    assert_error(add("w", &[2], Dtype::F16, 4), "ERR_SAFETENSORS_DUPLICATE", &["\"w\""]);
    assert_error(add("__metadata__", &[2], Dtype::F16, 4), "ERR_SAFETENSORS_DUPLICATE", &[]);
    assert_error(add("v", &[2], Dtype::F16, 5), "ERR_SAFETENSORS_SHAPE", &["takes 4 bytes"]);
    assert_error(add("v", &[1], Dtype::F6E2M3, 1), "ERR_SAFETENSORS_OVERFLOW", &["F6_E2M3"]);
}

fn check(bytes: Vec<u8>) {
    match SafetensorsFile::from_bytes("damaged", bytes) {
        Ok(file) => {
            for tensor in file.tensors() {
                assert_eq!(file.data(tensor).unwrap().len(), tensor.byte_len());
            }
            assert!(file.inspect().is_object());
        }
        Err(error) => assert!(error.code().starts_with("ERR_SAFETENSORS_"), "{error:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_and_any_byte_may_change() {
    for len in 0..GOLDEN.len() {
        let cut = SafetensorsFile::from_bytes("cut", GOLDEN[..len].to_vec());
        assert!(cut.unwrap_err().code().starts_with("ERR_SAFETENSORS_"));
    }
    for position in 0..GOLDEN.len() {
        for value in 0..=255 {
            let mut bytes = GOLDEN.to_vec();
            bytes[position] = value;
            check(bytes);
        }
    }
}

proptest! {
    #[test]
    fn several_damages_at_once(
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = GOLDEN.to_vec();
        for (position, value) in damages {
            let position = position.index(bytes.len());
            bytes[position] = value;
        }
        check(bytes);
    }

    #[test]
    fn any_number_of_the_header_may_be_another(
        numbers in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..4),
    ) {
        let mut header = std::str::from_utf8(&GOLDEN[8..296])?.to_owned();
        for (place, number) in numbers {
            let digits: Vec<usize> = header.match_indices(|c: char| c.is_ascii_digit()).map(|(i, _)| i).collect();
            let place = digits[place.index(digits.len())];
            header.replace_range(place..=place, &number.to_string());
        }
        let len = (header.len() as u64).to_le_bytes();
        check([&len[..], header.as_bytes(), &GOLDEN[296..]].concat());
    }
}
