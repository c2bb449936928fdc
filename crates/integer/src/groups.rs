//! Groups of nodes that a thread can run one after another on its rows, without waiting for the rows of others.

use std::ops::Range;

use crate::graph::{Graph, Op};

/// Products that are worth a task. The graphs of tests are small.
const PRODUCTS_A_TASK: usize = if cfg!(test) { 1 } else { 1 << 18 };

/// The fewest rows of a task.
const ROWS_A_TASK: usize = if cfg!(test) { 3 } else { 8 };

/// A group.
pub(crate) struct Group {
    pub(crate) nodes: Range<usize>,
    /// Rows of every value.
    pub(crate) rows: usize,
    /// Nodes whose values others read.
    pub(crate) kept: Vec<usize>,
    /// Products of a row; 0 where the rows cannot be taken apart.
    products: usize,
}

impl Group {
    /// How many tasks so many threads are given.
    pub(crate) fn tasks(&self, threads: usize) -> usize {
        let worth = self.products.saturating_mul(self.rows) / PRODUCTS_A_TASK;
        threads.min(worth).min(self.rows / ROWS_A_TASK).max(1)
    }
}

/// What a row of a result is made of.
enum Reads {
    /// The same row of every operand.
    Row,
    /// Several rows.
    Rows,
    /// Several rows, and the result is made as a whole.
    Whole,
}

fn reads(op: &Op) -> Reads {
    match op {
        Op::Linear { .. }
        | Op::LayerNorm { .. }
        | Op::Lookup { .. }
        | Op::ShiftGelu { .. }
        | Op::Add { .. }
        | Op::Multiply { .. }
        | Op::Concat { .. } => Reads::Row,
        Op::Conv2d { .. } | Op::Attention { .. } | Op::AddPosition { .. } => Reads::Rows,
        Op::Input | Op::MaxPool(_) | Op::AveragePool { .. } | Op::ClassRow => Reads::Whole,
    }
}

/// The groups of a graph, in order.
pub(crate) fn groups(graph: &Graph) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut whole = true;
    for (index, (node, shape)) in graph.nodes().iter().zip(graph.shapes()).enumerate() {
        let reads = reads(&node.op);
        let products = node.op.matrix().map_or(0, |matrix| matrix.codes.len());
        match groups.last_mut() {
            Some(group) if matches!(reads, Reads::Row) && group.rows == shape.tokens() => {
                group.nodes.end = index + 1;
                group.products += if whole { 0 } else { products };
            }
            _ => {
                whole = matches!(reads, Reads::Whole);
                let products = if whole { 0 } else { products };
                let (nodes, rows) = (index..index + 1, shape.tokens());
                groups.push(Group { nodes, rows, kept: Vec::new(), products });
            }
        }
    }
    for group in &mut groups {
        let nodes = group.nodes.clone();
        let is_kept = |node: &usize| {
            let mut later = graph.nodes()[nodes.end..].iter();
            *node + 1 == graph.nodes().len() || later.any(|later| later.inputs.contains(node))
        };
        group.kept = nodes.clone().filter(is_kept).collect();
    }
    groups
}
