use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{Pool, parse_threads};
use crate::TensorError;

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap())
}

/// Runs a region and asserts that each task ran exactly once.
fn run_and_count(pool: &Pool, threads: usize, tasks: usize) {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(threads, tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    for (task, count) in counts.iter().enumerate() {
        assert_eq!(count.load(Ordering::Relaxed), 1, "task {task} of {tasks}, {threads} threads");
    }
}

/// The names of the threads that took part in a region in which `threads` tasks wait for each other.
fn names(pool: &Pool, threads: usize) -> HashSet<String> {
    let names = Mutex::new(HashSet::new());
    let barrier = Barrier::new(threads);
    pool.run(threads, threads, &|_| {
        barrier.wait();
        let name = thread::current().name().unwrap_or_default().to_owned();
        names.lock().unwrap().insert(name);
    });
    names.into_inner().unwrap()
}

#[test]
fn each_task_runs_once() {
    for size in [1, 2, 3, 8] {
        let pool = pool(size);
        for threads in [0, 1, 2, 3, 100] {
            for tasks in [0, 1, 2, 3, 7, 64, 1000] {
                run_and_count(&pool, threads, tasks);
            }
        }
    }
}

#[test]
fn every_task_can_be_on_a_thread_of_its_own() {
    let pool = pool(4);
    let mut names = names(&pool, 4);
    names.remove(thread::current().name().unwrap_or_default());
    let expected = ["dyadic-1", "dyadic-2", "dyadic-3"].map(str::to_owned);
    assert_eq!(names, HashSet::from(expected));
}

#[test]
fn no_more_workers_start_than_are_asked_for() {
    let pool = pool(8);
    assert_eq!(pool.threads(), 8);
    run_and_count(&pool, 1, 100);
    run_and_count(&pool, 8, 1);
    assert_eq!(pool.spawned.load(Ordering::Relaxed), 0);
    run_and_count(&pool, 3, 100);
    assert_eq!(pool.spawned.load(Ordering::Relaxed), 2);
    run_and_count(&pool, 8, 5);
    assert_eq!(pool.spawned.load(Ordering::Relaxed), 4);
}

#[test]
fn at_most_the_asked_number_of_threads_take_part() {
    let pool = pool(4);
    names(&pool, 4);
    for _ in 0..200 {
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        pool.run(2, 16, &|_| {
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            inside.fetch_sub(1, Ordering::SeqCst);
        });
        assert!(most.into_inner() <= 2);
    }
}

#[test]
fn nested_regions_run_inline() {
    let pool = pool(3);
    let total = AtomicUsize::new(0);
    pool.run(3, 6, &|_| {
        let outer = thread::current().id();
        pool.run(3, 5, &|_| {
            assert_eq!(thread::current().id(), outer);
            total.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 30);
}

#[test]
fn callers_at_the_same_time_do_not_wait_for_each_other() {
    let pool = pool(2);
    let (entered, other_done) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            pool.run(2, 2, &|task| {
                if task == 0 {
                    entered.wait();
                    other_done.wait();
                }
            });
        });
        entered.wait();
        // The first region cannot end before this one has.
        run_and_count(&pool, 2, 100);
        other_done.wait();
    });
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
    let pool = pool(3);
    for round in 0..50 {
        let (inside, panicking) = (AtomicUsize::new(0), round % 7);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(3, 7, &|task| {
                inside.fetch_add(1, Ordering::SeqCst);
                let _leave = Leave(&inside);
                assert!(task != panicking, "task {task} fails");
                thread::yield_now();
            });
        }));
        assert_eq!(inside.into_inner(), 0, "a task still runs after the panic was handed on");
        let payload = result.expect_err("the panic is handed on");
        assert_eq!(*payload.downcast::<String>().unwrap(), format!("task {panicking} fails"));
        run_and_count(&pool, 3, 100);
    }
}

#[test]
fn a_panic_of_a_worker_alone_reaches_the_caller() {
    let pool = pool(2);
    let caller = thread::current().id();
    let both = Barrier::new(2);
    let result = catch_unwind(AssertUnwindSafe(|| {
        pool.run(2, 2, &|_| {
            both.wait();
            assert!(thread::current().id() == caller, "on a worker");
        });
    }));
    assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "on a worker");
    assert_eq!(names(&pool, 2).len(), 2);
}

#[test]
fn panics_of_all_threads_at_once_leave_the_pool_usable() {
    let pool = pool(3);
    for _ in 0..20 {
        let all = Barrier::new(3);
        let region = || {
            pool.run(3, 3, &|_| {
                all.wait();
                panic!("each of them");
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(region)).is_err());
        assert_eq!(names(&pool, 3).len(), 3);
    }
}

#[test]
fn a_worker_that_takes_long_is_waited_for_asleep() {
    let pool = pool(2);
    let (both, caller) = (Barrier::new(2), thread::current().id());
    let done = AtomicUsize::new(0);
    pool.run(2, 2, &|_| {
        both.wait();
        if thread::current().id() != caller {
            thread::sleep(Duration::from_millis(20));
        }
        done.fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(done.into_inner(), 2);
}

#[test]
fn workers_wake_after_any_pause() {
    let pool = pool(3);
    for micros in [0, 1, 50, 90, 100, 110, 150, 300, 1000, 5000] {
        for _ in 0..20 {
            let until = Instant::now() + Duration::from_micros(micros);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            assert_eq!(names(&pool, 3).len(), 3, "after {micros} µs");
        }
    }
}

#[test]
fn many_callers_and_many_regions() {
    let pool = pool(4);
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for caller in 0..4 {
            let (pool, total) = (&pool, &total);
            scope.spawn(move || {
                for round in 0..2000 {
                    pool.run(1 + (round + caller) % 5, round % 9, &|_| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    let each: usize = (0..2000).map(|round| round % 9).sum();
    assert_eq!(total.into_inner(), 4 * each);
}

#[test]
fn writes_of_tasks_are_seen_by_the_caller() {
    let pool = pool(2);
    let mut rows = vec![0_u64; 512];
    for round in 1..500 {
        let chunks: Vec<Mutex<&mut [u64]>> = rows.chunks_mut(64).map(Mutex::new).collect();
        pool.run(2, chunks.len(), &|task| chunks[task].lock().unwrap().fill(round));
        drop(chunks);
        assert!(rows.iter().all(|&row| row == round));
    }
}

#[test]
fn dropping_ends_the_workers() {
    for pause in [0, 1] {
        let pool = pool(3);
        names(&pool, 3);
        thread::sleep(Duration::from_millis(pause));
        let shared = std::sync::Arc::downgrade(&pool.shared);
        drop(pool);
        assert!(shared.upgrade().is_none(), "a worker still holds the pool");
    }
}

#[test]
fn the_number_of_threads_is_checked() {
    assert_eq!(parse_threads("1").unwrap().get(), 1);
    assert_eq!(parse_threads("1024").unwrap().get(), 1024);
    for value in ["0", "-1", "1025", "two", "1.5", " 2", "99999999999999999999999"] {
        let error = parse_threads(value).unwrap_err();
        assert_eq!(error, TensorError::InvalidThreads { value: value.to_owned(), max: 1024 });
        assert_eq!(error.code(), "ERR_INVALID_THREADS");
        assert!(error.to_string().contains(value));
    }
    assert_eq!(pool(5000).threads(), Pool::MAX_THREADS);
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
