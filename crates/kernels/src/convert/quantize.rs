//! Whole tensors by kernels, bit-equal to `dyadic_formats::Format::quantize` and `Quantized::dequantize`.

use dyadic_formats::float::Float;
use dyadic_formats::random::RandomKey;
use dyadic_formats::scale::{Nvfp4Scales, PowerOfTwoScale, max_magnitude};
use dyadic_formats::{
    Element, EncodeOptions, Format, Granularity, NanPolicy, Overflow, Quantized, QuantizedRef,
    Remainder, Rounding, Scale, ScaleRule, StochasticBits, Storage, Zero, pack,
};

use super::GroupOp;
use super::codec::{CodeBook16, FLOATS, IntCodec};
use super::groups::{GroupParams, ScaleFormat};
use super::stream::Stage;
use crate::registry::Kernels;

/// Codes of the buffer between conversion and packing: with their f32 they fit the first-level cache twice.
const BUFFER: usize = 4096;

/// The bits of the f32 infinity.
const INFINITY: u32 = 0x7F80_0000;

/// How a format is converted.
struct Plan {
    op: GroupOp,
    /// The bits of a code.
    bits: u32,
    granularity: Granularity,
    scale_format: ScaleFormat,
    max: f32,
    max_exponent: i32,
    int: IntCodec,
    book: CodeBook16,
}

/// The number of [`FLOATS`] that an element is.
fn float_index(element: &Element) -> Option<usize> {
    let Element::Float(float) = element else { return None };
    FLOATS.iter().position(|(_, known)| known == float)
}

impl Plan {
    fn new(format: &Format) -> Option<Self> {
        let Scale { element: scale, granularity, rule } = format.scale.as_ref()?;
        if format.storage != Storage::Planar
            || format.zero != Zero::None
            || !format.alternatives.is_empty()
        {
            return None;
        }
        let is = |float: Float| format.element == Element::Float(float);
        let scale_is = |float: Float| *scale == Element::Float(float);
        let int = int_codec(&format.element);
        let book = match &format.element {
            Element::CodeBook(book) => CodeBook16::new(&book.values),
            _ => None,
        };
        let floats = |e4m3fn, e5m2, others: &[(Float, GroupOp)]| {
            [(Float::E4M3FN, e4m3fn), (Float::E5M2, e5m2)]
                .iter()
                .chain(others)
                .find(|(float, _)| is(*float))
                .map(|(_, op)| *op)
        };
        let op = match rule {
            ScaleRule::Floor if scale_is(Float::E8M0) && format.super_scale.is_none() => match &int
            {
                Some(_) => GroupOp::MxInt,
                None => floats(
                    GroupOp::MxE4m3fn,
                    GroupOp::MxE5m2,
                    &[
                        (Float::E3M2, GroupOp::MxE3m2),
                        (Float::E2M3, GroupOp::MxE2m3),
                        (Float::E2M1, GroupOp::MxE2m1),
                    ],
                )?,
            },
            ScaleRule::TwoLevel if is(Float::E2M1) && scale_is(Float::E4M3FN) => GroupOp::Nvfp4,
            ScaleRule::MaxMagnitude if format.super_scale.is_none() => {
                if int.is_some() {
                    GroupOp::Int
                } else if book.is_some() {
                    GroupOp::Book
                } else {
                    floats(GroupOp::E4m3fn, GroupOp::E5m2, &[(Float::E2M1, GroupOp::E2m1)])?
                }
            }
            _ => return None,
        };
        let scale_format = match rule {
            ScaleRule::MaxMagnitude if scale_is(Float::F32) => ScaleFormat::F32,
            ScaleRule::MaxMagnitude if scale_is(Float::F16) => ScaleFormat::F16,
            ScaleRule::MaxMagnitude if scale_is(Float::BF16) => ScaleFormat::Bf16,
            ScaleRule::MaxMagnitude => return None,
            _ => ScaleFormat::F32,
        };
        Some(Self {
            op,
            bits: format.element.bits(),
            granularity: *granularity,
            scale_format,
            max: max_magnitude(&format.element),
            max_exponent: PowerOfTwoScale::new(&format.element, ScaleRule::Floor).max_exponent,
            int: int.unwrap_or(IntCodec { min: 0.0, max: 0.0, denominator: 1.0, bits: 1 }),
            book: book.unwrap_or(CodeBook16 { values: [0.0; 16], thresholds: [0.0; 15] }),
        })
    }

    /// The elements of a group, and of a run of groups that are counted from its start: the whole tensor, or a row of it. `None` where codes of a
    /// run do not begin at a byte, or a group is too long for the buffer.
    fn runs(&self, rows: usize, columns: usize) -> Option<(usize, usize)> {
        let (group, run) = match self.granularity {
            Granularity::Tensor => (rows * columns, rows * columns),
            Granularity::Channel => (columns, columns),
            Granularity::Group(group) if columns.is_multiple_of(group as usize) => {
                (group as usize, rows * columns)
            }
            Granularity::Group(group) => (group as usize, columns),
            Granularity::Block { .. } => return None,
        };
        let aligned = (run * self.bits as usize).is_multiple_of(8) || run == rows * columns;
        let fits = group <= BUFFER && group.is_multiple_of(8) || group >= run;
        (aligned
            && fits
            && group > 0
            && !matches!(self.granularity, Granularity::Group(g) if g as usize > BUFFER))
        .then_some((group, run))
    }

    fn params(&self, group: usize, nvfp4: Nvfp4Scales) -> GroupParams<'_> {
        GroupParams {
            group,
            scale_format: self.scale_format,
            max: self.max,
            max_exponent: self.max_exponent,
            nvfp4,
            int: self.int,
            book: &self.book,
        }
    }

    const fn scale_bytes(&self) -> usize {
        match self.op {
            GroupOp::Int | GroupOp::Book | GroupOp::E4m3fn | GroupOp::E5m2 | GroupOp::E2m1 => {
                match self.scale_format {
                    ScaleFormat::F32 => 4,
                    ScaleFormat::F16 | ScaleFormat::Bf16 => 2,
                }
            }
            _ => 1,
        }
    }
}

/// Signed integers of 2 to 8 bits, also with a binary point (MXINT8).
fn int_codec(element: &Element) -> Option<IntCodec> {
    let (int, fraction_bits) = match element {
        Element::Int(int) => (int, 0),
        Element::Fixed(fixed) if (0..=20).contains(&fixed.fraction_bits) => {
            (&fixed.int, fixed.fraction_bits)
        }
        _ => return None,
    };
    #[expect(clippy::cast_precision_loss, reason = "at most 8 bits")]
    (int.signed && (2..=8).contains(&int.bits)).then(|| IntCodec {
        min: int.min() as f32,
        max: int.max() as f32,
        denominator: f32::from_bits((127 + u32::from(fraction_bits.unsigned_abs())) << 23),
        bits: int.bits.into(),
    })
}

impl Kernels {
    /// Packs the low `bits` bits of each code.
    ///
    /// # Panics
    /// Where `bits` is not 1 to 8 or `bytes` is not as long as the packed codes.
    pub fn pack(&self, bits: u32, codes: &[u8], bytes: &mut [u8]) {
        assert!((1..=8).contains(&bits), "codes of a byte");
        assert_eq!(pack::packed_len(codes.len(), bits), Some(bytes.len()), "packed bytes");
        if bits == 8 {
            bytes.copy_from_slice(codes);
        } else {
            // SAFETY: this set holds kernels that the CPU supports, and the lengths fit.
            unsafe { (self.pack[bits as usize - 1].function)(codes, bytes) }
        }
    }

    /// The inverse of [`Kernels::pack`].
    ///
    /// # Panics
    /// Where `bits` is not 1 to 8 or `bytes` is not as long as the packed codes.
    pub fn unpack(&self, bits: u32, bytes: &[u8], codes: &mut [u8]) {
        assert!((1..=8).contains(&bits), "codes of a byte");
        assert_eq!(pack::packed_len(codes.len(), bits), Some(bytes.len()), "packed bytes");
        if bits == 8 {
            codes.copy_from_slice(bytes);
        } else {
            // SAFETY: this set holds kernels that the CPU supports, and the lengths fit.
            unsafe { (self.unpack[bits as usize - 1].function)(bytes, codes) }
        }
    }

    /// The largest magnitude; NaN where there is a NaN, 0 of nothing.
    #[must_use]
    pub fn largest_magnitude(&self, x: &[f32]) -> f32 {
        // SAFETY: this set holds kernels that the CPU supports.
        let bits = unsafe { (self.amax.function)(x) };
        if bits > INFINITY { f32::NAN } else { f32::from_bits(bits) }
    }

    /// `out[i]` is `x[i]` as f16: to nearest even, overflowing to infinity, NaN as 0x7E00.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn f32_to_f16(&self, x: &[f32], out: &mut [u16]) {
        assert_eq!(x.len(), out.len(), "f32_to_f16: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.f32_to_f16.function)(x, out) }
    }

    /// `out[i]` is the value of the f16 `x[i]`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn f16_to_f32(&self, x: &[u16], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "f16_to_f32: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.f16_to_f32.function)(x, out) }
    }

    /// `out[i]` is `x[i]` as bfloat16: to nearest even, overflowing to infinity, NaN as 0x7FC0.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn f32_to_bf16(&self, x: &[f32], out: &mut [u16]) {
        assert_eq!(x.len(), out.len(), "f32_to_bf16: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.f32_to_bf16.function)(x, out) }
    }

    /// `out[i]` is the value of the bfloat16 `x[i]`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn bf16_to_f32(&self, x: &[u16], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "bf16_to_f32: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.bf16_to_f32.function)(x, out) }
    }

    /// `Format::quantize` by kernels, with the same result. `None` where there is no kernel for the format, the shape or the options, or a value is not
    /// finite: the definition serves then.
    #[must_use]
    pub fn quantize(
        &self,
        format: &Format,
        x: &[f32],
        rows: usize,
        columns: usize,
        options: &EncodeOptions,
    ) -> Option<Quantized> {
        let mut quantized = Quantized {
            format: format.clone(),
            rows,
            columns,
            codes: Vec::new(),
            scales: Vec::new(),
            zeros: Vec::new(),
            selectors: Vec::new(),
            super_scales: Vec::new(),
        };
        self.quantize_into(x, options, &mut quantized).then_some(quantized)
    }

    /// As [`Kernels::quantize`], into a tensor whose buffers are used again; its format and shape say what is made. Where it returns false the buffers
    /// hold nothing of use.
    pub fn quantize_into(&self, x: &[f32], options: &EncodeOptions, out: &mut Quantized) -> bool {
        self.try_quantize_into(x, options, out).is_some()
    }

    fn try_quantize_into(
        &self,
        x: &[f32],
        options: &EncodeOptions,
        out: &mut Quantized,
    ) -> Option<()> {
        let Quantized { format, rows, columns, codes, scales, zeros, selectors, super_scales } =
            out;
        let (rows, columns) = (*rows, *columns);
        if rows.checked_mul(columns) != Some(x.len()) || x.is_empty() {
            return None;
        }
        let bits = format.element.bits();
        codes.resize(pack::packed_len(x.len(), bits)?, 0);
        zeros.clear();
        selectors.clear();
        super_scales.clear();
        if format.scale.is_none() {
            scales.clear();
            return self.encode_elements(format, x, options, codes);
        }
        let plan = Plan::new(format)?;
        if options.rounding != Rounding::NearestEven || options.overflow == Overflow::Wrap {
            return None;
        }
        let (group, run) = plan.runs(rows, columns)?;
        let mut nvfp4 = Nvfp4Scales { encode: 1.0, decode: 1.0 };
        if let GroupOp::Nvfp4 = plan.op {
            let largest = self.largest_magnitude(x);
            if !largest.is_finite() {
                return None;
            }
            nvfp4 = Nvfp4Scales::new(largest, 448.0);
            super_scales.push(nvfp4.decode);
        }
        let run_scales = run.div_ceil(group) * plan.scale_bytes();
        scales.resize(x.len() / run * run_scales, 0);
        let run_bytes = pack::packed_len(run, bits)?;
        let mut stage = Stage::new(self, codes.len(), BUFFER);
        let runs = x.chunks(run).zip(codes.chunks_mut(run_bytes));
        for ((x, codes), scales) in runs.zip(scales.chunks_mut(run_scales)) {
            let params = plan.params(group, nvfp4);
            if !self.encode_run(&plan, &params, x, codes, scales, &mut stage) {
                return None;
            }
        }
        Some(())
    }

    /// One run of groups; whether all values were finite.
    fn encode_run(
        &self,
        plan: &Plan,
        params: &GroupParams,
        x: &[f32],
        codes: &mut [u8],
        scales: &mut [u8],
        stage: &mut Stage<u8>,
    ) -> bool {
        let bits = plan.bits;
        let kernel = self.encode_groups[plan.op as usize].function;
        let mut buffer = [0u8; BUFFER];
        if params.group > BUFFER {
            if bits == 8 {
                // SAFETY: this set holds kernels that the CPU supports; `codes` has a byte for each value, `scales` one scale for each group.
                return unsafe { kernel(params, x, codes, scales) };
            }
            let mut whole = vec![0; x.len()];
            // SAFETY: as above.
            let finite = unsafe { kernel(params, x, &mut whole, scales) };
            self.pack(bits, &whole, codes);
            return finite;
        }
        let groups = BUFFER / params.group;
        let part = groups * params.group;
        let scale_bytes = plan.scale_bytes() * groups;
        // A group of the whole run may be no multiple of 8; there is only one part then.
        let part_bytes = (part * bits as usize).div_ceil(8);
        let mut finite = true;
        let parts = x.chunks(part).zip(codes.chunks_mut(part_bytes));
        for ((x, codes), scales) in parts.zip(scales.chunks_mut(scale_bytes)) {
            stage.write(codes, |packed| {
                let codes = if bits == 8 { &mut *packed } else { &mut buffer[..x.len()] };
                // SAFETY: as above.
                finite &= unsafe { kernel(params, x, codes, scales) };
                if bits < 8 {
                    self.pack(bits, &buffer[..x.len()], packed);
                }
            });
        }
        finite
    }

    /// Elements without scales. `None` where there is no kernel.
    fn encode_elements(
        &self,
        format: &Format,
        x: &[f32],
        options: &EncodeOptions,
        bytes: &mut [u8],
    ) -> Option<()> {
        if options.infinity_is_nan || format.storage != Storage::Planar {
            return None;
        }
        let bits = format.element.bits();
        if let Element::Float(float) = format.element
            && (float == Float::F16 || float == Float::BF16)
        {
            if options.rounding != Rounding::NearestEven {
                return None;
            }
            // The kernels overflow to infinity; below the first number that does, the policies agree.
            let overflow = if float == Float::F16 { 65520.0 } else { f32::from_bits(0x7F7F_8000) };
            let agrees = |x: &[f32]| {
                options.overflow == Overflow::Ieee || self.largest_magnitude(x) < overflow
            };
            let mut stage = Stage::new(self, bytes.len(), 2 * BUFFER);
            for (x, bytes) in x.chunks(BUFFER).zip(bytes.chunks_mut(2 * BUFFER)) {
                if !agrees(x) {
                    return None;
                }
                stage.write(bytes, |bytes| {
                    with_halves_mut(bytes, |halves| {
                        if float == Float::F16 {
                            self.f32_to_f16(x, halves);
                        } else {
                            self.f32_to_bf16(x, halves);
                        }
                    });
                });
            }
            return Some(());
        }
        let index = float_index(&format.element)?;
        if options.overflow == Overflow::Ieee {
            return None;
        }
        let (_, float) = FLOATS[index];
        let refuses_nan = float.nan().is_none() && options.nan != NanPolicy::Max;
        let random = match options.rounding {
            Rounding::NearestEven => None,
            Rounding::Stochastic(StochasticBits { count: 32, remainder: Remainder::Drop }) => {
                Some(options.seed)
            }
            _ => return None,
        };
        let mut buffer = [0u8; BUFFER];
        let part_bytes = BUFFER * bits as usize / 8;
        let mut stage = Stage::new(self, bytes.len(), part_bytes);
        for (part, (x, bytes)) in x.chunks(BUFFER).zip(bytes.chunks_mut(part_bytes)).enumerate() {
            if refuses_nan && self.largest_magnitude(x).is_nan() {
                return None;
            }
            stage.write(bytes, |bytes| {
                let codes = if bits == 8 { &mut *bytes } else { &mut buffer[..x.len()] };
                match random {
                    // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
                    None => unsafe { (self.encode[index].function)(x, codes) },
                    Some(seed) => {
                        let first = (part * BUFFER) as u64;
                        // A part does not straddle a multiple of 2^32.
                        let key = RandomKey::new(seed, (first >> 32) as u32);
                        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
                        unsafe { (self.encode_random[index].function)(x, key, first as u32, codes) }
                    }
                }
                if bits < 8 {
                    self.pack(bits, &buffer[..x.len()], bytes);
                }
            });
        }
        Some(())
    }

    /// `QuantizedRef::dequantize` by kernels, with the same result; whether there is a kernel. `out` is left as it was where not.
    ///
    /// # Panics
    /// Where the parts of `quantized` or `out` have not the lengths that its shape says.
    pub fn dequantize(&self, quantized: QuantizedRef<'_>, out: &mut [f32]) -> bool {
        let QuantizedRef { format, rows, columns, codes, scales, super_scales, .. } = quantized;
        assert_eq!(rows.checked_mul(columns), Some(out.len()), "values of the matrix");
        let bits = format.element.bits();
        if out.is_empty() || format.storage != Storage::Planar {
            return false;
        }
        assert_eq!(pack::packed_len(out.len(), bits), Some(codes.len()), "bytes of the codes");
        if format.scale.is_none() {
            return self.decode_elements(&format.element, codes, out);
        }
        let Some(plan) = Plan::new(format) else { return false };
        let Some((group, run)) = plan.runs(rows, columns) else { return false };
        let scale_bytes = plan.scale_bytes();
        let run_scales = run.div_ceil(group) * scale_bytes;
        assert_eq!(scales.len(), out.len() / run * run_scales, "bytes of the scales");
        let decode = super_scales.first().copied().unwrap_or(1.0);
        let nvfp4 = Nvfp4Scales { encode: 1.0, decode };
        let kernel = self.decode_groups[plan.op as usize].function;
        let run_bytes = (run * bits as usize).div_ceil(8);
        let mut buffer = [0u8; BUFFER];
        let mut stage = Stage::new(self, out.len(), BUFFER);
        let runs = codes.chunks(run_bytes).zip(out.chunks_mut(run));
        for ((codes, out), scales) in runs.zip(scales.chunks(run_scales)) {
            // A group longer than the buffer is decoded in parts that repeat its scale.
            let (group, repeats) = if group > BUFFER { (BUFFER, true) } else { (group, false) };
            let params = plan.params(group, nvfp4);
            let groups = BUFFER / group;
            let part = groups * group;
            let part_bytes = (part * bits as usize).div_ceil(8);
            for (index, (codes, out)) in
                codes.chunks(part_bytes).zip(out.chunks_mut(part)).enumerate()
            {
                let first = if repeats { 0 } else { index * groups * scale_bytes };
                let last = (first + groups * scale_bytes).min(scales.len());
                let scales = &scales[first..last];
                let codes = self.codes_of(bits, codes, &mut buffer[..out.len()]);
                // SAFETY: this set holds kernels that the CPU supports; there is a code for each value and a scale for each group.
                stage.write(out, |out| unsafe { kernel(&params, codes, scales, out) });
            }
        }
        true
    }

    /// A byte for each code, in `buffer` if they have not bytes of their own.
    fn codes_of<'a>(&self, bits: u32, bytes: &'a [u8], buffer: &'a mut [u8]) -> &'a [u8] {
        if bits == 8 {
            return bytes;
        }
        self.unpack(bits, bytes, buffer);
        buffer
    }

    fn decode_elements(&self, element: &Element, bytes: &[u8], out: &mut [f32]) -> bool {
        let bits = element.bits();
        if let Element::Float(float) = *element
            && (float == Float::F16 || float == Float::BF16)
        {
            let mut stage = Stage::new(self, out.len(), BUFFER);
            for (bytes, out) in bytes.chunks(2 * BUFFER).zip(out.chunks_mut(BUFFER)) {
                stage.write(out, |out| {
                    with_halves(bytes, |halves| {
                        if float == Float::F16 {
                            self.f16_to_f32(halves, out);
                        } else {
                            self.bf16_to_f32(halves, out);
                        }
                    });
                });
            }
            return true;
        }
        let Some(index) = float_index(element) else { return false };
        let mut buffer = [0u8; BUFFER];
        let part_bytes = BUFFER * bits as usize / 8;
        let mut stage = Stage::new(self, out.len(), BUFFER);
        for (bytes, out) in bytes.chunks(part_bytes).zip(out.chunks_mut(BUFFER)) {
            let codes = self.codes_of(bits, bytes, &mut buffer[..out.len()]);
            // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
            stage.write(out, |out| unsafe { (self.decode[index].function)(codes, out) });
        }
        true
    }
}

/// Calls `write` with the codes that little-endian `bytes` are to become.
fn with_halves_mut(bytes: &mut [u8], write: impl FnOnce(&mut [u16])) {
    // SAFETY: any two bytes are a u16.
    let (head, halves, tail) = unsafe { bytes.align_to_mut() };
    if cfg!(target_endian = "little") && head.is_empty() && tail.is_empty() {
        return write(halves);
    }
    let mut buffer = [0; BUFFER];
    let buffer = &mut buffer[..bytes.len() / 2];
    write(buffer);
    for (code, bytes) in buffer.iter().zip(bytes.as_chunks_mut().0) {
        *bytes = code.to_le_bytes();
    }
}

/// Calls `read` with the codes that little-endian `bytes` hold.
fn with_halves(bytes: &[u8], read: impl FnOnce(&[u16])) {
    // SAFETY: any two bytes are a u16.
    let (head, halves, tail) = unsafe { bytes.align_to() };
    if cfg!(target_endian = "little") && head.is_empty() && tail.is_empty() {
        return read(halves);
    }
    let mut buffer = [0; BUFFER];
    for (code, bytes) in buffer.iter_mut().zip(bytes.as_chunks().0) {
        *code = u16::from_le_bytes(*bytes);
    }
    read(&buffer[..bytes.len() / 2]);
}
