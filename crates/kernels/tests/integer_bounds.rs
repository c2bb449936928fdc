//! How far the integer-only operations are from real arithmetic: the bounds that `docs/numerics.md` may promise.

#![expect(clippy::approx_constant, reason = "the constants that I-BERT publishes")]

use dyadic_kernels::Kernels;
use dyadic_kernels::integer::elementwise::{Add, AddTflite, add_tflite};
use dyadic_kernels::integer::norm::{LayerNorm, NormChannel, Root};
use dyadic_kernels::integer::shift_exp::ShiftExp;
use dyadic_kernels::integer::shift_gelu::{repaired_sigmoid, sigmoid};
use dyadic_kernels::integer::{Dyadic, Output, ibert};
use dyadic_testkit::Rng;
use dyadic_testkit::reference::gelu;
use support::{nearest_dyadic, tflite_multiplier};

mod support;

fn kernels() -> &'static Kernels {
    Kernels::active().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn real(x: i64) -> f64 {
    x as f64
}

#[test]
fn requantization_is_within_half_a_unit() {
    let mut rng = Rng::new(81);
    for _ in 0..100_000 {
        let factor = 2f64.powf(-f64::from(rng.uniform(0.01, 20.0)));
        let scale = nearest_dyadic(factor);
        #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
        let z = (f64::from(rng.uniform(-1024.0, 1024.0)) / factor) as i32;
        let error = real(scale.apply(z)) - f64::from(z) * factor;
        assert!(error.abs() <= 0.5 + 2f64.powi(-20), "{z} times {factor}: {error}");
    }
}

#[test]
fn residual_add_is_within_a_unit() {
    let mut rng = Rng::new(82);
    for _ in 0..200 {
        let ratios = [0, 1].map(|_| f64::from(rng.uniform(0.05, 0.99)));
        let [x, y] = ratios.map(nearest_dyadic);
        let by = Add { x, y, output: Output::bits(16) };
        let a: Vec<i16> = (0..100).map(|_| i16::from(rng.next_i8()) * 60).collect();
        let b: Vec<i16> = (0..100).map(|_| i16::from(rng.next_i8()) * 60).collect();
        let mut out = vec![0; 100];
        kernels().add_quantized(&a, &b, &by, &mut out);
        for ((&a, &b), &out) in a.iter().zip(&b).zip(&out) {
            let exact = f64::from(a) * ratios[0] + f64::from(b) * ratios[1];
            assert!((f64::from(out) - exact).abs() <= 1.0 + 1e-4, "{a} {b}: {out}, {exact}");
        }
    }
}

#[test]
fn tflite_add_is_within_a_unit() {
    let mut rng = Rng::new(86);
    for _ in 0..200 {
        let [a_scale, b_scale] = [0, 1].map(|_| f64::from(rng.uniform(0.01, 0.1)));
        let own = f64::from(rng.uniform(0.05, 0.2));
        let twice = 2.0 * a_scale.max(b_scale);
        let zero_points = [0, 1].map(|_| i32::from(rng.next_i8()));
        let by = AddTflite {
            zero_points,
            inputs: [a_scale / twice, b_scale / twice].map(tflite_multiplier),
            result: tflite_multiplier(twice / (2f64.powi(20) * own)),
            output: Output::bits(8),
        };
        let a: Vec<i8> = (0..100).map(|_| rng.next_i8()).collect();
        let b: Vec<i8> = (0..100).map(|_| rng.next_i8()).collect();
        let mut out = vec![0; 100];
        add_tflite(&a, &b, &by, &mut out);
        for ((&a, &b), &out) in a.iter().zip(&b).zip(&out) {
            let real = |q: i8, zero: i32, scale| f64::from(i32::from(q) - zero) * scale / own;
            let exact = real(a, zero_points[0], a_scale) + real(b, zero_points[1], b_scale);
            let error = f64::from(out) - exact.clamp(-128.0, 127.0);
            assert!(error.abs() <= 1.0, "{a} {b}: {out}, {exact}");
        }
    }
}

/// Where scales are 1 by an integer and the exponential is above 0.002.
#[test]
fn shift_exp_of_aligned_scales() {
    for (ones, low, high) in [
        (&[100, 128, 200][..], -0.001, 0.076),
        (&[16, 20, 32, 64], -0.006, 0.12),
        (&[8], -0.012, 0.145),
    ] {
        for &one in ones {
            let exp = ShiftExp::new(one, 15).unwrap();
            for d in 0..256 {
                let exact = (-f64::from(d) / f64::from(one)).exp();
                if exact > 2e-3 {
                    let found = f64::from(exp.apply(-d)) / f64::from(one << 15);
                    let error = found / exact - 1.0;
                    assert!((low..=high).contains(&error), "e^(-{d}/{one}): {error}");
                }
            }
        }
    }
}

/// Rows of one greatest logit and some others that are all so much less.
fn two_levels(mut check: impl FnMut(&[i8], usize, f64)) {
    for others in [1, 2, 3, 5, 10, 50, 200] {
        for distance in 0..=255u8 {
            let mut row = vec![127i8.wrapping_sub_unsigned(distance); others + 1];
            row[0] = 127;
            check(&row, others, f64::from(distance));
        }
    }
}

/// The weights of the greatest and of each other logit.
fn softmax_of_two(others: usize, distance: f64) -> [f64; 2] {
    let e = (-distance).exp();
    let sum = 1.0 + real(i64::try_from(others).unwrap()) * e;
    [1.0 / sum, e / sum]
}

#[test]
fn shiftmax_of_two_levels() {
    for one in [8, 16, 32, 64, 128] {
        let exp = ShiftExp::new(one, 15).unwrap();
        two_levels(|row, others, distance| {
            let mut out = vec![0i16; row.len()];
            kernels().shiftmax_i16(row, row.len(), exp, &mut out);
            let exact = softmax_of_two(others, distance / f64::from(one));
            for (out, exact) in out.iter().zip(exact) {
                let error = f64::from(*out) / 32768.0 - exact;
                assert!(error.abs() <= 0.035, "1/{one}, {others} less by {distance}: {error}");
            }
        });
    }
}

/// Rows about normal, of a scale that holds 4.5 standard deviations.
fn normal_row(rng: &mut Rng, len: usize) -> Vec<i8> {
    #[expect(clippy::cast_possible_truncation, reason = "limited")]
    let code = |x: f32| (x * 127.0 / 4.5).round().clamp(-128.0, 127.0) as i8;
    (0..len).map(|_| code(rng.normal())).collect()
}

#[test]
fn rows_of_shiftmax_sum_to_nearly_one() {
    let mut rng = Rng::new(83);
    for len in [1, 16, 50, 197] {
        for one in [8, 16, 32, 64] {
            for _ in 0..20 {
                let row = normal_row(&mut rng, len);
                let mut out = vec![0i16; len];
                let exp = ShiftExp::new(one, 15).unwrap();
                kernels().shiftmax_i16(&row, len, exp, &mut out);
                let sum = out.iter().map(|&x| f64::from(x)).sum::<f64>() / 32768.0;
                assert!((0.92..=1.0).contains(&sum), "{len} logits of 1/{one}: {sum}");
            }
        }
    }
}

fn exponentials(scale: f64) -> [u16; 256] {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^15")]
    let entry = |d: u32| (32768.0 * (-f64::from(d) * scale).exp() + 0.5).floor() as u16;
    let mut table = [0; 256];
    for (entry_of, d) in table.iter_mut().zip(0..) {
        *entry_of = entry(d);
    }
    table
}

#[test]
fn softmax_by_tables() {
    for scale in [1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 0.02, 0.05, 0.1] {
        let table = exponentials(scale);
        two_levels(|row, others, distance| {
            let mut narrow = vec![0u8; row.len()];
            kernels().softmax_u8(row, row.len(), &table, &mut narrow);
            let mut wide = vec![0i16; row.len()];
            kernels().softmax_u15(row, row.len(), &table, &mut wide);
            let exact = softmax_of_two(others, distance * scale);
            for (i, exact) in exact.into_iter().enumerate() {
                let errors =
                    [f64::from(narrow[i]) / 255.0 - exact, f64::from(wide[i]) / 32768.0 - exact];
                let ok = errors[0].abs() <= 0.0050 && errors[1].abs() <= 0.0032;
                assert!(ok, "{scale}, {others} less by {distance}: {errors:?}");
            }
        });
    }
}

#[test]
fn rows_of_softmax_u15_sum_to_one() {
    let mut rng = Rng::new(84);
    for len in [1, 16, 197, 1024] {
        for scale in [0.0177, 0.035, 0.07, 0.14] {
            let table = exponentials(scale);
            for _ in 0..10 {
                let row = normal_row(&mut rng, len);
                let mut out = vec![0i16; len];
                kernels().softmax_u15(&row, len, &table, &mut out);
                let sum = out.iter().map(|&x| f64::from(x)).sum::<f64>() / 32768.0;
                assert!((0.994..=1.006).contains(&sum), "{len} logits of {scale}: {sum}");
            }
        }
    }
}

#[test]
fn shift_gelu_against_gelu() {
    for scale in [0.008f64, 0.01, 0.02, 0.03, 0.05] {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let one = (1.0 / (scale * 1.702)).ceil() as i32;
        let exp = ShiftExp::new(one, 23).unwrap();
        for max in [16, 64] {
            for q in -128..=max {
                let found = f64::from(q * sigmoid(exp, q, max)) * scale / 128.0;
                let error = found - gelu(f64::from(q) * scale);
                assert!(error.abs() <= 0.16, "{q} of {scale}, maximum {max}: {error}");
            }
        }
    }
}

#[test]
fn repaired_shift_gelu_against_gelu() {
    for one in [8, 12, 16, 20, 32] {
        let exp = ShiftExp::new(one, 15).unwrap();
        let scale = 1.0 / (1.702 * f64::from(one));
        for q in -128..=127 {
            let found = f64::from(q * repaired_sigmoid(exp, q)) * scale / 256.0;
            let error = found - gelu(f64::from(q) * scale);
            assert!(error.abs() <= 0.04, "{q} of 1/{one}: {error}");
        }
    }
}

/// Rows of so many units of standard deviation, and what they are when normalized.
fn norm_rows(sigma: f32, mut check: impl FnMut(&[i16], &[f64])) {
    let mut rng = Rng::new(85);
    for width in [192, 384, 768] {
        for _ in 0..20 {
            let mean = rng.normal() * sigma;
            #[expect(clippy::cast_possible_truncation, reason = "small")]
            let code = |x: f32| x.round() as i16;
            let row: Vec<i16> = (0..width).map(|_| code(rng.normal() * sigma + mean)).collect();
            let count = f64::from(width);
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
            let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            let deviation = (squares / count).sqrt();
            let exact: Vec<f64> = row.iter().map(|&x| (f64::from(x) - mean) / deviation).collect();
            check(&row, &exact);
        }
    }
}

#[test]
fn i_layer_norm_of_50_units() {
    for sigma in [50.0, 300.0, 3000.0] {
        norm_rows(sigma, |row, exact| {
            let mut out = vec![0; row.len()];
            kernels().i_layer_norm(row, &vec![0; row.len()], Root::TenSteps, &mut out);
            let unit = real(i64::try_from(row.len()).unwrap()).sqrt() / 2f64.powi(30);
            for (&out, exact) in out.iter().zip(exact) {
                let error = f64::from(out) * unit - exact;
                assert!(error.abs() <= 0.015, "{sigma}: {error}");
            }
        });
    }
}

/// Results of 1/16 have an error of half a unit of their own.
#[test]
fn exact_layer_norm_of_one_unit() {
    for sigma in [1.0, 2.0, 10.0, 300.0] {
        norm_rows(sigma, |row, exact| {
            let scale = Dyadic::new(1 << 30, 40).unwrap();
            let channels = vec![NormChannel::new(scale, 0).unwrap(); row.len()];
            let output = Output::bits(8);
            let by = LayerNorm { channels: &channels, epsilon: 0, subtract_mean: true, output };
            let mut out = vec![0; row.len()];
            kernels().layer_norm_exact(row, &by, &mut out);
            for (&out, exact) in out.iter().zip(exact) {
                let error = f64::from(out) / 16.0 - exact;
                assert!(error.abs() <= 0.5 / 16.0 + 2e-3, "{sigma}: {error}");
            }
        });
    }
}

/// `⌊x⌋` as the reference computes it in f32.
#[expect(clippy::cast_possible_truncation, reason = "small")]
fn floor(x: f64) -> i64 {
    x.floor() as i64
}

#[test]
fn ibert_exp_of_fine_scales() {
    for scale in [0.001, 0.004] {
        let [b, c, x0] = [
            0.969_632_38 / 0.358_151_47 / scale,
            1.0 / 0.358_151_47 / (scale * scale),
            -0.6931 / scale,
        ]
        .map(floor);
        let exp = ibert::Exp::new(b, c, x0, 30).unwrap();
        let unit = 0.358_151_47 * scale * scale / 2f64.powi(30);
        for q in 0..floor(10.0 / scale) {
            let error = real(exp.apply(-q)) * unit - (-real(q) * scale).exp();
            assert!(error.abs() <= 0.0025, "e^(-{q} * {scale}): {error}");
        }
    }
}

#[test]
fn ibert_gelu_of_fine_scales() {
    for scale in [1.0 / 8192.0, 1.0 / 4096.0] {
        let inner = scale / 1.4142;
        let unit = -0.2888 * inner * inner * 16384.0;
        let [b, c, one] = [-1.769 / inner, 1.0 / -0.2888 / (inner * inner), 1.0 / unit].map(floor);
        let gelu_of = ibert::Gelu::new(b, c, one).unwrap();
        for q in (-floor(6.0 / scale)..floor(6.0 / scale)).step_by(7) {
            let found = real(gelu_of.apply(i32::try_from(q).unwrap())) * scale * unit / 2.0;
            let error = found - gelu(real(q) * scale);
            assert!(error.abs() <= 0.019, "{q} of {scale}: {error}");
        }
    }
}
