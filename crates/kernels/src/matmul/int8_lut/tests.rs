//! Every kernel equals the specification, and that the formula in f64 to the error of its tables.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::super::activations::panel_index;
use super::super::tests::{Fill, fill_tiles, layouts};
use super::*;

struct Case {
    layout: LayoutSpec,
    rows: usize,
    blocks: usize,
    tokens: usize,
    fill: Fill,
}

/// Tables of each token, in panels, and the activations.
fn operands(case: &Case, rng: &mut Rng) -> (Vec<f32>, Vec<Int8Tables>) {
    let Case { layout, blocks, tokens, fill, .. } = case;
    let columns = blocks * BLOCK;
    let mut x = rng.normal_vec(tokens * columns, 1.0);
    if *fill == Fill::Extreme {
        // All tables have ±127, and where codes are all ones or all zeros, all look-ups find it.
        x.fill(if rng.next_u8() & 1 == 0 { 1.5 } else { -1.5 });
    }
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut tables = vec![Int8Tables::ZERO; tokens * blocks];
    for token in 0..*tokens {
        let mut of_token = vec![Int8Tables::ZERO; *blocks];
        let x = &x[token * columns..][..columns];
        scalar.int8_tables(x, blocks_per_group(layout, *blocks), &mut of_token);
        for (block, of_token) in of_token.into_iter().enumerate() {
            tables[panel_index(*tokens, *blocks, token, block)] = of_token;
        }
    }
    (x, tables)
}

fn check(case: &Case) {
    let Case { layout, rows, blocks, tokens, fill } = case;
    let mut rng = Rng::new((rows << 20 | blocks << 10 | tokens) as u64);
    let tiles = rows.div_ceil(TILE_ROWS);
    let weights = fill_tiles(layout, tiles, *blocks, *fill, &mut rng);
    let (x, tables) = operands(case, &mut rng);
    let tile_bytes = layout.tile_bytes(*blocks).unwrap();

    let mut nibbles = weights.clone();
    nibbles.chunks_exact_mut(tile_bytes).for_each(|tile| to_nibbles(layout, tile, *blocks));
    let mut back = vec![0; weights.len()];
    for (tile, back) in nibbles.chunks_exact(tile_bytes).zip(back.chunks_exact_mut(tile_bytes)) {
        from_nibbles(layout, tile, *blocks, back);
    }
    assert!(back == weights, "{} there and back", layout.name);

    let mut expected = vec![0.0; rows * tokens];
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut out = OutputColumns::new(&mut expected, *rows);
    scalar.matmul_by_int8_tables(layout, &nibbles, *blocks, &tables, &mut out);
    if *fill == Fill::Random {
        let columns = blocks * BLOCK;
        for (token, (x, y)) in x.chunks(columns).zip(expected.chunks(*rows)).enumerate() {
            let context = format!("{}, {rows} x {columns}, token {token}", layout.name);
            assert_near(layout, &weights, x, y, &context);
        }
    }

    for kernel in OPS[index_of(layout.id.unwrap()).unwrap()].supported() {
        for flush in Flush::BOTH {
            let nibbles = Guarded::new(&nibbles, flush);
            let tables = Guarded::new(&tables, flush);
            let mut out = Guarded::filled(-77.0, rows * tokens, flush);
            let mut columns = OutputColumns::new(&mut out, *rows);
            let mut product = Product::new(&nibbles, tile_bytes, *blocks, &tables, &mut columns);
            product.spec = layout;
            // SAFETY: the kernel is supported, and the product was checked.
            unsafe { (kernel.function)(&product) };
            let context = format!("{}, {rows} x {blocks} blocks, {tokens} tokens", kernel.name);
            assert_same_bits(&out, &expected, &context);
        }
    }
}

/// Half of a step for each table and plane is the most that rounding can do.
fn assert_near(layout: &LayoutSpec, weights: &[u8], x: &[f32], y: &[f32], context: &str) {
    let blocks = x.len() / BLOCK;
    let tile_bytes = layout.tile_bytes(blocks).unwrap();
    for (row, &y) in y.iter().enumerate() {
        let tile = &weights[row / TILE_ROWS * tile_bytes..][..tile_bytes];
        let (mut exact, mut bound) = (0.0, 1e-5);
        for (block, x) in x.chunks(BLOCK).enumerate() {
            let decoded = layout.decode_block(tile, block, row % TILE_ROWS);
            exact += decoded.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();
            let scale = layout.row_scales(tile, block, row % TILE_ROWS).scale[0];
            // The largest of normal activations is below 6, so that of four is a step of 24 / 127.
            let planes = f64::from((1 << layout.codes.bits()) - 1);
            bound += f64::from(scale.abs()) * 24.0 / 127.0 * 0.5 * planes * GROUPS as f64;
        }
        assert!((f64::from(y) - exact).abs() < bound, "{context}, row {row}: {y}, not {exact}");
    }
}

fn table_layouts() -> impl Iterator<Item = LayoutSpec> {
    layouts().into_iter().filter(|layout| layout.id.is_some_and(is_supported))
}

/// Row 50 of the papers: T-MAC with tables of 8 bits.
#[test]
fn paper_50_every_kernel_equals_the_specification() {
    for layout in table_layouts() {
        for (rows, blocks, tokens) in
            [(1, 1, 1), (16, 2, 1), (17, 3, 2), (33, 8, 3), (16, 9, 9), (48, 18, 1)]
        {
            check(&Case { layout, rows, blocks, tokens, fill: Fill::Random });
        }
    }
}

#[test]
fn extreme_codes_overflow_no_accumulator() {
    for layout in table_layouts() {
        check(&Case { layout, rows: 16, blocks: 40, tokens: 2, fill: Fill::Extreme });
    }
}

#[test]
fn special_scales_give_the_same_bits() {
    for layout in table_layouts() {
        check(&Case { layout, rows: 32, blocks: 5, tokens: 1, fill: Fill::AnyBytes });
    }
}

fn assert_same_tables(x: &[f32], blocks_per_group: usize) {
    let blocks = x.len().div_ceil(BLOCK);
    let tables_of = |isa| {
        let mut tables = vec![Int8Tables::ZERO; blocks];
        Kernels::for_isa(isa).unwrap().int8_tables(x, blocks_per_group, &mut tables);
        tables
    };
    let expected = tables_of(Isa::Scalar);
    for isa in Isa::supported() {
        for (block, (tables, expected)) in tables_of(isa).iter().zip(&expected).enumerate() {
            assert_eq!(tables.entries, expected.entries, "{isa}, block {block}");
            let bits = |tables: &Int8Tables| {
                [tables.half_scale, tables.sum].map(|value| {
                    // Which NaN a sum of NaN is, is nobody's business: results have one.
                    if value.is_nan() { f32::NAN } else { value }.to_bits()
                })
            };
            assert_eq!(bits(tables), bits(expected), "{isa}, block {block}");
        }
    }
}

#[test]
fn every_instruction_set_makes_the_same_tables() {
    let mut rng = Rng::new(51);
    for blocks_per_group in 1..=MAX_BLOCKS {
        for columns in [1, 31, 32, 33, 64, 65, 96, 200] {
            assert_same_tables(&rng.normal_vec(columns, 3.0), blocks_per_group);
            assert_same_tables(&rng.special_vec(columns), blocks_per_group);
        }
        for scale in [0.0, 1e-31, 1e-30, 1e36, f32::INFINITY, f32::NAN] {
            let mut x = vec![0.25; 128];
            for x in &mut x {
                *x *= scale.min(1e36);
            }
            x[70] = scale;
            assert_same_tables(&x, blocks_per_group);
        }
    }
}

#[test]
fn tables_are_odd_and_as_near_as_8_bits_allow() {
    let x = Rng::new(52).normal_vec(2 * BLOCK, 1.0);
    let mut tables = [Int8Tables::ZERO; 2];
    Kernels::for_isa(Isa::Scalar).unwrap().int8_tables(&x, 2, &mut tables);
    let mut largest = 0;
    for (index, four) in x.chunks(GROUP).enumerate() {
        let tables = &tables[index / GROUPS];
        let entries = &tables.entries[index % GROUPS];
        for n in 0..ENTRIES {
            assert_eq!(entries[n], -entries[ENTRIES - 1 - n]);
            let signed = (0..GROUP).map(|t| if n >> t & 1 == 1 { four[t] } else { -four[t] });
            let error = f32::from(entries[n]) * 2.0 * tables.half_scale - signed.sum::<f32>();
            assert!(error.abs() <= 1.0001 * tables.half_scale, "{error}");
            largest = largest.max(entries[n]);
        }
    }
    assert_eq!(largest, 127);
}
