//! Rounding the constants of programs to f32 with the real arithmetic; and the proof of the result by trying every float.

use dyadic_testkit::{Rng, ulp};

use crate::program::Program;

/// A program with constants of f32.
pub(crate) struct Rounded {
    pub(crate) program: Program,
    pub(crate) constants: Vec<f32>,
    /// The largest error in ULP.
    pub(crate) error: f64,
    /// Over how many floats: all of [-1/2, -2^-11] and [2^-11, 1/2].
    pub(crate) tested: u64,
}

/// Magnitudes that are tested: below 2^-11 an f32 result is 1 or a neighbour of it.
const BITS: std::ops::RangeInclusive<u32> = 0x3A00_0000..=0x3F00_0000;

pub(crate) fn error_at(program: &Program, constants: &[f32], x: f32) -> f64 {
    ulp::error_f32(program.value_f32(constants, x), f64::from(x).exp2())
}

/// The largest error over every float of the interval, and how many there are.
pub(crate) fn proved_error(program: &Program, constants: &[f32]) -> (f64, u64) {
    let (mut error, mut tested) = (0.0f64, 0);
    for bits in BITS {
        for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
            error = error.max(error_at(program, constants, x));
            tested += 1;
        }
    }
    (error, tested)
}

/// The largest error over a sample; given up where it exceeds `limit`.
fn sampled_error(program: &Program, constants: &[f32], sample: &[f32], limit: f64) -> f64 {
    let mut largest = 0.0f64;
    for &x in sample {
        largest = largest.max(error_at(program, constants, x));
        if largest > limit {
            break;
        }
    }
    largest
}

impl Rounded {
    /// The best of some programs with constants of f32, by a sample, then proved on the whole interval.
    pub(crate) fn best<'a>(
        programs: impl Iterator<Item = &'a Program>,
        rng: &mut Rng,
    ) -> Option<Self> {
        let sample: Vec<f32> = (0..20_000).map(|_| rng.uniform(-0.5, 0.5)).collect();
        let rounded = programs.map(|program| {
            let (error, constants) = rounded_constants(program, &sample);
            (error, constants, program)
        });
        let (_, constants, program) = rounded.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (error, tested) = proved_error(program, &constants);
        Some(Self { program: program.clone(), constants, error, tested })
    }
}

/// Rounds constants to f32: coordinate descent over the neighbours of each, and, for the large ones, of pairs. Returns the error over the sample.
fn rounded_constants(program: &Program, sample: &[f32]) -> (f64, Vec<f32>) {
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    let mut constants: Vec<f32> = program.constants.iter().map(|&c| c as f32).collect();
    let mut best = sampled_error(program, &constants, sample, f64::INFINITY);
    let moved = |x: f32, offset: i32| f32::from_bits(x.to_bits().wrapping_add_signed(offset));
    loop {
        let before = best;
        for index in 0..constants.len() {
            let centre = constants[index];
            // Constants of high powers weigh little: they are moved far as well.
            for step in [1, 8, 64, 512, 4096] {
                for offset in (-8..=8).filter(|&offset| offset != 0) {
                    let mut trial = constants.clone();
                    trial[index] = moved(centre, offset * step);
                    let error = sampled_error(program, &trial, sample, best);
                    if error < best {
                        (best, constants) = (error, trial);
                    }
                }
            }
        }
        for (i, j) in (0..constants.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let centre = (constants[i], constants[j]);
            for (a, b) in [(-1, -1), (-1, 1), (1, -1), (1, 1), (-2, 1), (2, -1), (-1, 2), (1, -2)] {
                let mut trial = constants.clone();
                (trial[i], trial[j]) = (moved(centre.0, a), moved(centre.1, b));
                let error = sampled_error(program, &trial, sample, best);
                if error < best {
                    (best, constants) = (error, trial);
                }
            }
        }
        if best >= before {
            return (best, constants);
        }
    }
}
