//! Tensors: JavaScript owns the memory of every part, and lends it for the time of a call.

use dyadic_formats::pack::{self, Selection};
use dyadic_formats::{FormatError, Quantized, QuantizedRef};
use dyadic_model::ModelError;
use napi::Env;
use napi::bindgen_prelude::{Float32ArraySlice, Float64ArraySlice, Uint8ArraySlice};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::format::{NativeEncodeOptions, NativeFormat};
use crate::machine::machine;

/// The parts of a tensor, which usually lie in one `SharedArrayBuffer`. Parts that its format does not have are empty.
///
/// Another thread may write to shared memory meanwhile. Every bit pattern of a part decodes to some number or is an error, and no length or index is read
/// from a part, so what such a race changes is numbers, as it would be in JavaScript.
#[napi(object, object_to_js = false)]
pub struct NativeTensor<'a> {
    /// A matrix: all axes but the last.
    pub rows: u32,
    /// The last axis, along which groups lie.
    pub columns: u32,
    /// Packed codes, or records.
    pub codes: Uint8ArraySlice<'a>,
    /// Packed scales.
    pub scales: Uint8ArraySlice<'a>,
    /// Packed zero points or minimums.
    pub zeros: Uint8ArraySlice<'a>,
    /// Packed selectors of code books.
    pub selectors: Uint8ArraySlice<'a>,
    /// Super-scales.
    pub super_scales: Float32ArraySlice<'a>,
}

impl NativeTensor<'_> {
    /// The tensor as the crates below take it, checked: every part has the length that format and shape say.
    ///
    /// # Errors
    /// `ERR_SHAPE` names the part and both lengths.
    pub fn quantized<'a>(
        &'a self,
        format: &'a NativeFormat,
    ) -> std::result::Result<QuantizedRef<'a>, FormatError> {
        let tensor = QuantizedRef {
            format: format.format(),
            rows: self.rows as usize,
            columns: self.columns as usize,
            codes: &self.codes,
            scales: &self.scales,
            zeros: &self.zeros,
            selectors: &self.selectors,
            super_scales: &self.super_scales,
        };
        tensor.check()?;
        Ok(tensor)
    }

    fn shape(&self) -> (usize, usize) {
        (self.rows as usize, self.columns as usize)
    }

    /// Writes what was made, which may be no longer or shorter than the parts are.
    fn fill(&mut self, made: &Quantized) -> std::result::Result<(), ModelError> {
        // SAFETY: the slices are parts of buffers that TypeScript has just allocated and shown to nobody else.
        let parts = unsafe {
            [
                (self.codes.as_mut(), &made.codes),
                (self.scales.as_mut(), &made.scales),
                (self.zeros.as_mut(), &made.zeros),
                (self.selectors.as_mut(), &made.selectors),
            ]
        };
        for (target, source) in parts {
            copy("bytes of a part", target, source)?;
        }
        // SAFETY: as above.
        copy("super-scales", unsafe { self.super_scales.as_mut() }, &made.super_scales)
    }
}

fn copy<T: Copy>(
    what: &'static str,
    target: &mut [T],
    source: &[T],
) -> std::result::Result<(), ModelError> {
    if target.len() != source.len() {
        let (expected, actual) = (source.len(), target.len());
        return Err(FormatError::Length { what, expected, actual }.into());
    }
    target.copy_from_slice(source);
    Ok(())
}

/// Tells the garbage collector of memory that it does not count, or, below 0, that such memory is gone: that of `SharedArrayBuffer`s, which it would
/// otherwise let grow by gigabytes.
#[napi]
pub fn adjust_external_memory(env: Env, bytes: i64) -> napi::Result<()> {
    env.adjust_external_memory(bytes).map(drop)
}

/// Rounds a matrix into a format.
#[napi]
pub fn quantize(
    format: &NativeFormat,
    values: &[f32],
    options: NativeEncodeOptions,
    mut out: NativeTensor<'_>,
) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        let options = options.read()?;
        let shape = out.shape();
        let made =
            dyadic_tensor::quantize(kernels, pool, format.format(), values, shape, &options)?;
        out.fill(&made)
    })
}

/// As `quantize`, of f64: without scales straight into the format.
#[napi]
pub fn quantize_f64(
    format: &NativeFormat,
    values: &[f64],
    options: NativeEncodeOptions,
    mut out: NativeTensor<'_>,
) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        let options = options.read()?;
        let shape = out.shape();
        let made =
            dyadic_tensor::quantize_f64(kernels, pool, format.format(), values, shape, &options)?;
        out.fill(&made)
    })
}

/// Decodes a whole tensor.
#[napi]
pub fn dequantize(
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    mut out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
        let out = unsafe { out.as_mut() };
        dyadic_tensor::dequantize(kernels, pool, tensor.quantized(format)?, out)?;
        Ok(())
    })
}

/// Decodes a whole tensor into f64: exact for elements without scales.
#[napi]
pub fn dequantize_f64(
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    mut out: Float64ArraySlice<'_>,
) -> Result<()> {
    // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
    guard(|| Ok(tensor.quantized(format)?.dequantize_f64(unsafe { out.as_mut() })?))
}

/// Decodes one element.
#[napi]
pub fn tensor_value(format: &NativeFormat, tensor: NativeTensor<'_>, index: u32) -> Result<f64> {
    guard(|| {
        let tensor = tensor.quantized(format)?;
        let elements = tensor.rows * tensor.columns;
        if index as usize >= elements {
            let (what, actual) = ("elements of the tensor, more than", index as usize);
            return Err(FormatError::Length { what, expected: elements, actual }.into());
        }
        Ok(tensor.value(index as usize)?)
    })
}

/// The scales of all groups with their super-scales, as decoding uses them.
#[napi]
pub fn scale_values(
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    mut out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let tensor = tensor.quantized(format)?;
        let reader = tensor.reader();
        let scales: Vec<f32> = (0..reader.groups().count()).map(|i| reader.scale(i)).collect();
        // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
        copy("scales", unsafe { out.as_mut() }, &scales)
    })
}

/// The zero points or minimums of all groups.
#[napi]
pub fn zero_values(
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    mut out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let tensor = tensor.quantized(format)?;
        let reader = tensor.reader();
        let zeros: Vec<f32> = (0..reader.groups().count()).map(|i| reader.zero(i)).collect();
        // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
        copy("zero points", unsafe { out.as_mut() }, &zeros)
    })
}

/// The tensor with integer codes of fewer bits, each derived from the stored one alone; `out` has the format `lower` and the same shape.
#[napi]
pub fn lower_precision(
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    bits: u8,
    mut out: NativeTensor<'_>,
) -> Result<()> {
    guard(|| {
        let made = tensor.quantized(format)?.lower_precision(bits)?;
        out.fill(&made)
    })
}

/// The format of `lower_precision`.
#[napi]
pub fn lower_precision_format(format: &NativeFormat, bits: u8) -> Result<String> {
    guard(|| Ok(format.format().lower_precision(bits)?.to_string()))
}

/// Copies packed codes: element (i₀, i₁, …) of `shape` is that at `offset` + Σ iₖ × `strides[k]` of `source`.
#[napi]
pub fn select_codes(
    source: &[u8],
    bits: u8,
    offset: f64,
    shape: &[f64],
    strides: &[f64],
    mut target: Uint8ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "TypeScript passes whole numbers below 2^53; as others these are bounded by the lengths of the buffers"
        )]
        let index = |number: f64| number as usize;
        let [shape, strides] =
            [shape, strides].map(|list| list.iter().copied().map(index).collect::<Vec<_>>());
        let selection = Selection { offset: index(offset), shape: &shape, strides: &strides };
        // SAFETY: TypeScript passes a buffer that nobody else uses during the call.
        let target = unsafe { target.as_mut() };
        Ok(pack::select(source, u32::from(bits.clamp(1, 32)), &selection, target)?)
    })
}

/// Checks what came from another thread or a file: `ERR_SHAPE` where a part has another length than format and shape say.
#[napi]
pub fn check_tensor(format: &NativeFormat, tensor: NativeTensor<'_>) -> Result<()> {
    guard(|| Ok(tensor.quantized(format).map(|_| ())?))
}
