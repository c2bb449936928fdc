//! Post-training quantization: bit allocation, costs and partial products.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use dyadic_integer::{Graph, IntegerModel, Mode, ModelOptions, Shape};
use dyadic_model::engine::{Event, Job, Outcome};
use dyadic_model::safetensors::SafetensorsFile;
use dyadic_model::vision::{
    Budgets, FloatVision, QuantizeOptions, Sensitivity, WeightBits, compare, quantize, read,
};
use dyadic_model::{EngineError, ModelError};
use dyadic_quant::allocate::{Choice, Problem};
use dyadic_quant::calibrate::RangeMethod;
use dyadic_quant::cost::{self, Machine};
use dyadic_quant::partial_products::{Encoding, partial_products};
use dyadic_tensor::pool::Pool;
use napi::bindgen_prelude::{Int8ArraySlice, Uint8ArraySlice};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::hub::Hub;
use crate::machine::machine;
use crate::pictures::{NativeImage, Picture, read_pictures};

/// Pictures that are read between two reports of progress.
const PICTURES_AT_ONCE: usize = 16;

/// One way to quantize a layer.
#[napi(object, object_to_js = false)]
pub struct NativeChoice {
    /// The width of its weights.
    pub bits: u32,
    /// By how much the loss rises.
    pub perturbation: f64,
    /// What it takes of each budget.
    pub costs: Vec<f64>,
}

/// An optimum.
#[napi(object, object_from_js = false)]
pub struct NativeAllocation {
    /// The width of each layer.
    pub bits: Vec<u32>,
    /// The sum of the perturbations.
    pub perturbation: f64,
    /// What it takes of each budget.
    pub costs: Vec<f64>,
}

/// Solves the integer program of bit allocation.
#[napi]
pub fn allocate_bits(
    layers: Vec<Vec<NativeChoice>>,
    limits: Vec<f64>,
    ties: Vec<Vec<u32>>,
) -> Result<NativeAllocation> {
    guard(|| {
        let choice =
            |NativeChoice { bits, perturbation, costs }| Choice { bits, perturbation, costs };
        let layers = layers.into_iter().map(|choices| choices.into_iter().map(choice).collect());
        let ties =
            ties.into_iter().map(|tie| tie.into_iter().map(|layer| layer as usize).collect());
        let problem = Problem { layers: layers.collect(), limits, ties: ties.collect() };
        let dyadic_quant::allocate::Allocation { bits, perturbation, costs } = problem.solve()?;
        Ok(NativeAllocation { bits, perturbation, costs })
    })
}

/// The partial products of weights under the encodings in the order of `Encoding::ALL`: for each the mean, the cycles, and how many weights have 0 to
/// 8 digits, eleven numbers.
#[napi]
pub fn partial_product_stats(
    weights: Int8ArraySlice<'_>,
    columns: u32,
    lanes: u32,
) -> Result<Vec<f64>> {
    guard(|| {
        let stats = Encoding::ALL
            .map(|encoding| partial_products(&weights, columns as usize, lanes as usize, encoding));
        #[expect(clippy::cast_precision_loss, reason = "counts")]
        let numbers = |counts: &[u64]| -> Vec<f64> { counts.iter().map(|&n| n as f64).collect() };
        Ok(stats
            .iter()
            .flat_map(|stats| {
                [vec![stats.mean], numbers(&[stats.cycles]), numbers(&stats.counts)].concat()
            })
            .collect())
    })
}

/// What a network runs on, and how it is stored.
#[napi(object, object_to_js = false)]
pub struct NativeCostOptions {
    /// Of products.
    pub multiply_adds_per_second: f64,
    /// Of values and weights.
    pub bytes_per_second: f64,
    /// The start of an operation.
    pub seconds_per_node: f64,
    /// The bits of a weight.
    pub weight_bits: f64,
    /// The bits of an element of a value.
    pub activation_bits: f64,
    /// Images that share the reading of weights.
    pub batch: u32,
}

/// What a node costs.
#[napi(object, object_from_js = false)]
pub struct NativeNodeCost {
    /// The name of its weights, or of what it does.
    pub name: String,
    /// What it does.
    pub op: String,
    /// For one image.
    pub multiply_adds: f64,
    /// Numbers that training has set.
    pub parameters: f64,
    /// Elements of its value.
    pub activations: f64,
    /// Bytes of its weights.
    pub weight_bytes: f64,
    /// Bytes of values that it reads and writes.
    pub activation_bytes: f64,
    /// By the roofline.
    pub seconds: f64,
}

/// The cost of each node of a vision model.
#[napi]
pub fn estimate_cost(path: String, options: NativeCostOptions) -> Result<Vec<NativeNodeCost>> {
    guard(|| {
        let graph = read(&SafetensorsFile::open(Path::new(&path))?)?.graph;
        let machine = Machine {
            multiply_adds_per_second: options.multiply_adds_per_second,
            bytes_per_second: options.bytes_per_second,
            seconds_per_node: options.seconds_per_node,
        };
        let bits = [options.weight_bits, options.activation_bits];
        let costs = cost::estimate_cost(&graph, &machine, bits, options.batch as usize);
        let nodes = graph.nodes().iter().zip(costs).map(|(node, cost)| NativeNodeCost {
            name: node.name.clone(),
            op: node.op.name().to_owned(),
            multiply_adds: cost.multiply_adds,
            parameters: cost.parameters,
            activations: cost.activations,
            weight_bytes: cost.weight_bytes,
            activation_bytes: cost.activation_bytes,
            seconds: cost.seconds,
        });
        Ok(nodes.collect())
    })
}

/// Depth, width, resolution, activations and parameters of a network whose operations are scaled by `s`.
#[napi]
pub fn scale_model(alpha: f64, s: f64) -> Result<Vec<f64>> {
    guard(|| {
        let scaling = cost::scale_model(alpha, s);
        let cost::Scaling { depth, width, resolution, activations, parameters } = scaling;
        Ok(vec![depth, width, resolution, activations, parameters])
    })
}

/// How a network is quantized.
#[napi(object, object_to_js = false)]
pub struct NativeQuantizeOptions {
    /// 'exact', 'ivit' or 'ibert'.
    pub mode: String,
    /// 4 or 8; 0 for a width for each layer.
    pub weight_bits: u32,
    /// The percentage of magnitudes that a range covers; 0 for the range of the least squared error.
    pub range: f64,
    /// Mixed widths: 'outputs', 'hutchinson' or 'traces'.
    pub sensitivity: String,
    /// Of 'hutchinson'.
    pub probes: u32,
    /// Of 'hutchinson'.
    pub seed: f64,
    /// Of 'traces'.
    pub traces: Vec<f64>,
    /// Part of the bytes between 4 and 8 bits.
    pub size: Option<f64>,
    /// Part of the bit operations.
    pub bit_operations: Option<f64>,
    /// Part of the latency.
    pub latency: Option<f64>,
    /// The times of each layer at 4 and at 8 bits.
    pub latencies: Vec<Vec<f64>>,
    /// 0 means all.
    pub threads: u32,
}

impl NativeQuantizeOptions {
    fn read(self) -> std::result::Result<QuantizeOptions, ModelError> {
        let wrong = |option: &'static str, value: &str, expected: &'static str| -> ModelError {
            EngineError::Option { option, value: value.to_owned(), expected }.into()
        };
        let mode = Mode::from_name(&self.mode)
            .ok_or_else(|| wrong("mode", &self.mode, "'exact', 'ivit' or 'ibert'"))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "TypeScript checks that it is an integer from 0 to 2^53 - 1"
        )]
        let seed = self.seed as u64;
        let sensitivity = match self.sensitivity.as_str() {
            "outputs" => Sensitivity::Outputs,
            "hutchinson" => Sensitivity::Hutchinson { probes: self.probes, seed },
            "traces" => Sensitivity::Traces(self.traces),
            other => {
                return Err(wrong("sensitivity", other, "'outputs', 'hutchinson' or 'traces'"));
            }
        };
        let times = self.latencies.iter().map(|times| match times[..] {
            [four, eight] => Ok([four, eight]),
            _ => Err(wrong("latencies", "a list", "pairs of times, at 4 and at 8 bits")),
        });
        let times = times.collect::<std::result::Result<Vec<_>, _>>()?;
        let budgets = Budgets {
            size: self.size,
            bit_operations: self.bit_operations,
            latency: self.latency.map(|part| (part, times)),
        };
        let weight_bits = match self.weight_bits {
            0 => WeightBits::Mixed { sensitivity, budgets },
            bits @ (4 | 8) => WeightBits::Uniform(bits),
            other => return Err(wrong("weightBits", &other.to_string(), "4, 8 or 'mixed'")),
        };
        let range = match self.range {
            0.0 => RangeMethod::Mse,
            100.0 => RangeMethod::MinMax,
            percent => RangeMethod::Percentile(percent),
        };
        Ok(QuantizeOptions { mode, weight_bits, range })
    }
}

/// Starts to quantize the vision model of a path by some images. Returns the job; when it is done, `hub.takeBytes(job, out)` has the file.
#[napi]
pub fn quantize_integer_only(
    hub: &Hub,
    path: String,
    images: Vec<NativeImage>,
    options: NativeQuantizeOptions,
) -> Result<u32> {
    guard(|| {
        let pictures = images.into_iter().map(Picture::from).collect();
        let threads = options.threads;
        let options = options.read()?;
        Ok(start(hub, move |job| run(job, Path::new(&path), pictures, &options, threads)))
    })
}

/// Starts to compare the values of a vision model of floats with those of an integer graph, given as the bytes of its file, on some images.
#[napi]
pub fn compare_integer_graph(
    hub: &Hub,
    path: String,
    file: Uint8ArraySlice<'_>,
    images: Vec<NativeImage>,
) -> Result<u32> {
    guard(|| {
        let file = file.to_vec();
        let pictures = images.into_iter().map(Picture::from).collect();
        Ok(start(hub, move |job| {
            let (kernels, pool) = machine(0)?;
            let graph = read(&SafetensorsFile::open(Path::new(&path))?)?.graph;
            let pixels = read_with_progress(job, pool, pictures, graph.input())?;
            let vision = FloatVision::new(kernels, pool, graph)?;
            let model = IntegerModel::new(
                Graph::from_bytes(Path::new("the integer graph"), &file)?,
                &ModelOptions::default(),
            )?;
            let mut progress = |done, all| report(job, "compare", part(done, all));
            let values = compare(&vision, &model, pool, &pixels, &mut progress)?;
            job.check()?;
            Ok(Outcome::Compared { values: values.unwrap_or_default() })
        }))
    })
}

#[expect(clippy::cast_precision_loss, reason = "a part")]
fn part(done: usize, all: usize) -> f64 {
    done as f64 / all.max(1) as f64
}

/// Tells how far a job is, and whether to go on.
fn report(job: &Job, stage: &'static str, fraction: f64) -> ControlFlow<()> {
    #[expect(clippy::cast_possible_truncation, reason = "a part")]
    job.send(Event::Progress { stage, fraction: fraction as f32 });
    if job.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// [`read_pictures`], some at a time.
fn read_with_progress(
    job: &Job,
    pool: (&Pool, usize),
    pictures: Vec<Picture>,
    shape: Shape,
) -> std::result::Result<Vec<u8>, ModelError> {
    let count = pictures.len();
    let is_work = !pictures.iter().all(Picture::is_fitted);
    let mut pictures = pictures.into_iter();
    let mut pixels = Vec::new();
    while pictures.len() > 0 {
        let some = pictures.by_ref().take(PICTURES_AT_ONCE).collect();
        pixels.extend(read_pictures(pool, some, shape, &|| job.is_cancelled())?);
        if is_work {
            // Whether to go on is asked where pictures are read.
            let _ = report(job, "read", part(count - pictures.len(), count));
        }
    }
    Ok(pixels)
}

/// Runs work on a thread of its own, and tells of its end.
fn start(
    hub: &Hub,
    work: impl FnOnce(&Job) -> std::result::Result<Outcome, ModelError> + Send + 'static,
) -> u32 {
    let job = hub.inbox().start_job(None);
    let id = job.id();
    let waiting = Arc::clone(&job);
    let work = move || {
        let done = catch_unwind(AssertUnwindSafe(|| work(&job)))
            .unwrap_or_else(|panic| Err(EngineError::from_panic(panic.as_ref()).into()));
        job.send(done.map_or_else(Event::Failed, Event::Done));
    };
    let started = std::thread::Builder::new().name("dyadic-quantize".to_owned()).spawn(work);
    if let Err(error) = started {
        waiting.send(Event::Failed(EngineError::Internal(error.to_string()).into()));
    }
    id
}

fn run(
    job: &Job,
    path: &Path,
    pictures: Vec<Picture>,
    options: &QuantizeOptions,
    threads: u32,
) -> std::result::Result<Outcome, ModelError> {
    let (kernels, pool) = machine(threads)?;
    let file = read(&SafetensorsFile::open(path)?)?;
    let pixels = read_with_progress(job, pool, pictures, file.graph.input())?;
    let mut vision = FloatVision::new(kernels, pool, file.graph)?;
    let mut progress = |stage: &'static str, fraction: f64| report(job, stage, fraction);
    let graph = quantize(&mut vision, pool, &file.ranges, &pixels, options, &mut progress)?;
    job.check()?;
    let graph = graph.ok_or_else(|| EngineError::Internal("it ended by itself".to_owned()))?;
    let bytes = graph.to_bytes();
    let matrices = graph.nodes().iter().filter_map(|node| node.op.matrix());
    let bits = matrices.map(|matrix| matrix.bits).collect();
    Ok(Outcome::Quantized { length: bytes.len(), bytes, bits })
}
