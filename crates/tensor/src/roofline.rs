//! The limits of this machine, measured: what products are compared with.

#![expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]

use std::hint::black_box;
use std::time::Instant;

use dyadic_kernels::Kernels;
use dyadic_kernels::roofline::{LINE, ROUND};

use crate::TensorError;
use crate::buffer::Buffer;
use crate::packed::PackedWeights;
use crate::pool::Pool;

/// Far beyond any cache of a few cores. Large, since the speed of memory can depend on the pages that the system gives: on a virtual machine of two Zen 4
/// cores one buffer of 256 MiB was read by two threads at 60 GB/s, the next one at 34.
const MEMORY_BYTES: usize = 512 << 20;

/// What a matrix takes that stays in a third-level cache.
const CACHE_BYTES: usize = 8 << 20;

/// Bytes of a task: claiming it costs nothing beside reading it.
const TASK_BYTES: usize = 1 << 20;

/// Rounds of a task of multiplications, half a millisecond or so.
const TASK_ROUNDS: u32 = 1 << 17;

/// The best of so many counts: others only ever take from a shared machine.
const REPETITIONS: usize = 12;

/// What some threads can do at most in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes read from memory.
    pub memory_bytes: f64,
    /// Bytes read from the caches that a few megabytes fit into.
    pub cache_bytes: f64,
    /// Operations on 8-bit integers, a multiplication and an addition being two.
    pub int8_operations: f64,
}

impl Limits {
    /// Measures them, in about a second.
    ///
    /// # Errors
    /// [`TensorError::OutOfMemory`] where 512 MiB are not to be had.
    pub fn measure(kernels: &Kernels, pool: &Pool, threads: usize) -> Result<Self, TensorError> {
        let mut data = Buffer::new(MEMORY_BYTES)
            .map_err(|_| TensorError::OutOfMemory { bytes: MEMORY_BYTES })?;
        // Pages that were never written are all the same one.
        data.fill(1);
        let read = |bytes: usize, passes: usize| {
            let tasks: Vec<_> = data[..bytes].chunks(TASK_BYTES).collect();
            let seconds = best(|| {
                for _ in 0..passes {
                    pool.run(threads, tasks.len(), &|task| {
                        black_box(kernels.roofline_read(tasks[task].as_chunks::<LINE>().0));
                    });
                }
            });
            (bytes * passes) as f64 / seconds
        };
        let tasks = 8 * threads.max(1);
        let seconds = best(|| {
            pool.run(threads, tasks, &|_| {
                black_box(kernels.roofline_multiply(TASK_ROUNDS, [1, 2, 3, 4], [5, 6, 7, 8]));
            });
        });
        let products = tasks as f64 * f64::from(TASK_ROUNDS) * ROUND as f64;
        Ok(Self {
            memory_bytes: read(MEMORY_BYTES, 1),
            cache_bytes: read(CACHE_BYTES, 8),
            int8_operations: 2.0 * products / seconds,
        })
    }
}

impl PackedWeights {
    /// Reads every byte once and makes nothing of it, on up to `threads` threads: the least that a product with these weights could take, on the same pages of
    /// memory.
    pub fn read(&self, pool: &Pool, threads: usize) {
        let bytes = self.tiles(0, self.byte_len() / self.tile_bytes());
        let tasks: Vec<_> = bytes.chunks(bytes.len().div_ceil(8 * threads.max(1))).collect();
        pool.run(threads, tasks.len(), &|task| {
            black_box(self.kernels().roofline_read(tasks[task].as_chunks::<LINE>().0));
        });
    }
}

/// The least time of a call, in seconds.
fn best(work: impl Fn()) -> f64 {
    let times = (0..REPETITIONS).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}
