//! Post-training quantization: bit allocation, costs and partial products.

use std::path::Path;

use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::read;
use dyadic_quant::allocate::{Choice, Problem};
use dyadic_quant::cost::{self, Machine};
use dyadic_quant::partial_products::{Encoding, partial_products};
use napi::bindgen_prelude::Int8ArraySlice;
use napi_derive::napi;

use crate::error::{Result, guard};

/// One way to quantize a layer.
#[napi(object, object_to_js = false)]
pub struct NativeChoice {
    /// The width of its weights.
    pub bits: u32,
    /// By how much the loss rises.
    pub perturbation: f64,
    /// What it takes of each budget.
    pub costs: Vec<f64>,
}

/// An optimum.
#[napi(object, object_from_js = false)]
pub struct NativeAllocation {
    /// The width of each layer.
    pub bits: Vec<u32>,
    /// The sum of the perturbations.
    pub perturbation: f64,
    /// What it takes of each budget.
    pub costs: Vec<f64>,
}

/// Solves the integer program of bit allocation.
#[napi]
pub fn allocate_bits(
    layers: Vec<Vec<NativeChoice>>,
    limits: Vec<f64>,
    ties: Vec<Vec<u32>>,
) -> Result<NativeAllocation> {
    guard(|| {
        let choice =
            |NativeChoice { bits, perturbation, costs }| Choice { bits, perturbation, costs };
        let layers = layers.into_iter().map(|choices| choices.into_iter().map(choice).collect());
        let ties =
            ties.into_iter().map(|tie| tie.into_iter().map(|layer| layer as usize).collect());
        let problem = Problem { layers: layers.collect(), limits, ties: ties.collect() };
        let dyadic_quant::allocate::Allocation { bits, perturbation, costs } = problem.solve()?;
        Ok(NativeAllocation { bits, perturbation, costs })
    })
}

/// The partial products of weights under the encodings in the order of `Encoding::ALL`: for each the mean, the cycles, and how many weights have 0 to
/// 8 digits, eleven numbers.
#[napi]
pub fn partial_product_stats(
    weights: Int8ArraySlice<'_>,
    columns: u32,
    lanes: u32,
) -> Result<Vec<f64>> {
    guard(|| {
        let stats = Encoding::ALL
            .map(|encoding| partial_products(&weights, columns as usize, lanes as usize, encoding));
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let numbers = |counts: &[u64]| -> Vec<f64> { counts.iter().map(|&n| n as f64).collect() };
        Ok(stats
            .iter()
            .flat_map(|stats| {
                [vec![stats.mean], numbers(&[stats.cycles]), numbers(&stats.counts)].concat()
            })
            .collect())
    })
}

/// What a network runs on, and how it is stored.
#[napi(object, object_to_js = false)]
pub struct NativeCostOptions {
    /// Of products.
    pub multiply_adds_per_second: f64,
    /// Of values and weights.
    pub bytes_per_second: f64,
    /// The start of an operation.
    pub seconds_per_node: f64,
    /// The bits of a weight.
    pub weight_bits: f64,
    /// The bits of an element of a value.
    pub activation_bits: f64,
    /// Images that share the reading of weights.
    pub batch: u32,
}

/// What a node costs.
#[napi(object, object_from_js = false)]
pub struct NativeNodeCost {
    /// The name of its weights, or of what it does.
    pub name: String,
    /// What it does.
    pub op: String,
    /// For one image.
    pub multiply_adds: f64,
    /// Numbers that training has set.
    pub parameters: f64,
    /// Elements of its value.
    pub activations: f64,
    /// Bytes of its weights.
    pub weight_bytes: f64,
    /// Bytes of values that it reads and writes.
    pub activation_bytes: f64,
    /// By the roofline.
    pub seconds: f64,
}

/// The cost of each node of a vision model.
#[napi]
pub fn estimate_cost(path: String, options: NativeCostOptions) -> Result<Vec<NativeNodeCost>> {
    guard(|| {
        let graph = read(&SafetensorsFile::open(Path::new(&path))?)?.graph;
        let machine = Machine {
            multiply_adds_per_second: options.multiply_adds_per_second,
            bytes_per_second: options.bytes_per_second,
            seconds_per_node: options.seconds_per_node,
        };
        let bits = [options.weight_bits, options.activation_bits];
        let costs = cost::estimate_cost(&graph, &machine, bits, options.batch as usize);
        let nodes = graph.nodes().iter().zip(costs).map(|(node, cost)| NativeNodeCost {
            name: node.name.clone(),
            op: node.op.name().to_owned(),
            multiply_adds: cost.multiply_adds,
            parameters: cost.parameters,
            activations: cost.activations,
            weight_bytes: cost.weight_bytes,
            activation_bytes: cost.activation_bytes,
            seconds: cost.seconds,
        });
        Ok(nodes.collect())
    })
}

/// Depth, width, resolution, activations and parameters of a network whose operations are scaled by `s`.
#[napi]
pub fn scale_model(alpha: f64, s: f64) -> Result<Vec<f64>> {
    guard(|| {
        let scaling = cost::scale_model(alpha, s);
        let cost::Scaling { depth, width, resolution, activations, parameters } = scaling;
        Ok(vec![depth, width, resolution, activations, parameters])
    })
}
