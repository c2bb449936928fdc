//! A float graph, run in f32 with the kernels of the package.

use std::sync::atomic::{AtomicBool, Ordering};

use dyadic_formats::GgufType;
use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::{Isa, Kernels};
use dyadic_quant::graph::{
    FloatGraph, Node, Op, Shape, Weights, Windows, for_each_pixel, windows_over,
};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{
    ActivationKind, Activations, AttentionRows, Io, KvPrecision, Norm, PackedWeights, Projection,
    TensorError, apply, attention, linear, normalize,
};

use super::VisionError;
use crate::ModelError;
use crate::engine::EngineError;

/// Images that are observed together.
const OBSERVED: usize = 16;

/// Elements of unfolded windows that are made at once.
const UNFOLDED: usize = 1 << 17;

/// A float graph with its weights packed for this CPU.
///
/// A result depends on its own image alone: not on the other images, the threads or the instruction set.
pub struct FloatVision {
    graph: FloatGraph,
    /// For each node that is a product.
    matrices: Vec<Option<PackedWeights>>,
    kernels: &'static Kernels,
}

impl FloatVision {
    /// Packs the weights of a graph.
    ///
    /// # Errors
    /// As [`PackedWeights::pack`].
    pub fn new(
        kernels: &'static Kernels,
        (pool, threads): (&Pool, usize),
        graph: FloatGraph,
    ) -> Result<Self, ModelError> {
        let matrices = graph.nodes().iter().map(|node| {
            let weights = node.op.weights();
            weights.map(|weights| pack(kernels, (pool, threads), weights)).transpose()
        });
        let matrices = matrices.collect::<Result<_, TensorError>>()?;
        Ok(Self { graph, matrices, kernels })
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &FloatGraph {
        &self.graph
    }

    /// The instruction set of the kernels.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// Bytes of weights, as they were read and packed.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let nodes = self.graph.nodes().iter();
        let weights = nodes.filter_map(|node| node.op.weights());
        let read: usize = weights.map(|weights| size_of_val(&weights.weight[..])).sum();
        let packed = self.matrices.iter().flatten().map(PackedWeights::byte_len);
        read + packed.sum::<usize>()
    }

    /// Replaces the weights of a node that is a product; the bias stays.
    ///
    /// # Errors
    /// [`TensorError::Length`] where the node has another number of weights.
    pub fn set_weights(
        &mut self,
        pool: (&Pool, usize),
        node: usize,
        weight: &[f32],
    ) -> Result<(), ModelError> {
        let own = self.graph.weights_mut(node);
        let expected = own.as_ref().map_or(0, |own| own.weight.len());
        let Some(own) = own.filter(|_| expected == weight.len()) else {
            let actual = weight.len();
            return Err(TensorError::Length { what: "a matrix", expected, actual }.into());
        };
        own.weight.copy_from_slice(weight);
        self.matrices[node] = Some(pack(self.kernels, pool, own)?);
        Ok(())
    }

    /// The logits of images, `[images][labels]`. `pixels` are `[images][height][width][channels]`.
    ///
    /// # Errors
    /// [`VisionError::Images`] where `pixels` is no whole number of images.
    pub fn logits(&self, pool: (&Pool, usize), pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        self.logits_until(pool, pixels, &AtomicBool::new(false))
    }

    /// As [`Self::logits`]; the work ends early where `stop` becomes true.
    ///
    /// # Errors
    /// As [`Self::logits`], and [`EngineError::Aborted`] where it was stopped.
    pub fn logits_until(
        &self,
        (pool, threads): (&Pool, usize),
        pixels: &[u8],
        stop: &AtomicBool,
    ) -> Result<Vec<f32>, ModelError> {
        let image = self.check(pixels)?;
        let mut images: Vec<_> =
            pixels.chunks(image).map(|pixels| (pixels, Ok(Vec::new()))).collect();
        // One at a time, its values stay in a cache. Images run side by side; where there is one only, its operations are split instead.
        pool.for_each_mut(threads, &mut images, |_, (pixels, logits)| {
            *logits = self.forward((pool, threads), pixels, stop, &mut |_, _| {});
        });
        let mut all = Vec::new();
        for (_, logits) in images {
            all.extend(logits?);
        }
        Ok(all)
    }

    /// As [`Self::logits`], with a look at every value: `observe(node, value)` is called with those of some images at a time, in order.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn observe(
        &self,
        pool: (&Pool, usize),
        pixels: &[u8],
        observe: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<Vec<f32>, ModelError> {
        let image = self.check(pixels)?;
        let mut all = Vec::new();
        for pixels in pixels.chunks(OBSERVED * image) {
            all.extend(self.forward(pool, pixels, &AtomicBool::new(false), observe)?);
        }
        Ok(all)
    }

    fn check(&self, pixels: &[u8]) -> Result<usize, VisionError> {
        let expected = self.graph.input().elements();
        if pixels.len().is_multiple_of(expected) {
            Ok(expected)
        } else {
            Err(VisionError::Images { found: pixels.len(), expected })
        }
    }

    fn forward(
        &self,
        pool: (&Pool, usize),
        pixels: &[u8],
        stop: &AtomicBool,
        observe: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<Vec<f32>, ModelError> {
        let nodes = self.graph.nodes();
        let last_uses = self.graph.last_uses();
        let mut values: Vec<Vec<f32>> = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err(EngineError::Aborted.into());
            }
            let value = if node.op == Op::Input {
                pixels.iter().map(|&pixel| (f32::from(pixel) - 128.0) / 128.0).collect()
            } else {
                let inputs: Vec<(&[f32], Shape)> = node
                    .inputs
                    .iter()
                    .map(|&input| (values[input].as_slice(), nodes[input].shape))
                    .collect();
                let images = pixels.len() / self.graph.input().elements();
                self.node(pool, index, node, images, &inputs)?
            };
            observe(index, &value);
            values[index] = value;
            for &input in &node.inputs {
                if last_uses[input] == index {
                    values[input] = Vec::new();
                }
            }
        }
        Ok(values.pop().unwrap_or_default())
    }

    fn node(
        &self,
        pool: (&Pool, usize),
        index: usize,
        node: &Node,
        images: usize,
        inputs: &[(&[f32], Shape)],
    ) -> Result<Vec<f32>, ModelError> {
        let kernels = self.kernels;
        let (x, shape) = inputs[0];
        let channels = shape.channels;
        let mut out = vec![0.0; images * node.shape.elements()];
        match &node.op {
            Op::Input => unreachable!("it reads no value"),
            Op::Linear { weights } => self.product(pool, index, &weights.bias, x, &mut out)?,
            Op::Conv2d { weights, windows, relu } => {
                self.convolve(pool, index, weights, windows, (x, shape), &mut out)?;
                if *relu {
                    for out in &mut out {
                        *out = if *out > 0.0 { *out } else { 0.0 };
                    }
                }
            }
            Op::AddPosition { class_token, position } => {
                let own = out.chunks_exact_mut(position.len());
                for (x, out) in x.chunks_exact(shape.elements()).zip(own) {
                    let (first, tokens) = out.split_at_mut(channels);
                    first.copy_from_slice(class_token);
                    tokens.copy_from_slice(x);
                    kernels.add(out, position);
                }
            }
            Op::LayerNorm { weight, bias, epsilon } => {
                normalize(
                    kernels,
                    pool,
                    Norm::Layer { weight, bias },
                    *epsilon,
                    Io::Apart(x, &mut out),
                )?;
            }
            Op::Attention { heads } => {
                let mut results: Vec<_> = x
                    .chunks_exact(shape.elements())
                    .zip(out.chunks_exact_mut(node.shape.elements()))
                    .map(|(x, out)| (x, out, Ok(())))
                    .collect();
                pool.0.for_each_mut(pool.1, &mut results, |_, (x, out, result)| {
                    *result = attend(kernels, pool, *heads, x, channels / 3, out);
                });
                results.into_iter().try_for_each(|(_, _, result)| result)?;
            }
            Op::Gelu => {
                apply(kernels, pool, (Function::Gelu, Accuracy::Fast), Io::Apart(x, &mut out))?;
            }
            Op::Add => {
                out.copy_from_slice(x);
                kernels.add(&mut out, inputs[1].0);
            }
            Op::Multiply => {
                for ((out, a), b) in out.iter_mut().zip(x).zip(inputs[1].0) {
                    *out = a * b;
                }
            }
            Op::MaxPool(windows) => pooled(
                windows,
                (x, shape),
                node.shape,
                &mut out,
                |out, x| {
                    if x > *out {
                        *out = x;
                    }
                },
                f32::NEG_INFINITY,
                1.0,
            ),
            Op::AveragePool(windows) => {
                #[expect(clippy::cast_precision_loss, reason = "the pixels of a window")]
                let count = (windows.size[0] * windows.size[1]) as f32;
                pooled(windows, (x, shape), node.shape, &mut out, |out, x| *out += x, 0.0, count);
            }
            Op::Concat => {
                let mut first = 0;
                for (x, shape) in inputs {
                    let rows = out.chunks_exact_mut(node.shape.channels);
                    for (out, x) in rows.zip(x.chunks_exact(shape.channels)) {
                        out[first..first + shape.channels].copy_from_slice(x);
                    }
                    first += shape.channels;
                }
            }
            Op::ClassRow => {
                let rows = out.chunks_exact_mut(channels);
                for (x, out) in x.chunks_exact(shape.elements()).zip(rows) {
                    out.copy_from_slice(&x[..channels]);
                }
            }
        }
        Ok(out)
    }

    fn product(
        &self,
        (pool, threads): (&Pool, usize),
        node: usize,
        bias: &[f32],
        x: &[f32],
        out: &mut [f32],
    ) -> Result<(), TensorError> {
        let weights = self.matrices[node].as_ref().expect("a node with weights");
        let mut activations = Activations::new();
        activations.set(pool, threads, self.kernels, x, weights.columns(), ActivationKind::F32)?;
        linear(pool, threads, &activations, &mut [Projection { weights, bias: Some(bias), out }])
    }

    /// Unfolds windows into rows and multiplies these.
    fn convolve(
        &self,
        pool: (&Pool, usize),
        node: usize,
        weights: &Weights,
        windows: &Windows,
        (x, shape): (&[f32], Shape),
        out: &mut [f32],
    ) -> Result<(), TensorError> {
        let [rows, columns] = windows_over(windows, shape).expect("the graph was checked");
        let channels = shape.channels;
        let inputs = weights.inputs();
        let at_once = (UNFOLDED / inputs).max(1);
        let mut unfolded = Vec::new();
        for (first, out) in out.chunks_mut(at_once * weights.outputs()).enumerate() {
            let count = out.len() / weights.outputs();
            unfolded.clear();
            unfolded.resize(count * inputs, 0.0);
            for (index, unfolded) in (first * at_once..).zip(unfolded.chunks_exact_mut(inputs)) {
                let (image, window) = (index / (rows * columns), index % (rows * columns));
                let x = &x[image * shape.elements()..];
                for_each_pixel(
                    windows,
                    shape,
                    [window / columns, window % columns],
                    |place, pixel| {
                        unfolded[place * channels..][..channels]
                            .copy_from_slice(&x[pixel * channels..][..channels]);
                    },
                );
            }
            self.product(pool, node, &weights.bias, &unfolded, out)?;
        }
        Ok(())
    }
}

fn pack(
    kernels: &'static Kernels,
    (pool, threads): (&Pool, usize),
    weights: &Weights,
) -> Result<PackedWeights, TensorError> {
    let bytes: Vec<u8> = weights.weight.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let shape = dyadic_tensor::Shape { rows: weights.outputs(), columns: weights.inputs() };
    PackedWeights::pack(kernels, pool, threads, GgufType::F32, &bytes, shape)
}

/// Attention of one image: `x` is `[tokens][3][channels]`.
fn attend(
    kernels: &'static Kernels,
    pool: (&Pool, usize),
    heads: usize,
    x: &[f32],
    channels: usize,
    out: &mut [f32],
) -> Result<(), TensorError> {
    let part = |which: usize| -> Vec<f32> {
        x.chunks_exact(3 * channels)
            .flat_map(|x| &x[which * channels..][..channels])
            .copied()
            .collect()
    };
    let head_dim = channels / heads;
    #[expect(clippy::cast_precision_loss, reason = "the elements of a head")]
    let scale = (head_dim as f32).sqrt().recip();
    let rows = AttentionRows {
        heads,
        kv_heads: heads,
        head_dim,
        scale,
        soft_cap: None,
        sinks: &[],
        causal_offset: None,
        window: None,
        precision: KvPrecision::F32,
        l_mul: None,
    };
    attention(kernels, pool, &rows, (&part(0), &part(1), &part(2)), out)
}

/// Gathers each window into `start`, then divides by `divisor`.
fn pooled(
    windows: &Windows,
    (x, shape): (&[f32], Shape),
    to: Shape,
    out: &mut [f32],
    gather: impl Fn(&mut f32, f32),
    start: f32,
    divisor: f32,
) {
    let channels = shape.channels;
    for (x, out) in x.chunks_exact(shape.elements()).zip(out.chunks_exact_mut(to.elements())) {
        for (window, out) in out.chunks_exact_mut(channels).enumerate() {
            out.fill(start);
            for_each_pixel(windows, shape, [window / to.width, window % to.width], |_, pixel| {
                for (out, &x) in out.iter_mut().zip(&x[pixel * channels..]) {
                    gather(out, x);
                }
            });
            for out in out {
                *out /= divisor;
            }
        }
    }
}
