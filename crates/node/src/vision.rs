//! Vision models, of integers and of floats: loading, logits, and what a file holds.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dyadic_integer::{Graph, IntegerError, IntegerModel, ModelOptions, Shape};
use dyadic_kernels::{Isa, Kernels};
use dyadic_model::file_kind::FileKind;
use dyadic_model::file_map::FileMap;
use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::{FloatVision, VisionError, read};
use dyadic_model::{EngineError, ModelError};
use dyadic_quant::graph::FloatGraph;
use dyadic_tensor::pool::Pool;
use napi::bindgen_prelude::{AsyncTask, Either, ObjectFinalize};
use napi::{Env, Task};
use napi_derive::napi;
use serde_json::{Value, json};

use crate::error::Result;
use crate::hub::NativeError;
use crate::machine::machine;
use crate::pictures::{NativeImage, Picture, read_pictures};

/// The result of work of which a promise tells.
type Outcome<T> = std::result::Result<T, ModelError>;

/// A panic on a thread of libuv would end the process.
fn attempt<T>(body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(EngineError::from_panic(panic.as_ref()).into()))
}

fn settle<T>(outcome: Outcome<T>) -> Either<T, NativeError> {
    match outcome {
        Ok(value) => Either::A(value),
        Err(error) => {
            Either::B(NativeError { code: error.code().to_owned(), message: error.to_string() })
        }
    }
}

fn read_graph(path: &Path) -> Outcome<Graph> {
    Ok(Graph::from_bytes(path, FileMap::open(path)?.bytes())?)
}

fn read_floats(path: &Path) -> Outcome<FloatGraph> {
    Ok(read(&SafetensorsFile::open(path)?)?.graph)
}

/// A node of either graph, as JSON: a `VisionNode` of ts/vision. `weights` are how wide they are and how many.
fn describe_node(
    (name, op, inputs): (&str, &str, &[usize]),
    shape: Shape,
    bits: u32,
    weights: Option<(u32, usize)>,
) -> Value {
    json!({
        "name": name,
        "op": op,
        "inputs": inputs,
        "shape": [shape.height, shape.width, shape.channels],
        "bits": bits,
        "weightBits": weights.map(|(bits, _)| bits),
        "weights": weights.map_or(0, |(_, count)| count),
    })
}

/// What a graph is, as JSON: the `VisionFile` of ts/vision.
fn describe(
    (name, mode, labels): (&str, &str, &[String]),
    input: Shape,
    logit_scale: (i32, u32),
    nodes: Vec<Value>,
) -> Value {
    let weights: u64 = nodes.iter().filter_map(|node| node["weights"].as_u64()).sum();
    json!({
        "name": name,
        "mode": mode,
        "labels": labels,
        "input": { "height": input.height, "width": input.width, "channels": input.channels },
        "weights": weights,
        "logitScale": [logit_scale.0, logit_scale.1],
        "nodes": nodes,
    })
}

fn describe_integers(graph: &Graph) -> Value {
    let nodes = graph.nodes().iter().zip(graph.shapes()).map(|(node, &shape)| {
        let matrix = node.op.matrix().map(|matrix| (matrix.bits, matrix.codes.len()));
        describe_node((&node.name, node.op.name(), &node.inputs), shape, node.width.bits(), matrix)
    });
    let description = graph.description();
    let scale = graph.logit_scale();
    describe(
        (&description.name, description.mode.name(), &description.labels),
        graph.input(),
        (scale.multiplier(), scale.shift()),
        nodes.collect(),
    )
}

fn describe_floats(graph: &FloatGraph) -> Value {
    let nodes = graph.nodes().iter().map(|node| {
        let weights = node.op.weights().map(|weights| (32, weights.weight.len()));
        describe_node((&node.name, node.op.name(), &node.inputs), node.shape, 32, weights)
    });
    describe((&graph.name, "float32", &graph.labels), graph.input(), (1, 0), nodes.collect())
}

/// A loaded network.
pub enum Network {
    /// Of integers alone.
    Integers(IntegerModel),
    /// Of floats, with the threads that it may use.
    Floats {
        /// The graph and its packed weights.
        vision: FloatVision,
        /// The pool of the process.
        pool: &'static Pool,
        /// At most so many of it.
        threads: usize,
    },
}

impl Network {
    fn load(path: &Path, floats: bool, threads: u32, isa: Option<&str>) -> Outcome<Self> {
        let isa = isa.map(str::parse::<Isa>).transpose()?;
        if floats {
            let (active, (pool, threads)) = machine(threads)?;
            let kernels = isa.map_or(Ok(active), Kernels::for_isa)?;
            let threads = threads.min(pool.threads());
            let vision = FloatVision::new(kernels, (pool, threads), read_floats(path)?)?;
            return Ok(Self::Floats { vision, pool, threads });
        }
        let options = ModelOptions { threads: NonZeroUsize::new(threads as usize), isa };
        Ok(Self::Integers(IntegerModel::new(read_graph(path)?, &options)?))
    }

    fn describe(&self) -> Value {
        let (mut description, isa, threads) = match self {
            Self::Integers(model) => {
                (describe_integers(model.graph()), model.isa(), model.threads())
            }
            Self::Floats { vision, threads, .. } => {
                (describe_floats(vision.graph()), vision.isa(), *threads)
            }
        };
        description["isa"] = isa.name().into();
        description["threads"] = threads.into();
        description["residentBytes"] = self.resident_bytes().into();
        description
    }

    fn resident_bytes(&self) -> usize {
        match self {
            Self::Integers(model) => model.resident_bytes(),
            Self::Floats { vision, .. } => vision.resident_bytes(),
        }
    }

    /// The logits of pictures; a number of JavaScript holds an i32 and an f32 alike.
    fn logits(&self, pictures: Vec<Picture>, stop: &AtomicBool) -> Outcome<Vec<f64>> {
        let stopped = || stop.load(Ordering::Relaxed);
        match self {
            Self::Integers(model) => {
                let graph = model.graph();
                let pool = (Pool::global()?, model.threads());
                let pixels = read_pictures(pool, pictures, graph.input(), &stopped)?;
                let images = pixels.len() / graph.input().elements();
                let mut logits = vec![0; images * graph.classes()];
                match model.logits(&pixels, &mut logits, stop) {
                    Err(IntegerError::Aborted) => Err(EngineError::Aborted.into()),
                    result => Ok(result.map(|()| logits.into_iter().map(f64::from).collect())?),
                }
            }
            Self::Floats { vision, pool, threads } => {
                let pool = (*pool, *threads);
                let pixels = read_pictures(pool, pictures, vision.graph().input(), &stopped)?;
                let logits = vision.logits_until(pool, &pixels, stop)?;
                Ok(logits.into_iter().map(f64::from).collect())
            }
        }
    }
}

/// Ends the calls that it was given to, soon after.
#[napi]
#[derive(Default)]
pub struct NativeStop(Arc<AtomicBool>);

#[napi]
impl NativeStop {
    /// One that has not stopped yet.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// May be called at any time, also twice.
    #[napi]
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A loaded model.
#[napi(custom_finalize)]
pub struct NativeVision {
    /// `None` once disposed. Behind a lock, for a call under way borrows the whole: disposal must not need it alone.
    network: Mutex<Option<Arc<Network>>>,
    /// Bytes that the garbage collector was told of.
    bytes: i64,
}

impl ObjectFinalize for NativeVision {
    fn finalize(self, env: Env) -> napi::Result<()> {
        self.dispose(env)
    }
}

impl NativeVision {
    fn network(&self) -> MutexGuard<'_, Option<Arc<Network>>> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[napi]
impl NativeVision {
    /// The logits of some pictures, one after another; or what went wrong, which is `ERR_ABORTED` where it was stopped.
    #[napi(ts_return_type = "Promise<number[] | NativeError>")]
    pub fn logits(&self, images: Vec<NativeImage>, stop: &NativeStop) -> AsyncTask<LogitsTask> {
        let pictures = images.into_iter().map(Picture::from).collect();
        AsyncTask::new(LogitsTask {
            network: self.network().clone(),
            pictures,
            stop: Arc::clone(&stop.0),
        })
    }

    /// What the model is, as JSON.
    #[napi]
    pub fn describe(&self) -> Result<String> {
        crate::error::guard(|| {
            let network = self.network().clone().ok_or(EngineError::Disposed)?;
            Ok(network.describe().to_string())
        })
    }

    /// Gives the memory back, at once or when running calls have ended.
    #[napi]
    pub fn dispose(&self, env: Env) -> napi::Result<()> {
        if self.network().take().is_some() {
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }
}

/// Pictures to logits.
pub struct LogitsTask {
    network: Option<Arc<Network>>,
    pictures: Vec<Picture>,
    stop: Arc<AtomicBool>,
}

impl Task for LogitsTask {
    type Output = Outcome<Vec<f64>>;
    type JsValue = Either<Vec<f64>, NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(attempt(|| {
            // Gone with the work, not when JavaScript has time to take its result.
            let network = self.network.take().ok_or(EngineError::Disposed)?;
            network.logits(std::mem::take(&mut self.pictures), &self.stop)
        }))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(settle(output))
    }
}

/// A file to a model.
pub struct LoadTask {
    path: PathBuf,
    floats: bool,
    threads: u32,
    isa: Option<String>,
}

impl Task for LoadTask {
    type Output = Outcome<Network>;
    type JsValue = Either<NativeVision, NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let Self { path, floats, threads, isa } = self;
        Ok(attempt(|| Network::load(path, *floats, *threads, isa.as_deref())))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        let network = match output {
            Ok(network) => network,
            Err(error) => return Ok(settle(Err(error))),
        };
        let bytes = i64::try_from(network.resident_bytes()).unwrap_or(i64::MAX);
        env.adjust_external_memory(bytes)?;
        Ok(Either::A(NativeVision { network: Mutex::new(Some(Arc::new(network))), bytes }))
    }
}

/// Loads a file of integers, or of floats, or says what went wrong. Threads: 0 means all. `isa` is in place of the best.
#[napi(ts_return_type = "Promise<NativeVision | NativeError>")]
pub fn load_vision(
    path: String,
    floats: bool,
    threads: u32,
    isa: Option<String>,
) -> AsyncTask<LoadTask> {
    AsyncTask::new(LoadTask { path: path.into(), floats, threads, isa })
}

/// What a file of integers or a vision model of floats holds, as JSON; null where it is another kind of file; or what went wrong.
#[napi(ts_return_type = "string | null | NativeError")]
pub fn inspect_vision(path: String) -> Either<Option<String>, NativeError> {
    settle(attempt(|| {
        let path = PathBuf::from(path);
        let file = FileMap::open(&path)?;
        let mut description = if Graph::is_file(file.bytes()) {
            describe_integers(&Graph::from_bytes(&path, file.bytes())?)
        } else if FileKind::of(file.bytes()) == FileKind::Safetensors {
            match read_floats(&path) {
                Ok(graph) => describe_floats(&graph),
                Err(ModelError::Vision(VisionError::NoGraph { .. })) => return Ok(None),
                Err(error) => return Err(error),
            }
        } else {
            return Ok(None);
        };
        description["bytes"] = file.bytes().len().into();
        Ok(Some(description.to_string()))
    }))
}
