//! The von Mises-Fisher distribution: the normal distribution of directions.

use std::f64::consts::PI;

use thiserror::Error;

use super::log_bessel_i;
use crate::elementary::{exp, ln};

/// `p(x) = C_d(kappa) e^(kappa mean . x)` on the unit sphere of `d` dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct VonMisesFisher {
    /// The mean direction, of length 1.
    pub mean: Vec<f64>,
    /// The concentration, 0 or more.
    pub kappa: f64,
}

/// Why no distribution was fitted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum VonMisesFisherError {
    /// Directions need two dimensions or more, and samples a whole number of them.
    #[error("{len} numbers are no whole number of samples of {dimensions} dimensions, 2 or more")]
    Shape {
        /// How many numbers were given.
        len: usize,
        /// The number of dimensions.
        dimensions: usize,
    },
    /// A sample without a direction.
    #[error("sample {index} has no direction: its length is zero or not finite")]
    Direction {
        /// Which.
        index: usize,
    },
    /// All samples point the same way, or cancel each other: the concentration is infinite, or there is no mean.
    #[error("the mean of the directions has length {length}: it must lie between 0 and 1")]
    Degenerate {
        /// The mean resultant length.
        length: f64,
    },
}

impl VonMisesFisherError {
    /// The stable code that JavaScript sees.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } => "ERR_SHAPE",
            Self::Direction { .. } | Self::Degenerate { .. } => "ERR_SAMPLES",
        }
    }
}

impl VonMisesFisher {
    /// The distribution of largest likelihood. `samples` is `[n][dimensions]`; only directions count.
    ///
    /// The concentration starts at the approximation of Banerjee et al. (2005), `R (d - R^2) / (1 - R^2)`, and takes Newton steps on
    /// `A_d(kappa) = I_{d/2}(kappa) / I_{d/2-1}(kappa) = R` (Sra 2012).
    ///
    /// # Errors
    /// Where the samples are not whole, one has no direction, or all are the same or cancel.
    pub fn fit(samples: &[f32], dimensions: usize) -> Result<Self, VonMisesFisherError> {
        let len = samples.len();
        if dimensions < 2 || len == 0 || !len.is_multiple_of(dimensions) {
            return Err(VonMisesFisherError::Shape { len, dimensions });
        }
        let mut mean = vec![0.0; dimensions];
        for (index, sample) in samples.chunks_exact(dimensions).enumerate() {
            let length = sample.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
            if !(length > 0.0 && length.is_finite()) {
                return Err(VonMisesFisherError::Direction { index });
            }
            for (mean, &x) in mean.iter_mut().zip(sample) {
                *mean += f64::from(x) / length;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are below 2^52")]
        let (count, d) = ((len / dimensions) as f64, dimensions as f64);
        let sum = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
        let length = sum / count;
        // Rounding leaves equal directions a few parts in 10^16 from 1.
        if !(length > 0.0 && length < 1.0 - 1e-14) {
            return Err(VonMisesFisherError::Degenerate { length });
        }
        for x in &mut mean {
            *x /= sum;
        }

        let mut kappa = length * (d - length * length) / (1.0 - length * length);
        for _ in 0..20 {
            let a = mean_resultant_length(d, kappa);
            let slope = 1.0 - a * a - (d - 1.0) / kappa * a;
            let step = (a - length) / slope;
            // A step beyond zero or a slope lost to rounding: what is reached stands.
            if !step.is_finite() || step >= kappa {
                break;
            }
            kappa -= step;
            if step.abs() <= 1e-12 * kappa {
                break;
            }
        }
        Ok(Self { mean, kappa })
    }

    /// The logarithm of the density at the direction of `x`, which must have length 1.
    ///
    /// # Panics
    /// Where `x` has not as many dimensions as the mean.
    #[must_use]
    pub fn log_density(&self, x: &[f32]) -> f64 {
        assert_eq!(x.len(), self.mean.len(), "von Mises-Fisher: dimensions");
        #[expect(clippy::cast_precision_loss, reason = "dimensions are below 2^52")]
        let half = x.len() as f64 / 2.0;
        let cosine: f64 = self.mean.iter().zip(x).map(|(m, &x)| m * f64::from(x)).sum();
        let order = half - 1.0;
        // kappa^order / I_order(kappa), which tends to 2^order Gamma(half) at 0.
        let ratio = if self.kappa > 0.0 {
            order * ln(self.kappa) - log_bessel_i(order, self.kappa)
        } else {
            order * ln(2.0) + super::scalar::ln_gamma(half.max(1.0))
        };
        ratio - half * ln(2.0 * PI) + self.kappa * cosine
    }
}

/// `I_{d/2}(kappa) / I_{d/2-1}(kappa)`: the length of the mean of many samples.
fn mean_resultant_length(d: f64, kappa: f64) -> f64 {
    exp(log_bessel_i(d / 2.0, kappa) - log_bessel_i(d / 2.0 - 1.0, kappa))
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::{VonMisesFisher, VonMisesFisherError, mean_resultant_length};
    use crate::elementary::{exp, ln};

    /// Samples about the first axis: Wood's rejection method (1994) for the cosine, a normal direction for the rest.
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "test data")]
    fn sample(rng: &mut Rng, dimensions: usize, kappa: f64, count: usize) -> Vec<f32> {
        let d = dimensions as f64;
        let b = (d - 1.0) / (2.0 * kappa + (4.0 * kappa * kappa + (d - 1.0) * (d - 1.0)).sqrt());
        let x0 = (1.0 - b) / (1.0 + b);
        let c = kappa * x0 + (d - 1.0) * ln(1.0 - x0 * x0);
        let mut samples = Vec::new();
        while samples.len() < count * dimensions {
            // A beta variate of (d-1)/2 twice is about normal in high dimensions: from sums of squares of normals.
            let squares = |rng: &mut Rng, n: usize| -> f64 {
                (0..n).map(|_| f64::from(rng.normal()).powi(2)).sum()
            };
            let (p, q) = (squares(rng, dimensions - 1), squares(rng, dimensions - 1));
            let z = p / (p + q);
            let w = (1.0 - (1.0 + b) * z) / (1.0 - (1.0 - b) * z);
            if kappa * w + (d - 1.0) * ln(1.0 - x0 * w) - c < ln(rng.uniform_f64()) {
                continue;
            }
            let rest = rng.normal_vec(dimensions - 1, 1.0);
            let norm = rest.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            samples.push(w as f32);
            samples
                .extend(rest.iter().map(|&x| (f64::from(x) / norm * (1.0 - w * w).sqrt()) as f32));
        }
        samples
    }

    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    #[test]
    fn recovers_what_it_was_sampled_from() {
        let mut rng = Rng::new(1);
        for (dimensions, kappa, count) in [
            (3, 5.0, 4000),
            (16, 40.0, 1000),
            (512, 300.0, 100),
            (2048, 3000.0, 40),
            (8192, 9000.0, 20),
            (32_768, 40_000.0, 10),
        ] {
            let samples = sample(&mut rng, dimensions, kappa, count);
            let fit = VonMisesFisher::fit(&samples, dimensions).unwrap();
            // The mean of few samples is longer than that of all: |mean|^2 = R^2 + (1 - R^2) / n on average.
            let d = dimensions as f64;
            let square = |kappa: f64| mean_resultant_length(d, kappa).powi(2);
            let expected = square(kappa) + (1.0 - square(kappa)) / count as f64;
            assert!((square(fit.kappa) - expected).abs() < 0.02, "{dimensions}: {}", fit.kappa);
            let cosine = (square(kappa) / expected).sqrt();
            assert!((fit.mean[0] - cosine).abs() < 0.02, "{dimensions}: {}", fit.mean[0]);
            assert!(fit.log_density(&samples[..dimensions]).is_finite());
        }
    }

    #[test]
    fn solves_for_the_mean_resultant_length_in_high_dimensions() {
        // Two samples with an angle between them: the length is its half angle's cosine.
        let dimensions = 32_768;
        let mut samples = vec![0.0f32; 2 * dimensions];
        samples[0] = 0.6;
        samples[1] = 0.8;
        samples[dimensions] = 0.6;
        samples[dimensions + 1] = -0.8;
        let fit = VonMisesFisher::fit(&samples, dimensions).unwrap();
        assert!((mean_resultant_length(32_768.0, fit.kappa) - 0.6).abs() < 1e-7, "{}", fit.kappa);
        assert!((fit.mean[0] - 1.0).abs() < 1e-12);
    }

    /// In three dimensions the density is `kappa / (4 pi sinh(kappa)) e^(kappa cos)`.
    #[test]
    fn the_density_of_the_sphere() {
        for kappa in [0.0, 0.5, 4.0, 100.0] {
            let distribution = VonMisesFisher { mean: vec![1.0, 0.0, 0.0], kappa };
            let sinh = if kappa > 0.0 { ((exp(kappa) - exp(-kappa)) / 2.0) / kappa } else { 1.0 };
            let exact = kappa * f64::from(0.6f32) - ln(4.0 * std::f64::consts::PI * sinh);
            let actual = distribution.log_density(&[0.6, 0.8, 0.0]);
            assert!(
                (actual - exact).abs() < 1e-12 * exact.abs().max(1.0),
                "{kappa}: {actual} {exact}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let shape = |len, dimensions| VonMisesFisherError::Shape { len, dimensions };
        assert_eq!(VonMisesFisher::fit(&[1.0; 3], 2).unwrap_err(), shape(3, 2));
        assert_eq!(VonMisesFisher::fit(&[], 2).unwrap_err(), shape(0, 2));
        assert_eq!(VonMisesFisher::fit(&[1.0], 1).unwrap_err(), shape(1, 1));
        let error = VonMisesFisher::fit(&[1.0, 0.0, 0.0, 0.0], 2).unwrap_err();
        assert_eq!(error, VonMisesFisherError::Direction { index: 1 });
        for degenerate in [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, -1.0, 0.0]] {
            let error = VonMisesFisher::fit(&degenerate, 2).unwrap_err();
            assert!(matches!(error, VonMisesFisherError::Degenerate { .. }), "{error}");
        }
    }
}
