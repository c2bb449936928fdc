//! Any bytes are read as safetensors, or refused with a code.
#![no_main]

use dyadic_model::ModelError;
use dyadic_model::safetensors::SafetensorsFile;
use libfuzzer_sys::fuzz_target;

/// Reads all that a file has to give.
fn read(bytes: &[u8]) -> Result<(), ModelError> {
    let file = SafetensorsFile::from_bytes("fuzz.safetensors", bytes.to_vec())?;
    for tensor in file.tensors() {
        assert_eq!(file.tensor(tensor.name())?, tensor);
        assert_eq!(file.data(tensor)?.len(), tensor.byte_len());
    }
    assert!(file.inspect().is_object());
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = read(bytes) {
        assert!(error.code().starts_with("ERR_SAFETENSORS_"), "{error}");
    }
});
