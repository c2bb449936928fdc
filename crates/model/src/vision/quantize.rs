//! From a file of floats and some images to an integer graph.

use std::ops::ControlFlow;

use dyadic_integer::{Graph, Mode};
use dyadic_quant::allocate::{Choice, Problem};
use dyadic_quant::calibrate::RangeMethod;
use dyadic_quant::convert::convert;
use dyadic_quant::graph::{FloatGraph, Op};
use dyadic_quant::plan::{Calibration, Plan};
use dyadic_quant::sensitivity::squared_error;
use dyadic_tensor::pool::Pool;

use super::sensitivity::{hessian_traces, output_errors};
use super::{FloatVision, Ranges, VisionError};
use crate::ModelError;

/// The widths that weights can have.
const WIDTHS: [u32; 2] = [4, 8];

/// Images that are looked at between two reports of progress.
const STEP: usize = 16;

/// What says how sensitive a layer is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Sensitivity {
    /// `(Tr(H) / n) ‖W − Q(W)‖²`, the trace measured with so many random vectors.
    Hutchinson {
        /// The vectors.
        probes: u32,
        /// Of their signs.
        seed: u64,
    },
    /// The same with given mean traces, one for each layer that is a product, in order.
    Traces(Vec<f64>),
    /// `‖ΔY‖²`, the change of the layer's own result.
    #[default]
    Outputs,
}

/// Where the limit of a budget lies: at `least + part * (most − least)`, between the costs of 4 and 8 bits everywhere (α of HAWQ-V3).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Budgets {
    /// Of the bytes of the weights.
    pub size: Option<f64>,
    /// Of the bit operations: multiply-adds times the bits of both operands.
    pub bit_operations: Option<f64>,
    /// Of the latency, with the times of each layer that is a product at 4 and at 8 bits, in any unit.
    pub latency: Option<(f64, Vec<[f64; 2]>)>,
}

/// How wide weights are. The first and the last product always have 8 bits.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightBits {
    /// 4 or 8 everywhere.
    Uniform(u32),
    /// 4 or 8 for each layer, by the exact integer program.
    Mixed {
        /// What is minimised.
        sensitivity: Sensitivity,
        /// Under which limits.
        budgets: Budgets,
    },
}

/// How a graph is quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizeOptions {
    /// The non-linear operations.
    pub mode: Mode,
    /// The widths of weights.
    pub weight_bits: WeightBits,
    /// How ranges of activations are chosen.
    pub range: RangeMethod,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            weight_bits: WeightBits::Uniform(8),
            range: RangeMethod::default(),
        }
    }
}

/// Called with the stage and the part of it that is done; `Break` ends the work.
pub type StageProgress<'a> = &'a mut dyn FnMut(&'static str, f64) -> ControlFlow<()>;

/// Quantizes a graph by what it makes of `pixels`, `[images][height][width][channels]`. `Ok(None)` where `progress` ended it.
///
/// Weights are symmetric for each output channel, activations symmetric with one scale for a value; biases and batch normalisation are folded. The result
/// depends on the graph, the images and the options alone.
///
/// # Errors
/// [`VisionError::Calibration`] without images, [`ModelError::Plan`] or [`ModelError::Convert`] where the graph has no integer form,
/// [`ModelError::Allocation`] where no allocation keeps the budgets.
pub fn quantize(
    vision: &mut FloatVision,
    pool: (&Pool, usize),
    ranges: &Ranges,
    pixels: &[u8],
    options: &QuantizeOptions,
    progress: StageProgress<'_>,
) -> Result<Option<Graph>, ModelError> {
    if pixels.is_empty() {
        return Err(VisionError::Calibration.into());
    }
    let image = vision.graph().input().elements();
    let mut calibration = Calibration::new(vision.graph());
    let steps = pixels.len().div_ceil(image * STEP);
    for (step, pixels) in pixels.chunks(image * STEP).enumerate() {
        vision.observe(pool, pixels, &mut |node, value| {
            calibration.count(vision.graph(), node, value);
        })?;
        if progress("calibrate", part(step + 1, steps)).is_break() {
            return Ok(None);
        }
    }
    let plan = Plan::new(vision.graph(), &calibration, ranges, options.range, options.mode)?;
    let bits = match &options.weight_bits {
        WeightBits::Uniform(bits) => uniform(vision.graph(), *bits),
        WeightBits::Mixed { sensitivity, budgets } => {
            let Some(problem) = problem(vision, pool, pixels, sensitivity, budgets, progress)?
            else {
                return Ok(None);
            };
            let allocation = problem.solve()?;
            let mut bits = uniform(vision.graph(), 8);
            for (node, allocated) in allocatable(vision.graph()).into_iter().zip(allocation.bits) {
                bits[node] = allocated;
            }
            bits
        }
    };
    Ok(Some(convert(vision.graph(), &plan, options.mode, &bits)?))
}

#[expect(clippy::cast_precision_loss, reason = "a part")]
fn part(done: usize, all: usize) -> f64 {
    done as f64 / all.max(1) as f64
}

/// The nodes that are products, in order.
fn products(graph: &FloatGraph) -> Vec<usize> {
    let nodes = graph.nodes().iter().enumerate();
    nodes.filter(|(_, node)| node.op.weights().is_some()).map(|(index, _)| index).collect()
}

/// Products but the first and the last, which stay at 8 bits.
fn allocatable(graph: &FloatGraph) -> Vec<usize> {
    match products(graph)[..] {
        [_, ref inner @ .., _] => inner.to_vec(),
        _ => Vec::new(),
    }
}

fn uniform(graph: &FloatGraph, bits: u32) -> Vec<u32> {
    let mut all = vec![8; graph.nodes().len()];
    for node in allocatable(graph) {
        all[node] = bits;
    }
    all
}

/// The integer program of a graph.
fn problem(
    vision: &mut FloatVision,
    pool: (&Pool, usize),
    pixels: &[u8],
    sensitivity: &Sensitivity,
    budgets: &Budgets,
    progress: StageProgress<'_>,
) -> Result<Option<Problem>, ModelError> {
    let products = products(vision.graph());
    let wrong = |what: &'static str, found: usize| -> ModelError {
        VisionError::Layers { what, found, expected: products.len() }.into()
    };
    let mut report = |done: usize, all: usize| progress("sensitivity", part(done, all));
    // By node, at each width.
    let mut perturbations = vec![[0.0; 2]; vision.graph().nodes().len()];
    let by_trace = |graph: &FloatGraph, node: usize, trace: f64| {
        let weights = graph.nodes()[node].op.weights().expect("a product");
        WIDTHS.map(|bits| trace * squared_error(&weights.weight, weights.inputs(), bits))
    };
    match sensitivity {
        Sensitivity::Hutchinson { probes, seed } => {
            let traces = hessian_traces(vision, pool, pixels, (*probes, *seed), &mut report)?;
            let Some(traces) = traces else { return Ok(None) };
            for &node in &products {
                perturbations[node] = by_trace(vision.graph(), node, traces[node].unwrap_or(0.0));
            }
        }
        Sensitivity::Traces(traces) => {
            if traces.len() != products.len() {
                return Err(wrong("traces", traces.len()));
            }
            for (&node, &trace) in products.iter().zip(traces) {
                perturbations[node] = by_trace(vision.graph(), node, trace);
            }
        }
        Sensitivity::Outputs => {
            let errors = output_errors(vision, pool, pixels, &WIDTHS, &mut report)?;
            let Some(errors) = errors else { return Ok(None) };
            for (perturbation, errors) in perturbations.iter_mut().zip(errors) {
                if let Some([four, eight]) = errors.as_deref() {
                    *perturbation = [*four, *eight];
                }
            }
        }
    }
    let mut parts = Vec::new();
    let mut tables: Vec<Vec<[f64; 2]>> = Vec::new();
    let nodes = vision.graph().nodes();
    let inner = allocatable(vision.graph());
    let costs = |cost: &dyn Fn(usize, f64) -> f64| -> Vec<[f64; 2]> {
        inner.iter().map(|&node| WIDTHS.map(|bits| cost(node, bits.into()))).collect()
    };
    let count = |node: usize| nodes[node].op.weights().map_or(0, |weights| weights.weight.len());
    #[expect(clippy::cast_precision_loss, reason = "costs")]
    if let Some(limit) = budgets.size {
        parts.push(limit);
        tables.push(costs(&|node, bits| count(node) as f64 * bits / 8.0));
    }
    #[expect(clippy::cast_precision_loss, reason = "costs")]
    if let Some(limit) = budgets.bit_operations {
        parts.push(limit);
        let operations = |node: usize| (count(node) * nodes[node].shape.tokens()) as f64;
        tables.push(costs(&|node, bits| operations(node) * bits * 8.0));
    }
    if let Some((limit, times)) = &budgets.latency {
        if times.len() != products.len() {
            return Err(wrong("latencies", times.len()));
        }
        parts.push(*limit);
        let inner_times = times.get(1..times.len().saturating_sub(1)).unwrap_or_default();
        tables.push(inner_times.to_vec());
    }
    let limits = parts.iter().zip(&tables).map(|(part, table)| {
        let sum = |width: usize| table.iter().map(|costs| costs[width]).sum::<f64>();
        sum(0) + part * (sum(1) - sum(0))
    });
    let limits = limits.collect();
    let layers = inner.iter().enumerate().map(|(layer, &node)| {
        let choice = |width: usize| Choice {
            bits: WIDTHS[width],
            perturbation: perturbations[node][width],
            costs: tables.iter().map(|table| table[layer][width]).collect(),
        };
        vec![choice(0), choice(1)]
    });
    let layers = layers.collect();
    Ok(Some(Problem { layers, limits, ties: ties(vision.graph(), &inner) }))
}

/// Convolutions whose results are added have equal widths, as in HAWQ-V3: by place among `layers`.
fn ties(graph: &FloatGraph, layers: &[usize]) -> Vec<Vec<usize>> {
    let place = |node: usize| {
        let is_convolution = matches!(graph.nodes()[node].op, Op::Conv2d { .. });
        layers.iter().position(|&layer| layer == node).filter(|_| is_convolution)
    };
    let sums = graph.nodes().iter().filter(|node| node.op == Op::Add);
    let tied = sums.map(|node| node.inputs.iter().filter_map(|&input| place(input)).collect());
    tied.filter(|tied: &Vec<usize>| tied.len() > 1).collect()
}
