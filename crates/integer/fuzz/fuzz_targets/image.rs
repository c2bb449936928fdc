//! Any bytes are a PNG or JPEG picture, or are refused with a code.
#![no_main]

use dyadic_integer::{Image, ImageError, Shape};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8]) -> Result<(), ImageError> {
    let image = Image::decode("fuzz.png", bytes)?;
    for channels in [1, 3] {
        let shape = Shape { height: 28, width: 24, channels };
        assert_eq!(image.fit(shape)?.len(), shape.elements());
    }
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = read(bytes) {
        assert!(error.code().starts_with("ERR_IMAGE_"), "{error}");
    }
});
