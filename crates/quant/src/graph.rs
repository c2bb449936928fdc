//! The float graph: what is quantized.
//!
//! A network is a list of nodes in order of execution; each reads earlier values and makes one. Values are channels-last,
//! `[height][width][channels]`; a list of tokens is one of width 1. `docs/design/integer-only.md` describes the nodes.

pub use dyadic_integer::{Shape, Windows};

/// The most elements that a value may have, for one image.
pub const MOST_ELEMENTS: usize = 1 << 24;

/// Rows and columns of windows over `shape`. `None` where a window does not fit or has nothing but padding.
#[must_use]
pub fn windows_over(windows: &Windows, shape: Shape) -> Option<[usize; 2]> {
    let Windows { size, stride, padding } = *windows;
    let along = |len: usize, size: usize| {
        let padded = padding.checked_mul(2)?.checked_add(len)?;
        if size == 0 || stride == 0 || padding >= size {
            return None;
        }
        Some(padded.checked_sub(size)? / stride + 1)
    };
    Some([along(shape.height, size[0])?, along(shape.width, size[1])?])
}

/// Calls `body(place in the window, pixel of shape)` for the pixels of the window of `row` and `column`, without those of the padding.
pub fn for_each_pixel(
    windows: &Windows,
    shape: Shape,
    [row, column]: [usize; 2],
    mut body: impl FnMut(usize, usize),
) {
    let Windows { size, stride, padding } = *windows;
    for y in 0..size[0] {
        for x in 0..size[1] {
            let pixel_row = (row * stride + y).wrapping_sub(padding);
            let pixel_column = (column * stride + x).wrapping_sub(padding);
            if pixel_row < shape.height && pixel_column < shape.width {
                body(y * size[1] + x, pixel_row * shape.width + pixel_column);
            }
        }
    }
}

/// A matrix of weights with a bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// `[outputs][inputs]`; for a convolution an output's inputs are `[rows][columns][channels]` of its window.
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

impl Weights {
    /// The number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }
}

/// What a node does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image: (pixel − 128) / 128.
    Input,
    /// A convolution.
    Conv2d {
        /// Filters and bias.
        weights: Weights,
        /// Where they are applied.
        windows: Windows,
        /// Whether negative results become 0.
        relu: bool,
    },
    /// A product with each token.
    Linear {
        /// Matrix and bias.
        weights: Weights,
    },
    /// The class token goes first, then positions are added.
    AddPosition {
        /// `[channels]`
        class_token: Vec<f32>,
        /// `[tokens + 1][channels]`
        position: Vec<f32>,
    },
    /// Each token less its mean, over its standard deviation, times `weight` plus `bias`.
    LayerNorm {
        /// `[channels]`
        weight: Vec<f32>,
        /// `[channels]`
        bias: Vec<f32>,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Softmax attention of all tokens; queries, keys and values lie side by side.
    Attention {
        /// The number of heads, in order inside each of the three.
        heads: usize,
    },
    /// `x Φ(x)`, the erf form.
    Gelu,
    /// The sum of two values.
    Add,
    /// The largest of each window.
    MaxPool(Windows),
    /// The mean of each window.
    AveragePool(Windows),
    /// Values side by side along channels.
    Concat,
    /// The product of two values, element by element.
    Multiply,
    /// The first token.
    ClassRow,
}

impl Op {
    /// Its name in model files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d { .. } => "conv2d",
            Self::Linear { .. } => "linear",
            Self::AddPosition { .. } => "add_position",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Attention { .. } => "attention",
            Self::Gelu => "gelu",
            Self::Add => "add",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool(_) => "average_pool",
            Self::Concat => "concat",
            Self::Multiply => "multiply",
            Self::ClassRow => "class_row",
        }
    }

    /// Its matrix, where it is a product with weights.
    #[must_use]
    pub const fn weights(&self) -> Option<&Weights> {
        match self {
            Self::Conv2d { weights, .. } | Self::Linear { weights } => Some(weights),
            _ => None,
        }
    }

    /// As [`Self::weights`], to change them.
    pub const fn weights_mut(&mut self) -> Option<&mut Weights> {
        match self {
            Self::Conv2d { weights, .. } | Self::Linear { weights } => Some(weights),
            _ => None,
        }
    }

    /// The shape of its value. The error says what is wrong with the inputs or the weights.
    fn shape(&self, inputs: &[Shape], input: Shape) -> Result<Shape, String> {
        let count = match self {
            Self::Input => 0,
            Self::Add | Self::Multiply => 2,
            Self::Concat => inputs.len().max(1),
            _ => 1,
        };
        if inputs.len() != count {
            return Err(format!("it has {} inputs, expected {count}", inputs.len()));
        }
        let Some(&first) = inputs.first() else { return Ok(input) };
        let expect = |what: &str, found: usize, expected: usize| {
            if found == expected {
                Ok(())
            } else {
                Err(format!("{what} has {found} elements, expected {expected}"))
            }
        };
        let windowed = |windows: &Windows, channels: usize| {
            let [height, width] = windows_over(windows, first)
                .ok_or_else(|| format!("{windows:?} are no windows over a value of {first}"))?;
            Ok(Shape { height, width, channels })
        };
        let tokens = |height: usize, channels: usize| Shape { height, width: 1, channels };
        match self {
            Self::Input => Ok(input),
            Self::Conv2d { weights, windows, .. } => {
                expect(
                    "a filter",
                    weights.inputs(),
                    windows.size[0] * windows.size[1] * first.channels,
                )?;
                windowed(windows, weights.outputs())
            }
            Self::Linear { weights } => {
                expect("a row of the weight", weights.inputs(), first.channels)?;
                Ok(Shape { channels: weights.outputs(), ..first })
            }
            Self::AddPosition { class_token, position } => {
                expect("the class token", class_token.len(), first.channels)?;
                expect("the position", position.len(), (first.tokens() + 1) * first.channels)?;
                Ok(tokens(first.tokens() + 1, first.channels))
            }
            Self::LayerNorm { weight, bias, .. } => {
                expect("the weight", weight.len(), first.channels)?;
                expect("the bias", bias.len(), first.channels)?;
                Ok(first)
            }
            Self::Attention { heads } => {
                if *heads == 0 || !first.channels.is_multiple_of(3 * heads) {
                    return Err(format!(
                        "{} channels are no q, k and v of {heads} heads",
                        first.channels
                    ));
                }
                Ok(Shape { channels: first.channels / 3, ..first })
            }
            Self::Gelu => Ok(first),
            Self::Add | Self::Multiply => {
                if inputs[1] == first {
                    Ok(first)
                } else {
                    Err(format!("its inputs are {first} and {}", inputs[1]))
                }
            }
            Self::MaxPool(windows) | Self::AveragePool(windows) => {
                if windows.padding != 0 {
                    return Err("pools have no padding".into());
                }
                windowed(windows, first.channels)
            }
            Self::Concat => {
                if inputs
                    .iter()
                    .any(|shape| (shape.height, shape.width) != (first.height, first.width))
                {
                    return Err("its inputs differ in height or width".into());
                }
                Ok(Shape { channels: inputs.iter().map(|shape| shape.channels).sum(), ..first })
            }
            Self::ClassRow => Ok(tokens(1, first.channels)),
        }
    }
}

/// A node and the shape of its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name of its weights, or of what it does.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The nodes that it reads, each before it.
    pub inputs: Vec<usize>,
    /// The shape of its value.
    pub shape: Shape,
}

/// A network of floats. Its nodes fit each other: [`FloatGraph::push`] checks them.
#[derive(Clone, Debug, PartialEq)]
pub struct FloatGraph {
    /// What it is called.
    pub name: String,
    /// What each logit stands for.
    pub labels: Vec<String>,
    input: Shape,
    nodes: Vec<Node>,
}

/// A node that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} (\"{name}\", {op}): {reason}")]
pub struct NodeError {
    /// Its index.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// What it does.
    pub op: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl FloatGraph {
    /// A graph without nodes over images of a shape.
    #[must_use]
    pub const fn new(name: String, labels: Vec<String>, input: Shape) -> Self {
        Self { name, labels, input, nodes: Vec::new() }
    }

    /// Adds a node and returns its index.
    ///
    /// # Errors
    /// [`NodeError`] where it reads no earlier node, or its weights do not fit to what it reads, or its value has more than [`MOST_ELEMENTS`] elements.
    pub fn push(&mut self, name: String, op: Op, inputs: Vec<usize>) -> Result<usize, NodeError> {
        let node = self.nodes.len();
        let shapes: Option<Vec<Shape>> =
            inputs.iter().map(|&index| Some(self.nodes.get(index)?.shape)).collect();
        let shape = shapes
            .ok_or_else(|| format!("it reads {inputs:?}, of which one is not before it"))
            .and_then(|shapes| op.shape(&shapes, self.input))
            .and_then(|shape| {
                let sides = [shape.height, shape.width, shape.channels];
                let elements =
                    sides.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
                match elements {
                    Some(1..=MOST_ELEMENTS) => Ok(shape),
                    _ => Err(format!("a value of {shape}; expected 1 to {MOST_ELEMENTS} elements")),
                }
            });
        match shape {
            Ok(shape) => {
                self.nodes.push(Node { name, op, inputs, shape });
                Ok(node)
            }
            Err(reason) => Err(NodeError { node, name, op: op.name(), reason }),
        }
    }

    /// The shape of an image.
    #[must_use]
    pub const fn input(&self) -> Shape {
        self.input
    }

    /// The nodes in order of execution; the last makes the logits.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The weights of a node that is a product, to change them; their lengths must stay.
    pub fn weights_mut(&mut self, node: usize) -> Option<&mut Weights> {
        self.nodes.get_mut(node)?.op.weights_mut()
    }

    /// For each node the last that reads it; itself where none does.
    #[must_use]
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.nodes.len()).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            for &input in &node.inputs {
                last[input] = index;
            }
        }
        last
    }
}
