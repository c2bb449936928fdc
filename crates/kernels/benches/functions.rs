//! Element-wise functions, normalisation and log-Bessel functions: elements a second on one thread, for each instruction set.
//!
//! `cargo bench -p dyadic-kernels --bench functions`. The best of many short runs counts, so that other programs matter little.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and counts less than 2^53"
)]

use std::hint::black_box;
use std::time::Instant;

use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::Rng;

/// In the second-level cache, in and out.
const LEN: usize = 32 << 10;

/// M elements a second, the best of 60 runs.
fn rate(len: usize, mut body: impl FnMut()) -> f64 {
    let best = (0..60).fold(f64::INFINITY, |best, _| {
        let start = Instant::now();
        body();
        best.min(start.elapsed().as_secs_f64())
    });
    len as f64 / best / 1e6
}

fn main() {
    let mut rng = Rng::new(1);
    let x = rng.normal_vec(LEN, 3.0);
    let weight = rng.normal_vec(LEN, 1.0);
    let wide = |range: f64, rng: &mut Rng| -> Vec<f64> {
        (0..LEN / 8).map(|_| rng.uniform_f64() * range).collect()
    };
    // By far most of these orders and arguments are Debye's; below 10 none are.
    let large = [wide(5000.0, &mut rng), wide(5000.0, &mut rng)];
    let small = [wide(10.0, &mut rng), wide(10.0, &mut rng)];
    for isa in Isa::supported().filter(|&isa| isa != Isa::AvxVnni) {
        let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
        let mut out = vec![0.0; LEN];
        println!("{}, M elements/s", isa.name());
        for function in Function::ALL {
            let rates = Accuracy::ALL.map(|accuracy| {
                rate(LEN, || kernels.apply(function, accuracy, black_box(&x), &mut out))
            });
            println!("  {:<24} 1ulp, fast, bf16: {rates:.0?}", function.name());
        }
        let rms = rate(LEN, || kernels.rms_norm(black_box(&x), &weight, 1e-5, &mut out));
        let layer = rate(LEN, || kernels.layer_norm(black_box(&x), &weight, &x, 1e-5, &mut out));
        println!("  rms_norm {rms:.0}, layer_norm {layer:.0}");
        let mut out = vec![0.0; LEN / 8];
        for (name, [v, x]) in [("up to 5000", &large), ("up to 10", &small)] {
            let i = rate(LEN / 8, || kernels.log_bessel_i(black_box(v), x, &mut out));
            let k = rate(LEN / 8, || kernels.log_bessel_k(black_box(v), x, &mut out));
            println!("  orders and arguments {name}: log_bessel_i {i:.2}, log_bessel_k {k:.2}");
        }
    }
}
