//! A job: one request under way, and the two directions in which it speaks with whoever asked.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::EngineError;
use super::request::{Command, Outcome, Piece};
use crate::ModelError;

/// What a job tells.
#[derive(Debug)]
pub enum Event {
    /// How far a long job is.
    Progress {
        /// What is being done.
        stage: &'static str,
        /// The part that is done, 0 to 1.
        fraction: f32,
    },
    /// Tokens, in the order in which they were sampled.
    Pieces(Vec<Piece>),
    /// The engine waits until the logits of a sample have been masked: [`Job::mask_request`], then [`Job::answer_mask`].
    Mask {
        /// The sample.
        sample: usize,
        /// The tokens it has generated so far.
        ids: Vec<u32>,
    },
    /// The job is done.
    Done(Outcome),
    /// The job has failed.
    Failed(ModelError),
}

/// Where the events of jobs go. Called on the engine's thread; must not block.
pub trait Sink: Send + Sync {
    /// Takes an event. [`Event::Done`] and [`Event::Failed`] are the last of their job.
    fn send(&self, job: u32, event: Event);
}

/// One request under way.
pub struct Job {
    id: u32,
    sink: Arc<dyn Sink>,
    cancelled: AtomicBool,
    mailbox: Option<Arc<Mailbox>>,
    /// Logits that wait for their mask, by sample; `None` once they are out for an answer.
    masks: Mutex<HashMap<usize, Vec<f32>>>,
}

impl Job {
    /// A job whose requests go to the engine behind `mailbox`; `None` for work that is not an engine's, such as loading.
    #[must_use]
    pub fn new(sink: Arc<dyn Sink>, mailbox: Option<Arc<Mailbox>>) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            sink,
            cancelled: AtomicBool::new(false),
            mailbox,
            masks: Mutex::new(HashMap::new()),
        })
    }

    /// Its number, unique in the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends an event to whoever asked.
    pub fn send(&self, event: Event) {
        self.sink.send(self.id, event);
    }

    /// Asks for an end as soon as possible: at the next layer of the model.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if let Some(mailbox) = &self.mailbox {
            mailbox.interrupt();
        }
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`EngineError::Aborted`] once the job is cancelled.
    pub fn check(&self) -> Result<(), EngineError> {
        if self.is_cancelled() { Err(EngineError::Aborted) } else { Ok(()) }
    }

    /// Leaves logits for masking and says so.
    pub(super) fn request_mask(&self, sample: usize, ids: Vec<u32>, logits: Vec<f32>) {
        lock(&self.masks).insert(sample, logits);
        self.send(Event::Mask { sample, ids });
    }

    /// The logits that wait for a mask, handed to `read`.
    ///
    /// # Errors
    /// Where no mask is being waited for.
    pub fn mask_request<T>(
        &self,
        sample: usize,
        read: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, EngineError> {
        lock(&self.masks)
            .get(&sample)
            .map(|logits| read(logits))
            .ok_or_else(|| no_mask_request(sample))
    }

    /// Answers a request for a mask.
    ///
    /// # Errors
    /// Where no mask is being waited for, or the number of logits differs.
    pub fn answer_mask(self: &Arc<Self>, sample: usize, logits: &[f32]) -> Result<(), EngineError> {
        let mut answer =
            lock(&self.masks).remove(&sample).ok_or_else(|| no_mask_request(sample))?;
        if answer.len() != logits.len() {
            return Err(EngineError::Option {
                option: "logits",
                value: format!("{} numbers", logits.len()),
                expected: "as many numbers as the vocabulary has tokens",
            });
        }
        answer.copy_from_slice(logits);
        if let Some(mailbox) = &self.mailbox {
            mailbox.post(Command::Masked { job: Arc::clone(self), sample, logits: answer });
        }
        Ok(())
    }
}

fn no_mask_request(sample: usize) -> EngineError {
    EngineError::Option {
        option: "sample",
        value: sample.to_string(),
        expected: "a sample whose logits wait for a mask",
    }
}

/// What the engine's thread is to do next.
#[derive(Default)]
pub struct Mailbox {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// Set when a job was cancelled or the model disposed: ends the step under way at its next layer.
    interrupted: AtomicBool,
}

#[derive(Default)]
struct Queue {
    commands: VecDeque<Command>,
    woken: bool,
    closed: bool,
}

impl Mailbox {
    /// Gives the engine a command. After [`Self::close`] the command is dropped, and its job told so.
    pub fn post(&self, command: Command) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            drop(queue);
            command.refuse(&EngineError::Disposed);
            return;
        }
        queue.commands.push_back(command);
        drop(queue);
        self.filled.notify_one();
    }

    /// Has the engine look at its jobs again, soon.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Release);
        lock(&self.queue).woken = true;
        self.filled.notify_one();
    }

    /// Ends the engine: its jobs fail with [`EngineError::Disposed`], and so do those posted from now on.
    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.interrupt();
    }

    /// The flag that ends a step early.
    pub(super) fn interrupted(&self) -> &AtomicBool {
        &self.interrupted
    }

    /// Takes all commands; waits for one, or an interruption, where `wait` is set. `None` once closed.
    pub(super) fn take(&self, wait: bool) -> Option<VecDeque<Command>> {
        let mut queue = lock(&self.queue);
        while wait && queue.commands.is_empty() && !queue.woken && !queue.closed {
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.woken = false;
        self.interrupted.store(false, Ordering::Release);
        if queue.closed { None } else { Some(std::mem::take(&mut queue.commands)) }
    }

    /// What is left when the engine has ended.
    pub(super) fn drain(&self) -> VecDeque<Command> {
        let mut queue = lock(&self.queue);
        queue.closed = true;
        std::mem::take(&mut queue.commands)
    }
}

/// A poisoned lock guards plain data here: whoever panicked left nothing half-done that matters.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
