//! Attention whose multiplications are additions: an emulation, for studies of accuracy.

use dyadic_formats::lmul::LMul;

use super::Attention;
use super::scalar::{Arithmetic, Element, attention_with};

impl Arithmetic for LMul {
    fn multiply_add(self, a: f32, b: f32, c: f32) -> f32 {
        self.multiply(a, b) + c
    }
}

/// Attention of `input` with L-Mul (Luo and Sun 2024, arXiv 2410.00907) in place of the products `q . k` and `p * v`; `out` is
/// `[rows][head_dim]`. On a CPU this is much slower than multiplying: it says what hardware that adds instead would answer.
///
/// # Panics
/// Where a length of `input` or `out` is not as documented.
#[expect(private_bounds, reason = "f32, u16 (the bits of f16) and i8")]
pub fn attention_l_mul<T: Element>(l_mul: LMul, input: &Attention<'_, T>, out: &mut [f32]) {
    input.assert_valid(out);
    attention_with(l_mul, input, out);
}

#[cfg(test)]
mod tests {
    use dyadic_formats::lmul::{LMul, LMulVariant};
    use dyadic_testkit::Rng;

    use super::super::tests::{Cache, Case};
    use super::attention_l_mul;
    use crate::attention::AttentionScratch;
    use crate::{Isa, Kernels};

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| dyadic_testkit::reference::dot(a, b);
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// 5 mantissa bits and more, with the carry: an error of 7.3 % at most in each product, 0.4 % on average.
    #[test]
    fn l_mul_attention_points_where_attention_does() {
        let mut rng = Rng::new(1);
        let cache = Cache::new(&mut rng, 64, 100, 1.0);
        let case = Case::of_rows(rng.normal_vec(6 * 64, 1.0), &[100; 6]);
        let pages = cache.half_pages();
        let input = case.input(64, &pages);
        let mut exact = vec![0.0; 6 * 64];
        let kernels = Kernels::for_isa(Isa::Scalar).unwrap();
        kernels.attention_f16(&input, &mut AttentionScratch::default(), &mut exact);
        let mut out = exact.clone();
        for (bits, least) in [(3, 0.98), (5, 0.998), (23, 0.998)] {
            attention_l_mul(LMul::new(bits, LMulVariant::Carry), &input, &mut out);
            for (out, exact) in out.chunks(64).zip(exact.chunks(64)) {
                let cosine = cosine(out, exact);
                assert!((least..0.999_999).contains(&cosine), "{bits} bits: {cosine}");
            }
        }
    }
}
