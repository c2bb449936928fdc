//! The one channel from dyadic's threads to a JavaScript environment.
//!
//! Threads put events into an inbox and wake JavaScript through a weak thread-safe function without a payload; JavaScript then drains the
//! inbox. One such function an environment, so that a worker can end at any moment: payloads queued in the function itself would leak, and one
//! function a stream crashes Node before 24.14 when it is released while the worker ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dyadic_model::engine::{Event, Job, LanguageModel, Mailbox, Outcome, Sink};
use dyadic_model::{EngineError, ModelError};
use napi::bindgen_prelude::{Float32Array, Float32ArraySlice, Function, Uint8ArraySlice};
use napi::sys;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::model::NativeModel;

/// Weak: it does not keep the process alive by itself.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true>;

/// An error as an event carries it.
#[napi(object, object_from_js = false)]
pub struct NativeError {
    /// The stable code.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
}

impl NativeError {
    /// What went wrong in work of which a promise tells, if anything: a rejection of napi's has no room for a code of ours.
    pub(crate) fn of(result: Result<()>) -> Option<Self> {
        let error = result.err()?;
        Some(Self { code: error.status.0.to_owned(), message: error.reason.clone() })
    }
}

/// A token and its log-probability.
#[napi(object, object_from_js = false)]
pub struct NativeTokenLogprob {
    /// The token.
    pub id: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
}

/// A generated token.
#[napi(object, object_from_js = false)]
pub struct NativePiece {
    /// Which sample it belongs to.
    pub sample: u32,
    /// The token.
    pub id: u32,
    /// The text that is certain with it.
    pub text: String,
    /// Natural logarithm of its probability.
    pub logprob: Option<f64>,
    /// The most likely tokens, best first.
    pub top: Option<Vec<NativeTokenLogprob>>,
}

/// What a job tells.
#[napi(object, object_from_js = false)]
pub struct NativeEvent {
    /// Which job.
    pub job: u32,
    /// 'progress', 'pieces', 'mask', 'done' or 'error'.
    #[napi(ts_type = "'progress' | 'pieces' | 'mask' | 'done' | 'error'")]
    pub kind: &'static str,
    /// Of progress: what is being done.
    pub stage: Option<&'static str>,
    /// Of progress: the part done, 0 to 1.
    pub fraction: Option<f64>,
    /// Of pieces: tokens in order.
    pub pieces: Option<Vec<NativePiece>>,
    /// Of mask: the sample whose logits wait.
    pub sample: Option<u32>,
    /// Of mask: the tokens generated so far.
    pub ids: Option<Vec<u32>>,
    /// Of done: the outcome as JSON.
    pub result: Option<String>,
    /// Of error.
    pub error: Option<NativeError>,
}

impl NativeEvent {
    fn new(job: u32, kind: &'static str) -> Self {
        Self {
            job,
            kind,
            stage: None,
            fraction: None,
            pieces: None,
            sample: None,
            ids: None,
            result: None,
            error: None,
        }
    }
}

/// What outlives the JavaScript object: threads hold it.
pub struct Inbox {
    wake: Wake,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    events: Vec<NativeEvent>,
    /// Whether JavaScript was woken and has not drained yet.
    woken: bool,
    /// The environment is gone: nothing is kept any more.
    closed: bool,
    jobs: HashMap<u32, Arc<Job>>,
    models: HashMap<u32, Arc<LanguageModel>>,
    floats: HashMap<u32, Vec<f32>>,
    bytes: HashMap<u32, Vec<u8>>,
}

impl Inbox {
    /// Makes a job that reports here.
    pub fn start_job(self: &Arc<Self>, mailbox: Option<Arc<Mailbox>>) -> Arc<Job> {
        let job = Job::new(Arc::clone(self) as Arc<dyn Sink>, mailbox);
        let mut state = self.lock();
        if state.closed {
            job.cancel();
        } else {
            state.jobs.insert(job.id(), Arc::clone(&job));
        }
        job
    }

    /// Leaves a loaded model for `takeModel`.
    pub fn leave_model(&self, job: u32, model: Arc<LanguageModel>) {
        let mut state = self.lock();
        if !state.closed {
            state.models.insert(job, model);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, id: u32) -> std::result::Result<Arc<Job>, ModelError> {
        self.lock().jobs.get(&id).cloned().ok_or_else(|| unknown_job(id))
    }

    /// Ends every job and forgets everything: the environment is going away.
    fn close(&self) {
        let state = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::replace(&mut *state, State { closed: true, ..State::default() })
        };
        for job in state.jobs.values() {
            job.cancel();
        }
    }
}

impl Sink for Inbox {
    fn send(&self, job: u32, event: Event) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let native = match event {
            Event::Progress { stage, fraction } => NativeEvent {
                stage: Some(stage),
                fraction: Some(f64::from(fraction)),
                ..NativeEvent::new(job, "progress")
            },
            Event::Pieces(pieces) => NativeEvent {
                pieces: Some(pieces.into_iter().map(native_piece).collect()),
                ..NativeEvent::new(job, "pieces")
            },
            Event::Mask { sample, ids } => NativeEvent {
                sample: u32::try_from(sample).ok(),
                ids: Some(ids),
                ..NativeEvent::new(job, "mask")
            },
            Event::Done(mut outcome) => {
                state.jobs.remove(&job);
                match &mut outcome {
                    Outcome::Logits { values, .. } => {
                        state.floats.insert(job, std::mem::take(values));
                    }
                    Outcome::Quantized { bytes, .. } => {
                        state.bytes.insert(job, std::mem::take(bytes));
                    }
                    _ => {}
                }
                NativeEvent { result: Some(outcome.to_json()), ..NativeEvent::new(job, "done") }
            }
            Event::Failed(error) => {
                state.jobs.remove(&job);
                NativeEvent {
                    error: Some(NativeError {
                        code: error.code().to_owned(),
                        message: error.to_string(),
                    }),
                    ..NativeEvent::new(job, "error")
                }
            }
        };
        state.events.push(native);
        if !std::mem::replace(&mut state.woken, true) {
            drop(state);
            self.wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

fn native_piece(piece: dyadic_model::engine::Piece) -> NativePiece {
    let top = piece
        .top
        .into_iter()
        .map(|(id, logprob)| NativeTokenLogprob { id, logprob: f64::from(logprob) })
        .collect::<Vec<_>>();
    NativePiece {
        sample: u32::try_from(piece.sample).unwrap_or(u32::MAX),
        id: piece.id,
        text: piece.text,
        logprob: piece.logprob.map(f64::from),
        top: (!top.is_empty()).then_some(top),
    }
}

fn unknown_job(id: u32) -> ModelError {
    EngineError::UnknownJob(id).into()
}

/// The channel of one environment: make one, keep it in a module-level constant.
#[napi]
pub struct Hub {
    inbox: Arc<Inbox>,
}

#[napi]
impl Hub {
    /// `wake` is called, on the JavaScript thread, when there is something to drain.
    #[napi(constructor)]
    pub fn new(wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let wake = wake
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .build()?;
        Ok(Self { inbox: Arc::new(Inbox { wake, state: Mutex::default() }) })
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// The events since the last call, in order.
    #[napi]
    pub fn drain(&self) -> Vec<NativeEvent> {
        let mut state = self.inbox.lock();
        state.woken = false;
        std::mem::take(&mut state.events)
    }

    /// Keeps the process alive until `unref`.
    #[napi(js_name = "ref")]
    pub fn reference(&self, env: Env) {
        // SAFETY: the function was made by this environment, whose thread this is, and lives as long as `self`.
        unsafe { sys::napi_ref_threadsafe_function(env.raw(), self.inbox.wake.handle.get_raw()) };
    }

    /// Lets the process end.
    #[napi]
    pub fn unref(&self, env: Env) {
        // SAFETY: as in `reference`.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), self.inbox.wake.handle.get_raw()) };
    }

    /// Asks a job to end: it fails with `ERR_ABORTED`. Unknown jobs are done already.
    #[napi]
    pub fn cancel(&self, job: u32) {
        if let Ok(job) = self.inbox.job(job) {
            job.cancel();
        }
    }

    /// The model that a finished load job made.
    #[napi]
    pub fn take_model(&self, env: Env, job: u32) -> Result<NativeModel> {
        let model =
            guard(|| self.inbox.lock().models.remove(&job).ok_or_else(|| unknown_job(job)))?;
        NativeModel::new(env, model)
    }

    /// Copies the logits of a finished job into `out`.
    #[napi]
    pub fn take_floats(&self, job: u32, mut out: Float32ArraySlice<'_>) -> Result<()> {
        guard(|| {
            let values = self.inbox.lock().floats.remove(&job).ok_or_else(|| unknown_job(job))?;
            // SAFETY: a synchronous call on the JavaScript thread: nothing else touches the array meanwhile.
            copy_into(&values, unsafe { out.as_mut() })
        })
    }

    /// Copies the file that a finished job made into `out`.
    #[napi]
    pub fn take_bytes(&self, job: u32, mut out: Uint8ArraySlice<'_>) -> Result<()> {
        guard(|| {
            let bytes = self.inbox.lock().bytes.remove(&job).ok_or_else(|| unknown_job(job))?;
            // SAFETY: as in `take_floats`.
            copy_into(&bytes, unsafe { out.as_mut() })
        })
    }

    /// Copies the logits of a sample that waits for its mask into `out`.
    #[napi]
    pub fn read_logits(&self, job: u32, sample: u32, mut out: Float32ArraySlice<'_>) -> Result<()> {
        guard(|| {
            // SAFETY: as in `take_floats`.
            let out = unsafe { out.as_mut() };
            self.inbox.job(job)?.mask_request(sample as usize, |logits| copy_into(logits, out))?
        })
    }

    /// Answers with masked logits.
    #[napi]
    pub fn write_logits(&self, job: u32, sample: u32, logits: Float32Array) -> Result<()> {
        guard(|| Ok(self.inbox.job(job)?.answer_mask(sample as usize, &logits)?))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

fn copy_into<T: Copy>(from: &[T], out: &mut [T]) -> std::result::Result<(), ModelError> {
    if from.len() != out.len() {
        return Err(EngineError::Option {
            option: "out",
            value: format!("{} elements", out.len()),
            expected: "as long as the result",
        }
        .into());
    }
    out.copy_from_slice(from);
    Ok(())
}
