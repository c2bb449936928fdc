//! Packing, products and look-ups of every weight type, on every instruction set of this CPU.

use std::num::NonZeroUsize;

use dyadic_formats::GgufType;
use dyadic_kernels::{Isa, Kernels};
use dyadic_tensor::pool::Pool;
use dyadic_tensor::{
    ActivationKind, Activations, PackedWeights, Projection, Shape, TensorError, linear,
};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

const WEIGHT_TYPES: [GgufType; 21] = [
    GgufType::F32,
    GgufType::F16,
    GgufType::BF16,
    GgufType::Q4_0,
    GgufType::Q4_1,
    GgufType::Q5_0,
    GgufType::Q5_1,
    GgufType::Q8_0,
    GgufType::Q2_K,
    GgufType::Q3_K,
    GgufType::Q4_K,
    GgufType::Q5_K,
    GgufType::Q6_K,
    GgufType::IQ4_NL,
    GgufType::IQ4_XS,
    GgufType::TQ1_0,
    GgufType::TQ2_0,
    GgufType::MXFP4,
    GgufType::NVFP4,
    GgufType::Q1_0,
    GgufType::Q2_0,
];

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap())
}

/// Random blocks of a type, with scales of ordinary size.
fn random_weights(format: GgufType, shape: Shape, rng: &mut Rng) -> Vec<u8> {
    let elements = shape.rows * shape.columns;
    if !format.is_quantized() {
        let mut bytes = vec![0; format.byte_len(elements).unwrap()];
        format.encode(&rng.normal_vec(elements, 0.5), &mut bytes).unwrap();
        return bytes;
    }
    let mut bytes: Vec<u8> =
        (0..format.byte_len(elements).unwrap()).map(|_| rng.next_u8()).collect();
    // Where the f16 fields of a block are.
    let halves: &[usize] = match format {
        GgufType::Q2_K => &[80, 82],
        GgufType::Q3_K => &[108],
        GgufType::Q6_K => &[208],
        GgufType::TQ1_0 => &[52],
        GgufType::TQ2_0 => &[64],
        GgufType::Q4_1 | GgufType::Q5_1 | GgufType::Q4_K | GgufType::Q5_K => &[0, 2],
        GgufType::MXFP4 | GgufType::NVFP4 => &[],
        _ => &[0],
    };
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for &at in halves {
            let value = dyadic_formats::float::f32_to_f16(rng.uniform(-0.1, 0.1));
            block[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        if format == GgufType::MXFP4 {
            block[0] = 118 + (block[0] & 7);
        }
        if format == GgufType::TQ1_0 {
            // No byte of five digits is above 242.
            block[..52].iter_mut().for_each(|byte| *byte = (u16::from(*byte) * 243 / 256) as u8);
        }
    }
    bytes
}

fn kernels(isa: Isa) -> &'static Kernels {
    Kernels::for_isa(isa).unwrap()
}

/// The product of one matrix, and of all tokens at once.
fn multiply(
    weights: &PackedWeights,
    isa: Isa,
    threads: usize,
    x: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let pool = pool(threads);
    let mut activations = Activations::new();
    activations
        .set(&pool, threads, kernels(isa), x, weights.columns(), weights.activations())
        .unwrap();
    let mut out = vec![-77.0; activations.tokens() * weights.rows()];
    let projection = Projection { weights, bias, out: &mut out };
    linear(&pool, threads, &activations, &mut [projection]).unwrap();
    out
}

fn columns_of(format: GgufType) -> Vec<usize> {
    let columns = [32usize, 64, 96, 160, 256, 512, 2560];
    columns.into_iter().filter(|columns| columns.is_multiple_of(format.block_len())).collect()
}

#[test]
fn packed_rows_are_the_rows_of_the_file() {
    let mut rng = Rng::new(21);
    for format in WEIGHT_TYPES {
        for columns in columns_of(format) {
            let shape = Shape { rows: 33, columns };
            let bytes = random_weights(format, shape, &mut rng);
            let mut expected = vec![0.0; 33 * columns];
            format.decode(&bytes, &mut expected).unwrap();
            let pool = pool(2);
            let weights =
                PackedWeights::pack(kernels(Isa::best()), &pool, 2, format, &bytes, shape).unwrap();
            let mut row = vec![0.0; columns];
            for (index, expected) in expected.chunks_exact(columns).enumerate() {
                weights.decode_row(index, &mut row).unwrap();
                assert_same_bits(
                    &row,
                    expected,
                    &format!("{format}, {columns} columns, row {index}"),
                );
            }
        }
    }
}

#[test]
fn any_bytes_are_packed_without_loss() {
    let mut rng = Rng::new(22);
    for format in WEIGHT_TYPES {
        let shape = Shape { rows: 20, columns: 512 };
        let len = format.byte_len(shape.rows * shape.columns).unwrap();
        let mut bytes: Vec<u8> = (0..len).map(|_| rng.next_u8()).collect();
        if format == GgufType::F32 {
            // The decoder of F32 keeps payloads of NaN; nothing else does.
            bytes = random_weights(format, shape, &mut rng);
        }
        let mut expected = vec![0.0; shape.rows * shape.columns];
        format.decode(&bytes, &mut expected).unwrap();
        let weights =
            PackedWeights::pack(kernels(Isa::Scalar), &pool(1), 1, format, &bytes, shape).unwrap();
        let mut row = vec![0.0; shape.columns];
        for (index, expected) in expected.chunks_exact(shape.columns).enumerate() {
            weights.decode_row(index, &mut row).unwrap();
            assert_same_bits(&row, expected, &format!("{format}, row {index}"));
        }
    }
}

#[test]
fn products_are_the_same_bits_everywhere() {
    let mut rng = Rng::new(23);
    for format in WEIGHT_TYPES {
        for columns in columns_of(format) {
            for (rows, tokens) in [(1, 1), (7, 3), (33, 2), (48, 9), (17, 33)] {
                let shape = Shape { rows, columns };
                let bytes = random_weights(format, shape, &mut rng);
                let x = rng.normal_vec(tokens * columns, 1.0);
                let bias = rng.normal_vec(rows, 1.0);
                let pack = |isa, threads| {
                    let pool = pool(threads);
                    PackedWeights::pack(kernels(isa), &pool, threads, format, &bytes, shape)
                        .unwrap()
                };
                let expected = multiply(&pack(Isa::Scalar, 1), Isa::Scalar, 1, &x, Some(&bias));
                for isa in Isa::supported() {
                    for threads in [1, 2] {
                        let actual = multiply(&pack(isa, threads), isa, threads, &x, Some(&bias));
                        let context = format!("{format} {shape}, {tokens} tokens, {isa}");
                        assert_same_bits(&actual, &expected, &context);
                    }
                }
                let weights = pack(Isa::best(), 1);
                for (token, x) in x.chunks_exact(columns).enumerate() {
                    let alone = multiply(&weights, Isa::best(), 1, x, Some(&bias));
                    let together = &expected[token * rows..][..rows];
                    assert_same_bits(&alone, together, &format!("{format}, token {token} alone"));
                }
            }
        }
    }
}

#[test]
fn products_are_near_the_exact_ones() {
    let mut rng = Rng::new(24);
    let (rows, columns) = (16, 512);
    let shape = Shape { rows, columns };
    for format in WEIGHT_TYPES {
        let bytes = random_weights(format, shape, &mut rng);
        let mut decoded = vec![0.0; rows * columns];
        format.decode(&bytes, &mut decoded).unwrap();
        let x = rng.normal_vec(columns, 1.0);
        let weights =
            PackedWeights::pack(kernels(Isa::best()), &pool(1), 1, format, &bytes, shape).unwrap();
        let actual = multiply(&weights, Isa::best(), 1, &x, None);
        for (row, &actual) in decoded.chunks_exact(columns).zip(&actual) {
            // An activation is off by at most half a step of its group: amax / 254.
            let mut exact = 0.0;
            let mut bound = 0.0;
            for (row, x) in row.chunks(32).zip(x.chunks(32)) {
                let amax = x.iter().fold(0.0f32, |amax, x| amax.max(x.abs()));
                for (&w, &x) in row.iter().zip(x) {
                    exact += f64::from(w) * f64::from(x);
                    let step = match weights.activations() {
                        ActivationKind::F32 => 0.0,
                        _ => f64::from(amax) / 254.0,
                    };
                    bound += f64::from(w).abs() * (step + f64::from(x).abs() * 1e-4);
                }
            }
            let error = (f64::from(actual) - exact).abs();
            assert!(error <= bound, "{format}: {actual} for {exact}, bound {bound}");
        }
    }
}

#[test]
fn several_matrices_share_a_region() {
    let mut rng = Rng::new(25);
    let columns = 96;
    let pool = pool(2);
    let matrices: Vec<_> = [(40, GgufType::Q4_1), (17, GgufType::Q8_0), (33, GgufType::Q4_0)]
        .into_iter()
        .map(|(rows, format)| {
            let shape = Shape { rows, columns };
            let bytes = random_weights(format, shape, &mut rng);
            PackedWeights::pack(kernels(Isa::best()), &pool, 2, format, &bytes, shape).unwrap()
        })
        .collect();
    let x = rng.normal_vec(3 * columns, 1.0);
    let mut activations = Activations::new();
    let kind = ActivationKind::Int8G32;
    activations.set(&pool, 2, kernels(Isa::best()), &x, columns, kind).unwrap();
    let mut outs: Vec<_> = matrices.iter().map(|m| vec![0.0; 3 * m.rows()]).collect();
    let mut projections: Vec<_> = matrices
        .iter()
        .zip(&mut outs)
        .map(|(weights, out)| Projection { weights, bias: None, out })
        .collect();
    linear(&pool, 2, &activations, &mut projections).unwrap();
    for (weights, out) in matrices.iter().zip(&outs) {
        assert_same_bits(out, &multiply(weights, Isa::best(), 1, &x, None), "one of three");
    }
}

#[test]
fn f32_activations_of_a_short_row_are_padded() {
    let mut rng = Rng::new(26);
    for format in [GgufType::F32, GgufType::F16, GgufType::BF16] {
        for columns in [1, 5, 33, 70] {
            let shape = Shape { rows: 19, columns };
            let bytes = random_weights(format, shape, &mut rng);
            let x = rng.normal_vec(9 * columns, 1.0);
            let pack = |isa| {
                PackedWeights::pack(kernels(isa), &pool(1), 1, format, &bytes, shape).unwrap()
            };
            let expected = multiply(&pack(Isa::Scalar), Isa::Scalar, 1, &x, None);
            for isa in Isa::supported() {
                let actual = multiply(&pack(isa), isa, 2, &x, None);
                assert_same_bits(&actual, &expected, &format!("{format} {shape} {isa}"));
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pool = pool(1);
    let kernels = kernels(Isa::best());
    let pack = |format, len: usize, rows, columns| {
        PackedWeights::pack(kernels, &pool, 1, format, &vec![0; len], Shape { rows, columns })
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(
        pack(GgufType::I32, 64, 4, 4),
        TensorError::UnsupportedFormat { format: GgufType::I32 }
    );
    assert_eq!(pack(GgufType::Q4_0, 18, 1, 31).code(), "ERR_SHAPE");
    assert_eq!(pack(GgufType::Q4_0, 17, 1, 32).code(), "ERR_SHAPE");
    assert_eq!(pack(GgufType::Q4_0, 0, 0, 32).code(), "ERR_SHAPE");
    assert_eq!(pack(GgufType::Q4_0, 0, usize::MAX, 1 << 40).code(), "ERR_SHAPE");

    let shape = Shape { rows: 2, columns: 32 };
    let weights = PackedWeights::pack(kernels, &pool, 1, GgufType::Q4_0, &[0; 36], shape).unwrap();
    let mut row = vec![0.0; 32];
    assert_eq!(weights.decode_row(2, &mut row), Err(TensorError::Row { row: 2, rows: 2 }));
    assert_eq!(weights.decode_row(1, &mut row[1..]).unwrap_err().code(), "ERR_SHAPE");

    let mut activations = Activations::new();
    let mut set = |x: &[f32], columns, kind| {
        activations.set(&pool, 1, kernels, x, columns, kind).map(|()| activations.clone())
    };
    let int8 = ActivationKind::Int8G32;
    assert_eq!(set(&[0.0; 33], 32, int8).unwrap_err().code(), "ERR_SHAPE");
    assert_eq!(set(&[0.0; 33], 0, int8).unwrap_err().code(), "ERR_SHAPE");
    let run = |activations: &Activations, out: &mut [f32], bias: Option<&[f32]>| {
        linear(&pool, 1, activations, &mut [Projection { weights: &weights, bias, out }])
            .map_err(|error| error.code())
    };
    let mut out = [0.0; 2];
    let right = set(&[0.0; 32], 32, int8).unwrap();
    assert_eq!(run(&right, &mut out, None), Ok(()));
    assert_eq!(run(&right, &mut out[1..], None), Err("ERR_SHAPE"));
    assert_eq!(run(&right, &mut out, Some(&[0.0])), Err("ERR_SHAPE"));
    let wide = set(&[0.0; 64], 64, int8).unwrap();
    assert_eq!(run(&wide, &mut out, None), Err("ERR_SHAPE"));
}
