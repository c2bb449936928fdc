//! Operations over arrays: functions, norms, attention. Small calls take few microseconds, so numbers and typed arrays are passed, and no names;
//! `ts/ops` has the tables of the numbers.

use dyadic_formats::lmul::{LMul, LMulVariant};
use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::bessel::VonMisesFisher;
use dyadic_kernels::rope::{RopePairing, RopeScaling, RopeTable};
use dyadic_tensor::{AttentionRows, KvPrecision, Norm, TensorError};
use napi::bindgen_prelude::{Float32Array, Float32ArraySlice, Float64ArraySlice};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::machine::machine;
use crate::operands::{Operand, io, narrow, output};

/// Function `code % 13` of [`Function::ALL`], in class `code / 13` of [`Accuracy::ALL`].
#[napi]
pub fn apply_function(code: u32, x: Operand<'_>, out: Operand<'_>) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        let code = code as usize;
        let function = Function::ALL[code % Function::ALL.len()];
        let accuracy = Accuracy::ALL[code / Function::ALL.len() % Accuracy::ALL.len()];
        dyadic_tensor::apply(kernels, pool, (function, accuracy), io(&x, &out)?)?;
        Ok(())
    })
}

fn normalize(norm: Norm<'_>, eps: f64, x: &Operand<'_>, out: &Operand<'_>) -> Result<()> {
    guard(|| {
        let (kernels, pool) = machine(0)?;
        dyadic_tensor::normalize(kernels, pool, norm, narrow(eps), io(x, out)?)?;
        Ok(())
    })
}

/// Layer normalisation of each row.
#[napi]
pub fn layer_norm(
    x: Operand<'_>,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
    out: Operand<'_>,
) -> Result<()> {
    normalize(Norm::Layer { weight, bias }, eps, &x, &out)
}

/// Root mean square normalisation of each row.
#[napi]
pub fn rms_norm(x: Operand<'_>, weight: &[f32], eps: f64, out: Operand<'_>) -> Result<()> {
    normalize(Norm::Rms { weight }, eps, &x, &out)
}

/// Each row divided by its length.
#[napi]
pub fn l2_norm(x: Operand<'_>, row_len: u32, eps: f64, out: Operand<'_>) -> Result<()> {
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
