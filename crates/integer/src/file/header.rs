//! The header: the JSON between prefix and data. All its numbers are integers: one with a fraction or an exponent is refused by its type.

use serde::{Deserialize, Serialize};

/// A dyadic number: `[multiplier, shift]`.
pub(super) type Pair = (i32, u32);

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) labels: Vec<String>,
    /// Height, width and channels of an image.
    pub(super) input: [usize; 3],
    pub(super) nodes: Vec<NodeHeader>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeHeader {
    pub(super) name: String,
    pub(super) inputs: Vec<usize>,
    /// Bits of an element of the value.
    pub(super) width: u32,
    pub(super) scale: Pair,
    pub(super) op: OpHeader,
}

/// What stands of an operation in the header; its arrays are in the data.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum OpHeader {
    Input,
    Conv2d { bits: u32, outputs: usize, inputs: usize, windows: WindowsHeader, relu: bool },
    Linear { bits: u32, outputs: usize, inputs: usize },
    AddPosition { tokens: usize, channels: usize, factor: Pair },
    LayerNorm { channels: usize, kind: NormHeader },
    Attention { heads: usize, scores: Pair, softmax: SoftmaxHeader, output: Pair },
    Lookup,
    ShiftGelu { one: i32, factor: Pair },
    Add { factors: [Pair; 2] },
    Multiply { factor: Pair },
    MaxPool { windows: WindowsHeader },
    AveragePool { windows: WindowsHeader, factor: Pair },
    Concat { factors: Vec<Pair> },
    ClassRow,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowsHeader {
    pub(super) size: [usize; 2],
    pub(super) stride: usize,
    pub(super) padding: usize,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum NormHeader {
    Exact { epsilon: u64 },
    TenSteps,
    ExactRoot,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum SoftmaxHeader {
    Deferred,
    Shiftmax { one: i32 },
}
