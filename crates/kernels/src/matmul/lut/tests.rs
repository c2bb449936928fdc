//! Every kernel equals the specification, which is the product without tables.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::super::tests::{Case, Fill, layouts};
use super::*;

fn check(case: &Case) {
    let Case { layout, rows, blocks, tokens, .. } = case;
    let mut operands = case.operands();
    let expected = case.expected(&operands);
    let blocks_of_tables = operands.activations.iter();
    let tables: Vec<_> = blocks_of_tables.map(|block| TableBlock::new(&block.codes)).collect();
    let tile_bytes = layout.tile_bytes(*blocks).unwrap();

    let weights = operands.weights.clone();
    let tiles = operands.weights.chunks_exact_mut(tile_bytes);
    tiles.for_each(|tile| to_planes(layout, tile, *blocks));
    let mut back = vec![0; weights.len()];
    let tiles = operands.weights.chunks_exact(tile_bytes);
    for (tile, back) in tiles.zip(back.chunks_exact_mut(tile_bytes)) {
        from_planes(layout, tile, *blocks, back);
    }
    assert!(back == weights, "{} there and back", layout.name);

    for kernel in OPS[index_of(case.id()).unwrap()].supported() {
        for flush in Flush::BOTH {
            let tables = Guarded::new(&tables, flush);
            let out = case.run(&operands, flush, |product| {
                product.tables = tables.as_ptr();
                // SAFETY: the kernel is supported, and the product was checked.
                unsafe { (kernel.function)(product) };
            });
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
