//! Every kernel equals the definition of `dyadic-formats` and, by way of its scalar kernel, every other.

use dyadic_formats::float::Float;
use dyadic_formats::random::RandomKey;
use dyadic_formats::{
    Element, EncodeOptions, Encoder, Format, NanPolicy, Overflow, Rounding, StochasticBits,
};
use dyadic_testkit::cases::{SPECIAL_F32, lengths};
use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, ulp};

use super::codec::FLOATS;
use super::*;
use crate::isa::Isa;
use crate::registry::Kernels;

/// Numbers of all magnitudes that the formats know, with ties among them, and every special value.
fn values(len: usize, rng: &mut Rng) -> Vec<f32> {
    (0..len)
        .map(|_| match rng.below(8) {
            0 => rng.any_f32(),
            1 => SPECIAL_F32[rng.below(SPECIAL_F32.len())],
            // Few mantissa bits: often a tie.
            2 | 3 => f32::from_bits((rng.next_u32() & 0x807F_8000) % 0x0A00_0000 + 0x3A00_0000),
            4 => rng.normal() * 1e-3,
            _ => rng.normal() * 50.0,
        })
        .collect()
}

fn max_policy() -> EncodeOptions {
    EncodeOptions { nan: NanPolicy::Max, ..EncodeOptions::default() }
}

/// All 16.7 million f32 whose low 8 bits are 0, through every float of at most 8 bits: kernels equal the scalar one, and that equals the definition on
/// every eighth of them, which still has all ties.
#[test]
fn every_float_is_encoded_as_defined() {
    let chunk = 1u32 << 16;
    let mut x = vec![0.0; chunk as usize];
    let (mut expected, mut actual) = (vec![0; chunk as usize], vec![0; chunk as usize]);
    for (op, (name, float)) in OPS_ENCODE.iter().zip(FLOATS) {
        assert_eq!(op.name, format!("encode_{name}"));
        let encoder = Encoder::new(&Element::Float(float), max_policy());
        for first in (0..1u32 << 24).step_by(chunk as usize) {
            for (i, x) in (first..).zip(&mut x) {
                *x = f32::from_bits(i << 8);
            }
            for kernel in op.supported() {
                let codes = if kernel.isa == Isa::Scalar { &mut expected } else { &mut actual };
                // SAFETY: the CPU supports the kernel, and the lengths are equal.
                unsafe { (kernel.function)(&x, codes) };
                if kernel.isa == Isa::Scalar {
                    for (x, code) in x.iter().zip(&expected).step_by(8) {
                        assert_eq!(
                            u32::from(*code),
                            encoder.encode((*x).into(), 0).unwrap(),
                            "{name} {x:e}"
                        );
                    }
                } else {
                    assert_eq!(actual, expected, "{} from {first:#x}", kernel.name);
                }
            }
        }
    }
}

#[test]
fn every_code_is_decoded_as_defined() {
    for (op, (_, float)) in OPS_DECODE.iter().zip(FLOATS) {
        let codes: Vec<u8> =
            (0..=255u8).filter(|code| u32::from(*code) < 1 << float.bits()).collect();
        for kernel in op.supported() {
            let mut out = vec![0.0; codes.len()];
            // SAFETY: the CPU supports the kernel, and the lengths are equal.
            unsafe { (kernel.function)(&codes, &mut out) };
            for (code, value) in codes.iter().zip(out) {
                let expected = float.decode((*code).into()) as f32;
                let expected =
                    if expected.is_nan() { crate::lanes::CANONICAL_NAN } else { expected };
                assert_eq!(value.to_bits(), expected.to_bits(), "{} {code:#x}", kernel.name);
            }
        }
    }
}

#[test]
fn element_kernels_keep_to_their_slices() {
    let mut rng = Rng::new(1);
    for len in lengths() {
        let x = values(len, &mut rng);
        for flush in Flush::BOTH {
            let x = Guarded::new(&x, flush);
            for op in &OPS_ENCODE {
                let mut codes = Vec::new();
                for kernel in op.supported() {
                    let mut out = Guarded::filled(7u8, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&x, &mut out) };
                    codes.push(out.to_vec());
                }
                assert!(codes.windows(2).all(|pair| pair[0] == pair[1]), "{} of {len}", op.name);
            }
            let codes: Vec<u8> = (0..len).map(|_| rng.next_u8() & 15).collect();
            let codes = Guarded::new(&codes, flush);
            for op in &OPS_DECODE {
                let mut expected = vec![0.0; len];
                for kernel in op.supported() {
                    let mut out = Guarded::filled(7.0f32, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&codes, &mut out) };
                    if kernel.isa == Isa::Scalar {
                        expected.copy_from_slice(&out);
                    }
                    ulp::assert_same_bits(&out, &expected, kernel.name);
                }
            }
        }
    }
}

#[test]
fn random_rounding_is_that_of_the_definition() {
    let mut rng = Rng::new(2);
    let key = RandomKey::new(99, 0);
    for len in lengths() {
        let x = values(len, &mut rng);
        for (op, (_, float)) in OPS_ENCODE_RANDOM.iter().zip(FLOATS) {
            let options = EncodeOptions {
                rounding: Rounding::Stochastic(StochasticBits::default()),
                seed: 99,
                ..max_policy()
            };
            let encoder = Encoder::new(&Element::Float(float), options);
            let expected: Vec<u8> = (1000u64..)
                .zip(&x)
                .map(|(index, x)| {
                    u8::try_from(encoder.encode((*x).into(), index).unwrap()).unwrap()
                })
                .collect();
            for kernel in op.supported() {
                for flush in Flush::BOTH {
                    let x = Guarded::new(&x, flush);
                    let mut out = Guarded::filled(7u8, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&x, key, 1000, &mut out) };
                    for (i, (actual, expected)) in out.iter().zip(&expected).enumerate() {
                        assert_eq!(actual, expected, "{} {:e}", kernel.name, x[i]);
                    }
                }
            }
        }
    }
}

#[test]
fn halves_are_converted_as_defined() {
    use dyadic_formats::float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
    let codes: Vec<u16> = (0..=u16::MAX).collect();
    let mut x: Vec<f32> = (0..1u32 << 20).map(|i| f32::from_bits(i << 12 | i & 1)).collect();
    x.extend_from_slice(&SPECIAL_F32);
    let mut out = vec![0.0; codes.len()];
    let mut halves = vec![0; x.len()];
    for (op, decode) in [(&F16_TO_F32, f16_to_f32 as fn(u16) -> f32), (&BF16_TO_F32, bf16_to_f32)] {
        let expected: Vec<f32> = codes.iter().map(|code| decode(*code)).collect();
        for kernel in op.supported() {
            // SAFETY: the CPU supports the kernel, and the lengths are equal.
            unsafe { (kernel.function)(&codes, &mut out) };
            ulp::assert_same_bits(&out, &expected, kernel.name);
        }
    }
    for (op, encode) in [(&F32_TO_F16, f32_to_f16 as fn(f32) -> u16), (&F32_TO_BF16, f32_to_bf16)] {
        let expected: Vec<u16> = x.iter().map(|x| encode(*x)).collect();
        for kernel in op.supported() {
            // SAFETY: the CPU supports the kernel, and the lengths are equal.
            unsafe { (kernel.function)(&x, &mut halves) };
            assert_eq!(halves, expected, "{}", kernel.name);
        }
    }
    for len in lengths() {
        for flush in Flush::BOTH {
            let (x, codes) = (Guarded::new(&x[..len], flush), Guarded::new(&codes[..len], flush));
            let mut halves = Guarded::filled(0u16, len, flush);
            let mut out = Guarded::filled(0.0f32, len, flush);
            for isa in Isa::supported() {
                let kernels = Kernels::for_isa(isa).unwrap();
                kernels.f32_to_f16(&x, &mut halves);
                kernels.f32_to_bf16(&x, &mut halves);
                kernels.f16_to_f32(&codes, &mut out);
                kernels.bf16_to_f32(&codes, &mut out);
            }
        }
    }
}

#[test]
fn packing_is_that_of_the_definition() {
    let mut rng = Rng::new(3);
    for len in lengths() {
        let codes: Vec<u8> = (0..len).map(|_| rng.next_u8()).collect();
        for bits in 1..=7u32 {
            let wide: Vec<u32> = codes.iter().map(|code| (*code).into()).collect();
            let mut expected = vec![0; dyadic_formats::pack::packed_len(len, bits).unwrap()];
            dyadic_formats::pack::pack(&wide, bits, &mut expected).unwrap();
            let masked: Vec<u8> = codes.iter().map(|code| code & ((1 << bits) - 1)).collect();
            for flush in Flush::BOTH {
                let (codes, packed) = (Guarded::new(&codes, flush), Guarded::new(&expected, flush));
                for kernel in OPS_PACK[bits as usize - 1].supported() {
                    let mut out = Guarded::filled(0xEEu8, expected.len(), flush);
                    // SAFETY: the CPU supports the kernel, and the lengths fit.
                    unsafe { (kernel.function)(&codes, &mut out) };
                    assert_eq!(*out, *expected, "{} of {len}", kernel.name);
                }
                for kernel in OPS_UNPACK[bits as usize - 1].supported() {
                    let mut out = Guarded::filled(0xEEu8, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths fit.
                    unsafe { (kernel.function)(&packed, &mut out) };
                    assert_eq!(*out, *masked, "{} of {len}", kernel.name);
                }
            }
        }
    }
}

/// Formats with a kernel, of every codec and rule.
const FORMATS: [&str; 34] = [
    "mxfp8_e4m3",
    "mxfp8_e5m2",
    "mxfp6_e2m3",
    "mxfp6_e3m2",
    "mxfp4",
    "mxint8",
    "nvfp4",
    "nf4",
    "af4",
    "nf4:g128:f16",
    "int2:g16:f16",
    "int3:g24:bf16",
    "int4:g32:f16",
    "int4:g128:f16",
    "int5:g64:f32",
    "int6:channel",
    "int7:g40:f16",
    "int8:tensor",
    "int8:g128:f16",
    "int4:channel:f16",
    "e4m3fn:tensor",
    "e5m2:channel:bf16",
    "e2m1:g128:f16",
    "e4m3fn:g64:f16",
    "f16",
    "bf16",
    "e4m3fn",
    "e5m2",
    "e3m4",
    "e4m3fnuz",
    "e3m2",
    "e2m3",
    "e2m1",
    "e4m3",
];

/// Magnitudes at the ends of the range of scales as well.
fn finite(len: usize, spread: i32, rng: &mut Rng) -> Vec<f32> {
    let scale = 2f32.powi(spread);
    (0..len)
        .map(|i| if i % 97 == 5 { 0.0 } else { rng.normal() * scale })
        .map(|x| x.clamp(-3e38, 3e38))
        .collect()
}

#[test]
fn tensors_are_quantized_as_defined_on_every_instruction_set() {
    let mut rng = Rng::new(4);
    for text in FORMATS {
        let format = Format::parse(text).unwrap();
        let mut with_kernel = 0;
        for (rows, columns) in [
            (1, 16),
            (3, 32),
            (2, 48),
            (5, 72),
            (1, 1000),
            (4, 1024),
            (1, 9000),
            (3, 4100),
            (2, 40),
            (1, 7),
        ] {
            for spread in [0, 5, -3, -60, 90, -126, -140, 127] {
                let x = finite(rows * columns, spread, &mut rng);
                let options = EncodeOptions::default();
                let expected = format.quantize(&x, rows, columns, &options).unwrap();
                let mut decoded = vec![0.0; x.len()];
                expected.dequantize(&mut decoded).unwrap();
                for isa in Isa::supported() {
                    let kernels = Kernels::for_isa(isa).unwrap();
                    let context = format!("{text} {rows} x {columns} 2^{spread} {isa}");
                    let Some(actual) = kernels.quantize(&format, &x, rows, columns, &options)
                    else {
                        continue;
                    };
                    with_kernel += 1;
                    assert_eq!(actual.super_scales, expected.super_scales, "{context}");
                    assert_eq!(actual.scales, expected.scales, "{context}");
                    assert_eq!(actual.codes, expected.codes, "{context}");
                    assert_eq!(actual, expected, "{context}");
                    let mut out = vec![0.0; x.len()];
                    assert!(kernels.dequantize(actual.view(), &mut out), "{context}");
                    ulp::assert_same_bits(&out, &decoded, &context);
                }
            }
        }
        assert!(with_kernel > 100, "{text}: {with_kernel}");
    }
}

/// What kernels do not do the definition does: rounding modes, zero points, values that are not finite.
#[test]
fn kernels_decline_what_they_do_not_do() {
    let kernels = Kernels::for_isa(Isa::best()).unwrap();
    let x = [1.0f32; 64];
    let declines = |text: &str, x: &[f32], options: &EncodeOptions| {
        kernels.quantize(&Format::parse(text).unwrap(), x, 1, x.len(), options).is_none()
    };
    let nearest = EncodeOptions::default();
    for text in [
        "int4:g32:zp",
        "ternary",
        "bfp12",
        "mxfp4:even",
        "nvfp4:16x16",
        "q8_0",
        "posit8",
        "int16:none",
        "bitmod3",
        "nf4dq",
    ] {
        assert!(declines(text, &x, &nearest), "{text}");
    }
    assert!(declines("mxfp4", &x, &EncodeOptions { rounding: Rounding::ToOdd, ..nearest }));
    assert!(declines("e4m3fn", &x, &EncodeOptions { overflow: Overflow::Ieee, ..nearest }));
    let mut bad = x;
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        bad[40] = value;
        for text in ["mxfp4", "int8:g64:f16", "nvfp4", "int8:tensor", "nf4"] {
            assert!(declines(text, &bad, &nearest), "{text} {value}");
        }
    }
    bad[40] = f32::NAN;
    assert!(declines("e2m1", &bad, &nearest));
    assert!(!declines("e4m3fn", &bad, &nearest));
}

#[test]
fn random_rounding_of_tensors_is_as_defined() {
    let mut rng = Rng::new(5);
    let x = finite(9001, 1, &mut rng);
    let options = EncodeOptions {
        rounding: Rounding::Stochastic(StochasticBits::default()),
        seed: 31,
        ..EncodeOptions::default()
    };
    for text in ["e4m3fn", "e2m1", "e3m2"] {
        let format = Format::parse(text).unwrap();
        let expected = format.quantize(&x, 1, x.len(), &options).unwrap();
        for isa in Isa::supported() {
            let kernels = Kernels::for_isa(isa).unwrap();
            assert_eq!(
                kernels.quantize(&format, &x, 1, x.len(), &options).unwrap(),
                expected,
                "{text} {isa}"
            );
        }
    }
}

#[test]
fn the_largest_magnitude_tells_of_nan() {
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        assert_eq!(kernels.largest_magnitude(&[]), 0.0);
        let mut x = vec![-3.0f32; 77];
        x[70] = 2.0;
        assert_eq!(kernels.largest_magnitude(&x), 3.0);
        x[3] = f32::NEG_INFINITY;
        assert_eq!(kernels.largest_magnitude(&x), f32::INFINITY);
        x[76] = f32::NAN;
        assert!(kernels.largest_magnitude(&x).is_nan());
    }
}

#[test]
fn code_books_must_rise() {
    assert!(CodeBook16::new(&[0.0; 16]).is_none());
    assert!(CodeBook16::new(&[0.0; 8]).is_none());
    let float = Float::E2M1;
    let values: Vec<f32> = (0..16u8).map(|code| float.decode(code.into()) as f32).collect();
    assert!(CodeBook16::new(&values).is_none());
}

#[test]
fn streams_are_copies_that_keep_to_their_slices() {
    let mut rng = Rng::new(5);
    for len in lengths().chain([63, 64, 65, 4096, 4099]) {
        let source: Vec<u8> = (0..len).map(|_| rng.next_u8()).collect();
        for flush in Flush::BOTH {
            let guarded = Guarded::new(&source, flush);
            for kernel in STREAM.supported() {
                let mut out = Guarded::filled(7u8, len, flush);
                // SAFETY: the CPU supports the kernel, and the lengths are equal.
                unsafe { (kernel.function)(&guarded, &mut out) };
                assert_eq!(&*out, &*source, "{} of {len}", kernel.name);
            }
        }
    }
}

/// Results of more than 8 MiB leave by way of a buffer.
#[test]
fn large_tensors_equal_their_parts() {
    const COLUMNS: usize = 4096;
    const ROWS: usize = (9 << 20) / COLUMNS;
    let mut rng = Rng::new(6);
    let x = rng.normal_vec(ROWS * COLUMNS, 3.0);
    let options = EncodeOptions::default();
    for kernels in Isa::supported().map(|isa| Kernels::for_isa(isa).expect("supported")) {
        for name in ["f16", "e4m3fn", "e2m1", "mxfp8_e4m3", "int8:g128:f16", "int8:channel:f32"] {
            let format = Format::parse(name).expect("a format");
            let whole = kernels.quantize(&format, &x, ROWS, COLUMNS, &options).expect("a kernel");
            let mut values = vec![0.0; x.len()];
            assert!(kernels.dequantize(whole.view(), &mut values), "{name}");
            let (mut codes, mut expected) = (Vec::new(), Vec::new());
            for x in x.chunks(x.len() / 8) {
                let rows = x.len() / COLUMNS;
                let part = kernels.quantize(&format, x, rows, COLUMNS, &options).expect("a kernel");
                codes.extend_from_slice(&part.codes);
                let mut values = vec![0.0; x.len()];
                assert!(kernels.dequantize(part.view(), &mut values), "{name}");
                expected.extend(values);
            }
            assert!(whole.codes == codes, "codes of {name} on {}", kernels.isa());
            assert!(values == expected, "values of {name} on {}", kernels.isa());
        }
    }
}
