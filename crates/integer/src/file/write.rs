//! From a graph to the bytes of a file.

use dyadic_kernels::integer::Dyadic;

use super::data::{write, write_nibbles};
use super::header::{Header, NodeHeader, NormHeader, OpHeader, Pair, SoftmaxHeader, WindowsHeader};
use super::{ALIGNMENT, MAGIC, PREFIX, VERSION};
use crate::graph::{Graph, Matrix, Node, NormKind, Op, Softmax, Windows};
use crc32fast::hash as crc32;

impl Graph {
    /// The bytes of the file.
    ///
    /// # Panics
    /// Where names and labels make a header of 4 GB.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut data = Vec::new();
        let description = self.description();
        let input = self.input();
        let header = Header {
            name: description.name.clone(),
            mode: description.mode.name().into(),
            labels: description.labels.clone(),
            input: [input.height, input.width, input.channels],
            nodes: self.nodes().iter().map(|node| node_header(node, &mut data)).collect(),
        };
        let mut header = serde_json::to_vec(&header).expect("integers and texts");
        header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
        let mut bytes = Vec::with_capacity(PREFIX + header.len() + data.len() + 4);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(header.len()).expect("below 4 GB").to_le_bytes());
        bytes.extend_from_slice(&(data.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&data);
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        bytes
    }
}

fn pair(factor: Dyadic) -> Pair {
    (factor.multiplier(), factor.shift())
}

fn node_header(node: &Node, data: &mut Vec<u8>) -> NodeHeader {
    NodeHeader {
        name: node.name.clone(),
        inputs: node.inputs.clone(),
        width: node.width.bits(),
        scale: pair(node.scale),
        op: op_header(&node.op, data),
    }
}

/// The part of an operation that stands in the header; its arrays go to `data`.
fn op_header(op: &Op, data: &mut Vec<u8>) -> OpHeader {
    match op {
        Op::Input => OpHeader::Input,
        Op::Conv2d { matrix, windows, relu } => {
            let (bits, outputs, inputs) = write_matrix(matrix, data);
            OpHeader::Conv2d { bits, outputs, inputs, windows: header_of(windows), relu: *relu }
        }
        Op::Linear { matrix } => {
            let (bits, outputs, inputs) = write_matrix(matrix, data);
            OpHeader::Linear { bits, outputs, inputs }
        }
        Op::AddPosition { class_row, position, factor } => {
            write(data, class_row.iter().copied());
            write(data, position.iter().copied());
            let channels = class_row.len();
            let tokens = position.len() / channels.max(1);
            OpHeader::AddPosition { tokens, channels, factor: pair(*factor) }
        }
        Op::LayerNorm { kind, channels } => {
            write_factors(channels.iter().map(|channel| channel.factor), data);
            write(data, channels.iter().map(|channel| channel.offset));
            let kind = match *kind {
                NormKind::Exact { epsilon } => NormHeader::Exact { epsilon },
                NormKind::TenSteps => NormHeader::TenSteps,
                NormKind::ExactRoot => NormHeader::ExactRoot,
            };
            OpHeader::LayerNorm { channels: channels.len(), kind }
        }
        Op::Attention { heads, scores, softmax, output } => {
            let softmax = match softmax {
                Softmax::Deferred { table } => {
                    write(data, table.iter().copied());
                    SoftmaxHeader::Deferred
                }
                Softmax::Shiftmax { one } => SoftmaxHeader::Shiftmax { one: *one },
            };
            let (scores, output) = (pair(*scores), pair(*output));
            OpHeader::Attention { heads: *heads, scores, softmax, output }
        }
        Op::Lookup { table } => {
            write(data, table.iter().copied());
            OpHeader::Lookup
        }
        Op::ShiftGelu { one, factor } => OpHeader::ShiftGelu { one: *one, factor: pair(*factor) },
        Op::Add { factors } => OpHeader::Add { factors: factors.map(pair) },
        Op::Multiply { factor } => OpHeader::Multiply { factor: pair(*factor) },
        Op::MaxPool(windows) => OpHeader::MaxPool { windows: header_of(windows) },
        Op::AveragePool { windows, factor } => {
            OpHeader::AveragePool { windows: header_of(windows), factor: pair(*factor) }
        }
        Op::Concat { factors } => {
            OpHeader::Concat { factors: factors.iter().copied().map(pair).collect() }
        }
        Op::ClassRow => OpHeader::ClassRow,
    }
}

fn header_of(windows: &Windows) -> WindowsHeader {
    let Windows { size, stride, padding } = *windows;
    WindowsHeader { size, stride, padding }
}

fn write_matrix(matrix: &Matrix, data: &mut Vec<u8>) -> (u32, usize, usize) {
    if matrix.bits == 4 {
        write_nibbles(data, &matrix.codes);
    } else {
        write(data, matrix.codes.iter().copied());
    }
    write(data, matrix.bias.iter().copied());
    write_factors(matrix.factors.iter().copied(), data);
    (matrix.bits, matrix.outputs(), matrix.inputs())
}

/// Multipliers, then shifts.
fn write_factors(factors: impl Iterator<Item = Dyadic> + Clone, data: &mut Vec<u8>) {
    write(data, factors.clone().map(Dyadic::multiplier));
    write(data, factors.map(|factor| factor.shift().to_le_bytes()[0]));
}
