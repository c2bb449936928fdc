//! The exponential, one element at a time: what the other files must equal.

use crate::lanes::canonical;

/// log2(e), rounded to f32.
pub(super) const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);
/// log2(e) - [`LOG2_E`].
pub(super) const LOG2_E_LOW: f32 = f32::from_bits(0x32A5_7060);

/// c1 to c7 of `2^f = 1 + c1 f + ... + c7 f^7` for |f| <= 1/2: 0.77 ULP over all floats of the range.
pub(super) const EXP2: [f32; 7] = [
    f32::from_bits(0x3F31_7218),
    f32::from_bits(0x3E75_FDF0),
    f32::from_bits(0x3D63_5837),
    f32::from_bits(0x3C1D_952E),
    f32::from_bits(0x3AAE_D2CF),
    f32::from_bits(0x3922_06E6),
    f32::from_bits(0x3770_40E9),
];

/// Beyond these exp is 0 and infinite, and 2^n can still be made of two factors.
pub(super) const EXP_RANGE: (f32, f32) = (-150.0, 128.0);

/// ln(2) rounded up to f32, and what that is too much. The product n * LN2 is exact inside a fused multiply-add.
pub(super) const LN2: f32 = f32::from_bits(0x3F31_7218);
/// [`LN2`] - ln(2).
pub(super) const LN2_EXCESS: f32 = f32::from_bits(0x3102_E308);

/// c1 to c5 of `e^t = 1 + c1 t + ... + c5 t^5` for |t| <= ln(2)/2 (XNNPACK, `f32-raddextexp`).
pub(super) const EXT_EXP: [f32; 5] = [
    f32::from_bits(0x3F7F_FFFB),
    f32::from_bits(0x3EFF_FEE3),
    f32::from_bits(0x3E2A_AD40),
    f32::from_bits(0x3D2B_9D0D),
    f32::from_bits(0x3C07_CFCE),
];

/// `e^x` as `(p, n)` of value `p * 2^n`, `n` integer-valued and `p` in [0.70, 1.42], for an x in [`EXP_RANGE`]; NaN passes.
pub(crate) fn exp_parts(x: f32) -> (f32, f32) {
    let n = (x * LOG2_E).round_ties_even();
    let f = x.mul_add(LOG2_E, -n);
    let f = x.mul_add(LOG2_E_LOW, f);
    let mut p = EXP2[6];
    for c in EXP2[..6].iter().rev() {
        p = p.mul_add(f, *c);
    }
    (p.mul_add(f, 1.0), n)
}

/// `v * 2^n`, rounded once, for an integer-valued `n` in [-252, 252]: [`crate::lanes::Lanes::scale`].
pub(crate) fn scale(v: f32, n: f32) -> f32 {
    // The power and the product are exact in f64.
    #[expect(clippy::cast_possible_truncation, reason = "an integer, then rounding on purpose")]
    let scaled = {
        let power = f64::from_bits((n as i64 + 1023).cast_unsigned() << 52);
        (f64::from(v) * power) as f32
    };
    scaled
}

/// `e^x`. At most 0.98 ULP from the exact value over all floats.
pub(crate) fn exp(x: f32) -> f32 {
    let (p, n) = exp_parts(x.clamp(EXP_RANGE.0, EXP_RANGE.1));
    canonical(scale(p, n))
}

/// `e^x` as `(m, n)` of value `m * 2^n`, `n` integer-valued and `m` in [0.70, 1.42]: an exponential that cannot overflow.
///
/// 1.97 ULP for |x| < 2^15, 3.65 ULP for |x| < 2^18, not usable beyond. NaN gives two NaNs.
pub(crate) fn ext_exp(x: f32) -> (f32, f32) {
    let n = (x * LOG2_E).round_ties_even();
    let t = n.mul_add(-LN2, x);
    let t = n.mul_add(LN2_EXCESS, t);
    let mut m = EXT_EXP[4];
    for c in EXT_EXP[..4].iter().rev() {
        m = m.mul_add(t, *c);
    }
    (m.mul_add(t, 1.0), n)
}

/// `v * 2^n` for an integer-valued `n` <= 0, but zero where `n` <= -127: [`crate::lanes::Lanes::scale_down`].
pub(crate) fn scale_down(v: f32, n: f32) -> f32 {
    let n = if n > -127.0 { n } else { -127.0 };
    #[expect(clippy::cast_possible_truncation, reason = "an integer in -127..=0")]
    let field = (n as i32 + 127).cast_unsigned();
    v * f32::from_bits(field << 23)
}

/// `out[i] = exp(x[i])`.
pub(super) fn exp_slice(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = exp(x);
    }
}
