//! Any bytes are read as GGUF, or refused with a code.
#![no_main]

use dyadic_model::ModelError;
use dyadic_model::gguf::{GgufFile, Value};
use libfuzzer_sys::fuzz_target;

/// Visits every element of a value.
fn walk(value: &Value<'_>) {
    if let Value::Array(array) = value {
        array.iter().flatten().for_each(|element| walk(&element));
    }
}

/// Reads all that a file has to give.
fn read(bytes: &[u8]) -> Result<(), ModelError> {
    let file = GgufFile::from_bytes("fuzz.gguf", bytes.to_vec())?;
    for (key, value) in file.metadata().iter() {
        if let Ok(value) = value {
            walk(&value);
        }
        let _ = file.metadata().get::<Vec<&str>>(key);
        let _ = file.metadata().get::<Vec<i64>>(key);
    }
    for tensor in file.tensors() {
        assert_eq!(file.tensor(tensor.name())?, tensor);
        if let Ok(data) = file.data(tensor) {
            assert_eq!(Some(data.len() as u64), tensor.byte_len());
        }
    }
    assert!(file.inspect().is_object());
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = read(bytes) {
        assert!(error.code().starts_with("ERR_GGUF_"), "{error}");
    }
});
