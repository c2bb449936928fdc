//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864).
//!
//! The first `rotary_dim` elements of each head are pairs; pair i is turned by the angle `position * frequency[i]`:
//!
//! ```text
//! a' = a cos - b sin      fma(a, cos, -(b * sin))
//! b' = b cos + a sin      fma(b, cos,   a * sin)
//!
//! Interleaved   a0 b0 a1 b1 a2 b2 ...             llama
//! Halves        a0 a1 a2 ...   b0 b1 b2 ...       GPT-NeoX, Qwen
//! ```

mod lanes;
mod scalar;
mod table;

pub use table::{RopeError, RopeScaling, RopeTable};

use crate::lanes::lane_op;
use crate::registry::Kernels;

/// Which elements of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// Neighbours: `(2i, 2i + 1)`.
    Interleaved,
    /// The first half and the second: `(i, i + rotary_dim / 2)`.
    Halves,
}

lane_op! {
    /// Turns the first `2 * cos.len()` elements of each head of `head_dim` elements.
    static ROPE: RopeFn = "rope_f32",
    fn(x: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32], pairing: RopePairing),
    scalar: scalar::rope,
    lanes: lanes::rope,
}

impl Kernels {
    /// Turns the first `2 * cos.len()` elements of each head; the rest of a head is left as it is.
    ///
    /// `x` is `[heads][head_dim]`, all of one position; `cos` and `sin` are of that position: [`RopeTable::at`].
    ///
    /// # Panics
    /// Where `x` is not whole heads, `cos` and `sin` differ in length, or a head has fewer elements than are turned.
    pub fn rope(
        &self,
        x: &mut [f32],
        head_dim: usize,
        cos: &[f32],
        sin: &[f32],
        pairing: RopePairing,
    ) {
        assert!(head_dim > 0 && x.len().is_multiple_of(head_dim), "rope: whole heads");
        assert_eq!(cos.len(), sin.len(), "rope: cosines and sines");
        assert!(2 * cos.len() <= head_dim, "rope: more angles than pairs");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are as the op demands.
        unsafe { (self.rope.function)(x, head_dim, cos, sin, pairing) }
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, ulp};

    use super::{ROPE, RopePairing, scalar};

    const PAIRINGS: [RopePairing; 2] = [RopePairing::Interleaved, RopePairing::Halves];

    #[test]
    fn a_quarter_turn() {
        let mut x = [1.0, 2.0, 3.0, 4.0, 9.0];
        scalar::rope(&mut x, 5, &[0.0, 1.0], &[1.0, 0.0], RopePairing::Interleaved);
        assert_eq!(x, [-2.0, 1.0, 3.0, 4.0, 9.0]);
        let mut x = [1.0, 2.0, 3.0, 4.0, 9.0];
        scalar::rope(&mut x, 5, &[0.0, 1.0], &[1.0, 0.0], RopePairing::Halves);
        assert_eq!(x, [-3.0, 2.0, 1.0, 4.0, 9.0]);
    }

    #[test]
    fn kernels_equal_the_scalar_one() {
        let mut rng = Rng::new(1);
        for kernel in ROPE.supported() {
            for pairing in PAIRINGS {
                for pairs in (0..=40).chain([64, 65]) {
                    let head_dim = 2 * pairs + [1, 2, 32][pairs % 3];
                    let x = if pairs % 2 == 0 {
                        rng.normal_vec(3 * head_dim, 1.0)
                    } else {
                        rng.special_vec(3 * head_dim)
                    };
                    let cos = rng.uniform_vec(pairs, -1.0, 1.0);
                    let sin = rng.uniform_vec(pairs, -1.0, 1.0);
                    let mut expected = x.clone();
                    scalar::rope(&mut expected, head_dim, &cos, &sin, pairing);
                    for flush in Flush::BOTH {
                        let mut x = Guarded::new(&x, flush);
                        let cos = Guarded::new(&cos, flush);
                        let sin = Guarded::new(&sin, flush);
                        // SAFETY: the CPU supports the kernel; whole heads, no more angles than pairs.
                        unsafe { (kernel.function)(&mut x, head_dim, &cos, &sin, pairing) };
                        ulp::assert_same_bits(&x, &expected, kernel.name);
                    }
                }
            }
        }
    }
}
