//! Numeric code in a format: arithmetic that is rounded once, and what papers say of models in low precision.

mod models;

use dyadic_formats::float::Float;
use dyadic_formats::random::random_bits;
use dyadic_formats::{
    Element, Emulator, EncodeOptions, Encoder, Format, FormatError, NanPolicy, Operation, Overflow,
    Rounding, StochasticBits, wasserstein1,
};
use models::{Lorenz63, ShallowWater, heat_at_the_middle};

fn emulator(format: &str, rounding: Rounding, seed: u64) -> Emulator {
    let options =
        EncodeOptions { rounding, overflow: Overflow::Ieee, seed, ..EncodeOptions::default() };
    Emulator::new(Format::parse(format).unwrap(), options).unwrap()
}

const STOCHASTIC: Rounding =
    Rounding::Stochastic(StochasticBits { count: 32, remainder: dyadic_formats::Remainder::Drop });

/// An exact number: ± integer × 2^exponent.
#[derive(Clone, Copy)]
struct Exact {
    negative: bool,
    integer: u128,
    exponent: i32,
}

impl Exact {
    fn of(value: f64) -> Self {
        let bits = value.to_bits();
        let field = i32::try_from(bits >> 52 & 0x7FF).unwrap();
        let fraction = u128::from(bits & ((1 << 52) - 1));
        let integer = if field == 0 { fraction } else { fraction | 1 << 52 };
        Self { negative: value.is_sign_negative(), integer, exponent: field.max(1) - 1075 }
    }

    /// The number of whole steps of 2^step, and the rest in steps of 2^(step − 100), where that is exact.
    fn in_steps(self, step: i32) -> (u128, u128) {
        let shift = self.exponent - step;
        if shift >= 0 {
            return (self.integer << shift, 0);
        }
        if shift <= -120 {
            return (0, u128::from(self.integer > 0));
        }
        let whole = self.integer >> -shift;
        let rest = self.integer - (whole << -shift);
        let rest = if shift >= -100 {
            rest << (100 + shift)
        } else {
            rest >> (-100 - shift)
                | u128::from(rest.trailing_zeros() < (-100 - shift).cast_unsigned())
        };
        (whole, rest)
    }

    fn floor_log2(self) -> i32 {
        self.exponent + 127 - self.integer.leading_zeros().cast_signed()
    }
}

/// Rounds in integers alone: whole steps, compared with half a step. `random` is what the random modes draw.
fn round_exactly(float: &Float, value: f64, rounding: Rounding, random: u32) -> f64 {
    const HALF: u128 = 1 << 99;
    let exact = Exact::of(value);
    if exact.integer == 0 {
        return value;
    }
    let lowest = 1 - float.bias;
    let step = exact.floor_log2().max(lowest) - i32::from(float.mantissa_bits);
    let (whole, rest) = exact.in_steps(step);
    let goes_up = random >> 31 == 1;
    let away = rest > 0
        && match rounding {
            Rounding::NearestEven => rest > HALF || rest == HALF && whole % 2 == 1,
            Rounding::NearestTiesToOdd => rest > HALF || rest == HALF && whole.is_multiple_of(2),
            Rounding::NearestTiesToZero => rest > HALF,
            Rounding::NearestTiesAway => rest >= HALF,
            Rounding::TowardZero => false,
            Rounding::TowardPositive => !exact.negative,
            Rounding::TowardNegative => exact.negative,
            Rounding::ToOdd => whole.is_multiple_of(2),
            Rounding::RandomDirected => goes_up != exact.negative,
            Rounding::StochasticEqual => goes_up,
            Rounding::Stochastic(_) => (rest >> 68) + u128::from(random) >= 1 << 32,
        };
    let steps = whole + u128::from(away);
    #[expect(clippy::cast_precision_loss, reason = "at most 25 bits")]
    let magnitude = steps as f64 * 2f64.powi(step);
    let signed = if exact.negative { -magnitude } else { magnitude };
    let max = float.decode(float.max_magnitude());
    if magnitude <= max { signed } else { f64::INFINITY.copysign(signed) }
}

const FLOATS: [&str; 20] = [
    "f16",
    "bf16",
    "tf32",
    "e5m2",
    "e4m3",
    "e4m3fn",
    "e4m3fnuz",
    "e5m2fnuz",
    "e4m3b11fnuz",
    "e3m4",
    "e3m2",
    "e2m3",
    "e2m1",
    "e2m2",
    "e3m1",
    "e6m5",
    "e5m6",
    "e7m4",
    "e4m11",
    "e8m9",
];

/// Values of all exponents that matter, a quarter of them ties of 10 bits.
fn value(index: u64) -> f64 {
    let (a, b) = (random_bits(21, 2 * index), random_bits(21, 2 * index + 1));
    let mantissa =
        if a % 4 == 0 { f64::from(b >> 22) / 1024.0 } else { f64::from(b) / 2f64.powi(32) };
    let exponent = (a >> 8).rem_euclid(60).cast_signed() - 34;
    let magnitude = (1.0 + mantissa) * 2f64.powi(exponent);
    if a & 0x80 == 0 { magnitude } else { -magnitude }
}

/// Row 21: every mode against integers.
fn every_mode_equals_exact_arithmetic(values: u64) -> u64 {
    let mut checked = 0;
    for name in FLOATS {
        let element: Element = name.parse().unwrap();
        let Element::Float(float) = &element else { panic!("{name}") };
        for rounding in Rounding::ALL {
            let options = EncodeOptions { rounding, seed: 5, ..EncodeOptions::default() };
            let encoder = Encoder::new(&element, options);
            for index in 0..values {
                let value = value(index);
                let exact = round_exactly(float, value, rounding, random_bits(5, index));
                let expected = exact.clamp(encoder.min(), encoder.max());
                let actual = encoder.round(value, index).unwrap();
                assert_eq!(actual, expected, "{name} {rounding:?} {value:e}");
                let code = encoder.encode(value, index).unwrap();
                assert_eq!(actual.to_bits(), element.decode(code).to_bits(), "{name} {value:e}");
                checked += 1;
            }
        }
    }
    checked
}

#[test]
fn row_21_every_mode_equals_exact_arithmetic() {
    assert_eq!(every_mode_equals_exact_arithmetic(10_000), 2_200_000);
}

#[test]
#[ignore = "a million values in each of 20 formats and 11 modes"]
fn row_21_every_mode_equals_exact_arithmetic_on_a_million_values() {
    assert_eq!(every_mode_equals_exact_arithmetic(1_000_000), 220_000_000);
}

#[test]
fn row_21_harmonic_sums_stall_where_half_a_unit_is_more_than_the_term() {
    for (format, expected, stalls_at) in [("f16", 7.085_937_5, 513), ("bf16", 5.0625, 65)] {
        let mut emulator = emulator(format, Rounding::NearestEven, 0);
        let ones = [1.0f32];
        let ks: Vec<f32> = (1..=2000u16).map(f32::from).collect();
        let mut terms = vec![0.0; ks.len()];
        emulator.apply(Operation::Divide, [&ones, &ks, &[]], &mut terms).unwrap();
        assert_eq!(emulator.sum(&terms).unwrap(), expected, "{format}");
        let before = emulator.sum(&terms[..stalls_at - 2]).unwrap();
        let last = emulator.sum(&terms[..stalls_at - 1]).unwrap();
        assert!(before < last && last == expected, "{format}");
    }
    // 10,000 numbers of [0, 1) in bf16 add up to 256, where a unit is 2.
    let uniform: Vec<f32> =
        (0..10_000).map(|i| f32::from((random_bits(1, i) >> 16) as u16) / 65536.0).collect();
    assert_eq!(emulator("bf16", Rounding::NearestEven, 0).sum(&uniform).unwrap(), 256.0);
}

/// Operations on f32 numbers whose results are far from those of f64 rounded twice.
#[test]
fn operations_round_once() {
    let mut half = emulator("f16", Rounding::NearestEven, 0);
    let mut apply = |operation, operands: [&[f32]; 3]| {
        let mut out = [0.0];
        half.apply(operation, operands, &mut out).unwrap();
        out[0]
    };
    let (unit, tiny) = (2f32.powi(-10), 2f32.powi(-60));
    // 1 + half a unit is a tie, which a part of 2^−60 breaks: f64 does not hold it.
    let tie = [1.0 + unit / 2.0];
    assert_eq!(apply(Operation::Chop, [&tie, &[], &[]]), 1.0);
    assert_eq!(apply(Operation::Add, [&tie, &[tiny], &[]]), 1.0 + unit);
    assert_eq!(apply(Operation::Subtract, [&tie, &[tiny], &[]]), 1.0);
    let above = [1.0 + 1.5 * unit];
    assert_eq!(apply(Operation::Add, [&above, &[tiny], &[]]), 1.0 + 2.0 * unit);
    assert_eq!(apply(Operation::Subtract, [&above, &[tiny], &[]]), 1.0 + unit);
    assert_eq!(apply(Operation::MultiplyAdd, [&tie, &[1.0], &[tiny]]), 1.0 + unit);
    assert_eq!(apply(Operation::MultiplyAdd, [&tie, &[1.0], &[-tiny]]), 1.0);
    assert_eq!(apply(Operation::Divide, [&[1.0], &[3.0], &[]]), 0.333_251_95);
    assert_eq!(apply(Operation::SquareRoot, [&[2.0], &[], &[]]), 1.414_062_5);
    assert_eq!(apply(Operation::Multiply, [&[300.0], &[300.0], &[]]), f32::INFINITY);
    let mut up = emulator("f16", Rounding::TowardPositive, 0);
    let mut out = [0.0];
    up.apply(Operation::Add, [&[1.0], &[tiny], &[]], &mut out).unwrap();
    assert_eq!(out, [1.0 + unit]);
    // Upward is toward zero for negative numbers.
    up.apply(Operation::Divide, [&[1.0], &[-3.0], &[]], &mut out).unwrap();
    assert_eq!(out, [-0.333_251_95]);
}

#[test]
fn operands_are_broadcast_and_checked() {
    let mut half = emulator("f16", Rounding::NearestEven, 0);
    let mut out = [0.0; 3];
    half.apply(Operation::Multiply, [&[1.0, 2.0, 3.0], &[0.1], &[]], &mut out).unwrap();
    assert_eq!(out, [0.099_975_586, 0.199_951_17, 0.300_048_83]);
    let error = half.apply(Operation::Add, [&[1.0, 2.0], &[0.1], &[]], &mut out).unwrap_err();
    assert_eq!(error.to_string(), "elements of an operand: expected 3, got 2");
    assert_eq!(half.apply(Operation::Add, [&[], &[], &[]], &mut []), Ok(()));
    assert_eq!(half.dot(&[1.0, 2.0], &[3.0, 4.0], false), Ok(11.0));
    assert!(half.dot(&[1.0], &[3.0, 4.0], true).is_err());

    let options = EncodeOptions::default();
    let mut ints = Emulator::new(Format::parse("q4.4").unwrap(), options).unwrap();
    let error = ints.apply(Operation::Divide, [&[0.0], &[0.0], &[]], &mut out).unwrap_err();
    assert!(matches!(error, FormatError::Nan { index: 0, .. }));
    let zero = EncodeOptions { nan: NanPolicy::Zero, ..options };
    let mut ints = Emulator::new(Format::parse("q4.4").unwrap(), zero).unwrap();
    ints.apply(Operation::Divide, [&[0.0], &[0.0], &[]], &mut out).unwrap();
    assert_eq!(out, [0.0; 3]);
    assert!(Emulator::new(Format::parse("complex2").unwrap(), options).is_err());
}

/// Formats with scales round their results as one row.
#[test]
fn block_formats_round_a_row() {
    let mut mxfp4 = emulator("mxfp4", Rounding::NearestEven, 0);
    let values: Vec<f32> = (0..64u8).map(|i| f32::from(i) / 8.0).collect();
    let mut out = vec![0.0; 64];
    mxfp4.apply(Operation::Chop, [&values, &[], &[]], &mut out).unwrap();
    let format = mxfp4.format().clone();
    let mut expected = vec![0.0; 64];
    let quantized = format.quantize(&values, 1, 64, &EncodeOptions::default()).unwrap();
    quantized.dequantize(&mut expected).unwrap();
    assert_eq!(out, expected);
    assert_eq!(mxfp4.sum(&values).unwrap_err().code(), "ERR_FORMAT_UNSUPPORTED");
}

#[test]
fn random_bits_differ_from_operation_to_operation_and_repeat_from_run_to_run() {
    let run = |seed| {
        let mut half = emulator("f16", STOCHASTIC, seed);
        let mut results = [vec![0.0; 256], vec![0.0; 256]];
        for out in &mut results {
            half.apply(Operation::Chop, [&[1.0 + 2f32.powi(-11)], &[], &[]], out).unwrap();
        }
        results
    };
    assert_eq!(run(1), run(1));
    let [first, second] = run(1);
    assert_ne!(first, second);
    assert_ne!(second, run(2)[0]);
}

/// Row 30: Lorenz '63 in f16, by fourth-order Runge–Kutta. Rounding to nearest ends in short cycles; stochastic rounding keeps the distribution of states near
/// that of double precision. The mean over ten runs of the Wasserstein distances of x, y and z.
#[test]
fn row_30_stochastic_rounding_keeps_the_climate_of_lorenz_63() {
    let reference = Lorenz63::run(None, 0, 100_000);
    let distance = |rounding: Rounding| {
        let runs = (0..10).map(|seed| {
            let run = Lorenz63::run(Some(emulator("f16", rounding, seed)), seed, 20_000);
            let axes = reference.iter().zip(&run);
            axes.map(|(a, b)| wasserstein1(a, b).unwrap()).sum::<f64>()
        });
        runs.sum::<f64>() / 10.0
    };
    let (nearest, stochastic) = (distance(Rounding::NearestEven), distance(STOCHASTIC));
    assert!(stochastic <= nearest, "stochastic {stochastic}, nearest {nearest}");
}

/// Row 30: a forced shallow-water channel. With 11 significant bits and stochastic rounding the distribution of the surface is as far from that of double precision as a second run
/// in double precision is (with other forcing): within sampling noise. With 5 bits it is not.
#[test]
fn row_30_eleven_bits_are_enough_for_shallow_water() {
    let reference = ShallowWater::run(None, 1);
    let noise = (2..6)
        .map(|seed| wasserstein1(&reference, &ShallowWater::run(None, seed)).unwrap())
        .fold(0.0, f64::max);
    let distance = |format| {
        let run = ShallowWater::run(Some(emulator(format, STOCHASTIC, 9)), 1);
        wasserstein1(&reference, &run).unwrap()
    };
    let (eleven, five) = (distance("e8m10"), distance("e8m4"));
    assert!(eleven < noise, "11 bits {eleven}, sampling noise {noise}");
    assert!(five > noise, "5 bits {five}, sampling noise {noise}");
}

/// Row 30: the heat equation in bfloat16 stands still where every update is below half a unit; stochastic rounding goes on.
#[test]
fn row_30_stochastic_rounding_mends_the_stagnation_of_the_heat_equation() {
    let exact = heat_at_the_middle(None);
    let nearest = heat_at_the_middle(Some(emulator("bf16", Rounding::NearestEven, 0)));
    let stochastic = heat_at_the_middle(Some(emulator("bf16", STOCHASTIC, 8)));
    assert!(
        (stochastic - exact).abs() < 0.25 * (nearest - exact).abs(),
        "{exact} {nearest} {stochastic}"
    );
}
