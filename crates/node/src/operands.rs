//! Arrays and tensors of numbers that operations read and write.

use dyadic_kernels::softmax::{Source, Target};
use dyadic_tensor::{Io, TensorError};
use napi::bindgen_prelude::{Either, Float32Array, Float32ArraySlice, Uint8Array};
use napi_derive::napi;

/// Numbers of another type than f32, which `ts/ops/arrays.ts` has in the memory of a tensor.
#[napi(object, object_to_js = false)]
pub struct NativeElements {
    /// Their bytes.
    pub bytes: Uint8Array,
    /// 0: f32, 1: f16, 2: bf16, 3: signed or, as results, unsigned integers of 8 bits.
    pub kind: u32,
    /// What integers are multiplied by.
    pub scale: f64,
}

/// What operations read and write.
pub type Operand<'a> = Either<Float32ArraySlice<'a>, NativeElements>;

/// The same, referenced until an asynchronous call has ended.
pub type OwnedOperand = Either<Float32Array, NativeElements>;

/// The elements of one type that some bytes are.
///
/// # Safety
/// `T` is an integer or float. The bytes live for `'a`, and nobody writes to them meanwhile.
unsafe fn elements<'a, T>(bytes: &[u8]) -> Result<&'a [T], TensorError> {
    let what = "bytes of whole elements, or aligned ones; those beyond";
    // SAFETY: every bit pattern is a `T`.
    let (before, elements, after) = unsafe { bytes.align_to::<T>() };
    if !before.is_empty() || !after.is_empty() {
        return Err(TensorError::Length { what, expected: 0, actual: before.len() + after.len() });
    }
    // SAFETY: as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(elements.as_ptr(), elements.len()) })
}

/// As [`elements`], to write.
///
/// # Safety
/// As for [`elements`], and nobody else reads them meanwhile.
unsafe fn elements_mut<'a, T>(bytes: &[u8]) -> Result<&'a mut [T], TensorError> {
    // SAFETY: as the caller says.
    let elements = unsafe { elements::<T>(bytes)? };
    // SAFETY: JavaScript's memory may be written to, and as the caller says nobody else uses it.
    Ok(unsafe { std::slice::from_raw_parts_mut(elements.as_ptr().cast_mut(), elements.len()) })
}

/// Options are f32 below.
#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
pub(crate) fn narrow(x: f64) -> f32 {
    x as f32
}

impl NativeElements {
    /// As what is read.
    ///
    /// # Errors
    /// Where the bytes are no whole elements.
    pub fn source(&self) -> Result<Source<'_>, TensorError> {
        let bytes = self.bytes.as_ref();
        // SAFETY: TypeScript passes memory that nobody writes to during the call.
        unsafe {
            Ok(match self.kind {
                0 => Source::F32(elements(bytes)?),
                1 => Source::F16(elements(bytes)?),
                2 => Source::Bf16(elements(bytes)?),
                _ => Source::I8(elements(bytes)?, narrow(self.scale)),
            })
        }
    }

    /// As what is written.
    fn target(&self) -> Result<Target<'_>, TensorError> {
        let bytes = self.bytes.as_ref();
        // SAFETY: TypeScript has just allocated the memory and shown it to nobody else.
        unsafe {
            Ok(match self.kind {
                0 => Target::F32(elements_mut(bytes)?),
                1 => Target::F16(elements_mut(bytes)?),
                2 => Target::Bf16(elements_mut(bytes)?),
                _ => Target::U8(elements_mut(bytes)?),
            })
        }
    }
}

/// As what is read.
///
/// # Errors
/// Where bytes are no whole elements.
pub fn source<A: AsRef<[f32]>>(x: &Either<A, NativeElements>) -> Result<Source<'_>, TensorError> {
    match x {
        Either::A(x) => Ok(Source::F32(x.as_ref())),
        Either::B(x) => x.source(),
    }
}

/// Input and output of a call, which JavaScript may have passed as one array.
///
/// # Errors
/// Where they share some elements, but not all, or bytes are no whole elements.
pub fn io<'a, A: AsRef<[f32]>>(
    x: &'a Either<A, NativeElements>,
    out: &'a Either<A, NativeElements>,
) -> Result<Io<'a>, TensorError> {
    let (x, out) = match (x, out) {
        (Either::A(x), Either::A(out)) => (x.as_ref(), out.as_ref()),
        // What is written of another type has just been allocated.
        (x, Either::B(out)) => return Ok(Io::Converted(source(x)?, out.target()?)),
        (Either::B(x), Either::A(out)) => {
            let out = out.as_ref();
            // SAFETY: the array lives as long as the call, nobody else uses it, and the memory of a tensor is no part of it.
            let out = unsafe { std::slice::from_raw_parts_mut(out.as_ptr().cast_mut(), out.len()) };
            return Ok(Io::Converted(x.source()?, Target::F32(out)));
        }
    };
    let (range, out_range) = (x.as_ptr_range(), out.as_ptr_range());
    let (start, len) = (out_range.start.cast_mut(), out.len());
    if range == out_range {
        // SAFETY: the array lives as long as the call, and `x`, the same memory, is not looked at.
        return Ok(Io::InPlace(unsafe { std::slice::from_raw_parts_mut(start, len) }));
    }
    if range.start < out_range.end && out_range.start < range.end {
        return Err(TensorError::Overlap);
    }
    // SAFETY: both arrays live as long as the call, and share no element.
    Ok(Io::Apart(x, unsafe { std::slice::from_raw_parts_mut(start, len) }))
}

/// An array to write, which must share no element with those that are read meanwhile.
pub(crate) fn output<'a>(
    out: &Float32ArraySlice<'a>,
    inputs: &[&[f32]],
) -> Result<&'a mut [f32], TensorError> {
    let range = out.as_ptr_range();
    for input in inputs.iter().map(|input| input.as_ptr_range()) {
        if input.start < range.end && range.start < input.end {
            return Err(TensorError::Overlap);
        }
    }
    let len = out.len();
    // SAFETY: the array lives as long as the call, and no other reference to its elements is used.
    Ok(unsafe { std::slice::from_raw_parts_mut(range.start.cast_mut(), len) })
}
