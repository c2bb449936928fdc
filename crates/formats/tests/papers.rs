//! What papers claim of formats, by row of the list of papers; rows that need one module only are tested there.

use dyadic_formats::float::Float;
use dyadic_formats::int::{Fixed, Int, SparseDigits};
use dyadic_formats::random::random_bits;
use dyadic_formats::search::{compare_float_splits, fit_power, search_binary_point};
use dyadic_formats::{Element, EncodeOptions, Encoder, Granularity, Rounding, StochasticBits};

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
        let format = dyadic_formats::Format::parse(&format!("power4a{exponent}:g128:f16")).unwrap();
        format.analyse(&values, 4, 4096, &EncodeOptions::default()).unwrap().total.sqnr_db()
    };
    let swept = (30..=100u8).map(|a| at(f64::from(a) / 100.0)).fold(f64::MIN, f64::max);
    assert!(fitted.sqnr_db > swept - 0.05, "{} {swept}", fitted.sqnr_db);
    assert!(fitted.sqnr_db > at(1.0) + 1.0);
}

/// Row 30: the heat equation in half precision stands still where every update is below half a unit; stochastic rounding goes on.
#[test]
fn row_30_stochastic_rounding_mends_the_stagnation_of_the_heat_equation() {
    let element: Element = Float::BF16.into();
    let solve = |rounding: Option<Rounding>| {
        let mut state = vec![1.0f64; 17];
        (state[0], state[16]) = (0.0, 0.0);
        let encoder = rounding.map(|rounding| {
            Encoder::new(&element, EncodeOptions { rounding, seed: 8, ..EncodeOptions::default() })
        });
        for step in 0..20_000u64 {
            let old = state.clone();
            for i in 1..16 {
                let next = old[i] + 1e-3 * (old[i - 1] - 2.0 * old[i] + old[i + 1]);
                state[i] = match &encoder {
                    Some(encoder) => {
                        element.decode(encoder.encode(next, step * 17 + i as u64).unwrap())
                    }
                    None => next,
                };
            }
        }
        state[8]
    };
    let exact = solve(None);
    let nearest = solve(Some(Rounding::NearestEven));
    let stochastic = solve(Some(Rounding::Stochastic(StochasticBits::default())));
    assert!(
        (stochastic - exact).abs() < 0.25 * (nearest - exact).abs(),
        "{exact} {nearest} {stochastic}"
    );
}

/// Row 48: 2.84 bits a weight (the paper says 2.85), in records of one size; a quarter of 4-bit groups, half a bit more, takes away more than 30 % of the squared
/// error of 2 bits.
#[test]
fn row_48_wide_groups_take_a_third_of_the_error_of_two_bits() {
    let parse = |name: &str| dyadic_formats::Format::parse(name).unwrap();
    let (narrow, mixed, wide) = (parse("w2mix0"), parse("w2mix"), parse("w2mix32"));
    assert_eq!(mixed.bits_per_element(), 2.843_75);
    assert_eq!(mixed.bits_per_element() - narrow.bits_per_element(), 0.5);
    for values in [gaussian(9, 1 << 14), laplace(10, 1 << 14)] {
        let quantized = mixed.quantize(&values, 4, 4096, &EncodeOptions::default()).unwrap();
        assert_eq!(quantized.codes.len() * 32, values.len() * 91 / 8);
        let noise = |format: &dyadic_formats::Format| {
            let analysis = format.analyse(&values, 4, 4096, &EncodeOptions::default());
            analysis.unwrap().total.noise
        };
        let error = noise(&mixed);
        assert!(error < 0.7 * noise(&narrow), "{error} of {}", noise(&narrow));
        assert!(noise(&wide) < 0.2 * error);
    }
}
