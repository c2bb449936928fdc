//! From the float graph to the integer graph.

use dyadic_integer::{
    Description, Dyadic, Graph, IntegerError, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape,
    Softmax, Width,
};
use dyadic_kernels::activation::Function;

use crate::dyadic::{dyadic, limited};
use crate::graph::{self, FloatGraph, Weights};
use crate::plan::{GELU_SIGMOID, Plan};
use crate::sensitivity::quantize_channel;
use crate::tables::{exponential_table, ibert_gelu_table, lookup_table, to_i8};

/// The largest shift of a layer norm's factors, so that offsets of up to 2^15 units fit.
const MOST_NORM_SHIFT: u32 = 46;

/// The largest ε of a layer norm.
const MOST_EPSILON: f64 = 18_014_398_509_481_984.0;

/// The largest shift of the results of attention with deferred normalisation.
const MOST_DEFERRED_SHIFT: u32 = 39;

/// Why a float graph cannot be converted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// A ratio of scales or a sum is beyond what integers hold.
    #[error("node {node} (\"{name}\"): {reason}")]
    Range {
        /// The node.
        node: usize,
        /// Its name.
        name: String,
        /// What does not fit into integers.
        reason: String,
    },
    /// The integer graph does not pass its checks.
    #[error(transparent)]
    Graph(#[from] IntegerError),
}

impl ConvertError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Range { .. } => "ERR_INTEGER_RANGE",
            Self::Graph(error) => error.code(),
        }
    }
}

/// Converts a graph. `bits` are the widths of the weights of each node, 4 or 8; those of nodes without weights are not looked at.
///
/// # Errors
/// [`ConvertError`] where a ratio of scales or a sum is beyond what integers hold.
pub fn convert(
    graph: &FloatGraph,
    plan: &Plan,
    mode: Mode,
    bits: &[u32],
) -> Result<Graph, ConvertError> {
    let converter = Converter { graph, plan, mode };
    let nodes = graph.nodes().iter().enumerate().map(|(index, node)| {
        let convert =
            || Ok((converter.op(index, bits[index])?, factor(plan.scales[index].into())?));
        let (op, scale) = convert().map_err(|reason| ConvertError::Range {
            node: index,
            name: node.name.clone(),
            reason,
        })?;
        let (name, inputs) = (node.name.clone(), node.inputs.clone());
        Ok(Node { name, op, inputs, width: plan.widths[index], scale })
    });
    let nodes = nodes.collect::<Result<_, ConvertError>>()?;
    let description = Description { name: graph.name.clone(), mode, labels: graph.labels.clone() };
    Ok(Graph::new(description, graph.input(), nodes)?)
}

struct Converter<'a> {
    graph: &'a FloatGraph,
    plan: &'a Plan,
    mode: Mode,
}

impl Converter<'_> {
    fn op(&self, index: usize, bits: u32) -> Result<Op, String> {
        let node = &self.graph.nodes()[index];
        let scale = |node: usize| f64::from(self.plan.scales[node]);
        let (own, from) = (scale(index), |input: usize| scale(node.inputs[input]));
        let shape = |input: usize| self.graph.nodes()[node.inputs[input]].shape;
        Ok(match &node.op {
            graph::Op::Input => Op::Input,
            graph::Op::Conv2d { weights, windows, relu } => Op::Conv2d {
                matrix: matrix(weights, from(0), own, bits)?,
                windows: *windows,
                relu: *relu,
            },
            graph::Op::Linear { weights } => {
                Op::Linear { matrix: matrix(weights, from(0), own, bits)? }
            }
            graph::Op::AddPosition { class_token, position } => {
                let limit = match self.plan.widths[index] {
                    Width::I8 => 127.0,
                    Width::I16 | Width::I32 => 32767.0,
                };
                #[expect(clippy::cast_possible_truncation, reason = "limited to the range of i16")]
                let code = |x: f64| (x / own).round_ties_even().clamp(-limit, limit) as i16;
                let (first, others) = position.split_at(class_token.len());
                let class_row = class_token.iter().zip(first);
                Op::AddPosition {
                    class_row: class_row
                        .map(|(&a, &b)| code(f64::from(a) + f64::from(b)))
                        .collect(),
                    position: others.iter().map(|&x| code(x.into())).collect(),
                    factor: factor(from(0) / own)?,
                }
            }
            graph::Op::LayerNorm { weight, bias, epsilon } => {
                self.layer_norm([weight, bias], *epsilon, shape(0), from(0), own)?
            }
            graph::Op::Attention { heads } => {
                self.attention(index, *heads, node.shape, from(0), own)?
            }
            graph::Op::Gelu => match self.mode {
                Mode::Exact => Op::Lookup { table: lookup_table(Function::Gelu, from(0), own) },
                Mode::Ivit => Op::ShiftGelu {
                    one: one(from(0) * GELU_SIGMOID, 23)?,
                    factor: factor(from(0) / 128.0 / own)?,
                },
                Mode::Ibert => Op::Lookup { table: ibert_gelu_table(from(0), own) },
            },
            graph::Op::Add => Op::Add { factors: [factor(from(0) / own)?, factor(from(1) / own)?] },
            graph::Op::Multiply => Op::Multiply { factor: factor(from(0) * from(1) / own)? },
            graph::Op::MaxPool(windows) => Op::MaxPool(*windows),
            graph::Op::AveragePool(windows) => {
                let pixels = count(windows.size[0] * windows.size[1]);
                let factor = factor(from(0) / (own * pixels))?;
                Op::AveragePool { windows: *windows, factor }
            }
            graph::Op::Concat => Op::Concat {
                factors: (0..node.inputs.len())
                    .map(|i| factor(from(i) / own))
                    .collect::<Result<_, _>>()?,
            },
            graph::Op::ClassRow => Op::ClassRow,
        })
    }

    fn layer_norm(
        &self,
        [weight, bias]: [&[f32]; 2],
        epsilon: f32,
        shape: Shape,
        from: f64,
        own: f64,
    ) -> Result<Op, String> {
        let channels = count(shape.channels);
        let pairs = || weight.iter().zip(bias).map(|(&w, &b)| (f64::from(w), f64::from(b)));
        if self.mode == Mode::Exact {
            let unit = 2_f64.powi(-14) / own;
            let channel = |(weight, bias): (f64, f64)| {
                let factor = limited(factor(weight * unit)?, MOST_NORM_SHIFT);
                let offset = (bias / own * f64::from(factor.shift()).exp2() + 0.5).floor();
                if offset.abs() < 2_f64.powi(62) {
                    Ok(NormChannel { factor, offset: to_i64(offset) })
                } else {
                    Err(format!("an offset of {bias} is too large"))
                }
            };
            let epsilon = (channels * channels * f64::from(epsilon) / (from * from)).round();
            let epsilon = to_i64(epsilon.min(MOST_EPSILON)).unsigned_abs();
            let channels = pairs().map(channel).collect::<Result<_, String>>()?;
            return Ok(Op::LayerNorm { kind: NormKind::Exact { epsilon }, channels });
        }
        let unit = channels.sqrt() / 2_f64.powi(30);
        let channel = |(weight, bias): (f64, f64)| {
            // A γ near 0 makes an offset beyond 32 bits: it saturates.
            let offset = if weight == 0.0 { 0.0 } else { (bias / weight / unit).floor() };
            let offset = to_i64(offset.clamp(i32::MIN.into(), i32::MAX.into()));
            Ok(NormChannel { factor: factor(unit * weight / own)?, offset })
        };
        let channels = pairs().map(channel).collect::<Result<_, String>>()?;
        let kind = if self.mode == Mode::Ivit { NormKind::TenSteps } else { NormKind::ExactRoot };
        Ok(Op::LayerNorm { kind, channels })
    }

    fn attention(
        &self,
        index: usize,
        heads: usize,
        shape: Shape,
        from: f64,
        own: f64,
    ) -> Result<Op, String> {
        let score = f64::from(self.plan.score_scales[index]);
        let head_dim = count(shape.channels / heads);
        let scores = factor(from * from / head_dim.sqrt() / score)?;
        // I-BERT's exponential needs finer scores than 8 bits give: attention is that of `exact` there.
        Ok(match self.mode {
            Mode::Ivit => {
                let output = factor(from / 32768.0 / own)?;
                Op::Attention {
                    heads,
                    scores,
                    softmax: Softmax::Shiftmax { one: one(score, 15)? },
                    output,
                }
            }
            Mode::Exact | Mode::Ibert => {
                let output = limited(factor(from / own)?, MOST_DEFERRED_SHIFT);
                Op::Attention {
                    heads,
                    scores,
                    softmax: Softmax::Deferred { table: Box::new(exponential_table(score, 255.0)) },
                    output,
                }
            }
        })
    }
}

fn matrix(weights: &Weights, from: f64, own: f64, bits: u32) -> Result<Matrix, String> {
    let inputs = weights.inputs();
    let mut matrix = Matrix { bits, codes: Vec::new(), bias: Vec::new(), factors: Vec::new() };
    for (row, &bias) in weights.weight.chunks(inputs).zip(&weights.bias) {
        let (mut scale, mut codes) = quantize_channel(row, bits);
        let bias = f64::from(bias);
        // A channel of tiny weights beside a large bias: a coarser scale loses nothing that would be seen.
        #[expect(clippy::cast_possible_truncation, reason = "scales are f32")]
        let least = (bias.abs() / from / 2_f64.powi(30)) as f32;
        if scale < least {
            scale = least;
            codes = row
                .iter()
                .map(|&w| to_i8((f64::from(w) / f64::from(scale)).round_ties_even()))
                .collect();
        }
        let unit = from * f64::from(scale);
        let bias = to_i64((bias / unit).round_ties_even());
        let products: i64 = codes.iter().map(|&code| 128 * i64::from(code).abs()).sum();
        if products + bias.abs() > i32::MAX.into() {
            return Err(format!("sums of {inputs} products do not fit 32 bits"));
        }
        matrix.codes.extend(codes);
        matrix.bias.push(i32::try_from(bias).map_err(|error| error.to_string())?);
        matrix.factors.push(factor(unit / own)?);
    }
    Ok(matrix)
}

fn factor(ratio: f64) -> Result<Dyadic, String> {
    dyadic(ratio).ok_or_else(|| format!("a ratio of scales of {ratio} is too large"))
}

/// `⌈1 / scale⌉`: 1 in units of the scale. That of an aligned scale is whole but for the rounding of the scale to f32.
/// `1 · 2^bits` must fit 32 bits.
fn one(scale: f64, bits: u32) -> Result<i32, String> {
    let one = (1.0 / scale - 1e-3).ceil().max(1.0);
    if one * f64::from(bits).exp2() > f64::from(i32::MAX) {
        return Err(format!("a scale of {scale} is too small for an exponential of {bits} bits"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "fits 32 bits: checked")]
    Ok(one as i32)
}

#[expect(clippy::cast_possible_truncation, reason = "whole numbers; those beyond 64 bits saturate")]
fn to_i64(x: f64) -> i64 {
    x as i64
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn count(number: usize) -> f64 {
    number as f64
}
