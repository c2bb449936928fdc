//! The graph of integers.
//!
//! A list of nodes in order of execution; each reads values of earlier nodes and makes one. Values are channels-last, `[height][width][channels]`; a
//! list of tokens is one of width 1. Every value is symmetric: 8 bits are −127 to 127 (the input alone has −128), 16 bits −32767 to 32767.

use std::fmt;

use dyadic_kernels::integer::Dyadic;

use crate::check;
use crate::error::IntegerError;

/// The shape of a value, for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of pixels; tokens where the width is 1.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Numbers of a pixel or token.
    pub channels: usize,
}

impl Shape {
    /// The number of pixels or tokens.
    #[must_use]
    pub const fn tokens(self) -> usize {
        self.height * self.width
    }

    /// The number of elements.
    #[must_use]
    pub const fn elements(self) -> usize {
        self.tokens() * self.channels
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {} x {}", self.height, self.width, self.channels)
    }
}

/// Windows over the pixels of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a window.
    pub size: [usize; 2],
    /// Pixels from one window to the next, in both directions.
    pub stride: usize,
    /// Pixels of zeros on each side.
    pub padding: usize,
}

/// The width of a value's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    I8,
    /// 16 bits.
    I16,
    /// 32 bits: logits.
    I32,
}

impl Width {
    /// Bits of an element.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::I8 => 8,
            Self::I16 => 16,
            Self::I32 => 32,
        }
    }

    /// The width of so many bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match bits {
            8 => Some(Self::I8),
            16 => Some(Self::I16),
            32 => Some(Self::I32),
            _ => None,
        }
    }
}

/// The non-linear operations of a graph. The nodes say what is done; this names the family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Tables, exact norm, attention with deferred normalisation.
    #[default]
    Exact,
    /// Shiftmax, `ShiftGELU` and I-LayerNorm of I-ViT (Li and Gu 2023, arXiv 2207.01405).
    Ivit,
    /// The polynomials of I-BERT (Kim et al. 2021, arXiv 2101.01321).
    Ibert,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Exact, Self::Ivit, Self::Ibert];

    /// Its name, as files and options spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ivit => "ivit",
            Self::Ibert => "ibert",
        }
    }

    /// The mode of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A matrix of integer weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The width of a weight, 8 or 4.
    pub bits: u32,
    /// `[outputs][inputs]`, −127 to 127 or −7 to 7; for a convolution the inputs are `[rows][columns][channels]`.
    pub codes: Vec<i8>,
    /// `[outputs]`, added to the sum of products.
    pub bias: Vec<i32>,
    /// `[outputs]`, by what the sum is multiplied.
    pub factors: Vec<Dyadic>,
}

impl Matrix {
    /// The number of outputs.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The number of inputs.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.codes.len() / self.bias.len().max(1)
    }
}

/// A channel of a layer norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormChannel {
    /// γ by the scale of the result.
    pub factor: Dyadic,
    /// β: by the scale of the result times `2^shift` (exact), or in units of the normalized value (others).
    pub offset: i64,
}

/// How a layer norm is made of integers; `dyadic_kernels::integer::norm` has the formulas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// The exact norm.
    Exact {
        /// ε in units of the square of a sum, at most 2^54.
        epsilon: u64,
    },
    /// I-LayerNorm of I-ViT, ten steps of Newton's.
    TenSteps,
    /// I-LayerNorm of I-BERT, the exact root.
    ExactRoot,
}

/// How the softmax of attention is made of integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Softmax {
    /// A table of `255 e^(−d S)` for each distance d from the largest score; one division for each result, at the end.
    Deferred {
        /// The table; the first entry is 255.
        table: Box<[u8; 256]>,
    },
    /// Shiftmax to 16 bits.
    Shiftmax {
        /// 1 in units of the scale of the scores, 1 to 65535.
        one: i32,
    },
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The image, pixel − 128: the first node and no other.
    Input,
    /// A convolution of 8 bits; padding is 0.
    Conv2d {
        /// Filters.
        matrix: Matrix,
        /// Where they are applied.
        windows: Windows,
        /// Whether negative results become 0.
        relu: bool,
    },
    /// A product with each token, of 8 bits.
    Linear {
        /// The weights.
        matrix: Matrix,
    },
    /// `class_row` goes first; every other token is `limit(factor · x + position)`.
    AddPosition {
        /// `[channels]`, the position of the first token already added.
        class_row: Vec<i16>,
        /// `[tokens][channels]`, of the scale of the result.
        position: Vec<i16>,
        /// The scale of x by that of the result.
        factor: Dyadic,
    },
    /// A layer norm of 8 or 16 bits, to 8.
    LayerNorm {
        /// How.
        kind: NormKind,
        /// `[channels]`
        channels: Vec<NormChannel>,
    },
    /// Attention: reads `[tokens][3][channels]`, queries, keys and values, heads in order inside each; all share a scale.
    Attention {
        /// The number of heads.
        heads: usize,
        /// From q · k to 8-bit scores, with `head_dim^−0.5`.
        scores: Dyadic,
        /// How scores become weights.
        softmax: Softmax,
        /// From the weighted sum of values to the result.
        output: Dyadic,
    },
    /// Any function of 8 bits.
    Lookup {
        /// The results, that of −128 first.
        table: Box<[i8; 256]>,
    },
    /// `ShiftGELU` of I-ViT, whose result depends on the largest element of a token.
    ShiftGelu {
        /// 1 in units of 1.702 times the scale of the input, 1 to 255.
        one: i32,
        /// From x σ, σ in units of 2^−7, to the result.
        factor: Dyadic,
    },
    /// `limit(factors[0] · a + factors[1] · b)`, each product rounded; 8 or 16 bits.
    Add {
        /// The scales of the inputs by that of the result.
        factors: [Dyadic; 2],
    },
    /// `limit(factor · (a · b))`, 8 bits.
    Multiply {
        /// The product of the scales of the inputs by that of the result.
        factor: Dyadic,
    },
    /// The largest of each window, 8 bits, without padding.
    MaxPool(Windows),
    /// `limit(factor · sum)` of each window, 8 bits, without padding.
    AveragePool {
        /// The windows.
        windows: Windows,
        /// The scale of the input by that of the result and the pixels of a window.
        factor: Dyadic,
    },
    /// Values side by side, each times its factor, 8 bits.
    Concat {
        /// For each input.
        factors: Vec<Dyadic>,
    },
    /// The first token, of any width.
    ClassRow,
}

impl Op {
    /// Its name, as files spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv2d { .. } => "conv2d",
            Self::Linear { .. } => "linear",
            Self::AddPosition { .. } => "add_position",
            Self::LayerNorm { .. } => "layer_norm",
            Self::Attention { .. } => "attention",
            Self::Lookup { .. } => "lookup",
            Self::ShiftGelu { .. } => "shift_gelu",
            Self::Add { .. } => "add",
            Self::Multiply { .. } => "multiply",
            Self::MaxPool(_) => "max_pool",
            Self::AveragePool { .. } => "average_pool",
            Self::Concat { .. } => "concat",
            Self::ClassRow => "class_row",
        }
    }

    /// Its matrix of weights.
    #[must_use]
    pub const fn matrix(&self) -> Option<&Matrix> {
        match self {
            Self::Conv2d { matrix, .. } | Self::Linear { matrix } => Some(matrix),
            _ => None,
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// For people: in messages and tables.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// The nodes that it reads, all before it.
    pub inputs: Vec<usize>,
    /// The width of its value.
    pub width: Width,
    /// What an element is multiplied by to be the number that it stands for. Nothing is computed with it: analysis and probabilities need it.
    pub scale: Dyadic,
}

/// What a graph is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// What it is called.
    pub name: String,
    /// The family of its non-linear operations.
    pub mode: Mode,
    /// What each logit stands for.
    pub labels: Vec<String>,
}

/// A network of integers, in which no sum can leave its width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    description: Description,
    nodes: Vec<Node>,
    shapes: Vec<Shape>,
}

impl Graph {
    /// Checks nodes against each other. `input` is the shape of an image; the last node makes the logits, one for each label.
    ///
    /// # Errors
    /// [`IntegerError::Node`] or [`IntegerError::Graph`], with what does not fit: shapes, widths, lengths, or bounds of sums.
    pub fn new(
        description: Description,
        input: Shape,
        nodes: Vec<Node>,
    ) -> Result<Self, IntegerError> {
        let shapes = check::shapes(&description, input, &nodes)?;
        Ok(Self { description, nodes, shapes })
    }

    /// Name, mode and labels.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// The shape of an image.
    #[must_use]
    pub fn input(&self) -> Shape {
        self.shapes[0]
    }

    /// The nodes in order of execution.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The shape of each node's value.
    #[must_use]
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// The number of logits.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.description.labels.len()
    }

    /// The scale of the logits.
    #[must_use]
    pub fn logit_scale(&self) -> Dyadic {
        self.nodes[self.nodes.len() - 1].scale
    }
}
