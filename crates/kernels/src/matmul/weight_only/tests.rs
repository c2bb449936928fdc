//! Every kernel equals the specification, and the specification the formula in f64, for every layout.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::super::layout::{Codes, Grouping, TILE_ROWS};
use super::super::tests::{Fill, fill_tiles, layouts};
use super::*;
use crate::registry::Kernel;

struct Operands {
    weights: Vec<u8>,
    values: [f32; 256],
    x: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Shape {
    rows: usize,
    columns: usize,
    tokens: usize,
}

fn operands(layout: &LayoutSpec, shape: Shape, fill: Fill) -> Operands {
    let mut rng = Rng::new((shape.rows << 20 | shape.columns << 8 | shape.tokens) as u64);
    let blocks = shape.columns.div_ceil(BLOCK);
    let weights = fill_tiles(layout, shape.rows.div_ceil(TILE_ROWS), blocks, fill, &mut rng);
    let values = match layout.codes {
        Codes::Numbers { .. } => std::array::from_fn(|_| rng.uniform(-2.0, 2.0)),
        _ => integer_values(layout),
    };
    let padded = shape.columns.next_multiple_of(CHAINS);
    let mut x = rng.normal_vec(shape.tokens * padded, 1.0);
    for token in 0..shape.tokens {
        for column in shape.columns..padded {
            x[super::super::activations::panel_index(shape.tokens, padded, token, column)] = 0.0;
        }
    }
    Operands { weights, values, x }
}

fn run(
    kernel: &Kernel<MatmulCodesFn>,
    layout: &LayoutSpec,
    shape: Shape,
    operands: &Operands,
    flush: Flush,
) -> Vec<f32> {
    let weights = Guarded::new(&operands.weights, flush);
    let x = Guarded::new(&operands.x, flush);
    let mut out = Guarded::filled(-77.0, shape.rows * shape.tokens, flush);
    let product = Product {
        tables: std::ptr::null(),
        values: &raw const operands.values,
        spec: layout,
        weights: weights.as_ptr(),
        tiles: shape.rows.div_ceil(TILE_ROWS),
        tile_bytes: layout.tile_bytes(shape.columns.div_ceil(BLOCK)).unwrap(),
        blocks: shape.columns.next_multiple_of(CHAINS),
        activations: x.as_ptr(),
        tokens: shape.tokens,
        out: out.as_mut_ptr(),
        out_stride: shape.rows,
        rows: shape.rows,
    };
    // SAFETY: the kernel is supported, and the operands are of the lengths that the product says.
    unsafe { (kernel.function)(&product) };
    out.to_vec()
}

fn check_accuracy(layout: &LayoutSpec, shape: Shape, operands: &Operands, y: &[f32]) {
    let padded = shape.columns.next_multiple_of(CHAINS);
    let tile_bytes = layout.tile_bytes(shape.columns.div_ceil(BLOCK)).unwrap();
    for token in 0..shape.tokens {
        for row in 0..shape.rows {
            let tile = &operands.weights[row / TILE_ROWS * tile_bytes..][..tile_bytes];
            let (mut exact, mut magnitude) = (0.0, 0.0);
            for column in 0..shape.columns {
                let (block, k) = (column / BLOCK, column % BLOCK);
                let code = layout.codes(tile, block, row % TILE_ROWS)[k];
                let scales = layout.row_scales(tile, block, row % TILE_ROWS);
                let index =
                    super::super::activations::panel_index(shape.tokens, padded, token, column);
                let x = f64::from(operands.x[index]);
                let scaled =
                    f64::from(operands.values[usize::from(code)]) * f64::from(scales.scale[k / 16]);
                let minimum = f64::from(scales.minimum[k / 16]);
                exact += (scaled + minimum) * x;
                magnitude += (scaled * x).abs() + (minimum * x).abs();
            }
            let error = (f64::from(y[token * shape.rows + row]) - exact).abs();
            // Eight or four fused steps a chain, two additions and a fused step a span.
            let bound = magnitude * (shape.columns as f64 / 16.0 + 12.0) * 2f64.powi(-24);
            assert!(error <= bound, "{}: row {row}, error {error:e}", layout.name);
        }
    }
}

fn check(layout: &LayoutSpec, shape: Shape, fill: Fill) {
    let operands = operands(layout, shape, fill);
    let [scalar, others @ ..] = OP.kernels else { panic!("no scalar kernel") };
    let expected = run(scalar, layout, shape, &operands, Flush::Back);
    for kernel in others.iter().filter(|kernel| kernel.isa.is_supported()) {
        for flush in Flush::BOTH {
            let Shape { rows, columns, tokens } = shape;
            let context = format!("{} {}, {rows} x {columns}, {tokens}", kernel.name, layout.name);
            assert_same_bits(&run(kernel, layout, shape, &operands, flush), &expected, &context);
        }
    }
    if fill != Fill::AnyBytes {
        check_accuracy(layout, shape, &operands, &expected);
    }
}

/// All layouts, and codes that are no integers of every width.
fn all_layouts() -> impl Iterator<Item = LayoutSpec> {
    let numbers = (1..=8).map(|bits| LayoutSpec {
        id: None,
        name: "numbers",
        codes: Codes::Numbers { bits },
        scales: super::super::layout::Scales::Grouped,
        grouping: Grouping { run: bits as usize, ..Grouping::DEFAULT },
        table: [0; 16],
    });
    layouts().into_iter().chain(numbers)
}

#[test]
fn every_kernel_equals_the_specification() {
    for layout in all_layouts() {
        for (rows, columns, tokens) in
            [(1, 1, 1), (16, 16, 2), (17, 33, 3), (16, 64, 4), (33, 100, 9), (16, 288, 1)]
        {
            check(&layout, Shape { rows, columns, tokens }, Fill::Random);
        }
    }
}

#[test]
fn special_scales_give_the_same_bits() {
    for layout in all_layouts() {
        check(&layout, Shape { rows: 16, columns: 60, tokens: 5 }, Fill::AnyBytes);
    }
}
