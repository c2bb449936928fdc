//! What it costs to start and join a region: `cargo bench -p dyadic-tensor --bench pool`.

use std::hint::spin_loop;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dyadic_tensor::pool::Pool;

/// Keeps a core busy, as a kernel would.
fn work(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        spin_loop();
    }
}

/// Regions that do nothing but see to it that all threads take part.
fn start_and_join(c: &mut Criterion) {
    let mut group = c.benchmark_group("start and join");
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let pool = Pool::new(NonZeroUsize::new(cores).expect("at least one core"));
    for threads in (0..).map(|shift| 1 << shift).take_while(|&threads| threads <= cores) {
        group.bench_function(BenchmarkId::from_parameter(threads), |b| {
            b.iter(|| {
                let arrived = AtomicUsize::new(0);
                pool.run(threads, threads, &|_| {
                    arrived.fetch_add(1, Ordering::Relaxed);
                    while arrived.load(Ordering::Relaxed) < threads {
                        spin_loop();
                    }
                });
            });
        });
    }
    group.finish();
}

/// Two tasks of 20 µs: all above 20 µs is the cost of sharing.
fn two_tasks(c: &mut Criterion) {
    let pool = Pool::new(NonZeroUsize::new(2).expect("not zero"));
    let task = Duration::from_micros(20);
    c.bench_function("two tasks of 20 µs", |b| b.iter(|| pool.run(2, 2, &|_| work(task))));
}

/// As above, but the workers have fallen asleep before.
fn two_tasks_after_a_pause(c: &mut Criterion) {
    let pool = Pool::new(NonZeroUsize::new(2).expect("not zero"));
    let task = Duration::from_micros(20);
    c.bench_function("two tasks of 20 µs, workers asleep", |b| {
        b.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                std::thread::sleep(Duration::from_micros(300));
                let started = Instant::now();
                pool.run(2, 2, &|_| work(task));
                total += started.elapsed();
            }
            total
        });
    });
}

criterion_group!(benches, start_and_join, two_tasks, two_tasks_after_a_pause);
criterion_main!(benches);
