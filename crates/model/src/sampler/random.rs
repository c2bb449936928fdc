//! The random numbers of a sampler: Philox4x32-10, a counter-based generator.
//!
//! A counter-based generator is a pure function of (key, counter): draw number `step` of stream `stream` needs no earlier draw, so tokens do
//! not depend on how many samples run side by side or in what order they are advanced. Key = the seed; counter = (step, stream):
//!
//! ```text
//! key      = [seed & 2^32-1, seed >> 32]
//! counter  = [step & 2^32-1, step >> 32, stream & 2^32-1, stream >> 32]
//! uniform  = (output[1] << 32 | output[0]) >> 11, times 2^-53
//! ```
//!
//! Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The known answers in the tests are those of the
//! authors' Random123 library (`kat_vectors`).

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Increments of the key from round to round: the golden ratio and sqrt(3) - 1, as 32-bit fractions.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One stream of random numbers. Copying it copies its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Random {
    seed: u64,
    stream: u64,
    step: u64,
}

impl Random {
    /// The start of stream `stream` of `seed`.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream, step: 0 }
    }

    /// The next number, uniform in [0, 1) with 53 random bits.
    pub(super) fn uniform(&mut self) -> f64 {
        let [step_low, step_high] = halves(self.step);
        let [stream_low, stream_high] = halves(self.stream);
        self.step = self.step.wrapping_add(1);
        let words = philox([step_low, step_high, stream_low, stream_high], halves(self.seed));
        // 2^-53 is half of the spacing of f64 at 1.
        let bits = u64::from(words[1]) << 32 | u64::from(words[0]);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let fraction = (bits >> 11) as f64;
        fraction * (f64::EPSILON / 2.0)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "splits the word in two")]
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [low_0, high_0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low_1, high_1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high_1 ^ counter[1] ^ key[0], low_1, high_0 ^ counter[3] ^ key[1], low_0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers_of_random123() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox(
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0]
            ),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [(); 3].map(|()| (random.uniform() * 1e9).floor())
        };
        // The first is output words 0xe169c58d, 0x6627e8d5 of the known answer above: 0.8805...
        assert_eq!(draw(0, 0)[0], (f64::from(0xe169_c58d_u32) / 4_294_967_296.0 * 1e9).floor());
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(2, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1 << 32, 0), draw(1, 0));
    }

    /// 2^16 draws in 256 bins: chi-square with 255 degrees of freedom stays under its 99.9th percentile, 330.5.
    #[test]
    fn uniform_is_uniform_within_and_across_streams() {
        const DRAWS: u64 = 1 << 16;
        let mut streams = Random::new(7, 3);
        let within = std::iter::repeat_with(move || streams.uniform());
        let across = (0..).map(|stream| Random::new(7, stream).uniform());
        for draws in [Box::new(within) as Box<dyn Iterator<Item = f64>>, Box::new(across)] {
            let mut bins = [0_u32; 256];
            for x in draws.take(usize::try_from(DRAWS).unwrap()) {
                assert!((0.0..1.0).contains(&x));
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "x is in [0, 1)"
                )]
                let bin = (x * 256.0) as usize;
                bins[bin] += 1;
            }
            let expected = f64::from(u32::try_from(DRAWS / 256).unwrap());
            let chi_square: f64 =
                bins.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum();
            assert!(chi_square < 330.5, "chi-square {chi_square}");
        }
    }
}
