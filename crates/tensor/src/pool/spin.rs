//! Waiting for something that should come within microseconds.

#[cfg(loom)]
use super::sync::thread;
#[cfg(not(loom))]
use super::sync::{spin_loop, thread};
#[cfg(not(loom))]
use std::time::{Duration, Instant};

/// A wait that first spins, then also gives the core to others, then is over.
///
/// The bounds are of time, not of rounds: a pause instruction lasts 10 to 140 cycles, depending on the CPU.
pub(super) struct Spin {
    #[cfg(not(loom))]
    started: Option<Instant>,
}

impl Spin {
    /// How long the core is kept: two operations of one token are rarely further apart.
    #[cfg(not(loom))]
    const KEEP: Duration = Duration::from_micros(10);
    /// How long the wait lasts in all: the time between two tokens, sampling included.
    #[cfg(not(loom))]
    const LAST: Duration = Duration::from_micros(100);
    /// Pause instructions between two looks at the clock (25 ns).
    #[cfg(not(loom))]
    const PAUSES: u32 = 16;

    pub(super) fn new() -> Self {
        Self {
            #[cfg(not(loom))]
            started: None,
        }
    }

    /// Waits a little, and looks at `ready` often. True as soon as it is; false where the time is over.
    #[cfg(not(loom))]
    pub(super) fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        loop {
            for _ in 0..Self::PAUSES {
                if ready() {
                    return true;
                }
                spin_loop();
            }
            let waited = self.started.get_or_insert_with(Instant::now).elapsed();
            if waited > Self::LAST {
                return false;
            }
            if waited > Self::KEEP {
                // Where more threads want to run than there are cores, the one that is waited for may need this core.
                thread::yield_now();
            }
        }
    }

    /// Looks twice, so that loom explores both a wait that ends in time and one that does not.
    #[cfg(loom)]
    pub(super) fn until(&mut self, mut ready: impl FnMut() -> bool) -> bool {
        ready() || {
            thread::yield_now();
            ready()
        }
    }
}
