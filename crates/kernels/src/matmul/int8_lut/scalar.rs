//! The specification: every other kernel returns these bits.

use super::super::layout::{BLOCK, TILE_ROWS};
use super::super::{Layout, Product};
use super::{
    ENTRIES, GROUP, GROUPS, Int8Tables, SMALLEST, TOP, blocks_per_group, center, doubling,
    from_nibbles,
};

/// Pairwise: `((x0 + x1) + (x2 + x3)) + …`, of a power of two.
fn sum(x: &[f32]) -> f32 {
    if let [x] = x {
        return *x;
    }
    let (low, high) = x.split_at(x.len() / 2);
    sum(low) + sum(high)
}

/// See [`super`].
///
/// # Safety
/// None: it is called like the others.
pub(super) unsafe fn tables(x: &[[f32; BLOCK]], tables: &mut [Int8Tables]) {
    let magnitudes = x.as_flattened().chunks_exact(GROUP).map(|four| {
        let four: [f32; GROUP] = std::array::from_fn(|t| four[t].abs());
        sum(&four).to_bits()
    });
    // As integers, which orders infinity and then every NaN above all numbers.
    let largest = f32::from_bits(magnitudes.fold(0, u32::max));
    let (half_scale, factor) = if !largest.is_finite() {
        (f32::NAN, 0.0)
    } else if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (0.5 * (largest / TOP), TOP / largest)
    };
    for (tables, x) in tables.iter_mut().zip(x) {
        for (entries, four) in tables.entries.iter_mut().zip(x.chunks_exact(GROUP)) {
            *entries = std::array::from_fn(|n| entry(four, n, factor));
        }
        tables.half_scale = half_scale;
        tables.sum = 0.0;
    }
    tables[0].sum = x.iter().map(|x| sum(x)).reduce(|low, high| low + high).unwrap_or(0.0);
}

fn entry(four: &[f32], n: usize, factor: f32) -> i8 {
    if factor == 0.0 {
        return 0;
    }
    let signed: [f32; GROUP] =
        std::array::from_fn(|t| if n >> t & 1 == 1 { four[t] } else { -four[t] });
    // At most 127 and a rounding error.
    (sum(&signed) * factor).round_ties_even() as i8
}

/// See [`super`].
///
/// # Safety
/// As [`super::Int8LutFn`] says.
pub(super) unsafe fn matmul<L: Layout>(product: &Product<Int8Tables>) {
    // SAFETY: the product has a specification.
    let spec = unsafe { &*product.spec };
    debug_assert_eq!(spec.id, L::SPEC.id, "the layout of the kernel");
    let (bits, center) = (spec.codes.bits(), center(spec.codes));
    let mut quads = vec![0; product.tile_bytes];
    for step in product.steps(&[1]) {
        // SAFETY: a tile has `tile_bytes` bytes.
        let nibbles = unsafe { std::slice::from_raw_parts(step.weights, product.tile_bytes) };
        from_nibbles(spec, nibbles, step.blocks, &mut quads);
        let group_blocks = blocks_per_group(spec, step.blocks);
        let tables = |block: usize| {
            // SAFETY: the panels hold the tables of `blocks` blocks of each token.
            unsafe { &*step.activations.wrapping_add(block * step.panel) }
        };
        let values: [f32; TILE_ROWS] = std::array::from_fn(|row| {
            let mut acc = 0.0f32;
            for run in blocks_by(0..step.blocks, spec.blocks_per_header()) {
                let (mut t, mut a) = (0.0f32, 0.0f32);
                for group in blocks_by(run.clone(), group_blocks) {
                    let first = tables(group.start);
                    let blocks = group
                        .map(|block| look_up(&spec.codes(&quads, block, row), bits, tables(block)));
                    let sum: i32 = blocks.sum::<i32>() << doubling(spec.codes);
                    t = (sum as f32).mul_add(first.half_scale, t);
                    a += first.sum;
                }
                let scales = spec.row_scales(&quads, run.start, row);
                acc = t.mul_add(scales.scale[0], acc);
                if center != 0.0 || spec.has_minimums() {
                    let offset = scales.scale[0].mul_add(center, scales.minimum[0]);
                    acc = offset.mul_add(a, acc);
                }
            }
            if acc.is_nan() { f32::NAN } else { acc }
        });
        // SAFETY: a step of one token of a valid product.
        unsafe { step.store(0, 0, values) };
    }
}

/// The parts of a range that are `length` long, and a rest.
fn blocks_by(
    range: std::ops::Range<usize>,
    length: usize,
) -> impl Iterator<Item = std::ops::Range<usize>> {
    range.clone().step_by(length).map(move |first| first..range.end.min(first + length))
}

/// `Σ_b 2^b Σ_g T_g[n_b(g)]` of the codes of a row.
fn look_up(codes: &[u8; BLOCK], bits: u32, tables: &Int8Tables) -> i32 {
    let mut sum = 0;
    for group in 0..GROUPS {
        let four = &codes[GROUP * group..][..GROUP];
        for plane in 0..bits {
            let nibble = four
                .iter()
                .rev()
                .fold(0, |nibble, code| nibble << 1 | usize::from(code >> plane & 1));
            debug_assert!(nibble < ENTRIES);
            sum += i32::from(tables.entries[group][nibble]) << plane;
        }
    }
    sum
}
