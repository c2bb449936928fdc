//! Fitting the constants of a program: least squares, reweighted towards the smallest maximal error.

use crate::program::Program;

/// What programs are fitted to: `2^x` on an interval.
pub(crate) struct Target {
    pub(crate) low: f64,
    pub(crate) high: f64,
    nodes: Vec<f64>,
    exact: Vec<f64>,
}

impl Target {
    /// With so many Chebyshev nodes, which crowd towards the ends as the errors of good approximations do.
    pub(crate) fn new(low: f64, high: f64, count: u32) -> Self {
        let nodes: Vec<f64> = (0..count)
            .map(|i| {
                let angle = std::f64::consts::PI * (f64::from(i) + 0.5) / f64::from(count);
                f64::midpoint(low, high) - (high - low) / 2.0 * angle.cos()
            })
            .chain([low, high])
            .collect();
        let exact = nodes.iter().map(|x| x.exp2()).collect();
        Self { low, high, nodes, exact }
    }

    /// The relative error of a program at every node.
    fn errors(&self, program: &Program) -> Vec<f64> {
        self.nodes
            .iter()
            .zip(&self.exact)
            .map(|(&x, exact)| program.value(x) / exact - 1.0)
            .collect()
    }

    /// The largest relative error on a grid that is finer than the nodes; infinite where a value is not finite.
    pub(crate) fn largest_error(&self, program: &Program) -> f64 {
        let count = 2000;
        (0..=count).fold(0.0, |largest: f64, i| {
            let x = self.low + (self.high - self.low) * f64::from(i) / f64::from(count);
            let error = (program.value(x) / x.exp2() - 1.0).abs();
            if error.is_finite() { largest.max(error) } else { f64::INFINITY }
        })
    }
}

fn largest(errors: &[f64]) -> f64 {
    errors.iter().fold(
        0.0,
        |largest: f64, e| if e.is_finite() { largest.max(e.abs()) } else { f64::INFINITY },
    )
}

/// Fits the constants, starting from those that the program has. Returns the largest relative error at the nodes.
pub(crate) fn fit(program: &mut Program, target: &Target) -> f64 {
    let mut weights = vec![1.0; target.nodes.len()];
    let mut damping = 1e-3;
    // Least squares by Levenberg and Marquardt.
    let mut errors = target.errors(program);
    let norm = |errors: &[f64]| errors.iter().map(|e| e * e).sum::<f64>();
    for _ in 0..15 {
        let Some(next) = step(program, target, &weights, damping) else { break };
        let next_errors = target.errors(&next);
        if norm(&next_errors) < norm(&errors) {
            let gain = norm(&next_errors) / norm(&errors);
            (*program, errors) = (next, next_errors);
            damping *= 0.1;
            if gain > 0.999_999 {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e6 {
                break;
            }
        }
    }
    let mut best = (largest(&errors), program.clone());
    if best.0 > 0.1 {
        return best.0;
    }
    // Lawson (1961): weights grow where the error is large, until it is level.
    for _ in 0..20 {
        let top = largest(&errors);
        let heaviest = weights.iter().fold(0.0, |heaviest: f64, weight| heaviest.max(*weight));
        for (weight, error) in weights.iter_mut().zip(&errors) {
            *weight = (*weight / heaviest * (error.abs() / top)).max(1e-9);
        }
        let Some(next) = step(program, target, &weights, 1e-12) else { break };
        errors = target.errors(&next);
        *program = next;
        if largest(&errors) < best.0 {
            best = (largest(&errors), program.clone());
        }
        if !largest(&errors).is_finite() {
            break;
        }
    }
    *program = best.1;
    best.0
}

/// One damped Gauss-Newton step on the weighted relative errors; `None` where that is not finite.
fn step(program: &Program, target: &Target, weights: &[f64], damping: f64) -> Option<Program> {
    let n = program.constants.len();
    if n == 0 {
        return None;
    }
    let mut rows = Vec::with_capacity(target.nodes.len() + n);
    for ((&x, exact), weight) in target.nodes.iter().zip(&target.exact).zip(weights) {
        let (value, gradient) = program.value_and_gradient(x);
        let scale = weight.sqrt() / exact;
        let mut row: Vec<f64> = gradient.iter().map(|g| g * scale).collect();
        row.push((exact - value) * scale);
        rows.push(row);
    }
    // Damping relative to the length of each column.
    for k in 0..n {
        let length = rows.iter().map(|row| row[k] * row[k]).sum::<f64>();
        let mut row = vec![0.0; n + 1];
        row[k] = (damping * length).sqrt().max(1e-300);
        rows.push(row);
    }
    let change = least_squares(rows, n)?;
    let mut next = program.clone();
    for (constant, change) in next.constants.iter_mut().zip(change) {
        *constant += change;
    }
    next.constants.iter().all(|c| c.is_finite() && c.abs() < 1e6).then_some(next)
}

/// The least squares solution of rows `[a_1 ... a_n b]` by Householder reflections.
fn least_squares(mut rows: Vec<Vec<f64>>, n: usize) -> Option<Vec<f64>> {
    for k in 0..n {
        let length = rows[k..].iter().map(|row| row[k] * row[k]).sum::<f64>().sqrt();
        if !(length.is_finite() && length > 0.0) {
            return None;
        }
        let pivot = if rows[k][k] > 0.0 { -length } else { length };
        let mut reflector: Vec<f64> = rows[k..].iter().map(|row| row[k]).collect();
        reflector[0] -= pivot;
        let square = reflector.iter().map(|v| v * v).sum::<f64>();
        if square == 0.0 {
            continue;
        }
        for column in k..=n {
            let dot: f64 = reflector.iter().zip(&rows[k..]).map(|(v, row)| v * row[column]).sum();
            let factor = 2.0 * dot / square;
            for (v, row) in reflector.iter().zip(&mut rows[k..]) {
                row[column] -= factor * v;
            }
        }
    }
    let mut solution = vec![0.0; n];
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|j| rows[k][j] * solution[j]).sum();
        solution[k] = (rows[k][n] - rest) / rows[k][k];
    }
    solution.iter().all(|x| x.is_finite()).then_some(solution)
}
