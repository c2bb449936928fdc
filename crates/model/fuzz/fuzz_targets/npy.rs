//! Any bytes are read as `.npy`, or refused with a code.
#![no_main]

use dyadic_model::npy::{NpyFile, to_npy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match NpyFile::from_bytes("fuzz.npy", bytes.to_vec()) {
        Ok(array) => {
            assert_eq!(Some(array.data().len()), array.dtype().byte_len(array.shape()));
            assert!(to_npy(array.dtype(), array.shape(), array.data()).is_ok());
        }
        Err(error) => assert!(error.code().starts_with("ERR_NPY_"), "{error}"),
    }
});
