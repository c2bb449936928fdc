#![expect(clippy::single_range_in_vec_init, reason = "one row that sees one range of keys")]

use std::ops::Range;

use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, cases, reference, ulp};
use half::f16;

use super::{
    ATTENTION_F16, ATTENTION_F32, ATTENTION_I8, Attention, AttentionScratch, I8_SCALES, KvPage,
    PAGE_TOKENS, STORE_KV_F16, key_page_len, scalar, value_page_len, value_stride,
};
use crate::{Isa, Kernels};

/// A cache of `tokens` tokens in f16 and, of the same values, in f32. What is not written is NaN.
pub(super) struct Cache {
    head_dim: usize,
    half: Vec<(Vec<u16>, Vec<u16>)>,
    single: Vec<(Vec<f32>, Vec<f32>)>,
    bytes: Vec<(Vec<i8>, Vec<i8>)>,
    /// `[tokens][head_dim]`
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    pub(super) fn new(rng: &mut Rng, head_dim: usize, tokens: usize, sigma: f32) -> Self {
        let kernels = Kernels::for_isa(Isa::Scalar).unwrap();
        let mut cache = Self {
            head_dim,
            half: Vec::new(),
            single: Vec::new(),
            bytes: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
        };
        for token in 0..tokens {
            if token % PAGE_TOKENS == 0 {
                let (keys, values) = (key_page_len(head_dim), value_page_len(head_dim));
                cache.half.push((vec![0x7E00; keys], vec![0x7E00; values]));
                cache.single.push((vec![f32::NAN; keys], vec![f32::NAN; values]));
                // The bytes of a NaN as well.
                cache.bytes.push((vec![-1; keys + I8_SCALES], vec![-1; values + I8_SCALES]));
            }
            let mut row = || -> Vec<f32> {
                (0..head_dim).map(|_| f16::from_f32(rng.normal() * sigma).to_f32()).collect()
            };
            let (key, value) = (row(), row());
            let page = token / PAGE_TOKENS;
            let slot = token % PAGE_TOKENS;
            let (keys, values) = &mut cache.half[page];
            kernels.store_kv_f16(&key, &value, slot, keys, values);
            let (keys, values) = &mut cache.single[page];
            kernels.store_kv_f32(&key, &value, slot, keys, values);
            let (keys, values) = &mut cache.bytes[page];
            kernels.store_kv_i8(&key, &value, slot, keys, values);
            cache.keys.extend(key);
            cache.values.extend(value);
        }
        cache
    }

    pub(super) fn half_pages(&self) -> Vec<KvPage<'_, u16>> {
        self.half.iter().map(|(keys, values)| KvPage { keys, values }).collect()
    }

    fn byte_pages(&self) -> Vec<KvPage<'_, i8>> {
        self.bytes.iter().map(|(keys, values)| KvPage { keys, values }).collect()
    }

    fn single_pages(&self) -> Vec<KvPage<'_, f32>> {
        self.single.iter().map(|(keys, values)| KvPage { keys, values }).collect()
    }
}

/// What varies besides the cache.
#[derive(Clone)]
pub(super) struct Case {
    queries: Vec<f32>,
    visible: Vec<Range<usize>>,
    soft_cap: Option<f32>,
    sinks: Vec<f32>,
}

impl Case {
    /// Rows that see so many keys, without cap and sinks.
    pub(super) fn of_rows(queries: Vec<f32>, visible: &[usize]) -> Self {
        let visible = visible.iter().map(|&end| 0..end).collect();
        Self { queries, visible, soft_cap: None, sinks: Vec::new() }
    }

    pub(super) fn input<'a, T>(
        &'a self,
        head_dim: usize,
        pages: &'a [KvPage<'a, T>],
    ) -> Attention<'a, T> {
        Attention {
            head_dim,
            queries: &self.queries,
            visible: &self.visible,
            pages,
            scale: 0.125,
            soft_cap: self.soft_cap,
            sinks: &self.sinks,
        }
    }

    fn row(&self, head_dim: usize, row: usize) -> Self {
        Self {
            queries: self.queries[row * head_dim..][..head_dim].to_vec(),
            visible: vec![self.visible[row].clone()],
            soft_cap: self.soft_cap,
            sinks: self.sinks.get(row).into_iter().copied().collect(),
        }
    }
}

fn expected(cache: &Cache, case: &Case) -> Vec<f32> {
    let mut out = vec![7.0; case.queries.len()];
    let pages = cache.half_pages();
    scalar::attention(
        &case.input(cache.head_dim, &pages),
        &mut AttentionScratch::default(),
        &mut out,
    );
    out
}

/// Every kernel, of all page types, against the scalar one, with all rows at once and row by row.
fn assert_kernels_agree(cache: &Cache, case: &Case) {
    let expected = expected(cache, case);
    let head_dim = cache.head_dim;
    let (half, single) = (cache.half_pages(), cache.single_pages());
    let mut scratch = AttentionScratch::default();
    for flush in Flush::BOTH {
        let mut out = Guarded::filled(7.0, expected.len(), flush);
        for kernel in ATTENTION_F16.supported() {
            // SAFETY: the CPU supports the kernel, and the lengths are those of `Attention`.
            unsafe { (kernel.function)(&case.input(head_dim, &half), &mut scratch, &mut out) };
            ulp::assert_same_bits(&out, &expected, kernel.name);
            for (row, expected) in expected.chunks_exact(head_dim).enumerate() {
                let one = case.row(head_dim, row);
                let out = &mut out[..head_dim];
                // SAFETY: as above.
                unsafe { (kernel.function)(&one.input(head_dim, &half), &mut scratch, out) };
                ulp::assert_same_bits(out, expected, kernel.name);
            }
        }
        let bytes = cache.byte_pages();
        let mut coarse = vec![7.0; expected.len()];
        scalar::attention(&case.input(head_dim, &bytes), &mut scratch, &mut coarse);
        for kernel in ATTENTION_I8.supported() {
            // SAFETY: as above.
            unsafe { (kernel.function)(&case.input(head_dim, &bytes), &mut scratch, &mut out) };
            ulp::assert_same_bits(&out, &coarse, kernel.name);
            for (row, coarse) in coarse.chunks_exact(head_dim).enumerate() {
                let one = case.row(head_dim, row);
                let out = &mut out[..head_dim];
                // SAFETY: as above.
                unsafe { (kernel.function)(&one.input(head_dim, &bytes), &mut scratch, out) };
                ulp::assert_same_bits(out, coarse, kernel.name);
            }
        }
        for kernel in ATTENTION_F32.supported() {
            // SAFETY: as above.
            unsafe { (kernel.function)(&case.input(head_dim, &single), &mut scratch, &mut out) };
            ulp::assert_same_bits(&out, &expected, kernel.name);
        }
    }
}

#[test]
fn attention_is_accurate() {
    let mut rng = Rng::new(1);
    let cache = Cache::new(&mut rng, 64, 300, 1.0);
    for sigma in [0.1, 1.0, 20.0] {
        let case = Case {
            queries: rng.normal_vec(64, sigma),
            visible: vec![0..300],
            soft_cap: None,
            sinks: Vec::new(),
        };
        let exact = reference::attention(&case.queries, &cache.keys, &cache.values, 0.125);
        let error = ulp::max_relative_error(&expected(&cache, &case), &exact, 0.1);
        // Scores of about 20 carry an error of 20 * 2^-24 * sqrt(64).
        assert!(error < 2e-6 * f64::from(sigma.max(1.0)), "{sigma}: {error}");
    }
}

/// Keys and values of 8 bits: an error of half a step, amax / 254, in each element.
#[test]
fn attention_over_bytes_is_near_that_over_floats() {
    let mut rng = Rng::new(8);
    let cache = Cache::new(&mut rng, 64, 300, 1.0);
    let case = Case::of_rows(rng.normal_vec(6 * 64, 1.0), &[300; 6]);
    let pages = cache.byte_pages();
    let mut out = vec![7.0; 6 * 64];
    scalar::attention(&case.input(64, &pages), &mut AttentionScratch::default(), &mut out);
    for (out, exact) in out.iter().zip(expected(&cache, &case)) {
        assert!((out - exact).abs() < 0.01, "{out} {exact}");
    }
}

#[test]
fn bytes_hold_what_is_zero_tiny_and_not_finite() {
    let kernels = Kernels::for_isa(Isa::Scalar).unwrap();
    let (mut keys, mut values) =
        (vec![0; key_page_len(3) + I8_SCALES], vec![0; value_page_len(3) + I8_SCALES]);
    let scale = |page: &[i8], slot: usize| {
        let scales = &page[page.len() - I8_SCALES..];
        f32::from_ne_bytes(std::array::from_fn(|i| scales[4 * slot + i].cast_unsigned()))
    };
    let mut store = |key: [f32; 3], value: [f32; 3], slot: usize| {
        kernels.store_kv_i8(&key, &value, slot, &mut keys, &mut values);
        let codes = [0, 1, 2].map(|d| keys[d * PAGE_TOKENS + slot]);
        (codes, scale(&keys, slot), scale(&values, slot))
    };
    assert_eq!(store([127.0, -127.0, 0.5], [0.0; 3], 5), ([127, -127, 0], 1.0, 0.0));
    assert_eq!(store([254.0, 3.0, 5.0], [-1.27e-2, 0.0, 0.0], 63), ([127, 2, 2], 2.0, 1e-4));
    assert_eq!(store([1e-31, 0.0, 0.0], [1.0; 3], 0).0, [0; 3]);
    let (codes, key, value) = store([f32::NAN, 1.0, 2.0], [1.0, f32::INFINITY, 0.0], 1);
    assert!(codes == [0; 3] && key.is_nan() && value.is_nan());
}

#[test]
fn kernels_equal_the_scalar_one_for_all_shapes() {
    let mut rng = Rng::new(2);
    for head_dim in [1, 8, 16, 20, 64, 80, 128] {
        for rows in [1, 2, 3, 5, 6, 7, 13] {
            let cache = Cache::new(&mut rng, head_dim, 200, 1.0);
            let visible = (0..rows).map(|row| 0..[64, 1, 63, 65, 128, 200, 0][row % 7]).collect();
            let queries = rng.normal_vec(rows * head_dim, 3.0);
            assert_kernels_agree(&cache, &Case { queries, visible, soft_cap: None, sinks: vec![] });
        }
    }
}

#[test]
fn kernels_equal_the_scalar_one_for_causal_rows_and_windows() {
    let mut rng = Rng::new(3);
    let cache = Cache::new(&mut rng, 32, 150, 1.0);
    for window in [1, 10, 70, 1000] {
        // Three query heads at each of 20 tokens.
        let visible: Vec<_> = (0..60)
            .map(|row| 120 + row / 3)
            .map(|end: usize| end.saturating_sub(window)..end)
            .collect();
        let queries = rng.normal_vec(60 * 32, 2.0);
        for (soft_cap, sinks) in
            [(None, vec![]), (Some(5.0), vec![]), (None, rng.normal_vec(60, 4.0))]
        {
            let case = Case { queries: queries.clone(), visible: visible.clone(), soft_cap, sinks };
            assert_kernels_agree(&cache, &case);
        }
    }
}

#[test]
fn kernels_equal_the_scalar_one_on_special_values() {
    let mut rng = Rng::new(4);
    let cache = Cache::new(&mut rng, 16, 100, 1.0);
    for scale in [1.0, 1e6, 1e30] {
        let queries: Vec<f32> = rng.special_vec(12 * 16).iter().map(|x| x * scale).collect();
        let visible = (0..12).map(|row| row..40 + 5 * row).collect();
        let sinks = rng.special_vec(12);
        assert_kernels_agree(&cache, &Case { queries, visible, soft_cap: Some(30.0), sinks });
    }
}

/// An infinite value that one row sees must not turn the zeros of another row, which sees it not, into NaN.
#[test]
fn values_out_of_sight_do_not_matter() {
    let mut rng = Rng::new(5);
    let mut cache = Cache::new(&mut rng, 16, 64, 1.0);
    let stride = value_stride(16);
    cache.half[0].1[30 * stride..31 * stride].fill(0x7C00);
    cache.single[0].1[30 * stride..31 * stride].fill(f32::INFINITY);
    let visible = vec![0..30, 0..31, 31..64, 0..64, 30..64];
    let case =
        Case { queries: rng.normal_vec(5 * 16, 1.0), visible, soft_cap: None, sinks: vec![] };
    assert_kernels_agree(&cache, &case);
    let out = expected(&cache, &case);
    let finite: Vec<bool> = out.chunks(16).map(|row| row.iter().all(|x| x.is_finite())).collect();
    assert_eq!(finite, [true, false, true, false, false]);
}

#[test]
fn no_keys_give_zeros_and_a_sink_takes_its_share() {
    let mut rng = Rng::new(6);
    let cache = Cache::new(&mut rng, 16, 3, 1.0);
    let mut case =
        Case { queries: vec![0.0; 16], visible: vec![1..1], soft_cap: None, sinks: vec![] };
    assert_eq!(expected(&cache, &case), [0.0; 16]);
    // All scores 0, and so the sink: each of three keys and the sink get a quarter.
    case.visible = vec![0..3];
    case.sinks = vec![0.0];
    for (d, out) in expected(&cache, &case).iter().enumerate() {
        let quarter = (cache.values[d] + cache.values[16 + d] + cache.values[32 + d]) / 4.0;
        assert!((out - quarter).abs() < 1e-6);
    }
}

#[test]
fn store_kernels_equal_the_scalar_one() {
    let mut rng = Rng::new(7);
    for head_dim in cases::lengths_around(16) {
        let (key, value) = (rng.special_vec(head_dim), rng.normal_vec(head_dim, 1e-6));
        for slot in [0, 17, 63] {
            let (keys, values) =
                (vec![1; key_page_len(head_dim)], vec![2; value_page_len(head_dim)]);
            let (mut expected_keys, mut expected_values) = (keys.clone(), values.clone());
            scalar::store_kv(&key, &value, slot, &mut expected_keys, &mut expected_values);
            for kernel in STORE_KV_F16.supported() {
                for flush in Flush::BOTH {
                    let (key, value) = (Guarded::new(&key, flush), Guarded::new(&value, flush));
                    let mut keys = Guarded::new(&keys, flush);
                    let mut values = Guarded::new(&values, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are those of a page.
                    unsafe { (kernel.function)(&key, &value, slot, &mut keys, &mut values) };
                    assert_eq!(*keys, *expected_keys, "{}", kernel.name);
                    assert_eq!(*values, *expected_values, "{}", kernel.name);
                }
            }
        }
    }
}
