//! Tensors of every format are packed, looked up and multiplied, with activations of every kind, on every instruction set.

use std::num::NonZeroUsize;

use dyadic_formats::{EncodeOptions, Format, Quantized, Storage, Zero};
use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{ActivationKind, Activations, KernelChoice, PackedWeights, Projection, linear};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap())
}

fn kernels(isa: Isa) -> &'static Kernels {
    Kernels::for_isa(isa).unwrap()
}

/// Every listed format of up to 8 bits, and integers with scales of every kind.
fn formats() -> Vec<Format> {
    let mut names: Vec<String> = dyadic_formats::names().collect();
    for bits in 1..=8 {
        for scale in ["g16:f16", "g32:f16", "g64:f32", "g96:bf16", "g128:f16", "g256:f32"] {
            names.push(format!("uint{bits}:{scale}:zp"));
            if bits > 1 {
                names.push(format!("int{bits}:{scale}"));
                names.push(format!("int{bits}full:{scale}"));
            }
        }
        for scale in ["channel:f32", "tensor:f32", "g32:e8m0", "g48:f16", "g20:f32", "4x32:f32"] {
            names.push(format!("uint{bits}:{scale}:min"));
            names.push(format!("bipolar{bits}:{scale}"));
        }
    }
    for element in
        ["ternary", "e2m1", "e1m2", "e3m0", "e2m3", "e3m2", "e4m3fn", "e5m2", "e3m4", "nf4", "af4"]
    {
        for scale in ["g16:f16", "g32:e8m0", "g64:f16", "g128:f32", "channel:f32", "tensor:f32"] {
            names.push(format!("{element}:{scale}"));
        }
    }
    names.extend(
        ["w2mix", "posit8:g32:f32", "bnbfp4:g64:f32", "iq4nl:g32:f16", "q4.4", "int4:g48:f16"]
            .map(String::from),
    );
    let formats = names.iter().filter_map(|name| Format::parse(name).ok());
    let formats: Vec<_> =
        formats.filter(|format| format.element.bits() <= 8 && can_encode(format)).collect();
    assert!(formats.len() > 200, "{} formats", formats.len());
    formats
}

fn can_encode(format: &Format) -> bool {
    format.quantize(&[0.5; 512], 1, 512, &EncodeOptions::default()).is_ok()
}

fn tensor(format: &Format, rows: usize, columns: usize) -> Quantized {
    let values = Rng::new(31).normal_vec(rows * columns, 0.7);
    format.quantize(&values, rows, columns, &EncodeOptions::default()).unwrap()
}

fn pack(tensor: &Quantized, isa: Isa) -> PackedWeights {
    PackedWeights::from_quantized(kernels(isa), &pool(2), 2, tensor).unwrap()
}

fn multiply(weights: &PackedWeights, isa: Isa, x: &[f32], kind: ActivationKind) -> Vec<f32> {
    let pool = pool(2);
    let mut activations = Activations::new();
    activations.set(&pool, 2, kernels(isa), x, weights.columns(), kind).unwrap();
    let mut out = vec![-77.0; activations.tokens() * weights.rows()];
    let projection = Projection { weights, bias: None, out: &mut out };
    linear(&pool, 2, &activations, &mut [projection]).unwrap();
    out
}

/// Columns that leave a short block and a short group, where blocks need not be whole.
fn columns_of(format: &Format) -> usize {
    match format.storage {
        Storage::Gguf(_) => 256,
        Storage::MixedWidth(_) => 512,
        Storage::Planar => 300,
    }
}

#[test]
fn rows_are_those_of_the_tensor() {
    for format in formats() {
        let (rows, columns) = (19, columns_of(&format));
        let tensor = tensor(&format, rows, columns);
        let mut expected = vec![0.0; rows * columns];
        tensor.dequantize(&mut expected).unwrap();
        let weights = pack(&tensor, Isa::best());
        let mut row = vec![0.0; columns];
        for (index, expected) in expected.chunks_exact(columns).enumerate() {
            weights.decode_row(index, &mut row).unwrap();
            for (column, (&actual, &expected)) in row.iter().zip(expected).enumerate() {
                // Zero points and steps that are folded into a minimum are rounded once more than the format rounds.
                let slack = if format.zero == Zero::None { 2e-7 } else { 4e-6 };
                let same = actual.to_bits() == expected.to_bits()
                    || (actual - expected).abs() <= slack * (expected.abs() + 0.5);
                assert!(
                    same,
                    "{format}, row {index}, column {column}: {actual} for {expected} ({})",
                    weights.layout_name()
                );
            }
        }
    }
}

#[test]
fn symmetric_formats_are_packed_without_loss() {
    let exact = [
        "int2:g128:f16",
        "int3:g64:f32",
        "int4:g32:bf16",
        "int5:channel:f32",
        "int6:g16:f32",
        "int7:tensor:f32",
        "int8:g128:f32",
        "uint4:g128:f16:zp",
        "uint8:g64:f16:zp",
        "ternary:g64:f32",
        "bipolar1:g128:f32",
        "e2m1:g32:e8m0",
        "e4m3fn:g128:f32",
        "nf4:g64:f32",
        "mxfp4",
        "mxfp6_e3m2",
        "mxfp8_e4m3",
        "mxint8",
        "nvfp4",
        "bitmod3",
        "bitmod4",
        "e5m2",
        "q4.4",
    ];
    for name in exact {
        let Ok(format) = Format::parse(name) else { panic!("{name} is no format") };
        let (rows, columns) = (17, 300);
        let tensor = tensor(&format, rows, columns);
        let mut expected = vec![0.0; rows * columns];
        tensor.dequantize(&mut expected).unwrap();
        let weights = pack(&tensor, Isa::best());
        let mut row = vec![0.0; columns];
        for (index, expected) in expected.chunks_exact(columns).enumerate() {
            weights.decode_row(index, &mut row).unwrap();
            // −0 times a scale may have become 0.
            let unsigned = |x: &[f32]| x.iter().map(|x| x + 0.0).collect::<Vec<_>>();
            assert_same_bits(
                &unsigned(&row),
                &unsigned(expected),
                &format!("{name}, row {index}, {}", weights.layout_name()),
            );
        }
    }
}

#[test]
fn products_are_near_the_exact_ones_and_the_same_bits_everywhere() {
    let mut rng = Rng::new(32);
    for format in formats() {
        let (rows, columns, tokens) = (19, columns_of(&format), 3);
        let tensor = tensor(&format, rows, columns);
        let mut decoded = vec![0.0; rows * columns];
        tensor.dequantize(&mut decoded).unwrap();
        let x = rng.normal_vec(tokens * columns, 1.0);
        let weights = pack(&tensor, Isa::best());
        for kind in [ActivationKind::F32, ActivationKind::Int8G32] {
            let expected = multiply(&pack(&tensor, Isa::Scalar), Isa::Scalar, &x, kind);
            for isa in Isa::supported() {
                let actual = multiply(&pack(&tensor, isa), isa, &x, kind);
                let context = format!("{format}, {}, {isa}", kind.name());
                assert_same_bits(&actual, &expected, &context);
            }
            for (token, x) in x.chunks_exact(columns).enumerate() {
                for (row, weights_row) in decoded.chunks_exact(columns).enumerate() {
                    // A zero point in a minimum costs what its terms cancel.
                    let (mut exact, mut bound) = (0.0, 2e-5);
                    for (w, x) in weights_row.chunks(32).zip(x.chunks(32)) {
                        let amax = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
                        let step = match kind {
                            ActivationKind::F32 => 0.0,
                            _ => f64::from(amax) / 254.0,
                        };
                        for (&w, &x) in w.iter().zip(x) {
                            exact += f64::from(w) * f64::from(x);
                            bound += f64::from(w).abs() * (step + f64::from(x).abs() * 1e-5);
                        }
                    }
                    let actual = expected[token * rows + row];
                    let error = (f64::from(actual) - exact).abs();
                    let (kind, kernel) = (kind.name(), weights.kernel_name_for(kind));
                    assert!(
                        error <= bound,
                        "{format}, {kind}, {kernel}: {actual} for {exact}, bound {bound}"
                    );
                }
            }
        }
    }
}

/// T-MAC and bit planes as choices of the caller: whatever the CPU, they give the bits of dot products, for few tokens and for many.
#[test]
fn no_bit_of_a_product_depends_on_the_choice_of_kernel() {
    let mut rng = Rng::new(33);
    for name in [
        "bipolar1:g128:f16",
        "uint1:g32:f32:zp",
        "ternary:g64:f16",
        "int2:g128:f16",
        "int3:g64:f32",
        "int4:g128:f16",
    ] {
        let columns = 300;
        let x = rng.normal_vec(9 * columns, 1.0);
        // Fewer than four tiles, and four with others behind them.
        for (rows, isa) in
            [35, 83].into_iter().flat_map(|rows| Isa::supported().map(move |isa| (rows, isa)))
        {
            let tensor = tensor(&Format::parse(name).unwrap(), rows, columns);
            let mut weights = pack(&tensor, isa);
            for kind in ActivationKind::ALL {
                for tokens in [1, 3, 9] {
                    let x = &x[..tokens * columns];
                    weights.choose(&pool(1), 1, KernelChoice::Dot);
                    assert!(!weights.kernel_name().contains("lut"), "{name}");
                    let dot = multiply(&weights, isa, x, kind);
                    let mut row = vec![0.0; columns];
                    weights.decode_row(34, &mut row).unwrap();
                    for (choice, of, kernel) in [
                        (KernelChoice::Tables, ActivationKind::Int8G32, "lut_i8g32_"),
                        (KernelChoice::Int8Tables, ActivationKind::Int8Tables, "int8_lut_"),
                        (KernelChoice::BitPlanes, ActivationKind::Bipolar { bits: 2 }, "popcount_"),
                    ] {
                        weights.choose(&pool(1), 1, choice);
                        assert!(weights.kernel_name_for(of).contains(kernel), "{name}");
                        let context = format!("{name}, {isa}, {tokens} x {}", kind.name());
                        assert_same_bits(&multiply(&weights, isa, x, kind), &dot, &context);
                        let mut rearranged = vec![0.0; columns];
                        weights.decode_row(34, &mut rearranged).unwrap();
                        assert_same_bits(&rearranged, &row, name);
                    }
                }
            }
        }
    }
}

#[test]
fn codes_of_up_to_8_bits_stay_codes() {
    for (name, layout) in [
        ("int4:g32:f16", "u4z8_f16"),
        ("int4:g128:f16", "u4z8_f16g128"),
        ("int4:g256:f16", "u4_grouped"),
        ("uint4:g32:f16:min", "u4_f16min"),
        ("int3:g64:f16", "u3_grouped"),
        ("int8:channel:f32", "i8_grouped"),
        ("ternary:tensor:f32", "u2_grouped"),
        ("ternary:g64:f16", "u2z1_f16g64"),
        ("bipolar1:g128:f16", "b1_f16g128"),
        ("mxfp4", "e2m1_e8m0"),
        ("nvfp4", "e2m1_f16g16"),
        ("e3m0:g32:f16", "t4_grouped"),
        ("e2m3:g32:f16", "i8_f16"),
        ("bitmod3", "t4_grouped"),
        ("bitmod4", "i8_f16g128"),
        ("nf4:g64:f16", "numbers_grouped"),
        ("e4m3fn:g128:f32", "numbers_grouped"),
        ("int4:g20:f32", "f32"),
    ] {
        let tensor = tensor(&Format::parse(name).unwrap(), 16, 256);
        assert_eq!(pack(&tensor, Isa::best()).layout_name(), layout, "{name}");
    }
}
