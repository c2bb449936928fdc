//! The filters: which tokens may be drawn, and the draw.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::math::{exp, ln};
use super::random::Random;

/// Logits whose weights are summed together before the sums are: the canonical order of every sum over candidates.
const BLOCK: usize = 256;

/// The tokens that may still be drawn. They stay in the order of their ids, so that the lower position of two is the lower id.
pub(super) struct Candidates<'a> {
    logits: Cow<'a, [f32]>,
    /// The id of each; `None` while every token of the vocabulary is a candidate.
    ids: Option<Vec<u32>>,
    /// The largest of `logits`.
    max: f32,
}

impl<'a> Candidates<'a> {
    /// All tokens of the vocabulary. `max` is the largest of `logits`, which hold no NaN, no positive infinity, and a finite number.
    pub(super) fn all(logits: &'a [f32], max: f32) -> Self {
        Self { logits: Cow::Borrowed(logits), ids: None, max }
    }

    /// Keeps the `k` largest.
    pub(super) fn top_k(&mut self, k: usize) {
        if k < self.logits.len() {
            let kept = largest(&self.logits, k);
            self.keep(kept);
        }
    }

    /// Keeps the fewest most probable ones whose probabilities sum to at least `p`.
    pub(super) fn top_p(&mut self, p: f32) {
        let total = self.total_weight();
        let kept = self.fewest_with_mass(&self.logits, f64::from(p) * total);
        self.keep(kept);
    }

    /// Keeps those at least `p` times as probable as the most probable one.
    pub(super) fn min_p(&mut self, p: f32) {
        // ln is defined for normal numbers only; every f32 above 0 is one as an f64.
        let threshold = ln(f64::from(p));
        let kept = (0..)
            .zip(self.logits.iter())
            .filter(|&(_, &logit)| self.log_weight(logit) >= threshold)
            .map(|(position, _)| position)
            .collect();
        self.keep(kept);
    }

    /// Keeps the fewest ones, nearest to the entropy in information content, whose probabilities sum to at least `p`.
    pub(super) fn typical_p(&mut self, p: f32) {
        let total = self.total_weight();
        // -ln p_i = ln(total) - log_weight_i, so the entropy is ln(total) - mean(log_weight), and ln(total) cancels in the distance.
        let mean = block_sum(&self.logits, |logit| {
            let log_weight = self.log_weight(logit);
            let weight = exp(log_weight);
            // A weight of 0 may be that of an infinite logit.
            if weight > 0.0 { weight * log_weight } else { 0.0 }
        }) / total;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding keeps the order; what it makes equal is ordered by id"
        )]
        let keys: Vec<f32> = self
            .logits
            .iter()
            .map(|&logit| -(self.log_weight(logit) - mean).abs() as f32)
            .collect();
        let kept = self.fewest_with_mass(&keys, f64::from(p) * total);
        self.keep(kept);
    }

    /// Draws a token with probability proportional to exp(logit / temperature).
    pub(super) fn draw(&self, temperature: f32, random: &mut Random) -> u32 {
        // Finite for every f32 above 0.
        let scale = 1.0 / f64::from(temperature);
        let weight = |logit: f32| exp(self.log_weight(logit) * scale);
        let sums: Vec<f64> =
            self.logits.chunks(BLOCK).map(|block| block_sum(block, weight)).collect();
        let mut target = random.uniform() * sums.iter().sum::<f64>();
        // Rounding may leave a remainder past the end: the last block that has weight takes it, and in it the last token that has.
        let last_block = sums.iter().rposition(|&sum| sum > 0.0).unwrap_or(0);
        let mut block = 0;
        while block < last_block && target >= sums[block] {
            target -= sums[block];
            block += 1;
        }
        let mut chosen = block * BLOCK;
        for (position, &logit) in self.logits.iter().enumerate().skip(block * BLOCK).take(BLOCK) {
            let weight = weight(logit);
            if weight > 0.0 {
                chosen = position;
                if target < weight {
                    break;
                }
                target -= weight;
            }
        }
        self.id(chosen)
    }

    /// ln of the sum of exp(logit) over the candidates.
    pub(super) fn log_sum_exp(&self) -> f64 {
        f64::from(self.max) + ln(self.total_weight())
    }

    /// The ids of the candidates, rising.
    #[cfg(test)]
    pub(super) fn ids(&self) -> Vec<u32> {
        (0..self.logits.len()).map(|position| self.id(position)).collect()
    }

    fn id(&self, position: usize) -> u32 {
        match &self.ids {
            Some(ids) => ids[position],
            None => to_u32(position),
        }
    }

    /// logit - max: at most 0.
    fn log_weight(&self, logit: f32) -> f64 {
        f64::from(logit) - f64::from(self.max)
    }

    fn total_weight(&self) -> f64 {
        block_sum(&self.logits, |logit| exp(self.log_weight(logit)))
    }

    /// The positions of the fewest candidates, in falling order of `keys`, whose weights sum to at least `mass`; one at least.
    fn fewest_with_mass(&self, keys: &[f32], mass: f64) -> Vec<u32> {
        // A nucleus is small as a rule: look at few, and at 16 times as many where they do not suffice.
        let mut count = 64;
        loop {
            let mut positions = largest(keys, count);
            let mut sum = 0.0;
            let reached = positions.iter().position(|&position| {
                sum += exp(self.log_weight(self.logits[position as usize]));
                sum >= mass
            });
            if let Some(reached) = reached {
                positions.truncate(reached + 1);
                return positions;
            }
            if positions.len() < count {
                return positions;
            }
            count *= 16;
        }
    }

    fn keep(&mut self, mut positions: Vec<u32>) {
        positions.sort_unstable();
        let logits: Vec<f32> =
            positions.iter().map(|&position| self.logits[position as usize]).collect();
        self.max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        self.ids = Some(match &self.ids {
            Some(ids) => positions.iter().map(|&position| ids[position as usize]).collect(),
            None => positions,
        });
        self.logits = Cow::Owned(logits);
    }
}

/// The positions of the `count` largest keys, largest first, the lower position first of equal ones; negative infinity is left out.
///
/// One scan that keeps a buffer of twice `count`: as it fills, a selection halves it and raises the threshold below which keys are passed
/// over. O(n) for a count well below n; nothing is sorted but the result.
pub(super) fn largest(keys: &[f32], count: usize) -> Vec<u32> {
    let descending = |a: &(f32, u32), b: &(f32, u32)| {
        b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1))
    };
    if count == 0 {
        return Vec::new();
    }
    let limit = count.saturating_mul(2);
    let mut buffer: Vec<(f32, u32)> = Vec::with_capacity(limit.min(keys.len()));
    let mut threshold = f32::NEG_INFINITY;
    for (position, &key) in keys.iter().enumerate() {
        // A later key that equals the threshold loses to the `count` earlier ones.
        if key > threshold {
            buffer.push((key, to_u32(position)));
            if buffer.len() == limit {
                threshold = buffer.select_nth_unstable_by(count - 1, descending).1.0;
                buffer.truncate(count);
            }
        }
    }
    if buffer.len() > count {
        buffer.select_nth_unstable_by(count - 1, descending);
        buffer.truncate(count);
    }
    buffer.sort_unstable_by(descending);
    buffer.into_iter().map(|(_, position)| position).collect()
}

/// The position and value of the largest logit, the first of equal ones; the position of the first NaN or positive infinity as an error.
/// `None` where there is no logit above negative infinity.
pub(super) fn argmax(logits: &[f32]) -> Result<Option<(u32, f32)>, u32> {
    const LANES: usize = 16;
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let mut valid = [true; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let x = chunk[lane];
            valid[lane] &= x < f32::INFINITY;
            maxima[lane] = if x > maxima[lane] { x } else { maxima[lane] };
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        valid[lane] &= x < f32::INFINITY;
        maxima[lane] = if x > maxima[lane] { x } else { maxima[lane] };
    }
    let find = |wanted: &dyn Fn(f32) -> bool| logits.iter().position(|&x| wanted(x)).map(to_u32);
    if valid.contains(&false)
        && let Some(position) = find(&|x| x.is_nan() || x == f32::INFINITY)
    {
        return Err(position);
    }
    let max = maxima.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return Ok(None);
    }
    #[expect(clippy::float_cmp, reason = "the maximum is one of them")]
    let position = find(&|x| x == max);
    Ok(position.map(|position| (position, max)))
}

/// Sums `weight` over `logits`, in order within blocks, then over the blocks in order.
fn block_sum(logits: &[f32], weight: impl Fn(f32) -> f64) -> f64 {
    logits
        .chunks(BLOCK)
        .map(|block| {
            let mut weights = [0.0; BLOCK];
            for (slot, &logit) in weights.iter_mut().zip(block) {
                *slot = weight(logit);
            }
            weights[..block.len()].iter().sum::<f64>()
        })
        .sum()
}

/// A position is that of a token, and ids are 32 bits: [`Sampler::new`](super::Sampler::new) checked the size of the vocabulary.
#[expect(clippy::cast_possible_truncation, reason = "checked at construction")]
fn to_u32(position: usize) -> u32 {
    position as u32
}
