//! Softmax and what is built of its passes.

use std::time::Instant;

use dyadic_kernels::Kernels;
use dyadic_kernels::softmax::{
    Algorithm, EmptyRow, InfiniteRow, Mask, Run, SoftmaxOptions, Source, Target,
};
use dyadic_model::ModelError;
use dyadic_tensor::{
    Causal, Io, SoftmaxRows, TensorError, softmax_axis, softmax_rows, softmax_rows_in_place,
};
use napi::bindgen_prelude::{
    AsyncTask, Float32Array, Float32ArraySlice, Float64ArraySlice, Uint8Array, Uint32Array,
    Uint32ArraySlice,
};
use napi::{Env, Task};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::hub::NativeError;
use crate::machine::machine;
use crate::operands::{Operand, OwnedOperand, io, narrow, output, source};

/// What `code` of a softmax says: bits 0 to 2 the algorithm (0: by length, then as in [`ALGORITHMS`]), 3 the logarithm, 4 and 5 what empty rows
/// become (zeros, NaN, uniform), 6 whether infinite elements share a row.
fn softmax_options(code: u32) -> SoftmaxOptions<'static> {
    SoftmaxOptions {
        algorithm: ALGORITHMS.get((code as usize & 7).wrapping_sub(1)).copied(),
        empty_row: match code >> 4 & 3 {
            0 => EmptyRow::Zeros,
            1 => EmptyRow::Nan,
            _ => EmptyRow::Uniform,
        },
        infinite_row: if code >> 6 & 1 == 0 { InfiniteRow::Nan } else { InfiniteRow::OneHot },
        ..SoftmaxOptions::default()
    }
}

/// In the order of their numbers.
const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::TwoPass, Algorithm::Recompute, Algorithm::Reload, Algorithm::Online];

/// The rows of a plain softmax.
fn plain_rows(row_len: u32, code: u32) -> SoftmaxRows<'static> {
    SoftmaxRows {
        row_len: row_len as usize,
        options: softmax_options(code),
        mask: Mask::None,
        lengths: None,
        causal: None,
        logarithm: code >> 3 & 1 == 1,
    }
}

/// Softmax of each of the rows that lie behind one another.
fn softmax_of(
    rows: &SoftmaxRows<'_>,
    inner: usize,
    threads: u32,
    io: Io<'_>,
) -> std::result::Result<(), ModelError> {
    let (kernels, pool) = machine(threads)?;
    let plane = rows.row_len.saturating_mul(inner).max(1);
    let rest = io.len() % plane;
    if rest != 0 {
        let what = "rows, the last of them";
        return Err(TensorError::Length { what, expected: 0, actual: rest }.into());
    }
    let copy;
    let (source, target) = match io {
        Io::InPlace(x) if inner == 1 => {
            softmax_rows_in_place(kernels, pool, rows, x);
            return Ok(());
        }
        Io::InPlace(x) => {
            copy = x.to_vec();
            (Source::F32(&copy), Target::F32(x))
        }
        Io::Apart(x, out) => (Source::F32(x), Target::F32(out)),
        Io::Converted(source, target) => (source, target),
    };
    if source.len() != target.len() {
        let (expected, actual) = (source.len(), target.len());
        return Err(TensorError::Length { what: "output", expected, actual }.into());
    }
    if inner == 1 {
        softmax_rows(kernels, pool, rows, source, target);
    } else {
        softmax_axis(kernels, pool, rows, inner, source, target);
    }
    Ok(())
}

/// Softmax of each of the rows, without further options.
#[napi(js_name = "softmaxRows")]
pub fn softmax_rows_of(
    x: Operand<'_>,
    out: Operand<'_>,
    row_len: u32,
    code: u32,
    threads: u32,
) -> Result<()> {
    guard(|| softmax_of(&plain_rows(row_len, code), 1, threads, io(&x, &out)?))
}

/// All that may be asked of softmax.
#[napi(object, object_to_js = false)]
pub struct NativeSoftmax {
    /// Elements of the axis.
    pub row_length: u32,
    /// Elements between neighbours of the axis.
    pub inner: u32,
    /// See `softmax_options`.
    pub code: u32,
    /// 0: all.
    pub threads: u32,
    /// What elements are multiplied by.
    pub scale: f64,
    /// They become `cap * tanh(x / cap)`.
    pub soft_cap: Option<f64>,
    /// A logit that takes part in the denominator only.
    pub sink: Option<f64>,
    /// Added to the elements: of one row or of all.
    pub additive: Option<Float32Array>,
    /// 0 hides an element: of one row or of all.
    pub keep: Option<Uint8Array>,
    /// Elements that count in each row.
    pub lengths: Option<Uint32Array>,
    /// Queries of a causal mask, and the keys before the first.
    pub queries: Option<u32>,
    /// See `queries`.
    pub causal_offset: Option<u32>,
}

impl NativeSoftmax {
    fn compute(&self, io: Io<'_>) -> std::result::Result<(), ModelError> {
        let mask = match (&self.additive, &self.keep) {
            (Some(mask), _) => Mask::Additive(mask),
            (None, Some(mask)) => Mask::Keep(mask),
            (None, None) => Mask::None,
        };
        let row_len = self.row_length as usize;
        let (mask_len, all) = match mask {
            Mask::None => (row_len, row_len),
            Mask::Additive(mask) => (mask.len(), io.len()),
            Mask::Keep(mask) => (mask.len(), io.len()),
        };
        if mask_len != row_len && mask_len != all {
            return Err(
                TensorError::Length { what: "mask", expected: all, actual: mask_len }.into()
            );
        }
        let lengths: Option<Vec<usize>> =
            self.lengths.as_ref().map(|lengths| lengths.iter().map(|&len| len as usize).collect());
        if let Some(lengths) = &lengths {
            let (expected, actual) = (io.len() / row_len.max(1), lengths.len());
            if expected != actual {
                return Err(TensorError::Length { what: "row lengths", expected, actual }.into());
            }
        }
        let rows = SoftmaxRows {
            options: SoftmaxOptions {
                scale: narrow(self.scale),
                soft_cap: self.soft_cap.map(narrow),
                sink: self.sink.map(narrow),
                ..softmax_options(self.code)
            },
            mask,
            lengths: lengths.as_deref(),
            causal: self.queries.map(|queries| Causal {
                queries: queries.max(1) as usize,
                offset: self.causal_offset.unwrap_or(0) as usize,
            }),
            ..plain_rows(self.row_length, self.code)
        };
        softmax_of(&rows, self.inner.max(1) as usize, self.threads, io)
    }
}

/// Softmax along an axis, with options.
#[napi]
pub fn softmax_axis_of(x: Operand<'_>, out: Operand<'_>, options: NativeSoftmax) -> Result<()> {
    guard(|| options.compute(io(&x, &out)?))
}

/// A softmax on a thread of its own. The arrays are referenced until it has ended, and TypeScript lets nobody else use them.
pub struct SoftmaxTask {
    x: OwnedOperand,
    out: OwnedOperand,
    options: NativeSoftmax,
}

impl Task for SoftmaxTask {
    type Output = Option<NativeError>;
    type JsValue = Option<NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(NativeError::of(guard(|| self.options.compute(io(&self.x, &self.out)?))))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(output)
    }
}

/// As `softmaxAxisOf`, on another thread; fulfilled with what went wrong, or null.
#[napi(ts_return_type = "Promise<NativeError | null>")]
pub fn softmax_async(
    x: OwnedOperand,
    out: OwnedOperand,
    options: NativeSoftmax,
) -> AsyncTask<SoftmaxTask> {
    AsyncTask::new(SoftmaxTask { x, out, options })
}

/// The best time in seconds of some calls of softmax on one row, with the kernels of an instruction set.
#[napi]
pub fn time_softmax(
    x: &[f32],
    out: Float32ArraySlice<'_>,
    code: u32,
    isa: String,
    threads: u32,
    calls: u32,
) -> Result<f64> {
    guard(|| {
        let out = output(&out, &[x])?;
        let (_, pool) = machine(threads)?;
        let kernels = Kernels::for_isa(isa.parse()?)?;
        let rows = plain_rows(u32::try_from(x.len()).unwrap_or(u32::MAX), code);
        let mut best = f64::INFINITY;
        for _ in 0..calls {
            let start = Instant::now();
            softmax_rows(kernels, pool, &rows, Source::F32(x), Target::F32(out));
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    })
}

/// `ln(sum e^x)` of each row.
#[napi]
pub fn log_sum_exp(x: Operand<'_>, row_len: u32, mut out: Float64ArraySlice<'_>) -> Result<()> {
    guard(|| {
        let (x, row_len) = (source(&x)?, row_len as usize);
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, (pool, threads)) = machine(0)?;
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        let options = SoftmaxOptions::default();
        let expected = out.len() * row_len;
        if x.len() != expected {
            return Err(TensorError::Length { what: "rows", expected, actual: x.len() }.into());
        }
        for (row, out) in out.iter_mut().enumerate() {
            *out = kernels.log_sum_exp(x.slice(row * row_len..(row + 1) * row_len), &options, run);
        }
        Ok(())
    })
}

/// `-ln softmax(row)[target]` of each row.
#[napi]
pub fn cross_entropy(
    logits: Operand<'_>,
    targets: &[u32],
    mut out: Float64ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let logits = source(&logits)?;
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, (pool, threads)) = machine(0)?;
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        let row_len = logits.len() / targets.len().max(1);
        for (row, (out, &target)) in out.iter_mut().zip(targets).enumerate() {
            if target as usize >= row_len {
                return Err(TensorError::Row { row: target as usize, rows: row_len }.into());
            }
            let row = logits.slice(row * row_len..(row + 1) * row_len);
            *out = kernels.cross_entropy(row, target as usize, run);
        }
        Ok(())
    })
}

/// The indices of the largest elements, as many as `out` holds.
#[napi]
pub fn top_k(x: &[f32], mut out: Uint32ArraySlice<'_>) -> Result<()> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, _) = machine(1)?;
        let best = kernels.top_k(x, out.len());
        for (out, index) in out.iter_mut().zip(best) {
            *out = u32::try_from(index).unwrap_or(u32::MAX);
        }
        Ok(())
    })
}
