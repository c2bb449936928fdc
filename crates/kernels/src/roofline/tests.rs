use dyadic_testkit::Rng;

use super::{LINE, MULTIPLY, READ, ROUND};

#[test]
fn every_kernel_reads_every_byte() {
    let mut rng = Rng::new(1);
    for len in [0, 1, 2, 3, 4, 5, 7, 8, 33] {
        let lines: Vec<[u8; LINE]> =
            (0..len).map(|_| std::array::from_fn(|_| rng.next_u8())).collect();
        let words = lines.as_flattened().as_chunks().0;
        let expected = words.iter().fold(0, |all, &word| all ^ u64::from_le_bytes(word));
        for kernel in READ.supported() {
            // SAFETY: the kernel is supported.
            let read = unsafe { (kernel.function)(&lines) };
            assert_eq!(read, expected, "{} of {len} lines", kernel.name);
        }
    }
}

#[test]
fn every_kernel_makes_all_products() {
    for (weights, x) in
        [([1, 2, 3, 4], [5, -6, 7, -8]), ([127; 4], [-127; 4]), ([127; 4], [-128; 4])]
    {
        let four: i32 = weights.iter().zip(x).map(|(&w, x)| i32::from(w) * i32::from(x)).sum();
        for rounds in [0, 1, 2, 7, 300] {
            let products = i32::try_from(ROUND).expect("a few hundred") / 4 * rounds;
            let expected = products.wrapping_mul(four);
            for kernel in MULTIPLY.supported() {
                // SAFETY: the kernel is supported and the weights are of 7 bits.
                let sum = unsafe { (kernel.function)(rounds.cast_unsigned(), weights, x) };
                assert_eq!(sum, expected, "{} of {rounds} rounds", kernel.name);
            }
        }
    }
}
