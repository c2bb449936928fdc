//! Every kernel of every layout equals the specification, and the specification the formula in f64.

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp::assert_same_bits};

use super::activations::{ActivationBlock, panel_index};
use super::layout::{BLOCK, Minimum, TILE_ROWS};
use super::*;

/// Where the numbers of a case come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fill {
    /// Any codes, scales of ordinary size.
    Random,
    /// The largest magnitudes of codes and activations everywhere: what would overflow an accumulator.
    Extreme,
    /// Any bytes, so that there are scales of 0, infinity and NaN.
    AnyBytes,
}

pub(super) struct Case {
    pub(super) layout: LayoutSpec,
    pub(super) rows: usize,
    pub(super) blocks: usize,
    pub(super) tokens: usize,
    pub(super) fill: Fill,
}

pub(super) struct Operands {
    pub(super) weights: Vec<u8>,
    pub(super) activations: Vec<ActivationBlock>,
}

fn f16_bytes(value: f32) -> [u8; 2] {
    dyadic_formats::float::f32_to_f16(value).to_le_bytes()
}

/// Every layout, those with grouped scales with groupings of all kinds.
pub(super) fn layouts() -> Vec<LayoutSpec> {
    let mut layouts = Vec::new();
    for id in LayoutId::ALL {
        let spec = *id.spec();
        if !spec.scales.is_grouped() {
            layouts.push(spec);
            continue;
        }
        let runs: &[usize] = match spec.codes {
            _ if spec.scales.has_halves() => &[1],
            Codes::Trits => &[5, 15, 80],
            _ => &[1, 4, 3],
        };
        for (index, minimum) in
            [Minimum::None, Minimum::Number, Minimum::ZeroPoint].into_iter().enumerate()
        {
            let run = runs[index % runs.len()];
            let codes = match spec.codes {
                Codes::Unsigned { bits, .. } => {
                    Codes::Unsigned { bits, zero_point: [0, 1, 1 << (bits - 1)][index] }
                }
                codes => codes,
            };
            for wide in [false, true] {
                let grouping = Grouping { run, wide, minimum };
                let table =
                    std::array::from_fn(|i| (i as i8 - 8).wrapping_mul(16) | (3 * (i as i8 % 2)));
                layouts.push(LayoutSpec { codes, grouping, table, ..spec });
            }
        }
    }
    layouts
}

/// Tiles of random bytes. Unless any bytes will do, all numbers are ordinary, and codes extreme where the fill says so.
pub(super) fn fill_tiles(
    layout: &LayoutSpec,
    tiles: usize,
    blocks: usize,
    fill: Fill,
    rng: &mut Rng,
) -> Vec<u8> {
    let tile_bytes = layout.tile_bytes(blocks).unwrap();
    let mut weights: Vec<u8> = (0..tiles * tile_bytes).map(|_| rng.next_u8()).collect();
    if fill != Fill::AnyBytes {
        for tile in weights.chunks_exact_mut(tile_bytes) {
            fill_tile(layout, tile, blocks, fill, rng);
        }
    }
    weights
}

fn fill_tile(spec: &LayoutSpec, tile: &mut [u8], blocks: usize, fill: Fill, rng: &mut Rng) {
    for block in 0..blocks {
        if spec.scales.is_grouped() {
            for row in 0..TILE_ROWS {
                let minimum = match spec.grouping.minimum {
                    Minimum::ZeroPoint => f32::from(rng.next_i8()),
                    _ => rng.uniform(-0.5, 0.5),
                };
                let scale = (rng.uniform(-0.5, 0.5), minimum);
                for half in 0..if spec.scales.has_halves() { 2 } else { 1 } {
                    spec.store_grouped_scale(tile, block, half, row, scale);
                }
            }
        } else {
            for bytes in spec.header_mut(tile, block).chunks_exact_mut(2) {
                bytes.copy_from_slice(&f16_bytes(rng.uniform(-0.5, 0.5)));
            }
        }
        if spec.scales == Scales::F16Halves {
            for bytes in spec.block_scales_mut(tile, block).chunks_exact_mut(2) {
                bytes.copy_from_slice(&f16_bytes(rng.uniform(-0.5, 0.5)));
            }
        }
        if spec.scales == Scales::PowerOfTwo {
            spec.block_scales_mut(tile, block).fill(120 + (rng.next_u8() & 7));
        }
        if fill == Fill::Extreme {
            let largest = if spec.codes == Codes::Signed8 { 0x80 } else { 0xFF };
            let code = if rng.next_u8() & 1 == 0 { largest } else { 0 };
            for row in 0..TILE_ROWS {
                spec.store_codes(tile, block, row, &[u32::from_le_bytes([code; 4]); 8]);
            }
        }
    }
}

impl Case {
    pub(super) fn id(&self) -> LayoutId {
        self.layout.id.expect("a layout of integers")
    }

    pub(super) fn operands(&self) -> Operands {
        let mut rng = Rng::new(
            (self.id() as u64) << 48 | (self.rows << 32 | self.blocks << 16 | self.tokens) as u64,
        );
        let tiles = self.rows.div_ceil(TILE_ROWS);
        let weights = fill_tiles(&self.layout, tiles, self.blocks, self.fill, &mut rng);
        let mut activations = vec![ActivationBlock::ZERO; self.tokens * self.blocks];
        for token in 0..self.tokens {
            for block in 0..self.blocks {
                let sign = if rng.next_u8() & 1 == 0 { 127 } else { -127 };
                let codes = std::array::from_fn(|_| match self.fill {
                    Fill::Extreme => sign,
                    _ => rng.next_i8().max(-127),
                });
                let index = panel_index(self.tokens, self.blocks, token, block);
                activations[index] = ActivationBlock::new(codes, rng.uniform(0.001, 0.02));
            }
        }
        Operands { weights, activations }
    }

    /// What `multiply` makes of these operands, all of which lie flush against guard pages.
    pub(super) fn run(
        &self,
        Operands { weights, activations }: &Operands,
        flush: Flush,
        multiply: impl FnOnce(&mut Product<ActivationBlock>),
    ) -> Vec<f32> {
        let weights = Guarded::new(weights, flush);
        let activations = Guarded::new(activations, flush);
        let mut out = Guarded::filled(-77.0, self.rows * self.tokens, flush);
        let mut columns = OutputColumns::new(&mut out, self.rows);
        let tile_bytes = self.layout.tile_bytes(self.blocks).unwrap();
        let mut product =
            Product::new(&weights, tile_bytes, self.blocks, &activations, &mut columns);
        product.spec = &raw const self.layout;
        multiply(&mut product);
        out.to_vec()
    }

    fn run_kernel(&self, kernel: &Kernel<MatmulFn>, operands: &Operands, flush: Flush) -> Vec<f32> {
        // SAFETY: the kernel is supported, and the product was checked.
        self.run(operands, flush, |product| unsafe { (kernel.function)(product) })
    }

    /// What the specification says.
    pub(super) fn expected(&self, operands: &Operands) -> Vec<f32> {
        self.run_kernel(&OPS[self.id() as usize].kernels[0], operands, Flush::Back)
    }

    /// The formula in f64, and the sum of the magnitudes of its terms.
    fn reference(&self, operands: &Operands) -> Vec<(f64, f64)> {
        let spec = &self.layout;
        let tile_bytes = spec.tile_bytes(self.blocks).unwrap();
        let mut out = Vec::new();
        for token in 0..self.tokens {
            for row in 0..self.rows {
                let tile = &operands.weights[row / TILE_ROWS * tile_bytes..][..tile_bytes];
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for block in 0..self.blocks {
                    let index = panel_index(self.tokens, self.blocks, token, block);
                    let activations = &operands.activations[index];
                    let values = spec.values(tile, block, row % TILE_ROWS);
                    let scales = spec.row_scales(tile, block, row % TILE_ROWS);
                    for k in 0..BLOCK {
                        let half = k / 16;
                        let weight = f64::from(scales.scale[half]) * f64::from(values[k])
                            + f64::from(scales.minimum[half]);
                        let term =
                            weight * f64::from(activations.codes[k]) * f64::from(activations.scale);
                        sum += term;
                        magnitude += (f64::from(scales.scale[half])
                            * f64::from(values[k])
                            * f64::from(activations.codes[k])
                            * f64::from(activations.scale))
                        .abs()
                            + (f64::from(scales.minimum[half])
                                * f64::from(activations.codes[k])
                                * f64::from(activations.scale))
                            .abs();
                    }
                }
                out.push((sum, magnitude));
            }
        }
        out
    }
}

fn check(case: &Case) {
    let operands = case.operands();
    let expected = case.expected(&operands);
    for kernel in OPS[case.id() as usize].supported() {
        for flush in Flush::BOTH {
            let context = format!(
                "{}, {:?}, {} x {} blocks, {} tokens, {:?}, {flush:?}",
                kernel.name, case.layout.grouping, case.rows, case.blocks, case.tokens, case.fill
            );
            assert_same_bits(&case.run_kernel(kernel, &operands, flush), &expected, &context);
        }
    }
    if case.fill != Fill::AnyBytes {
        let reference = case.reference(&operands);
        for (index, (&actual, (exact, magnitude))) in expected.iter().zip(reference).enumerate() {
            // Two fused steps a block or half block, each of a relative error of 2^-24, after one product and one conversion.
            let bound = magnitude * (case.blocks as f64 * 4.0 + 4.0) * 2f64.powi(-24);
            let error = (f64::from(actual) - exact).abs();
            assert!(
                error <= bound,
                "{}: output {index} is {actual}, exactly {exact}: error {error:e}, bound {bound:e}",
                case.layout.name
            );
        }
    }
}

#[test]
fn every_kernel_equals_the_specification() {
    for layout in layouts() {
        for blocks in [1, 2, 3, 5, 8, 9, 18] {
            for (rows, tokens) in
                [(1, 1), (7, 2), (8, 3), (16, 1), (16, 8), (17, 9), (33, 5), (16, 33)]
            {
                check(&Case { layout, rows, blocks, tokens, fill: Fill::Random });
            }
        }
        check(&Case { layout, rows: 33, blocks: 80, tokens: 9, fill: Fill::Random });
    }
}

#[test]
fn extreme_codes_overflow_no_accumulator() {
    for layout in layouts() {
        for tokens in [1, 2, 4, 8] {
            check(&Case { layout, rows: 16, blocks: 80, tokens, fill: Fill::Extreme });
        }
    }
}

#[test]
fn special_scales_give_the_same_bits() {
    for layout in layouts() {
        for tokens in [1, 8] {
            for blocks in 1..4 {
                check(&Case { layout, rows: 48, blocks, tokens, fill: Fill::AnyBytes });
            }
        }
    }
}

#[test]
fn stored_codes_are_read_back() {
    let mut rng = Rng::new(5);
    for layout in layouts() {
        let spec = &layout;
        let mut tile = vec![0; spec.tile_bytes(10).unwrap()];
        let mask = 0xFF >> (8 - spec.codes.bits());
        let codes: Vec<[u32; 8]> = (0..160)
            .map(|_| std::array::from_fn(|_| rng.next_u32() & (0x0101_0101 * mask)))
            .collect();
        for (index, quads) in codes.iter().enumerate() {
            spec.store_codes(&mut tile, index / 16, index % 16, quads);
        }
        for (index, quads) in codes.iter().enumerate() {
            let values = spec.values(&tile, index / 16, index % 16);
            for (k, value) in values.into_iter().enumerate() {
                let code = quads[k / 4].to_le_bytes()[k % 4];
                let code = if spec.codes == Codes::Trits { code.min(2) } else { code };
                assert_eq!(value, spec.value(code), "{}, column {k}", spec.name);
            }
        }
    }
}
