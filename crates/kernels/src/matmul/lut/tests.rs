//! Every kernel equals the specification, which is the product without tables.

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

fn activations(case: &Case, rng: &mut Rng) -> Vec<ActivationBlock> {
    let mut activations = vec![ActivationBlock::ZERO; case.tokens * case.blocks];
    for token in 0..case.tokens {
        for block in 0..case.blocks {
            let sign = if rng.next_u8() & 1 == 0 { 127 } else { -127 };
            let codes = std::array::from_fn(|_| match case.fill {
                Fill::Extreme => sign,
                _ => rng.next_i8().max(-127),
            });
            activations[panel_index(case.tokens, case.blocks, token, block)] =
                ActivationBlock::new(codes, rng.uniform(0.001, 0.02));
        }
    }
    activations
}

fn check(case: &Case) {
    let Case { layout, rows, blocks, tokens, fill } = case;
    let mut rng = Rng::new((rows << 20 | blocks << 10 | tokens) as u64);
    let tiles = rows.div_ceil(TILE_ROWS);
    let weights = fill_tiles(layout, tiles, *blocks, *fill, &mut rng);
    let activations = activations(case, &mut rng);
    let tables: Vec<_> = activations.iter().map(|block| TableBlock::new(&block.codes)).collect();
    let tile_bytes = layout.tile_bytes(*blocks).unwrap();

    let mut expected = vec![0.0; rows * tokens];
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut out = OutputColumns::new(&mut expected, *rows);
    scalar.matmul(layout, &weights, *blocks, &activations, &mut out);

    let mut planes = weights.clone();
    planes.chunks_exact_mut(tile_bytes).for_each(|tile| to_planes(layout, tile, *blocks));
    let mut back = vec![0; weights.len()];
    for (tile, back) in planes.chunks_exact(tile_bytes).zip(back.chunks_exact_mut(tile_bytes)) {
        from_planes(layout, tile, *blocks, back);
    }
    assert!(back == weights, "{} there and back", layout.name);

    for kernel in OPS[index_of(layout.id.unwrap()).unwrap()].supported() {
        for flush in Flush::BOTH {
            let weights = Guarded::new(&planes, flush);
            let activations = Guarded::new(&activations, flush);
            let tables = Guarded::new(&tables, flush);
            let mut out = Guarded::filled(-77.0, rows * tokens, flush);
            let mut columns = OutputColumns::new(&mut out, *rows);
            let mut product =
                Product::new(&weights, tile_bytes, *blocks, &activations, &mut columns);
            product.spec = layout;
            product.tables = tables.as_ptr();
            // SAFETY: the kernel is supported, and the product was checked.
            unsafe { (kernel.function)(&product) };
            let context = format!("{}, {rows} x {blocks} blocks, {tokens} tokens", kernel.name);
            assert_same_bits(&out, &expected, &context);
        }
    }
}

fn table_layouts() -> impl Iterator<Item = LayoutSpec> {
    layouts().into_iter().filter(|layout| layout.id.is_some_and(is_supported))
}

/// Row 50 of the papers: T-MAC with exact tables.
#[test]
fn paper_50_every_kernel_equals_the_product_without_tables() {
    for layout in table_layouts() {
        for (rows, blocks, tokens) in
            [(1, 1, 1), (16, 2, 1), (17, 3, 2), (33, 8, 3), (16, 9, 9), (48, 18, 1)]
        {
            check(&Case { layout, rows, blocks, tokens, fill: Fill::Random });
        }
    }
}

#[test]
fn extreme_codes_overflow_no_byte() {
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

#[test]
fn entries_are_the_sums_of_subsets() {
    let mut rng = Rng::new(50);
    for _ in 0..100 {
        let codes: [i8; BLOCK] = std::array::from_fn(|_| rng.next_i8().max(-127));
        let tables = TableBlock::new(&codes);
        let mut least = 0;
        for (group, four) in codes.chunks_exact(GROUP).enumerate() {
            let negative: i32 = four.iter().map(|&a| i32::from(a).min(0)).sum();
            least += negative;
            for n in 0..ENTRIES {
                let subset = (0..GROUP).filter(|t| n >> t & 1 == 1);
                let exact: i32 = subset.map(|t| i32::from(four[t])).sum();
                assert_eq!(tables.subset_sum(group, n), exact);
            }
        }
        assert_eq!(tables.least, least);
    }
}
