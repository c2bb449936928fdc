//! The process-wide pool from the outside: each test looks at a process of its own.

#![cfg(unix)]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dyadic_tensor::pool::Pool;

/// Names the role that this program plays in a child process.
const ROLE: &str = "DYADIC_TEST_ROLE";

/// Runs [`the_pool_of_this_process`] in a process of its own that plays a role, and kills it where it does not end. None, and the test is
/// recorded as skipped, where the system cannot run this program again: under an emulator that it does not know.
fn child(role: &str, variables: &[(&str, &str)]) -> Option<Output> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_pool_of_this_process", "--nocapture"]);
    command.env_remove("DYADIC_THREADS").env(ROLE, role).envs(variables.iter().copied());
    let mut process = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Err(error) if error.raw_os_error() == Some(libc::ENOEXEC) => {
            dyadic_testkit::skip::skip("no process of this architecture can be started");
            return None;
        }
        started => started.unwrap(),
    };
    let started = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_mins(1) {
            process.kill().unwrap();
            panic!("{role} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Some(process.wait_with_output().unwrap())
}

/// What the child printed between brackets.
fn answer(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.unwrap_or_else(|| panic!("{output:?}")).0.to_owned()
}

#[test]
#[expect(clippy::print_stdout, reason = "how a child answers")]
fn the_pool_of_this_process() {
    let Ok(role) = std::env::var(ROLE) else {
        assert!(std::ptr::eq(pool(), pool()));
        return;
    };
    match role.as_str() {
        "size" => match Pool::global() {
            Ok(pool) => println!("[{}]", pool.threads()),
            Err(error) => println!("[{}: {error}]", error.code()),
        },
        "exit in a region" => {
            std::thread::spawn(|| pool().run(2, 2, &|_| std::thread::sleep(Duration::MAX)));
            std::thread::sleep(Duration::from_millis(50));
            println!("[exits]");
            std::process::exit(0);
        }
        "idle" => {
            for _ in 0..1000 {
                pool().run(2, 2, &|_| {});
            }
            std::thread::sleep(Duration::from_millis(50));
            let before = cpu_time();
            std::thread::sleep(Duration::from_millis(500));
            println!("[{}]", cpu_time().saturating_sub(before).as_micros());
        }
        "fork" => fork(),
        other => panic!("no role {other}"),
    }
}

fn pool() -> &'static Pool {
    Pool::global().unwrap()
}

/// CPU time that this process has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec that the call may write.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(status, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Uses the pool before and after a fork, in both processes.
#[expect(clippy::print_stdout, reason = "how a child answers")]
fn fork() {
    let work = || {
        let sum = std::sync::atomic::AtomicUsize::new(0);
        pool().run(2, 100, &|task| {
            sum.fetch_add(task, std::sync::atomic::Ordering::Relaxed);
        });
        sum.into_inner()
    };
    assert_eq!(work(), 4950);
    // SAFETY: the child uses atomics, locks that no other thread of the parent holds at this time, and `_exit`.
    let process = unsafe { libc::fork() };
    assert!(process >= 0);
    if process == 0 {
        let ok = (0..100).all(|_| work() == 4950);
        // SAFETY: ends the child at once, without the parent's exit handlers.
        unsafe { libc::_exit(i32::from(!ok)) };
    }
    let mut status = 0;
    // SAFETY: `status` is an int that the call may write.
    assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
    assert_eq!(work(), 4950);
    println!("[{status}]");
}

#[test]
fn the_size_comes_from_the_environment() {
    let default = std::thread::available_parallelism().unwrap().to_string();
    for (value, expected) in [("1", "1"), ("3", "3"), ("1024", "1024"), ("", &default)] {
        let Some(output) = child("size", &[("DYADIC_THREADS", value)]) else { return };
        assert_eq!(answer(&output), expected);
    }
    assert_eq!(child("size", &[]).map(|output| answer(&output)), Some(default));
}

#[test]
fn a_wrong_size_is_a_coded_error() {
    for value in ["0", "many", "-2", "1025"] {
        let Some(output) = child("size", &[("DYADIC_THREADS", value)]) else { return };
        let said = answer(&output);
        assert!(said.starts_with("ERR_INVALID_THREADS: ") && said.contains(value), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_affinity_mask_bounds_the_size() {
    // SAFETY: all bits off is a value of this plain set.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `one` is a set that the call may write, of the size that it is told.
    let status = unsafe { libc::sched_getaffinity(0, size_of_val(&one), &raw mut one) };
    assert_eq!(status, 0);
    // SAFETY: asks for bits inside of the set.
    let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &one) });
    // SAFETY: changes bits inside of the set.
    unsafe {
        libc::CPU_ZERO(&mut one);
        libc::CPU_SET(first.unwrap(), &mut one);
    }
    let size = std::thread::spawn(move || {
        // SAFETY: reads a set of the size that it is told. The mask is this thread's, and its children inherit it.
        let status = unsafe { libc::sched_setaffinity(0, size_of_val(&one), &raw const one) };
        assert_eq!(status, 0);
        child("size", &[]).map(|output| answer(&output))
    });
    let size = size.join().unwrap();
    assert!(size.is_none() || size.as_deref() == Some("1"), "{size:?}");
}

#[test]
fn a_process_may_exit_while_a_region_runs() {
    let variables = [("DYADIC_THREADS", "2")];
    let Some(output) = child("exit in a region", &variables) else { return };
    assert_eq!(answer(&output), "exits");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_idle_process_uses_no_cpu() {
    let Some(output) = child("idle", &[("DYADIC_THREADS", "2")]) else { return };
    let micros: u64 = answer(&output).parse().unwrap();
    // Half a second of one spinning worker would be 500 000.
    assert!(micros < 5000, "{micros} µs in half a second");
}

#[test]
fn a_forked_child_can_use_the_pool() {
    let Some(output) = child("fork", &[("DYADIC_THREADS", "2")]) else { return };
    assert_eq!(answer(&output), "0");
}
