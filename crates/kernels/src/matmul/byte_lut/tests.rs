//! Every kernel equals the specification, which is the product without tables.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::super::tests::{Case, Fill, layouts};
use super::*;

fn check(case: &Case) {
    let Case { layout, rows, blocks, tokens, .. } = case;
    let mut operands = case.operands();
    let expected = case.expected(&operands);
    let id = case.id();
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut tables = vec![ByteTable::ZERO; operands.activations.len() * groups(id)];
    scalar.byte_tables(id, &operands.activations, &mut tables);

    let tile_bytes = layout.tile_bytes(*blocks).unwrap();
    for four in operands.weights.chunks_exact_mut(TILES * tile_bytes) {
        let before = four.to_vec();
        from_tiles(layout, four, *blocks);
        for kernel in QUADS.supported() {
            for tile in 0..TILES {
                let mut back = vec![0; tile_bytes];
                to_tiles(kernel.function, layout, four, *blocks, tile, &mut back);
                let expected = &before[tile * tile_bytes..][..tile_bytes];
                assert!(back == expected, "{}: tile {tile} of {}", kernel.name, layout.name);
            }
        }
    }

    for kernel in OPS[index_of(id).unwrap()].supported() {
        for flush in Flush::BOTH {
            let tables = Guarded::new(&tables, flush);
            let out = case.run(&operands, flush, |product| {
                // SAFETY: the kernel is supported, and the product was checked.
                unsafe { (kernel.function)(product, tables.as_ptr()) };
            });
            let context = format!("{}, {rows} x {blocks} blocks, {tokens} tokens", kernel.name);
            assert_same_bits(&out, &expected, &context);
        }
    }
}

fn table_layouts() -> impl Iterator<Item = LayoutSpec> {
    layouts().into_iter().filter(|layout| layout.id.and_then(index_of).is_some())
}

#[test]
fn every_kernel_equals_the_product_without_tables() {
    for layout in table_layouts() {
        for (rows, blocks, tokens) in [(49, 1, 1), (64, 3, 2), (63, 17, 1), (128, 40, 9)] {
            check(&Case { layout, rows, blocks, tokens, fill: Fill::Random });
        }
    }
}

#[test]
fn extreme_codes_overflow_no_byte() {
    for layout in table_layouts() {
        check(&Case { layout, rows: 64, blocks: 40, tokens: 2, fill: Fill::Extreme });
    }
}

#[test]
fn special_scales_give_the_same_bits() {
    for layout in table_layouts() {
        check(&Case { layout, rows: 64, blocks: 20, tokens: 1, fill: Fill::AnyBytes });
    }
}

/// Row 56 of the papers: half a table holds the sums of all bytes, since opposite codes have opposite sums.
#[test]
fn paper_56_half_tables_hold_the_sums_of_all_bytes() {
    let mut rng = Rng::new(56);
    for bits in [1, 2] {
        for round in 0..20 {
            let codes: [i8; BLOCK] = std::array::from_fn(|_| match round {
                0 => 127,
                1 => -127,
                _ => rng.next_i8().max(-127),
            });
            for kernel in TABLES.supported() {
                let mut tables = vec![ByteTable::ZERO; 4 * bits];
                // SAFETY: the kernel is supported, and there are 4 tables for each bit.
                unsafe { (kernel.function)(&codes, &mut tables) };
                for (group, table) in tables.iter().enumerate() {
                    let digits = table.low.iter().map(|low| (low, 31));
                    let digits = digits.chain(table.high.iter().map(|high| (high, 31)));
                    for (digit, limit) in digits {
                        assert!((-limit..=limit).contains(digit), "{}: {digit}", kernel.name);
                    }
                    for byte in 0..=255u8 {
                        let exact: i32 = (0..8 / bits)
                            .map(|field| {
                                let column = 4 * (8 / bits * (group / 4) + field) + group % 4;
                                let code = byte >> (bits * field) & ((1 << bits) - 1);
                                (2 * i32::from(code) - ((1 << bits) - 1)) * i32::from(codes[column])
                            })
                            .sum();
                        assert_eq!(table.sum(byte), exact, "{}, byte {byte}", kernel.name);
                    }
                }
            }
        }
    }
}
