//! Every kernel of every format equals the specification, and the specification the product in f64.

use dyadic_testkit::cases::SPECIAL_F32;
use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, reference, ulp::assert_same_bits};

use super::super::activations::panel_index;
use super::*;

struct Case {
    layout: FloatLayout,
    rows: usize,
    columns: usize,
    tokens: usize,
}

fn store(layout: FloatLayout, tile: &mut [u8], row: usize, column: usize, value: f32) {
    let at = (column * TILE_ROWS + row) * layout.bytes();
    let bytes = &mut tile[at..at + layout.bytes()];
    match layout {
        FloatLayout::F16 => {
            bytes.copy_from_slice(&dyadic_formats::float::f32_to_f16(value).to_le_bytes());
        }
        FloatLayout::Bf16 => {
            bytes.copy_from_slice(&dyadic_formats::float::f32_to_bf16(value).to_le_bytes());
        }
        FloatLayout::F32 => bytes.copy_from_slice(&value.to_le_bytes()),
    }
}

fn check(case: &Case, mut value: impl FnMut() -> f32) {
    let &Case { layout, rows, columns, tokens } = case;
    let tiles = rows.div_ceil(TILE_ROWS);
    let tile_bytes = layout.tile_bytes(columns).unwrap();
    let padded = columns.next_multiple_of(CHAINS);
    let mut weights = vec![0; tiles * tile_bytes];
    for (index, tile) in weights.chunks_exact_mut(tile_bytes).enumerate() {
        for row in 0..TILE_ROWS.min(rows - index * TILE_ROWS) {
            for column in 0..columns {
                store(layout, tile, row, column, value());
            }
        }
    }
    let mut activations = vec![0.0; tokens * padded];
    for token in 0..tokens {
        for column in 0..columns {
            activations[panel_index(tokens, padded, token, column)] = value();
        }
    }
    let run = |kernel: &Kernel<MatmulFloatFn>, flush| {
        let weights = Guarded::new(&weights, flush);
        let activations = Guarded::new(&activations, flush);
        let mut out = Guarded::filled(-77.0, rows * tokens, flush);
        let mut columns = OutputColumns::new(&mut out, rows);
        let product = Product::new(&weights, tile_bytes, padded, &activations, &mut columns);
        // SAFETY: the kernel is supported, and the product was checked.
        unsafe { (kernel.function)(&product) };
        out.to_vec()
    };
    let op = &OPS[layout as usize];
    let expected = run(&op.kernels[0], Flush::Back);
    for kernel in op.supported() {
        for flush in Flush::BOTH {
            let context = format!("{}, {rows} x {columns}, {tokens} tokens", kernel.name);
            assert_same_bits(&run(kernel, flush), &expected, &context);
        }
    }
    for token in 0..tokens {
        let x: Vec<f32> =
            (0..columns).map(|k| activations[panel_index(tokens, padded, token, k)]).collect();
        for row in 0..rows {
            let tile = &weights[row / TILE_ROWS * tile_bytes..][..tile_bytes];
            let w: Vec<f32> = (0..columns).map(|k| layout.load(tile, row % TILE_ROWS, k)).collect();
            let exact = reference::dot(&w, &x);
            let magnitude: f64 =
                w.iter().zip(&x).map(|(a, b)| (f64::from(*a) * f64::from(*b)).abs()).sum();
            // A quarter of the columns a chain, and two additions.
            let bound = magnitude * (columns as f64 / 4.0 + 3.0) * 2f64.powi(-24);
            let actual = f64::from(expected[token * rows + row]);
            let error = (actual - exact).abs();
            // Beyond it a sum may overflow on its way, and NaN has no distance.
            let is_finite = magnitude < f64::from(f32::MAX);
            assert!(
                !is_finite || error <= bound,
                "{}: {actual} for {exact}: error {error:e}, bound {bound:e}",
                layout.name()
            );
        }
    }
}

#[test]
fn every_kernel_equals_the_specification() {
    let mut rng = Rng::new(11);
    for layout in FloatLayout::ALL {
        for columns in [1, 3, 4, 5, 31, 64, 160] {
            for (rows, tokens) in [(1, 1), (7, 2), (16, 3), (17, 4), (33, 9), (16, 15)] {
                check(&Case { layout, rows, columns, tokens }, || rng.normal());
            }
        }
    }
}

#[test]
fn special_values_give_the_same_bits() {
    let mut rng = Rng::new(12);
    for layout in FloatLayout::ALL {
        for tokens in [1, 2, 4] {
            let case = Case { layout, rows: 16, columns: 12, tokens };
            check(&case, || {
                if rng.below(8) == 0 {
                    SPECIAL_F32[rng.below(SPECIAL_F32.len())]
                } else {
                    rng.normal()
                }
            });
        }
    }
}
