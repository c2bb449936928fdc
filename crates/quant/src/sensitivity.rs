//! By how much the loss rises when a layer is quantized: `(Tr(H) / n) ‖W − Q(W)‖²` of HAWQ-V2 and V3 (Dong et al. 2020, arXiv 1911.03852; Yao et al. 2021).

use dyadic_formats::random::random_bits;

/// The most levels of weights of a width, on each side of 0: 127 for 8 bits. Symmetric, so that no product needs more bits than its neighbours.
#[must_use]
pub const fn levels(bits: u32) -> i32 {
    (1 << (bits - 1)) - 1
}

/// The scale and codes of one output channel's weights: `scale = max|w| / levels`, at least 1e-8, codes rounded to nearest, ties to even.
#[must_use]
pub fn quantize_channel(weights: &[f32], bits: u32) -> (f32, Vec<i8>) {
    let levels = levels(bits);
    let largest = weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    #[expect(clippy::cast_precision_loss, reason = "at most 127")]
    let scale = (largest / levels as f32).max(1e-8);
    let code = |&weight: &f32| {
        let code = (f64::from(weight) / f64::from(scale)).round_ties_even();
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of i8")]
        let code = code.clamp(f64::from(-levels), f64::from(levels)) as i8;
        code
    };
    (scale, weights.iter().map(code).collect())
}

/// `‖W − Q(W)‖²` with a scale for each of the output channels, rows of `inputs` weights.
#[must_use]
pub fn squared_error(weights: &[f32], inputs: usize, bits: u32) -> f64 {
    weights
        .chunks(inputs.max(1))
        .flat_map(|row| {
            let (scale, codes) = quantize_channel(row, bits);
            row.iter().zip(codes).map(move |(&weight, code)| {
                (f64::from(weight) - f64::from(scale) * f64::from(code)).powi(2)
            })
        })
        .sum()
}

/// The trace of the Hessian of a loss, by the estimator of Hutchinson (1990): the mean of `vᵀ H v` over vectors v of random signs, each by the
/// central difference `(loss(w + h v) + loss(w − h v) − 2 loss(w)) / h²`, so that a loss that can only be evaluated suffices.
///
/// `loss` is called with the sign of every weight and the step: it evaluates the loss where each weight is moved by `sign * step`. The estimate varies by
/// about `sqrt(2 / probes)` times the Frobenius norm of what lies off the diagonal of H.
///
/// # Errors
/// The first error of `loss`.
pub fn hutchinson_trace<E>(
    weights: usize,
    probes: u32,
    step: f64,
    seed: u64,
    mut loss: impl FnMut(&[f64]) -> Result<f64, E>,
) -> Result<f64, E> {
    let centre = loss(&vec![0.0; weights])?;
    let mut sum = 0.0;
    for probe in 0..probes {
        let sign = |index: usize| {
            let index = u64::from(probe) << 40 | index as u64;
            if random_bits(seed, index) & 1 == 0 { step } else { -step }
        };
        let mut offsets: Vec<f64> = (0..weights).map(sign).collect();
        let ahead = loss(&offsets)?;
        for offset in &mut offsets {
            *offset = -*offset;
        }
        let behind = loss(&offsets)?;
        sum += (ahead - centre + (behind - centre)) / (step * step);
    }
    Ok(sum / f64::from(probes.max(1)))
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::*;

    /// The loss of one linear layer under softmax has the trace Σ x² Σ p (1 − p), in closed form.
    #[test]
    fn hutchinson_finds_the_trace_of_softmax_regression() {
        let (inputs, classes) = (5, 4);
        let mut rng = Rng::new(1);
        let samples = rng.normal_vec(inputs * 20, 1.0);
        let weights = rng.normal_vec(inputs * classes, 0.5);
        let softmax = |offsets: &[f64], x: &[f32]| -> Vec<f64> {
            let logit = |class: usize| -> f64 {
                (0..inputs)
                    .map(|i| {
                        let weight = class * inputs + i;
                        (f64::from(weights[weight]) + offsets[weight]) * f64::from(x[i])
                    })
                    .sum()
            };
            let exps: Vec<f64> = (0..classes).map(|class| logit(class).exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.iter().map(|e| e / sum).collect()
        };
        let zeros = vec![0.0; inputs * classes];
        let mut exact = 0.0;
        for x in samples.chunks(inputs) {
            let squares: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
            exact += squares * softmax(&zeros, x).iter().map(|p| p * (1.0 - p)).sum::<f64>();
        }
        let loss = |offsets: &[f64]| -> Result<f64, ()> {
            let losses = samples.chunks(inputs).enumerate();
            Ok(losses.map(|(i, x)| -softmax(offsets, x)[i % classes].ln()).sum())
        };
        let estimate = hutchinson_trace(weights.len(), 400, 1e-3, 7, loss).expect("no error");
        assert!((estimate / exact - 1.0).abs() < 0.1, "{estimate} against {exact}");
    }

    #[test]
    fn channels_are_symmetric_and_rounded_to_nearest() {
        let (scale, codes) = quantize_channel(&[1.0, -2.54, 0.01, 0.03, -0.0], 8);
        assert!((scale - 0.02).abs() < 1e-9);
        assert_eq!(codes, [50, -127, 0, 2, 0]);
        assert_eq!(quantize_channel(&[7.0, -3.4, 0.5], 4), (1.0, vec![7, -3, 0]));
        assert_eq!(quantize_channel(&[0.0; 2], 8), (1e-8, vec![0, 0]));
        let error = squared_error(&[7.0, -3.4, 0.5, 14.0, 1.0, 0.0], 3, 4);
        assert!((error - (0.16 + 0.25 + 1.0)).abs() < 1e-6, "{error}");
    }
}
