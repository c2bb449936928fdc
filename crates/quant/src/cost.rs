//! What a network costs: operations, parameters, traffic, and the time that a roofline gives it.
//!
//! "Fast and Accurate Model Scaling" (Dollár, Singh and Girshick 2021, arXiv 2103.06877): run time follows activations, the elements that convolutions
//! write, more than operations; scaling by width keeps them low.

use crate::graph::{FloatGraph, Node, Op, Shape};

/// What a machine can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Multiply-adds a second of products.
    pub multiply_adds_per_second: f64,
    /// Bytes a second from the memory that values go through.
    pub bytes_per_second: f64,
    /// What starting an operation costs, in seconds.
    pub seconds_per_node: f64,
}

/// What one node costs for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiply-adds of products with weights and of attention.
    pub multiply_adds: f64,
    /// Numbers that training has set.
    pub parameters: f64,
    /// Elements of the value.
    pub activations: f64,
    /// Bytes of weights that are read.
    pub weight_bytes: f64,
    /// Bytes of values that are read and written.
    pub activation_bytes: f64,
    /// The time that the roofline gives, in seconds.
    pub seconds: f64,
}

impl Cost {
    /// The sum of costs.
    #[must_use]
    pub fn total(costs: &[Self]) -> Self {
        costs.iter().fold(Self::default(), |a, b| Self {
            multiply_adds: a.multiply_adds + b.multiply_adds,
            parameters: a.parameters + b.parameters,
            activations: a.activations + b.activations,
            weight_bytes: a.weight_bytes + b.weight_bytes,
            activation_bytes: a.activation_bytes + b.activation_bytes,
            seconds: a.seconds + b.seconds,
        })
    }
}

/// The cost of each node for one image, with weights and activations of so many bits.
///
/// A node takes the time of its multiply-adds or of its bytes, whichever is longer, and the start. Weights are read once for `batch` images.
#[must_use]
pub fn estimate_cost(
    graph: &FloatGraph,
    machine: &Machine,
    [weight_bits, activation_bits]: [f64; 2],
    batch: usize,
) -> Vec<Cost> {
    let nodes = graph.nodes();
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    let batch = batch.max(1) as f64;
    let cost = |node: &Node| {
        let inputs: Vec<Shape> = node.inputs.iter().map(|&input| nodes[input].shape).collect();
        let parameters = parameters(&node.op);
        let multiply_adds = multiply_adds(node, &inputs);
        let elements = |shape: &Shape| count(shape.elements());
        let read: f64 = inputs.iter().map(elements).sum();
        let activations = elements(&node.shape);
        let weight_bytes = parameters * weight_bits / 8.0;
        let activation_bytes = (read + activations) * activation_bits / 8.0;
        let bytes = activation_bytes + weight_bytes / batch;
        let seconds = f64::max(
            multiply_adds / machine.multiply_adds_per_second,
            bytes / machine.bytes_per_second,
        ) + machine.seconds_per_node / batch;
        Cost { multiply_adds, parameters, activations, weight_bytes, activation_bytes, seconds }
    };
    nodes.iter().map(cost).collect()
}

#[expect(clippy::cast_precision_loss, reason = "estimates")]
fn count(number: usize) -> f64 {
    number as f64
}

fn parameters(op: &Op) -> f64 {
    count(match op {
        Op::Conv2d { weights, .. } | Op::Linear { weights } => {
            weights.weight.len() + weights.bias.len()
        }
        Op::AddPosition { class_token, position } => class_token.len() + position.len(),
        Op::LayerNorm { weight, bias, .. } => weight.len() + bias.len(),
        _ => 0,
    })
}

fn multiply_adds(node: &Node, inputs: &[Shape]) -> f64 {
    match &node.op {
        Op::Conv2d { weights, .. } | Op::Linear { weights } => {
            count(node.shape.tokens()) * count(weights.weight.len())
        }
        // q . k and p . v, each tokens x tokens x channels.
        Op::Attention { .. } => {
            2.0 * count(inputs[0].tokens()).powi(2) * count(node.shape.channels)
        }
        _ => 0.0,
    }
}

/// By how much a network grows in each direction so that its operations grow by `s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// Layers.
    pub depth: f64,
    /// Channels.
    pub width: f64,
    /// Pixels of a side.
    pub resolution: f64,
    /// Activations of convolutions, which run time follows.
    pub activations: f64,
    /// Parameters.
    pub parameters: f64,
}

/// The compound scaling of the paper: `alpha` of the growth goes into width (0.8 is its "fast" scaling), the rest in equal parts into depth and
/// resolution. Operations are as depth × width² × resolution².
#[must_use]
pub fn scale_model(alpha: f64, s: f64) -> Scaling {
    let rest = (1.0 - alpha) / 2.0;
    let (depth, width, resolution) = (s.powf(rest), s.powf(alpha / 2.0), s.powf(rest / 2.0));
    Scaling {
        depth,
        width,
        resolution,
        activations: depth * width * resolution * resolution,
        parameters: depth * width * width,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Weights, Windows};

    const MACHINE: Machine =
        Machine { multiply_adds_per_second: 1e9, bytes_per_second: 1e9, seconds_per_node: 0.0 };

    /// `depth` convolutions of 3 x 3.
    fn network(depth: usize, width: usize, resolution: usize) -> FloatGraph {
        let input = Shape { height: resolution, width: resolution, channels: width };
        let mut graph = FloatGraph::new("test".into(), Vec::new(), input);
        graph.push("input".into(), Op::Input, Vec::new()).expect("the input");
        for node in 0..depth {
            let weights = Weights { weight: vec![0.0; 9 * width * width], bias: vec![0.0; width] };
            let windows = Windows { size: [3, 3], stride: 1, padding: 1 };
            let op = Op::Conv2d { weights, windows, relu: true };
            graph.push("conv".into(), op, vec![node]).expect("a convolution");
        }
        graph
    }

    fn total(graph: &FloatGraph) -> Cost {
        Cost::total(&estimate_cost(graph, &MACHINE, [32.0, 32.0], 1)[1..])
    }

    #[test]
    fn costs_are_those_counted_by_hand() {
        let graph = network(2, 4, 5);
        let costs = estimate_cost(&graph, &MACHINE, [8.0, 16.0], 10);
        assert_eq!(
            costs[2],
            Cost {
                multiply_adds: 25.0 * 144.0,
                parameters: 148.0,
                activations: 100.0,
                weight_bytes: 148.0,
                activation_bytes: 400.0,
                seconds: 3600.0 / 1e9,
            }
        );
        let slow = Machine { bytes_per_second: 1e6, ..MACHINE };
        let bound = estimate_cost(&graph, &slow, [8.0, 16.0], 10)[2].seconds;
        assert!((bound - 414.8e-6).abs() < 1e-12);
    }

    /// Row 19 of the papers: by width alone activations grow as the root of the operations, by depth alone as the operations.
    #[test]
    fn row_19_activations_grow_slowest_by_width() {
        let base = total(&network(4, 16, 16));
        let wide = total(&network(4, 32, 16));
        let deep = total(&network(16, 16, 16));
        assert_eq!(wide.multiply_adds / base.multiply_adds, 4.0);
        assert_eq!(wide.activations / base.activations, 2.0);
        assert_eq!(deep.multiply_adds / base.multiply_adds, 4.0);
        assert_eq!(deep.activations / base.activations, 4.0);
        for (alpha, activations) in [(1.0, 2.0), (0.0, 4.0), (0.8, 4_f64.powf(0.6))] {
            let scaling = scale_model(alpha, 4.0);
            assert!((scaling.activations - activations).abs() < 1e-12, "{alpha}");
            let operations = scaling.depth * (scaling.width * scaling.resolution).powi(2);
            assert!((operations - 4.0).abs() < 1e-12, "{alpha}");
        }
    }
}
