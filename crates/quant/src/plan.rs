//! Widths and scales of every value of the integer graph.
//!
//! Bit widths follow I-ViT (Li and Gu 2023, arXiv 2207.01405): what a layer norm reads is 16 bits wide, and so is all that is added up to it, the
//! residual stream of a transformer; every other value is 8 bits wide; the logits are 32 bits of one common scale.

use dyadic_integer::{Mode, Width};

use crate::calibrate::{Magnitudes, RangeMethod};
use crate::graph::{FloatGraph, Op};

/// Why a float graph has no integer graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node {node} (\"{name}\", {op}) has no integer form: {reason}")]
pub struct PlanError {
    /// The node.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// What it does.
    pub op: &'static str,
    /// Why.
    pub reason: String,
}

impl PlanError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "ERR_INTEGER_GRAPH"
    }
}

/// How often magnitudes occur in each value of a graph, and among the scores of attention, on calibration images.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// For each node.
    pub values: Vec<Magnitudes>,
    /// For each node the scores `q · k / sqrt(head_dim)`: of attention only.
    pub scores: Vec<Magnitudes>,
}

impl Calibration {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(graph: &FloatGraph) -> Self {
        let none = vec![Magnitudes::default(); graph.nodes().len()];
        Self { values: none.clone(), scores: none }
    }

    /// Counts the value of a node for some images.
    pub fn count(&mut self, graph: &FloatGraph, node: usize, value: &[f32]) {
        self.values[node].count(value);
        for (index, reader) in graph.nodes().iter().enumerate() {
            if let Op::Attention { heads } = reader.op
                && reader.inputs == [node]
            {
                let shape = graph.nodes()[node].shape;
                for image in value.chunks_exact(shape.elements()) {
                    let scores = attention_scores(image, shape.channels / 3, heads);
                    self.scores[index].count(&scores);
                }
            }
        }
    }
}

/// `q · k / sqrt(head_dim)` of all heads, queries and keys; `qkv` is `[tokens][3][channels]`.
fn attention_scores(qkv: &[f32], channels: usize, heads: usize) -> Vec<f32> {
    let head_dim = channels / heads;
    #[expect(clippy::cast_precision_loss, reason = "the elements of a head")]
    let scale = (head_dim as f32).sqrt().recip();
    let mut scores = Vec::new();
    for head in 0..heads {
        for query in qkv.chunks_exact(3 * channels) {
            let query = &query[head * head_dim..][..head_dim];
            for key in qkv.chunks_exact(3 * channels) {
                let key = &key[channels + head * head_dim..][..head_dim];
                scores.push(query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() * scale);
            }
        }
    }
    scores
}

/// Widths and scales: a value is its integers times its scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The width of each value.
    pub widths: Vec<Width>,
    /// The scale of each value.
    pub scales: Vec<f32>,
    /// For each node the scale of the scores of attention; 0 for other nodes.
    pub score_scales: Vec<f32>,
}

/// By how much more than the largest magnitude that was seen a value of 16 bits can hold: bits that cost nothing.
const HEADROOM: f64 = 2.0;

/// Levels of the logits: 2^20, so that they stay exact in f32 and cannot overflow where others than the calibration images are larger.
const LOGIT_LEVELS: f64 = 1_048_576.0;

/// The factor of `x σ(1.702 x)`, in which `ShiftGELU` takes its argument.
pub const GELU_SIGMOID: f64 = 1.702;

impl Plan {
    /// Chooses widths and scales. `ranges` are those that training has fixed, where it has.
    ///
    /// # Errors
    /// [`PlanError`] where an operation reads or makes values of a width that it cannot.
    pub fn new(
        graph: &FloatGraph,
        calibration: &Calibration,
        ranges: &[Option<f32>],
        method: RangeMethod,
        mode: Mode,
    ) -> Result<Self, PlanError> {
        let widths = widths(graph)?;
        let nodes = graph.nodes();
        let mut scales: Vec<f32> = Vec::with_capacity(nodes.len());
        let mut score_scales = vec![0.0; nodes.len()];
        let feeds_gelu = |index: usize| {
            nodes.iter().any(|node| node.op == Op::Gelu && node.inputs.contains(&index))
        };
        for (index, node) in nodes.iter().enumerate() {
            let fixed = ranges.get(index).copied().flatten().map(f64::from);
            let magnitudes = &calibration.values[index];
            let scale = match (&node.op, widths[index]) {
                (Op::Input, _) => 1.0 / 128.0,
                // Nothing changes but the place.
                (Op::MaxPool(_) | Op::ClassRow, Width::I8 | Width::I16) => {
                    f64::from(scales[node.inputs[0]])
                }
                (_, Width::I8) => {
                    let range = fixed.unwrap_or_else(|| magnitudes.range(method, 127));
                    let scale = scale_of(range, 127.0);
                    if mode == Mode::Ivit && feeds_gelu(index) {
                        aligned(scale * GELU_SIGMOID) / GELU_SIGMOID
                    } else {
                        scale
                    }
                }
                (_, Width::I16) => {
                    let range = fixed.unwrap_or_else(|| f64::from(magnitudes.largest()) * HEADROOM);
                    scale_of(range, 32767.0)
                }
                (_, Width::I32) => scale_of(f64::from(magnitudes.largest()), LOGIT_LEVELS),
            };
            scales.push(to_f32(scale));
            if let Op::Attention { .. } = node.op {
                let scale = scale_of(calibration.scores[index].range(method, 127), 127.0);
                let scale = if mode == Mode::Ivit { aligned(scale) } else { scale };
                score_scales[index] = to_f32(scale);
            }
        }
        Ok(Self { widths, scales, score_scales })
    }
}

/// `1 / I` with a whole `I`, rounded up so that the range is still covered: Shiftmax and `ShiftGELU` divide by `ceil(1 / S)`, and only then is that no
/// error of the slope (section 4.2 of the specification).
fn aligned(scale: f64) -> f64 {
    // One that is aligned already stays, rounded to f32 as it is.
    (1.0 / scale + 1e-3).floor().max(1.0).recip()
}

/// The scale of a range; that of a range of 1 where all elements are 0.
fn scale_of(range: f64, levels: f64) -> f64 {
    let range = if range > 0.0 { range } else { 1.0 };
    (range / levels).max(1e-8)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "scales are f32, ratios are made from them in f64"
)]
fn to_f32(scale: f64) -> f32 {
    scale as f32
}

/// What reads a value decides how wide it is.
fn widths(graph: &FloatGraph) -> Result<Vec<Width>, PlanError> {
    let nodes = graph.nodes();
    let mut widths = vec![Width::I8; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        let passes_on = matches!(node.op, Op::Add | Op::AddPosition { .. } | Op::ClassRow);
        if matches!(node.op, Op::LayerNorm { .. }) || (passes_on && widths[index] == Width::I16) {
            for &input in &node.inputs {
                widths[input] = Width::I16;
            }
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        let wrong = |reason: &str| {
            let (name, op) = (node.name.clone(), node.op.name());
            Err(PlanError { node: index, name, op, reason: reason.into() })
        };
        let reads_wide = node.inputs.iter().any(|&input| widths[input] == Width::I16);
        let wide = widths[index] == Width::I16;
        match node.op {
            Op::Conv2d { .. } | Op::Linear { .. } if reads_wide => {
                return wrong("it would read 16 bits: put a layer norm before it");
            }
            Op::Add | Op::AddPosition { .. } | Op::ClassRow if reads_wide && !wide => {
                return wrong("it would read 16 bits and make 8");
            }
            Op::LayerNorm { .. }
            | Op::Attention { .. }
            | Op::Gelu
            | Op::MaxPool(_)
            | Op::AveragePool(_)
            | Op::Concat
            | Op::Multiply
            | Op::Input
                if wide || (reads_wide && !matches!(node.op, Op::LayerNorm { .. })) =>
            {
                return wrong("a layer norm may read sums and products only");
            }
            _ => {}
        }
    }
    match nodes.last() {
        Some(node) if matches!(node.op, Op::Linear { .. }) => {
            *widths.last_mut().expect("as many as nodes") = Width::I32;
            Ok(widths)
        }
        Some(node) => Err(PlanError {
            node: nodes.len() - 1,
            name: node.name.clone(),
            op: node.op.name(),
            reason: "the logits must be made by a linear layer".into(),
        }),
        None => Err(PlanError {
            node: 0,
            name: String::new(),
            op: "none",
            reason: "the graph is empty".into(),
        }),
    }
}
