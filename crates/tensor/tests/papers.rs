//! What papers promise of kernels and of treatments of activations, by their number in the list that the project implements.

#![expect(clippy::cast_precision_loss, reason = "counts")]

use std::num::NonZeroUsize;

use dyadic_formats::complex::{self, Complex, ComplexScales};
use dyadic_formats::{EncodeOptions, Format, Quantized};
use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{
    ActivationKind, Activations, ComplexWeights, KernelChoice, PackedWeights, Planes, Projection,
    Shape, linear,
};
use dyadic_testkit::Rng;

fn pool() -> Pool {
    Pool::new(NonZeroUsize::MIN)
}

fn kernels() -> &'static Kernels {
    Kernels::active().unwrap()
}

fn quantize(format: &str, values: &[f32], rows: usize, columns: usize) -> Quantized {
    let format = Format::parse(format).unwrap();
    format.quantize(values, rows, columns, &EncodeOptions::default()).unwrap()
}

fn pack(format: &str, values: &[f32], rows: usize, columns: usize) -> PackedWeights {
    let tensor = quantize(format, values, rows, columns);
    PackedWeights::from_quantized(kernels(), &pool(), 1, &tensor).unwrap()
}

fn multiply(weights: &PackedWeights, x: &[f32], kind: ActivationKind) -> Vec<f32> {
    let mut activations = Activations::new();
    activations.set(&pool(), 1, kernels(), x, weights.columns(), kind).unwrap();
    let mut out = vec![0.0; activations.tokens() * weights.rows()];
    linear(&pool(), 1, &activations, &mut [Projection { weights, bias: None, out: &mut out }])
        .unwrap();
    out
}

/// The product in f64 of the weights as they are packed.
fn exact(weights: &PackedWeights, x: &[f32]) -> Vec<f64> {
    let mut row = vec![0.0; weights.columns()];
    let mut out = Vec::new();
    for x in x.chunks_exact(weights.columns()) {
        for index in 0..weights.rows() {
            weights.decode_row(index, &mut row).unwrap();
            out.push(dyadic_testkit::reference::dot(&row, x));
        }
    }
    out
}

/// Σ (actual − exact)² / Σ exact².
fn relative_error(actual: &[f32], exact: &[f64]) -> f64 {
    let error: f64 = actual.iter().zip(exact).map(|(&a, e)| (f64::from(a) - e).powi(2)).sum();
    error / exact.iter().map(|e| e * e).sum::<f64>()
}

/// Tokens of normal numbers of which a few channels are 20 times as large.
fn with_outliers(tokens: usize, columns: usize) -> Vec<f32> {
    let mut rng = Rng::new(44);
    let mut x = rng.normal_vec(tokens * columns, 1.0);
    for token in x.chunks_exact_mut(columns) {
        for channel in token.iter_mut().step_by(200) {
            *channel *= 30.0;
        }
    }
    x
}

/// Row 4: INT16 with a shared exponent.
#[test]
fn paper_04_dynamic_fixed_point_never_overflows_and_is_near_f32() {
    let (rows, columns) = (16, 4096);
    let extreme = vec![1.0; rows * columns];
    let weights = pack("int8:channel:f32", &extreme, rows, columns);
    for largest in [1.0, 32767.0, 3e38, 1e-30] {
        let x = vec![-largest; columns];
        for y in multiply(&weights, &x, ActivationKind::Int16) {
            let expected = -f64::from(largest) * columns as f64;
            if expected.abs() < f64::from(f32::MAX) {
                assert!((f64::from(y) / expected - 1.0).abs() < 2e-4, "{y} for {expected}");
            }
        }
    }
    let mut rng = Rng::new(4);
    let weights = pack("int8:channel:f32", &rng.normal_vec(rows * columns, 1.0), rows, columns);
    let x = rng.normal_vec(3 * columns, 1.0);
    let error =
        relative_error(&multiply(&weights, &x, ActivationKind::Int16), &exact(&weights, &x));
    assert!(error.sqrt() < 2e-4, "{error:e}");
}

/// Row 20: a scale applied to the integer sum of a group equals scaling every weight before.
#[test]
fn paper_20_scaling_after_the_group_equals_scaling_before() {
    let (rows, columns) = (32, 1024);
    let mut rng = Rng::new(20);
    let weights = pack("int4:g64:f16", &rng.normal_vec(rows * columns, 1.0), rows, columns);
    // Integers, so that rounding activations loses nothing.
    let mut x: Vec<f32> = (0..columns).map(|_| f32::from(rng.next_i8().max(-127))).collect();
    x.iter_mut().step_by(32).for_each(|x| *x = 127.0);
    let magnitude = exact(&weights, &x).iter().fold(0.0, |m: f64, y| m.max(y.abs()));
    for (y, exact) in
        multiply(&weights, &x, ActivationKind::Int8G32).iter().zip(exact(&weights, &x))
    {
        assert!((f64::from(*y) - exact).abs() <= 1e-6 * magnitude, "{y} for {exact}");
    }
}

/// Row 31: products of every integer width and of fourteen floating-point formats.
#[test]
fn paper_31_any_width_is_multiplied() {
    let (rows, columns) = (17, 160);
    let mut rng = Rng::new(31);
    let values = rng.normal_vec(rows * columns, 0.5);
    let x = rng.normal_vec(2 * columns, 1.0);
    let integers = (1..=8).flat_map(|bits| {
        let signed = (bits > 1).then(|| format!("int{bits}:g32:f16"));
        signed.into_iter().chain([format!("uint{bits}:g32:f16:zp")])
    });
    let floats = [
        "e2m1", "e1m2", "e3m0", "e2m0", "e1m1", "e2m2", "e3m1", "e2m3", "e3m2", "e3m3", "e4m3fn",
        "e4m3", "e5m2", "e3m4",
    ];
    for format in integers.chain(floats.map(|float| format!("{float}:g32:f16"))) {
        let weights = pack(&format, &values, rows, columns);
        let error =
            relative_error(&multiply(&weights, &x, ActivationKind::F32), &exact(&weights, &x));
        assert!(error < 1e-11, "{format}: {error:e}");
        let error =
            relative_error(&multiply(&weights, &x, ActivationKind::Int8G32), &exact(&weights, &x));
        assert!(error < 3e-4, "{format}, int8 activations: {error:e}");
    }
}

/// Row 38: products of weights and activations of few bits, by population counts, are those of the integers.
#[test]
fn paper_38_bipolar_activations_are_multiplied_exactly() {
    let (rows, columns, tokens) = (48, 500, 3);
    let mut rng = Rng::new(38);
    let values = rng.normal_vec(rows * columns, 1.0);
    let x = rng.normal_vec(tokens * columns, 1.0);
    for (format, weight_bits) in [
        ("bipolar1:channel:f32", 1),
        ("bipolar2:channel:f32", 2),
        ("ternary:tensor:f32", 2),
        ("int3:channel:f32", 3),
        ("uint4:channel:f32:zp", 4),
    ] {
        let mut weights = pack(format, &values, rows, columns);
        weights.choose(&pool(), 1, KernelChoice::BitPlanes);
        for bits in 1..=4 {
            let kind = ActivationKind::Bipolar { bits };
            let is_counted = weights.kernel_name_for(kind).starts_with("popcount_");
            assert_eq!(is_counted, weight_bits * bits <= 8, "{format}, {bits} bits");
            let rounded: Vec<f32> = x
                .chunks(columns)
                .flat_map(|x| x.chunks(32).flat_map(|x| bipolar(x, bits)))
                .collect();
            let actual = multiply(&weights, &x, kind);
            let error = relative_error(&actual, &exact(&weights, &rounded));
            assert!(error < 1e-11, "{format}, {bits} bits: {error:e}");
        }
    }
}

/// What the nearest odd integers of so many bits stand for.
fn bipolar(x: &[f32], bits: u32) -> Vec<f32> {
    let top = ((1 << bits) - 1) as f32;
    let scale = match bits {
        1 => x.iter().map(|x| x.abs()).sum::<f32>() / x.len() as f32,
        _ => x.iter().fold(0.0, |most: f32, x| most.max(x.abs())) / top,
    };
    let odd = |x: f32| (2.0 * (0.5 * x / scale).floor() + 1.0).clamp(-top, top);
    x.iter().map(|&x| scale * odd(x)).collect()
}

/// Row 50: T-MAC's rounded tables lose no more than 8-bit activations with as many scales, also where there are outliers.
#[test]
fn paper_50_rounded_tables_are_as_near_as_int8() {
    let (rows, columns, tokens) = (64, 4096, 4);
    let mut rng = Rng::new(50);
    let values = rng.normal_vec(rows * columns, 1.0);
    let normal = rng.normal_vec(tokens * columns, 1.0);
    let mut outliers = normal.clone();
    outliers.iter_mut().step_by(200).for_each(|x| *x *= 20.0);
    for format in ["bipolar1", "uint2", "int3", "int4"] {
        // Tables of 64 columns share a scale, and of 32.
        for group in [128, 32] {
            let weights = pack(&format!("{format}:g{group}:f16"), &values, rows, columns);
            for (x, bound) in [(&normal, 1e-4), (&outliers, 2e-4)] {
                let exact = exact(&weights, x);
                let tables = multiply(&weights, x, ActivationKind::Int8Tables);
                let error = relative_error(&tables, &exact);
                assert!(error < bound, "{format}, groups of {group}: {error:e}");
                // Rounded they are: in f32 nothing would be lost.
                assert!(error > 1e-7, "{format}, groups of {group}: {error:e}");
            }
        }
    }
}

/// Row 44: `LLM.int8()`.
#[test]
fn paper_44_outliers_in_f32_save_int8_per_token() {
    let (rows, columns, tokens) = (64, 2000, 8);
    let values = Rng::new(440).normal_vec(rows * columns, 1.0);
    let weights = pack("int8:channel:f32", &values, rows, columns);
    let x = with_outliers(tokens, columns);
    let exact = exact(&weights, &x);
    let threshold = ActivationKind::Int8Outliers { threshold: 6.0 };
    let mixed = relative_error(&multiply(&weights, &x, threshold), &exact);
    let plain = relative_error(&multiply(&weights, &x, ActivationKind::Int8PerToken), &exact);
    assert!(mixed < 1e-5, "{mixed:e}");
    assert!(plain > 20.0 * mixed, "{plain:e} without, {mixed:e} with");
    // Half of f16, but for the scale of each row.
    assert!(weights.byte_len() <= rows * columns + rows * columns / 40);
    let mut activations = Activations::new();
    activations.set(&pool(), 1, kernels(), &x, columns, threshold).unwrap();
    let fraction = activations.outlier_fraction();
    assert!(fraction > 0.001 && fraction < 0.02, "{fraction}");
}

/// Row 47: 6-bit weights take three quarters of the bytes of 8-bit ones, and W6A6 is within what 6 bits give.
#[test]
fn paper_47_six_bits_take_three_quarters_of_eight() {
    let (rows, columns) = (64, 2048);
    let values = Rng::new(47).normal_vec(rows * columns, 1.0);
    let six = pack("int6:g128:f16", &values, rows, columns);
    let eight = pack("int8:g128:f16", &values, rows, columns);
    let scales = rows * columns / 128 * 2;
    assert_eq!(4 * (six.byte_len() - scales), 3 * (eight.byte_len() - scales));
    let x = Rng::new(48).normal_vec(4 * columns, 1.0);
    let error = relative_error(&multiply(&six, &x, ActivationKind::Int8G32), &exact(&six, &x));
    assert!(error < 1e-4, "{error:e}");
}

/// Row 48: 2-bit weights whose groups of large range have 4 bits.
#[test]
fn paper_48_two_bits_with_four_bit_groups() {
    let (rows, columns) = (32, 1024);
    let mut rng = Rng::new(481);
    let mut values = rng.normal_vec(rows * columns, 1.0);
    values.iter_mut().step_by(67).for_each(|value| *value *= 6.0);
    let format = Format::parse("w2mix").unwrap();
    assert!(format.bits_per_element() <= 2.85);
    let mixed = quantize("w2mix", &values, rows, columns);
    let plain = quantize("uint2:g16:f16:zp", &values, rows, columns);
    let error = |tensor: &Quantized| {
        let mut decoded = vec![0.0; rows * columns];
        tensor.dequantize(&mut decoded).unwrap();
        let exact: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        relative_error(&decoded, &exact)
    };
    assert!(error(&mixed) <= 0.7 * error(&plain), "{} for {}", error(&mixed), error(&plain));
    let weights = PackedWeights::from_quantized(kernels(), &pool(), 1, &mixed).unwrap();
    // 4-bit codes, a byte for 16 of them and an f16 for 256: a third of what f16 takes.
    assert!(weights.byte_len() * 8 <= rows * columns * 46 / 10);
    let x = rng.normal_vec(2 * columns, 1.0);
    let product =
        relative_error(&multiply(&weights, &x, ActivationKind::Int8G32), &exact(&weights, &x));
    assert!(product < 1e-4, "{product:e}");
}

/// Row 54: products of complex units are exact on integers, in 2 bits a weight.
#[test]
fn paper_54_complex_units_are_multiplied_by_additions() {
    let mut rng = Rng::new(54);
    for (rows, columns, tokens) in [(1, 1, 1), (16, 32, 2), (33, 100, 3), (48, 2560, 1)] {
        let codes: Vec<u8> = (0..rows * columns).map(|_| rng.next_u8() & 3).collect();
        let scales = ComplexScales { re: 0.5, im: 2.0 };
        let shape = Shape { rows, columns };
        let mut integers = |_| {
            let mut x: Vec<f32> =
                (0..tokens * columns).map(|_| f32::from(rng.next_i8().max(-127))).collect();
            // Each block has the scale 1.
            for token in x.chunks_exact_mut(columns) {
                token.chunks_mut(32).for_each(|block| block[0] = 127.0);
            }
            x
        };
        let x = Planes { re: integers(0), im: integers(1) };
        for isa in Isa::supported() {
            let kernels = Kernels::for_isa(isa).unwrap();
            let weights = ComplexWeights::pack(kernels, &codes, scales, shape).unwrap();
            let y = weights.multiply(&pool(), &x, ActivationKind::Int8G32).unwrap();
            for token in 0..tokens {
                for row in 0..rows {
                    let (mut re, mut im) = (0.0, 0.0);
                    for column in 0..columns {
                        let Complex { re: u, im: v } =
                            complex::decode(codes[row * columns + column].into());
                        let (w_re, w_im) = (f64::from(scales.re) * u, f64::from(scales.im) * v);
                        let at = token * columns + column;
                        let (x_re, x_im) = (f64::from(x.re[at]), f64::from(x.im[at]));
                        re += w_re * x_re - w_im * x_im;
                        im += w_re * x_im + w_im * x_re;
                    }
                    let at = token * rows + row;
                    assert_eq!(
                        (f64::from(y.re[at]), f64::from(y.im[at])),
                        (re, im),
                        "{isa}, {shape}"
                    );
                }
            }
        }
    }
    let weights = ComplexWeights::pack(
        kernels(),
        &vec![0; 64 * 4096],
        ComplexScales { re: 1.0, im: 1.0 },
        Shape { rows: 64, columns: 4096 },
    );
    let bits = weights.unwrap().byte_len() as f64 * 8.0 / (64.0 * 4096.0);
    assert!(bits < 2.01, "{bits} bits a weight");
}

/// Row 55: ternary products are exact on integers, and take a tenth of f32.
#[test]
fn paper_55_ternary_products_are_exact() {
    let (rows, columns) = (33, 1000);
    let mut rng = Rng::new(55);
    let values: Vec<f32> = (0..rows * columns).map(|_| f32::from(rng.next_i8() % 3 % 2)).collect();
    let mut tensor = quantize("ternary:tensor:f32", &values, rows, columns);
    tensor.scales = 1f32.to_le_bytes().to_vec();
    let weights = PackedWeights::from_quantized(kernels(), &pool(), 1, &tensor).unwrap();
    assert!(weights.byte_len() * 10 <= 48 * 1024 * 4);
    let mut x: Vec<f32> = (0..columns).map(|_| f32::from(rng.next_i8().max(-127))).collect();
    x[0] = 127.0;
    let product = multiply(&weights, &x, ActivationKind::Int8PerToken);
    for (y, exact) in product.iter().zip(exact(&weights, &x)) {
        assert_eq!(f64::from(*y), exact);
    }
    // The same with five weights in a byte.
    let trits = weights.to_trits(&pool(), 1).unwrap().unwrap();
    assert_eq!(trits.layout_name(), "trits_grouped");
    assert!(trits.byte_len() * 8 < 48 * 1024 * 17 / 10, "{} bytes", trits.byte_len());
    // Bytes of five have no rounded tables: they are multiplied as in f32.
    let kinds = ActivationKind::ALL.into_iter().filter(|kind| *kind != ActivationKind::Int8Tables);
    for kind in kinds {
        assert_eq!(multiply(&trits, &x, kind), multiply(&weights, &x, kind), "{}", kind.name());
    }
    let int2 = pack("int2full:tensor:f32", &values, rows, columns);
    assert!(int2.to_trits(&pool(), 1).unwrap().is_none());
}
