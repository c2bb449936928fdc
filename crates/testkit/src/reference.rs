//! What kernels approximate, in f64 and in the plainest form.

/// The sum, compensated (Neumaier 1974), so that the reference adds no error of its own.
pub fn sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut compensation) = (0.0f64, 0.0f64);
    for value in values {
        let next = sum + value;
        compensation +=
            if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + compensation
}

/// `sum(a[i] * b[i])`.
///
/// # Panics
/// Where the lengths differ.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "lengths");
    sum(a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)))
}

/// `out[row] = sum over k of matrix[row][k] * x[k]`; `matrix` is row-major with rows of `x.len()`.
#[must_use]
pub fn matvec(matrix: &[f32], x: &[f32]) -> Vec<f64> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// `ln(sum(exp(x)))`.
#[must_use]
pub fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if max.is_infinite() {
        return max;
    }
    max + sum(x.iter().map(|&x| (x - max).exp())).ln()
}

/// `exp(x) / sum(exp(x))`.
#[must_use]
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total = sum(x.iter().map(|&x| (x - max).exp()));
    x.iter().map(|&x| (x - max).exp() / total).collect()
}

/// `x / sqrt(mean(x^2) + eps) * weight`.
#[must_use]
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
    let scale = 1.0 / (dot(x, x) / len(x) + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(&x, &w)| f64::from(x) * scale * f64::from(w)).collect()
}

/// `(x - mean(x)) / sqrt(var(x) + eps) * weight + bias`, the variance over n.
#[must_use]
pub fn layer_norm(x: &[f32], weight: &[f32], bias: &[f32], eps: f32) -> Vec<f64> {
    let mean = sum(x.iter().map(|&x| f64::from(x))) / len(x);
    let variance = sum(x.iter().map(|&x| (f64::from(x) - mean).powi(2))) / len(x);
    let scale = 1.0 / (variance + f64::from(eps)).sqrt();
    x.iter()
        .zip(weight.iter().zip(bias))
        .map(|(&x, (&w, &b))| (f64::from(x) - mean) * scale * f64::from(w) + f64::from(b))
        .collect()
}

/// `1 / (1 + exp(-x))`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `x * sigmoid(x)`.
#[must_use]
pub fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(x) }
}

/// The complementary error function, within about 1e-14 relative: the series of erf below 2, beyond it the continued fraction of Laplace.
#[must_use]
pub fn erfc(x: f64) -> f64 {
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x.is_nan() || x > 40.0 {
        return if x.is_nan() { x } else { 0.0 };
    }
    let two_by_root_pi = std::f64::consts::FRAC_2_SQRT_PI;
    if x < 2.0 {
        // erf(x) = 2/sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (1 3 5 ... (2n+1)): all terms positive.
        let (mut term, mut sum, mut n) = (x, x, 1.0);
        while term > sum * 1e-17 {
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
            n += 1.0;
        }
        return 1.0 - two_by_root_pi * (-x * x).exp() * sum;
    }
    // erfc(x) = e^(-x^2)/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))).
    let fraction = (1..=200).rev().fold(x, |f, n| x + 0.5 * f64::from(n) / f);
    0.5 * two_by_root_pi * (-x * x).exp() / fraction
}

/// `x * Phi(x)` with the normal distribution Phi.
#[must_use]
pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { 0.5 * x * erfc(-x / std::f64::consts::SQRT_2) }
}

/// The attention of one query over keys and values in order: `softmax(scale * q·k_j) · v`, rows of `head_dim`.
#[must_use]
pub fn attention(q: &[f32], keys: &[f32], values: &[f32], scale: f32) -> Vec<f64> {
    let scores: Vec<f64> = matvec(keys, q).iter().map(|s| s * f64::from(scale)).collect();
    let weights = softmax(&scores);
    let head_dim = q.len();
    (0..head_dim)
        .map(|d| {
            sum(weights.iter().enumerate().map(|(j, w)| w * f64::from(values[j * head_dim + d])))
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "no slice of a test has 2^53 elements")]
fn len(x: &[f32]) -> f64 {
    x.len() as f64
}

#[cfg(test)]
mod tests {
    use super::{attention, erfc, layer_norm, log_sum_exp, rms_norm, softmax, sum};

    #[test]
    fn sums_are_compensated() {
        assert_eq!(sum([1.0, 1e100, 1.0, -1e100]), 2.0);
    }

    #[test]
    fn known_values() {
        let third = softmax(&[1e4, 1e4, 1e4]);
        assert!(third.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-15));
        assert!((log_sum_exp(&[0.0, 0.0]) - std::f64::consts::LN_2).abs() < 1e-15);
        assert_eq!(rms_norm(&[3.0, -3.0], &[1.0, 2.0], 0.0), [1.0, -2.0]);
        assert_eq!(layer_norm(&[1.0, 3.0], &[1.0, 1.0], &[0.0, 0.5], 0.0), [-1.0, 1.5]);
        // Abramowitz and Stegun, table 7.1.
        assert!((erfc(0.5) - 0.479_500_122_186_953_5).abs() < 1e-14);
        assert!((erfc(1.9) / 7.209_570_764_742_524e-3 - 1.0).abs() < 1e-12);
        assert!((erfc(3.0) / 2.209_049_699_858_544e-5 - 1.0).abs() < 1e-13);
        let out = attention(&[1.0, 0.0], &[0.0, 1.0, 0.0, 2.0], &[2.0, 4.0, 4.0, 8.0], 1.0);
        assert!((out[0] - 3.0).abs() < 1e-15 && (out[1] - 6.0).abs() < 1e-15);
    }
}
