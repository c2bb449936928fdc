//! Elements without scales: the loops around a [`Codec`].

use dyadic_formats::random::RandomKey;

use super::codec::{Codec, MiniFloat, random_bits};
use super::lanes::{ConvertLanes, ahead};
use crate::lanes::LANES;

pub(super) mod scalar {
    //! The specification.

    use super::{Codec, MiniFloat, RandomKey};

    pub(in super::super) fn encode<C: Codec>(codec: C, x: &[f32], codes: &mut [u8]) {
        for (x, code) in x.iter().zip(codes) {
            *code = codec.encode_one(*x);
        }
    }

    pub(in super::super) fn decode<C: Codec>(codec: C, codes: &[u8], out: &mut [f32]) {
        for (code, out) in codes.iter().zip(out) {
            *out = codec.decode_one(*code);
        }
    }

    pub(in super::super) fn encode_stochastic<const N: usize>(
        x: &[f32],
        key: RandomKey,
        first: u32,
        codes: &mut [u8],
    ) {
        for ((x, code), index) in x.iter().zip(codes).zip(0u32..) {
            *code = MiniFloat::<N>::encode_stochastic_one(*x, key.bits(first.wrapping_add(index)));
        }
    }
}

#[inline(always)]
pub(super) fn encode<S: ConvertLanes, C: Codec>(s: S, codec: C, x: &[f32], codes: &mut [u8]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = codes.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.prefetch(ahead(x.as_ptr(), chunk.as_ptr()));
        s.store_u8(codec.encode(s, s.load(chunk)), out);
    }
    if !tail.is_empty() {
        let mut out = [0; LANES];
        s.store_u8(codec.encode(s, s.load_partial(tail, 0.0)), &mut out);
        out_tail.copy_from_slice(&out[..tail.len()]);
    }
}

#[inline(always)]
pub(super) fn decode<S: ConvertLanes, C: Codec>(s: S, codec: C, codes: &[u8], out: &mut [f32]) {
    let (chunks, tail) = codes.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.store(codec.decode(s, s.load_u8(chunk)), out);
    }
    if !tail.is_empty() {
        let mut whole = [0; LANES];
        whole[..tail.len()].copy_from_slice(tail);
        s.store_partial(codec.decode(s, s.load_u8(&whole)), out_tail);
    }
}

#[inline(always)]
pub(super) fn encode_stochastic<S: ConvertLanes, const N: usize>(
    s: S,
    x: &[f32],
    key: RandomKey,
    first: u32,
    codes: &mut [u8],
) {
    let lane_numbers: [f32; LANES] = std::array::from_fn(|i| f32::from_bits(i as u32));
    let mut index = s.add_i(s.bits(s.load(&lane_numbers)), s.splat_i(first.cast_signed()));
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = codes.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.prefetch(ahead(x.as_ptr(), chunk.as_ptr()));
        let random = random_bits(s, key, index);
        s.store_u8(MiniFloat::<N>::encode_stochastic(s, s.load(chunk), random), out);
        index = s.add_i(index, s.splat_i(LANES as i32));
    }
    if !tail.is_empty() {
        let random = random_bits(s, key, index);
        let mut out = [0; LANES];
        let x = s.load_partial(tail, 0.0);
        s.store_u8(MiniFloat::<N>::encode_stochastic(s, x, random), &mut out);
        out_tail.copy_from_slice(&out[..tail.len()]);
    }
}

/// The 16-bit floats.
pub(super) mod half {
    use dyadic_formats::float;

    use super::{ConvertLanes, ahead};
    use crate::lanes::LANES;

    pub(in super::super) fn f32_to_f16_scalar(x: &[f32], out: &mut [u16]) {
        for (x, out) in x.iter().zip(out) {
            *out = float::f32_to_f16(*x);
        }
    }

    pub(in super::super) fn f16_to_f32_scalar(x: &[u16], out: &mut [f32]) {
        for (x, out) in x.iter().zip(out) {
            *out = float::f16_to_f32(*x);
        }
    }

    pub(in super::super) fn f32_to_bf16_scalar(x: &[f32], out: &mut [u16]) {
        for (x, out) in x.iter().zip(out) {
            *out = float::f32_to_bf16(*x);
        }
    }

    pub(in super::super) fn bf16_to_f32_scalar(x: &[u16], out: &mut [f32]) {
        for (x, out) in x.iter().zip(out) {
            *out = float::bf16_to_f32(*x);
        }
    }

    #[inline(always)]
    fn encode<S: ConvertLanes>(
        x: &[f32],
        out: &mut [u16],
        s: S,
        one: impl Fn(S::F, &mut [u16; LANES]),
    ) {
        let (chunks, tail) = x.as_chunks::<LANES>();
        let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
        for (chunk, out) in chunks.iter().zip(out_chunks) {
            s.prefetch(ahead(x.as_ptr(), chunk.as_ptr()));
            one(s.load(chunk), out);
        }
        if !tail.is_empty() {
            let mut whole = [0; LANES];
            one(s.load_partial(tail, 0.0), &mut whole);
            out_tail.copy_from_slice(&whole[..tail.len()]);
        }
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(
        x: &[u16],
        out: &mut [f32],
        s: S,
        one: impl Fn(&[u16; LANES]) -> S::F,
    ) {
        let (chunks, tail) = x.as_chunks::<LANES>();
        let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
        for (chunk, out) in chunks.iter().zip(out_chunks) {
            s.store(one(chunk), out);
        }
        if !tail.is_empty() {
            let mut whole = [0; LANES];
            whole[..tail.len()].copy_from_slice(tail);
            s.store_partial(one(&whole), out_tail);
        }
    }

    /// The hardware keeps payloads: NaN is made canonical before, and 0x7FC00000 becomes 0x7E00.
    #[inline(always)]
    pub(in super::super) fn f32_to_f16<S: ConvertLanes>(s: S, x: &[f32], out: &mut [u16]) {
        encode(
            x,
            out,
            s,
            #[inline(always)]
            |x, out| s.store_f16(s.canonical(x), out),
        );
    }

    #[inline(always)]
    pub(in super::super) fn f16_to_f32<S: ConvertLanes>(s: S, x: &[u16], out: &mut [f32]) {
        decode(
            x,
            out,
            s,
            #[inline(always)]
            |x| s.canonical(s.load_f16(x)),
        );
    }

    /// `vcvtneps2bf16` is not used: it treats subnormal numbers as zeros.
    #[inline(always)]
    pub(in super::super) fn f32_to_bf16<S: ConvertLanes>(s: S, x: &[f32], out: &mut [u16]) {
        encode(
            x,
            out,
            s,
            #[inline(always)]
            |x, out| {
                let bits = s.bits(x);
                let even = s.and_i(s.shr_i::<16>(bits), s.splat_i(1));
                let rounded = s.add_i(s.add_i(bits, s.splat_i(0x7FFF)), even);
                let code = s.shr_i::<16>(rounded);
                s.store_u16(s.select_i(s.is_nan(x), s.splat_i(0x7FC0), code), out);
            },
        );
    }

    #[inline(always)]
    pub(in super::super) fn bf16_to_f32<S: ConvertLanes>(s: S, x: &[u16], out: &mut [f32]) {
        decode(
            x,
            out,
            s,
            #[inline(always)]
            |x| s.canonical(s.float_of_bits(s.shl_i::<16>(s.load_u16(x)))),
        );
    }
}
