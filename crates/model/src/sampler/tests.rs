//! Each filter against a plain reference that sorts everything; distributions against their probabilities; golden sequences.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const VOCABULARY: usize = 100;

fn options(temperature: f32) -> SamplingOptions {
    SamplingOptions { temperature, seed: Some(1), ..SamplingOptions::default() }
}

/// The probabilities that the options leave, by sorting everything at every step: the definition.
fn reference(logits: &[f32], options: &SamplingOptions) -> BTreeMap<u32, f64> {
    let mut kept: Vec<(u32, f64)> =
        (0..).zip(logits.iter().map(|&x| f64::from(x))).filter(|(_, x)| x.is_finite()).collect();
    kept.sort_by(|a, b| b.1.total_cmp(&a.1));
    let softmax = |kept: &[(u32, f64)], temperature: f64| -> Vec<f64> {
        let max = kept.iter().map(|x| x.1).fold(f64::MIN, f64::max);
        let weights: Vec<f64> = kept.iter().map(|x| ((x.1 - max) / temperature).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|w| w / sum).collect()
    };
    let fewest = |probabilities: &mut dyn Iterator<Item = f64>, p: f32| {
        let mut sum = 0.0;
        1 + probabilities
            .take_while(|probability| {
                sum += probability;
                sum < f64::from(p)
            })
            .count()
    };
    if options.top_k > 0 {
        kept.truncate(options.top_k);
    }
    if options.typical_p < 1.0 {
        let probabilities = softmax(&kept, 1.0);
        let entropy: f64 =
            probabilities.iter().map(|&p| if p > 0.0 { -p * p.ln() } else { 0.0 }).sum();
        let mut scored: Vec<_> = kept.iter().copied().zip(probabilities).collect();
        scored.sort_by(|a, b| (-a.1.ln() - entropy).abs().total_cmp(&(-b.1.ln() - entropy).abs()));
        let count = fewest(&mut scored.iter().map(|x| x.1), options.typical_p);
        kept = scored.into_iter().take(count).map(|x| x.0).collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1));
    }
    if options.top_p < 1.0 {
        let count = fewest(&mut softmax(&kept, 1.0).into_iter(), options.top_p);
        kept.truncate(count);
    }
    if options.min_p > 0.0 {
        let probabilities = softmax(&kept, 1.0);
        let count = probabilities
            .iter()
            .filter(|&&p| p >= f64::from(options.min_p) * probabilities[0])
            .count();
        kept.truncate(count);
    }
    let probabilities = softmax(&kept, f64::from(options.temperature));
    kept.into_iter().map(|x| x.0).zip(probabilities).collect()
}

fn draws(logits: &[f32], options: &SamplingOptions, count: usize) -> BTreeMap<u32, u32> {
    let mut sampler = Sampler::new(options.clone(), logits.len()).unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let id = sampler.sample(&mut logits.to_vec()).unwrap().id;
        *counts.entry(id).or_insert(0) += 1;
    }
    counts
}

/// Distinct logits from -6 to 6 in a scrambled order, none too near to another, some negative infinity.
fn scrambled(size: usize) -> Vec<f32> {
    (0..size)
        .map(|i| {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let x = ((i * 7919 + 13) % size) as f32 / size as f32;
            if i % 17 == 3 { f32::NEG_INFINITY } else { 12.0 * x * x - 6.0 }
        })
        .collect()
}

/// Pearson's chi-square of 20,000 draws, tokens of an expected count under 5 taken together, against the bound that a right sampler
/// exceeds once in 10,000 seeds (Wilson and Hilferty's approximation of the quantile).
fn assert_distribution(logits: &[f32], options: &SamplingOptions) {
    const DRAWS: u32 = 20_000;
    let expected = reference(logits, options);
    let counts = draws(logits, options, DRAWS as usize);
    for id in counts.keys() {
        assert!(expected.contains_key(id), "{id} should not be drawn: {options:?}");
    }
    let (mut chi_square, mut degrees, mut rare, mut rare_count) = (0.0, -1.0, 0.0, 0.0);
    for (id, probability) in &expected {
        let expected = probability * f64::from(DRAWS);
        let count = f64::from(counts.get(id).copied().unwrap_or(0));
        if expected < 5.0 {
            rare += expected;
            rare_count += count;
        } else {
            chi_square += (count - expected).powi(2) / expected;
            degrees += 1.0;
        }
    }
    if rare >= 1.0 {
        chi_square += (rare_count - rare).powi(2) / rare;
        degrees += 1.0;
    } else {
        assert!(rare_count < 12.0);
    }
    if degrees > 0.0 {
        let z = 3.719;
        let spread: f64 = 2.0 / (9.0 * degrees);
        let bound = degrees * (1.0 - spread + z * spread.sqrt()).powi(3);
        assert!(chi_square < bound, "chi-square {chi_square}, bound {bound}: {options:?}");
    }
}

#[test]
fn draws_follow_the_distribution() {
    let logits = scrambled(VOCABULARY);
    let base = options(1.0);
    let cases = [
        base.clone(),
        options(0.5),
        options(3.0),
        SamplingOptions { top_k: 7, ..base.clone() },
        SamplingOptions { top_k: 1000, ..base.clone() },
        SamplingOptions { top_p: 0.8, ..base.clone() },
        SamplingOptions { min_p: 0.05, ..base.clone() },
        SamplingOptions { typical_p: 0.7, ..base.clone() },
        SamplingOptions { top_k: 60, typical_p: 0.95, top_p: 0.9, min_p: 0.02, ..options(1.7) },
    ];
    for case in &cases {
        assert_distribution(&logits, case);
    }
}

#[test]
fn draws_follow_the_distribution_where_hundreds_of_tokens_matter() {
    let logits: Vec<f32> = scrambled(1500).iter().map(|x| x * 0.25).collect();
    assert_distribution(&logits, &options(1.0));
    assert_distribution(&logits, &SamplingOptions { top_p: 0.95, ..options(1.0) });
    assert_distribution(&logits, &SamplingOptions { typical_p: 0.95, ..options(1.0) });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn filters_leave_what_the_reference_leaves(
        logits in prop::collection::btree_set(-8000_i32..8000, 1..120),
        order in any::<u64>(),
        top_k in 0_usize..130,
        top_p in 0.0_f32..1.2,
        min_p in -0.1_f32..0.3,
        typical_p in 0.0_f32..1.2,
    ) {
        let mut logits: Vec<f32> = logits.into_iter().map(|x| f32::from(i16::try_from(x).unwrap()) / 1000.0).collect();
        let length = logits.len();
        for i in (1..length).rev() {
            logits.swap(i, usize::try_from(order % (i as u64 + 1)).unwrap());
        }
        let options = SamplingOptions {
            top_k,
            top_p: top_p.min(1.0),
            min_p: min_p.max(0.0),
            typical_p: typical_p.min(1.0),
            ..options(1.0)
        };
        let expected: Vec<u32> = reference(&logits, &options).into_keys().collect();
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        prop_assert_eq!(Sampler::filter(&options, &logits, max).ids(), expected);
    }

    #[test]
    fn largest_agrees_with_a_sort(
        keys in prop::collection::vec(prop_oneof![Just(f32::NEG_INFINITY), (-5_i16..5).prop_map(f32::from)], 0..300),
        count in 0_usize..320,
    ) {
        let mut expected: Vec<u32> = (0..).zip(&keys).filter(|x| *x.1 > f32::NEG_INFINITY).map(|x| x.0).collect();
        expected.sort_by(|&a, &b| keys[b as usize].total_cmp(&keys[a as usize]));
        expected.truncate(count);
        prop_assert_eq!(largest(&keys, count), expected);
    }

    #[test]
    fn argmax_is_the_first_largest(keys in prop::collection::vec(-4_i16..4, 1..80)) {
        let keys: Vec<f32> = keys.into_iter().map(f32::from).collect();
        let max = keys.iter().copied().fold(f32::MIN, f32::max);
        let position = u32::try_from(keys.iter().position(|x| x.total_cmp(&max).is_eq()).unwrap()).unwrap();
        prop_assert_eq!(argmax(&keys), Ok(Some((position, max))));
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_equal_logits() {
    let mut sampler = Sampler::new(SamplingOptions::default(), 40).unwrap();
    let mut logits = [0.5; 40];
    assert_eq!(sampler.sample(&mut logits).unwrap().id, 0);
    logits[33] = 0.75;
    logits[17] = 0.75;
    assert_eq!(sampler.sample(&mut logits).unwrap().id, 17);
}

#[test]
fn equal_logits_are_cut_at_the_highest_ids() {
    let logits = vec![1.0; 50];
    let case = SamplingOptions { top_k: 5, ..options(1.0) };
    assert_eq!(draws(&logits, &case, 500).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let case = SamplingOptions { top_p: 0.09, ..options(1.0) };
    assert_eq!(draws(&logits, &case, 500).into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// Fails when the generator, its use, or the arithmetic of the draw changes: texts of a seed would change with it.
#[test]
fn golden_sequences() {
    let logits = scrambled(VOCABULARY);
    let sequence = |options: SamplingOptions, stream| -> Vec<u32> {
        let mut sampler = Sampler::with_stream(options, VOCABULARY, stream).unwrap();
        (0..12).map(|_| sampler.sample(&mut logits.clone()).unwrap().id).collect()
    };
    let seed = |seed| SamplingOptions { seed: Some(seed), ..options(1.0) };
    let filtered = SamplingOptions { top_k: 40, top_p: 0.95, min_p: 0.05, ..options(0.8) };
    let actual =
        [sequence(seed(0), 0), sequence(seed(0), 1), sequence(seed(42), 0), sequence(filtered, 0)];
    assert_eq!(actual, GOLDEN);
}

const GOLDEN: [[u32; 12]; 4] = [
    [94, 36, 36, 46, 83, 9, 94, 15, 78, 15, 94, 15],
    [99, 94, 94, 78, 36, 36, 15, 57, 57, 78, 15, 78],
    [57, 36, 78, 78, 94, 36, 94, 41, 15, 41, 78, 57],
    [94, 94, 62, 15, 83, 36, 15, 57, 94, 83, 67, 94],
];

/// The draws of the golden sequences are computed apart from the sampler: inverse transform over the ids in order.
#[test]
fn the_draw_is_the_inverse_of_the_cumulative_distribution() {
    let logits = scrambled(600);
    let probabilities = reference(&logits, &options(1.0));
    let mut random = Random::new(1, 0);
    let mut sampler = Sampler::new(options(1.0), 600).unwrap();
    for _ in 0..300 {
        let u = random.uniform();
        let mut sum = 0.0;
        let expected = probabilities.iter().find(|x| {
            sum += x.1;
            u < sum
        });
        assert_eq!(sampler.sample(&mut logits.clone()).unwrap().id, *expected.unwrap().0);
    }
}

#[test]
fn a_seed_is_chosen_where_none_is_given() {
    let unseeded = SamplingOptions { seed: None, ..options(1.0) };
    let first = Sampler::new(unseeded.clone(), 10).unwrap();
    let second = Sampler::new(unseeded, 10).unwrap();
    assert_ne!(first.seed(), second.seed());
    assert_eq!(Sampler::new(options(1.0), 10).unwrap().seed(), 1);
}

#[test]
fn penalties_follow_their_definitions() {
    let penalized = SamplingOptions {
        repetition_penalty: 2.0,
        frequency_penalty: 0.5,
        presence_penalty: 0.25,
        penalty_window: Some(4),
        ..SamplingOptions::default()
    };
    let mut sampler = Sampler::new(penalized.clone(), 5).unwrap();
    for id in [4, 0, 0, 1, 9] {
        // 4 has left the window; 9 is no token of the vocabulary.
        sampler.accept(id);
    }
    let mut logits = [3.0, -1.0, 2.0, 0.5, 1.0];
    assert_eq!(sampler.sample(&mut logits).unwrap().id, 2);
    assert_eq!(logits, [3.0 / 2.0 - 1.0 - 0.25, -2.0 - 0.5 - 0.25, 2.0, 0.5, 1.0]);

    let all = SamplingOptions { penalty_window: None, ..penalized.clone() };
    let mut sampler = Sampler::new(all, 5).unwrap();
    (0..100).for_each(|_| sampler.accept(0));
    let mut logits = [3.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(sampler.sample(&mut logits).unwrap().id, 1);
    assert_eq!(logits[0], 1.5 - 50.0 - 0.25);

    let none = SamplingOptions { penalty_window: Some(0), ..penalized };
    let mut sampler = Sampler::new(none, 5).unwrap();
    sampler.accept(0);
    assert_eq!(sampler.sample(&mut [3.0, 0.0, 0.0, 0.0, 0.0]).unwrap().id, 0);
}

#[test]
fn bias_moves_and_bans() {
    let biased = SamplingOptions {
        logit_bias: BTreeMap::from([(0, f32::NEG_INFINITY), (3, 1.5)]),
        ..options(1.0)
    };
    let logits = [5.0, 0.0, 1.0, -1.0];
    assert_distribution_of(&draws(&logits, &biased, 20_000), &[0.0, 0.0, 1.0, 0.5]);
    let banned = SamplingOptions {
        logit_bias: (0..4).map(|id| (id, f32::NEG_INFINITY)).collect(),
        ..options(1.0)
    };
    let error = Sampler::new(banned, 4).unwrap().sample(&mut logits.to_vec()).unwrap_err();
    assert_eq!(error.code(), "ERR_SAMPLING_NO_CANDIDATE");
}

/// Counts of ids 1 to 3 against the softmax of their logits, within five standard deviations; id 0 is banned.
fn assert_distribution_of(counts: &BTreeMap<u32, u32>, logits: &[f64; 4]) {
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    let sum: f64 = logits[1..].iter().map(|x| x.exp()).sum();
    let draws: u32 = counts.values().sum();
    for id in 1..4 {
        let p = logits[id as usize].exp() / sum;
        let deviation = (f64::from(draws) * p * (1.0 - p)).sqrt();
        assert!((f64::from(counts[&id]) - f64::from(draws) * p).abs() < 5.0 * deviation);
    }
}

#[test]
fn logprobs_are_those_of_the_model() {
    let mut asked = SamplingOptions {
        logit_bias: BTreeMap::from([(2, 10.0)]),
        repetition_penalty: 3.0,
        logprobs: Some(2),
        ..SamplingOptions::default()
    };
    let logits = [1.0_f32, 2.0, -1.0, 2.0, f32::NEG_INFINITY];
    let log_sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
    let expected = |logit: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "rounds to f32")]
        let rounded = (logit - log_sum) as f32;
        rounded
    };
    let mut sampler = Sampler::new(asked.clone(), 5).unwrap();
    sampler.accept(2);
    let sampled = sampler.sample(&mut logits.clone()).unwrap();
    assert_eq!(sampled.id, 2);
    assert_eq!(sampled.logprob, Some(expected(-1.0)));
    assert_eq!(sampled.top, [(1, expected(2.0)), (3, expected(2.0))]);

    asked.logprobs = Some(5);
    let sampled = Sampler::new(asked.clone(), 5).unwrap().sample(&mut logits.clone()).unwrap();
    assert_eq!(sampled.top.len(), 4, "a token of probability 0 is left out");
    asked.logprobs = Some(0);
    let sampled = Sampler::new(asked, 5).unwrap().sample(&mut logits.clone()).unwrap();
    assert!(sampled.top.is_empty() && sampled.logprob.is_some());
}

#[test]
fn options_out_of_range_are_refused() {
    let base = SamplingOptions::default;
    let cases = [
        ("temperature", SamplingOptions { temperature: -0.1, ..base() }),
        ("temperature", SamplingOptions { temperature: f32::NAN, ..base() }),
        ("temperature", SamplingOptions { temperature: f32::INFINITY, ..base() }),
        ("top_p", SamplingOptions { top_p: 1.01, ..base() }),
        ("min_p", SamplingOptions { min_p: -0.01, ..base() }),
        ("typical_p", SamplingOptions { typical_p: f32::NAN, ..base() }),
        ("repetition_penalty", SamplingOptions { repetition_penalty: 0.0, ..base() }),
        ("frequency_penalty", SamplingOptions { frequency_penalty: f32::INFINITY, ..base() }),
        ("presence_penalty", SamplingOptions { presence_penalty: f32::NAN, ..base() }),
        ("logit_bias", SamplingOptions { logit_bias: BTreeMap::from([(8, 0.0)]), ..base() }),
        (
            "logit_bias",
            SamplingOptions { logit_bias: BTreeMap::from([(7, f32::INFINITY)]), ..base() },
        ),
        ("logprobs", SamplingOptions { logprobs: Some(9), ..base() }),
    ];
    for (name, options) in cases {
        let error = Sampler::new(options, 8).unwrap_err();
        assert_eq!(error.code(), "ERR_SAMPLING_OPTION");
        assert!(
            matches!(error, SamplingError::Option { option, .. } if option == name),
            "{name}: {error}"
        );
    }
    assert!(Sampler::new(base(), 8).is_ok());
}

#[test]
fn bad_logits_are_refused() {
    for temperature in [0.0, 1.0] {
        let mut sampler = Sampler::new(options(temperature), 40).unwrap();
        assert_eq!(sampler.sample(&mut [0.0; 39]).unwrap_err().code(), "ERR_SAMPLING_LENGTH");
        let all_banned = sampler.sample(&mut [f32::NEG_INFINITY; 40]).unwrap_err();
        assert_eq!(all_banned.code(), "ERR_SAMPLING_NO_CANDIDATE");
        for bad in [f32::NAN, f32::INFINITY] {
            for position in [0, 16, 39] {
                let mut logits = [1.0; 40];
                logits[position] = bad;
                let error = sampler.sample(&mut logits).unwrap_err();
                assert_eq!(error.code(), "ERR_SAMPLING_LOGITS");
                assert!(
                    matches!(error, SamplingError::Logit { id, .. } if id as usize == position)
                );
            }
        }
    }
    let mut empty = Sampler::new(options(1.0), 0).unwrap();
    assert_eq!(empty.sample(&mut []).unwrap_err().code(), "ERR_SAMPLING_NO_CANDIDATE");
}

#[test]
fn extreme_logits_and_temperatures_do_not_break_the_draw() {
    let logits = [-3e38_f32, 3e38, f32::NEG_INFINITY, 3e38, 0.0];
    for temperature in [f32::from_bits(1), 1e-30, 1.0, 3e38] {
        for case in [
            options(temperature),
            SamplingOptions { top_p: 0.5, typical_p: 0.5, min_p: 1e-45, ..options(temperature) },
        ] {
            let seen = draws(&logits, &case, 200);
            assert!(!seen.contains_key(&2));
            if temperature <= 1.0 {
                assert!(seen.keys().all(|id| [1, 3].contains(id)), "{seen:?}");
            }
        }
    }
}
