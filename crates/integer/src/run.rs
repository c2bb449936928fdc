//! How a node is run on some of its rows, pixels or tokens.

use std::ops::Range;

use dyadic_kernels::integer::linear::LinearOutput;
use dyadic_kernels::integer::norm::{LayerNorm, NormInput};
use dyadic_kernels::integer::requantize::Requantize;
use dyadic_kernels::integer::{Dyadic, Rounding};

use crate::graph::{Op, Width};
use crate::memory::{Element, Values, Workspace};
use crate::model::IntegerModel;
use crate::prepare::{self, AnyProduct, Product, Step, symmetric};

/// Which rows are made, and where values are that were made before.
pub(crate) struct Rows<'a> {
    pub(crate) range: Range<usize>,
    /// The values of nodes before `start`, where they are not in the same workspace.
    pub(crate) earlier: Option<&'a Values>,
    pub(crate) start: usize,
}

impl Rows<'_> {
    /// The row of the class, where it is among these, the others, and the elements of the operand that come before theirs.
    fn after_class<'a, T>(
        &self,
        width: usize,
        out: &'a mut [T],
    ) -> (&'a mut [T], &'a mut [T], usize) {
        let class = if self.range.start == 0 { width } else { 0 };
        let (class, others) = out.split_at_mut(class);
        (class, others, self.range.start.saturating_sub(1) * width)
    }
}

impl IntegerModel {
    /// The elements of some rows of a node's value.
    pub(crate) fn elements(&self, node: usize, rows: &Range<usize>) -> Range<usize> {
        let channels = self.graph.shapes()[node].channels;
        rows.start * channels..rows.end * channels
    }

    /// Makes some rows of a node's value.
    pub(crate) fn run_node(
        &self,
        node: usize,
        pixels: &[u8],
        workspace: &mut Workspace,
        rows: &Rows<'_>,
    ) {
        match self.graph.nodes()[node].width {
            Width::I8 => self.make(workspace, node, rows, |workspace, out: &mut [i8]| {
                self.make_i8(node, pixels, workspace, rows, out);
            }),
            Width::I16 => self.make(workspace, node, rows, |workspace, out: &mut [i16]| {
                self.make_i16(node, workspace, rows, out);
            }),
            Width::I32 => self.make(workspace, node, rows, |workspace, out: &mut [i32]| {
                if let Step::Product(AnyProduct::I32(product)) = &self.steps[node] {
                    self.product(node, product, workspace, rows, out);
                }
            }),
        }
    }

    /// Takes the buffer of a node's value out of the workspace while it is written.
    fn make<T: Element>(
        &self,
        workspace: &mut Workspace,
        node: usize,
        rows: &Rows<'_>,
        write: impl FnOnce(&mut Workspace, &mut [T]),
    ) {
        let slot = self.plan.slots[node];
        let mut buffer = std::mem::take(&mut T::slots_mut(&mut workspace.values)[slot]);
        write(workspace, &mut buffer[self.elements(node, &rows.range)]);
        T::slots_mut(&mut workspace.values)[slot] = buffer;
    }

    /// A value that a node reads.
    fn operand<'a, T: Element>(
        &self,
        own: &'a Values,
        rows: &Rows<'a>,
        node: usize,
        operand: usize,
    ) -> &'a [T] {
        let from = self.graph.nodes()[node].inputs[operand];
        let values = rows.earlier.filter(|_| from < rows.start).unwrap_or(own);
        &T::slots(values)[self.plan.slots[from]][..self.graph.shapes()[from].elements()]
    }

    /// The rows of a value that a node reads for its own.
    fn rows_of<'a, T: Element>(
        &self,
        own: &'a Values,
        rows: &Rows<'a>,
        node: usize,
        operand: usize,
    ) -> &'a [T] {
        let from = self.graph.nodes()[node].inputs[operand];
        &self.operand(own, rows, node, operand)[self.elements(from, &rows.range)]
    }

    fn make_i8(
        &self,
        index: usize,
        pixels: &[u8],
        workspace: &mut Workspace,
        rows: &Rows<'_>,
        out: &mut [i8],
    ) {
        let node = &self.graph.nodes()[index];
        let kernels = self.kernels;
        if let Op::Input = node.op {
            for (out, pixel) in out.iter_mut().zip(&pixels[self.elements(index, &rows.range)]) {
                *out = (pixel ^ 128).cast_signed();
            }
            return;
        }
        if let Step::Product(AnyProduct::I8(product)) = &self.steps[index] {
            return self.product(index, product, workspace, rows, out);
        }
        let Workspace { values, wide, attention, .. } = workspace;
        let from = node.inputs[0];
        if self.graph.nodes()[from].width == Width::I16 {
            let x: &[i16] = self.rows_of(values, rows, index, 0);
            return self.norm(&self.steps[index], x, wide, out);
        }
        let width = self.graph.shapes()[from].channels;
        let all: &[i8] = self.operand(values, rows, index, 0);
        // Rows that are made of others than their own.
        match (&node.op, &self.steps[index]) {
            (Op::Attention { .. }, _) => {
                if let Some(constants) = prepare::attention(&node.op, width / 3) {
                    kernels.attention(all, rows.range.start, &constants, attention, out);
                }
                return;
            }
            (Op::ClassRow, _) => return out.copy_from_slice(&all[..width]),
            (Op::AddPosition { class_row, position, .. }, Step::Add(add)) => {
                let (class, others, before) = rows.after_class(width, out);
                let positions = class_row.iter().zip(class);
                positions.for_each(|(&x, out)| *out = add.output.finish(x.into()));
                for ((x, y), out) in all[before..].iter().zip(&position[before..]).zip(others) {
                    *out = add.output.finish(add.x.apply((*x).into()) + i64::from(*y));
                }
                return;
            }
            (_, Step::MaxPool(window)) => return kernels.max_pool(all, window, out),
            (_, Step::AveragePool(window, average)) => {
                return kernels.average_pool(all, window, average, out);
            }
            _ => {}
        }
        let x = self.rows_of(values, rows, index, 0);
        match (&node.op, &self.steps[index]) {
            (Op::Lookup { table }, _) => kernels.lookup(x, table, out),
            (Op::Concat { factors }, _) => {
                for (operand, factor) in factors.iter().enumerate() {
                    let before = node.inputs[..operand].iter();
                    let before = before.map(|&from| self.graph.shapes()[from].channels).sum();
                    let width = self.graph.shapes()[node.inputs[operand]].channels;
                    let x = self.rows_of(values, rows, index, operand);
                    self.concat(
                        (x, width),
                        *factor,
                        (&mut *out, self.graph.shapes()[index].channels, before),
                    );
                }
            }
            (_, Step::Add(add)) => {
                kernels.add_quantized(x, self.rows_of(values, rows, index, 1), add, out);
            }
            (_, Step::Multiply(multiply)) => {
                kernels.multiply_quantized(x, self.rows_of(values, rows, index, 1), multiply, out);
            }
            (_, Step::ShiftGelu(function)) => kernels.shift_gelu(x, width, function, out),
            (_, step) => self.norm(step, x, wide, out),
        }
    }

    fn make_i16(&self, index: usize, workspace: &mut Workspace, rows: &Rows<'_>, out: &mut [i16]) {
        if let Step::Product(AnyProduct::I16(product)) = &self.steps[index] {
            return self.product(index, product, workspace, rows, out);
        }
        let node = &self.graph.nodes()[index];
        let values = &workspace.values;
        match (&node.op, &self.steps[index]) {
            (Op::AddPosition { class_row, position, .. }, Step::Add(add)) => {
                let x: &[i16] = self.operand(values, rows, index, 0);
                let (class, others, before) = rows.after_class(class_row.len(), out);
                class.copy_from_slice(&class_row[..class.len()]);
                let (x, y) = (&x[before..][..others.len()], &position[before..][..others.len()]);
                self.kernels.add_quantized(x, y, add, others);
            }
            (_, Step::Add(add)) => {
                let [x, y] = [0, 1].map(|operand| self.rows_of(values, rows, index, operand));
                self.kernels.add_quantized(x, y, add, out);
            }
            _ => {
                let x: &[i16] = self.operand(values, rows, index, 0);
                out.copy_from_slice(&x[..out.len()]);
            }
        }
    }

    /// One branch of a concatenation, from rows of `width` to a part of longer rows.
    fn concat(
        &self,
        (x, width): (&[i8], usize),
        factor: Dyadic,
        (out, stride, first): (&mut [i8], usize, usize),
    ) {
        let output = symmetric(Width::I8);
        let by = Requantize { scales: &[factor], rounding: Rounding::Up, output };
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(stride)) {
            self.kernels.requantize(x, &by, &mut out[first..][..width]);
        }
    }

    fn norm<T: NormInput>(&self, step: &Step, x: &[T], wide: &mut [i32], out: &mut [i8]) {
        let output = symmetric(Width::I8);
        match step {
            Step::Norm(channels, epsilon) => {
                let by = LayerNorm { channels, epsilon: *epsilon, subtract_mean: true, output };
                self.kernels.layer_norm_exact(x, &by, out);
            }
            Step::INorm(offsets, scales, root) => {
                let wide = &mut wide[..x.len()];
                self.kernels.i_layer_norm(x, offsets, *root, wide);
                let by = Requantize { scales, rounding: Rounding::Up, output };
                self.kernels.requantize(wide, &by, out);
            }
            _ => {}
        }
    }

    fn product<O: LinearOutput>(
        &self,
        index: usize,
        product: &Product<O>,
        workspace: &mut Workspace,
        rows: &Rows<'_>,
        out: &mut [O],
    ) {
        let Workspace { values, padded, .. } = workspace;
        match product {
            Product::Linear(weights) => {
                self.kernels.linear(weights, self.rows_of(values, rows, index, 0), out);
            }
            Product::Convolution(weights) => {
                let padded = &mut padded[..weights.convolution().padded_len()];
                weights.convolution().pad(self.operand(values, rows, index, 0), padded);
                self.kernels.conv2d(weights, padded, rows.range.start, out);
            }
        }
    }
}
