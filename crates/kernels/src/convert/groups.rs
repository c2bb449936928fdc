//! Groups that share a scale: the largest magnitude of each, the scale by a rule, the codes.
//!
//! Sixteen groups are taken at a time, so that the arithmetic of the scales fills the lanes too; their elements are read twice, the second time
//! from the cache.

use std::ptr;

use dyadic_formats::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use dyadic_formats::scale::Nvfp4Scales;

use super::codec::{CodeBook16, Codec, E4M3FN, IntCodec, MiniFloat};
use super::lanes::{ConvertLanes, ahead};
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
    /// Whether [`Invert`] is right for all of these factors; it need not say so where it is.
    #[inline(always)]
    fn factors_are_invertible<S: ConvertLanes>(self, _: S, _: S::F) -> bool {
        false
    }
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
    fn factors_are_invertible<S: ConvertLanes>(self, s: S, factors: S::F) -> bool {
        // All positive numbers: their bits are in their order.
        let [least, most] = INVERTIBLE.map(|bound| s.splat_i(bound.to_bits().cast_signed()));
        let bits = s.bits(factors);
        let outside = s.max_i(s.sub_i(least, bits), s.sub_i(bits, most));
        self.format == ScaleFormat::F16 || s.reduce_max_i(outside) <= 0
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

/// The stored codes of up to sixteen scales of `bytes_each` bytes.
#[inline(always)]
fn load_scales<S: ConvertLanes>(s: S, bytes_each: usize, scales: &[u8]) -> S::I {
    let mut whole = [0; 4 * GROUPS];
    let scales: &[u8] = if scales.len() == bytes_each * GROUPS {
        scales
    } else {
        whole[..scales.len()].copy_from_slice(scales);
        &whole
    };
    if bytes_each == 1 {
        return s.load_u8(scales.first_chunk().expect("sixteen scales"));
    }
    if let (2, Some((halves, _))) = (bytes_each, scales.as_chunks().0.split_first_chunk()) {
        return s.load_u16(&halves.map(u16::from_le_bytes));
    }
    let mut words = [0.0; GROUPS];
    for (scale, word) in scales.chunks_exact(bytes_each).zip(&mut words) {
        *word = f32::from_bits(read_scale(scale));
    }
    s.bits(s.load(&words))
}

/// The inverse of [`load_scales`].
#[inline(always)]
fn store_scales<S: ConvertLanes>(s: S, codes: S::I, bytes_each: usize, scales: &mut [u8]) {
    if let (1, Some(scales)) = (bytes_each, scales.first_chunk_mut()) {
        return s.store_u8(codes, scales);
    }
    if let (2, Some(scales)) = (bytes_each, scales.as_chunks_mut().0.first_chunk_mut()) {
        let mut halves = [0; GROUPS];
        s.store_u16(codes, &mut halves);
        *scales = halves.map(u16::to_le_bytes);
        return;
    }
    let mut words = [0; GROUPS];
    s.store_i(codes, &mut words);
    for (scale, word) in scales.chunks_exact_mut(bytes_each).zip(words) {
        write_scale(word.cast_unsigned(), scale);
    }
}

/// Calls a method with the length of a group: the short lengths of MX and NVFP4 as constants, which saves compiled loops a third of their time.
macro_rules! with_group {
    ($group:expr, |$name:ident| $call:expr) => {
        match $group {
            16 => {
                let $name = 16;
                $call
            }
            32 => {
                let $name = 32;
                $call
            }
            $name => $call,
        }
    };
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
    let spans = Spans { s, codec, rule: R::new(params), start: x.as_ptr() };
    with_group!(params.group, |group| spans.encode(group, x, codes, scales))
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
    let spans = Spans { s, codec, rule: R::new(params), start: ptr::null() };
    with_group!(params.group, |group| spans.decode(group, codes, scales, out));
}

/// How elements and the factor of their group, of which the reciprocal is at hand, become what is encoded.
trait Scaling {
    fn apply<S: ConvertLanes>(s: S, x: S::F, factor: S::F, reciprocal: S::F) -> S::F;
}

struct Multiply;

impl Scaling for Multiply {
    #[inline(always)]
    fn apply<S: ConvertLanes>(s: S, x: S::F, factor: S::F, _: S::F) -> S::F {
        s.mul(x, factor)
    }
}

struct Divide;

impl Scaling for Divide {
    #[inline(always)]
    fn apply<S: ConvertLanes>(s: S, x: S::F, factor: S::F, _: S::F) -> S::F {
        s.div(x, factor)
    }
}

/// Division by a factor between [`INVERTIBLE`], three times as fast as the processor's.
struct Invert;

/// Between these [`Invert`] equals a division, or the quotient is so small, below 2^−62, that no code tells the difference: only for |x| < 2^−102 is a
/// remainder no f32.
const INVERTIBLE: [f32; 2] = [f32::from_bits((127 - 40) << 23), f32::from_bits((127 + 40) << 23)];

impl Scaling for Invert {
    /// The first quotient is within two units in the last place of x / factor, the second within one, the third is x / factor rounded to nearest: Markstein,
    /// "Computation of elementary functions on the IBM RISC System/6000 processor" (1990), theorem 9.
    #[inline(always)]
    fn apply<S: ConvertLanes>(s: S, x: S::F, factor: S::F, reciprocal: S::F) -> S::F {
        let negative = s.neg(factor);
        let quotient = s.mul(x, reciprocal);
        let quotient = s.fma(s.fma(negative, quotient, x), reciprocal, quotient);
        let quotient = s.fma(s.fma(negative, quotient, x), reciprocal, quotient);
        // A remainder of zero has lost the sign of −0.
        let sign = s.and_i(s.bits(x), s.splat_i(i32::MIN));
        s.float_of_bits(s.or_i(s.bits(s.abs(quotient)), sign))
    }
}

/// Works on spans of sixteen groups, whose scales are computed at once.
#[derive(Clone, Copy)]
struct Spans<S, C, R> {
    s: S,
    codec: C,
    rule: R,
    /// Where the elements to be encoded begin.
    start: *const f32,
}

impl<S: ConvertLanes, C: Codec, R: Rule> Spans<S, C, R> {
    #[inline(always)]
    fn value(self, code: S::I, scale: S::F) -> S::F {
        let Self { s, codec, .. } = self;
        s.canonical(s.mul(codec.decode(s, code), scale))
    }

    /// The scales of a span are computed before the codes of the span in front of it, which hides how long that takes.
    #[inline(always)]
    fn encode(self, group: usize, x: &[f32], codes: &mut [u8], scales: &mut [u8]) -> bool {
        let Self { s, rule, .. } = self;
        let span = group * GROUPS;
        let spans = x.chunks(span).zip(codes.chunks_mut(span));
        let mut spans = spans.zip(scales.chunks_mut(rule.bytes() * GROUPS));
        let mut largest = s.splat_i(0);
        let mut current = self.next_span(group, &mut spans, &mut largest);
        while let Some((x, codes, factors)) = current {
            current = self.next_span(group, &mut spans, &mut largest);
            if !R::DIVIDES {
                self.encode_span::<Multiply>(group, x, codes, factors);
            } else if rule.factors_are_invertible(s, factors) {
                self.encode_span::<Invert>(group, x, codes, factors);
            } else {
                self.encode_span::<Divide>(group, x, codes, factors);
            }
        }
        s.reduce_max_i(largest) < 0x7F80_0000
    }

    /// Stores the scales of the next span, of which `largest` becomes at least the largest magnitude, and returns it with its factors.
    #[inline(always)]
    fn next_span<'a>(
        self,
        group: usize,
        spans: &mut impl Iterator<Item = ((&'a [f32], &'a mut [u8]), &'a mut [u8])>,
        largest: &mut S::I,
    ) -> Option<(&'a [f32], &'a mut [u8], S::F)> {
        let Self { s, rule, .. } = self;
        let ((x, codes), scales) = spans.next()?;
        let mut rows = [s.splat_i(0); GROUPS];
        if x.len() == group * GROUPS {
            for (x, row) in x.chunks_exact(group).zip(&mut rows) {
                *row = largest_magnitudes(s, x);
            }
        } else {
            for (x, row) in x.chunks(group).zip(&mut rows) {
                *row = largest_magnitudes(s, x);
            }
        }
        let rows = s.max_of_each(&rows);
        *largest = s.max_i(*largest, rows);
        let (scale_codes, factors) = rule.scale(s, s.float_of_bits(rows));
        store_scales(s, scale_codes, rule.bytes(), scales);
        Some((x, codes, factors))
    }

    #[inline(always)]
    fn encode_span<G: Scaling>(self, group: usize, x: &[f32], codes: &mut [u8], factors: S::F) {
        let s = self.s;
        let (mut divisors, mut reciprocals) = ([0.0; GROUPS], [0.0; GROUPS]);
        s.store(factors, &mut divisors);
        s.store(s.div(s.splat(1.0), factors), &mut reciprocals);
        let factors = divisors.into_iter().zip(reciprocals);
        if x.len() == group * GROUPS {
            let groups = x.chunks_exact(group).zip(codes.chunks_exact_mut(group));
            for ((x, codes), (factor, reciprocal)) in groups.zip(factors) {
                self.encode_group::<G>(x, codes, s.splat(factor), s.splat(reciprocal));
            }
        } else {
            let groups = x.chunks(group).zip(codes.chunks_mut(group));
            for ((x, codes), (factor, reciprocal)) in groups.zip(factors) {
                self.encode_group::<G>(x, codes, s.splat(factor), s.splat(reciprocal));
            }
        }
    }

    #[inline(always)]
    fn encode_group<G: Scaling>(self, x: &[f32], codes: &mut [u8], factor: S::F, reciprocal: S::F) {
        let Self { s, codec, start, .. } = self;
        let (chunks, tail) = x.as_chunks::<LANES>();
        let (code_chunks, code_tail) = codes.as_chunks_mut::<LANES>();
        for (x, codes) in chunks.iter().zip(code_chunks) {
            // This half of the work leaves the memory idle: groups to come are read meanwhile.
            s.prefetch(ahead(start, x.as_ptr()));
            s.store_u8(codec.encode(s, G::apply(s, s.load(x), factor, reciprocal)), codes);
        }
        if !tail.is_empty() {
            let mut whole = [0; LANES];
            let x = s.load_partial(tail, 0.0);
            s.store_u8(codec.encode(s, G::apply(s, x, factor, reciprocal)), &mut whole);
            code_tail.copy_from_slice(&whole[..code_tail.len()]);
        }
    }

    #[inline(always)]
    fn decode(self, group: usize, codes: &[u8], scales: &[u8], out: &mut [f32]) {
        let span = group * GROUPS;
        let (codes, mut out) = (codes.chunks_exact(span), out.chunks_exact_mut(span));
        let codes_rest = codes.remainder();
        let mut scales = scales.chunks(self.rule.bytes() * GROUPS);
        for (codes, out) in codes.zip(&mut out) {
            let scales = scales.next().expect("scales of a span");
            self.decode_span(codes.chunks_exact(group), scales, out.chunks_exact_mut(group));
        }
        if let Some(scales) = scales.next() {
            let out = out.into_remainder().chunks_mut(group);
            self.decode_span(codes_rest.chunks(group), scales, out);
        }
    }

    #[inline(always)]
    fn decode_span<'a>(
        self,
        codes: impl Iterator<Item = &'a [u8]>,
        scales: &[u8],
        out: impl Iterator<Item = &'a mut [f32]>,
    ) {
        let Self { s, rule, .. } = self;
        let mut scale_array = [0.0; GROUPS];
        s.store(rule.decode(s, load_scales(s, rule.bytes(), scales)), &mut scale_array);
        for ((codes, out), scale) in codes.zip(out).zip(scale_array) {
            let scale = s.splat(scale);
            let (chunks, tail) = codes.as_chunks::<LANES>();
            let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
            for (codes, out) in chunks.iter().zip(out_chunks) {
                s.store(self.value(s.load_u8(codes), scale), out);
            }
            if !tail.is_empty() {
                let mut whole = [0; LANES];
                whole[..tail.len()].copy_from_slice(tail);
                s.store_partial(self.value(s.load_u8(&whole), scale), out_tail);
            }
        }
    }
}

/// The largest magnitudes in each lane as bits, which for NaN are above those of infinity.
#[inline(always)]
fn largest_magnitudes<S: ConvertLanes>(s: S, x: &[f32]) -> S::I {
    let magnitude = s.splat_i(i32::MAX);
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut largest = s.splat_i(0);
    for x in chunks {
        largest = s.max_i(largest, s.and_i(s.bits(s.load(x)), magnitude));
    }
    if !tail.is_empty() {
        largest = s.max_i(largest, s.and_i(s.bits(s.load_partial(tail, 0.0)), magnitude));
    }
    largest
}

/// The largest magnitude of all, as bits that for NaN are above those of infinity.
#[inline(always)]
pub(super) fn amax<S: ConvertLanes>(s: S, x: &[f32]) -> u32 {
    s.reduce_max_i(largest_magnitudes(s, x)).cast_unsigned()
}

pub(super) fn amax_scalar(x: &[f32]) -> u32 {
    x.iter().fold(0, |largest, x| largest.max(x.abs().to_bits()))
}
