//! The exponential, one element at a time: what the other files must equal.

/// log2(e), rounded to f32.
pub(super) const LOG2_E: f32 = f32::from_bits(0x3FB8_AA3B);
/// log2(e) - [`LOG2_E`].
pub(super) const LOG2_E_LOW: f32 = f32::from_bits(0x32A5_7060);

/// c1 to c7 of `2^f = 1 + c1 f + ... + c7 f^7` for |f| <= 1/2: 0.77 ULP over all floats of the range.
const EXP2_7: [f32; 7] = [
    f32::from_bits(0x3F31_7218),
    f32::from_bits(0x3E75_FDF0),
    f32::from_bits(0x3D63_5837),
    f32::from_bits(0x3C1D_952E),
    f32::from_bits(0x3AAE_D2CF),
    f32::from_bits(0x3922_06E6),
    f32::from_bits(0x3770_40E9),
];

/// The same to degree 5: 1.95 ULP.
const EXP2_5: [f32; 5] = [
    f32::from_bits(0x3F31_7215),
    f32::from_bits(0x3E75_FCE1),
    f32::from_bits(0x3D63_5B6C),
    f32::from_bits(0x3C1E_7456),
    f32::from_bits(0x3AAD_ED20),
];

/// The same to degree 3 (minimax by exchange): a relative error of 2^-11.17, a fifth of half a bf16 ULP.
const EXP2_3: [f32; 3] =
    [f32::from_bits(0x3F32_1DC6), f32::from_bits(0x3E77_D6D9), f32::from_bits(0x3D2A_CC74)];

/// The coefficients c1 to cD of `2^f` for |f| <= 1/2; D is 3, 5 or 7.
#[inline(always)]
pub(super) const fn exp2_coefficients<const D: usize>() -> &'static [f32] {
    match D {
        3 => &EXP2_3,
        5 => &EXP2_5,
        _ => &EXP2_7,
    }
}

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

/// `2^f` for |f| <= 1/2 by a polynomial of degree D.
fn exp2_fraction<const D: usize>(f: f32) -> f32 {
    let coefficients = exp2_coefficients::<D>();
    let highest = coefficients[D - 1];
    coefficients[..D - 1].iter().rev().fold(highest, |p, c| p.mul_add(f, *c)).mul_add(f, 1.0)
}

/// `e^x` as `(p, n)` of value `p * 2^n`, `n` integer-valued and `p` in [0.70, 1.42], for an x in [`EXP_RANGE`]; NaN passes.
pub(crate) fn exp_parts<const D: usize>(x: f32) -> (f32, f32) {
    let n = (x * LOG2_E).round_ties_even();
    let f = x.mul_add(LOG2_E, -n);
    let f = x.mul_add(LOG2_E_LOW, f);
    (exp2_fraction::<D>(f), n)
}

/// `2^x`; degree 7: at most 0.87 ULP from the exact value over all floats. A NaN keeps its bits.
pub(crate) fn exp2<const D: usize>(x: f32) -> f32 {
    let x = x.clamp(EXP_RANGE.0, EXP_RANGE.1);
    let n = x.round_ties_even();
    scale(exp2_fraction::<D>(x - n), n)
}

/// ln(m) = f - f^2/2 + f^3 P(f) for m = 1 + f in [sqrt(1/2), sqrt(2)) (Cephes, `logf.c`): the coefficients of P, the highest power first.
pub(super) const LN: [f32; 9] = [
    f32::from_bits(0x3D90_21BB),
    f32::from_bits(0xBDEB_D1B8),
    f32::from_bits(0x3DEF_251A),
    f32::from_bits(0xBDFE_5D4F),
    f32::from_bits(0x3E11_E9BF),
    f32::from_bits(0xBE2A_AE50),
    f32::from_bits(0x3E4C_CEAC),
    f32::from_bits(0xBE7F_FFFC),
    f32::from_bits(0x3EAA_AAAA),
];

/// The bits of sqrt(1/2).
pub(super) const SQRT_HALF_BITS: i32 = 0x3F35_04F3;
/// ln(2), its upper 9 bits: `n * LN2_HIGH` is exact.
pub(super) const LN2_HIGH: f32 = 0.693_359_4;
/// ln(2) - [`LN2_HIGH`].
pub(super) const LN2_LOW: f32 = -2.121_944_4e-4;
/// What a subnormal is multiplied by, and the exponent of it.
pub(super) const NORMALISE: (f32, f32) = (16_777_216.0, -24.0);

/// The natural logarithm: NaN below 0, -infinity at 0.
pub(crate) fn ln(x: f32) -> f32 {
    if x == f32::INFINITY {
        return x;
    }
    if x == 0.0 {
        return f32::NEG_INFINITY;
    }
    if x.is_nan() || x < 0.0 {
        return crate::lanes::CANONICAL_NAN;
    }
    let (x, shift) = if x < f32::MIN_POSITIVE { (x * NORMALISE.0, NORMALISE.1) } else { (x, 0.0) };
    let bits = x.to_bits().cast_signed();
    let exponent = (bits - SQRT_HALF_BITS) >> 23;
    let f = f32::from_bits((bits - (exponent << 23)).cast_unsigned()) - 1.0;
    #[expect(clippy::cast_precision_loss, reason = "at most 151 in magnitude")]
    let n = exponent as f32 + shift;
    let z = f * f;
    let p = LN[1..].iter().fold(LN[0], |p, c| p.mul_add(f, *c));
    let y = (f * z).mul_add(p, n * LN2_LOW);
    let y = z.mul_add(-0.5, y);
    n.mul_add(LN2_HIGH, f + y)
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

/// `e^x`; degree 7: at most 0.993 ULP from the exact value over all floats. A NaN keeps its bits.
pub(crate) fn exp<const D: usize>(x: f32) -> f32 {
    let (p, n) = exp_parts::<D>(x.clamp(EXP_RANGE.0, EXP_RANGE.1));
    scale(p, n)
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
