//! The synthetic tensors and the formats of the accuracy table, with the figures that they are known to give.
//!
//! The Laplace distribution has b = 1, so a variance of 2, and the t distribution a variance of 5/3: results of power-of-two scales depend on that.
//! Its heavy tail moves the figures of long groups by ± 0.1 dB from seed to seed.

use dyadic_formats::random::random_bits;
use dyadic_formats::{EncodeOptions, Format};

/// Samples of a column.
const LEN: usize = 1 << 19;
/// The length of a row.
const ROW: usize = 4096;

/// A distribution of the samples.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    /// Its name in the table.
    pub(crate) name: &'static str,
    index: usize,
}

pub(crate) const COLUMNS: [Column; 6] = [
    Column { name: "N(0,1)", index: 0 },
    Column { name: "Laplace", index: 1 },
    Column { name: "t(5)", index: 2 },
    Column { name: "outliers", index: 3 },
    Column { name: "outliers, H128", index: 4 },
    Column { name: "Laplace, H16", index: 5 },
];

/// Formats with the decibels of columns 0, 1, 2 and 5 where they are known from an independent computation.
#[rustfmt::skip]
pub(crate) const ROWS: [(&str, [Option<f64>; 4]); 36] = [
    ("bf16", [Some(55.6), Some(55.6), None, None]),
    ("f16", [Some(73.7), Some(73.7), None, None]),
    ("int8:g128:f16", [Some(43.76), Some(41.03), Some(40.34), Some(43.7)]),
    ("mxint8", [Some(41.67), Some(39.99), Some(39.96), Some(42.3)]),
    ("e4m3fn:tensor", [Some(31.56), Some(31.56), Some(31.5), None]),
    ("e5m2:tensor", [Some(25.58), Some(25.56), Some(25.6), None]),
    ("mxfp8_e4m3", [Some(30.64), Some(30.0), Some(30.1), None]),
    ("mxfp6_e2m3", [Some(30.95), Some(30.3), Some(30.3), None]),
    ("mxfp6_e3m2", [Some(25.35), Some(25.2), Some(25.2), None]),
    ("int6:g128:f16", [Some(31.52), Some(28.78), Some(28.07), Some(31.4)]),
    ("mxfp4", [Some(18.78), Some(17.95), Some(17.99), Some(18.74)]),
    ("nvfp4", [Some(20.43), Some(20.67), Some(20.69), Some(20.36)]),
    ("nvfp4_4over6", [Some(21.22), Some(21.21), Some(21.24), Some(21.20)]),
    ("e2m1:g16:ue5m3", [Some(20.43), None, None, None]),
    ("int4:g32:f16", [Some(20.26), Some(18.35), Some(18.2), Some(20.4)]),
    ("int4:g128:f16", [Some(18.59), Some(15.94), Some(15.3), Some(18.5)]),
    ("int4:g128:f16:zp", [Some(19.94), Some(17.71), Some(17.5), Some(19.8)]),
    ("nf4:g64", [Some(20.73), Some(19.71), Some(19.6), None]),
    ("bitmod4", [Some(20.18), Some(19.48), Some(19.3), None]),
    ("e2m1:g128:f16", [Some(19.25), Some(18.36), Some(18.1), None]),
    ("bfp12", [Some(17.57), Some(16.0), None, None]),
    ("bfp12:g64", [Some(16.93), Some(14.7), None, None]),
    ("bfp12:g128", [Some(16.73), Some(13.8), None, None]),
    ("int3:g128:f16", [Some(11.22), Some(9.0), Some(8.3), None]),
    ("int3:g128:f16:zp", [Some(13.32), Some(11.3), Some(10.9), None]),
    ("bitmod3", [Some(14.19), Some(13.0), Some(12.6), None]),
    ("w2mix", [None; 4]),
    ("int2:g64:f16:zp", [Some(6.79), Some(5.97), None, None]),
    ("ternary", [Some(5.79), Some(4.06), None, None]),
    ("binary", [Some(4.40), Some(3.01), None, None]),
    ("power4a0.5:g128:f16", [Some(18.21), Some(17.49), Some(17.2), None]),
    ("power4a0.75:g128:f16", [Some(19.29), Some(17.73), Some(17.2), None]),
    ("bipolar4:g128:f16", [Some(19.2), None, None, None]),
    ("posit8", [None; 4]),
    ("q4_0", [None; 4]),
    ("q8_0", [None; 4]),
];

/// The tensors of all columns.
pub(crate) struct Samples([Vec<f32>; COLUMNS.len()]);

impl Samples {
    pub(crate) fn new() -> Self {
        let gaussian: Vec<f32> = (0..LEN).map(|i| to_f32(normal(0, i))).collect();
        // Inverse of the distribution function, scaled to variance 1; random bits never give the logarithm of 0.
        let laplace: Vec<f32> = (0..LEN)
            .map(|i| {
                let u = uniform(2, i) - 0.5;
                to_f32(-u.signum() * (1.0 - 2.0 * u.abs()).ln())
            })
            .collect();
        let student = (0..LEN)
            .map(|i| {
                let chi_square: f64 = (0..5).map(|k| normal(81 + k, i).powi(2)).sum();
                to_f32(normal(87, i) / (chi_square / 5.0).sqrt())
            })
            .collect();
        // Every hundredth column of a matrix is 20 times as large.
        let outliers: Vec<f32> = (0..LEN)
            .map(|i| if i % ROW % 100 == 37 { 20.0 * gaussian[i] } else { gaussian[i] })
            .collect();
        let rotated = hadamard(&outliers, 128);
        let laplace_rotated = hadamard(&laplace, 16);
        Self([gaussian, laplace, student, outliers, rotated, laplace_rotated])
    }

    pub(crate) fn sqnr_db(&self, format: &str, column: Column) -> f64 {
        self.scaled_sqnr_db(format, column, 1.0)
    }

    /// With all samples times a factor.
    pub(crate) fn scaled_sqnr_db(&self, format: &str, column: Column, factor: f32) -> f64 {
        let format = Format::parse(format).expect("a format of the table");
        let values: Vec<f32> = self.0[column.index].iter().map(|value| value * factor).collect();
        let analysis = format.analyse(&values, LEN / ROW, ROW, &EncodeOptions::default());
        analysis.expect("finite samples").total.sqnr_db()
    }
}

fn to_f32(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounds")]
    let value = value as f32;
    value
}

/// In (0, 1).
fn uniform(seed: u64, index: usize) -> f64 {
    (f64::from(random_bits(seed, index as u64)) + 0.5) / 2f64.powi(32)
}

/// Box and Muller.
fn normal(seed: u64, index: usize) -> f64 {
    let radius = (-2.0 * uniform(100 + seed, index).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(200 + seed, index)).cos()
}

/// The orthogonal Walsh–Hadamard transform of every `size` neighbours.
fn hadamard(values: &[f32], size: usize) -> Vec<f32> {
    let mut values = values.to_vec();
    for block in values.chunks_exact_mut(size) {
        let mut half = 1;
        while half < size {
            for pair in block.chunks_exact_mut(2 * half) {
                let (low, high) = pair.split_at_mut(half);
                for (a, b) in low.iter_mut().zip(high) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        #[expect(clippy::cast_precision_loss, reason = "16 or 128")]
        let scale = 1.0 / (size as f32).sqrt();
        for value in block {
            *value *= scale;
        }
    }
    values
}
