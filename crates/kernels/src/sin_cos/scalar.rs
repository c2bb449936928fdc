//! Sine and cosine, one element at a time: what the other files must equal.

/// 2/pi.
pub(super) const QUARTERS: f32 = f32::from_bits(0x3F22_F983);
/// pi/2 in three parts of 24 bits (Cody and Waite 1980).
pub(super) const HALF_PI: [f32; 3] =
    [f32::from_bits(0x3FC9_0FDB), f32::from_bits(0xB33B_BD2E), f32::from_bits(0xA6F7_2CED)];
/// Angles up to this are reduced in f32.
pub(crate) const NEAR: f32 = 131_072.0;

/// sin(r) = r + r^3 P(r^2) for |r| <= 0.79 (Cephes, `sinf.c`): the coefficients of P, the highest power first.
pub(super) const SIN: [f32; 3] =
    [f32::from_bits(0xB94C_A1F9), f32::from_bits(0x3C08_839E), f32::from_bits(0xBE2A_AAA3)];
/// cos(r) = 1 - r^2/2 + r^4 P(r^2), the same.
pub(super) const COS: [f32; 3] =
    [f32::from_bits(0x37CC_F5CE), f32::from_bits(0xBAB6_061A), f32::from_bits(0x3D2A_AAA5)];

/// The bits of 2/pi after the binary point.
const TWO_BY_PI: [u128; 2] =
    [0xA2F9_836E_4E44_1529_FC27_57D1_F534_DDC0, 0xDB62_9599_3C43_9041_FE51_63AB_DEBB_C561];

/// `(r, n)` of a finite `x` beyond [`NEAR`], n modulo 4 (Payne and Hanek 1983).
fn reduce_far(x: f32) -> (f32, i32) {
    // x = m 2^e. Bits of 2/pi above 4 / 2^e make whole turns: of the rest, 128 have two before the point of x 2/pi and more than f32 shows behind it.
    let m = u128::from(x.to_bits() & 0x7F_FFFF | 0x80_0000);
    let shift = (x.to_bits() >> 23).cast_signed() - 150 - 2;
    let [high, low] = TWO_BY_PI;
    let window = match shift {
        1.. => high << shift | low >> (128 - shift),
        _ => high >> -shift,
    };
    let quarters = m.wrapping_mul(window);
    let n = quarters.wrapping_add(1 << 125) >> 126;
    let rest = quarters.wrapping_sub(n << 126).cast_signed();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "two bits, and rounding on purpose"
    )]
    {
        let r = rest as f64 * 2f64.powi(-126) * std::f64::consts::FRAC_PI_2;
        (r as f32, n as i32)
    }
}

/// `(r, n)` with `x = n pi/2 + r` of an x of 0 or more, n modulo 4.
fn reduce(x: f32) -> (f32, i32) {
    if x > NEAR {
        return if x < f32::INFINITY { reduce_far(x) } else { (f32::NAN, 0) };
    }
    let n = (x * QUARTERS).round_ties_even();
    let r = HALF_PI.iter().fold(x, |r, part| n.mul_add(-part, r));
    #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^17")]
    let n = n as i32;
    (r, n)
}

/// `sin(x + quarters pi/2)` of an x of 0 or more.
fn turned(x: f32, quarters: i32) -> f32 {
    let (r, n) = reduce(x);
    let n = n + quarters;
    let z = r * r;
    let value = if n & 1 == 0 {
        let p = SIN[1..].iter().fold(SIN[0], |p, c| p.mul_add(z, *c));
        (p * z).mul_add(r, r)
    } else {
        let p = COS[1..].iter().fold(COS[0], |p, c| p.mul_add(z, *c));
        (p * z).mul_add(z, z.mul_add(-0.5, 1.0))
    };
    if n & 2 == 0 { value } else { -value }
}

/// The sine: -0 of -0, NaN of infinities.
pub(crate) fn sin(x: f32) -> f32 {
    let value = turned(x.abs(), 0);
    if x.is_sign_negative() { -value } else { value }
}

/// The cosine: NaN of infinities.
pub(crate) fn cos(x: f32) -> f32 {
    turned(x.abs(), 1)
}
