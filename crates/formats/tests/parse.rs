//! Format strings: what they mean and what is said of those that mean nothing.

use dyadic_formats::float::Float;
use dyadic_formats::int::Int;
use dyadic_formats::{Element, Format, GgufType, Granularity, ScaleRule, Storage, Zero};
use proptest::prelude::*;

fn message(text: &str) -> String {
    let error = Format::parse(text).unwrap_err();
    assert_eq!(error.code(), "ERR_FORMAT_SYNTAX");
    error.to_string()
}

#[test]
fn the_grammar_of_the_documentation() {
    let format = Format::parse("int4:g128:f16").unwrap();
    assert_eq!(format.element, Element::Int(Int::symmetric(4)));
    let scale = format.scale.unwrap();
    assert_eq!(scale.element, Float::F16.into());
    assert_eq!((scale.granularity, scale.rule), (Granularity::Group(128), ScaleRule::MaxMagnitude));
    assert_eq!(format.zero, Zero::None);

    let format = Format::parse("int4:g128:f16:zp").unwrap();
    assert_eq!((&format.element, &format.zero), (&Int::unsigned(4).into(), &Zero::Point));
    assert_eq!(format, Format::parse("uint4:g128:f16").unwrap());

    assert_eq!(Format::parse("e4m3fn").unwrap(), Format::plain(Float::E4M3FN.into()));
    assert_eq!(Format::parse("float8_e4m3fn").unwrap(), Format::parse("e4m3fn").unwrap());
    assert_eq!(Format::parse("int16:none").unwrap(), Format::plain(Int::symmetric(16).into()));
    let scale = Format::parse("e4m3fn:channel").unwrap().scale.unwrap();
    assert_eq!((scale.element, scale.granularity), (Float::F32.into(), Granularity::Channel));
    let scale = Format::parse("e2m1:g16:ue5m3").unwrap().scale.unwrap();
    assert_eq!((scale.element, scale.rule), (Float::UE5M3.into(), ScaleRule::MaxMagnitude));
    let scale = Format::parse("nvfp4:16x16").unwrap().scale.unwrap();
    assert_eq!(scale.granularity, Granularity::Block { rows: 16, columns: 16 });
    assert_eq!(Format::parse("mxfp4:even").unwrap().scale.unwrap().rule, ScaleRule::Even);
    assert_eq!(Format::parse("e2m1:g32:e8m0").unwrap(), Format::parse("mxfp4").unwrap());
    assert_eq!(Format::parse("q4_k").unwrap().storage, Storage::Gguf(GgufType::Q4_K));
}

#[test]
fn bits_per_element_are_those_of_the_tables() {
    for (text, bits) in [
        ("mxfp8_e4m3", 8.25),
        ("mxfp6_e3m2", 6.25),
        ("mxfp4", 4.25),
        ("mxint8", 8.25),
        ("nvfp4", 4.5),
        ("nf4", 4.5),
        ("nf4dq", 4.126_953_125),
        ("bitmod3", 3.140_625),
        ("int4:g32:f16", 4.5),
        ("int4:g128:f16", 4.125),
        ("int4:g128:f16:zp", 4.156_25),
        ("int4:g32:f16:min", 5.0),
        ("bfp12", 4.25),
        ("bfp12:g128", 4.0625),
        ("msfp16", 8.5),
        ("nvfp4:16x16", 4.031_25),
        ("w2mix", 2.84375),
        ("w2mix0", 2.34375),
        ("ternary", 2.0),
        ("binary", 1.0),
        ("e4m3fn", 8.0),
        ("int8", 8.0),
        ("int5:none", 5.0),
        ("q4_0", 4.5),
        ("q4_1", 5.0),
        ("q5_0", 5.5),
        ("q5_1", 6.0),
        ("q8_0", 8.5),
        ("q2_k", 2.625),
        ("q3_k", 3.4375),
        ("q4_k", 4.5),
        ("q5_k", 5.5),
        ("q6_k", 6.5625),
        ("iq4_nl", 4.5),
        ("iq4_xs", 4.25),
        ("tq1_0", 1.6875),
        ("tq2_0", 2.0625),
        ("gguf_mxfp4", 4.25),
        ("gguf_nvfp4", 4.5),
        ("q1_0", 1.125),
        ("q2_0", 2.25),
    ] {
        assert_eq!(Format::parse(text).unwrap().bits_per_element(), bits, "{text}");
    }
}

/// The descriptor of a GGUF type says the same as its record, but for `TQ1_0`, which packs five digits into a byte, and `NVFP4`, which keeps 7-bit
/// scales in bytes.
#[test]
fn descriptors_of_gguf_types_add_up_to_their_records() {
    let same = |t: &GgufType| !matches!(t, GgufType::TQ1_0 | GgufType::NVFP4);
    for block_type in GgufType::ALL.into_iter().filter(same) {
        let Some(format) = Format::gguf(block_type) else { continue };
        let planar = Format { storage: Storage::Planar, ..format.clone() };
        assert_eq!(planar.bits_per_element(), format.bits_per_element(), "{block_type}");
    }
}

#[test]
fn errors_say_what_was_understood() {
    assert!(
        message("e4m3fm")
            .starts_with("unknown format 'e4m3fm': did you mean 'e4m3fn'? An element is intN")
    );
    assert!(
        message("int4:g128:f61")
            .starts_with("understood 'int4', groups of 128, but not 'f61': expected gN")
    );
    assert_eq!(
        message("q4_0:g64"),
        "understood 'q4_0', but not 'g64': the groups and scales of a GGUF type are fixed"
    );
    assert_eq!(
        message("nf4:zp"),
        "understood 'nf4', but not 'zp': only integers have a zero point or a minimum"
    );
    assert_eq!(
        message("int4:g32:g64"),
        "understood 'int4', groups of 32, but not 'g64': this part has been said already"
    );
    assert_eq!(
        message("int4:g32:none"),
        "understood 'int4', groups of 32, no scales, but not 'none': groups, rules and zero points need a scale"
    );
    assert_eq!(
        message("int4:even"),
        "understood 'int4', scale rule 'even', but not 'rule': only e8m0 scales have a rule"
    );
    for text in [
        "",
        ":",
        "int0",
        "int33",
        "uint",
        "e11m2",
        "e4m3b9999",
        "g32",
        "int4:g0",
        "int4:g-1",
        "int4:0x4",
        "posit64",
        "power4a2",
        "q200.1",
        "e4m3fnfn",
        "q4_0:",
        "bipolar17",
        "khot8",
        "codebook",
        "e8m0ieee",
    ] {
        assert!(Format::parse(text).is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in "(\\PC{0,24}|[a-z0-9]{1,9}(:[a-z0-9.x-]{1,6}){0,4})") {
        if let Ok(format) = Format::parse(&text) {
            prop_assert_eq!(Format::parse(&format.to_string()).unwrap(), format);
        }
    }

    #[test]
    fn floats_of_any_fields_have_names(
        exponent_bits in 0u8..=10, mantissa_bits in 0u8..=23, signed in any::<bool>(), bias in -40i32..600, special in 0usize..8, sub in 0usize..3,
    ) {
        use dyadic_formats::float::{NonFinite as N, Subnormals as S};
        let specials = [N::Ieee, N::AllOnes, N::NegativeZero, N::NegativeZeroAndInfinity, N::Top, N::TopAndInfinity, N::None];
        let subnormals = [S::Gradual, S::Flushed, S::Absent][sub];
        let Some(float) = Float::new(exponent_bits, mantissa_bits, signed, specials.get(special).copied()) else { return Ok(()) };
        for float in [float, Float { subnormals, ..float }, Float { bias, ..float }] {
            if float.is_valid() {
                let element = Element::Float(float);
                prop_assert_eq!(element.to_string().parse::<Element>().unwrap(), element);
            }
        }
    }
}
