//! Every float of at most 8 bits against a walk along its values: encoding rises with its argument, so the codes of all f32 follow from the values and
//! the middles between them. (The kernels are compared with the definition on the same f32 in `dyadic-kernels`.)

use dyadic_formats::float::{Float, NonFinite};
use dyadic_formats::{Element, EncodeOptions, Encoder};

const NON_FINITE: [NonFinite; 7] = [
    NonFinite::Ieee,
    NonFinite::AllOnes,
    NonFinite::NegativeZero,
    NonFinite::NegativeZeroAndInfinity,
    NonFinite::Top,
    NonFinite::TopAndInfinity,
    NonFinite::None,
];

/// All splits of 2 to 8 bits, signed and not, with every kind of codes that are no numbers.
fn floats() -> Vec<Float> {
    let mut floats = Vec::new();
    for signed in [true, false] {
        for exponent_bits in 1..=8 {
            for mantissa_bits in 0..=8u8.saturating_sub(exponent_bits + u8::from(signed)) {
                let kinds = NON_FINITE.into_iter().map(Some);
                let kinds =
                    kinds.map(|kind| Float::new(exponent_bits, mantissa_bits, signed, kind));
                floats.extend(kinds.flatten().filter(|float| float.bits() <= 8));
            }
        }
    }
    floats
}

/// Encodes every f32 whose low `zero_bits` bits are 0 in each float, and returns how many numbers that were.
fn walk(floats: &[Float], zero_bits: u32) -> u64 {
    let mut numbers = 0;
    for float in floats {
        let encoder = Encoder::new(&Element::Float(*float), EncodeOptions::default());
        for negative in [false, true] {
            let sign = u32::from(negative) << 31;
            let mut magnitude = 0;
            for bits in (0..0x7F80_0000u32).step_by(1 << zero_bits) {
                let value = f64::from(f32::from_bits(bits | sign));
                while magnitude < float.max_magnitude() {
                    let (below, above) = (float.decode(magnitude), float.decode(magnitude + 1));
                    let middle = f64::midpoint(below, above);
                    // Of two equally near numbers the one with the even code.
                    let goes_on =
                        value.abs() > middle || value.abs() == middle && magnitude % 2 == 1;
                    if !goes_on {
                        break;
                    }
                    magnitude += 1;
                }
                let expected = match (negative, float.signed) {
                    (false, _) => magnitude,
                    // Below 0 there is nothing.
                    (true, false) => 0,
                    (true, true) if magnitude == 0 && !float.has_negative_zero() => 0,
                    (true, true) => magnitude | 1 << (float.bits() - 1),
                };
                assert_eq!(encoder.encode(value, 0), Ok(expected), "{float:?} {value:e}");
                numbers += 1;
            }
        }
    }
    numbers
}

/// All ties are among these numbers: they have at most eight significant bits, but those of an unsigned float of seven mantissa bits.
#[test]
fn every_small_float_is_encoded_as_a_walk_along_its_values_says() {
    let floats = floats();
    assert_eq!(floats.len(), 299);
    assert_eq!(walk(&floats, 16), 299 * 0xFF00);
}

#[test]
#[ignore = "16.7 million numbers in each of 20 formats"]
fn every_listed_small_float_is_encoded_so_on_16_million_numbers() {
    let floats: Vec<Float> = dyadic_formats::names()
        .filter_map(|name| match name.parse() {
            Ok(Element::Float(float)) if float.bits() <= 8 => Some(float),
            _ => None,
        })
        .collect();
    assert_eq!(floats.len(), 20);
    assert_eq!(walk(&floats, 8), 20 * 0xFF_0000);
}
