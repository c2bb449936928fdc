//! Attention over whole arrays, on the thread pool.

use std::ops::Range;

use dyadic_formats::lmul::LMul;
use dyadic_kernels::Kernels;
use dyadic_kernels::attention::{
    Attention, AttentionScratch, I8_SCALES, KvPage, PAGE_TOKENS, attention_l_mul, key_page_len,
    value_page_len,
};

use crate::TensorError;
use crate::pool::Pool;

/// Queries of a task: enough that keys and values are read from a cache for all of them.
const TASK_QUERIES: usize = 32;

/// How keys and values are held while they are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvPrecision {
    /// As they are.
    #[default]
    F32,
    /// Rounded to half precision.
    F16,
    /// Rounded to 8-bit integers, with a scale for the key and the value of each token and head.
    I8,
}

/// The shape of attention and what it is asked.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRows<'a> {
    /// The number of query heads.
    pub heads: usize,
    /// The number of key-value heads, of which `heads` is a multiple: neighbouring query heads share one.
    pub kv_heads: usize,
    /// The number of elements of a head.
    pub head_dim: usize,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
    /// For each query head a further logit that takes part in the denominator only; empty for none.
    pub sinks: &'a [f32],
    /// Query i sees the first `i + 1 + offset` keys; all where absent.
    pub causal_offset: Option<usize>,
    /// Of those only so many last ones.
    pub window: Option<usize>,
    /// How keys and values are held.
    pub precision: KvPrecision,
    /// Multiplications are replaced by L-Mul: an emulation, slow.
    pub l_mul: Option<LMul>,
}

impl AttentionRows<'_> {
    /// The keys that a query sees.
    fn visible(&self, query: usize, keys: usize) -> Range<usize> {
        let end = self
            .causal_offset
            .map_or(keys, |offset| keys.min(query.saturating_add(1).saturating_add(offset)));
        end.saturating_sub(self.window.unwrap_or(keys))..end
    }

    fn check(&self, q: usize, k: usize, v: usize, out: usize) -> Result<(), TensorError> {
        let heads = self.heads.max(1);
        TensorError::check_length(
            "query heads, those without a key-value head",
            0,
            heads % self.kv_heads.max(1),
        )?;
        TensorError::check_length(
            "queries, the last of them",
            0,
            q % (heads * self.head_dim).max(1),
        )?;
        let kv = (self.kv_heads * self.head_dim).max(1);
        TensorError::check_length("keys, the last of them", 0, k % kv)?;
        TensorError::check_length("values", k, v)?;
        TensorError::check_length("output", q, out)?;
        let sinks = if self.sinks.is_empty() { 0 } else { self.heads };
        TensorError::check_length("sinks", sinks, self.sinks.len())
    }
}

/// The pages of one key-value head.
enum Pages {
    F32(Vec<(Vec<f32>, Vec<f32>)>),
    F16(Vec<(Vec<u16>, Vec<u16>)>),
    I8(Vec<(Vec<i8>, Vec<i8>)>),
}

impl Pages {
    /// Those of head `head` of `k` and `v`, `[keys][kv_heads][head_dim]`.
    fn new(kernels: &Kernels, rows: &AttentionRows<'_>, head: usize, k: &[f32], v: &[f32]) -> Self {
        let stride = rows.kv_heads * rows.head_dim;
        let part = |x: &[f32]| -> Vec<f32> {
            x.chunks(stride)
                .flat_map(|x| &x[head * rows.head_dim..][..rows.head_dim])
                .copied()
                .collect()
        };
        let (k, v) = (part(k), part(v));
        let tokens = k.chunks(rows.head_dim).zip(v.chunks(rows.head_dim));
        let (keys, values) = (key_page_len(rows.head_dim), value_page_len(rows.head_dim));
        macro_rules! pages {
            ($variant:ident, $zero:expr, $store:ident, $scales:expr) => {{
                let mut pages = Vec::new();
                for (token, (key, value)) in tokens.enumerate() {
                    let slot = token % PAGE_TOKENS;
                    if slot == 0 {
                        pages.push((vec![$zero; keys + $scales], vec![$zero; values + $scales]));
                    }
                    let Some((keys, values)) = pages.last_mut() else { continue };
                    kernels.$store(key, value, slot, keys, values);
                }
                Self::$variant(pages)
            }};
        }
        match rows.precision {
            KvPrecision::F32 => pages!(F32, 0.0f32, store_kv_f32, 0),
            KvPrecision::F16 => pages!(F16, 0u16, store_kv_f16, 0),
            KvPrecision::I8 => pages!(I8, 0i8, store_kv_i8, I8_SCALES),
        }
    }
}

fn views<T>(pages: &[(Vec<T>, Vec<T>)]) -> Vec<KvPage<'_, T>> {
    pages.iter().map(|(keys, values)| KvPage { keys, values }).collect()
}

/// Attention of `q` `[queries][heads][head_dim]` over `k` and `v` `[keys][kv_heads][head_dim]`; `out` is like `q`.
///
/// The bits do not depend on `threads`, nor on how queries are cut into calls.
///
/// # Errors
/// [`TensorError::Length`] where an array does not fit the shape.
pub fn attention(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    rows: &AttentionRows<'_>,
    (q, k, v): (&[f32], &[f32], &[f32]),
    out: &mut [f32],
) -> Result<(), TensorError> {
    struct Task {
        head: usize,
        first: usize,
        out: Vec<f32>,
        scratch: AttentionScratch,
    }
    rows.check(q.len(), k.len(), v.len(), out.len())?;
    let (head_dim, group) = (rows.head_dim, rows.heads / rows.kv_heads.max(1));
    let (query_len, part_len) = (rows.heads * head_dim, group * head_dim);
    if q.is_empty() {
        return Ok(());
    }
    let (queries, keys) = (q.len() / query_len, k.len() / (rows.kv_heads * head_dim));
    let mut heads: Vec<Option<Pages>> = (0..rows.kv_heads).map(|_| None).collect();
    pool.for_each_mut(threads, &mut heads, |head, pages| {
        *pages = Some(Pages::new(kernels, rows, head, k, v));
    });
    let heads: Vec<Pages> = heads.into_iter().flatten().collect();
    let mut tasks: Vec<Task> = (0..rows.kv_heads)
        .flat_map(|head| (0..queries).step_by(TASK_QUERIES).map(move |first| (head, first)))
        .map(|(head, first)| Task {
            head,
            first,
            out: Vec::new(),
            scratch: AttentionScratch::default(),
        })
        .collect();
    pool.for_each_mut(threads, &mut tasks, |_, task| {
        let range = task.first..queries.min(task.first + TASK_QUERIES);
        // (queries of the task, heads of the group, head)
        let mut part = Vec::with_capacity(range.len() * part_len);
        let (mut visible, mut sinks) = (Vec::new(), Vec::new());
        for query in range {
            part.extend_from_slice(&q[query * query_len + task.head * part_len..][..part_len]);
            visible.extend(std::iter::repeat_n(rows.visible(query, keys), group));
            if !rows.sinks.is_empty() {
                sinks.extend_from_slice(&rows.sinks[task.head * group..][..group]);
            }
        }
        task.out.resize(part.len(), 0.0);
        macro_rules! attend {
            ($pages:expr, $attention:ident) => {{
                let input = Attention {
                    head_dim,
                    queries: &part,
                    visible: &visible,
                    pages: &views($pages),
                    scale: rows.scale,
                    soft_cap: rows.soft_cap,
                    sinks: &sinks,
                };
                match rows.l_mul {
                    Some(l_mul) => attention_l_mul(l_mul, &input, &mut task.out),
                    None => kernels.$attention(&input, &mut task.scratch, &mut task.out),
                }
            }};
        }
        match &heads[task.head] {
            Pages::F32(pages) => attend!(pages, attention_f32),
            Pages::F16(pages) => attend!(pages, attention_f16),
            Pages::I8(pages) => attend!(pages, attention_i8),
        }
    });
    for task in tasks {
        for (i, heads) in task.out.chunks(part_len).enumerate() {
            out[(task.first + i) * query_len + task.head * part_len..][..part_len]
                .copy_from_slice(heads);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use dyadic_kernels::{Isa, Kernels};
    use dyadic_testkit::{Rng, reference, ulp};

    use super::*;

    const ROWS: AttentionRows<'static> = AttentionRows {
        heads: 6,
        kv_heads: 2,
        head_dim: 20,
        scale: 0.2,
        soft_cap: None,
        sinks: &[],
        causal_offset: None,
        window: None,
        precision: KvPrecision::F32,
        l_mul: None,
    };

    fn run(rows: &AttentionRows<'_>, threads: usize, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
        let pool = Pool::new(NonZeroUsize::new(threads).unwrap());
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let mut out = vec![7.0; q.len()];
        attention(kernels, (&pool, threads), rows, (q, k, v), &mut out).unwrap();
        out
    }

    /// Head by head against f64, with every query seeing its own number of keys.
    #[test]
    fn heads_share_keys_and_queries_see_what_came_before() {
        let mut rng = Rng::new(1);
        let (queries, keys) = (70, 100);
        let q = rng.normal_vec(queries * 6 * 20, 1.0);
        let [k, v] = [1.0, 1.0].map(|sigma| rng.normal_vec(keys * 2 * 20, sigma));
        for (precision, bound) in
            [(KvPrecision::F32, 2e-6), (KvPrecision::F16, 5e-3), (KvPrecision::I8, 0.2)]
        {
            let rows = AttentionRows { causal_offset: Some(30), precision, ..ROWS };
            let out = run(&rows, 3, [&q, &k, &v]);
            ulp::assert_same_bits(&run(&rows, 1, [&q, &k, &v]), &out, "threads");
            for query in 0..queries {
                for head in 0..6 {
                    let part = |x: &[f32]| -> Vec<f32> {
                        x.chunks(40)
                            .take(query + 31)
                            .flat_map(|x| &x[head / 3 * 20..][..20])
                            .copied()
                            .collect()
                    };
                    let at = (query * 6 + head) * 20;
                    let exact = reference::attention(&q[at..][..20], &part(&k), &part(&v), 0.2);
                    let error = ulp::max_relative_error(&out[at..][..20], &exact, 0.1);
                    assert!(error < bound, "{precision:?} {query} {head}: {error}");
                }
            }
        }
    }

    #[test]
    fn any_chunking_of_the_queries_gives_the_same_bits() {
        let mut rng = Rng::new(2);
        let q = rng.normal_vec(100 * 6 * 20, 1.0);
        let [k, v] = [1.0, 1.0].map(|sigma| rng.normal_vec(100 * 2 * 20, sigma));
        let sinks = rng.normal_vec(6, 1.0);
        for precision in [KvPrecision::F32, KvPrecision::F16, KvPrecision::I8] {
            let rows = |offset| AttentionRows {
                causal_offset: Some(offset),
                window: Some(37),
                sinks: &sinks,
                precision,
                ..ROWS
            };
            let whole = run(&rows(0), 2, [&q, &k, &v]);
            for cut in [1, 33, 64, 99] {
                let mut parts = Vec::new();
                for (start, end) in [(0, cut), (cut, 100)] {
                    // Keys up to the last query of the part only, as a cache holds them.
                    let q = &q[start * 120..end * 120];
                    parts.extend(run(&rows(start), 1, [q, &k[..end * 40], &v[..end * 40]]));
                }
                ulp::assert_same_bits(&parts, &whole, "chunking");
            }
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let pool = Pool::new(NonZeroUsize::MIN);
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let (q, kv) = (vec![0.0; 240], vec![0.0; 80]);
        let check = |rows: AttentionRows<'_>, q: &[f32], k: &[f32], v: &[f32]| {
            attention(kernels, (&pool, 1), &rows, (q, k, v), &mut vec![0.0; 240])
        };
        assert_eq!(check(ROWS, &q, &kv, &kv), Ok(()));
        for (rows, q, k, v) in [
            (ROWS, &q[1..], &kv[..], &kv[..]),
            (ROWS, &q[..120], &kv, &kv),
            (ROWS, &q, &kv[1..], &kv),
            (ROWS, &q, &kv, &kv[..40]),
            (AttentionRows { kv_heads: 4, ..ROWS }, &q, &kv, &kv),
            (AttentionRows { sinks: &[0.0; 5], ..ROWS }, &q, &kv, &kv),
        ] {
            assert!(check(rows, q, k, v).is_err());
        }
    }
}
