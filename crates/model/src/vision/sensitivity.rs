//! By how much quantizing the weights of a layer hurts, measured on images.

use std::ops::ControlFlow;

use dyadic_quant::sensitivity::{hutchinson_trace, quantize_channel};
use dyadic_tensor::pool::Pool;

use super::FloatVision;
use crate::ModelError;

/// The step of the differences, in parts of the root mean square of the weights: far above the rounding of f32, and still in the
/// quadratic part of the loss.
const STEP: f64 = 0.01;

/// Called after each step of a long measurement, with the steps done and all of them; `Break` ends it.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>;

/// The mean second derivative of the loss by the weights of each node that is a product, `Tr(H) / n`; `None` for other nodes. `Ok(None)` where
/// `progress` ended it.
///
/// The loss is the cross-entropy with the network's own probabilities, so that no labels are needed: its Hessian is the Fisher information, the part of the Hessian
/// of the training loss that does not vanish as predictions become right.
///
/// # Errors
/// As [`FloatVision::logits`].
pub fn hessian_traces(
    vision: &mut FloatVision,
    pool: (&Pool, usize),
    pixels: &[u8],
    (probes, seed): (u32, u64),
    progress: Progress<'_>,
) -> Result<Option<Vec<Option<f64>>>, ModelError> {
    let classes = vision.graph().labels.len();
    let targets = probabilities(&vision.logits(pool, pixels)?, classes);
    let nodes = vision.graph().nodes().len();
    let mut traces = vec![None; nodes];
    for (node, trace) in traces.iter_mut().enumerate() {
        if let Some(weights) = vision.graph().nodes()[node].op.weights() {
            let own = weights.weight.clone();
            let squares: f64 = own.iter().map(|&w| f64::from(w).powi(2)).sum();
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            let count = own.len() as f64;
            let step = STEP * (squares / count).sqrt().max(1e-6);
            let mut moved = own.clone();
            let estimate = hutchinson_trace(own.len(), probes, step, seed, |offsets| {
                for ((moved, &own), offset) in moved.iter_mut().zip(&own).zip(offsets) {
                    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is meant")]
                    let sum = (f64::from(own) + offset) as f32;
                    *moved = sum;
                }
                vision.set_weights(pool, node, &moved)?;
                let logits = vision.logits(pool, pixels)?;
                Ok::<_, ModelError>(cross_entropy(&targets, &logits, classes))
            });
            vision.set_weights(pool, node, &own)?;
            *trace = Some(estimate?.max(0.0) / count);
        }
        if progress(node + 1, nodes).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(traces))
}

/// `‖ΔY‖²` an image: by how much the value of each node that is a product changes when its weights are rounded to each of `widths`; `None` for other
/// nodes. `Ok(None)` where `progress` ended it.
///
/// # Errors
/// As [`FloatVision::logits`].
pub fn output_errors(
    vision: &mut FloatVision,
    pool: (&Pool, usize),
    pixels: &[u8],
    widths: &[u32],
    progress: Progress<'_>,
) -> Result<Option<Vec<Option<Vec<f64>>>>, ModelError> {
    let nodes = vision.graph().nodes().len();
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let images = (pixels.len() / vision.graph().input().elements()).max(1) as f64;
    let mut errors = vec![None; nodes];
    for (node, error) in errors.iter_mut().enumerate() {
        if let Some(weights) = vision.graph().nodes()[node].op.weights() {
            let (own, inputs) = (weights.weight.clone(), weights.inputs());
            let exact = value(vision, pool, pixels, node)?;
            let mut sums = Vec::new();
            for &bits in widths {
                let rows = own.chunks(inputs).map(|row| quantize_channel(row, bits));
                let rounded: Vec<f32> = rows
                    .flat_map(|(scale, codes)| {
                        codes.into_iter().map(move |code| f32::from(code) * scale)
                    })
                    .collect();
                vision.set_weights(pool, node, &rounded)?;
                let value = value(vision, pool, pixels, node)?;
                let differences = exact.iter().zip(&value).map(|(a, b)| f64::from(a - b).powi(2));
                sums.push(differences.sum::<f64>() / images);
            }
            vision.set_weights(pool, node, &own)?;
            *error = Some(sums);
        }
        if progress(node + 1, nodes).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(errors))
}

/// The value of one node for all images.
fn value(
    vision: &FloatVision,
    pool: (&Pool, usize),
    pixels: &[u8],
    node: usize,
) -> Result<Vec<f32>, ModelError> {
    let mut value = Vec::new();
    vision.observe(pool, pixels, &mut |index, part| {
        if index == node {
            value.extend_from_slice(part);
        }
    })?;
    Ok(value)
}

/// The logarithms of the softmax of a row.
fn log_softmax(row: &[f32]) -> impl Iterator<Item = f64> + '_ {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let largest = f64::from(largest);
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    row.iter().map(move |&x| f64::from(x) - largest - sum.ln())
}

fn probabilities(logits: &[f32], classes: usize) -> Vec<f64> {
    logits.chunks(classes).flat_map(log_softmax).map(f64::exp).collect()
}

/// The mean over the images.
fn cross_entropy(targets: &[f64], logits: &[f32], classes: usize) -> f64 {
    let logs = logits.chunks(classes).flat_map(log_softmax);
    let sum: f64 = targets.iter().zip(logs).map(|(target, log)| -target * log).sum();
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let images = (logits.len() / classes).max(1) as f64;
    sum / images
}
