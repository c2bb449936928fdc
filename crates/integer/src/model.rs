//! A graph that is ready to run: weights packed for this CPU, buffers planned.
//!
//! Sums are exact, so instruction set, threads and batch change nothing. Several images are spread over threads, one image each; the rows of a single
//! image's products are. Every buffer is made once for each image that is under way and used again.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dyadic_kernels::integer::linear::LinearOutput;
use dyadic_kernels::integer::norm::LayerNorm;
use dyadic_kernels::integer::requantize::Requantize;
use dyadic_kernels::integer::{Dyadic, Rounding};
use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;

use crate::error::IntegerError;
use crate::graph::{Graph, Op, Width};
use crate::memory::{Element, Plan, Value, Values, Workspace};
use crate::prepare::{self, AnyProduct, Product, Step, symmetric};

/// Products that are worth a thread of their own.
const PRODUCTS_A_RUN: usize = 1 << 18;

/// How a model is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelOptions {
    /// Threads of the pool that it may use; all where absent.
    pub threads: Option<NonZeroUsize>,
    /// The instruction set, in place of the best or `DYADIC_ISA`.
    pub isa: Option<Isa>,
}

/// A network of integers, ready to run. Calls may come from several threads at once.
pub struct IntegerModel {
    graph: Graph,
    steps: Vec<Step>,
    plan: Plan,
    kernels: &'static Kernels,
    pool: &'static Pool,
    threads: usize,
    /// Those that no call uses now.
    workspaces: Mutex<Vec<Workspace>>,
}

impl std::fmt::Debug for IntegerModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IntegerModel")
            .field("graph", self.graph.description())
            .finish_non_exhaustive()
    }
}

impl IntegerModel {
    /// Packs the weights.
    ///
    /// # Errors
    /// [`IntegerError::Isa`] where this CPU lacks the instruction set, [`IntegerError::Tensor`] where `DYADIC_THREADS` is no number,
    /// [`IntegerError::Graph`] where the values of one image take more memory than is allowed.
    pub fn new(graph: Graph, options: &ModelOptions) -> Result<Self, IntegerError> {
        let kernels = match options.isa {
            Some(isa) => Kernels::for_isa(isa)?,
            None => Kernels::active()?,
        };
        let pool = Pool::global()?;
        let plan = Plan::new(&graph)?;
        let steps = (0..graph.nodes().len()).map(|index| {
            prepare::step(&graph, index).ok_or_else(|| IntegerError::Node {
                node: index,
                name: graph.nodes()[index].name.clone(),
                op: graph.nodes()[index].op.name(),
                reason: "its weights cannot be packed".into(),
            })
        });
        let steps = steps.collect::<Result<_, _>>()?;
        let threads = options.threads.map_or(pool.threads(), |most| most.get().min(pool.threads()));
        Ok(Self { graph, steps, plan, kernels, pool, threads, workspaces: Mutex::default() })
    }

    /// The graph.
    #[must_use]
    pub const fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The instruction set of the kernels.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.kernels.isa()
    }

    /// Threads that a call may use.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// Bytes of packed weights and of the values of one image.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        let weights = self.steps.iter().map(|step| match step {
            Step::Product(AnyProduct::I8(product)) => product.bytes(),
            Step::Product(AnyProduct::I16(product)) => product.bytes(),
            Step::Product(AnyProduct::I32(product)) => product.bytes(),
            _ => 0,
        });
        weights.sum::<usize>() + self.plan.bytes()
    }

    /// The logits of some images: `pixels` are `[images][height][width][channels]`, `logits` `[images][classes]`. The work ends early where `stop`
    /// becomes true.
    ///
    /// # Errors
    /// [`IntegerError::Length`] where pixels or logits are not those of whole images, [`IntegerError::Aborted`] where it was stopped.
    pub fn logits(
        &self,
        pixels: &[u8],
        logits: &mut [i32],
        stop: &AtomicBool,
    ) -> Result<(), IntegerError> {
        let image = self.graph.input().elements();
        let classes = self.graph.classes();
        let images = pixels.len() / image;
        check("bytes of pixels", pixels.len(), images.max(1) * image)?;
        check("logits", logits.len(), images * classes)?;
        let one = |pixels: &[u8], logits: &mut [i32], threads: usize| {
            let mut workspace = self.take_workspace();
            let done = self.run(pixels, &mut workspace, threads, stop, &mut |_, _| ());
            if done && let Value::I32(value) = self.value(&workspace, self.graph.nodes().len() - 1)
            {
                logits.copy_from_slice(value);
            }
            self.lock().push(workspace);
        };
        if images == 1 {
            one(pixels, logits, self.threads);
        } else {
            self.pool.for_each_rows(self.threads, logits, classes, 1, |first, logits| {
                let pixels = pixels[first * image..].chunks_exact(image);
                for (pixels, logits) in pixels.zip(logits.chunks_exact_mut(classes)) {
                    one(pixels, logits, 1);
                }
            });
        }
        if stop.load(Ordering::Relaxed) { Err(IntegerError::Aborted) } else { Ok(()) }
    }

    /// Calls `visit(node, value)` with every value of one image, in order of execution.
    ///
    /// # Errors
    /// [`IntegerError::Length`] where the pixels are not those of one image.
    pub fn observe(
        &self,
        pixels: &[u8],
        visit: &mut dyn FnMut(usize, Value<'_>),
    ) -> Result<(), IntegerError> {
        check("bytes of pixels", pixels.len(), self.graph.input().elements())?;
        let mut workspace = self.take_workspace();
        self.run(pixels, &mut workspace, self.threads, &AtomicBool::new(false), visit);
        self.lock().push(workspace);
        Ok(())
    }

    fn lock(&self) -> impl std::ops::DerefMut<Target = Vec<Workspace>> + '_ {
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_workspace(&self) -> Workspace {
        let spare = self.lock().pop();
        spare.unwrap_or_else(|| self.plan.workspace())
    }

    fn value<'a>(&self, workspace: &'a Workspace, node: usize) -> Value<'a> {
        let (slot, len) = (self.plan.slots[node], self.graph.shapes()[node].elements());
        workspace.values.get(self.graph.nodes()[node].width, slot, len)
    }

    /// Runs all nodes. Returns whether it was not stopped.
    fn run(
        &self,
        pixels: &[u8],
        workspace: &mut Workspace,
        threads: usize,
        stop: &AtomicBool,
        visit: &mut dyn FnMut(usize, Value<'_>),
    ) -> bool {
        for (index, node) in self.graph.nodes().iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return false;
            }
            match node.width {
                Width::I8 => self.make(workspace, index, |workspace, out: &mut [i8]| {
                    self.make_i8(index, pixels, workspace, out, threads);
                }),
                Width::I16 => self.make(workspace, index, |workspace, out: &mut [i16]| {
                    self.make_i16(index, workspace, out, threads);
                }),
                Width::I32 => self.make(workspace, index, |workspace, out: &mut [i32]| {
                    if let Step::Product(AnyProduct::I32(product)) = &self.steps[index] {
                        self.product(index, product, workspace, out, threads);
                    }
                }),
            }
            visit(index, self.value(workspace, index));
        }
        true
    }

    /// Takes the buffer of a node's value out of the workspace while it is written.
    fn make<T: Element>(
        &self,
        workspace: &mut Workspace,
        node: usize,
        write: impl FnOnce(&mut Workspace, &mut [T]),
    ) {
        let slot = self.plan.slots[node];
        let mut buffer = std::mem::take(&mut T::slots_mut(&mut workspace.values)[slot]);
        write(workspace, &mut buffer[..self.graph.shapes()[node].elements()]);
        T::slots_mut(&mut workspace.values)[slot] = buffer;
    }

    /// A value that a node reads.
    fn operand<'a, T: Element>(&self, values: &'a Values, node: usize, operand: usize) -> &'a [T] {
        let from = self.graph.nodes()[node].inputs[operand];
        &T::slots(values)[self.plan.slots[from]][..self.graph.shapes()[from].elements()]
    }

    fn make_i8(
        &self,
        index: usize,
        pixels: &[u8],
        workspace: &mut Workspace,
        out: &mut [i8],
        threads: usize,
    ) {
        let node = &self.graph.nodes()[index];
        let kernels = self.kernels;
        if let Op::Input = node.op {
            for (out, pixel) in out.iter_mut().zip(pixels) {
                *out = (pixel ^ 128).cast_signed();
            }
            return;
        }
        if let Step::Product(AnyProduct::I8(product)) = &self.steps[index] {
            return self.product(index, product, workspace, out, threads);
        }
        let Workspace { values, wide, attention, .. } = workspace;
        let from = node.inputs[0];
        if self.graph.nodes()[from].width == Width::I16 {
            let x: &[i16] = self.operand(values, index, 0);
            return self.norm(&self.steps[index], x, wide, out);
        }
        let x: &[i8] = self.operand(values, index, 0);
        let width = self.graph.shapes()[from].channels;
        match (&node.op, &self.steps[index]) {
            (Op::Attention { .. }, _) => {
                if let Some(constants) = prepare::attention(&node.op, width / 3) {
                    kernels.attention(x, 0, &constants, attention, out);
                }
            }
            (Op::Lookup { table }, _) => kernels.lookup(x, table, out),
            (Op::ClassRow, _) => out.copy_from_slice(&x[..width]),
            (Op::Concat { factors }, _) => {
                for (operand, factor) in factors.iter().enumerate() {
                    let before = node.inputs[..operand].iter();
                    let before = before.map(|&from| self.graph.shapes()[from].channels).sum();
                    let width = self.graph.shapes()[node.inputs[operand]].channels;
                    let x = self.operand(values, index, operand);
                    self.concat(
                        (x, width),
                        *factor,
                        (&mut *out, self.graph.shapes()[index].channels, before),
                    );
                }
            }
            (Op::AddPosition { class_row, position, .. }, Step::Add(add)) => {
                let (first, others) = out.split_at_mut(width);
                let positions = class_row.iter().zip(first);
                positions.for_each(|(&x, out)| *out = add.output.finish(x.into()));
                for ((x, y), out) in x.iter().zip(position).zip(others) {
                    *out = add.output.finish(add.x.apply((*x).into()) + i64::from(*y));
                }
            }
            (_, Step::Add(add)) => {
                kernels.add_quantized(x, self.operand(values, index, 1), add, out);
            }
            (_, Step::Multiply(multiply)) => {
                kernels.multiply_quantized(x, self.operand(values, index, 1), multiply, out);
            }
            (_, Step::ShiftGelu(function)) => kernels.shift_gelu(x, width, function, out),
            (_, Step::MaxPool(window)) => kernels.max_pool(x, window, out),
            (_, Step::AveragePool(window, average)) => {
                kernels.average_pool(x, window, average, out);
            }
            (_, step) => self.norm(step, x, wide, out),
        }
    }

    fn make_i16(&self, index: usize, workspace: &mut Workspace, out: &mut [i16], threads: usize) {
        if let Step::Product(AnyProduct::I16(product)) = &self.steps[index] {
            return self.product(index, product, workspace, out, threads);
        }
        let node = &self.graph.nodes()[index];
        let x: &[i16] = self.operand(&workspace.values, index, 0);
        match (&node.op, &self.steps[index]) {
            (Op::AddPosition { class_row, position, .. }, Step::Add(add)) => {
                let (first, others) = out.split_at_mut(class_row.len());
                first.copy_from_slice(class_row);
                self.kernels.add_quantized(x, position, add, others);
            }
            (_, Step::Add(add)) => {
                let y = self.operand(&workspace.values, index, 1);
                self.kernels.add_quantized(x, y, add, out);
            }
            _ => out.copy_from_slice(&x[..out.len()]),
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

    fn norm<T: dyadic_kernels::integer::norm::NormInput>(
        &self,
        step: &Step,
        x: &[T],
        wide: &mut [i32],
        out: &mut [i8],
    ) {
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

    fn product<O: LinearOutput + Send + Sync>(
        &self,
        index: usize,
        product: &Product<O>,
        workspace: &mut Workspace,
        out: &mut [O],
        threads: usize,
    ) {
        let Workspace { values, padded, .. } = workspace;
        let x: &[i8] = self.operand(values, index, 0);
        let rows = self.graph.shapes()[index].channels;
        let products = self.graph.nodes()[index].op.matrix().map_or(1, |matrix| matrix.codes.len());
        let least = PRODUCTS_A_RUN / products;
        match product {
            Product::Linear(weights) => {
                let columns = weights.columns();
                self.for_each_rows(threads, out, rows, least, |first, out| {
                    let tokens = out.len() / rows;
                    self.kernels.linear(weights, &x[first * columns..][..tokens * columns], out);
                });
            }
            Product::Convolution(weights) => {
                let padded = &mut padded[..weights.convolution().padded_len()];
                weights.convolution().pad(x, padded);
                self.for_each_rows(threads, out, rows, least, |first, out| {
                    self.kernels.conv2d(weights, padded, first, out);
                });
            }
        }
    }

    fn for_each_rows<T: Send>(
        &self,
        threads: usize,
        data: &mut [T],
        width: usize,
        least: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        if threads == 1 {
            return body(0, data);
        }
        let least = least.next_multiple_of(4).max(4);
        self.pool.for_each_rows(threads, data, width, least, body);
    }
}

fn check(what: &'static str, found: usize, expected: usize) -> Result<(), IntegerError> {
    if found == expected { Ok(()) } else { Err(IntegerError::Length { what, found, expected }) }
}
