//! Pseudo-quantization noise: training that learns to live with rounding ("Gaussian Weight Sampling for Scalable, Efficient and Stable Pseudo-Quantization
//! Training", 2025; the uniform kind is that of `DiffQ`, Défossez et al. 2021).
//!
//! A block of weights gets the noise R · step with step = amax · 2^(1 − bits), what an integer of so many bits under an amax scale would round to.

use crate::error::FormatError;
use crate::float::{bf16_to_f32, f32_to_bf16};
use crate::format::Granularity;
use crate::quantized::Groups;
use crate::random::random_bits;

/// The distribution of R.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Noise {
    /// ⌊N(0, 1) / 2⌉: −2, −1, 0, 1 or 2. Its variance is 0.3254; most weights get no noise at all, and where the step is a bfloat16 number so is the noise.
    #[default]
    RoundedGaussian,
    /// Uniform in [−½, ½): the variance 1/12 of rounding itself.
    Uniform,
}

/// 2^32 P(|N(0, 1)| < 1) and 2^32 P(|N(0, 1)| < 3): where |R| becomes 1 and 2.
const ONE_AT: u32 = 2_932_129_042;
const TWO_AT: u32 = 4_283_371_760;

impl Noise {
    /// R for 32 random bits and a sign.
    fn sample(self, random: u32, negative: bool) -> f32 {
        match self {
            Self::RoundedGaussian => {
                let magnitude = u8::from(random >= ONE_AT) + u8::from(random >= TWO_AT);
                if negative { -f32::from(magnitude) } else { magnitude.into() }
            }
            // 24 bits are exact.
            Self::Uniform => {
                #[expect(clippy::cast_precision_loss, reason = "24 bits")]
                let share = (random >> 8) as f32;
                share / 16_777_216.0 - 0.5
            }
        }
    }
}

/// What noise is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PseudoQuantization {
    /// The bits that are imitated: 2 to 16.
    pub bits: u8,
    /// Which weights share an amax; the paper has blocks of 32 × 32.
    pub granularity: Granularity,
    /// The distribution.
    pub noise: Noise,
    /// The same seed gives the same noise.
    pub seed: u64,
}

impl PseudoQuantization {
    /// Writes the noise of each weight; the step is rounded to bfloat16, the type in which weights are kept.
    ///
    /// # Errors
    /// Where the lengths are not rows × columns, or a weight is not finite.
    ///
    /// # Panics
    /// Where `bits` is not 2 to 16.
    pub fn write_noise(
        &self,
        weights: &[f32],
        rows: usize,
        columns: usize,
        out: &mut [f32],
    ) -> Result<(), FormatError> {
        assert!((2..=16).contains(&self.bits), "2 to 16 bits");
        let expected = rows.saturating_mul(columns);
        for (what, actual) in [("weights", weights.len()), ("elements of the noise", out.len())] {
            if actual != expected {
                return Err(FormatError::Length { what, expected, actual });
            }
        }
        if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
            let format = "a block scale".to_owned();
            return Err(FormatError::NotFinite { format, index, value: weights[index] });
        }
        let groups = Groups::new(self.granularity, rows, columns);
        for group in 0..groups.count() {
            let magnitudes = groups.spans(group).flatten().map(|index| weights[index].abs());
            let largest = bf16_to_f32(f32_to_bf16(magnitudes.fold(0.0, f32::max)));
            // Infinity where amax rounds beyond the largest bfloat16 number.
            let largest = largest.min(bf16_to_f32(0x7F7F));
            let step = largest * f32::from_bits((128 - u32::from(self.bits)) << 23);
            for index in groups.spans(group).flatten() {
                let draw = 2 * index as u64;
                let negative = random_bits(self.seed, draw + 1) >> 31 == 1;
                out[index] = self.noise.sample(random_bits(self.seed, draw), negative) * step;
            }
        }
        Ok(())
    }
}
