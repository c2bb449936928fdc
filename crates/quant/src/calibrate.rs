//! Ranges of values, from what a network makes of calibration images.
//!
//! A histogram of magnitudes serves every method. It counts in bins that double in width when a larger magnitude comes, so its bins end as if the
//! largest had been known before, and neither the order of the images nor how they are split changes a count.

/// Bins of a histogram.
const BINS: usize = 4096;

/// How a range is chosen. Ranges are symmetric: from −range to range.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RangeMethod {
    /// The largest magnitude.
    #[default]
    MinMax,
    /// The least magnitude that so many percent of the elements do not exceed.
    Percentile(f64),
    /// That of the least mean squared error among 64 parts of the largest magnitude, by the middles of the bins.
    Mse,
}

/// How often magnitudes occur.
#[derive(Clone, Debug, PartialEq)]
pub struct Magnitudes {
    bins: Vec<u64>,
    /// The exponent of the power of two where the bins end. `None` before the first magnitude above 0.
    exponent: Option<i32>,
    largest: f32,
}

impl Default for Magnitudes {
    fn default() -> Self {
        Self { bins: vec![0; BINS], exponent: None, largest: 0.0 }
    }
}

impl Magnitudes {
    /// Counts the elements of a value. What is not finite is not counted.
    pub fn count(&mut self, values: &[f32]) {
        let largest = values.iter().map(|x| x.abs()).filter(|x| x.is_finite()).fold(0.0, f32::max);
        if largest > self.largest {
            self.largest = largest;
            self.grow(end_exponent(largest));
        }
        let Some(exponent) = self.exponent else {
            self.bins[0] += values.len() as u64;
            return;
        };
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let per_unit = BINS as f64 * f64::from(-exponent).exp2();
        for x in values {
            if x.is_finite() {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to BINS - 1: every magnitude is below the end"
                )]
                let bin = (f64::from(x.abs()) * per_unit) as usize;
                self.bins[bin] += 1;
            }
        }
    }

    /// Joins what another has counted.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        self.largest = self.largest.max(other.largest);
        if let Some(exponent) = self.exponent.max(other.exponent) {
            self.grow(exponent);
            other.grow(exponent);
        }
        self.bins.iter_mut().zip(&other.bins).for_each(|(bin, other)| *bin += other);
    }

    /// The largest magnitude.
    #[must_use]
    pub const fn largest(&self) -> f32 {
        self.largest
    }

    /// The number of elements.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.bins.iter().sum()
    }

    /// The range for so many levels on each side of 0 (127 for i8). 0 where all elements are.
    #[must_use]
    pub fn range(&self, method: RangeMethod, levels: u32) -> f64 {
        let largest = f64::from(self.largest);
        match method {
            RangeMethod::MinMax => largest,
            RangeMethod::Percentile(percent) => self.percentile(percent).min(largest),
            RangeMethod::Mse => {
                let candidates = (1..=64).map(|part| largest * f64::from(part) / 64.0);
                let errors = candidates.map(|range| (self.squared_error(range, levels), range));
                errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, range)| range)
            }
        }
    }

    fn percentile(&self, percent: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a bound, not a count")]
        let wanted = self.total() as f64 * percent / 100.0;
        let mut seen = 0;
        for (bin, count) in self.bins.iter().enumerate() {
            seen += count;
            #[expect(clippy::cast_precision_loss, reason = "a bound, not a count")]
            if seen as f64 >= wanted {
                return self.place(bin, 1.0);
            }
        }
        f64::from(self.largest)
    }

    /// The sum of the squared errors of the middles of the bins, rounded to levels of `range` and clamped to it.
    fn squared_error(&self, range: f64, levels: u32) -> f64 {
        let step = range / f64::from(levels);
        let bins = self.bins.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| {
            let x = self.place(bin, 0.5);
            let error = x - ((x / step).round() * step).min(range);
            #[expect(clippy::cast_precision_loss, reason = "a weight of an error")]
            let count = count as f64;
            error * error * count
        })
        .sum()
    }

    /// A magnitude inside a bin: 0 at its beginning, 1 at its end.
    fn place(&self, bin: usize, part: f64) -> f64 {
        let end = f64::from(self.exponent.unwrap_or(0)).exp2();
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let place = (bin as f64 + part) / BINS as f64;
        place * end
    }

    /// Moves the end of the bins up to `2^exponent`.
    fn grow(&mut self, exponent: i32) {
        let own = self.exponent.unwrap_or(exponent);
        let doublings = u32::try_from(exponent - own).unwrap_or(0);
        if doublings > 0 {
            let mut bins = vec![0; BINS];
            for (bin, count) in self.bins.iter().enumerate() {
                bins[bin.checked_shr(doublings).unwrap_or(0)] += count;
            }
            self.bins = bins;
        }
        self.exponent = Some(own.max(exponent));
    }
}

/// The least exponent whose power of two is above a magnitude.
fn end_exponent(magnitude: f32) -> i32 {
    let exponent = i32::try_from(magnitude.to_bits() >> 23).unwrap_or(0) - 127;
    exponent.max(-126) + 1
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::*;

    #[test]
    fn order_and_split_do_not_change_a_histogram() {
        let mut rng = Rng::new(1);
        let mut values = rng.normal_vec(5000, 3.0);
        values.extend([0.0, -0.0, 1e-40, -100.0, f32::NAN, f32::INFINITY, 64.0]);
        let mut whole = Magnitudes::default();
        whole.count(&values);
        let (mut parts, mut backwards) = (Magnitudes::default(), Magnitudes::default());
        for part in values.chunks(77) {
            let mut own = Magnitudes::default();
            own.count(part);
            parts.merge(&own);
        }
        for part in values.chunks(13).rev() {
            backwards.count(part);
        }
        assert_eq!(whole, parts);
        assert_eq!(whole, backwards);
        assert_eq!((whole.largest(), whole.total()), (100.0, 5005));
    }

    #[test]
    fn ranges_follow_their_definitions() {
        let mut uniform = Magnitudes::default();
        let values: Vec<f32> = (1_u16..=10_000).map(|i| f32::from(i) / 1e4).collect();
        uniform.count(&values);
        assert_eq!(uniform.range(RangeMethod::MinMax, 127), 1.0);
        assert!((uniform.range(RangeMethod::Percentile(90.0), 127) - 0.9).abs() < 1e-3);
        // Nothing is gained by clamping a uniform distribution, but far outliers of a normal one cost more than they are worth.
        assert_eq!(uniform.range(RangeMethod::Mse, 127), 1.0);
        let mut normal = Magnitudes::default();
        normal.count(&Rng::new(2).normal_vec(100_000, 1.0));
        normal.count(&[40.0]);
        let range = normal.range(RangeMethod::Mse, 7);
        // The best 4-bit range of a normal distribution is 2.51 sigma.
        assert!((1.8..3.2).contains(&range), "{range}");
        assert_eq!(Magnitudes::default().range(RangeMethod::Mse, 127), 0.0);
        let mut zeros = Magnitudes::default();
        zeros.count(&[0.0; 3]);
        assert_eq!(zeros.range(RangeMethod::MinMax, 127), 0.0);
        assert_eq!(zeros.range(RangeMethod::Percentile(50.0), 127), 0.0);
    }
}
