//! Every kernel equals the specification; the codes are as near as 8 bits allow.

use dyadic_testkit::Rng;
use dyadic_testkit::cases::{SPECIAL_F32, lengths};
use dyadic_testkit::guard::{Flush, Guarded};

use super::*;

/// Each block a group of 8 bits.
const BLOCKS: Group = Group { largest: None, top: 127.0 };

fn run(
    kernel: &Kernel<QuantizeActivationsFn>,
    x: &[f32],
    stride: usize,
    group: Group,
) -> Vec<ActivationBlock> {
    let blocks = x.len().div_ceil(BLOCK);
    let mut all = Vec::new();
    for flush in Flush::BOTH {
        let x = Guarded::new(x, flush);
        let len = (blocks * stride).saturating_sub(stride - 1);
        let mut out = Guarded::filled(ActivationBlock::ZERO, len, flush);
        // SAFETY: the kernel is supported; the lengths are those of the contract.
        unsafe { (kernel.function)(x.as_ptr(), x.len(), out.as_mut_ptr(), stride, group) };
        all.extend(out.iter().step_by(stride).copied());
    }
    all
}

fn bits(block: &ActivationBlock) -> ([i8; BLOCK], [u32; 2], [i32; 6]) {
    let [low, high] = block.minus_32_half_sums;
    (
        block.codes,
        [block.scale.to_bits(), block.scaled_sum.to_bits()],
        [block.minus_sum, block.minus_8_sum, block.minus_16_sum, block.minus_128_sum, low, high],
    )
}

fn check(x: &[f32]) {
    let largest = x.iter().map(|value| value.abs().to_bits()).fold(0, u32::max);
    for largest in [None, Some(f32::from_bits(largest))] {
        for top in [127.0, 7.0] {
            let group = Group { largest, top };
            let expected = run(&OP.kernels[0], x, 1, group);
            for (kernel, stride) in OP.supported().flat_map(|kernel| [(kernel, 1), (kernel, 8)]) {
                let actual = run(kernel, x, stride, group);
                for (index, (actual, expected)) in actual.iter().zip(&expected).enumerate() {
                    let name = kernel.name;
                    assert_eq!(
                        bits(actual),
                        bits(expected),
                        "{name}, block {index} of {}",
                        x.len()
                    );
                }
            }
        }
    }
}

#[test]
fn every_kernel_equals_the_specification() {
    let mut rng = Rng::new(1);
    for length in lengths() {
        check(&rng.normal_vec(length, 3.0));
        check(&rng.normal_vec(length, 1e-30));
    }
}

#[test]
fn special_values_give_the_same_bits() {
    let mut rng = Rng::new(2);
    for special in SPECIAL_F32 {
        for position in [0, 15, 16, 31, 32, 40] {
            let mut x = rng.normal_vec(41, 1.0);
            x[position] = special;
            check(&x);
            let mut zeros = vec![0.0; 41];
            zeros[position] = special;
            check(&zeros);
        }
    }
    for _ in 0..2000 {
        let x: Vec<f32> = (0..32).map(|_| rng.any_f32()).collect();
        check(&x);
    }
}

#[test]
fn ties_round_to_even() {
    let mut x = [0.0; BLOCK];
    x[0] = 127.0;
    x[1] = 0.5;
    x[2] = 1.5;
    x[3] = -2.5;
    let block = scalar::quantize_block(&x, BLOCKS);
    assert_eq!(block.codes[..4], [127, 0, 2, -2]);
    assert_eq!(block.minus_sum, -127);
    check(&x);
}

#[test]
fn codes_are_within_half_a_step() {
    let mut rng = Rng::new(3);
    for _ in 0..200 {
        let x: [f32; BLOCK] = std::array::from_fn(|_| rng.normal());
        let block = scalar::quantize_block(&x, BLOCKS);
        for (value, code) in x.iter().zip(block.codes) {
            let error = (value - f32::from(code) * block.scale).abs();
            assert!(error <= block.scale * 0.500_01, "{value} became {code} x {}", block.scale);
        }
    }
}

#[test]
fn a_group_that_is_not_finite_becomes_nan() {
    for bad in [f32::INFINITY, f32::NAN, f32::from_bits(0xFFC1_2345)] {
        let mut x = [1.0; BLOCK];
        x[7] = bad;
        let block = scalar::quantize_block(&x, BLOCKS);
        assert_eq!(block.scale.to_bits(), f32::NAN.to_bits());
        assert_eq!(block.codes, [0; BLOCK]);
    }
}

#[test]
fn panels_hold_their_tokens() {
    let kernels = Kernels::for_isa(Isa::best()).unwrap();
    let mut rng = Rng::new(4);
    let (tokens, columns) = (11, 70);
    let blocks = 3;
    let x = rng.normal_vec(tokens * columns, 1.0);
    let mut all = vec![ActivationBlock::ZERO; tokens * blocks];
    let (first, second) = all.split_at_mut(8 * blocks);
    let rounding = Rounding { group: BLOCK, top: 127.0 };
    kernels.quantize_activations(&x, columns, 0, first, rounding);
    kernels.quantize_activations(&x, columns, 8, second, rounding);
    for token in 0..tokens {
        let expected = run(&OP.kernels[0], &x[token * columns..][..columns], 1, BLOCKS);
        for block in 0..blocks {
            let actual = &all[panel_index(tokens, blocks, token, block)];
            assert_eq!(bits(actual), bits(&expected[block]), "token {token}, block {block}");
        }
    }
}

#[test]
fn a_group_has_one_scale() {
    let kernels = Kernels::for_isa(Isa::best()).unwrap();
    let columns = 150;
    let x = Rng::new(5).normal_vec(columns, 1.0);
    let mut panel = vec![ActivationBlock::ZERO; columns.div_ceil(BLOCK)];
    for (group, top) in [(64, 127.0), (columns, 127.0), (1000, 7.0)] {
        kernels.quantize_activations(&x, columns, 0, &mut panel, Rounding { group, top });
        for (index, x) in x.chunks(group).enumerate() {
            let largest = x.iter().map(|value| value.abs()).fold(0.0, f32::max);
            let blocks = panel[index * group.div_ceil(BLOCK)..].iter();
            for (block, x) in blocks.zip(x.chunks(BLOCK)) {
                assert_eq!(block.scale, largest / top, "groups of {group}");
                for (code, value) in block.codes.iter().zip(x) {
                    let error = (value - f32::from(*code) * block.scale).abs();
                    assert!(error <= block.scale * 0.500_01, "{value} became {code}");
                }
            }
        }
    }
}
