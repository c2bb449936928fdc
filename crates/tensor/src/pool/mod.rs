//! The thread pool: one for the process, shared by all models and all JavaScript threads.
//!
//! An operation is a *region*: a number of tasks that the calling thread and some workers claim one by one from a counter. A token of a
//! small model is some two hundred regions of 10 to 100 µs each, so the cost of starting and joining one decides how well two cores are
//! used. While regions keep coming, workers spin on one word ((`gate.rs`)); a region costs a few transfers of cache lines, no lock and no
//! system call. After 100 µs without work they sleep, so an idle process uses no CPU.
//!
//! The caller never waits for a worker to arrive. One that is asleep, descheduled or (in a forked child) does not exist has no share in
//! the region, and the others do its work. Results must not depend on who runs a task: rows are split over tasks, sums never are.

mod gate;
mod spin;
mod sync;

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use std::any::Any;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{OnceLock, PoisonError};

use crate::TensorError;
use gate::{Gate, View};
use spin::Spin;
use sync::{Arc, AtomicBool, AtomicUsize, Mutex, Ordering, Padded, UnsafeCell, fence, thread};

/// A body of a region. Its lifetime is erased: it lives as long as the region is open or a worker runs.
type Body = *const (dyn Fn(usize) + Sync + 'static);

/// A fixed number of threads that run the tasks of one region at a time.
pub struct Pool {
    shared: Arc<Shared>,
    threads: usize,
    workers: Mutex<Vec<Worker>>,
    /// How many workers there are: read by each region without the lock.
    spawned: AtomicUsize,
}

struct Worker {
    bed: Arc<Bed>,
    handle: thread::JoinHandle<()>,
}

/// Where one worker sleeps.
struct Bed {
    /// Whoever turns it from true to false also takes one off [`Shared::asleep`].
    occupied: AtomicBool,
}

/// What the submitter and the workers share.
struct Shared {
    gate: Padded<Gate>,
    /// The next task to claim.
    next: Padded<AtomicUsize>,
    /// How many workers sleep or are about to.
    asleep: Padded<AtomicUsize>,
    /// Held by the submitter from before the gate opens until every worker has left.
    busy: Padded<AtomicBool>,
    /// Written by the holder of `busy` while the gate is closed, read by those who entered.
    region: UnsafeCell<Region>,
    /// Set with `panic`, so that a region without a panic takes no lock.
    panicked: AtomicBool,
    /// The first panic of a worker.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// The submitter, while it sleeps.
    submitter: Mutex<Option<thread::Thread>>,
    stopping: AtomicBool,
}

struct Region {
    body: Body,
    tasks: usize,
}

// SAFETY: `region` is the only member that is not Sync by itself. It is written only by the thread that holds `busy`, before the gate
// opens and after every worker has left; a body is Sync, so any thread may call it.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer in `region` is followed only while the submitter keeps its target alive.
unsafe impl Send for Shared {}

impl Pool {
    /// The most threads that a pool may have.
    pub const MAX_THREADS: usize = 1024;

    /// The pool of the process. Its size is `DYADIC_THREADS` where that is set, else the number of cores that this process may use: the
    /// affinity mask and the cgroup quota (v1 and v2) are both respected. Its workers start when a region first needs them.
    ///
    /// # Errors
    /// [`TensorError::InvalidThreads`] where `DYADIC_THREADS` is not a number from 1 to [`Self::MAX_THREADS`].
    pub fn global() -> Result<&'static Self, TensorError> {
        static GLOBAL: OnceLock<Result<Pool, TensorError>> = OnceLock::new();
        GLOBAL
            .get_or_init(|| match std::env::var_os("DYADIC_THREADS") {
                Some(value) if !value.is_empty() => {
                    parse_threads(&value.to_string_lossy()).map(Self::new)
                }
                _ => {
                    Ok(Self::new(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)))
                }
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    /// A pool of its own, of at most [`Self::MAX_THREADS`] threads, the calling one included. Its workers end when it is dropped.
    #[must_use]
    pub fn new(threads: NonZeroUsize) -> Self {
        Self {
            shared: Arc::new(Shared::new()),
            threads: threads.get().min(Self::MAX_THREADS),
            workers: Mutex::new(Vec::new()),
            spawned: AtomicUsize::new(0),
        }
    }

    /// The most threads that take part in a region, the calling one included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `body(0)` to `body(tasks - 1)`, each once, in no particular order, on the calling thread and up to `threads - 1` workers, and
    /// returns when all are done.
    ///
    /// Everything runs on the calling thread, in order, where `threads` or `tasks` is at most 1, where the caller is itself a task, and
    /// where another thread's region is under way: nobody waits for the pool.
    ///
    /// # Panics
    /// With the panic of a task, after all threads have stopped using `body`. Tasks that were not yet claimed are then never run.
    pub fn run(&self, threads: usize, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        let wanted = threads.min(self.threads).min(tasks).saturating_sub(1);
        let shared = &*self.shared;
        if wanted == 0 || shared.busy.0.swap(true, Ordering::Acquire) {
            (0..tasks).for_each(body);
            return;
        }
        let tickets = wanted.min(self.workers_for(wanted));
        let result = if tickets == 0 {
            catch_unwind(AssertUnwindSafe(|| (0..tasks).for_each(body)))
        } else {
            self.submit(tickets, tasks, body)
        };
        shared.busy.0.store(false, Ordering::Release);
        if let Err(panic) = result {
            resume_unwind(panic);
        }
    }

    /// Runs a region. The caller holds `busy`.
    fn submit(
        &self,
        tickets: usize,
        tasks: usize,
        body: &(dyn Fn(usize) + Sync),
    ) -> std::thread::Result<()> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `body` is used by threads that entered the gate, and this function does not return, not even
        // by a panic, before the gate is closed and all of them have left.
        let erased: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(body) };
        shared.region.with_mut(|region| {
            // SAFETY: the gate is closed and nobody is inside; `busy` keeps other submitters out.
            unsafe { *region = Region { body: std::ptr::from_ref(erased), tasks } };
        });
        shared.next.0.store(0, Ordering::Relaxed);
        shared.gate.0.open(tickets);
        // Pairs with the fence of a worker that falls asleep: either it sees the open gate, or it is counted here.
        fence(Ordering::SeqCst);
        let asleep = shared.asleep.0.load(Ordering::Relaxed);
        if asleep > 0 {
            let awake = self.spawned.load(Ordering::Relaxed).saturating_sub(asleep);
            self.wake(tickets.saturating_sub(awake));
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.claim(tasks, body)));
        if own.is_err() {
            shared.next.0.store(tasks, Ordering::Relaxed);
        }
        if !shared.gate.0.close() {
            shared.wait_for_workers();
        }
        if shared.panicked.load(Ordering::Relaxed) {
            shared.panicked.store(false, Ordering::Relaxed);
            let panic = lock(&shared.panic).take();
            return own.and(panic.map_or(Ok(()), Err));
        }
        own
    }

    /// Starts workers until there are `wanted`, and returns how many there are. Fewer, where the system refuses more.
    fn workers_for(&self, wanted: usize) -> usize {
        let spawned = self.spawned.load(Ordering::Relaxed);
        if spawned >= wanted {
            return spawned;
        }
        let mut workers = lock(&self.workers);
        while workers.len() < wanted {
            let bed = Arc::new(Bed { occupied: AtomicBool::new(false) });
            let (shared, own_bed) = (Arc::clone(&self.shared), Arc::clone(&bed));
            let builder = thread::Builder::new().name(format!("dyadic-{}", workers.len() + 1));
            match builder.spawn(move || shared.work(&own_bed)) {
                Ok(handle) => workers.push(Worker { bed, handle }),
                Err(_) => break,
            }
        }
        self.spawned.store(workers.len(), Ordering::Relaxed);
        workers.len()
    }

    /// Wakes up to `count` sleeping workers.
    fn wake(&self, count: usize) {
        let workers = lock(&self.workers);
        let sleeping = workers.iter().filter(|worker| self.shared.get_up(&worker.bed));
        for worker in sleeping.take(count) {
            worker.handle.thread().unpark();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        // Pairs with the fence of a worker that falls asleep.
        fence(Ordering::SeqCst);
        self.wake(usize::MAX);
        for worker in lock(&self.workers).drain(..) {
            // A worker catches the panics of tasks: it has none of its own.
            let _ = worker.handle.join();
        }
    }
}

impl Shared {
    fn new() -> Self {
        let nothing: &'static (dyn Fn(usize) + Sync) = &|_| {};
        Self {
            gate: Padded(Gate::new()),
            next: Padded(AtomicUsize::new(0)),
            asleep: Padded(AtomicUsize::new(0)),
            busy: Padded(AtomicBool::new(false)),
            region: UnsafeCell::new(Region { body: nothing, tasks: 0 }),
            panicked: AtomicBool::new(false),
            panic: Mutex::new(None),
            submitter: Mutex::new(None),
            stopping: AtomicBool::new(false),
        }
    }

    /// Claims and runs tasks until none is left.
    fn claim(&self, tasks: usize, body: &(dyn Fn(usize) + Sync)) {
        loop {
            let task = self.next.0.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            body(task);
        }
    }

    /// The life of a worker.
    fn work(&self, bed: &Bed) {
        let mut last = None;
        let mut spin = Spin::new();
        while !self.stopping.load(Ordering::Relaxed) {
            let Some(view) = self.offer(last) else {
                if !spin.until(|| self.offer(last).is_some() || self.is_stopping()) {
                    self.sleep(bed, last);
                    spin = Spin::new();
                }
                continue;
            };
            last = Some(view.epoch());
            if self.gate.0.enter(view) {
                self.take_part();
                if self.gate.0.leave()
                    && let Some(submitter) = lock(&self.submitter).take()
                {
                    submitter.unpark();
                }
                spin = Spin::new();
            }
        }
    }

    /// The open region, unless it is the one that this worker was in last.
    fn offer(&self, last: Option<u32>) -> Option<View> {
        let view = self.gate.0.view();
        (view.is_open() && last != Some(view.epoch())).then_some(view)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Runs tasks of the region that this thread entered.
    fn take_part(&self) {
        let (body, tasks) = self.region.with(|region| {
            // SAFETY: this thread is counted in the gate, so the submitter does not write.
            let region = unsafe { &*region };
            (region.body, region.tasks)
        });
        // SAFETY: the submitter keeps the body alive until this thread has left the gate.
        let body = unsafe { &*body };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.claim(tasks, body))) {
            self.next.0.store(tasks, Ordering::Relaxed);
            lock(&self.panic).get_or_insert(panic);
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    /// Sleeps until woken, unless there is something to do.
    fn sleep(&self, bed: &Bed, last: Option<u32>) {
        bed.occupied.store(true, Ordering::Relaxed);
        self.asleep.0.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence of the submitter.
        fence(Ordering::SeqCst);
        if self.offer(last).is_some() || self.is_stopping() {
            self.get_up(bed);
            return;
        }
        while bed.occupied.load(Ordering::Relaxed) {
            thread::park();
        }
    }

    /// Whether this call, and no other thread's, ended the sleep.
    fn get_up(&self, bed: &Bed) -> bool {
        let ended = bed
            .occupied
            .compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if ended {
            self.asleep.0.fetch_sub(1, Ordering::Relaxed);
        }
        ended
    }

    /// Returns when the workers of a closed region have left.
    fn wait_for_workers(&self) {
        if Spin::new().until(|| self.gate.0.is_empty()) {
            return;
        }
        *lock(&self.submitter) = Some(thread::current());
        if self.gate.0.ask_to_be_woken() {
            while !self.gate.0.is_empty() {
                thread::park();
            }
        }
        *lock(&self.submitter) = None;
    }
}

/// The number of threads that `DYADIC_THREADS` asks for.
fn parse_threads(value: &str) -> Result<NonZeroUsize, TensorError> {
    value
        .parse()
        .ok()
        .filter(|threads: &NonZeroUsize| threads.get() <= Pool::MAX_THREADS)
        .ok_or_else(|| TensorError::InvalidThreads {
            value: value.to_owned(),
            max: Pool::MAX_THREADS,
        })
}

/// Locks. A panic while a lock of the pool is held leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> impl std::ops::DerefMut<Target = T> + '_ {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
