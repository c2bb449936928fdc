//! The float graph of a safetensors file. `docs/design/integer-only.md` describes the format.

use std::cell::Cell;

use dyadic_formats::float::{bf16_to_f32, f16_to_f32};
use dyadic_quant::graph::{FloatGraph, Op, Shape, Weights, Windows};
use serde::Deserialize;

use super::VisionError;
use crate::ModelError;
use crate::dtype::Dtype;
use crate::safetensors::{SafetensorsFile, TensorInfo};

/// The version of the description that is read.
const VERSION: u32 = 1;

/// The most nodes of a graph.
const MOST_NODES: usize = 4096;

/// The largest magnitude of the value of a node, by its index, where the training has fixed it.
pub type Ranges = Vec<Option<f32>>;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionFile {
    /// The network, batch normalisation folded.
    pub graph: FloatGraph,
    /// For each node.
    pub ranges: Ranges,
}

#[derive(Deserialize)]
struct Description {
    version: u32,
    name: String,
    labels: Vec<String>,
    input: Input,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Input {
    height: usize,
    width: usize,
    channels: usize,
    mean: f64,
    scale: f64,
}

#[derive(Deserialize)]
struct Node {
    op: String,
    #[serde(default)]
    inputs: Vec<usize>,
    #[serde(default)]
    weights: String,
    stride: Option<usize>,
    padding: Option<usize>,
    window: Option<usize>,
    heads: Option<usize>,
    epsilon: Option<f32>,
    #[serde(default)]
    relu: bool,
    range: Option<f32>,
}

/// Reads the graph of a file.
///
/// # Errors
/// [`VisionError`], with the name of the file and of the tensor or node that is wrong.
pub fn read(file: &SafetensorsFile) -> Result<VisionFile, ModelError> {
    let name = file.path().display().to_string();
    let wrong = |reason: String| VisionError::Description { file: name.clone(), reason };
    let text = file.metadata().iter().find(|(key, _)| key == "dyadic").map(|(_, text)| text);
    let text = text.ok_or_else(|| VisionError::NoGraph { file: name.clone() })?;
    let description: Description =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let Description { version, labels, input, nodes, .. } = description;
    if version != VERSION {
        return Err(wrong(format!("version {version}, expected {VERSION}")).into());
    }
    if (input.mean, input.scale) != (128.0, 128.0) {
        let (mean, scale) = (input.mean, input.scale);
        let reason =
            format!("pixels are centred by {mean} and scaled by {scale}, expected 128 and 128");
        return Err(wrong(reason).into());
    }
    if nodes.len() > MOST_NODES {
        return Err(wrong(format!("{} nodes, expected at most {MOST_NODES}", nodes.len())).into());
    }
    let shape = Shape { height: input.height, width: input.width, channels: input.channels };
    let mut graph = FloatGraph::new(description.name, labels, shape);
    let mut ranges = Vec::new();
    let left = file.tensors().iter().map(TensorInfo::byte_len).sum();
    let tensors = Tensors { file, name: &name, left: Cell::new(left) };
    for node in nodes {
        let before = |index: usize| graph.nodes().get(index).map(|node| node.shape.channels);
        let channels = node.inputs.first().and_then(|&index| before(index)).unwrap_or(0);
        let op = tensors.op(&node, channels)?;
        if graph.nodes().is_empty() != (op == Op::Input) {
            return Err(wrong("the first node, and no other, must be the input".into()).into());
        }
        let range = node.range;
        if range.is_some_and(|range| !(range.is_finite() && range > 0.0)) {
            return Err(wrong(format!("the range of \"{}\" is {range:?}", node.weights)).into());
        }
        ranges.push(range);
        let title = if node.weights.is_empty() { node.op } else { node.weights };
        graph
            .push(title, op, node.inputs)
            .map_err(|error| VisionError::Node { file: name.clone(), error })?;
    }
    match graph.nodes().last() {
        Some(last) if last.shape.elements() == graph.labels.len() => {
            Ok(VisionFile { graph, ranges })
        }
        last => {
            let logits = last.map_or(0, |node| node.shape.elements());
            Err(wrong(format!("{} labels for {logits} logits", graph.labels.len())).into())
        }
    }
}

/// The tensors of a file.
struct Tensors<'a> {
    file: &'a SafetensorsFile,
    name: &'a str,
    /// The bytes that are not yet loaded. Nodes do not share weights, so that a file cannot make itself larger in memory.
    left: Cell<usize>,
}

impl Tensors<'_> {
    /// The op of a node whose input has so many channels.
    fn op(&self, node: &Node, channels: usize) -> Result<Op, ModelError> {
        let prefix = &node.weights;
        let tensor = |name: &str| self.load(&format!("{prefix}.{name}"), None);
        let vector = |name: &str, len: usize| self.load(&format!("{prefix}.{name}"), Some(&[len]));
        let attribute = |what: &str| VisionError::Description {
            file: self.name.to_owned(),
            reason: format!("the {} \"{prefix}\" has no {what}", node.op),
        };
        let pool = || -> Result<Windows, VisionError> {
            let window = node.window.ok_or_else(|| attribute("window"))?;
            let stride = node.stride.unwrap_or(window);
            Ok(Windows { size: [window; 2], stride, padding: 0 })
        };
        Ok(match node.op.as_str() {
            "input" => Op::Input,
            "conv2d" => {
                let (shape, weight) = tensor("weight")?;
                let [outputs, inputs, rows, columns] = shape[..] else {
                    return Err(self.wrong(
                        &format!("{prefix}.weight"),
                        format!("is {shape:?}, expected four axes"),
                    ));
                };
                let windows = Windows {
                    size: [rows, columns],
                    stride: node.stride.unwrap_or(1),
                    padding: node.padding.unwrap_or(0),
                };
                let mut weights = Weights {
                    weight: channels_last(&weight, [outputs, inputs, rows * columns]),
                    bias: self.bias(prefix, outputs)?,
                };
                self.fold_batch_norm(node, &mut weights)?;
                Op::Conv2d { weights, windows, relu: node.relu }
            }
            "linear" => {
                let (shape, weight) = tensor("weight")?;
                let [outputs, _] = shape[..] else {
                    return Err(self.wrong(
                        &format!("{prefix}.weight"),
                        format!("is {shape:?}, expected two axes"),
                    ));
                };
                Op::Linear { weights: Weights { weight, bias: self.bias(prefix, outputs)? } }
            }
            "add_position" => Op::AddPosition {
                class_token: tensor("class_token")?.1,
                position: tensor("position")?.1,
            },
            "layer_norm" => Op::LayerNorm {
                weight: vector("weight", channels)?.1,
                bias: vector("bias", channels)?.1,
                epsilon: self.epsilon(node)?,
            },
            "attention" => Op::Attention { heads: node.heads.ok_or_else(|| attribute("heads"))? },
            "gelu" => Op::Gelu,
            "add" => Op::Add,
            "max_pool" => Op::MaxPool(pool()?),
            "average_pool" => Op::AveragePool(pool()?),
            "concat" => Op::Concat,
            "multiply" => Op::Multiply,
            "class_row" => Op::ClassRow,
            other => {
                let reason = format!("the op \"{other}\" is not known");
                return Err(VisionError::Description { file: self.name.to_owned(), reason }.into());
            }
        })
    }

    /// The bias; zeros where there is none.
    fn bias(&self, prefix: &str, outputs: usize) -> Result<Vec<f32>, ModelError> {
        let name = format!("{prefix}.bias");
        match self.file.find_tensor(&name) {
            Some(_) => Ok(self.load(&name, Some(&[outputs]))?.1),
            None => Ok(vec![0.0; outputs]),
        }
    }

    fn epsilon(&self, node: &Node) -> Result<f32, VisionError> {
        let epsilon = node.epsilon.filter(|epsilon| epsilon.is_finite() && *epsilon > 0.0);
        epsilon.ok_or_else(|| VisionError::Description {
            file: self.name.to_owned(),
            reason: format!(
                "the epsilon of \"{}\" is {:?}, expected one above 0",
                node.weights, node.epsilon
            ),
        })
    }

    /// `bn(conv(x)) = (W x + b - mean) / sqrt(variance + epsilon) * weight + bias`, in f64.
    fn fold_batch_norm(&self, node: &Node, weights: &mut Weights) -> Result<(), ModelError> {
        let prefix = &node.weights;
        if self.file.find_tensor(&format!("{prefix}.bn.weight")).is_none() {
            return Ok(());
        }
        let (outputs, inputs) = (weights.outputs(), weights.inputs());
        let part = |name: &str| {
            Ok::<_, ModelError>(self.load(&format!("{prefix}.bn.{name}"), Some(&[outputs]))?.1)
        };
        let (weight, bias) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("mean")?, part("variance")?);
        let epsilon = f64::from(self.epsilon(node)?);
        for output in 0..outputs {
            if variance[output] < 0.0 {
                return Err(self.wrong(
                    &format!("{prefix}.bn.variance"),
                    format!("has the element {}", variance[output]),
                ));
            }
            let factor = f64::from(weight[output]) / (f64::from(variance[output]) + epsilon).sqrt();
            #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            let scaled = |x: f64| (x * factor) as f32;
            for weight in &mut weights.weight[output * inputs..][..inputs] {
                *weight = scaled(f64::from(*weight));
            }
            let centred = f64::from(weights.bias[output]) - f64::from(mean[output]);
            #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
            let folded = (centred * factor + f64::from(bias[output])) as f32;
            weights.bias[output] = folded;
        }
        Ok(())
    }

    fn wrong(&self, tensor: &str, reason: String) -> ModelError {
        VisionError::Tensor { file: self.name.to_owned(), tensor: tensor.to_owned(), reason }.into()
    }

    /// Shape and elements of a tensor, all finite.
    fn load(
        &self,
        tensor: &str,
        expected: Option<&[usize]>,
    ) -> Result<(Vec<usize>, Vec<f32>), ModelError> {
        let info = self.file.tensor(tensor)?;
        let shape = info.shape();
        if let Some(expected) = expected
            && shape != expected
        {
            return Err(self.wrong(tensor, format!("is {shape:?}, expected {expected:?}")));
        }
        if info.elements() == 0 {
            return Err(self.wrong(tensor, format!("is {shape:?}, which holds nothing")));
        }
        let Some(left) = self.left.get().checked_sub(info.byte_len()) else {
            return Err(self.wrong(tensor, "is used by two nodes, or another one is".into()));
        };
        self.left.set(left);
        let data = self.file.data(info)?;
        let halves = |decode: fn(u16) -> f32| -> Vec<f32> {
            data.chunks_exact(2)
                .map(|bytes| decode(u16::from_le_bytes([bytes[0], bytes[1]])))
                .collect()
        };
        let values: Vec<f32> = match info.dtype() {
            Dtype::F32 => data
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
            Dtype::F16 => halves(f16_to_f32),
            Dtype::BF16 => halves(bf16_to_f32),
            other => {
                return Err(self.wrong(tensor, format!("is of {other}, expected F32, F16 or BF16")));
            }
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                Err(self.wrong(tensor, format!("has the element {} at {index}", values[index])))
            }
            None => Ok((shape.to_vec(), values)),
        }
    }
}

/// From `[outputs][inputs][pixels]` to `[outputs][pixels][inputs]`.
fn channels_last(weight: &[f32], [outputs, inputs, pixels]: [usize; 3]) -> Vec<f32> {
    let mut out = Vec::with_capacity(weight.len());
    for output in 0..outputs {
        for pixel in 0..pixels {
            out.extend((0..inputs).map(|input| weight[(output * inputs + input) * pixels + pixel]));
        }
    }
    out
}
