//! Prints how many gigabytes a second so many threads read from memory: the limit of a decode, which reads every weight once a token.
//!
//! `cargo run --release -p dyadic-tensor --example read_bandwidth -- 2`

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Instant;

use dyadic_tensor::pool::Pool;

/// Far beyond any cache.
const BYTES: usize = 1 << 30;
/// A task: large enough that claiming it costs nothing.
const CHUNK: usize = (1 << 20) / size_of::<u64>();
const REPETITIONS: usize = 15;

/// Eight sums side by side, which the compiler turns into vector additions.
fn sum(chunk: &[u64]) -> u64 {
    let mut sums = [0_u64; 8];
    for eight in chunk.as_chunks::<8>().0 {
        for (sum, value) in sums.iter_mut().zip(eight) {
            *sum = sum.wrapping_add(*value);
        }
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

#[expect(clippy::print_stdout, reason = "the result of this program")]
fn main() {
    let threads = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let threads: NonZeroUsize = threads.expect("usage: read_bandwidth THREADS");
    let pool = Pool::new(threads);
    let data = vec![1_u64; BYTES / size_of::<u64>()];
    let chunks: Vec<&[u64]> = data.chunks(CHUNK).collect();
    let mut best = f64::MAX;
    for _ in 0..REPETITIONS {
        let started = Instant::now();
        pool.run(threads.get(), chunks.len(), &|task| {
            black_box(sum(chunks[task]));
        });
        best = best.min(started.elapsed().as_secs_f64());
    }
    #[expect(clippy::cast_precision_loss, reason = "2^30 is exact")]
    let gigabytes = BYTES as f64 / 1e9;
    println!("{:.1}", gigabytes / best);
}
