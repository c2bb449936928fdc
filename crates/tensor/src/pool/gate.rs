//! The one word that starts and ends a region.

use super::sync::{AtomicU64, Ordering};

/// `epoch:32 | waiting:1 | tickets:15 | running:16`.
///
/// A region is open while it has tickets. A worker takes part by turning a ticket into a running count, so a worker that comes late, or is
/// not scheduled at all, never delays the end: the submitter takes the tickets back and waits for those that run.
pub(super) struct Gate(AtomicU64);

const RUNNING_ONE: u64 = 1;
const RUNNING: u64 = 0xffff;
const TICKET_ONE: u64 = 1 << 16;
const TICKETS: u64 = 0x7fff << 16;
const WAITING: u64 = 1 << 31;
const EPOCH_SHIFT: u32 = 32;

/// What a worker sees of the gate.
#[derive(Clone, Copy)]
pub(super) struct View(u64);

impl View {
    /// Names the region; wraps around.
    pub(super) fn epoch(self) -> u32 {
        (self.0 >> EPOCH_SHIFT) as u32
    }

    /// Whether another worker may take part.
    pub(super) fn is_open(self) -> bool {
        self.0 & TICKETS != 0
    }
}

impl Gate {
    /// The most tickets of a region.
    pub(super) const MAX_TICKETS: usize = 0x7fff;

    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn view(&self) -> View {
        View(self.0.load(Ordering::Relaxed))
    }

    /// Starts the next region. Everything that the caller wrote before is seen by whoever enters. Only for the owner of a closed gate.
    pub(super) fn open(&self, tickets: usize) {
        debug_assert!((1..=Self::MAX_TICKETS).contains(&tickets), "{tickets} tickets");
        let epoch = self.view().epoch().wrapping_add(1);
        let word = (u64::from(epoch) << EPOCH_SHIFT) | (tickets as u64 * TICKET_ONE);
        self.0.store(word, Ordering::Release);
    }

    /// Takes a ticket of the region that `view` shows, if it is still open.
    pub(super) fn enter(&self, mut view: View) -> bool {
        let epoch = view.epoch();
        while view.is_open() && view.epoch() == epoch {
            let next = view.0 - TICKET_ONE + RUNNING_ONE;
            match self.0.compare_exchange_weak(view.0, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(word) => view = View(word),
            }
        }
        false
    }

    /// Ends a worker's part: nothing of the region may be touched after it. True where the submitter sleeps and this was the last worker.
    pub(super) fn leave(&self) -> bool {
        let before = self.0.fetch_sub(RUNNING_ONE, Ordering::AcqRel);
        before & WAITING != 0 && before & RUNNING == RUNNING_ONE
    }

    /// Takes back the tickets that nobody used. True where no worker runs any more.
    pub(super) fn close(&self) -> bool {
        self.0.fetch_and(!TICKETS, Ordering::Acquire) & RUNNING == 0
    }

    /// Whether every worker of a closed region has left.
    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Acquire) & RUNNING == 0
    }

    /// Asks the last worker to wake the submitter. False where there is no such worker left.
    pub(super) fn ask_to_be_woken(&self) -> bool {
        self.0.fetch_or(WAITING, Ordering::AcqRel) & RUNNING != 0
    }
}
