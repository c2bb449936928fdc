//! Packed weights and their products.

use std::cell::RefCell;
use std::sync::Arc;

use dyadic_model::{EngineError, ModelError};
use dyadic_tensor::{
    ActivationKind, Activations, KernelChoice, PackedWeights, Projection, TensorError, linear,
};
use napi::bindgen_prelude::{AsyncTask, Float32Array, Float32ArraySlice, ObjectFinalize};
use napi::{Env, Task};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::format::NativeFormat;
use crate::hub::NativeError;
use crate::machine::machine;
use crate::operands::output;
use crate::tensor::NativeTensor;

/// A matrix of weights, packed for the kernels of this CPU.
#[napi(custom_finalize)]
pub struct NativePackedWeights {
    /// `None` once disposed. In a cell, since a running product counts as a borrow of the object and `dispose` must not wait for it.
    weights: RefCell<Option<Arc<PackedWeights>>>,
    /// Bytes that the garbage collector was told of.
    bytes: i64,
}

impl ObjectFinalize for NativePackedWeights {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

/// What a product needs beside its arrays.
#[derive(Clone)]
struct Product {
    weights: Arc<PackedWeights>,
    kind: ActivationKind,
    /// 0 means all.
    threads: u32,
}

impl Product {
    fn compute(
        &self,
        x: &[f32],
        bias: Option<&[f32]>,
        out: &mut [f32],
    ) -> std::result::Result<(), ModelError> {
        let (kernels, (pool, threads)) = machine(self.threads)?;
        let weights = &*self.weights;
        let mut activations = Activations::new();
        activations.set(pool, threads, kernels, x, weights.columns(), self.kind)?;
        linear(pool, threads, &activations, &mut [Projection { weights, bias, out }])?;
        Ok(())
    }
}

impl NativePackedWeights {
    fn release(&self, env: Env) -> napi::Result<()> {
        if self.weights.take().is_some() {
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }

    fn weights(&self) -> std::result::Result<Arc<PackedWeights>, ModelError> {
        self.weights.borrow().clone().ok_or_else(|| EngineError::Disposed.into())
    }

    /// `activations` is a number of [`ActivationKind::ALL`].
    fn product(
        &self,
        activations: u32,
        outlier_threshold: f64,
        threads: u32,
    ) -> std::result::Result<Product, ModelError> {
        let weights = self.weights()?;
        let kind = ActivationKind::ALL.get(activations as usize).copied();
        let kind = match kind.unwrap_or_else(|| weights.activations()) {
            #[expect(clippy::cast_possible_truncation, reason = "rounds")]
            ActivationKind::Int8Outliers { .. } => {
                ActivationKind::Int8Outliers { threshold: outlier_threshold as f32 }
            }
            kind => kind,
        };
        Ok(Product { weights, kind, threads })
    }
}

#[napi]
impl NativePackedWeights {
    /// JSON: `{rows, columns, byteLength, layout, kernel, activations}`.
    #[napi]
    pub fn describe(&self) -> Result<String> {
        guard(|| {
            let weights = self.weights()?;
            Ok(serde_json::json!({
                "rows": weights.rows(),
                "columns": weights.columns(),
                "byteLength": weights.byte_len(),
                "layout": weights.layout_name(),
                "kernel": weights.kernel_name(),
                "activations": weights.activations().name(),
            })
            .to_string())
        })
    }

    /// `out = x · weights^T + bias`; x is tokens × columns, `out` tokens × rows. Activations beyond the last kind are those of the format.
    #[napi]
    pub fn linear(
        &self,
        x: &[f32],
        bias: Option<&[f32]>,
        out: Float32ArraySlice<'_>,
        activations: u32,
        outlier_threshold: f64,
        threads: u32,
    ) -> Result<()> {
        guard(|| {
            let out = output(&out, &[x, bias.unwrap_or_default()])?;
            self.product(activations, outlier_threshold, threads)?.compute(x, bias, out)
        })
    }

    /// As `linear`, without blocking: fulfilled with what went wrong, or null.
    #[napi(ts_return_type = "Promise<NativeError | null>")]
    pub fn linear_async(
        &self,
        x: Float32Array,
        bias: Option<Float32Array>,
        out: Float32Array,
        activations: u32,
        outlier_threshold: f64,
        threads: u32,
    ) -> Result<AsyncTask<LinearTask>> {
        guard(|| {
            let product = self.product(activations, outlier_threshold, threads)?;
            Ok(AsyncTask::new(LinearTask { product, x, bias, out }))
        })
    }

    /// Reads every byte once and makes nothing of it: what products are measured against.
    #[napi]
    pub fn read(&self, threads: u32) -> Result<()> {
        guard(|| {
            let (_, (pool, threads)) = machine(threads)?;
            self.weights()?.read(pool, threads);
            Ok(())
        })
    }

    /// Gives the memory back, at once or when running products end.
    #[napi]
    pub fn dispose(&self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

/// Packs a matrix; `kernel` is 0 for what was measured to be faster, 1 for dot products, 2 for tables, 3 for five ternary weights in a byte, 4 for
/// rounded tables, 5 for population counts.
#[napi]
pub fn pack_weights(
    env: Env,
    format: &NativeFormat,
    tensor: NativeTensor<'_>,
    kernel: u32,
    threads: u32,
) -> Result<NativePackedWeights> {
    guard(|| {
        let (kernels, (pool, threads)) = machine(threads)?;
        let tensor = tensor.quantized(format)?.to_quantized();
        let mut weights = PackedWeights::from_quantized(kernels, pool, threads, &tensor)?;
        match kernel {
            1 => weights.choose(pool, threads, KernelChoice::Dot),
            2 => weights.choose(pool, threads, KernelChoice::Tables),
            4 => weights.choose(pool, threads, KernelChoice::Int8Tables),
            5 => weights.choose(pool, threads, KernelChoice::BitPlanes),
            3 => weights = weights.to_trits(pool, threads)?.unwrap_or(weights),
            _ => {}
        }
        let bytes = i64::try_from(weights.byte_len()).unwrap_or(i64::MAX);
        env.adjust_external_memory(bytes)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        Ok(NativePackedWeights { weights: RefCell::new(Some(Arc::new(weights))), bytes })
    })
}

/// A product on a thread of its own.
pub struct LinearTask {
    product: Product,
    x: Float32Array,
    bias: Option<Float32Array>,
    out: Float32Array,
}

impl Task for LinearTask {
    type Output = Option<NativeError>;
    type JsValue = Option<NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let Self { product, x, bias, out } = self;
        let (x, bias) = (x.as_ref(), bias.as_ref().map(AsRef::as_ref));
        let written = out.as_ref().as_ptr_range();
        let overlaps = [x, bias.unwrap_or_default()].iter().any(|input| {
            let read = input.as_ptr_range();
            read.start < written.end && written.start < read.end
        });
        Ok(NativeError::of(guard(|| {
            if overlaps {
                return Err(TensorError::Overlap.into());
            }
            // SAFETY: TypeScript lets nobody else use the arrays until the promise is settled, and no input shares an element with `out`.
            let out = unsafe { out.as_mut() };
            product.compute(x, bias, out)
        })))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(output)
    }
}
