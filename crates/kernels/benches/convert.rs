//! Conversions between f32 and low-bit formats, as a fraction of the speed of a copy that moves the same bytes.
//!
//! `cargo bench -p dyadic-kernels --bench convert [-- --json]`. From memory: 512 MiB of f32, more than third-level caches hold. Times are minima, interleaved with the copies. A format that
//! needs the largest magnitude of the tensor first counts both readings.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and counts less than 2^53"
)]

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use dyadic_formats::{EncodeOptions, Format, Quantized, Rounding, StochasticBits};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::Rng;

/// Tensors: elements, and how often each is converted.
const SIZES: [(usize, usize); 2] = [(1 << 24, 7), (1 << 27, 3)];
const COLUMNS: usize = 4096;

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

/// What one thread converts, and what it copies to compare.
struct Part {
    x: Vec<f32>,
    quantized: Quantized,
    out: Vec<f32>,
    source: Vec<u8>,
    target: Vec<u8>,
}

/// The seconds that all threads take for their parts.
fn seconds(parts: &mut [Part], body: impl Fn(&mut Part) + Sync) -> f64 {
    let start = Instant::now();
    let (first, others) = parts.split_first_mut().expect("a part for each thread");
    thread::scope(|scope| {
        let body = &body;
        for part in others {
            scope.spawn(move || body(part));
        }
        body(first);
    });
    start.elapsed().as_secs_f64()
}

/// A line of the table: GB/s of the conversion and of a copy that moves as many bytes, which `body` reads and writes in each part.
struct Line {
    format: &'static str,
    direction: &'static str,
    threads: usize,
    mebibytes: usize,
    rate: f64,
    copy_rate: f64,
}

impl Line {
    fn measure(
        (format, direction): (&'static str, &'static str),
        parts: &mut [Part],
        (bytes, rounds): (usize, usize),
        body: impl Fn(&mut Part) + Sync,
    ) -> Self {
        let (mut conversions, mut copies) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            conversions.push(seconds(parts, &body));
            copies.push(seconds(parts, |Part { source, target, .. }| {
                target[..bytes / 2].copy_from_slice(black_box(&source[..bytes / 2]));
                black_box(target);
            }));
        }
        let rate = |mut seconds: Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            (bytes * parts.len()) as f64 / seconds[rounds / 2] / 1e9
        };
        Self {
            format,
            direction,
            threads: parts.len(),
            mebibytes: (parts.len() * parts[0].x.len() * 4) >> 20,
            rate: rate(conversions),
            copy_rate: rate(copies),
        }
    }

    fn print(&self, json: bool) {
        let Self { format, direction, threads, mebibytes, rate, copy_rate } = self;
        let ratio = rate / copy_rate;
        if json {
            println!(
                r#"{{"format":"{format}","direction":"{direction}","mebibytes":{mebibytes},"threads":{threads},"gigabytesPerSecond":{rate:.2},"copyGigabytesPerSecond":{copy_rate:.2},"ratio":{ratio:.2}}}"#
            );
        } else {
            println!(
                "{format:<14} {direction:<10} {mebibytes:3} MiB {threads} threads {rate:6.2} GB/s   copy {copy_rate:6.2} GB/s   {:4.0} %",
                100.0 * ratio
            );
        }
    }
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let isa = Isa::active().expect("a supported instruction set");
    let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
    if !json {
        println!("{isa}; bytes read and written");
    }
    let most_threads = thread::available_parallelism().map_or(1, usize::from).min(2);
    for (elements, rounds) in SIZES {
        let mut x = Rng::new(1).normal_vec(1 << 16, 1.0);
        while x.len() < elements {
            x.extend_from_within(..);
        }
        for threads in 1..=most_threads {
            measure(kernels, &x, threads, rounds, json);
        }
    }
}

/// All formats, on so many threads.
fn measure(kernels: &Kernels, x: &[f32], threads: usize, rounds: usize, json: bool) {
    let len = x.len() / threads;
    for name in FORMATS {
        let format = Format::parse(name).expect("a format");
        let options = EncodeOptions::default();
        let mut parts: Vec<Part> = x
            .chunks(len)
            .map(|x| Part {
                x: x.to_vec(),
                quantized: kernels
                    .quantize(&format, x, len / COLUMNS, COLUMNS, &options)
                    .expect("a kernel"),
                out: vec![0.0; len],
                source: vec![1; len * 9 / 2 + 64],
                target: vec![2; len * 9 / 2 + 64],
            })
            .collect();
        let low = parts[0].quantized.byte_len();
        let readings = if name == "nvfp4" || name.ends_with("tensor") { 2 } else { 1 };
        let encode = |options: EncodeOptions| {
            move |Part { x, quantized, .. }: &mut Part| {
                assert!(kernels.quantize_into(black_box(x), &options, quantized));
            }
        };
        let work = (readings * len * 4 + low, rounds);
        Line::measure((name, "encode"), &mut parts, work, encode(options)).print(json);
        let decode = |Part { quantized, out, .. }: &mut Part| {
            assert!(kernels.dequantize(black_box(quantized).view(), out));
        };
        Line::measure((name, "decode"), &mut parts, (len * 4 + low, rounds), decode).print(json);
        if ["e4m3fn", "e5m2", "e2m1"].contains(&name) {
            let rounding = Rounding::Stochastic(StochasticBits::default());
            let options = EncodeOptions { rounding, ..options };
            Line::measure((name, "stochastic"), &mut parts, work, encode(options)).print(json);
        }
    }
}
