//! What a node needs when it runs: weights packed for this CPU, constants in the form of the kernels.

use dyadic_kernels::integer::attention::{self, Attention};
use dyadic_kernels::integer::convolution::{Conv2d, ConvolutionWeights};
use dyadic_kernels::integer::elementwise::{Add, Multiply};
use dyadic_kernels::integer::linear::{Linear, LinearOutput, LinearWeights, WeightBits};
use dyadic_kernels::integer::norm::{self, Root};
use dyadic_kernels::integer::pool::{Average, Window};
use dyadic_kernels::integer::shift_exp::ShiftExp;
use dyadic_kernels::integer::shift_gelu::ShiftGelu;
use dyadic_kernels::integer::{Dyadic, Output};

use crate::check::{convolution_of, pool_window};
use crate::graph::{Graph, Matrix, NormKind, Op, Softmax, Width};

/// Symmetric results of a width.
pub(crate) const fn symmetric(width: Width) -> Output {
    let max = match width {
        Width::I8 => 127,
        Width::I16 => 32767,
        Width::I32 => return Output::bits(32),
    };
    Output { zero_point: 0, min: -max, max }
}

/// A product with weights.
pub(crate) enum Product<O> {
    /// Of tokens.
    Linear(LinearWeights<O>),
    /// Of windows.
    Convolution(ConvolutionWeights<O>),
}

impl<O: LinearOutput> Product<O> {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Linear(weights) => weights.bytes(),
            Self::Convolution(weights) => weights.bytes(),
        }
    }
}

/// A product to some width.
pub(crate) enum AnyProduct {
    I8(Product<i8>),
    I16(Product<i16>),
    I32(Product<i32>),
}

/// A node, ready to run.
pub(crate) enum Step {
    /// It has nothing to prepare.
    AsItIs,
    Product(AnyProduct),
    Norm(Vec<norm::NormChannel>, u64),
    /// Offsets, factors, and the rule of the root.
    INorm(Vec<i32>, Vec<Dyadic>, Root),
    ShiftGelu(ShiftGelu),
    Add(Add),
    Multiply(Multiply),
    MaxPool(Window),
    AveragePool(Window, Average),
}

/// The constants of an attention whose result has so many channels. `None` for another operation, or where there are no such constants.
pub(crate) fn attention(op: &Op, channels: usize) -> Option<Attention<'_>> {
    let Op::Attention { heads, scores, softmax, output } = op else { return None };
    Some(Attention {
        heads: *heads,
        head_dim: channels.checked_div(*heads)?,
        scores: *scores,
        softmax: match softmax {
            Softmax::Deferred { table } => attention::Softmax::Deferred(table),
            Softmax::Shiftmax { one } => attention::Softmax::Shiftmax16(ShiftExp::new(*one, 15)?),
        },
        values: *output,
        output: symmetric(Width::I8),
    })
}

/// Prepares a node. `None` where it does not fit its contract, which [`Graph::new`] has checked.
pub(crate) fn step(graph: &Graph, index: usize) -> Option<Step> {
    let node = &graph.nodes()[index];
    let output = symmetric(node.width);
    let shape = node.inputs.first().map(|&input| graph.shapes()[input]);
    Some(match &node.op {
        Op::Conv2d { matrix, windows, relu } => {
            let output = if *relu { output.relu() } else { output };
            let windows = Some(convolution_of(windows, shape?));
            Step::Product(product(matrix, windows, node.width, output)?)
        }
        Op::Linear { matrix } => Step::Product(product(matrix, None, node.width, output)?),
        Op::LayerNorm { kind, channels } => {
            let root = match kind {
                NormKind::Exact { epsilon } => {
                    let channels = channels
                        .iter()
                        .map(|channel| norm::NormChannel::new(channel.factor, channel.offset));
                    return Some(Step::Norm(channels.collect::<Option<_>>()?, *epsilon));
                }
                NormKind::TenSteps => Root::TenSteps,
                NormKind::ExactRoot => Root::Exact,
            };
            let offsets = channels.iter().map(|channel| i32::try_from(channel.offset).ok());
            let factors = channels.iter().map(|channel| channel.factor).collect();
            Step::INorm(offsets.collect::<Option<_>>()?, factors, root)
        }
        Op::ShiftGelu { one, factor } => {
            Step::ShiftGelu(ShiftGelu::new(ShiftExp::new(*one, 23)?, *factor, output))
        }
        Op::Add { factors: [x, y] } => Step::Add(Add { x: *x, y: *y, output }),
        Op::AddPosition { factor, .. } => Step::Add(Add { x: *factor, y: Dyadic::ONE, output }),
        Op::Multiply { factor } => Step::Multiply(Multiply { scale: *factor, output }),
        Op::MaxPool(windows) => Step::MaxPool(pool_window(windows, shape?)?),
        Op::AveragePool { windows, factor } => Step::AveragePool(
            pool_window(windows, shape?)?,
            Average::Requantize { scale: *factor, output },
        ),
        Op::Input | Op::Attention { .. } | Op::Lookup { .. } | Op::Concat { .. } | Op::ClassRow => {
            Step::AsItIs
        }
    })
}

fn product(
    matrix: &Matrix,
    windows: Option<Conv2d>,
    width: Width,
    output: Output,
) -> Option<AnyProduct> {
    Some(match width {
        Width::I8 => AnyProduct::I8(pack(matrix, windows, output)?),
        Width::I16 => AnyProduct::I16(pack(matrix, windows, output)?),
        Width::I32 => AnyProduct::I32(pack(matrix, windows, output)?),
    })
}

fn pack<O: LinearOutput>(
    matrix: &Matrix,
    windows: Option<Conv2d>,
    output: Output,
) -> Option<Product<O>> {
    let bits = if matrix.bits == 4 { WeightBits::Four } else { WeightBits::Eight };
    let linear = Linear {
        shape: [matrix.outputs(), matrix.inputs()],
        weights: &matrix.codes,
        bits,
        bias: &matrix.bias,
        scales: &matrix.factors,
        output,
    };
    match windows {
        Some(windows) if (windows.kernel, windows.stride) != ([1, 1], [1, 1]) => {
            ConvolutionWeights::new(&linear, windows).ok().map(Product::Convolution)
        }
        _ => LinearWeights::new(&linear).ok().map(Product::Linear),
    }
}
