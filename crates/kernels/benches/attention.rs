//! Attention on the shapes of SmolLM2-135M, as a fraction of the f32 multiply-add peak that this machine reaches now.
//!
//! `cargo bench -p dyadic-kernels --bench attention`. Times are minima, interleaved with the measurement of the peak.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and counts less than 2^53"
)]

use std::hint::black_box;
use std::time::Instant;

use dyadic_kernels::attention::{
    Attention, AttentionScratch, KvPage, PAGE_TOKENS, key_page_len, value_page_len,
};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::Rng;

const HEAD_DIM: usize = 64;
/// Query heads for each key-value head.
const GROUP: usize = 3;
/// Rounds of a measurement of the peak.
const STEPS: u32 = 20_000;

fn seconds(mut body: impl FnMut()) -> f64 {
    let start = Instant::now();
    body();
    start.elapsed().as_secs_f64()
}

/// Multiply-adds per second of chains of independent lanes: what `f32::mul_add` on 24 registers reaches.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn peak_avx512() -> f64 {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
    let mut sums = [_mm512_set1_ps(0.0); 24];
    let (a, b) = (_mm512_set1_ps(black_box(0.5)), _mm512_set1_ps(black_box(0.25)));
    let start = Instant::now();
    for _ in 0..STEPS {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(a, *sum, b);
        }
    }
    let time = start.elapsed().as_secs_f64();
    black_box(sums);
    f64::from(STEPS * 24 * 16) / time
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn peak_avx2() -> f64 {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let mut sums = [_mm256_set1_ps(0.0); 12];
    let (a, b) = (_mm256_set1_ps(black_box(0.5)), _mm256_set1_ps(black_box(0.25)));
    let start = Instant::now();
    for _ in 0..2 * STEPS {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(a, *sum, b);
        }
    }
    let time = start.elapsed().as_secs_f64();
    black_box(sums);
    f64::from(2 * STEPS * 12 * 8) / time
}

fn peak(isa: Isa) -> f64 {
    match isa {
        // SAFETY: the caller iterates over supported instruction sets.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => unsafe { peak_avx512() },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { peak_avx2() },
        _ => f64::NAN,
    }
}

fn main() {
    let mut rng = Rng::new(1);
    let tokens = 2048;
    let pages: Vec<(Vec<u16>, Vec<u16>)> = (0..tokens / PAGE_TOKENS)
        .map(|_| {
            // f16 between 0.125 and 0.25.
            let mut page =
                |len| (0..len).map(|_| 0x3000 | (u16::from(rng.next_u8()) << 2)).collect();
            (page(key_page_len(HEAD_DIM)), page(value_page_len(HEAD_DIM)))
        })
        .collect();
    let pages: Vec<_> = pages.iter().map(|(keys, values)| KvPage { keys, values }).collect();

    println!("{:10} {:>18} {:>10} {:>12} {:>10}", "isa", "shape", "µs", "G fma/s", "of peak");
    for isa in Isa::supported().filter(|isa| !matches!(isa, Isa::Scalar | Isa::AvxVnni)) {
        let kernels = Kernels::for_isa(isa).expect("a supported instruction set");
        for (name, query_tokens, context, causal) in [
            ("decode 64", 1, 64, false),
            ("decode 512", 1, 512, false),
            ("decode 2048", 1, 2048, false),
            ("prefill 64x512", 64, 512, false),
            ("causal 64x512", 64, 512, true),
        ] {
            let rows = query_tokens * GROUP;
            let queries = rng.normal_vec(rows * HEAD_DIM, 1.0);
            let visible: Vec<_> = (0..rows)
                .map(|row| {
                    0..if causal { context - query_tokens + 1 + row / GROUP } else { context }
                })
                .collect();
            let input = Attention {
                head_dim: HEAD_DIM,
                queries: &queries,
                visible: &visible,
                pages: &pages,
                scale: 0.125,
                soft_cap: None,
                sinks: &[],
            };
            let keys: usize = visible.iter().map(std::ops::Range::len).sum();
            let multiply_adds = (2 * keys * HEAD_DIM) as f64;
            let mut scratch = AttentionScratch::default();
            let mut out = vec![0.0; rows * HEAD_DIM];
            let (mut best, mut best_peak) = (f64::INFINITY, 0.0f64);
            for _ in 0..200 {
                best = best.min(seconds(|| {
                    kernels.attention_f16(black_box(&input), &mut scratch, &mut out);
                }));
                best_peak = best_peak.max(peak(isa));
            }
            let rate = multiply_adds / best;
            println!(
                "{:10} {:>18} {:>10.1} {:>12.1} {:>9.0}%",
                isa.name(),
                name,
                best * 1e6,
                rate / 1e9,
                100.0 * rate / best_peak
            );
        }
    }
}
