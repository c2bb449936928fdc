//! How far the integer-only operations are from real arithmetic, as an independent implementation measured it (`golden-integer.json`, sections
//! `err_*`). What takes no random numbers must come out the same to the last printed digit; the rest must be of the same size.

#![expect(clippy::approx_constant, reason = "the constants that I-BERT publishes")]

use dyadic_kernels::Kernels;
use dyadic_kernels::integer::norm::{LayerNorm, NormChannel, Root};
use dyadic_kernels::integer::shift_exp::ShiftExp;
use dyadic_kernels::integer::shift_gelu::{repaired_sigmoid, sigmoid};
use dyadic_kernels::integer::softmax::index_softmax;
use dyadic_kernels::integer::{Dyadic, Output, Rounding, ibert};
use dyadic_testkit::{Rng, reference};
use reference::gelu;
use serde_json::Value;
use support::{golden, integer, list, nearest_dyadic, number, tflite_multiplier};

mod support;

fn kernels() -> &'static Kernels {
    Kernels::active().unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn f32_of(x: f64) -> f32 {
    x as f32
}

/// I0 = ⌈1 / scale⌉, as the reference computes it in f32.
#[expect(clippy::cast_possible_truncation, reason = "small")]
fn one_of(scale: f64) -> i32 {
    -(-1.0 / f32_of(scale)).floor() as i32
}

/// That a number printed with so many decimals is this one.
fn assert_printed(found: f64, golden: &Value, decimals: i32, row: &Value) {
    let unit = 10f64.powi(-decimals);
    let difference = (found - number(golden)).abs();
    assert!(difference <= 0.5 * unit + 1e-9, "{found} is not {golden}: {row}");
}

/// That a statistic of random numbers is of the size that other random numbers gave.
fn assert_near(found: f64, golden: &Value, times: f64, slack: f64, row: &Value) {
    let golden = number(golden);
    let within = found <= golden * times + slack && golden <= found * times + slack;
    assert!(within, "{found} is not near {golden}: {row}");
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// The relative errors of `ShiftExp` for 0 to −255 where the exponential is above 0.002, and its largest error.
fn shift_exp_errors(one: i32, scale: f64) -> (Vec<f64>, f64) {
    let exp = ShiftExp::new(one, 15).unwrap();
    let pairs = (0..256).map(|d| {
        let exact = (-f64::from(d) * scale).exp();
        (f64::from(exp.apply(-d)) / f64::from(one << 15), exact)
    });
    let absolute = largest(pairs.clone().map(|(found, exact)| (found - exact).abs()));
    let relative =
        pairs.filter(|&(_, exact)| exact > 2e-3).map(|(found, exact)| found / exact - 1.0);
    (relative.collect(), absolute)
}

fn assert_relative(errors: &[f64], row: &Value) {
    assert_printed(-largest(errors.iter().map(|x| -x)), &row["rel_min"], 4, row);
    assert_printed(largest(errors.iter().copied()), &row["rel_max"], 4, row);
}

#[test]
fn shift_exp() {
    let section = golden("err_shiftexp_rel");
    for row in list(&section, "rows") {
        let scale = number(&row["S"]);
        assert_eq!(one_of(scale), integer::<i32>(&row["I0"]), "{row}");
        let (relative, absolute) = shift_exp_errors(one_of(scale), scale);
        assert_relative(&relative, row);
        assert_printed(absolute, &row["abs_max"], 4, row);
    }
}

#[test]
fn shiftmax_of_aligned_scales() {
    let section = golden("err_shiftmax_aligned");
    let mut rng = Rng::new(91);
    for row in list(&section, "rows") {
        let one: i32 = integer(&row["I0"]);
        let scale = 1.0 / f64::from(one);
        assert_relative(&shift_exp_errors(one, scale).0, row);
        let error = largest((0..400).map(|_| {
            let row = normal_row(&mut rng, 197, 2.0, scale);
            largest_error(&shiftmax_16(&row, one), &row, scale)
        }));
        assert_near(error, &row["softmax16_max_N197_sigma2"], 1.5, 0.0, row);
    }
}

/// Normal to the far tails, on which errors depend (Box and Muller 1958).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.uniform_f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.uniform_f64()).cos()
}

/// Codes of a normal distribution.
fn normal_row(rng: &mut Rng, len: usize, sigma: f64, scale: f64) -> Vec<i8> {
    #[expect(clippy::cast_possible_truncation, reason = "limited")]
    let code = |x: f64| (x / scale).round_ties_even().clamp(-128.0, 127.0) as i8;
    (0..len).map(|_| code(normal(rng) * sigma)).collect()
}

fn softmax_of(row: &[i8], scale: f64) -> Vec<f64> {
    let x: Vec<f64> = row.iter().map(|&q| f64::from(q) * scale).collect();
    reference::softmax(&x)
}

fn largest_error(found: &[f64], row: &[i8], scale: f64) -> f64 {
    let exact = softmax_of(row, scale);
    largest(found.iter().zip(exact).map(|(found, exact)| (found - exact).abs()))
}

fn shiftmax_16(row: &[i8], one: i32) -> Vec<f64> {
    let mut out = vec![0i16; row.len()];
    kernels().shiftmax_i16(row, row.len(), ShiftExp::new(one, 15).unwrap(), &mut out);
    out.into_iter().map(|x| f64::from(x) / 32768.0).collect()
}

fn shiftmax_8(row: &[i8], one: i32) -> Vec<f64> {
    let mut out = vec![0i8; row.len()];
    kernels().shiftmax_i8(row, row.len(), ShiftExp::new(one, 15).unwrap(), &mut out);
    out.into_iter().map(|x| f64::from(x) / 128.0).collect()
}

/// `⌊one · e^(−d·scale) + ½⌋`
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 2^15")]
fn exponentials(scale: f64, one: f64) -> [u16; 256] {
    let scale = f64::from(f32_of(scale));
    std::array::from_fn(|d| (one * (-f64::from(d as u32) * scale).exp() + 0.5).floor() as u16)
}

fn softmax_u8(row: &[i8], scale: f64) -> Vec<f64> {
    let mut out = vec![0; row.len()];
    kernels().softmax_u8(row, row.len(), &exponentials(scale, 32768.0), &mut out);
    out.into_iter().map(|x| f64::from(x) / 255.0).collect()
}

fn softmax_u15(row: &[i8], scale: f64) -> Vec<f64> {
    let mut out = vec![0; row.len()];
    kernels().softmax_u15(row, row.len(), &exponentials(scale, 32768.0), &mut out);
    out.into_iter().map(|x| f64::from(x) / 32768.0).collect()
}

/// The weights of attention with deferred normalisation: its division is exact, so their error is that of the table.
fn deferred_u8(row: &[i8], scale: f64) -> Vec<f64> {
    let table = exponentials(scale, 255.0);
    let max = row.iter().fold(i8::MIN, |max, &q| q.max(max));
    let e = row.iter().map(|&q| f64::from(table[usize::from(max.abs_diff(q))]));
    let e: Vec<f64> = e.collect();
    let sum: f64 = e.iter().sum();
    e.into_iter().map(|e| e / sum).collect()
}

fn index_softmax_of(row: &[i8], scale: f64) -> Vec<f64> {
    let table: [u8; 32] = support::integers(&golden("index_softmax")["lut"]).try_into().unwrap();
    let wide: Vec<i32> = row.iter().map(|&q| q.into()).collect();
    let mut out = vec![0; row.len()];
    #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
    index_softmax(&wide, (6.6 / scale) as i32, &table, &mut out);
    out.into_iter().map(|x| f64::from(x) / 255.0).collect()
}

/// Rows of one greatest logit and `others` that are all so much less.
fn two_levels(others: &[usize]) -> impl Iterator<Item = (Vec<i8>, usize, usize)> {
    others.iter().flat_map(|&others| {
        (0..=255u8).map(move |distance| {
            let mut row = vec![127i8.wrapping_sub_unsigned(distance); others + 1];
            row[0] = 127;
            (row, others, usize::from(distance))
        })
    })
}

/// The largest error over such rows, and where it is.
fn worst(
    others: &[usize],
    scale: f64,
    softmax: impl Fn(&[i8]) -> Vec<f64>,
    exact_scale: f64,
) -> (f64, f64, usize, usize) {
    two_levels(others).fold((0.0, scale, 0, 0), |worst, (row, others, distance)| {
        let error = largest_error(&softmax(&row), &row, exact_scale);
        if error > worst.0 { (error, scale, others, distance) } else { worst }
    })
}

const OTHERS: [usize; 7] = [1, 2, 3, 5, 10, 50, 200];

#[test]
fn shiftmax_of_rows_that_are_hard_for_it() {
    let section = golden("err_shiftmax_adversarial16");
    let scales = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3];
    let worst = scales
        .map(|scale| worst(&OTHERS[..6], scale, |row| shiftmax_16(row, one_of(scale)), scale))
        .into_iter()
        .fold((0.0, 0.0, 0, 0), |worst, row| if row.0 > worst.0 { row } else { worst });
    assert_printed(worst.0, &section["max"], 12, &section);
    let at = &section["at"];
    assert_eq!(worst.1, number(&at["S"]));
    assert_eq!([worst.2, worst.3], ["N1", "delta"].map(|name| integer::<usize>(&at[name])));
}

/// The scales of a section are printed with some digits; these are the scales.
const TWO_LEVEL_SCALES: [f64; 13] = [
    1.0 / 128.0,
    1.0 / 64.0,
    1.0 / 32.0,
    1.0 / 16.0,
    1.0 / 8.0,
    0.01,
    0.02,
    0.03,
    0.05,
    0.0625,
    0.08,
    0.1,
    0.14,
];

#[test]
fn shiftmax_of_two_levels() {
    let section = golden("err_shiftmax_twolevel");
    let rows = list(&section, "rows");
    assert_eq!(rows.len(), TWO_LEVEL_SCALES.len());
    for (row, scale) in rows.iter().zip(TWO_LEVEL_SCALES) {
        assert_printed(scale, &row["S"], 6, row);
        let (error, _, others, distance) =
            worst(&OTHERS, scale, |row| shiftmax_16(row, one_of(scale)), scale);
        assert_printed(error, &row["max_abs"], 4, row);
        assert_eq!(
            [others, distance],
            ["N1", "delta_q"].map(|name| integer::<usize>(&row[name])),
            "{row}"
        );
        assert_eq!(row["aligned"], (1.0 / scale - (1.0 / scale).round()).abs() < 1e-9, "{row}");
    }
}

#[test]
fn softmax_by_tables_of_two_levels() {
    let section = golden("err_lut_twolevel");
    for (row, scale) in
        list(&section, "rows").iter().zip([1.0 / 64.0, 1.0 / 32.0, 1.0 / 16.0, 0.02, 0.05, 0.1])
    {
        assert_printed(scale, &row["S"], 5, row);
        let exact = f64::from(f32_of(scale));
        let narrow = worst(&OTHERS, scale, |row| softmax_u8(row, scale), exact);
        assert_printed(narrow.0, &row["u8"], 6, row);
        let wide = worst(&OTHERS, scale, |row| softmax_u15(row, scale), exact);
        assert_printed(wide.0, &row["u15"], 6, row);
    }
}

/// 100 rows of each kind where the reference has 400.
#[test]
fn softmax_of_random_rows() {
    let section = golden("err_softmax");
    let mut rng = Rng::new(92);
    for row in list(&section, "rows") {
        let (len, sigma): (usize, f64) = (integer(&row["N"]), number(&row["sigma"]));
        let scale = f64::from(f32_of(4.5 * sigma / 127.0));
        assert_printed(scale, &row["S"], 6, row);
        let rows: Vec<Vec<i8>> =
            (0..100).map(|_| normal_row(&mut rng, len, sigma, scale)).collect();
        let one = one_of(scale);
        let check = |name: &str, softmax: &dyn Fn(&[i8]) -> Vec<f64>| {
            let golden = &row[name];
            if golden.is_null() {
                return;
            }
            let (mut max, mut distance, mut sum, mut zero_rows) = (0f64, 0.0, [2.0, 0.0], 0);
            for row in &rows {
                let found = softmax(row);
                let exact = softmax_of(row, scale);
                let errors = found.iter().zip(&exact).map(|(a, b)| (a - b).abs());
                max = max.max(largest(errors.clone()));
                distance += errors.sum::<f64>() / 2.0;
                let total: f64 = found.iter().sum();
                sum = [total.min(sum[0]), total.max(sum[1])];
                zero_rows += i32::from(total == 0.0);
            }
            assert!(max <= 2.0 * number(&golden["max"]) + 1e-5, "{name}: {max}, {golden}");
            assert_near(distance / 100.0, &golden["tv_mean"], 1.2, 1e-4, golden);
            let mean = 2.0 * distance / 100.0 / f64::from(u32::try_from(len).unwrap());
            assert_near(mean, &golden["mean"], 1.2, 1e-6, golden);
            assert_near(sum[0], &golden["rowsum_min"], 1.15, 0.05, golden);
            assert_near(sum[1], &golden["rowsum_max"], 1.15, 0.05, golden);
            assert_near(f64::from(4 * zero_rows), &golden["zero_rows"], 2.0, 40.0, golden);
        };
        check("ivit16", &|row| shiftmax_16(row, one));
        check("ivit8", &|row| shiftmax_8(row, one));
        check("lut_u8", &|row| softmax_u8(row, scale));
        check("lut_u15", &|row| softmax_u15(row, scale));
        check("deferred_u8", &|row| deferred_u8(row, scale));
        check("index32_on_int8", &|row| index_softmax_of(row, scale));
    }
}

/// Shiftmax as `PyTorch` evaluates it, every step in f32: not the definition, but near it.
#[test]
fn shiftmax_in_f32() {
    let section = golden("ref_float32_noise");
    let mut rng = Rng::new(93);
    for row in list(&section, "rows") {
        let (len, bits): (usize, u8) = (integer(&row["N"]), integer(&row["bits"]));
        let sigma = if len == 197 { 2.0 } else { 1.0 };
        let scale = f32_of(4.5 * sigma / 127.0);
        let one = one_of(scale.into());
        let (mut different, mut most) = (0, 0f64);
        for _ in 0..400 {
            let row = normal_row(&mut rng, len, sigma, scale.into());
            let unit = f64::from(bits - 1).exp2();
            let exact = if bits == 8 { shiftmax_8(&row, one) } else { shiftmax_16(&row, one) };
            for (found, exact) in f32_shiftmax(&row, scale, bits).into_iter().zip(exact) {
                let difference = (f64::from(found) - exact * unit).abs();
                different += i32::from(difference > 0.0);
                most = most.max(difference);
            }
        }
        let part = f64::from(different) / 400.0 / f64::from(u32::try_from(len).unwrap());
        assert_near(part, &row["mismatch_frac"], 1.5, 1e-4, row);
        assert_near(most, &row["max_diff"], 2.5, 0.0, row);
    }
}

fn f32_shiftmax(row: &[i8], scale: f32, bits: u8) -> Vec<f32> {
    let x: Vec<f32> = row.iter().map(|&q| f32::from(q) * scale / scale).collect();
    let max = x.iter().fold(f32::NEG_INFINITY, |max, x| x.max(max));
    let x0 = (-1.0 / scale).floor();
    let exps = x.iter().map(|x| {
        let d = x - max;
        let p = (d + (d / 2.0).floor() - (d / 16.0).floor()).max(15.0 * x0);
        let k = (p / x0).floor();
        (((p - x0 * k) / 2.0 - x0) * (15.0 - k).exp2()).floor().max(0.0)
    });
    let exps: Vec<f32> = exps.collect();
    let factor = (2_147_483_647.0 / exps.iter().sum::<f32>().min(2_147_483_647.0)).floor();
    exps.into_iter().map(|e| (e * factor / (32.0 - f32::from(bits)).exp2()).floor()).collect()
}

#[test]
fn shift_gelu() {
    let section = golden("err_shiftgelu");
    for row in list(&section, "rows") {
        let (scale, max): (f64, i32) = (number(&row["S"]), integer(&row["row_max_q"]));
        let one = one_of(f64::from(f32_of(scale) * 1.702f32));
        assert_eq!(one, integer::<i32>(&row["I0"]), "{row}");
        let exp = ShiftExp::new(one, 23).unwrap();
        let mut worst = (0.0, 0.0);
        let mut from_sigmoid: f64 = 0.0;
        let mut most = 0;
        for q in -128..=max {
            let x = f64::from(q) * scale;
            let sigmoid = sigmoid(exp, q, max);
            let found = f64::from(q * sigmoid) * scale / 128.0;
            let error = (found - gelu(x)).abs();
            worst = if error > worst.0 { (error, x) } else { worst };
            from_sigmoid = from_sigmoid.max((found - x * reference::sigmoid(1.702 * x)).abs());
            most = most.max(sigmoid);
        }
        assert_printed(worst.0, &row["max_vs_gelu"], 4, row);
        assert_printed(worst.1, &row["at_x"], 3, row);
        assert_printed(from_sigmoid, &row["max_vs_xsig"], 4, row);
        assert_eq!(most, integer::<i32>(&row["sig_max"]), "{row}");
    }
    let limit = largest((0..24001).map(|step| {
        let x = -6.0 + 12.0 * f64::from(step) / 24000.0;
        (x * reference::sigmoid(1.702 * x) - gelu(x)).abs()
    }));
    assert_printed(limit, &section["xsig_vs_gelu_max"], 5, &section["xsig_vs_gelu_max"]);
}

/// With an exact division, from the row's maximum and from the magnitude.
#[test]
fn repaired_shift_gelu() {
    let section = golden("err_shiftgelu_fixed");
    for row in list(&section, "rows") {
        let (one, max): (i32, i32) = (integer(&row["I0"]), integer(&row["row_max_q"]));
        let scale = 1.0 / (1.702 * f64::from(one));
        assert_printed(scale, &row["S"], 5, row);
        for (limit, q) in list(row, "range").iter().zip([-128, max]) {
            assert_printed(f64::from(q) * scale, limit, 2, row);
        }
        let (of_row, of_magnitude) =
            (ShiftExp::new(one, 23).unwrap(), ShiftExp::new(one, 15).unwrap());
        let error = |sigmoid: &dyn Fn(i32) -> i64| {
            largest((-128..=max).map(|q| {
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let found = (i64::from(q) * sigmoid(q)) as f64 / 256.0 * scale;
                (found - gelu(f64::from(q) * scale)).abs()
            }))
        };
        let other = i64::from(of_row.apply(-max));
        let from_row = |q: i32| {
            let e = i64::from(of_row.apply(q - max));
            (e << 8) / (e + other)
        };
        assert_printed(error(&from_row), &row["maxform_exactdiv"], 4, row);
        let repaired = |q| i64::from(repaired_sigmoid(of_magnitude, q));
        assert_printed(error(&repaired), &row["absform_exactdiv"], 4, row);
    }
}

/// Rows of numbers about normal, with a mean of their own, of so many units of standard deviation; and what they are when normalized.
fn norm_rows(rng: &mut Rng, count: usize, row: &Value) -> Vec<(Vec<i16>, Vec<f64>)> {
    let (width, sigma): (usize, f64) = (integer(&row["C"]), number(&row["amp_lsb"]));
    let rows = (0..count).filter_map(|_| {
        let mean = normal(rng) * sigma;
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let code = |x: f64| x.round_ties_even() as i16;
        let x: Vec<i16> = (0..width).map(|_| code(normal(rng) * sigma + mean)).collect();
        let real: Vec<f32> = x.iter().map(|&x| x.into()).collect();
        let exact = reference::layer_norm(&real, &vec![1.0; width], &vec![0.0; width], 0.0);
        x.iter().any(|&other| other != x[0]).then_some((x, exact))
    });
    rows.collect()
}

#[test]
fn i_layer_norm() {
    let section = golden("err_ilayernorm");
    let mut rng = Rng::new(94);
    for row in list(&section, "rows") {
        let rows = norm_rows(&mut rng, 200, row);
        for (root, name) in [(Root::TenSteps, "newton10_max"), (Root::Exact, "isqrt_max")] {
            let error = largest(rows.iter().map(|(x, exact)| {
                let mut out = vec![0; x.len()];
                kernels().i_layer_norm(x, &vec![0; x.len()], root, &mut out);
                let unit = f64::from(u32::try_from(x.len()).unwrap()).sqrt() / 2f64.powi(30);
                largest(
                    out.iter()
                        .zip(exact)
                        .map(|(&out, exact)| (f64::from(out) * unit - exact).abs()),
                )
            }));
            assert_near(error, &row[name], 1.5, 1e-4, row);
        }
    }
}

/// In units of 2^−14: β takes away what a result should be, so that 8 bits hold what is left.
#[test]
fn exact_layer_norm() {
    let section = golden("err_layernorm_exact");
    let mut rng = Rng::new(95);
    for row in list(&section, "rows") {
        let rows = norm_rows(&mut rng, 100, row);
        let error = largest(rows.iter().map(|(x, exact)| {
            #[expect(clippy::cast_possible_truncation, reason = "below 2^20")]
            let expected: Vec<i64> = exact.iter().map(|x| (x * 16384.0).round() as i64).collect();
            let channels: Vec<NormChannel> = expected
                .iter()
                .map(|expected| NormChannel::new(Dyadic::ONE, -expected << 30).unwrap())
                .collect();
            let by = LayerNorm {
                channels: &channels,
                epsilon: 0,
                subtract_mean: true,
                output: Output::bits(8),
            };
            let mut out = vec![0; x.len()];
            kernels().layer_norm_exact(x, &by, &mut out);
            assert!(out.iter().all(|error| error.unsigned_abs() < 127), "{row}");
            largest(out.iter().map(|&error| f64::from(error.unsigned_abs()) / 16384.0))
        }));
        assert_near(error, &row["exact_max"], 1.5, 1e-4, row);
    }
}

/// `⌊x⌋` as the reference computes it in f32.
#[expect(clippy::cast_possible_truncation, reason = "small")]
fn floor(x: f32) -> i64 {
    x.floor() as i64
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn real(x: i64) -> f64 {
    x as f64
}

#[test]
fn ibert() {
    let section = golden("err_ibert");
    for row in list(&section, "iexp") {
        let scale = number(&row["S"]);
        let s = f32_of(scale);
        let b = floor(f32_of(0.969_632_38 / 0.358_151_47) / s);
        let c = floor(f32_of(1.0 / 0.358_151_47) / (s * s));
        let exp = ibert::Exp::new(b, c, floor(-0.6931 / s), 30).unwrap();
        let unit = 0.358_151_47 * scale * scale / 2f64.powi(30);
        #[expect(clippy::cast_possible_truncation, reason = "10,000 at most")]
        let least = -(10.0 / scale) as i64;
        let errors =
            (least + 1..=0).map(|q| (real(exp.apply(q)) * unit - (real(q) * scale).exp()).abs());
        assert_printed(largest(errors), &row["abs_max"], 5, row);
    }
    for row in list(&section, "igelu") {
        let scale = number(&row["S"]);
        let s = f32_of(scale) / 1.4142f32;
        let (b, c) = (floor(-1.769 / s), floor(f32_of(1.0 / -0.2888) / (s * s)));
        let unit = -0.2888 * f64::from(s).powi(2) * 16384.0;
        assert!((unit / number(&row["erf_scale"]) - 1.0).abs() < 1e-9, "{unit}: {row}");
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let one = (1.0 / unit).floor() as i64;
        let gelu_of = ibert::Gelu::new(b, c, one).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let (limit, step) = ((6.0 / scale) as i32, ((0.001 / scale) as usize).max(1));
        let errors = (-limit..limit).step_by(step).map(|q| {
            let found = real(gelu_of.apply(q)) * scale * unit / 2.0;
            (found - gelu(f64::from(q) * scale)).abs()
        });
        assert_printed(largest(errors), &row["max"], 5, row);
    }
}

/// How often the other rules of rounding differ from ours, of 200,000 random numbers.
#[test]
fn rounding_rules() {
    let section = golden("requant_mode_diff_per_200k");
    let mut rng = Rng::new(96);
    for (scale, golden) in section.as_object().unwrap() {
        let ratio: f64 = scale.parse().unwrap();
        let (dyadic, tflite) = (nearest_dyadic(ratio), tflite_multiplier(ratio));
        let mut counts = [0; 4];
        for _ in 0..200_000 {
            #[expect(clippy::cast_possible_truncation, reason = "below 2^31")]
            let z = ((rng.uniform_f64() * 260.0 - 130.0) / ratio).floor() as i32;
            let up = dyadic.apply(z);
            let even = dyadic.apply_rounded(z, Rounding::Even);
            let wide = f64::from(z) * f64::from(dyadic.multiplier());
            let in_f64 = (wide / f64::from(dyadic.shift()).exp2()).round_ties_even();
            let others = [
                up == even,
                Some(up) == tflite.apply_double(z).map(i64::from),
                up == tflite.apply_single(z),
                in_f64 == real(even),
            ];
            for (count, same) in counts.iter_mut().zip(others) {
                *count += i32::from(!same);
            }
        }
        let names = ["up_vs_even", "up_vs_double", "up_vs_single", "even_f64_vs_even"];
        for (count, name) in counts.into_iter().zip(names) {
            // Five standard deviations of the difference of two such counts.
            let expected = number(&golden[name]);
            let most = 5.0 * (2.0 * expected).sqrt();
            assert!(
                (f64::from(count) - expected).abs() <= most,
                "{scale}, {name}: {count}, {golden}"
            );
        }
    }
}
