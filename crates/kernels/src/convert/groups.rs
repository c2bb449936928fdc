//! Groups that share a scale: the largest magnitude of each, the scale by a rule, the codes.
//!
//! Sixteen groups are taken at a time, so that the arithmetic of the scales fills the lanes too; their elements are read twice, the second time
//! from the cache.

use dyadic_formats::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use dyadic_formats::scale::Nvfp4Scales;

use super::codec::{CodeBook16, Codec, E4M3FN, IntCodec, MiniFloat};
use super::lanes::ConvertLanes;
use crate::lanes::{CANONICAL_NAN, LANES, canonical};

/// Groups handled at once.
const GROUPS: usize = LANES;

/// The format of an amax / max scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleFormat {
    /// 4 bytes.
    F32,
    /// 2 bytes.
    F16,
    /// 2 bytes.
    Bf16,
}

/// What a kernel of scaled groups is told.
#[derive(Clone, Copy)]
pub(crate) struct GroupParams<'a> {
    /// The number of elements of a group: a multiple of 16. The last group of the slice may be short.
    pub(super) group: usize,
    /// For amax / max scales: their format, and max.
    pub(super) scale_format: ScaleFormat,
    pub(super) max: f32,
    /// For power-of-two scales: ⌊log2 max⌋.
    pub(super) max_exponent: i32,
    /// For NVFP4.
    pub(super) nvfp4: Nvfp4Scales,
    /// For integers.
    pub(super) int: IntCodec,
    /// For code books.
    pub(super) book: &'a CodeBook16,
}

/// How a scale follows from the largest magnitude.
pub(super) trait Rule: Copy {
    /// Whether elements are divided by the factor, else multiplied.
    const DIVIDES: bool;
    fn new(params: &GroupParams) -> Self;
    /// The bytes of a stored scale.
    fn bytes(self) -> usize;
    /// The stored code of the scale, and the factor.
    fn scale_one(self, largest: f32) -> (u32, f32);
    /// What codes are multiplied by, from the stored code.
    fn decode_one(self, code: u32) -> f32;
    /// [`Rule::scale_one`] of each lane.
    fn scale<S: ConvertLanes>(self, s: S, largest: S::F) -> (S::I, S::F);
    /// [`Rule::decode_one`] of each lane.
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F;
}

/// OCP Microscaling: 2^(⌊log2 amax⌋ − ⌊log2 max⌋) as e8m0.
#[derive(Clone, Copy)]
pub(super) struct PowerOfTwo {
    max_exponent: i32,
}

/// 2^−127 as f32.
const TWO_TO_MINUS_127: i32 = 0x0040_0000;

impl Rule for PowerOfTwo {
    const DIVIDES: bool = false;

    fn new(params: &GroupParams) -> Self {
        Self { max_exponent: params.max_exponent }
    }

    fn bytes(self) -> usize {
        1
    }

    fn scale_one(self, largest: f32) -> (u32, f32) {
        let field = (largest.to_bits() >> 23).cast_signed().max(1);
        let code = if largest == 0.0 { 0 } else { (field - self.max_exponent).clamp(0, 254) };
        let reciprocal = if code == 254 { TWO_TO_MINUS_127 } else { (254 - code) << 23 };
        (code.cast_unsigned(), f32::from_bits(reciprocal.cast_unsigned()))
    }

    fn decode_one(self, code: u32) -> f32 {
        match code {
            0 => f32::from_bits(TWO_TO_MINUS_127.cast_unsigned()),
            255 => CANONICAL_NAN,
            _ => f32::from_bits(code << 23),
        }
    }

    #[inline(always)]
    fn scale<S: ConvertLanes>(self, s: S, largest: S::F) -> (S::I, S::F) {
        let bits = s.bits(largest);
        let field = s.max_i(s.shr_i::<23>(bits), s.splat_i(1));
        let code = s.sub_i(field, s.splat_i(self.max_exponent));
        let code = s.min_i(s.max_i(code, s.splat_i(0)), s.splat_i(254));
        let code = s.select_i(s.lt_i(bits, s.splat_i(1)), s.splat_i(0), code);
        let reciprocal = s.shl_i::<23>(s.sub_i(s.splat_i(254), code));
        let is_last = s.lt_i(s.splat_i(253), code);
        let reciprocal = s.select_i(is_last, s.splat_i(TWO_TO_MINUS_127), reciprocal);
        (code, s.float_of_bits(reciprocal))
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        let is_first = s.lt_i(code, s.splat_i(1));
        let bits = s.select_i(is_first, s.splat_i(TWO_TO_MINUS_127), s.shl_i::<23>(code));
        // The code 255 has the bits of infinity.
        let is_nan = s.lt_i(s.splat_i(254), code);
        s.select(is_nan, s.splat(CANONICAL_NAN), s.float_of_bits(bits))
    }
}

/// NVFP4: e4m3fn relative to the scale of the tensor.
#[derive(Clone, Copy)]
pub(super) struct TwoLevel {
    scales: Nvfp4Scales,
}

impl Rule for TwoLevel {
    const DIVIDES: bool = false;

    fn new(params: &GroupParams) -> Self {
        Self { scales: params.nvfp4 }
    }

    fn bytes(self) -> usize {
        1
    }

    fn scale_one(self, largest: f32) -> (u32, f32) {
        let code = MiniFloat::<E4M3FN>.encode_one(self.scales.block_scale(largest, 6.0));
        (code.into(), self.scales.element_scale(MiniFloat::<E4M3FN>.decode_one(code)))
    }

    fn decode_one(self, code: u32) -> f32 {
        MiniFloat::<E4M3FN>.decode_one(code.to_le_bytes()[0]) * self.scales.decode
    }

    #[inline(always)]
    fn scale<S: ConvertLanes>(self, s: S, largest: S::F) -> (S::I, S::F) {
        let code = MiniFloat::<E4M3FN>.encode(s, s.mul(largest, s.splat(self.scales.encode / 6.0)));
        let scale = MiniFloat::<E4M3FN>.decode(s, code);
        let factor = s.div(s.splat(1.0), s.mul(scale, s.splat(self.scales.decode)));
        let factor = s.min(factor, s.splat(f32::MAX));
        let is_zero = s.lt_i(code, s.splat_i(1));
        (code, s.select(is_zero, s.splat(0.0), factor))
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        s.mul(MiniFloat::<E4M3FN>.decode(s, code), s.splat(self.scales.decode))
    }
}

/// amax / max, rounded to f32, f16 or bf16; 1 for a group of zeros, else at least the smallest positive scale.
#[derive(Clone, Copy)]
pub(super) struct MaxMagnitude {
    format: ScaleFormat,
    max: f32,
}

impl MaxMagnitude {
    /// The smallest and the largest scale; f32 and bf16 scales are not subnormal.
    const fn range(self) -> (f32, f32) {
        match self.format {
            ScaleFormat::F32 => (f32::MIN_POSITIVE, f32::MAX),
            ScaleFormat::F16 => (f32::from_bits((127 - 24) << 23), 65504.0),
            ScaleFormat::Bf16 => (f32::MIN_POSITIVE, f32::from_bits(0x7F7F_0000)),
        }
    }
}

impl Rule for MaxMagnitude {
    const DIVIDES: bool = true;

    fn new(params: &GroupParams) -> Self {
        Self { format: params.scale_format, max: params.max }
    }

    fn bytes(self) -> usize {
        match self.format {
            ScaleFormat::F32 => 4,
            ScaleFormat::F16 | ScaleFormat::Bf16 => 2,
        }
    }

    fn scale_one(self, largest: f32) -> (u32, f32) {
        let (min, max) = self.range();
        let wanted = if largest == 0.0 { 1.0 } else { largest / self.max };
        let wanted = if wanted > min { wanted } else { min };
        let wanted = if wanted < max { wanted } else { max };
        let code = match self.format {
            ScaleFormat::F32 => wanted.to_bits(),
            ScaleFormat::F16 => f32_to_f16(wanted).into(),
            ScaleFormat::Bf16 => f32_to_bf16(wanted).into(),
        };
        (code, self.decode_one(code))
    }

    fn decode_one(self, code: u32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "a code of 16 bits")]
        match self.format {
            ScaleFormat::F32 => canonical(f32::from_bits(code)),
            ScaleFormat::F16 => f16_to_f32(code as u16),
            ScaleFormat::Bf16 => bf16_to_f32(code as u16),
        }
    }

    #[inline(always)]
    fn scale<S: ConvertLanes>(self, s: S, largest: S::F) -> (S::I, S::F) {
        let (min, max) = self.range();
        let wanted = s.div(largest, s.splat(self.max));
        let wanted = s.select(s.lt(s.splat(0.0), largest), wanted, s.splat(1.0));
        let wanted = s.min(s.max(wanted, s.splat(min)), s.splat(max));
        let code = match self.format {
            ScaleFormat::F32 => s.bits(wanted),
            ScaleFormat::F16 => {
                let mut half = [0; LANES];
                s.store_f16(wanted, &mut half);
                s.load_u16(&half)
            }
            ScaleFormat::Bf16 => {
                let bits = s.bits(wanted);
                let even = s.and_i(s.shr_i::<16>(bits), s.splat_i(1));
                s.shr_i::<16>(s.add_i(s.add_i(bits, s.splat_i(0x7FFF)), even))
            }
        };
        (code, self.decode(s, code))
    }

    #[inline(always)]
    fn decode<S: ConvertLanes>(self, s: S, code: S::I) -> S::F {
        s.canonical(match self.format {
            ScaleFormat::F32 => s.float_of_bits(code),
            ScaleFormat::F16 => {
                let mut half = [0; LANES];
                s.store_u16(code, &mut half);
                s.load_f16(&half)
            }
            ScaleFormat::Bf16 => s.float_of_bits(s.shl_i::<16>(code)),
        })
    }
}

fn read_scale(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte))
}

fn write_scale(code: u32, bytes: &mut [u8]) {
    let len = bytes.len();
    bytes.copy_from_slice(&code.to_le_bytes()[..len]);
}

pub(super) mod scalar {
    //! The specification.

    use super::{Codec, GroupParams, Rule, canonical, read_scale, write_scale};

    pub(in super::super) fn encode<C: Codec, R: Rule>(
        codec: C,
        params: &GroupParams,
        x: &[f32],
        codes: &mut [u8],
        scales: &mut [u8],
    ) -> bool {
        let rule = R::new(params);
        let mut finite = true;
        let groups = x.chunks(params.group).zip(codes.chunks_mut(params.group));
        for ((x, codes), scale) in groups.zip(scales.chunks_exact_mut(rule.bytes())) {
            let largest = x.iter().fold(0, |largest, x| largest.max(x.abs().to_bits()));
            let largest = f32::from_bits(largest);
            finite &= largest.is_finite();
            let (code, factor) = rule.scale_one(largest);
            write_scale(code, scale);
            for (x, code) in x.iter().zip(codes) {
                *code = codec.encode_one(if R::DIVIDES { x / factor } else { x * factor });
            }
        }
        finite
    }

    pub(in super::super) fn decode<C: Codec, R: Rule>(
        codec: C,
        params: &GroupParams,
        codes: &[u8],
        scales: &[u8],
        out: &mut [f32],
    ) {
        let rule = R::new(params);
        let groups = codes.chunks(params.group).zip(out.chunks_mut(params.group));
        for ((codes, out), scale) in groups.zip(scales.chunks_exact(rule.bytes())) {
            let scale = rule.decode_one(read_scale(scale));
            for (code, out) in codes.iter().zip(out) {
                *out = canonical(codec.decode_one(*code) * scale);
            }
        }
    }
}

/// See [`super::EncodeGroupsFn`].
#[inline(always)]
pub(super) fn encode<S: ConvertLanes, C: Codec, R: Rule>(
    s: S,
    codec: C,
    params: &GroupParams,
    x: &[f32],
    codes: &mut [u8],
    scales: &mut [u8],
) -> bool {
    let rule = R::new(params);
    let span = params.group * GROUPS;
    let mut finite = true;
    let parts = x.chunks(span).zip(codes.chunks_mut(span));
    for ((x, codes), scales) in parts.zip(scales.chunks_mut(rule.bytes() * GROUPS)) {
        let mut largest = [0.0; GROUPS];
        for (x, largest) in x.chunks(params.group).zip(&mut largest) {
            *largest = f32::from_bits(largest_magnitude(s, x).cast_unsigned());
        }
        let largest = s.load(&largest);
        finite &= s.reduce_max_i(s.bits(largest)) < 0x7F80_0000;
        let (scale_codes, factors) = rule.scale(s, largest);
        let mut scale_array = [0; GROUPS];
        s.store_i(scale_codes, &mut scale_array);
        for (scale, code) in scales.chunks_exact_mut(rule.bytes()).zip(scale_array) {
            write_scale(code.cast_unsigned(), scale);
        }
        let mut factor_array = [0.0; GROUPS];
        s.store(factors, &mut factor_array);
        let groups = x.chunks(params.group).zip(codes.chunks_mut(params.group));
        for ((x, codes), factor) in groups.zip(factor_array) {
            let factor = s.splat(factor);
            let (chunks, tail) = x.as_chunks::<LANES>();
            let (code_chunks, code_tail) = codes.as_chunks_mut::<LANES>();
            for (x, codes) in chunks.iter().zip(code_chunks) {
                let x = s.load(x);
                let scaled = if R::DIVIDES { s.div(x, factor) } else { s.mul(x, factor) };
                s.store_u8(codec.encode(s, scaled), codes);
            }
            if !tail.is_empty() {
                let x = s.load_partial(tail, 0.0);
                let scaled = if R::DIVIDES { s.div(x, factor) } else { s.mul(x, factor) };
                let mut whole = [0; LANES];
                s.store_u8(codec.encode(s, scaled), &mut whole);
                code_tail.copy_from_slice(&whole[..code_tail.len()]);
            }
        }
    }
    finite
}

/// The largest magnitude as bits, which for NaN is above that of infinity.
#[inline(always)]
fn largest_magnitude<S: ConvertLanes>(s: S, x: &[f32]) -> i32 {
    let magnitude = s.splat_i(i32::MAX);
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut largest = s.splat_i(0);
    for x in chunks {
        largest = s.max_i(largest, s.and_i(s.bits(s.load(x)), magnitude));
    }
    if !tail.is_empty() {
        largest = s.max_i(largest, s.and_i(s.bits(s.load_partial(tail, 0.0)), magnitude));
    }
    s.reduce_max_i(largest)
}

/// See [`super::DecodeGroupsFn`].
#[inline(always)]
pub(super) fn decode<S: ConvertLanes, C: Codec, R: Rule>(
    s: S,
    codec: C,
    params: &GroupParams,
    codes: &[u8],
    scales: &[u8],
    out: &mut [f32],
) {
    let rule = R::new(params);
    let span = params.group * GROUPS;
    let parts = codes.chunks(span).zip(out.chunks_mut(span));
    for ((codes, out), scales) in parts.zip(scales.chunks(rule.bytes() * GROUPS)) {
        let mut scale_codes = [0.0; GROUPS];
        for (scale, code) in scales.chunks_exact(rule.bytes()).zip(&mut scale_codes) {
            *code = f32::from_bits(read_scale(scale));
        }
        let mut scale_array = [0.0; GROUPS];
        s.store(rule.decode(s, s.bits(s.load(&scale_codes))), &mut scale_array);
        let groups = codes.chunks(params.group).zip(out.chunks_mut(params.group));
        for ((codes, out), scale) in groups.zip(scale_array) {
            let scale = s.splat(scale);
            let (chunks, tail) = codes.as_chunks::<LANES>();
            let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
            for (codes, out) in chunks.iter().zip(out_chunks) {
                let value = codec.decode(s, s.load_u8(codes));
                s.store(s.canonical(s.mul(value, scale)), out);
            }
            if !tail.is_empty() {
                let mut whole = [0; LANES];
                whole[..tail.len()].copy_from_slice(tail);
                let value = codec.decode(s, s.load_u8(&whole));
                s.store_partial(s.canonical(s.mul(value, scale)), out_tail);
            }
        }
    }
}

/// The largest magnitude of all, as bits that for NaN are above those of infinity.
#[inline(always)]
pub(super) fn amax<S: ConvertLanes>(s: S, x: &[f32]) -> u32 {
    largest_magnitude(s, x).cast_unsigned()
}

pub(super) fn amax_scalar(x: &[f32]) -> u32 {
    x.iter().fold(0, |largest, x| largest.max(x.abs().to_bits()))
}
