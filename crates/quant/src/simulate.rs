//! The fake-quantised graph: the integer graph evaluated in f64, every number a whole one below 2^53, so that each step is exact.
//!
//! It is written from the definitions alone and shares no code with the integer kernels: where both give the same logits, bit for bit, both are right. A
//! product with a dyadic number has up to 62 bits; it is made of two parts.

use dyadic_integer::{
    Dyadic, Graph, Matrix, Node, NormChannel, NormKind, Op, Shape, Softmax, Width, Windows,
};

use crate::graph::for_each_pixel;

/// Whole numbers up to here are exact.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// 2^31 − 1.
const I32_MAX: f64 = 2_147_483_647.0;

/// That a number is exact.
fn exact(x: f64) -> f64 {
    assert!(x.abs() < EXACT, "a sum of 2^53 or more");
    x
}

/// `2^exponent`.
fn power(exponent: u32) -> f64 {
    f64::from(exponent).exp2()
}

/// Products with dyadic numbers.
trait Exact: Copy {
    /// `(z · multiplier + offset + 2^(shift−1)) >> shift`.
    fn scaled(self, z: f64, offset: f64) -> f64;

    /// `(z · multiplier + 2^(shift−1)) >> shift`.
    fn exact_product(self, z: f64) -> f64 {
        self.scaled(z, 0.0)
    }
}

impl Exact for Dyadic {
    fn scaled(self, z: f64, offset: f64) -> f64 {
        let multiplier = f64::from(self.multiplier());
        let product = z * multiplier;
        if product.abs() + offset.abs() + power(self.shift() - 1) < EXACT {
            return ((product + offset + power(self.shift() - 1)) / power(self.shift())).floor();
        }
        // In units of 2^16: what is below one unit cannot change the floor, where offset and half are whole units.
        assert!(self.shift() > 16 && offset == 0.0, "a product of 2^53 or more");
        let high = (multiplier / 65536.0).floor();
        let low = multiplier - high * 65536.0;
        let units = exact(exact(z * high) + (exact(z * low) / 65536.0).floor());
        (exact(units + power(self.shift() - 17)) / power(self.shift() - 16)).floor()
    }
}

fn limit(x: f64, width: Width) -> f64 {
    match width {
        Width::I8 => x.clamp(-127.0, 127.0),
        Width::I16 => x.clamp(-32767.0, 32767.0),
        Width::I32 => x.clamp(-I32_MAX - 1.0, I32_MAX),
    }
}

/// The values of all nodes for one image, whole numbers.
///
/// # Panics
/// Where the image is not of the graph's size, or a sum reaches 2^53 (conversion makes no such graph).
#[must_use]
pub fn simulate(graph: &Graph, pixels: &[u8]) -> Vec<Vec<f64>> {
    assert_eq!(pixels.len(), graph.input().elements(), "an image");
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(graph.nodes().len());
    for (node, &shape) in graph.nodes().iter().zip(graph.shapes()) {
        let inputs: Vec<(&[f64], Shape)> = node
            .inputs
            .iter()
            .map(|&input| (values[input].as_slice(), graph.shapes()[input]))
            .collect();
        let value = if node.op == Op::Input {
            pixels.iter().map(|&pixel| f64::from(pixel) - 128.0).collect()
        } else {
            evaluate(node, shape, &inputs)
        };
        values.push(value);
    }
    values
}

fn evaluate(node: &Node, to: Shape, inputs: &[(&[f64], Shape)]) -> Vec<f64> {
    let (x, shape) = inputs[0];
    let width = node.width;
    let channels = shape.channels;
    match &node.op {
        Op::Input => unreachable!("it reads no value"),
        Op::Linear { matrix } => {
            let weights = Prepared::new(matrix);
            x.chunks(channels).flat_map(|x| weights.product(x, width, false)).collect()
        }
        Op::Conv2d { matrix, windows, relu } => {
            let weights = Prepared::new(matrix);
            let mut unfolded = vec![0.0; weights.inputs];
            let mut out = Vec::with_capacity(to.elements());
            for window in 0..to.tokens() {
                let place = [window / to.width, window % to.width];
                unfolded.fill(0.0);
                for_each_pixel(windows, shape, place, |place, pixel| {
                    unfolded[place * channels..][..channels]
                        .copy_from_slice(&x[pixel * channels..][..channels]);
                });
                out.extend(weights.product(&unfolded, width, *relu));
            }
            out
        }
        Op::AddPosition { class_row, position, factor } => {
            let tokens = x
                .iter()
                .zip(position)
                .map(|(&x, &position)| limit(factor.exact_product(x) + f64::from(position), width));
            class_row.iter().map(|&x| f64::from(x)).chain(tokens).collect()
        }
        Op::LayerNorm { kind, channels: parameters } => {
            x.chunks(channels).flat_map(|x| layer_norm(x, *kind, parameters)).collect()
        }
        Op::Attention { heads, scores, softmax, output } => {
            attention(x, channels / 3, *heads, *scores, softmax, *output)
        }
        Op::Lookup { table } => (-128..128).map(f64::from).zip(table.iter()).fold(
            vec![0.0; x.len()],
            |mut out, (q, &entry)| {
                for (out, _) in out.iter_mut().zip(x).filter(|(_, x)| **x == q) {
                    *out = entry.into();
                }
                out
            },
        ),
        Op::ShiftGelu { one, factor } => x
            .chunks(channels)
            .flat_map(|x| {
                let most = x.iter().copied().fold(0.0, f64::max);
                x.iter().map(move |&x| {
                    let own = shift_exp(x - most, f64::from(*one), 23);
                    let sum = (own + shift_exp(-most, f64::from(*one), 23)).clamp(1.0, I32_MAX);
                    let sigmoid = (exact(own * (I32_MAX / sum).floor()) / power(24)).floor();
                    limit(factor.exact_product(x * sigmoid), width)
                })
            })
            .collect(),
        Op::Add { factors: [a, b] } => {
            let pairs = x.iter().zip(inputs[1].0);
            pairs.map(|(&x, &y)| limit(a.exact_product(x) + b.exact_product(y), width)).collect()
        }
        Op::Multiply { factor } => x
            .iter()
            .zip(inputs[1].0)
            .map(|(x, y)| limit(factor.exact_product(x * y), width))
            .collect(),
        Op::MaxPool(windows) => pooled(windows, x, shape, to, f64::max, f64::NEG_INFINITY),
        Op::AveragePool { windows, factor } => {
            let sums = pooled(windows, x, shape, to, |a, b| a + b, 0.0);
            sums.into_iter().map(|sum| limit(factor.exact_product(sum), width)).collect()
        }
        Op::Concat { factors } => (0..shape.tokens())
            .flat_map(|token| {
                inputs.iter().zip(factors).flat_map(move |((x, shape), factor)| {
                    let row = &x[token * shape.channels..][..shape.channels];
                    row.iter().map(move |&x| limit(factor.exact_product(x), width))
                })
            })
            .collect(),
        Op::ClassRow => x[..channels].to_vec(),
    }
}

fn pooled(
    windows: &Windows,
    x: &[f64],
    from: Shape,
    to: Shape,
    gather: impl Fn(f64, f64) -> f64,
    start: f64,
) -> Vec<f64> {
    let mut out = vec![start; to.elements()];
    for (window, out) in out.chunks_mut(from.channels).enumerate() {
        for_each_pixel(windows, from, [window / to.width, window % to.width], |_, pixel| {
            for (out, &x) in out.iter_mut().zip(&x[pixel * from.channels..]) {
                *out = gather(*out, x);
            }
        });
    }
    out
}

/// A matrix in f64.
struct Prepared<'a> {
    matrix: &'a Matrix,
    weights: Vec<f64>,
    inputs: usize,
}

impl<'a> Prepared<'a> {
    fn new(matrix: &'a Matrix) -> Self {
        let weights: Vec<f64> = matrix.codes.iter().map(|&code| code.into()).collect();
        Self { matrix, inputs: weights.len() / matrix.bias.len(), weights }
    }

    fn product(&self, x: &[f64], width: Width, relu: bool) -> Vec<f64> {
        let rows = self.weights.chunks_exact(self.inputs).zip(&self.matrix.bias);
        rows.zip(&self.matrix.factors)
            .map(|((row, &bias), factor)| {
                let value =
                    limit(factor.exact_product(exact(dot(row, x) + f64::from(bias))), width);
                if relu { value.max(0.0) } else { value }
            })
            .collect()
    }
}

/// Exact, so that the order of the sum does not matter: eight chains for speed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0; 8];
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    exact(sums.iter().sum::<f64>() + rest)
}

fn layer_norm(x: &[f64], kind: NormKind, channels: &[NormChannel]) -> Vec<f64> {
    #[expect(clippy::cast_precision_loss, reason = "channels")]
    let count = x.len() as f64;
    let sum: f64 = x.iter().sum();
    #[expect(
        clippy::cast_precision_loss,
        reason = "below 2^53, which `exact` proves of sums with them"
    )]
    let offset = |channel: &NormChannel| channel.offset as f64;
    let outputs = x.iter().zip(channels);
    if let NormKind::Exact { epsilon } = kind {
        let squares: f64 = x.iter().map(|x| x * x).sum();
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let spread = exact(exact(count * squares) - exact(sum * sum) + epsilon as f64);
        let root = floor_root(exact(spread * 256.0)).max(1.0);
        let factor = (power(44) / root).floor();
        return outputs
            .map(|(x, channel)| {
                let unit = (exact((count * x - sum) * factor) / power(26)).floor();
                limit(channel.factor.scaled(unit, offset(channel)), Width::I8)
            })
            .collect();
    }
    let mean = (sum / count).round_ties_even();
    let spread: f64 = exact(x.iter().map(|x| (x - mean) * (x - mean)).sum());
    let root = match kind {
        NormKind::TenSteps => (0..10)
            .fold(65536.0, |root: f64, _| f64::midpoint(root, (spread / root).floor()).floor()),
        _ => floor_root(spread).max(1.0),
    };
    let factor = (I32_MAX / root).floor();
    outputs
        .map(|(x, channel)| {
            let unit = (exact((x - mean) * factor) / 2.0).floor() + offset(channel);
            limit(channel.factor.exact_product(limit(unit, Width::I32)), Width::I8)
        })
        .collect()
}

/// `⌊√x⌋`. The root of f64 is rounded to nearest and can be one too large.
fn floor_root(x: f64) -> f64 {
    let root = x.sqrt().floor();
    if root * root > x { root - 1.0 } else { root }
}

fn attention(
    qkv: &[f64],
    channels: usize,
    heads: usize,
    scores: Dyadic,
    softmax: &Softmax,
    output: Dyadic,
) -> Vec<f64> {
    let head_dim = channels / heads;
    let tokens = qkv.len() / (3 * channels);
    let mut out = vec![0.0; tokens * channels];
    for head in 0..heads {
        let part = |token: usize, which: usize| {
            &qkv[(3 * token + which) * channels + head * head_dim..][..head_dim]
        };
        for query in 0..tokens {
            let score =
                |key| limit(scores.exact_product(dot(part(query, 0), part(key, 1))), Width::I8);
            let row: Vec<f64> = (0..tokens).map(score).collect();
            let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = match softmax {
                Softmax::Deferred { table } => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "0 to 254"
                    )]
                    let weight = |score: &f64| f64::from(table[(most - score) as usize]);
                    row.iter().map(weight).collect()
                }
                Softmax::Shiftmax { one } => {
                    let exps = row.iter().map(|score| shift_exp(score - most, f64::from(*one), 15));
                    let exps: Vec<f64> = exps.collect();
                    let sum = exact(exps.iter().sum()).min(I32_MAX);
                    let share = (I32_MAX / sum).floor();
                    exps.iter().map(|e| (e * share / power(16)).floor()).collect()
                }
            };
            let sum: f64 = weights.iter().sum();
            for d in 0..head_dim {
                let products = weights.iter().enumerate();
                let total: f64 = products.map(|(key, weight)| weight * part(key, 2)[d]).sum();
                let value = match softmax {
                    Softmax::Deferred { .. } => divide_away(output, exact(total), sum),
                    Softmax::Shiftmax { .. } => output.exact_product(exact(total)),
                };
                out[query * channels + head * head_dim + d] = limit(value, Width::I8);
            }
        }
    }
    out
}

/// `total · multiplier / (sum · 2^shift)` to nearest, ties away from 0, for results of few bits: the quotient of f64 is corrected by exact products.
fn divide_away(output: Dyadic, total: f64, sum: f64) -> f64 {
    let divisor = |quotient: f64| (2.0 * quotient - 1.0) * sum;
    let magnitude = total.abs();
    let multiplier = f64::from(output.multiplier().unsigned_abs());
    let mut quotient = (magnitude * multiplier / power(output.shift()) / sum + 0.5).floor();
    // The largest quotient for which (2 quotient − 1) · sum · 2^(shift−1) ≤ magnitude · multiplier.
    let fits = |quotient: f64| {
        let (high, low) = two_parts(magnitude, multiplier);
        let (other_high, other_low) = two_parts(divisor(quotient), power(output.shift() - 1));
        (other_high, other_low) <= (high, low)
    };
    while !fits(quotient) {
        quotient -= 1.0;
    }
    while fits(quotient + 1.0) {
        quotient += 1.0;
    }
    quotient * total.signum() * f64::from(output.multiplier().signum())
}

/// A product in units of 2^32 and the rest, both exact.
fn two_parts(a: f64, b: f64) -> (f64, f64) {
    let (b_high, a_high) = ((b / 65536.0).floor(), (a / 65536.0).floor());
    let (b_low, a_low) = (b - b_high * 65536.0, a - a_high * 65536.0);
    let middle = exact(a_high * b_low + a_low * b_high);
    let middle_high = (middle / 65536.0).floor();
    let low = exact((middle - middle_high * 65536.0) * 65536.0 + a_low * b_low);
    let carry = (low / 4_294_967_296.0).floor();
    (exact(a_high * b_high + middle_high + carry), low - carry * 4_294_967_296.0)
}

/// `ShiftExp` of I-ViT for d ≤ 0.
fn shift_exp(d: f64, one: f64, bits: u32) -> f64 {
    let product = d + (d / 2.0).floor() - (d / 16.0).floor();
    let product = product.max(-f64::from(bits) * one);
    let halvings = (-product / one).floor();
    let twice = product + one * halvings + 2.0 * one;
    (twice * (f64::from(bits) - halvings - 1.0).exp2()).floor()
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::Rng;

    use super::*;

    /// Against 128-bit integers.
    #[expect(clippy::cast_precision_loss, reason = "whole numbers below 2^53")]
    #[test]
    fn products_and_quotients_are_exact() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let mut whole = |below: usize| i128::try_from(rng.below(below)).unwrap();
            let sign = if whole(2) == 0 { 1 } else { -1 };
            let shift = 20 + u32::try_from(whole(26)).unwrap();
            let (z, multiplier) = (whole(1 << 24) - (1 << 23), sign * ((1 << 30) + whole(1 << 30)));
            let factor = Dyadic::new(i32::try_from(multiplier).unwrap(), shift).unwrap();
            let expected = (z * multiplier + (1 << (shift - 1))) >> shift;
            assert_eq!(factor.exact_product(z as f64), expected as f64, "{z} {factor:?}");
            let sum = 1 + whole(1 << 18);
            let (a, b) = (z.abs() * multiplier.abs(), sum << shift);
            let expected = ((2 * a + b) / (2 * b)) * z.signum() * multiplier.signum();
            assert_eq!(
                divide_away(factor, z as f64, sum as f64),
                expected as f64,
                "{z} {factor:?} {sum}"
            );
        }
        for x in
            [0_u64, 1, 3, 4, 99, 100, (1 << 50) - 1, 1 << 50, ((1 << 26) - 1) * ((1 << 26) - 1) - 1]
        {
            assert_eq!(floor_root(x as f64), x.isqrt() as f64, "{x}");
        }
    }
}
