//! The specification.

use std::hint::black_box;

use super::{LINE, ROUND};

pub(super) fn read(lines: &[[u8; LINE]]) -> u64 {
    let words = lines.as_flattened().as_chunks().0;
    words.iter().fold(0, |all, &word| all ^ u64::from_le_bytes(word))
}

pub(super) fn multiply(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
    let mut sum = 0i32;
    for _ in 0..rounds {
        for _ in 0..ROUND / 4 {
            // Hidden from the compiler, which would make one multiplication of all of them.
            for (weight, x) in black_box(weights).into_iter().zip(x) {
                sum = sum.wrapping_add(i32::from(weight) * i32::from(x));
            }
        }
    }
    sum
}
