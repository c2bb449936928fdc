//! Model tests: loom runs each under every interleaving, to a bound of preemptions.
//! `RUSTFLAGS="--cfg loom" cargo test --release -p dyadic-tensor --lib --target-dir target/loom pool::loom_tests`

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::Pool;

/// Runs `test` under every interleaving with at most `preemptions` forced switches: the faults of such protocols show with two or three.
fn explore(threads: usize, preemptions: usize, test: impl Fn(Pool) + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(move || test(Pool::new(NonZeroUsize::new(threads).unwrap())));
}

/// Runs a region whose body lives on the stack, and asserts that each task ran once and none runs on.
fn region(pool: &Pool, threads: usize, tasks: usize) {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(threads, tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    for count in counts {
        assert_eq!(count.into_inner(), 1);
    }
}

#[test]
fn two_regions_in_a_row() {
    explore(2, 3, |pool| {
        region(&pool, 2, 2);
        region(&pool, 2, 2);
    });
}

#[test]
fn three_threads() {
    explore(3, 2, |pool| region(&pool, 3, 3));
}

#[test]
fn two_callers() {
    explore(2, 3, |pool| {
        let pool = Arc::new(pool);
        let other = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || region(&pool, 2, 2))
        };
        region(&pool, 2, 2);
        other.join().unwrap();
    });
}

#[test]
fn a_panic_in_a_task() {
    explore(2, 3, |pool| {
        let inside = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(2, 2, &|task| {
                assert!(task != 1, "task 1 fails");
                inside.fetch_add(1, Ordering::Relaxed);
            });
        }));
        assert!(result.is_err());
        assert!(inside.into_inner() <= 1);
        region(&pool, 2, 2);
    });
}
