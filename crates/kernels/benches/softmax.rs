//! The four algorithms of softmax over row lengths and instruction sets, one thread.
//!
//! `cargo bench -p dyadic-kernels --bench softmax [-- JSON_FILE]`. Rounds go through all algorithms before any is repeated, so that all see the
//! same load of the machine; the best time counts. With a file name the rows are written there as JSON, else as a table.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and counts less than 2^53"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use dyadic_kernels::softmax::{Algorithm, SoftmaxOptions, Source, Target, serial};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::Rng;

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::TwoPass, Algorithm::Recompute, Algorithm::Reload, Algorithm::Online];

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let mut rng = Rng::new(1);
    // The inputs of XNNPACK's benchmark: uniform in [-1000, 1000] would make all but one weight zero, so logits of sigma 10 are used.
    let x = rng.normal_vec(16 << 20, 10.0);
    let mut out = vec![0.0; x.len()];
    let mut rows = Vec::new();
    println!("{:>8} {:>10} | G elements/s: two-pass, recompute, reload, online", "isa", "n");
    for isa in Isa::supported().filter(|isa| !matches!(isa, Isa::Scalar | Isa::AvxVnni)) {
        let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
        for n in [1 << 10, 8 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20] {
            let mut best = [f64::INFINITY; 4];
            let repeats = ((1 << 16) / n).max(1);
            for _ in 0..((64 << 20) / n).clamp(7, 60) {
                for (best, algorithm) in best.iter_mut().zip(ALGORITHMS) {
                    let options =
                        SoftmaxOptions { algorithm: Some(algorithm), ..SoftmaxOptions::default() };
                    let start = Instant::now();
                    for _ in 0..repeats {
                        let (source, target) = (Source::F32(&x[..n]), Target::F32(&mut out[..n]));
                        kernels.softmax(black_box(source), target, &options, &serial);
                    }
                    *best = best.min(start.elapsed().as_secs_f64() / repeats as f64);
                }
            }
            let rates = best.map(|seconds| n as f64 / seconds);
            println!("{:>8} {n:>10} | {:.2?}", isa.name(), rates.map(|rate| rate / 1e9));
            for (algorithm, rate) in ALGORITHMS.into_iter().zip(rates) {
                rows.push((n, algorithm, isa, rate));
            }
        }
    }
    if let Some(file) = file {
        let mut json = String::from("{\"rows\":[");
        for (i, (n, algorithm, isa, rate)) in rows.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let (algorithm, isa) = (algorithm.name(), isa.name());
            write!(
                json,
                "{comma}\n{{\"n\":{n},\"algorithm\":\"{algorithm}\",\"isa\":\"{isa}\",\"threads\":1,\"elementsPerSecond\":{rate:.4e}}}"
            )
            .expect("writing to a string cannot fail");
        }
        json.push_str("\n]}\n");
        std::fs::write(file, json).expect("the file can be written");
    }
}
