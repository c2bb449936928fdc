//! What each bit pattern means: low-bit number formats, their encoding, decoding, rounding and packing.
