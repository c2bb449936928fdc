//! That nodes fit to each other, and that no sum can leave its width.

use dyadic_kernels::integer::convolution::Conv2d;
use dyadic_kernels::integer::norm::{self, MAX_EPSILON, MAX_WIDTH};
use dyadic_kernels::integer::pool::Window;
use dyadic_kernels::integer::shift_exp::ShiftExp;

use crate::error::IntegerError;
use crate::graph::{
    Description, Matrix, Node, NormChannel, NormKind, Op, Shape, Softmax, Width, Windows,
};
use crate::prepare;

/// The most elements that a value, the windows of a convolution or the scores of a head may have: a small file cannot ask for more memory.
pub(crate) const MAX_ELEMENTS: usize = 1 << 24;

/// The most channels of an operand; sums of so many products of 8 bits fit 32 bits.
const MAX_CHANNELS: usize = 1 << 17;

/// What a node reads.
type Operand = (Shape, Width);

/// The shape of each value.
pub(crate) fn shapes(
    description: &Description,
    input: Shape,
    nodes: &[Node],
) -> Result<Vec<Shape>, IntegerError> {
    let mut shapes: Vec<Shape> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        let operands = node.inputs.iter().map(|&from| {
            let shape = shapes.get(from).copied();
            shape
                .map(|shape| (shape, nodes[from].width))
                .ok_or_else(|| format!("reads node {from}, which is not before it"))
        });
        let shape = operands
            .collect::<Result<Vec<_>, _>>()
            .and_then(|operands| match (&node.op, index) {
                (Op::Input, 0) => input_shape(node, &operands, input),
                (Op::Input, _) => Err("only the first node is the input".into()),
                (_, 0) => Err("the first node must be the input".into()),
                _ => shape_of(node, &operands),
            })
            .and_then(bounded)
            .map_err(|reason| IntegerError::Node {
                node: index,
                name: node.name.clone(),
                op: node.op.name(),
                reason,
            })?;
        shapes.push(shape);
    }
    let graph = |reason: String| Err(IntegerError::Graph { reason });
    let (Some(last), Some(&shape)) = (nodes.last(), shapes.last()) else {
        return graph("has no nodes".into());
    };
    let classes = description.labels.len();
    let logits = Shape { height: 1, width: 1, channels: classes };
    if classes == 0 || shape != logits || last.width != Width::I32 {
        return graph(format!(
            "ends with {shape} of {} bits for {classes} labels; expected logits of 32 bits, one for each label",
            last.width.bits()
        ));
    }
    Ok(shapes)
}

fn bounded(shape: Shape) -> Result<Shape, String> {
    let elements = shape.height.checked_mul(shape.width);
    let elements = elements.and_then(|tokens| tokens.checked_mul(shape.channels));
    match elements {
        Some(1..=MAX_ELEMENTS) if shape.channels <= MAX_CHANNELS => Ok(shape),
        _ => Err(format!(
            "a value of {shape}; expected 1 to {MAX_ELEMENTS} elements of at most {MAX_CHANNELS} channels"
        )),
    }
}

fn input_shape(node: &Node, operands: &[Operand], input: Shape) -> Result<Shape, String> {
    ensure(operands.is_empty(), || "the input reads nothing".into())?;
    ensure(node.width == Width::I8, || "the input has 8 bits".into())?;
    Ok(input)
}

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}

fn equal(what: &str, found: usize, expected: usize) -> Result<(), String> {
    ensure(found == expected, || format!("{found} {what}, expected {expected}"))
}

/// Checks a node that reads `operands`, and says what it makes.
fn shape_of(node: &Node, operands: &[Operand]) -> Result<Shape, String> {
    let expected = match &node.op {
        Op::Add { .. } | Op::Multiply { .. } => 2,
        Op::Concat { factors } => factors.len().max(1),
        _ => 1,
    };
    equal("inputs", operands.len(), expected)?;
    check_widths(node, operands)?;
    let (shape, _) = operands[0];
    match &node.op {
        Op::Input => Ok(shape),
        Op::Conv2d { matrix, windows, .. } => convolution(matrix, windows, shape, node.width),
        Op::Linear { matrix } => {
            check_matrix(matrix, shape.channels)?;
            Ok(Shape { channels: matrix.outputs(), ..shape })
        }
        Op::AddPosition { class_row, position, .. } => {
            equal("elements of the class row", class_row.len(), shape.channels)?;
            equal("elements of positions", position.len(), shape.elements())?;
            if node.width == Width::I8 {
                let fits = |row: &[i16]| row.iter().all(|x| (-127..=127).contains(x));
                ensure(fits(class_row) && fits(position), || {
                    "positions of more than 8 bits".into()
                })?;
            }
            Ok(Shape { height: shape.tokens() + 1, width: 1, channels: shape.channels })
        }
        Op::LayerNorm { kind, channels } => {
            check_norm(*kind, channels, shape.channels)?;
            Ok(shape)
        }
        Op::Attention { .. } => attention(&node.op, shape),
        Op::Lookup { .. } | Op::ClassRow => Ok(match node.op {
            Op::ClassRow => Shape { height: 1, width: 1, channels: shape.channels },
            _ => shape,
        }),
        Op::ShiftGelu { one, .. } => {
            ensure(ShiftExp::new(*one, 23).is_some(), || {
                format!("one is {one}, expected 1 to 255")
            })?;
            Ok(shape)
        }
        Op::Add { .. } | Op::Multiply { .. } => {
            let other = operands[1].0;
            ensure(shape == other, || format!("operands of {shape} and {other}"))?;
            Ok(shape)
        }
        Op::MaxPool(windows) | Op::AveragePool { windows, .. } => {
            let window = pool_window(windows, shape).filter(Window::is_valid);
            let window = window.ok_or_else(|| format!("{windows:?} do not fit {shape}"))?;
            let [height, width] = window.output();
            Ok(Shape { height, width, channels: shape.channels })
        }
        Op::Concat { factors } => {
            ensure(!factors.is_empty(), || "nothing to put side by side".into())?;
            let mut channels = 0;
            for (other, _) in operands {
                let same = (other.height, other.width) == (shape.height, shape.width);
                ensure(same, || format!("operands of {shape} and {other}"))?;
                channels += other.channels;
            }
            Ok(Shape { channels, ..shape })
        }
    }
}

/// Which widths an operation reads and makes.
fn check_widths(node: &Node, operands: &[Operand]) -> Result<(), String> {
    let read = operands[0].1;
    let narrow = |width: Width| width == Width::I8;
    let fits = match &node.op {
        Op::Conv2d { .. } | Op::Linear { .. } => narrow(read),
        Op::LayerNorm { .. } => read != Width::I32 && narrow(node.width),
        Op::Add { .. } | Op::AddPosition { .. } | Op::ClassRow => {
            read != Width::I32 && node.width == read
        }
        _ => narrow(read) && narrow(node.width),
    };
    let uniform = operands.iter().all(|&(_, width)| width == read);
    ensure(fits && uniform, || {
        let widths: Vec<u32> = operands.iter().map(|(_, width)| width.bits()).collect();
        format!("it cannot read {widths:?} bits and make {}", node.width.bits())
    })
}

fn convolution(
    matrix: &Matrix,
    windows: &Windows,
    shape: Shape,
    _width: Width,
) -> Result<Shape, String> {
    let convolution = convolution_of(windows, shape);
    ensure(convolution.is_valid(), || format!("{windows:?} do not fit {shape}"))?;
    let columns = convolution.columns();
    let [height, width] = convolution.output();
    let unfolded = height * width * columns;
    ensure(unfolded <= MAX_ELEMENTS, || {
        format!("windows of {unfolded} elements, expected at most {MAX_ELEMENTS}")
    })?;
    check_matrix(matrix, columns)?;
    Ok(Shape { height, width, channels: matrix.outputs() })
}

/// The convolution of the kernels.
pub(crate) fn convolution_of(windows: &Windows, shape: Shape) -> Conv2d {
    Conv2d {
        input: [shape.height, shape.width],
        channels: shape.channels,
        kernel: windows.size,
        stride: [windows.stride; 2],
        padding: [windows.padding; 2],
    }
}

/// The window of the kernels. `None` where there is padding.
pub(crate) fn pool_window(windows: &Windows, shape: Shape) -> Option<Window> {
    (windows.padding == 0).then_some(Window {
        input: [shape.height, shape.width],
        channels: shape.channels,
        window: windows.size,
        stride: [windows.stride; 2],
    })
}

fn check_matrix(matrix: &Matrix, inputs: usize) -> Result<(), String> {
    let outputs = matrix.bias.len();
    ensure((1..=MAX_CHANNELS).contains(&outputs), || format!("{outputs} outputs"))?;
    ensure(inputs <= MAX_CHANNELS, || {
        format!("sums of {inputs} products, expected at most {MAX_CHANNELS}")
    })?;
    equal("weights", matrix.codes.len(), outputs.saturating_mul(inputs))?;
    equal("factors", matrix.factors.len(), outputs)?;
    let limit = match matrix.bits {
        8 => 127,
        4 => 7,
        bits => return Err(format!("weights of {bits} bits, expected 8 or 4")),
    };
    let large = matrix.codes.iter().find(|code| code.unsigned_abs() > limit);
    ensure(large.is_none(), || format!("a weight of {large:?} is not within {limit}"))?;
    // Whatever the weights are: the bound is that of the widest sum.
    let products = inputs as u64 * 127 * 128;
    let most = matrix.bias.iter().map(|bias| u64::from(bias.unsigned_abs())).max().unwrap_or(0);
    ensure(products + most <= u64::from(i32::MAX.unsigned_abs()), || {
        format!("sums of {inputs} products and a bias of {most} can exceed 32 bits")
    })
}

fn check_norm(kind: NormKind, channels: &[NormChannel], expected: usize) -> Result<(), String> {
    equal("channels", channels.len(), expected)?;
    ensure(expected <= MAX_WIDTH, || format!("{expected} channels, expected at most {MAX_WIDTH}"))?;
    let exact = match kind {
        NormKind::Exact { epsilon } => {
            ensure(epsilon <= MAX_EPSILON, || format!("epsilon is {epsilon}, above 2^54"))?;
            true
        }
        NormKind::TenSteps | NormKind::ExactRoot => false,
    };
    let fits = |channel: &NormChannel| {
        if exact {
            norm::NormChannel::new(channel.factor, channel.offset).is_some()
        } else {
            i32::try_from(channel.offset).is_ok()
        }
    };
    let wrong = channels.iter().find(|channel| !fits(channel));
    ensure(wrong.is_none(), || format!("an offset is too large: {wrong:?}"))
}

fn attention(op: &Op, shape: Shape) -> Result<Shape, String> {
    let Op::Attention { heads, softmax, .. } = op else { return Ok(shape) };
    let Shape { channels: operands, .. } = shape;
    let heads = *heads;
    let divides = heads > 0 && operands.is_multiple_of(3) && (operands / 3).is_multiple_of(heads);
    ensure(divides, || {
        format!("{operands} channels are no queries, keys and values of {heads} heads")
    })?;
    let tokens = shape.tokens();
    ensure(tokens.saturating_mul(tokens) <= MAX_ELEMENTS, || {
        format!("scores of {tokens} tokens, expected at most {MAX_ELEMENTS} elements")
    })?;
    if let Softmax::Shiftmax { one } = softmax {
        ensure(ShiftExp::new(*one, 15).is_some(), || format!("one is {one}, expected 1 to 65535"))?;
    }
    let channels = operands / 3;
    let valid = prepare::attention(op, channels).is_some_and(|attention| attention.is_valid());
    ensure(valid, || {
        "the table must begin with 255 and the shift of the output be at most 39".into()
    })?;
    Ok(Shape { height: tokens, width: 1, channels })
}
