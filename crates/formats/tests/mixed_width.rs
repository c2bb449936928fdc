//! The records of `w2mix`: layout, edges, hostile bytes.

use dyadic_formats::{EncodeOptions, Format, FormatError, MixedWidth, NanPolicy};
use proptest::prelude::*;

const LEN: usize = MixedWidth::ELEMENTS;

fn w2mix() -> Format {
    Format::parse("w2mix").unwrap()
}

/// Two wide groups with every code of 4 bits, the others with codes of 2 bits, written and read by hand.
#[test]
fn the_record_is_laid_out_as_documented() {
    let mixed = MixedWidth::new(2).unwrap();
    assert_eq!(mixed.record_bytes(), 22 + 128 + 8);
    let mut record = vec![0u8; mixed.record_bytes()];
    record[..2].copy_from_slice(&0x3800u16.to_le_bytes()); // s = 0.5
    record[2..6].copy_from_slice(&(1u32 << 31 | 1 << 1).to_le_bytes());
    record[6] = 0x32; // c = 2 of group 0, 3 of group 1
    record[21] = 0xF0; // c = 15 of group 31
    record[22] = 0b11_10_01_00; // group 0 begins with −3, −1, 1, 3
    let wide_at = 22 + 30 * 4;
    for i in 0..8u8 {
        record[wide_at + usize::from(i)] = (2 * i) | ((2 * i + 1) << 4); // group 1: 0 to 15
    }
    record[wide_at + 15] = 0xF0; // the last element of group 31
    let mut out = vec![0.0; LEN];
    mixed.decode(&record, &mut out).unwrap();
    assert_eq!(out[..5], [-3.0, -1.0, 1.0, 3.0, -3.0]);
    let expected: Vec<f32> = (0..16u8).map(|q| 1.5 * (2.0 * f32::from(q) - 15.0) / 4.0).collect();
    assert_eq!(out[16..32], expected);
    assert_eq!(out[LEN - 2..], [-7.5 * 3.75, 7.5 * 3.75]);
    assert!(out[32..LEN - 16].iter().all(|&value| value == 0.0), "scales of 0");
}

#[test]
fn zeros_stay_zeros_and_what_is_not_finite_is_refused() {
    let format = w2mix();
    let zeros = format.quantize(&[0.0; LEN], 1, LEN, &EncodeOptions::default()).unwrap();
    let mut out = [1.0; LEN];
    zeros.dequantize(&mut out).unwrap();
    assert_eq!(out, [0.0; LEN]);
    let mut values = [0.1f32; LEN];
    values[77] = f32::NAN;
    let error = format.quantize(&values, 1, LEN, &EncodeOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "element 77 is NaN, which w2mix cannot hold; choose a NaN policy"
    );
    let options = EncodeOptions { nan: NanPolicy::Max, ..EncodeOptions::default() };
    format.quantize(&values, 1, LEN, &options).unwrap().dequantize(&mut out).unwrap();
    assert!(out.iter().all(|value| value.is_finite()));
}

#[test]
fn partial_records_and_wrong_bytes_are_refused() {
    let error = w2mix().quantize(&[0.0; 512], 2, 256, &EncodeOptions::default()).unwrap_err();
    assert_eq!(
        error,
        FormatError::PartialBlock { format: "w2mix".to_owned(), block: 512, elements: 256 }
    );
    let mixed = MixedWidth::QUARTER;
    assert!(mixed.decode(&[0; 181], &mut [0.0; LEN]).is_err());
    // No group is marked as wide.
    let error = mixed.decode(&[0; 182], &mut [0.0; LEN]).unwrap_err();
    assert_eq!(error.code(), "ERR_SHAPE");
    assert_eq!(MixedWidth::new(33), None);
    assert!(Format::parse("w2mix33").is_err());
    assert_eq!(
        Format::parse("w2mix:g32").unwrap_err().to_string(),
        "understood 'w2mix', but not 'g32': the groups and scales of w2mix are fixed"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Any bits are taken, and any number of wide groups is worth its bits.
    #[test]
    fn any_values_survive_and_more_wide_groups_never_lose(bits in prop::collection::vec(any::<u32>(), LEN), wide in 0u8..32) {
        let values: Vec<f32> = bits.iter().map(|b| f32::from_bits(b & 0xBFFF_FFFF)).collect();
        let noise = |wide| {
            let format = Format::mixed_width(MixedWidth::new(wide).unwrap());
            prop_assert_eq!(&Format::parse(&format.to_string()).unwrap(), &format);
            Ok(format.analyse(&values, 1, LEN, &EncodeOptions::default()).unwrap().total.noise)
        };
        prop_assert!(noise(wide + 1)? <= noise(wide)?);
    }
}
