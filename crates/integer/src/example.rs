//! Small graphs with random weights, for tests.

use dyadic_kernels::integer::Dyadic;
use dyadic_testkit::Rng;

use crate::graph::{
    Description, Graph, Matrix, Mode, Node, NormChannel, NormKind, Op, Shape, Softmax, Width,
    Windows,
};

/// Channels of the residual stream.
const CHANNELS: usize = 12;

/// Classes.
pub(crate) const CLASSES: usize = 5;

struct Builder {
    rng: Rng,
    nodes: Vec<Node>,
}

impl Builder {
    fn whole(&mut self, below: usize) -> i32 {
        i32::try_from(self.rng.below(below)).expect("small")
    }

    /// About `1 / 2^exponent`.
    fn factor(&mut self, exponent: u32) -> Dyadic {
        let multiplier = (1 << 30) + self.whole(1 << 30);
        Dyadic::new(multiplier, 31 + exponent).expect("a shift of 1 to 62")
    }

    fn matrix(&mut self, [outputs, inputs]: [usize; 2], bits: u32, exponent: u32) -> Matrix {
        let most = if bits == 4 { 7 } else { 127 };
        let code = |rng: &mut Rng| {
            let code = i32::try_from(rng.below(2 * most + 1)).expect("small");
            i8::try_from(code - i32::try_from(most).expect("small")).expect("8 bits")
        };
        Matrix {
            bits,
            codes: (0..outputs * inputs).map(|_| code(&mut self.rng)).collect(),
            bias: (0..outputs).map(|_| self.whole(4000) - 2000).collect(),
            factors: (0..outputs).map(|_| self.factor(exponent)).collect(),
        }
    }

    fn push(&mut self, name: &str, op: Op, inputs: &[usize], width: Width) -> usize {
        let scale = self.factor(6);
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), width, scale });
        self.nodes.len() - 1
    }

    fn norm(&mut self, kind: NormKind, from: usize) -> usize {
        let exact = matches!(kind, NormKind::Exact { .. });
        let channels = (0..CHANNELS).map(|_| NormChannel {
            factor: if exact { self.factor(8) } else { self.factor(23) },
            offset: i64::from(self.whole(2001) - 1000) << if exact { 30 } else { 0 },
        });
        let channels = channels.collect();
        self.push("norm", Op::LayerNorm { kind, channels }, &[from], Width::I8)
    }
}

/// A vision transformer of one block over images of 10 x 8 pixels, with the operations of a mode.
pub(crate) fn transformer(mode: Mode, seed: u64) -> Graph {
    let mut b = Builder { rng: Rng::new(seed), nodes: Vec::new() };
    let input = Shape { height: 10, width: 8, channels: 1 };
    let image = b.push("image", Op::Input, &[], Width::I8);
    let windows = Windows { size: [3, 3], stride: 2, padding: 1 };
    let matrix = b.matrix([CHANNELS, 9], 8, 4);
    let conv = Op::Conv2d { matrix, windows, relu: true };
    let tokens = b.push("embed", conv, &[image], Width::I16);
    let row = |b: &mut Builder, len: usize| -> Vec<i16> {
        (0..len).map(|_| i16::try_from(b.whole(2000) - 1000).expect("16 bits")).collect()
    };
    let (class_row, position) = (row(&mut b, CHANNELS), row(&mut b, 20 * CHANNELS));
    let factor = Dyadic::ONE;
    let op = Op::AddPosition { class_row, position, factor };
    let stream = b.push("tokens", op, &[tokens], Width::I16);
    let kind = match mode {
        Mode::Exact => NormKind::Exact { epsilon: 100 },
        Mode::Ivit => NormKind::TenSteps,
        Mode::Ibert => NormKind::ExactRoot,
    };
    let norm = b.norm(kind, stream);
    let op = Op::Linear { matrix: b.matrix([3 * CHANNELS, CHANNELS], 4, 5) };
    let qkv = b.push("qkv", op, &[norm], Width::I8);
    let softmax = match mode {
        Mode::Ivit => Softmax::Shiftmax { one: 16 },
        Mode::Exact | Mode::Ibert => {
            let mut table = Box::new([0; 256]);
            for (entry, distance) in table.iter_mut().zip(0..=u8::MAX) {
                *entry = 255 >> (distance / 16).min(7);
            }
            Softmax::Deferred { table }
        }
    };
    let scores = b.factor(5);
    let output = if mode == Mode::Ivit { b.factor(14) } else { Dyadic::ONE };
    let op = Op::Attention { heads: 3, scores, softmax, output };
    let attention = b.push("attention", op, &[qkv], Width::I8);
    let op = Op::Linear { matrix: b.matrix([CHANNELS, CHANNELS], 8, 3) };
    let projection = b.push("projection", op, &[attention], Width::I16);
    let op = Op::Add { factors: [b.factor(0), b.factor(0)] };
    let stream = b.push("residual", op, &[stream, projection], Width::I16);
    let norm = b.norm(kind, stream);
    let op = Op::Linear { matrix: b.matrix([2 * CHANNELS, CHANNELS], 8, 8) };
    let hidden = b.push("fc1", op, &[norm], Width::I8);
    let op = if mode == Mode::Ivit {
        Op::ShiftGelu { one: 20, factor: b.factor(6) }
    } else {
        let mut table = Box::new([0; 256]);
        table.iter_mut().zip(i8::MIN..=i8::MAX).for_each(|(entry, x)| *entry = x.max(0));
        Op::Lookup { table }
    };
    let gelu = b.push("gelu", op, &[hidden], Width::I8);
    let op = Op::Linear { matrix: b.matrix([CHANNELS, 2 * CHANNELS], 8, 3) };
    let down = b.push("fc2", op, &[gelu], Width::I16);
    let op = Op::Add { factors: [b.factor(0), b.factor(0)] };
    let stream = b.push("residual", op, &[stream, down], Width::I16);
    let class = b.push("class", Op::ClassRow, &[stream], Width::I16);
    let norm = b.norm(kind, class);
    finish(b, mode, input, norm)
}

/// A convolutional network with the operations that a transformer has not.
pub(crate) fn convolutional(seed: u64) -> Graph {
    let mut b = Builder { rng: Rng::new(seed), nodes: Vec::new() };
    let input = Shape { height: 9, width: 7, channels: 2 };
    let image = b.push("image", Op::Input, &[], Width::I8);
    let windows = Windows { size: [3, 3], stride: 1, padding: 1 };
    let op = Op::Conv2d { matrix: b.matrix([6, 18], 8, 9), windows, relu: true };
    let first = b.push("first", op, &[image], Width::I8);
    let point = Windows { size: [1, 1], stride: 1, padding: 0 };
    let op = Op::Conv2d { matrix: b.matrix([6, 6], 4, 4), windows: point, relu: false };
    let second = b.push("second", op, &[first], Width::I8);
    let op = Op::Add { factors: [b.factor(0), b.factor(0)] };
    let sum = b.push("sum", op, &[first, second], Width::I8);
    let op = Op::Multiply { factor: b.factor(6) };
    let gated = b.push("gated", op, &[sum, first], Width::I8);
    let op = Op::Concat { factors: vec![Dyadic::ONE, b.factor(0), b.factor(1)] };
    let wide = b.push("wide", op, &[gated, second, sum], Width::I8);
    let halves = Windows { size: [2, 2], stride: 2, padding: 0 };
    let pooled = b.push("pooled", Op::MaxPool(halves), &[wide], Width::I8);
    let windows = Windows { size: [4, 3], stride: 1, padding: 0 };
    let op = Op::AveragePool { windows, factor: b.factor(3) };
    let mean = b.push("mean", op, &[pooled], Width::I8);
    finish(b, Mode::Exact, input, mean)
}

fn finish(mut b: Builder, mode: Mode, input: Shape, from: usize) -> Graph {
    let inputs = match &b.nodes[from].op {
        Op::LayerNorm { channels, .. } => channels.len(),
        _ => 18,
    };
    let matrix = b.matrix([CLASSES, inputs], 8, 0);
    b.push("head", Op::Linear { matrix }, &[from], Width::I32);
    let labels = (0..CLASSES).map(|class| format!("class {class}")).collect();
    let description = Description { name: "example".into(), mode, labels };
    Graph::new(description, input, b.nodes).expect("a graph")
}

/// All of them.
pub(crate) fn all(seed: u64) -> Vec<Graph> {
    let transformers = Mode::ALL.into_iter().map(|mode| transformer(mode, seed));
    transformers.chain([convolutional(seed)]).collect()
}
