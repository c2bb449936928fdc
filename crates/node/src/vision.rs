//! Vision models of integers: loading, classification, and what a file holds.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dyadic_integer::{Graph, Image, ImageError, IntegerError, IntegerModel, ModelOptions};
use dyadic_kernels::{Isa, IsaError};
use dyadic_model::EngineError;
use dyadic_model::file_map::{FileError, FileMap};
use napi::bindgen_prelude::{AsyncTask, Either, ObjectFinalize, Uint8Array};
use napi::{Env, Task};
use napi_derive::napi;
use serde_json::{Value, json};

use crate::error::Result;
use crate::hub::NativeError;

/// The result of work of which a promise tells.
type Outcome<T> = std::result::Result<T, NativeError>;

macro_rules! with_code {
    ($($error:ty),*) => {$(
        impl From<$error> for NativeError {
            fn from(error: $error) -> Self {
                Self { code: error.code().to_owned(), message: error.to_string() }
            }
        }
    )*};
}

with_code!(IntegerError, ImageError, FileError, IsaError, EngineError);

/// A panic on a thread of libuv would end the process.
fn attempt<T>(body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|panic| Err(EngineError::from_panic(panic.as_ref()).into()))
}

fn settle<T>(outcome: Outcome<T>) -> Either<T, NativeError> {
    outcome.map_or_else(Either::B, Either::A)
}

fn read_graph(path: &Path) -> Outcome<Graph> {
    Ok(Graph::from_bytes(path, FileMap::open(path)?.bytes())?)
}

/// What a graph is, as JSON: the `VisionDescription` of ts/vision without what depends on the machine.
fn describe(graph: &Graph) -> Value {
    let nodes = graph.nodes().iter().zip(graph.shapes()).map(|(node, shape)| {
        let matrix = node.op.matrix();
        json!({
            "name": node.name,
            "op": node.op.name(),
            "inputs": node.inputs,
            "shape": [shape.height, shape.width, shape.channels],
            "bits": node.width.bits(),
            "weightBits": matrix.map(|matrix| matrix.bits),
            "weights": matrix.map_or(0, |matrix| matrix.codes.len()),
        })
    });
    let description = graph.description();
    let input = graph.input();
    let scale = graph.logit_scale();
    json!({
        "name": description.name,
        "mode": description.mode.name(),
        "labels": description.labels,
        "input": { "height": input.height, "width": input.width, "channels": input.channels },
        "weights": graph.nodes().iter().filter_map(|node| node.op.matrix()).map(|matrix| matrix.codes.len()).sum::<usize>(),
        "logitScale": [scale.multiplier(), scale.shift()],
        "nodes": nodes.collect::<Vec<_>>(),
    })
}

/// A picture: a path, or pixels with their sizes.
#[napi(object, object_to_js = false)]
pub struct NativeImage {
    /// A PNG or JPEG file.
    pub path: Option<String>,
    /// Rows from the top, `channels` bytes a pixel.
    pub data: Option<Uint8Array>,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 1, 3 or 4.
    pub channels: u32,
}

/// A picture that a thread may look at while JavaScript goes on.
enum Picture {
    File(PathBuf),
    Pixels { width: u32, height: u32, channels: u32, data: Vec<u8> },
}

impl Picture {
    fn open(self) -> Outcome<Image> {
        match self {
            Self::File(path) => {
                let file = FileMap::open(&path)?;
                Ok(Image::decode(&path.display().to_string(), file.bytes())?)
            }
            Self::Pixels { width, height, channels, data } => {
                Ok(Image::new(width as usize, height as usize, channels as usize, data)?)
            }
        }
    }
}

impl From<NativeImage> for Picture {
    fn from(image: NativeImage) -> Self {
        let NativeImage { path, data, width, height, channels } = image;
        let data = data.map_or_else(Vec::new, |data| data.to_vec());
        path.map_or(Self::Pixels { width, height, channels, data }, |path| Self::File(path.into()))
    }
}

/// What running calls share with the model.
struct Shared {
    model: IntegerModel,
    /// The model was disposed: running calls end.
    stop: AtomicBool,
}

/// A loaded model.
#[napi(custom_finalize)]
pub struct NativeVision {
    /// `None` once disposed.
    shared: Option<Arc<Shared>>,
    /// Bytes that the garbage collector was told of.
    bytes: i64,
}

impl ObjectFinalize for NativeVision {
    fn finalize(mut self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

impl NativeVision {
    fn release(&mut self, env: Env) -> napi::Result<()> {
        if let Some(shared) = self.shared.take() {
            shared.stop.store(true, Ordering::Relaxed);
            env.adjust_external_memory(-self.bytes)?;
        }
        Ok(())
    }
}

#[napi]
impl NativeVision {
    /// The logits of some pictures, one after another; or what went wrong.
    #[napi(ts_return_type = "Promise<number[] | NativeError>")]
    pub fn logits(&self, images: Vec<NativeImage>) -> AsyncTask<LogitsTask> {
        let pictures = images.into_iter().map(Picture::from).collect();
        AsyncTask::new(LogitsTask { shared: self.shared.clone(), pictures })
    }

    /// What the model is, as JSON.
    #[napi]
    pub fn describe(&self) -> Result<String> {
        crate::error::guard(|| {
            let model = &self.shared.as_ref().ok_or(EngineError::Disposed)?.model;
            let mut description = describe(model.graph());
            description["isa"] = model.isa().name().into();
            description["threads"] = model.threads().into();
            description["residentBytes"] = model.resident_bytes().into();
            Ok(description.to_string())
        })
    }

    /// Gives the memory back, at once or when running calls have ended; they end soon.
    #[napi]
    pub fn dispose(&mut self, env: Env) -> napi::Result<()> {
        self.release(env)
    }
}

/// Pictures to logits.
pub struct LogitsTask {
    shared: Option<Arc<Shared>>,
    pictures: Vec<Picture>,
}

impl LogitsTask {
    fn run(&mut self) -> Outcome<Vec<i32>> {
        let shared = self.shared.as_ref().ok_or(EngineError::Disposed)?;
        let graph = shared.model.graph();
        let mut pixels = Vec::new();
        let count = self.pictures.len();
        for picture in self.pictures.drain(..) {
            pixels.extend(picture.open()?.fit(graph.input())?);
        }
        let mut logits = vec![0; count * graph.classes()];
        match shared.model.logits(&pixels, &mut logits, &shared.stop) {
            Err(IntegerError::Aborted) => Err(EngineError::Disposed.into()),
            result => Ok(result.map(|()| logits)?),
        }
    }
}

impl Task for LogitsTask {
    type Output = Outcome<Vec<i32>>;
    type JsValue = Either<Vec<i32>, NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(attempt(|| self.run()))
    }

    fn resolve(&mut self, _: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        Ok(settle(output))
    }
}

/// A file to a model.
pub struct LoadTask {
    path: PathBuf,
    threads: u32,
    isa: Option<String>,
}

impl LoadTask {
    fn run(&self) -> Outcome<IntegerModel> {
        let options = ModelOptions {
            threads: NonZeroUsize::new(self.threads as usize),
            isa: self.isa.as_deref().map(str::parse::<Isa>).transpose()?,
        };
        Ok(IntegerModel::new(read_graph(&self.path)?, &options)?)
    }
}

impl Task for LoadTask {
    type Output = Outcome<IntegerModel>;
    type JsValue = Either<NativeVision, NativeError>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(attempt(|| self.run()))
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<Self::JsValue> {
        let model = match output {
            Ok(model) => model,
            Err(error) => return Ok(Either::B(error)),
        };
        let bytes = i64::try_from(model.resident_bytes()).unwrap_or(i64::MAX);
        env.adjust_external_memory(bytes)?;
        let shared = Arc::new(Shared { model, stop: AtomicBool::new(false) });
        Ok(Either::A(NativeVision { shared: Some(shared), bytes }))
    }
}

/// Loads a file of integers, or says what went wrong. Threads: 0 means all.
#[napi(ts_return_type = "Promise<NativeVision | NativeError>")]
pub fn load_vision(path: String, threads: u32, isa: Option<String>) -> AsyncTask<LoadTask> {
    AsyncTask::new(LoadTask { path: path.into(), threads, isa })
}

/// What a file of integers holds, as JSON; null where it is another kind of file; or what went wrong.
#[napi(ts_return_type = "string | null | NativeError")]
pub fn inspect_vision(path: String) -> Either<Option<String>, NativeError> {
    settle(attempt(|| {
        let path = PathBuf::from(path);
        let file = FileMap::open(&path)?;
        if !Graph::is_file(file.bytes()) {
            return Ok(None);
        }
        let graph = Graph::from_bytes(&path, file.bytes())?;
        let mut description = describe(&graph);
        description["bytes"] = file.bytes().len().into();
        Ok(Some(description.to_string()))
    }))
}
