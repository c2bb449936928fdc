//! Element formats against exact answers, and what holds for all of them.
//!
//! `golden/minifloats.json` was computed with fractions: every code of every float of up to 8 bits, every tie between neighbours, the limits.

use dyadic_formats::float::{Float, bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use dyadic_formats::{
    Element, EncodeOptions, Encoder, Format, NanPolicy, Overflow, Rounding, StochasticBits,
};
use proptest::prelude::*;
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/minifloats.json")).expect("golden file is JSON")
}

/// The format of a golden name: `ml_dtypes` names, and its manner for the others.
fn of_golden(name: &str) -> Float {
    let name = match name.split_once('_') {
        Some((kind, rest)) if kind.starts_with("ufloat") => format!("u{rest}"),
        Some((kind, rest)) if kind != "float8" => rest.trim_end_matches("fn").to_owned(),
        _ => name.to_owned(),
    };
    match name.parse() {
        Ok(Element::Float(float)) => float,
        other => panic!("{name}: {other:?}"),
    }
}

fn hex_float(text: &str) -> f64 {
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let value = match magnitude {
        "nan" => f64::NAN,
        "inf" => f64::INFINITY,
        _ => {
            let (digits, exponent) = magnitude[2..].split_once('p').unwrap();
            let (whole, fraction) = digits.split_once('.').unwrap();
            let fraction = u64::from_str_radix(&format!("{fraction:0<13}"), 16).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "52 bits")]
            let significand = whole.parse::<f64>().unwrap() + fraction as f64 / 2f64.powi(52);
            significand * 2f64.powi(exponent.parse().unwrap())
        }
    };
    if negative { -value } else { value }
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn options(rounding: Rounding) -> EncodeOptions {
    EncodeOptions { rounding, nan: NanPolicy::Zero, ..EncodeOptions::default() }
}

fn elements() -> Vec<Element> {
    let mut elements: Vec<Element> =
        dyadic_formats::all().map(|(_, format)| format.element).collect();
    let others = [
        "posit8",
        "posit16",
        "posit32",
        "posit8es0",
        "power4a0.5",
        "power4a0.75",
        "khot8k1",
        "naf8k3f2",
        "bnbfp4",
        "bitmod3+3",
        "bitmod4-16",
        "binary8p4se",
        "binary8p1uf",
        "binary6p3ue",
        "binary4p4sf",
        "e4m3ftz",
        "e5m10fnuz",
        "e8m7ftz",
        "uq4.4",
        "q0.8s",
        "q8.-2",
        "int4full",
        "int1full",
        "int32full",
        "uint32",
        "bipolar16",
        "e10m5finite",
        "ue10m6",
    ];
    elements.extend(others.iter().map(|name| name.parse::<Element>().unwrap()));
    elements
}

#[test]
fn every_golden_code_decodes_exactly() {
    let mut codes = 0;
    for (name, format) in
        golden().as_object().unwrap().iter().filter(|(name, _)| !name.starts_with('_'))
    {
        let float = of_golden(name);
        let values = format["decode"].as_array().unwrap();
        assert_eq!(values.len(), 1 << float.bits(), "{name}");
        for (code, value) in (0..).zip(values) {
            let expected = hex_float(value.as_str().unwrap());
            assert!(same(float.decode(code), expected), "{name} {code:#x}");
            codes += 1;
        }
    }
    assert_eq!(codes, 2784);
}

#[test]
fn every_golden_tie_rounds_to_the_even_code() {
    let mut ties = 0;
    for (name, format) in
        golden().as_object().unwrap().iter().filter(|(name, _)| !name.starts_with('_'))
    {
        let float = of_golden(name);
        let encoder = Encoder::new(&float.into(), EncodeOptions::default());
        for tie in format["midpoints"].as_array().unwrap() {
            let value = hex_float(tie[0].as_str().unwrap());
            let winner = u32::try_from(tie[1].as_u64().unwrap()).unwrap();
            assert_eq!(encoder.encode(value, 0).unwrap(), winner, "{name} {value}");
            // The next f64 to either side goes to its own side.
            let values = [value.next_down(), value.next_up()]
                .map(|v| float.decode(encoder.encode(v, 0).unwrap()));
            assert!(values[0] < value && value < values[1], "{name} {value}");
            if float.signed {
                let negative = encoder.encode(-value, 0).unwrap();
                assert!(
                    same(
                        float.decode(negative),
                        if float.has_negative_zero() || winner != 0 {
                            -float.decode(winner)
                        } else {
                            0.0
                        }
                    ),
                    "{name} -{value}"
                );
            }
            ties += 1;
        }
    }
    assert_eq!(ties, 1662);
}

#[test]
fn limits_are_those_of_the_golden_table() {
    for (name, limits) in golden()["_limits"].as_object().unwrap() {
        let float = of_golden(name);
        let number = |key: &str| limits[key].as_f64().unwrap();
        assert_eq!(float.decode(float.max_magnitude()), number("max"), "{name}");
        let overflow = number("overflow_midpoint");
        let ieee = EncodeOptions { overflow: Overflow::Ieee, ..EncodeOptions::default() };
        let encode = |value| Element::Float(float).encode(value, &ieee).unwrap();
        let is_overflow = |code| code != float.max_magnitude();
        let expected_special =
            float.infinity(false).or(float.nan()).unwrap_or(float.max_magnitude());
        let max_is_even = limits["max_code_even"].as_bool().unwrap();
        assert_eq!(max_is_even, float.max_magnitude().is_multiple_of(2));
        if expected_special != float.max_magnitude() {
            assert_eq!(is_overflow(encode(overflow)), !max_is_even, "{name}");
            assert!(!is_overflow(encode(overflow.next_down())), "{name}");
            assert_eq!(encode(overflow.next_up()), expected_special, "{name}");
        }
        let saturated = Element::Float(float).encode(overflow.next_up(), &EncodeOptions::default());
        assert_eq!(saturated.unwrap(), float.max_magnitude(), "{name}");
    }
}

/// The table of conversions that OCP and ONNX give.
#[test]
fn specials_follow_the_saturation_table() {
    let code = |float: Float, value: f64, overflow| {
        Element::Float(float)
            .encode(value, &EncodeOptions { overflow, ..EncodeOptions::default() })
            .unwrap()
    };
    let (saturate, ieee) = (Overflow::Saturate, Overflow::Ieee);
    for (value, fn_sat, fn_ieee, uz_sat, uz_ieee, e5_sat, e5_ieee) in [
        (f64::NAN, 0x7F, 0x7F, 0x80, 0x80, 0x7E, 0x7E),
        (f64::INFINITY, 0x7E, 0x7F, 0x7F, 0x80, 0x7B, 0x7C),
        (f64::NEG_INFINITY, 0xFE, 0x7F, 0xFF, 0x80, 0xFB, 0xFC),
        (1e9, 0x7E, 0x7F, 0x7F, 0x80, 0x7B, 0x7C),
        (-1e9, 0xFE, 0x7F, 0xFF, 0x80, 0xFB, 0xFC),
        (-0.0, 0x80, 0x80, 0x00, 0x00, 0x80, 0x80),
        (-1e-9, 0x80, 0x80, 0x00, 0x00, 0x80, 0x80),
    ] {
        assert_eq!(code(Float::E4M3FN, value, saturate), fn_sat, "{value}");
        assert_eq!(code(Float::E4M3FN, value, ieee), fn_ieee, "{value}");
        assert_eq!(code(Float::E4M3FNUZ, value, saturate), uz_sat, "{value}");
        assert_eq!(code(Float::E4M3FNUZ, value, ieee), uz_ieee, "{value}");
        assert_eq!(code(Float::E5M2, value, saturate), e5_sat, "{value}");
        assert_eq!(code(Float::E5M2, value, ieee), e5_ieee, "{value}");
    }
    // A known fault of onnxruntime 1.30: NaN for finite values in [61440, 65536).
    assert_eq!(code(Float::E5M2, 61440.0, ieee), 0x7C);
    let strict = EncodeOptions { infinity_is_nan: true, ..EncodeOptions::default() };
    assert_eq!(Element::Float(Float::E4M3FNUZ).encode(f64::INFINITY, &strict).unwrap(), 0x80);
    // e8m0 has neither zero nor sign.
    assert_eq!([0.0, -3.0, 1e-40].map(|v| code(Float::E8M0, v, saturate)), [0, 0, 0]);
    assert_eq!([0.0, -3.0, 1e-40].map(|v| code(Float::E8M0, v, ieee)), [0xFF, 0xFF, 0]);
    assert_eq!(code(Float::E8M0, 3.0, saturate), 128);
    assert_eq!(code(Float::E8M0, 6.0, saturate), 130);
}

#[test]
fn nan_follows_the_policy_where_there_is_no_code_for_it() {
    let e2m1: Element = Float::E2M1.into();
    let code = |nan| e2m1.encode(f64::NAN, &EncodeOptions { nan, ..EncodeOptions::default() });
    assert_eq!(code(NanPolicy::Zero).unwrap(), 0);
    assert_eq!(code(NanPolicy::Max).unwrap(), 7);
    let error = code(NanPolicy::Reject).unwrap_err();
    assert_eq!(error.code(), "ERR_NAN");
    assert_eq!(error.to_string(), "element 0 is NaN, which e2m1 cannot hold; choose a NaN policy");
}

#[test]
fn directed_rounding_overflows_as_ieee_says() {
    let code = |rounding, value| {
        let options =
            EncodeOptions { rounding, overflow: Overflow::Ieee, ..EncodeOptions::default() };
        Element::Float(Float::E5M2).encode(value, &options).unwrap()
    };
    assert_eq!([1e9, -1e9].map(|v| code(Rounding::TowardZero, v)), [0x7B, 0xFB]);
    assert_eq!([1e9, -1e9].map(|v| code(Rounding::TowardPositive, v)), [0x7C, 0xFB]);
    assert_eq!([1e9, -1e9].map(|v| code(Rounding::TowardNegative, v)), [0x7B, 0xFC]);
    assert_eq!(code(Rounding::TowardPositive, 57345.0), 0x7C);
    assert_eq!(code(Rounding::TowardZero, f64::INFINITY), 0x7C);
}

#[test]
fn integers_saturate_or_wrap() {
    let int8: Element = "int8full".parse().unwrap();
    let code = |value: f64, overflow| {
        int8.encode(value, &EncodeOptions { overflow, ..EncodeOptions::default() }).unwrap()
    };
    assert_eq!(
        [127.5, 2.5, 3.5, -2.5, -300.0].map(|v| int8.decode(code(v, Overflow::Saturate))),
        [127.0, 2.0, 4.0, -2.0, -128.0]
    );
    assert_eq!(
        [128.0, 127.5, -129.0, 1000.0].map(|v| int8.decode(code(v, Overflow::Wrap))),
        [-128.0, -128.0, 127.0, -24.0]
    );
    let symmetric: Element = "int8".parse().unwrap();
    assert_eq!(
        symmetric.decode(symmetric.encode(-128.0, &EncodeOptions::default()).unwrap()),
        -127.0
    );
    let fixed: Element = "q4.4".parse().unwrap();
    assert_eq!(fixed.decode(fixed.encode(7.97, &EncodeOptions::default()).unwrap()), 7.9375);
    assert_eq!(fixed.decode(0x80), -8.0);
}

#[test]
fn bipolar_integers_have_no_zero() {
    let bipolar: Element = "bipolar2".parse().unwrap();
    assert_eq!([0, 1, 2, 3].map(|code| bipolar.decode(code)), [-3.0, -1.0, 1.0, 3.0]);
    let code = |value: f64| bipolar.encode(value, &EncodeOptions::default()).unwrap();
    assert_eq!([-9.0, -1.9, -0.1, 0.1, 2.1].map(code), [0, 1, 1, 2, 3]);
    let binary: Element = "binary".parse().unwrap();
    assert_eq!([0, 1].map(|code| binary.decode(code)), [-1.0, 1.0]);
}

/// Posits round on the bit string: 2^22 lies between 2^20 and 2^24, and the bit string that ends there is a tie although the value is not the mean.
#[test]
fn posits_round_on_the_bit_string_and_never_to_zero_or_nar() {
    let posit8: Element = "posit8".parse().unwrap();
    let code = |value: f64| posit8.encode(value, &EncodeOptions::default()).unwrap();
    assert_eq!([1e300, 1e-300, -1e300, -1e-300].map(code), [0x7F, 0x01, 0x81, 0xFF]);
    assert_eq!([f64::INFINITY, f64::NAN, 0.0].map(code), [0x80, 0x80, 0]);
    assert_eq!(code(2f64.powi(22)), 0x7E);
    assert_eq!(code(2f64.powi(22).next_up()), 0x7F);
}

/// The fast conversions of [`dyadic_formats::float`] are the generic definition: every tie of f16 and bf16 and its neighbours in f32.
#[test]
fn half_precision_shortcuts_equal_the_generic_definition() {
    let ieee = EncodeOptions { overflow: Overflow::Ieee, ..EncodeOptions::default() };
    let (f16, bf16): (Element, Element) = (Float::F16.into(), Float::BF16.into());
    let (encode_f16, encode_bf16) = (Encoder::new(&f16, ieee), Encoder::new(&bf16, ieee));
    for code in 0..=u16::MAX {
        assert!(same(f16.decode(code.into()), f16_to_f32(code).into()), "{code:#x}");
        assert!(same(bf16.decode(code.into()), bf16_to_f32(code).into()), "{code:#x}");
        for low in [0x0000, 0x0001, 0x0FFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
        {
            let value = f32::from_bits(u32::from(code) << 16 | low);
            assert_eq!(
                encode_f16.encode(value.into(), 0).unwrap(),
                u32::from(f32_to_f16(value)),
                "{value:e}"
            );
            assert_eq!(
                encode_bf16.encode(value.into(), 0).unwrap(),
                u32::from(f32_to_bf16(value)),
                "{value:e}"
            );
        }
    }
}

#[test]
fn every_code_of_every_format_returns_to_its_value_in_every_mode() {
    for element in elements().iter().filter(|element| element.bits() <= 16) {
        for rounding in Rounding::ALL {
            let encoder = Encoder::new(
                element,
                EncodeOptions { overflow: Overflow::Ieee, ..options(rounding) },
            );
            for (code, value) in element.enumerate().filter(|(_, value)| !value.is_nan()) {
                let again = element.decode(encoder.encode(value, u64::from(code)).unwrap());
                // Codes beyond a symmetric range and code 3 of a ternary number are read but never written.
                let in_range = !matches!(
                    element,
                    Element::Int(_)
                        | Element::Fixed(_)
                        | Element::SparseDigits(_)
                        | Element::Ternary
                        | Element::Power(_)
                        | Element::Complex
                ) || again == value;
                let representable = in_range
                    || element
                        .encode(value, &options(Rounding::NearestEven))
                        .is_ok_and(|code| element.decode(code) != value);
                assert!(
                    same(again, value)
                        || (value == 0.0 && again == 0.0)
                        || representable
                            && again != value
                            && matches!(
                                element,
                                Element::Int(_)
                                    | Element::Fixed(_)
                                    | Element::SparseDigits(_)
                                    | Element::Ternary
                                    | Element::Power(_)
                                    | Element::Complex
                            ),
                    "{element} {rounding:?} {code:#x}: {value} {again}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a search through all values of the format.
    #[test]
    fn rounding_is_what_a_search_through_all_values_finds(
        mantissa in -1.0f64..1.0, power in -20i32..20, few_bits in any::<bool>(), index in any::<u64>(),
    ) {
        // Values with few bits are often ties.
        let mantissa = if few_bits { (mantissa * 64.0).round() / 64.0 } else { mantissa };
        let value = mantissa * 2f64.powi(power);
        for element in elements().iter().filter(|e| e.bits() <= 8 && !matches!(e, Element::Posit(_))) {
            let encoder = |rounding| Encoder::new(element, options(rounding));
            let rounded = |rounding| element.decode(encoder(rounding).encode(value, index).unwrap());
            let reachable: Vec<f64> = element.enumerate().map(|(_, v)| v)
                .filter(|v| v.is_finite() && element.decode(encoder(Rounding::NearestEven).encode(*v, 0).unwrap()) == *v).collect();
            let below = reachable.iter().copied().filter(|v| *v <= value).fold(f64::NEG_INFINITY, f64::max);
            let above = reachable.iter().copied().filter(|v| *v >= value).fold(f64::INFINITY, f64::min);
            if below.is_infinite() || above.is_infinite() {
                let end = if below.is_infinite() { above } else { below };
                for rounding in Rounding::ALL {
                    prop_assert_eq!(rounded(rounding), end, "{} {} {:?}", element, value, rounding);
                }
                continue;
            }
            prop_assert_eq!(rounded(Rounding::TowardPositive), above, "{} {}", element, value);
            prop_assert_eq!(rounded(Rounding::TowardNegative), below, "{} {}", element, value);
            if below.abs() != above.abs() {
                let nearer_zero = if below.abs() < above.abs() { below } else { above };
                prop_assert_eq!(rounded(Rounding::TowardZero), nearer_zero, "{} {}", element, value);
            }
            let (down, up) = (value - below, above - value);
            for rounding in [Rounding::NearestEven, Rounding::NearestTiesToZero, Rounding::NearestTiesAway] {
                let error = (rounded(rounding) - value).abs();
                prop_assert_eq!(error, down.min(up), "{} {} {:?}", element, value, rounding);
            }
            for rounding in Rounding::ALL {
                let result = rounded(rounding);
                prop_assert!(result == below || result == above, "{} {} {:?} {}", element, value, rounding, result);
            }
        }
    }

    /// Directed modes mirror each other: RU(−x) = −RD(x).
    #[test]
    fn row_21_directed_modes_mirror_each_other(value in any::<f64>().prop_filter("a number", |v| !v.is_nan())) {
        for element in elements().iter().filter(|e| matches!(e, Element::Float(f) if f.signed)) {
            let rounded = |rounding, value| element.decode(element.encode(value, &options(rounding)).unwrap());
            prop_assert_eq!(rounded(Rounding::TowardPositive, -value), -rounded(Rounding::TowardNegative, value));
        }
    }

    #[test]
    fn wide_formats_round_to_a_neighbour(value in -1e9f64..1e9) {
        for name in ["int32full", "uint32", "posit32", "f32", "tf32", "q16.16"] {
            let element: Element = name.parse().unwrap();
            let code = |rounding| element.encode(value, &options(rounding)).unwrap();
            let (down, up) = (element.decode(code(Rounding::TowardNegative)), element.decode(code(Rounding::TowardPositive)));
            let clamped = value.clamp(element.decode(element.encode(-1e30, &options(Rounding::NearestEven)).unwrap()),
                element.decode(element.encode(1e30, &options(Rounding::NearestEven)).unwrap()));
            prop_assert!(down <= clamped && clamped <= up, "{} {}", name, value);
            if name == "f32" {
                #[expect(clippy::cast_possible_truncation, reason = "the rounding under test")]
                let expected = value as f32;
                prop_assert_eq!(code(Rounding::NearestEven), expected.to_bits());
            }
        }
    }
}

/// The mean of many draws is the value: within 5 standard errors.
#[test]
fn stochastic_rounding_is_unbiased() {
    let e4m3: Element = Float::E4M3FN.into();
    for (i, value) in [1.03, -0.003, 200.7, 0.0001, 17.9].into_iter().enumerate() {
        let draws = 4096u32;
        let options = EncodeOptions {
            seed: 40 + i as u64,
            ..options(Rounding::Stochastic(StochasticBits::default()))
        };
        let encoder = Encoder::new(&e4m3, options);
        let results: Vec<f64> =
            (0..draws).map(|i| e4m3.decode(encoder.encode(value, i.into()).unwrap())).collect();
        let mean = results.iter().sum::<f64>() / f64::from(draws);
        let step = results.iter().copied().fold(f64::MIN, f64::max)
            - results.iter().copied().fold(f64::MAX, f64::min);
        let error = step * 0.5 / f64::from(draws).sqrt();
        assert!((mean - value).abs() < 5.0 * error, "{value}: {mean}");
    }
}

/// Chi-square of the counts of rounding up at 63 distances, 63 degrees of freedom.
#[test]
fn row_21_the_probability_of_rounding_up_is_the_distance() {
    let int8: Element = "int8".parse().unwrap();
    let options =
        EncodeOptions { seed: 3, ..options(Rounding::Stochastic(StochasticBits::default())) };
    let encoder = Encoder::new(&int8, options);
    let draws = 4096u32;
    let mut chi_square = 0.0;
    for distance in 1..64u32 {
        let probability = f64::from(distance) / 64.0;
        let ups = (0..draws)
            .filter(|i| {
                encoder.encode(5.0 + probability, u64::from(distance * draws + i)).unwrap() == 6
            })
            .count();
        let expected = probability * f64::from(draws);
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let difference = ups as f64 - expected;
        chi_square += difference * difference / (expected * (1.0 - probability));
    }
    // 63 ± 5 √126.
    assert!((63.0 - 56.1..63.0 + 56.1).contains(&chi_square), "{chi_square}");
}

/// With r random bits R, the number of R that round up is exactly what the definition says.
#[test]
fn few_random_bits_behave_as_defined() {
    use dyadic_formats::Remainder;
    let int8: Element = "int8".parse().unwrap();
    let ups = |remainder, distance: f64| {
        let bits = StochasticBits { count: 4, remainder };
        let encoder =
            Encoder::new(&int8, EncodeOptions { seed: 9, ..options(Rounding::Stochastic(bits)) });
        let draws = 1u32 << 14;
        let ups =
            (0..draws).filter(|i| encoder.encode(distance, (*i).into()).unwrap() == 1).count();
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let share = ups as f64 / f64::from(draws) * 16.0;
        share
    };
    // d = 5.75 / 16: dropped 5, centred 5.5 + 0.5 -> 6, nearest 6.
    let d = 5.75 / 16.0;
    assert!((ups(Remainder::Drop, d) - 5.0).abs() < 0.2);
    assert!((ups(Remainder::Centre, d) - 6.0).abs() < 0.2);
    assert!((ups(Remainder::NearestEven, d) - 6.0).abs() < 0.2);
    let tie = 4.5 / 16.0;
    assert!((ups(Remainder::NearestEven, tie) - 4.0).abs() < 0.2);
    assert!((ups(Remainder::NearestTiesToOdd, tie) - 5.0).abs() < 0.2);
}

#[test]
fn names_are_read_back_as_the_same_format() {
    for element in elements() {
        assert_eq!(element.to_string().parse::<Element>().unwrap(), element);
    }
    for (name, format) in dyadic_formats::all() {
        assert_eq!(Format::parse(&name).unwrap(), format, "{name}");
        assert_eq!(Format::parse(&format.to_string()).unwrap(), format, "{name} {format}");
    }
}
