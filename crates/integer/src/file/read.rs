//! From the bytes of a file to a graph. They are hostile: every length is checked against what there is before anything is allocated.

use std::path::Path;

use dyadic_kernels::integer::Dyadic;

use super::data::Reader;
use super::header::{Header, NodeHeader, NormHeader, OpHeader, Pair, SoftmaxHeader, WindowsHeader};
use super::{MAGIC, PREFIX, VERSION};
use crate::error::{FileErrorKind, IntegerError};
use crate::graph::{
    Description, Graph, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape, Softmax, Width,
    Windows,
};
use crc32fast::hash as crc32;

impl Graph {
    /// Whether a file that begins with these bytes is meant to be one of integers.
    #[must_use]
    pub fn is_file(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the bytes of a file; `path` stands in messages.
    ///
    /// # Errors
    /// [`IntegerError::File`] where they are damaged, of another kind or version, or hold no graph that can be run.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, IntegerError> {
        read(bytes).map_err(|kind| IntegerError::File {
            file: path.display().to_string(),
            kind: Box::new(kind),
        })
    }
}

fn read(bytes: &[u8]) -> Result<Graph, FileErrorKind> {
    if !bytes.starts_with(&MAGIC) {
        let found = bytes[..bytes.len().min(MAGIC.len())].to_vec();
        return Err(FileErrorKind::Magic { found, expected: MAGIC.to_vec() });
    }
    let truncated = |field: &str, offset: u64, needed: u64| FileErrorKind::Truncated {
        field: field.into(),
        offset,
        needed,
        available: (bytes.len() as u64).saturating_sub(offset),
    };
    let Some((prefix, rest)) = bytes.split_at_checked(PREFIX) else {
        return Err(truncated("prefix", 0, PREFIX as u64));
    };
    let version = number(&prefix[8..12]);
    if version != u64::from(VERSION) {
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        return Err(FileErrorKind::Version { found, expected: VERSION });
    }
    let (header_len, data_len) = (number(&prefix[12..16]), number(&prefix[16..24]));
    let data_start = PREFIX as u64 + header_len;
    let available = rest.len() as u64;
    if header_len > available {
        return Err(truncated("header", PREFIX as u64, header_len));
    }
    if data_len > available - header_len {
        return Err(truncated("data", data_start, data_len));
    }
    let checksum_at = data_start + data_len;
    match available - header_len - data_len {
        0..4 => return Err(truncated("checksum", checksum_at, 4)),
        4 => {}
        _ => {
            return Err(FileErrorKind::TrailingBytes {
                field: "checksum",
                expected: checksum_at + 4,
                found: bytes.len() as u64,
            });
        }
    }
    let (content, checksum) = bytes.split_at(bytes.len() - 4);
    let (found, expected) = (number(checksum), crc32(content));
    if found != u64::from(expected) {
        let found = u32::try_from(found).unwrap_or_default();
        return Err(FileErrorKind::Checksum { offset: checksum_at, found, expected });
    }
    // Both are at most the length of `content`.
    let (header, data) = content[PREFIX..].split_at(content.len() - PREFIX - to_usize(data_len));
    graph(header, data)
}

/// A little-endian number of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn graph(header: &[u8], data: &[u8]) -> Result<Graph, FileErrorKind> {
    let reason = |reason: String| FileErrorKind::Header { reason };
    let parsed: Header =
        serde_json::from_slice(header).map_err(|error| reason(error.to_string()))?;
    let mode = Mode::from_name(&parsed.mode).ok_or_else(|| {
        reason(format!("the mode is {:?}, expected \"exact\", \"ivit\" or \"ibert\"", parsed.mode))
    })?;
    let start = PREFIX + header.len();
    let mut reader = Reader::new(data, start);
    let mut nodes = Vec::new();
    for (index, header) in parsed.nodes.into_iter().enumerate() {
        reader.node = index;
        nodes.push(node(header, &mut reader)?);
    }
    if reader.rest() > 0 {
        return Err(FileErrorKind::TrailingBytes {
            field: "data of the last node",
            expected: (start + data.len() - reader.rest()) as u64,
            found: (start + data.len()) as u64,
        });
    }
    let description = Description { name: parsed.name, mode, labels: parsed.labels };
    let [height, width, channels] = parsed.input;
    Graph::new(description, Shape { height, width, channels }, nodes).map_err(FileErrorKind::Graph)
}

fn node(header: NodeHeader, reader: &mut Reader<'_>) -> Result<Node, FileErrorKind> {
    let width = Width::from_bits(header.width).ok_or_else(|| FileErrorKind::Node {
        node: reader.node,
        field: "width",
        reason: format!("{} bits, expected 8, 16 or 32", header.width),
    })?;
    let scale = dyadic(header.scale, reader.node, "scale")?;
    let op = op(header.op, reader)?;
    Ok(Node { name: header.name, op, inputs: header.inputs, width, scale })
}

fn dyadic(
    (multiplier, shift): Pair,
    node: usize,
    field: &'static str,
) -> Result<Dyadic, FileErrorKind> {
    Dyadic::new(multiplier, shift).ok_or_else(|| FileErrorKind::Node {
        node,
        field,
        reason: format!("a shift of {shift}, expected 1 to 62"),
    })
}

fn op(header: OpHeader, reader: &mut Reader<'_>) -> Result<Op, FileErrorKind> {
    let node = reader.node;
    let factor = |pair: Pair| dyadic(pair, node, "factor");
    Ok(match header {
        OpHeader::Input => Op::Input,
        OpHeader::Conv2d { bits, outputs, inputs, windows, relu } => Op::Conv2d {
            matrix: matrix(bits, outputs, inputs, reader)?,
            windows: windows_of(&windows),
            relu,
        },
        OpHeader::Linear { bits, outputs, inputs } => {
            Op::Linear { matrix: matrix(bits, outputs, inputs, reader)? }
        }
        OpHeader::AddPosition { tokens, channels, factor: pair } => Op::AddPosition {
            class_row: reader.array("class row", channels)?,
            position: reader.array("positions", tokens.saturating_mul(channels))?,
            factor: factor(pair)?,
        },
        OpHeader::LayerNorm { channels, kind } => {
            let factors = factors(channels, reader)?;
            let offsets: Vec<i64> = reader.array("offsets", channels)?;
            let channels = factors.into_iter().zip(offsets);
            let channels = channels.map(|(factor, offset)| NormChannel { factor, offset });
            let kind = match kind {
                NormHeader::Exact { epsilon } => NormKind::Exact { epsilon },
                NormHeader::TenSteps => NormKind::TenSteps,
                NormHeader::ExactRoot => NormKind::ExactRoot,
            };
            Op::LayerNorm { kind, channels: channels.collect() }
        }
        OpHeader::Attention { heads, scores, softmax, output } => Op::Attention {
            heads,
            scores: dyadic(scores, node, "scores")?,
            softmax: match softmax {
                SoftmaxHeader::Deferred => Softmax::Deferred { table: reader.table("table")? },
                SoftmaxHeader::Shiftmax { one } => Softmax::Shiftmax { one },
            },
            output: dyadic(output, node, "output")?,
        },
        OpHeader::Lookup => Op::Lookup { table: reader.table("table")? },
        OpHeader::ShiftGelu { one, factor: pair } => Op::ShiftGelu { one, factor: factor(pair)? },
        OpHeader::Add { factors: [a, b] } => Op::Add { factors: [factor(a)?, factor(b)?] },
        OpHeader::Multiply { factor: pair } => Op::Multiply { factor: factor(pair)? },
        OpHeader::MaxPool { windows } => Op::MaxPool(windows_of(&windows)),
        OpHeader::AveragePool { windows, factor: pair } => {
            Op::AveragePool { windows: windows_of(&windows), factor: factor(pair)? }
        }
        OpHeader::Concat { factors } => {
            Op::Concat { factors: factors.into_iter().map(factor).collect::<Result<_, _>>()? }
        }
        OpHeader::ClassRow => Op::ClassRow,
    })
}

fn windows_of(header: &WindowsHeader) -> Windows {
    let WindowsHeader { size, stride, padding } = *header;
    Windows { size, stride, padding }
}

fn matrix(
    bits: u32,
    outputs: usize,
    inputs: usize,
    reader: &mut Reader<'_>,
) -> Result<Matrix, FileErrorKind> {
    let count = outputs.saturating_mul(inputs);
    let codes = match bits {
        8 => reader.array("weight", count)?,
        4 => reader.nibbles("weight", count)?,
        _ => {
            return Err(FileErrorKind::Node {
                node: reader.node,
                field: "bits",
                reason: format!("weights of {bits} bits, expected 8 or 4"),
            });
        }
    };
    let bias = reader.array("bias", outputs)?;
    Ok(Matrix { bits, codes, bias, factors: factors(outputs, reader)? })
}

/// Multipliers, then shifts.
fn factors(count: usize, reader: &mut Reader<'_>) -> Result<Vec<Dyadic>, FileErrorKind> {
    let multipliers: Vec<i32> = reader.array("multipliers", count)?;
    let shifts: Vec<u8> = reader.array("shifts", count)?;
    let pairs = multipliers.into_iter().zip(shifts);
    pairs
        .map(|(multiplier, shift)| dyadic((multiplier, shift.into()), reader.node, "shifts"))
        .collect()
}
