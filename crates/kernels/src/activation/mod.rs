//! Element-wise functions and sums. [`Function`] lists those of one argument.
//!
//! `silu(x) = x / (1 + e^-x)`, evaluated as `x * (e or 1) / (1 + e)` with `e = e^-|x|`; -0 at -infinity. The gated form of SwiGLU (Shazeer
//! 2020, arXiv 2002.05202) is `silu(gate) * up`.

pub(crate) mod function;
pub(crate) mod lanes;
pub(crate) mod scalar;

pub use function::{Accuracy, Function};

use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// `out = silu(gate) * up`.
    static SILU_MUL: SiluMulFn = "silu_mul_f32",
    fn(gate: &[f32], up: &[f32], out: &mut [f32]),
    scalar: scalar::silu_mul,
    lanes: lanes::silu_mul,
}

lane_op! {
    /// `x += y`.
    static ADD: AddFn = "add_f32",
    fn(x: &mut [f32], y: &[f32]),
    scalar: scalar::add,
    lanes: lanes::add,
}

lane_op! {
    /// `x = cap * tanh(x / cap)`.
    static SOFT_CAP: SoftCapFn = "soft_cap_f32",
    fn(x: &mut [f32], cap: f32),
    scalar: scalar::soft_cap,
    lanes: lanes::soft_cap,
}

impl Kernels {
    /// `x[i] = cap * tanh(x[i] / cap)`.
    pub fn soft_cap(&self, x: &mut [f32], cap: f32) {
        // SAFETY: this set holds kernels that the CPU supports.
        unsafe { (self.soft_cap.function)(x, cap) }
    }

    /// `out[i] = silu(gate[i]) * up[i]`. For gates of -91 and more at most 7.1 ULP from the exact value: twice the 3.27 of silu, where the mantissa of the
    /// product is the larger one, and half an ULP of the product. Below, silu is a subnormal number.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn silu_mul(&self, gate: &[f32], up: &[f32], out: &mut [f32]) {
        assert_eq!(gate.len(), up.len(), "silu_mul: up");
        assert_eq!(gate.len(), out.len(), "silu_mul: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.silu_mul.function)(gate, up, out) }
    }

    /// `x[i] += y[i]`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "add: lengths");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.add.function)(x, y) }
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, cases, reference, ulp};

    use super::{ADD, SILU_MUL, SOFT_CAP, scalar};
    use crate::{Isa, Kernels};

    /// The largest error in ULP for every `step`-th gate from -91 on, and where. The factor takes each product to just below a power of two, where an
    /// ULP is the smallest part of it, so no other factor does worse.
    fn worst_product(step: usize) -> (f64, f32) {
        const BLOCK: usize = 4096;
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let (mut gate, mut up, mut out) = (Vec::new(), Vec::new(), vec![0.0; BLOCK]);
        let mut worst = (0.0, 0.0);
        for start in (0..1u64 << 32).step_by(BLOCK * step) {
            gate.clear();
            let bits = (start..1 << 32).step_by(step).take(BLOCK);
            let floats = bits.map(|bits| f32::from_bits(u32::try_from(bits).unwrap()));
            gate.extend(floats.filter(|&x| x.is_finite() && x >= -91.0));
            up.clear();
            up.extend(gate.iter().map(|&gate| {
                #[expect(clippy::cast_possible_truncation, reason = "a mantissa from 1 to 2")]
                let silu = reference::silu(gate.into()) as f32;
                let mantissa = f32::from_bits(silu.to_bits() & 0x007F_FFFF | 0x3F80_0000);
                (2.0 / mantissa).next_down()
            }));
            let out = &mut out[..gate.len()];
            kernels.silu_mul(&gate, &up, out);
            for ((&out, &gate), &up) in out.iter().zip(&gate).zip(&up) {
                // Beyond 2^126 a product may overflow, and below 2^-126 it is rounded where an ULP is larger.
                if !(f32::MIN_POSITIVE..1e38).contains(&out.abs()) {
                    continue;
                }
                let error = ulp::error_f32(out, reference::silu(gate.into()) * f64::from(up));
                if error > worst.0 {
                    worst = (error, gate);
                }
            }
        }
        worst
    }

    #[test]
    fn silu_mul_keeps_its_bound_on_a_sample() {
        let (error, gate) = worst_product(20_011);
        eprintln!("silu_mul {error:.4} ULP at {gate:e}");
        assert!(error < 7.1, "{error} at {gate:e}");
    }

    #[test]
    #[ignore = "all 2^32 gates: a minute or two"]
    fn silu_mul_keeps_its_bound_on_all_floats() {
        let (error, gate) = worst_product(1);
        eprintln!("silu_mul {error:.4} ULP at {gate:e}");
        assert!(error < 7.1, "{error} at {gate:e}");
    }

    #[test]
    fn kernels_equal_the_scalar_ones() {
        let mut rng = Rng::new(2);
        for len in cases::lengths() {
            for special in [false, true] {
                let mut row =
                    || if special { rng.special_vec(len) } else { rng.normal_vec(len, 30.0) };
                let (gate, up) = (row(), row());
                let mut product = vec![0.0; len];
                scalar::silu_mul(&gate, &up, &mut product);
                let mut sum = gate.clone();
                scalar::add(&mut sum, &up);
                let mut capped = gate.clone();
                scalar::soft_cap(&mut capped, 20.0);
                for flush in Flush::BOTH {
                    let guarded_up = Guarded::new(&up, flush);
                    for kernel in SILU_MUL.supported() {
                        let mut out = Guarded::filled(7.0, len, flush);
                        let gate = Guarded::new(&gate, flush);
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(&gate, &guarded_up, &mut out) };
                        ulp::assert_same_bits(&out, &product, kernel.name);
                    }
                    for kernel in SOFT_CAP.supported() {
                        let mut x = Guarded::new(&gate, flush);
                        // SAFETY: the CPU supports the kernel.
                        unsafe { (kernel.function)(&mut x, 20.0) };
                        ulp::assert_same_bits(&x, &capped, kernel.name);
                    }
                    for kernel in ADD.supported() {
                        let mut x = Guarded::new(&gate, flush);
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(&mut x, &guarded_up) };
                        ulp::assert_same_bits(&x, &sum, kernel.name);
                    }
                }
            }
        }
    }
}
