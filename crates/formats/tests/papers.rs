//! What papers claim of formats, by row of the list of papers; rows that need one module only are tested there.

use dyadic_formats::float::{Float, NonFinite};
use dyadic_formats::int::{Fixed, Int, SparseDigits};
use dyadic_formats::random::random_bits;
use dyadic_formats::search::{compare_float_splits, fit_power, search_binary_point};
use dyadic_formats::{
    Element, EncodeOptions, Encoder, Format, Granularity, Noise, PseudoQuantization, Rounding, pack,
};

fn uniform(seed: u64, index: u64) -> f64 {
    (f64::from(random_bits(seed, index)) + 0.5) / 2f64.powi(32)
}

#[expect(clippy::cast_possible_truncation, reason = "rounds")]
fn gaussian(seed: u64, len: u64) -> Vec<f32> {
    (0..len)
        .map(|i| {
            let radius = (-2.0 * uniform(seed, 2 * i).ln()).sqrt();
            (radius * (std::f64::consts::TAU * uniform(seed, 2 * i + 1)).cos()) as f32
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounds")]
fn laplace(seed: u64, len: u64) -> Vec<f32> {
    (0..len)
        .map(|i| {
            let u = uniform(seed, i) - 0.5;
            (-u.signum() * (1.0 - 2.0 * u.abs()).ln()) as f32
        })
        .collect()
}

/// Row 3: of all splits of a width, the best is found; e2m1 is that of 4 bits on a bell curve in groups of 16 to 32.
#[test]
fn row_3_the_best_split_of_four_bits_is_e2m1() {
    let values = gaussian(1, 1 << 14);
    let splits = compare_float_splits(4, &values, 4, 4096, Granularity::Group(16)).unwrap();
    assert_eq!(splits.len(), 3);
    assert!(splits.windows(2).all(|pair| pair[0].sqnr_db >= pair[1].sqnr_db));
    let rank = |name: &str| {
        let element: Element = name.parse().unwrap();
        splits.iter().position(|split| split.format.element == element).unwrap()
    };
    assert!(rank("e2m1") < rank("e3m0"));
    // Smaller blocks never lose.
    let best = |group| {
        compare_float_splits(4, &values, 4, 4096, Granularity::Group(group)).unwrap()[0].sqnr_db
    };
    assert!(best(16) > best(64) && best(64) > best(256));
}

/// Row 11: the search equals going through every binary point.
#[test]
fn row_11_the_binary_point_is_that_of_brute_force() {
    for (seed, scale) in [(2, 1.0f32), (3, 0.03), (4, 700.0)] {
        let values: Vec<f32> = gaussian(seed, 4096).iter().map(|x| x * scale).collect();
        for bits in [3, 4, 8] {
            let error = |fraction_bits| {
                let element = Element::Fixed(Fixed { int: Int::symmetric(bits), fraction_bits });
                let encoder = Encoder::new(&element, EncodeOptions::default());
                let squares = values.iter().map(|&x| {
                    let decoded = element.decode(encoder.encode(x.into(), 0).unwrap());
                    (f64::from(x) - decoded).powi(2)
                });
                squares.sum::<f64>()
            };
            let found = search_binary_point(bits, &values).unwrap().fraction_bits;
            let best =
                (-40i8..=40).map(|point| (error(point), point)).min_by(|a, b| a.0.total_cmp(&b.0));
            assert_eq!(found, best.unwrap().1, "{bits} bits at {scale}");
        }
    }
}

/// Row 11: Gaussian int8 codes in few digits, in decibels.
#[test]
fn row_11_few_digits_keep_what_the_table_says() {
    // A code is a sample at 4 standard deviations for 127.
    let integers: Vec<f64> = gaussian(5, 1 << 17)
        .iter()
        .map(|x| (f64::from(*x) * 127.0 / 4.0).round().clamp(-127.0, 127.0))
        .collect();
    let sqnr = |terms, signed_digits, rounding| {
        let element =
            Element::SparseDigits(SparseDigits { bits: 8, terms, fraction_bits: 0, signed_digits });
        let encoder =
            Encoder::new(&element, EncodeOptions { rounding, ..EncodeOptions::default() });
        let (mut signal, mut noise) = (0.0, 0.0);
        for &x in &integers {
            let error = x - element.decode(encoder.encode(x, 0).unwrap());
            signal += x * x;
            noise += error * error;
        }
        10.0 * f64::log10(signal / noise)
    };
    for (terms, truncated, nearest) in [(1, 10.3, 14.2), (2, 19.8, 28.3), (3, 29.7, 44.1)] {
        let actual = sqnr(terms, false, Rounding::TowardZero);
        assert!((actual - truncated).abs() < 0.4, "{terms} ones: {actual:.2} dB");
        let actual = sqnr(terms, true, Rounding::NearestEven);
        assert!((actual - nearest).abs() < 0.8, "{terms} signed digits: {actual:.2} dB");
    }
}

/// Row 23: the fitted exponent is below 1 on heavy tails, no worse than any of a brute-force sweep, and better than the uniform grid.
#[test]
fn row_23_the_fitted_power_beats_the_uniform_grid() {
    let values = laplace(6, 1 << 14);
    let group = Granularity::Group(128);
    let fitted = fit_power(4, &values, 4, 4096, group).unwrap();
    let Element::Power(power) = &fitted.format.element else { panic!("a power format") };
    assert!(power.exponent < 0.9, "{}", power.exponent);
    let at = |exponent: f64| {
        let format = Format::parse(&format!("power4a{exponent}:g128:f16")).unwrap();
        format.analyse(&values, 4, 4096, &EncodeOptions::default()).unwrap().total.sqnr_db()
    };
    let swept = (30..=100u8).map(|a| at(f64::from(a) / 100.0)).fold(f64::MIN, f64::max);
    assert!(fitted.sqnr_db > swept - 0.05, "{} {swept}", fitted.sqnr_db);
    assert!(fitted.sqnr_db > at(1.0) + 1.0);
}

/// Row 48: 2.84 bits a weight (the paper says 2.85), in records of one size; a quarter of 4-bit groups, half a bit more, takes away more than 30 % of the squared
/// error of 2 bits.
#[test]
fn row_48_wide_groups_take_a_third_of_the_error_of_two_bits() {
    let parse = |name: &str| Format::parse(name).unwrap();
    let (narrow, mixed, wide) = (parse("w2mix0"), parse("w2mix"), parse("w2mix32"));
    assert_eq!(mixed.bits_per_element(), 2.843_75);
    assert_eq!(mixed.bits_per_element() - narrow.bits_per_element(), 0.5);
    for values in [gaussian(9, 1 << 14), laplace(10, 1 << 14)] {
        let quantized = mixed.quantize(&values, 4, 4096, &EncodeOptions::default()).unwrap();
        assert_eq!(quantized.codes.len() * 32, values.len() * 91 / 8);
        let noise = |format: &Format| {
            let analysis = format.analyse(&values, 4, 4096, &EncodeOptions::default());
            analysis.unwrap().total.noise
        };
        let error = noise(&mixed);
        assert!(error < 0.7 * noise(&narrow), "{error} of {}", noise(&narrow));
        assert!(noise(&wide) < 0.2 * error);
    }
}

/// Row 31: every integer of 1 to 8 bits, signed and unsigned, and every float of at most 8 bits is packed without gaps at its width and comes back.
#[test]
fn row_31_every_width_and_every_small_float_is_packed_without_gaps() {
    let ints = (1..=8u8).flat_map(|bits| {
        let signed = (bits > 1).then(|| Int::symmetric(bits).into());
        [Some(Int::unsigned(bits).into()), Some(Int::signed(bits).into()), signed]
    });
    let floats = (1..8u8).flat_map(|exponent_bits| {
        (0..8 - exponent_bits).map(move |mantissa_bits| {
            // Seven exponent and no mantissa bits have no room for what is no number.
            let float = |non_finite| Float::new(exponent_bits, mantissa_bits, true, non_finite);
            float(None).or_else(|| float(Some(NonFinite::None))).map(Element::from)
        })
    });
    let elements: Vec<Element> = ints.chain(floats).flatten().collect();
    assert_eq!(elements.len(), 23 + 28);
    for element in &elements {
        let bits = element.bits();
        assert_eq!(&element.to_string().parse::<Element>().unwrap(), element);
        for len in (0..20).chain([63, 64, 65, 255]) {
            let codes: Vec<u32> = (0..len).map(|i| random_bits(31, i) >> (32 - bits)).collect();
            let mut bytes = vec![0; pack::packed_len(codes.len(), bits).unwrap()];
            assert_eq!(bytes.len(), (codes.len() * bits as usize).div_ceil(8));
            pack::pack(&codes, bits, &mut bytes).unwrap();
            let mut unpacked = vec![0; codes.len()];
            pack::unpack(&bytes, bits, &mut unpacked).unwrap();
            assert_eq!(unpacked, codes, "{element} x {len}");
        }
    }
}

/// Row 34: BFP12 has 4-bit mantissas with a shared 8-bit exponent: in groups of 32 a cache takes 4.25 / 16 of one of f16. The step is 2^(⌊log2 amax⌋ − 2) and nothing is beyond
/// seven of them.
#[test]
fn row_34_bfp12_is_block_floating_point_of_four_bits() {
    let format = Format::parse("bfp12").unwrap();
    assert_eq!(format.bits_per_element(), 4.25);
    assert_eq!(Format::parse("bfp12:g64").unwrap().bits_per_element(), 4.125);
    assert_eq!(Format::parse("bfp12:g128").unwrap().bits_per_element(), 4.0625);
    let values = laplace(34, 1 << 12);
    let quantized = format.quantize(&values, 4, 1024, &EncodeOptions::default()).unwrap();
    assert_eq!(quantized.byte_len() * 16, values.len() * 2 * 17 / 4);
    let mut decoded = vec![0.0; values.len()];
    quantized.dequantize(&mut decoded).unwrap();
    for (values, decoded) in values.chunks(32).zip(decoded.chunks(32)) {
        let largest = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let step = 2f32.powf(largest.log2().floor() - 2.0);
        for (value, decoded) in values.iter().zip(decoded) {
            let expected = (value / step).round_ties_even().clamp(-7.0, 7.0) * step;
            assert_eq!(*decoded, expected);
        }
    }
}

/// Row 38: bipolar integers are the odd ones, without zero; products of bit planes by XOR need no correction: x · w = Σ 2^(i + j) (n − 2 popcount(xᵢ ⊕ wⱼ)).
#[test]
fn row_38_products_of_bipolar_integers_are_sums_over_bit_planes() {
    for bits in 1..=8u8 {
        let element = Element::Bipolar { bits };
        let values: Vec<f64> = element.enumerate().map(|(_, value)| value).collect();
        let odd: Vec<f64> =
            (0..1u32 << bits).map(|u| 2.0 * f64::from(u) - f64::from((1u32 << bits) - 1)).collect();
        assert_eq!(values, odd);
        assert!(values.iter().all(|value| value.rem_euclid(2.0) == 1.0));
        // Without loss from signed integers: 2 n + 1.
        for n in -(1i32 << (bits - 1))..1 << (bits - 1) {
            let value = f64::from(2 * n + 1);
            let code = element.encode(value, &EncodeOptions::default()).unwrap();
            assert_eq!(element.decode(code), value);
        }
    }
    for (x_bits, w_bits) in (1..=8u8).flat_map(|x| (1..=8u8).map(move |w| (x, w))) {
        let codes = |bits: u8, seed| -> Vec<u32> {
            (0..64u32).map(|i| random_bits(seed, i.into()) >> (32 - bits)).collect()
        };
        let (x, w) = (codes(x_bits, 1), codes(w_bits, 2));
        let value = |bits, code| Element::Bipolar { bits }.decode(code);
        let exact: f64 = x.iter().zip(&w).map(|(&x, &w)| value(x_bits, x) * value(w_bits, w)).sum();
        let plane = |codes: &[u32], bit: u8| {
            codes.iter().fold(0u64, |plane, code| plane << 1 | u64::from(code >> bit & 1))
        };
        let planes = (0..x_bits).flat_map(|i| (0..w_bits).map(move |j| (i, j)));
        let terms = planes.map(|(i, j)| {
            let different = (plane(&x, i) ^ plane(&w, j)).count_ones();
            f64::from(1u32 << (i + j)) * (64.0 - 2.0 * f64::from(different))
        });
        assert_eq!(terms.sum::<f64>(), exact, "{x_bits} x {w_bits}");
    }
}

/// Row 41: the noise of Gaussian weight sampling has the distribution of ⌊N(0, 1) / 2⌉ steps, uniform noise the variance of rounding; both have mean 0.
#[test]
fn row_41_pseudo_quantization_noise_has_the_variance_of_its_definition() {
    let weights = gaussian(41, 1 << 18);
    let sample = |noise| {
        let noise =
            PseudoQuantization { bits: 4, granularity: Granularity::Tensor, noise, seed: 1 };
        let mut out = vec![0.0; weights.len()];
        noise.write_noise(&weights, 64, 4096, &mut out).unwrap();
        out
    };
    let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
    let step = f64::from(largest) / 8.0;
    for (noise, variance, fourth_moment) in
        [(Noise::RoundedGaussian, 0.325_41, 0.357_8), (Noise::Uniform, 1.0 / 12.0, 1.0 / 80.0)]
    {
        let sample = sample(noise);
        let moment = |power: i32| {
            let powers = sample.iter().map(|&value| (f64::from(value) / step).powi(power));
            powers.sum::<f64>() / f64::from(1u32 << 18)
        };
        let root = 512.0;
        assert!(moment(1).abs() < 5.0 * f64::sqrt(variance) / root);
        // The step is rounded to bfloat16: one part in 256 at most.
        let tolerance =
            5.0 * f64::sqrt(fourth_moment - variance * variance) / root + variance / 128.0;
        assert!((moment(2) - variance).abs() < tolerance, "{noise:?} {}", moment(2));
    }
}

/// Row 41: noise of whole bfloat16 steps is exact in bfloat16, and bfloat16 weights still feel it when the sum is rounded to bfloat16: half a step of 7 bits is the last place of
/// amax. It depends on seed and position alone.
#[test]
fn row_41_the_noise_survives_bfloat16() {
    use dyadic_formats::float::{bf16_to_f32, f32_to_bf16};
    let bf16 = |value: f32| bf16_to_f32(f32_to_bf16(value));
    let weights: Vec<f32> = gaussian(42, 1 << 16).iter().map(|weight| bf16(*weight)).collect();
    for bits in 2..=7 {
        let granularity = Granularity::Block { rows: 32, columns: 32 };
        let noise =
            PseudoQuantization { bits, granularity, noise: Noise::RoundedGaussian, seed: 7 };
        let mut out = vec![0.0; weights.len()];
        noise.write_noise(&weights, 256, 256, &mut out).unwrap();
        let mut noisy = 0;
        for (weight, noise) in weights.iter().zip(&out) {
            assert_eq!(bf16(*noise), *noise);
            assert_eq!(*noise != 0.0, bf16(weight + noise) != *weight, "{weight} + {noise}");
            noisy += u32::from(*noise != 0.0);
        }
        // P(|N| > 1) = 0.3173.
        assert!((f64::from(noisy) / 65536.0 - 0.3173).abs() < 0.01);
        let mut again = vec![0.0; weights.len()];
        noise.write_noise(&weights, 256, 256, &mut again).unwrap();
        assert_eq!(again, out);
        let other = PseudoQuantization { seed: 8, ..noise };
        other.write_noise(&weights, 256, 256, &mut again).unwrap();
        assert_ne!(again, out);
    }
    let noise = PseudoQuantization {
        bits: 4,
        granularity: Granularity::Tensor,
        noise: Noise::Uniform,
        seed: 0,
    };
    let mut out = [0.0];
    assert_eq!(noise.write_noise(&[f32::NAN], 1, 1, &mut out).unwrap_err().code(), "ERR_NAN");
    assert_eq!(noise.write_noise(&[1.0], 1, 2, &mut out).unwrap_err().code(), "ERR_SHAPE");
    assert_eq!(noise.write_noise(&[f32::MAX], 1, 1, &mut out), Ok(()));
    assert!(out[0].is_finite());
}

/// Row 49: a group takes the data type of least error, and the tables are those of the paper; against integers of as many bits in groups of 128.
#[test]
fn row_49_bitmod_beats_integers_of_as_many_bits() {
    use dyadic_formats::codebook::{BITMOD3, BITMOD4};
    let specials = |books: &[dyadic_formats::codebook::CodeBook; 4], base: &[f32]| -> Vec<f32> {
        let special = |book: &dyadic_formats::codebook::CodeBook| {
            let special = *book.values.iter().find(|value| !base.contains(&value.abs())).unwrap();
            let mut rest: Vec<f32> =
                book.values.iter().copied().filter(|v| *v != special).collect();
            rest.sort_by(f32::total_cmp);
            let mut expected: Vec<f32> =
                base.iter().flat_map(|v| [-v, *v]).filter(|v| *v != 0.0).collect();
            expected.push(0.0);
            expected.sort_by(f32::total_cmp);
            assert_eq!(rest, expected);
            special
        };
        books.iter().map(special).collect()
    };
    assert_eq!(specials(&BITMOD3, &[0.0, 1.0, 2.0, 4.0]), [3.0, -3.0, 6.0, -6.0]);
    let base = [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0];
    assert_eq!(specials(&BITMOD4, &base), [10.0, -10.0, 16.0, -16.0]);
    let values = gaussian(49, 1 << 17);
    let sqnr = |format: &str| {
        let analysis =
            Format::parse(format).unwrap().analyse(&values, 32, 4096, &EncodeOptions::default());
        analysis.unwrap().total.sqnr_db()
    };
    for (format, known) in [
        ("bitmod3", 14.19),
        ("int3:g128:f16:zp", 13.32),
        ("bitmod4", 20.18),
        ("int4:g128:f16", 18.59),
    ] {
        assert!((sqnr(format) - known).abs() < 0.15, "{format}: {}", sqnr(format));
    }
}

/// Row 54: two bits a weight; four units of which multiplication is a choice of parts: conj(x) · i^k.
#[test]
fn row_54_products_with_complex_units_are_choices_of_parts() {
    use dyadic_formats::complex::decode;
    let element: Element = "complex2".parse().unwrap();
    assert_eq!((element.bits(), Format::parse("complex2").unwrap().bits_per_element()), (2, 2.0));
    let (re, im) = (3.0, 5.0);
    let choices = [(re, -im), (im, re), (-re, im), (-im, -re)];
    for (code, choice) in (0..4).zip(choices) {
        let unit = decode(code);
        let product = (re * unit.re + im * unit.im, re * unit.im - im * unit.re);
        assert_eq!(product, choice);
    }
}
