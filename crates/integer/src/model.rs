//! A graph that is ready to run: weights packed for this CPU, buffers planned.
//!
//! Sums are exact, so instruction set, threads and batch change nothing. Several images are spread over threads, one image each; of a single image the
//! rows are, and a thread takes its rows through a whole group of nodes. Every buffer is made once and used again.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;

use crate::error::IntegerError;
use crate::graph::Graph;
use crate::groups::{Group, groups};
use crate::memory::{Plan, Value, Workspace};
use crate::prepare::{self, AnyProduct, Step};
use crate::run::Rows;

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
    pub(crate) graph: Graph,
    pub(crate) steps: Vec<Step>,
    pub(crate) plan: Plan,
    groups: Vec<Group>,
    pub(crate) kernels: &'static Kernels,
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
        let groups = groups(&graph);
        Ok(Self {
            graph,
            steps,
            plan,
            groups,
            kernels,
            pool,
            threads,
            workspaces: Mutex::default(),
        })
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
            let done = self.run(pixels, &mut workspace, threads, stop);
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
        for (node, shape) in self.graph.shapes().iter().enumerate() {
            let rows = Rows { range: 0..shape.tokens(), earlier: None, start: 0 };
            self.run_node(node, pixels, &mut workspace, &rows);
            visit(node, self.value(&workspace, node));
        }
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
    ) -> bool {
        let most = self.groups.iter().map(|group| group.tasks(threads)).max().unwrap_or(1);
        let mut parts: Vec<Workspace> =
            if most > 1 { (0..most).map(|_| self.take_workspace()).collect() } else { Vec::new() };
        for group in &self.groups {
            let tasks = group.tasks(threads);
            if tasks == 1 {
                let rows = Rows { range: 0..group.rows, earlier: None, start: 0 };
                self.run_rows(group, pixels, workspace, &rows, stop);
                continue;
            }
            let of_task = |task: usize| group.rows * task / tasks..group.rows * (task + 1) / tasks;
            let earlier = Some(&workspace.values);
            self.pool.for_each_mut(threads, &mut parts[..tasks], |task, own| {
                let rows = Rows { range: of_task(task), earlier, start: group.nodes.start };
                self.run_rows(group, pixels, own, &rows, stop);
            });
            for (task, part) in parts[..tasks].iter().enumerate() {
                for &node in &group.kept {
                    let elements = self.elements(node, &of_task(task));
                    let width = self.graph.nodes()[node].width;
                    let slot = self.plan.slots[node];
                    workspace.values.copy(&part.values, width, slot, elements);
                }
            }
        }
        self.lock().extend(parts);
        !stop.load(Ordering::Relaxed)
    }

    /// Runs the nodes of a group on some rows, until it is stopped.
    fn run_rows(
        &self,
        group: &Group,
        pixels: &[u8],
        workspace: &mut Workspace,
        rows: &Rows<'_>,
        stop: &AtomicBool,
    ) {
        for node in group.nodes.clone() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.run_node(node, pixels, workspace, rows);
        }
    }
}

fn check(what: &'static str, found: usize, expected: usize) -> Result<(), IntegerError> {
    if found == expected { Ok(()) } else { Err(IntegerError::Length { what, found, expected }) }
}
