//! Conversion over [`Lanes`].

use crate::lanes::{LANES, Lanes};

#[inline(always)]
pub(super) fn f16_to_f32<S: Lanes>(s: S, x: &[u16], out: &mut [f32]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.store(s.canonical(s.load_f16(chunk)), out);
    }
    if !tail.is_empty() {
        let mut whole = [0; LANES];
        whole[..tail.len()].copy_from_slice(tail);
        s.store_partial(s.canonical(s.load_f16(&whole)), out_tail);
    }
}

#[inline(always)]
pub(super) fn f32_to_f16<S: Lanes>(s: S, x: &[f32], out: &mut [u16]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.store_f16(s.canonical(s.load(chunk)), out);
    }
    if !tail.is_empty() {
        let mut whole = [0; LANES];
        s.store_f16(s.canonical(s.load_partial(tail, 0.0)), &mut whole);
        out_tail.copy_from_slice(&whole[..tail.len()]);
    }
}
