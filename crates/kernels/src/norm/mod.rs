//! Normalisation of a row.
//!
//! RMSNorm (Zhang and Sennrich 2019, arXiv 1910.07467): `out = x / sqrt(mean(x^2) + eps) * weight`, evaluated as `(x * scale) * weight`
//! with `scale = 1 / sqrt(sum / n + eps)`, each step rounded to f32. Sums run in 64 lanes: element i in lane i mod 64, each lane a chain of
//! fused multiply-adds, merged by halves. LayerNorm (Ba et al. 2016, arXiv 1607.06450) takes the mean and the variance in two passes. Rows whose squares overflow (an element above 1.8e19) come out as zeros.

mod lanes;
mod scalar;

use crate::lanes::lane_op;
use crate::registry::Kernels;

lane_op! {
    /// `out = x / sqrt(mean(x^2) + eps) * weight`.
    static RMS_NORM: RmsNormFn = "rms_norm_f32",
    fn(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]),
    scalar: scalar::rms_norm,
    lanes: lanes::rms_norm,
}

lane_op! {
    /// `residual += delta`, then `out = rms_norm(residual)`.
    static ADD_RMS_NORM: AddRmsNormFn = "add_rms_norm_f32",
    fn(residual: &mut [f32], delta: &[f32], weight: &[f32], eps: f32, out: &mut [f32]),
    scalar: scalar::add_rms_norm,
    lanes: lanes::add_rms_norm,
}

lane_op! {
    /// `out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias`.
    static LAYER_NORM: LayerNormFn = "layer_norm_f32",
    fn(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]),
    scalar: scalar::layer_norm,
    lanes: lanes::layer_norm,
}

lane_op! {
    /// `out = x / max(|x|, eps)`.
    static L2_NORM: L2NormFn = "l2_norm_f32",
    fn(x: &[f32], eps: f32, out: &mut [f32]),
    scalar: scalar::l2_norm,
    lanes: lanes::l2_norm,
}

impl Kernels {
    /// `out = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias`, one row; the variance is that of the row, over n.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn layer_norm(&self, x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), weight.len(), "layer_norm: weight");
        assert_eq!(x.len(), bias.len(), "layer_norm: bias");
        assert_eq!(x.len(), out.len(), "layer_norm: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.layer_norm.function)(x, weight, bias, eps, out) }
    }

    /// `out = x / max(sqrt(sum(x^2)), eps)`, one row.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn l2_norm(&self, x: &[f32], eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "l2_norm: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.l2_norm.function)(x, eps, out) }
    }

    /// `out = x / sqrt(mean(x^2) + eps) * weight`, one row.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn rms_norm(&self, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), weight.len(), "rms_norm: weight");
        assert_eq!(x.len(), out.len(), "rms_norm: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.rms_norm.function)(x, weight, eps, out) }
    }

    /// `residual += delta`, then `out = residual / sqrt(mean(residual^2) + eps) * weight`, one row, read once.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn add_rms_norm(
        &self,
        residual: &mut [f32],
        delta: &[f32],
        weight: &[f32],
        eps: f32,
        out: &mut [f32],
    ) {
        assert_eq!(residual.len(), delta.len(), "add_rms_norm: delta");
        assert_eq!(residual.len(), weight.len(), "add_rms_norm: weight");
        assert_eq!(residual.len(), out.len(), "add_rms_norm: out");
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.add_rms_norm.function)(residual, delta, weight, eps, out) }
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, cases, reference, ulp};

    use super::{ADD_RMS_NORM, L2_NORM, LAYER_NORM, RMS_NORM, scalar};

    const EPS: f32 = 1e-5;

    #[test]
    fn rms_norm_is_accurate() {
        let mut rng = Rng::new(1);
        for len in [1, 64, 576, 4096] {
            let (x, weight) = (rng.normal_vec(len, 3.0), rng.normal_vec(len, 1.0));
            let mut out = vec![0.0; len];
            scalar::rms_norm(&x, &weight, EPS, &mut out);
            let error =
                ulp::max_relative_error(&out, &reference::rms_norm(&x, &weight, EPS), 1e-30);
            assert!(error < 4e-7, "{len}: {error}");
            let unit = 1.0 / reference::dot(&x, &x).sqrt();
            let exact: Vec<f64> = x.iter().map(|&x| f64::from(x) * unit).collect();
            scalar::l2_norm(&x, EPS, &mut out);
            let error = ulp::max_relative_error(&out, &exact, 1e-30);
            assert!(error < 4e-7, "{len}: {error}");
        }
    }

    #[test]
    fn layer_norm_is_accurate() {
        let mut rng = Rng::new(3);
        for (len, offset) in [(2, 0.0), (64, 1.0), (576, -3.0), (4096, 10.0)] {
            let x: Vec<f32> = rng.normal_vec(len, 3.0).iter().map(|x| x + offset).collect();
            let (weight, bias) = (rng.normal_vec(len, 1.0), rng.normal_vec(len, 1.0));
            let mut out = vec![0.0; len];
            scalar::layer_norm(&x, &weight, &bias, EPS, &mut out);
            let exact = reference::layer_norm(&x, &weight, &bias, EPS);
            let error = ulp::max_relative_error(&out, &exact, 1.0);
            assert!(error < 2e-6, "{len}: {error}");
        }
    }

    #[test]
    fn l2_norm_of_zeros_is_zeros() {
        let mut out = [1.0; 3];
        scalar::l2_norm(&[0.0; 3], 1e-12, &mut out);
        assert_eq!(out, [0.0; 3]);
    }

    #[test]
    fn kernels_equal_the_scalar_ones() {
        let mut rng = Rng::new(2);
        for len in cases::lengths() {
            for special in [false, true] {
                let mut row =
                    || if special { rng.special_vec(len) } else { rng.normal_vec(len, 2.0) };
                let (x, delta, weight) = (row(), row(), row());
                let mut expected = vec![0.0; len];
                let (mut sum, mut expected_sum_norm) = (x.clone(), vec![0.0; len]);
                scalar::rms_norm(&x, &weight, EPS, &mut expected);
                scalar::add_rms_norm(&mut sum, &delta, &weight, EPS, &mut expected_sum_norm);
                let (mut layer, mut unit) = (vec![0.0; len], vec![0.0; len]);
                scalar::layer_norm(&x, &weight, &delta, EPS, &mut layer);
                scalar::l2_norm(&x, EPS, &mut unit);
                for flush in Flush::BOTH {
                    let guarded = [&x, &delta, &weight].map(|v| Guarded::new(v, flush));
                    let mut out = Guarded::filled(7.0, len, flush);
                    for kernel in RMS_NORM.supported() {
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(&guarded[0], &guarded[2], EPS, &mut out) };
                        ulp::assert_same_bits(&out, &expected, kernel.name);
                    }
                    for kernel in LAYER_NORM.supported() {
                        let [x, bias, weight] = &guarded;
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(x, weight, bias, EPS, &mut out) };
                        ulp::assert_same_bits(&out, &layer, kernel.name);
                    }
                    for kernel in L2_NORM.supported() {
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(&guarded[0], EPS, &mut out) };
                        ulp::assert_same_bits(&out, &unit, kernel.name);
                    }
                    for kernel in ADD_RMS_NORM.supported() {
                        let mut residual = Guarded::new(&x, flush);
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe {
                            (kernel.function)(
                                &mut residual,
                                &guarded[1],
                                &guarded[2],
                                EPS,
                                &mut out,
                            );
                        }
                        ulp::assert_same_bits(&residual, &sum, kernel.name);
                        ulp::assert_same_bits(&out, &expected_sum_norm, kernel.name);
                    }
                }
            }
        }
    }
}
