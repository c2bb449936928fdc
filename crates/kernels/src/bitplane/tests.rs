//! Products by population counts are exact for every pair of widths, on every instruction set.

use dyadic_testkit::Rng;

use super::*;

fn value(code: u8, bits: u32) -> i64 {
    2 * i64::from(code) - ((1 << bits) - 1)
}

fn check(kernels: &Kernels, shape: [usize; 3], widths: [u32; 2], mut code: impl FnMut(u32) -> u8) {
    let ([rows, columns, tokens], [w_bits, x_bits]) = (shape, widths);
    let w: Vec<u8> = (0..rows * columns).map(|_| code(w_bits)).collect();
    let x: Vec<u8> = (0..tokens * columns).map(|_| code(x_bits)).collect();
    let weights = BitPlanes::new(&w, rows, columns, w_bits);
    let activations = BitPlanes::new(&x, tokens, columns, x_bits);
    let mut out = vec![-1; rows * tokens];
    kernels.matmul_bitplanes(&weights, &activations, &mut out);
    for token in 0..tokens {
        for row in 0..rows {
            let (w, x) = (&w[row * columns..][..columns], &x[token * columns..][..columns]);
            let exact: i64 =
                w.iter().zip(x).map(|(&w, &x)| value(w, w_bits) * value(x, x_bits)).sum();
            assert_eq!(
                i64::from(out[token * rows + row]),
                exact,
                "{}, {shape:?}, {widths:?}",
                kernels.matmul_bitplanes_name()
            );
        }
    }
}

/// Row 38 of the papers: exact against i64 for all widths from 1 to 8.
#[test]
fn paper_38_products_of_all_widths_are_exact() {
    let mut rng = Rng::new(38);
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        for w_bits in 1..=8 {
            for x_bits in 1..=8 {
                let random = |bits| rng.next_u8() >> (8 - bits);
                check(kernels, [3, 700, 2], [w_bits, x_bits], random);
            }
        }
    }
}

#[test]
fn columns_are_padded_with_nothing() {
    let mut rng = Rng::new(39);
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        for columns in dyadic_testkit::cases::lengths() {
            check(kernels, [2, columns, 1], [2, 3], |bits| rng.next_u8() >> (8 - bits));
        }
    }
}

#[test]
fn the_largest_sums_do_not_overflow() {
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        for code in [0, 0xFF] {
            check(kernels, [1, 33_000, 1], [8, 8], |_| code);
        }
        let mut flip = false;
        check(kernels, [1, 33_000, 1], [8, 8], |_| {
            flip = !flip;
            if flip { 0 } else { 0xFF }
        });
    }
}
