//! Operations over arrays: softmax, functions, norms, attention. Small calls take few microseconds, so numbers and typed arrays are passed, and
//! no names; `ts/ops` has the tables of the numbers.

use std::time::Instant;

use dyadic_formats::lmul::{LMul, LMulVariant};
use dyadic_kernels::Kernels;
use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::bessel::VonMisesFisher;
use dyadic_kernels::rope::{RopePairing, RopeScaling, RopeTable};
use dyadic_kernels::softmax::{
    Algorithm, EmptyRow, InfiniteRow, Mask, Run, SoftmaxOptions, Source, Target,
};
use dyadic_model::ModelError;
use dyadic_tensor::{
    AttentionRows, Causal, Io, KvPrecision, Norm, SoftmaxRows, TensorError, softmax_axis,
    softmax_rows, softmax_rows_in_place,
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

/// Input and output of a call, which JavaScript may have passed as one array.
fn io<'a>(
    x: &Float32ArraySlice<'a>,
    out: &Float32ArraySlice<'a>,
) -> std::result::Result<Io<'a>, TensorError> {
    let (x, out) = (x.as_ptr_range(), out.as_ptr_range());
    // SAFETY: both pointers are of one allocation where they overlap, and of their own otherwise; lengths are those of the arrays.
    let length = |range: &std::ops::Range<*const f32>| unsafe {
        range.end.offset_from_unsigned(range.start)
    };
    let (x_len, out_len) = (length(&x), length(&out));
    if x_len == out_len && x.start == out.start {
        // SAFETY: the array lives as long as the call, and `x`, the same memory, is not looked at.
        return Ok(Io::InPlace(unsafe {
            std::slice::from_raw_parts_mut(out.start.cast_mut(), out_len)
        }));
    }
    if x.start < out.end && out.start < x.end {
        return Err(TensorError::Overlap);
    }
    // SAFETY: both arrays live as long as the call, and share no element.
    unsafe {
        Ok(Io::Apart(
            std::slice::from_raw_parts(x.start, x_len),
            std::slice::from_raw_parts_mut(out.start.cast_mut(), out_len),
        ))
    }
}

/// An array to write, which must share no element with those that are read meanwhile.
pub(crate) fn output<'a>(
    out: &Float32ArraySlice<'a>,
    inputs: &[&[f32]],
) -> std::result::Result<&'a mut [f32], TensorError> {
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
    let (x, out) = match io {
        Io::InPlace(x) if inner == 1 => {
            softmax_rows_in_place(kernels, pool, rows, x);
            return Ok(());
        }
        Io::InPlace(x) => {
            let copy = x.to_vec();
            softmax_axis(kernels, pool, rows, inner, &copy, x);
            return Ok(());
        }
        Io::Apart(x, out) => (x, out),
    };
    if x.len() != out.len() {
        let (expected, actual) = (x.len(), out.len());
        return Err(TensorError::Length { what: "output", expected, actual }.into());
    }
    if inner == 1 {
        softmax_rows(kernels, pool, rows, Source::F32(x), Target::F32(out));
    } else {
        softmax_axis(kernels, pool, rows, inner, x, out);
    }
    Ok(())
}

/// Softmax of each of the rows, without further options.
#[napi(js_name = "softmaxRows")]
pub fn softmax_rows_of(
    x: Float32ArraySlice<'_>,
    out: Float32ArraySlice<'_>,
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

#[expect(clippy::cast_possible_truncation, reason = "options are f32 below")]
fn narrow(x: f64) -> f32 {
    x as f32
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
pub fn softmax_axis_of(
    x: Float32ArraySlice<'_>,
    out: Float32ArraySlice<'_>,
    options: NativeSoftmax,
) -> Result<()> {
    guard(|| options.compute(io(&x, &out)?))
}

/// A softmax on a thread of its own. The arrays are referenced until it has ended.
pub struct SoftmaxTask {
    x: Float32Array,
    out: Float32Array,
    options: NativeSoftmax,
}

impl Task for SoftmaxTask {
    type Output = Option<NativeError>;
    type JsValue = Option<NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let (x, options) = (self.x.as_ref(), &self.options);
        let same = std::ptr::eq(x.as_ptr(), self.out.as_ref().as_ptr());
        // SAFETY: TypeScript lets nobody else use the arrays until the promise is settled, and has checked that they are one or apart.
        let io = unsafe {
            let (start, len) = (x.as_ptr(), x.len());
            let out = self.out.as_mut();
            if same {
                Io::InPlace(out)
            } else {
                Io::Apart(std::slice::from_raw_parts(start, len), out)
            }
        };
        Ok(NativeError::of(guard(|| options.compute(io))))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(output)
    }
}

/// As `softmaxAxisOf`, on another thread; fulfilled with what went wrong, or null.
#[napi(ts_return_type = "Promise<NativeError | null>")]
pub fn softmax_async(
    x: Float32Array,
    out: Float32Array,
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
pub fn log_sum_exp(x: &[f32], row_len: u32, mut out: Float64ArraySlice<'_>) -> Result<()> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, (pool, threads)) = machine(0)?;
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        let options = SoftmaxOptions::default();
        for (out, row) in out.iter_mut().zip(x.chunks_exact(row_len.max(1) as usize)) {
            *out = kernels.log_sum_exp(Source::F32(row), &options, run);
        }
        Ok(())
    })
}

/// `-ln softmax(row)[target]` of each row.
#[napi]
pub fn cross_entropy(
    logits: &[f32],
    targets: &[u32],
    mut out: Float64ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, (pool, threads)) = machine(0)?;
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        let row_len = logits.len() / targets.len().max(1);
        let rows = logits.chunks_exact(row_len.max(1)).zip(targets);
        for (out, (row, &target)) in out.iter_mut().zip(rows) {
            if target as usize >= row.len() {
                return Err(TensorError::Row { row: target as usize, rows: row.len() }.into());
            }
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

/// Function `code % 13` of [`Function::ALL`], in class `code / 13` of [`Accuracy::ALL`].
#[napi]
pub fn apply_function(
    code: u32,
    x: Float32ArraySlice<'_>,
    out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        let code = code as usize;
        let function = Function::ALL[code % Function::ALL.len()];
        let accuracy = Accuracy::ALL[code / Function::ALL.len() % Accuracy::ALL.len()];
        dyadic_tensor::apply(kernels, pool, (function, accuracy), io(&x, &out)?)?;
        Ok(())
    })
}

fn normalize(
    norm: Norm<'_>,
    eps: f64,
    x: &Float32ArraySlice<'_>,
    out: &Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        dyadic_tensor::normalize(kernels, pool, norm, narrow(eps), io(x, out)?)?;
        Ok(())
    })
}

/// Layer normalisation of each row.
#[napi]
pub fn layer_norm(
    x: Float32ArraySlice<'_>,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
    out: Float32ArraySlice<'_>,
) -> Result<()> {
    normalize(Norm::Layer { weight, bias }, eps, &x, &out)
}

/// Root mean square normalisation of each row.
#[napi]
pub fn rms_norm(
    x: Float32ArraySlice<'_>,
    weight: &[f32],
    eps: f64,
    out: Float32ArraySlice<'_>,
) -> Result<()> {
    normalize(Norm::Rms { weight }, eps, &x, &out)
}

/// Each row divided by its length.
#[napi]
pub fn l2_norm(
    x: Float32ArraySlice<'_>,
    row_len: u32,
    eps: f64,
    out: Float32ArraySlice<'_>,
) -> Result<()> {
    normalize(Norm::L2 { row_len: row_len as usize }, eps, &x, &out)
}

/// `residual += delta`, `out = rmsNorm(residual)`.
#[napi]
pub fn add_rms_norm(
    residual: Float32ArraySlice<'_>,
    delta: &[f32],
    weight: &[f32],
    eps: f64,
    out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let residual = output(&residual, &[delta, weight])?;
        let out = output(&out, &[residual, delta, weight])?;
        let (kernels, pool) = machine(0)?;
        let norm = (weight, narrow(eps));
        dyadic_tensor::add_rms_norm(kernels, pool, residual, delta, norm, out)?;
        Ok(())
    })
}

/// Turns the heads of `x`, `[positions][heads][headDim]`, in place.
#[napi]
pub fn rope(
    x: Float32ArraySlice<'_>,
    positions: &[u32],
    head_dim: u32,
    rotary_dim: u32,
    base: f64,
    factor: f64,
    interleaved: bool,
) -> Result<()> {
    guard(|| {
        let x = output(&x, &[])?;
        let (kernels, pool) = machine(0)?;
        let scaling =
            if factor == 1.0 { RopeScaling::None } else { RopeScaling::Linear { factor } };
        let table = RopeTable::new(rotary_dim as usize, base, scaling, None)?;
        let pairing = if interleaved { RopePairing::Interleaved } else { RopePairing::Halves };
        dyadic_tensor::rope(kernels, pool, &table, pairing, positions, head_dim as usize, x)?;
        Ok(())
    })
}

/// See `AttentionRows` of the crate `dyadic-tensor`.
#[napi(object, object_to_js = false)]
pub struct NativeAttention {
    /// Query heads.
    pub heads: u32,
    /// Key-value heads.
    pub kv_heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// What scores are multiplied by.
    pub scale: f64,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f64>,
    /// A logit of each query head for the denominator.
    pub sinks: Option<Float32Array>,
    /// Keys before the first query; absent: every query sees every key.
    pub causal_offset: Option<u32>,
    /// Only so many last keys.
    pub window: Option<u32>,
    /// 0: f32, 1: f16, 2: 8-bit integers.
    pub precision: u32,
    /// L-Mul with so many mantissa bits.
    pub mantissa_bits: Option<u32>,
    /// Its formula as the paper has it.
    pub linear: Option<bool>,
}

/// L-Mul with 1 to 23 bits.
fn l_mul(mantissa_bits: u32, linear: bool) -> LMul {
    let variant = if linear { LMulVariant::Linear } else { LMulVariant::Carry };
    LMul::new(u8::try_from(mantissa_bits.clamp(1, 23)).unwrap_or(23), variant)
}

/// Attention of `q` `[queries][heads][headDim]` over `k` and `v` `[keys][kvHeads][headDim]`.
#[napi]
pub fn attention(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: Float32ArraySlice<'_>,
    options: NativeAttention,
) -> Result<()> {
    guard(|| {
        let out = output(&out, &[q, k, v])?;
        let (kernels, pool) = machine(0)?;
        let rows = AttentionRows {
            heads: options.heads as usize,
            kv_heads: options.kv_heads as usize,
            head_dim: options.head_dim as usize,
            scale: narrow(options.scale),
            soft_cap: options.soft_cap.map(narrow),
            sinks: options.sinks.as_deref().unwrap_or_default(),
            causal_offset: options.causal_offset.map(|offset| offset as usize),
            window: options.window.map(|window| window as usize),
            precision: match options.precision {
                0 => KvPrecision::F32,
                1 => KvPrecision::F16,
                _ => KvPrecision::I8,
            },
            l_mul: options.mantissa_bits.map(|bits| l_mul(bits, options.linear == Some(true))),
        };
        dyadic_tensor::attention(kernels, pool, &rows, (q, k, v), out)?;
        Ok(())
    })
}

/// The sum of the L-Mul products, in order.
#[napi]
pub fn l_mul_dot(a: &[f32], b: &[f32], mantissa_bits: u32, linear: bool) -> Result<f64> {
    guard(|| {
        if a.len() != b.len() {
            let (expected, actual) = (a.len(), b.len());
            return Err(TensorError::Length { what: "second factor", expected, actual }.into());
        }
        Ok(f64::from(l_mul(mantissa_bits, linear).dot(a, b)))
    })
}

/// `ln I_v(x)`, or `ln K_v(x)`, of each pair.
#[napi]
pub fn log_bessel(
    second: bool,
    v: &[f64],
    x: &[f64],
    mut out: Float64ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let (kernels, _) = machine(1)?;
        for (what, actual) in [("arguments", x.len()), ("output", out.len())] {
            if actual != v.len() {
                return Err(TensorError::Length { what, expected: v.len(), actual }.into());
            }
        }
        if second {
            kernels.log_bessel_k(v, x, out);
        } else {
            kernels.log_bessel_i(v, x, out);
        }
        Ok(())
    })
}

/// Fits a von Mises-Fisher distribution; writes its mean, returns its concentration.
#[napi]
pub fn fit_von_mises_fisher(samples: &[f32], mut mean: Float64ArraySlice<'_>) -> Result<f64> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let mean = unsafe { mean.as_mut() };
        let fit = VonMisesFisher::fit(samples, mean.len())?;
        mean.copy_from_slice(&fit.mean);
        Ok(fit.kappa)
    })
}

/// The logarithm of the density of a von Mises-Fisher distribution at each direction of `x`.
#[napi]
pub fn von_mises_fisher_log_density(
    mean: &[f64],
    kappa: f64,
    x: &[f32],
    mut out: Float64ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        // SAFETY: TypeScript has just allocated the array and shown it to nobody else.
        let out = unsafe { out.as_mut() };
        let distribution = VonMisesFisher { mean: mean.to_vec(), kappa };
        for (out, x) in out.iter_mut().zip(x.chunks_exact(mean.len().max(1))) {
            *out = distribution.log_density(x);
        }
        Ok(())
    })
}
