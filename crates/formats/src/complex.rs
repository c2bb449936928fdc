//! The four units of the Gaussian integers as weights (iFairy): code k is i^k.

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

/// 1, i, −1, −i for the codes 0 to 3; bits above these are ignored.
#[must_use]
pub fn decode(code: u32) -> Complex {
    let (re, im) = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][code as usize & 3];
    Complex { re, im }
}

/// The code of the unit of nearest phase: [−π/4, π/4) is 1, [π/4, 3π/4) is i, [−3π/4, −π/4) is −i, the rest −1. Zero, of any sign, is 1.
///
/// Decided by comparing the parts, so exactly.
#[must_use]
pub fn encode(value: Complex) -> u32 {
    let Complex { re, im } = value;
    if re > 0.0 && -re <= im && im < re || re == 0.0 && im == 0.0 {
        0
    } else if im > 0.0 && -im < re && re <= im {
        1
    } else if im < 0.0 && im <= re && re < -im {
        3
    } else {
        2
    }
}

/// The scales of a tensor of complex weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComplexScales {
    /// The mean magnitude of the real parts of the values that became ±1.
    pub re: f32,
    /// The mean magnitude of the imaginary parts of the values that became ±i.
    pub im: f32,
}

/// The least scale, as in the paper's code.
const MIN_SCALE: f64 = 1e-5;

/// Rounds complex weights to units with two scales; `codes` has the length of `values`.
///
/// # Panics
/// Where the lengths differ.
pub fn quantize(values: &[Complex], codes: &mut [u8]) -> ComplexScales {
    assert_eq!(values.len(), codes.len(), "one code a value");
    let mut sums = [0.0f64; 2];
    let mut counts = [0u32; 2];
    for (value, code) in values.iter().zip(codes) {
        let unit = encode(*value);
        *code = unit.to_le_bytes()[0];
        let imaginary = unit as usize & 1;
        sums[imaginary] += if imaginary == 1 { value.im.abs() } else { value.re.abs() };
        counts[imaginary] += 1;
    }
    let mean = |k: usize| {
        let mean = if counts[k] == 0 { 0.0 } else { sums[k] / f64::from(counts[k]) };
        #[expect(clippy::cast_possible_truncation, reason = "rounds")]
        let scale = mean.max(MIN_SCALE) as f32;
        scale
    };
    ComplexScales { re: mean(0), im: mean(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 54 of the papers.
    #[test]
    fn row_54_the_eight_boundary_phases_go_where_the_half_open_intervals_say() {
        let c = |re, im| encode(Complex { re, im });
        assert_eq!([c(1.0, 0.0), c(0.0, 1.0), c(-1.0, 0.0), c(0.0, -1.0)], [0, 1, 2, 3]);
        // π/4 is i, 3π/4 is −1, −3π/4 is −i, −π/4 is 1.
        assert_eq!([c(1.0, 1.0), c(-1.0, 1.0), c(-1.0, -1.0), c(1.0, -1.0)], [1, 2, 3, 0]);
        assert_eq!([c(0.0, 0.0), c(-1.0, -0.0), c(-1.0, f64::NAN)], [0, 2, 2]);
    }

    #[test]
    fn scales_are_means_over_their_own_entries() {
        let values =
            [(3.0, 1.0), (-5.0, 2.0), (0.5, 2.0), (0.0, -6.0)].map(|(re, im)| Complex { re, im });
        let mut codes = [9; 4];
        assert_eq!(quantize(&values, &mut codes), ComplexScales { re: 4.0, im: 4.0 });
        assert_eq!(codes, [0, 2, 1, 3]);
        assert_eq!(quantize(&[], &mut []), ComplexScales { re: 1e-5, im: 1e-5 });
    }
}
