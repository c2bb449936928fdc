//! Conversions between f32 and low-bit formats, as a fraction of the speed of a copy that moves the same bytes.
//!
//! `cargo bench -p dyadic-kernels --bench convert`. From memory: 64 MiB of f32. Times are minima, interleaved with the copies. A format that needs the
//! largest magnitude of the tensor first counts both readings.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and counts less than 2^53"
)]

use std::hint::black_box;
use std::time::Instant;

use dyadic_formats::{EncodeOptions, Format, Quantized, Rounding, StochasticBits};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::Rng;

const LEN: usize = 1 << 24;
const ROUNDS: usize = 12;

const FORMATS: [&str; 20] = [
    "f16",
    "bf16",
    "e4m3fn",
    "e5m2",
    "e3m2",
    "e2m3",
    "e2m1",
    "mxfp8_e4m3",
    "mxfp6_e3m2",
    "mxfp4",
    "mxint8",
    "nvfp4",
    "nf4",
    "int8:g128:f16",
    "int4:g128:f16",
    "int4:g32:f16",
    "int3:g128:f16",
    "int2:g64:f16",
    "int8:tensor",
    "int5:g64:f16",
];

fn seconds(body: impl FnOnce()) -> f64 {
    let start = Instant::now();
    body();
    start.elapsed().as_secs_f64()
}

/// The best time of the conversion and of a copy that moves `bytes`, in turn.
fn compare(bytes: usize, source: &[u8], target: &mut [u8], mut body: impl FnMut()) -> (f64, f64) {
    let half = bytes / 2;
    let (mut conversion, mut copy) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..ROUNDS {
        conversion = conversion.min(seconds(&mut body));
        copy = copy.min(seconds(|| target[..half].copy_from_slice(black_box(&source[..half]))));
        black_box(&mut *target);
    }
    (conversion, copy)
}

fn report(name: &str, direction: &str, bytes: usize, (conversion, copy): (f64, f64)) {
    let rate = |seconds: f64| bytes as f64 / seconds / 1e9;
    println!(
        "{name:<16} {direction:<10} {:6.2} GB/s   copy {:6.2} GB/s   {:4.0} %",
        rate(conversion),
        rate(copy),
        100.0 * copy / conversion
    );
}

fn main() {
    let isa = Isa::active().expect("a supported instruction set");
    let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
    println!("{isa}, one thread, {} MiB of f32; bytes read and written", (LEN * 4) >> 20);
    let mut rng = Rng::new(1);
    let mut x = rng.normal_vec(1 << 16, 1.0);
    while x.len() < LEN {
        x.extend_from_within(..);
    }
    let mut out = vec![0.0f32; LEN];
    let source = vec![1u8; LEN * 8];
    let mut target = vec![2u8; LEN * 8];
    for name in FORMATS {
        let format = Format::parse(name).expect("a format");
        let options = EncodeOptions::default();
        let mut quantized =
            kernels.quantize(&format, &x, LEN / 4096, 4096, &options).expect("a kernel");
        let low = quantized.byte_len();
        let readings = if name == "nvfp4" || name.ends_with("tensor") { 2 } else { 1 };
        let bytes = readings * LEN * 4 + low;
        let times = compare(bytes, &source, &mut target, || {
            assert!(kernels.quantize_into(black_box(&x), &options, &mut quantized));
        });
        report(name, "encode", bytes, times);
        let times = compare(LEN * 4 + low, &source, &mut target, || {
            assert!(kernels.dequantize(black_box(&quantized).view(), &mut out));
        });
        report(name, "decode", LEN * 4 + low, times);
        if ["e4m3fn", "e5m2", "e2m1"].contains(&name) {
            let options = EncodeOptions {
                rounding: Rounding::Stochastic(StochasticBits::default()),
                ..options
            };
            let mut random = Quantized { ..quantized.clone() };
            let times = compare(bytes, &source, &mut target, || {
                assert!(kernels.quantize_into(black_box(&x), &options, &mut random));
            });
            report(name, "stochastic", bytes, times);
        }
    }
}
