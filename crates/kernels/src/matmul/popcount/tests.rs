//! Every kernel equals the product by multiplication.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::super::activations::panel_index;
use super::super::tests::{Fill, fill_tiles, layouts};
use super::*;

struct Case {
    layout: LayoutSpec,
    rows: usize,
    /// Of which the last has only 5 columns.
    blocks: usize,
    tokens: usize,
    bits: u32,
    fill: Fill,
}

fn activations(case: &Case, rng: &mut Rng) -> Vec<ActivationBlock> {
    let top = (1i8 << case.bits) - 1;
    let mut activations = vec![ActivationBlock::ZERO; case.tokens * case.blocks];
    for token in 0..case.tokens {
        for block in 0..case.blocks {
            let columns = if block + 1 == case.blocks { 5 } else { BLOCK };
            let sign = if rng.next_u8() & 1 == 0 { top } else { -top };
            let codes = std::array::from_fn(|k| match case.fill {
                _ if k >= columns => 0,
                Fill::Extreme => sign,
                _ => 2 * (rng.next_u8() >> (8 - case.bits)).cast_signed() - top,
            });
            activations[panel_index(case.tokens, case.blocks, token, block)] =
                ActivationBlock::new(codes, rng.uniform(0.001, 0.02));
        }
    }
    activations
}

fn check(case: &Case) {
    let Case { layout, rows, blocks, tokens, bits, fill } = case;
    let mut rng = Rng::new((rows << 20 | blocks << 10 | tokens) as u64);
    let tiles = rows.div_ceil(TILE_ROWS);
    let mut weights = fill_tiles(layout, tiles, *blocks, *fill, &mut rng);
    let tile_bytes = layout.tile_bytes(*blocks).unwrap();
    for tile in weights.chunks_exact_mut(tile_bytes) {
        for row in 0..TILE_ROWS {
            let mut codes = layout.codes(tile, blocks - 1, row);
            codes[5..].fill(0);
            let (quads, _) = codes.as_chunks::<4>();
            let quads = std::array::from_fn(|quad| u32::from_le_bytes(quads[quad]));
            layout.store_codes(tile, blocks - 1, row, &quads);
        }
    }
    let activations = activations(case, &mut rng);
    let planes: Vec<_> =
        activations.iter().map(|block| BitBlock::new(&block.codes, *bits)).collect();

    let mut expected = vec![0.0; rows * tokens];
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut out = OutputColumns::new(&mut expected, *rows);
    scalar.matmul(layout, &weights, *blocks, &activations, &mut out);

    let mut words = weights.clone();
    words.chunks_exact_mut(tile_bytes).for_each(|tile| to_words(layout, tile, *blocks));
    let mut back = vec![0; weights.len()];
    for (tile, back) in words.chunks_exact(tile_bytes).zip(back.chunks_exact_mut(tile_bytes)) {
        from_words(layout, tile, *blocks, back);
    }
    assert!(back == weights, "{} there and back", layout.name);

    for kernel in OPS[index_of(layout.id.unwrap()).unwrap()].supported() {
        for flush in Flush::BOTH {
            let words = Guarded::new(&words, flush);
            let activations = Guarded::new(&activations, flush);
            let planes = Guarded::new(&planes, flush);
            let mut out = Guarded::filled(-77.0, rows * tokens, flush);
            let mut columns = OutputColumns::new(&mut out, *rows);
            let mut product = Product::new(&words, tile_bytes, *blocks, &activations, &mut columns);
            product.spec = layout;
            // SAFETY: the kernel is supported, and the product was checked.
            unsafe { (kernel.function)(&product, planes.as_ptr(), *bits as usize) };
            let context =
                format!("{}, {rows} x {blocks} blocks, {tokens} x {bits} bits", kernel.name);
            assert_same_bits(&out, &expected, &context);
        }
    }
}

fn every_case(shapes: &[(usize, usize, usize)], fill: Fill) {
    for layout in layouts().into_iter().filter(|layout| layout.id.is_some_and(is_supported)) {
        for bits in 1..=MAX_BITS {
            for &(rows, blocks, tokens) in shapes {
                check(&Case { layout, rows, blocks, tokens, bits, fill });
            }
        }
    }
}

/// Row 38 of the papers: products of bit planes are exact.
#[test]
fn paper_38_every_kernel_equals_the_product_by_multiplication() {
    every_case(&[(1, 1, 1), (16, 2, 1), (17, 3, 2), (33, 8, 3), (16, 9, 9)], Fill::Random);
}

#[test]
fn extreme_codes_overflow_no_byte() {
    every_case(&[(16, 9, 2)], Fill::Extreme);
}

#[test]
fn special_scales_give_the_same_bits() {
    every_case(&[(32, 5, 1)], Fill::AnyBytes);
}
