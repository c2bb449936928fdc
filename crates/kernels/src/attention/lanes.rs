//! Attention over [`Lanes`], in blocks of up to six rows, so that one load of a key or a value serves all of them.

use super::scalar::{self, merge_sink};
use super::{
    Attention, AttentionScratch, EMPTY_EXPONENT, PAGE_TOKENS, SCORE_LIMIT, key_page_len,
    value_page_len, value_stride,
};
use crate::activation::lanes::capped;
use crate::exp::lanes::ext_exp;
use crate::exp::scalar::scale_down;
use crate::lanes::{LANES, Lanes};

/// The largest number of rows of a block: 6 x 4 accumulators of AVX-512, and 6 x 16 lanes of AVX2 and NEON, fill the registers.
const MAX_ROWS: usize = 6;

/// The number of vectors of a tile.
const PARTS: usize = PAGE_TOKENS / LANES;

/// An element of a page.
pub(super) trait Element: scalar::Element {
    /// Whether several blocks of rows are better served by a page converted to f32 once.
    const CONVERTED: bool;

    fn load<S: Lanes>(s: S, x: &[Self; LANES]) -> S::F;
}

impl Element for f32 {
    const CONVERTED: bool = false;

    #[inline(always)]
    fn load<S: Lanes>(s: S, x: &[Self; LANES]) -> S::F {
        s.load(x)
    }
}

impl Element for i8 {
    const CONVERTED: bool = true;

    #[inline(always)]
    fn load<S: Lanes>(s: S, x: &[Self; LANES]) -> S::F {
        s.load_i8(x)
    }
}

impl Element for u16 {
    const CONVERTED: bool = true;

    #[inline(always)]
    fn load<S: Lanes>(s: S, x: &[Self; LANES]) -> S::F {
        s.load_f16(x)
    }
}

/// What a call wants, without the pages.
#[derive(Clone, Copy)]
struct Shape {
    head_dim: usize,
    scale: f32,
    soft_cap: Option<f32>,
}

/// The scores of the rows of a block with the keys of a tile, later their weights.
type Scores = [[f32; PAGE_TOKENS]; MAX_ROWS];

/// `scores[r][j] = sum over d of q[d][r] * k[d][j]`, for `C` vectors of keys from `part` on.
#[inline(always)]
fn dot_keys<S: Lanes, T: Element, const R: usize, const C: usize>(
    s: S,
    queries: &[f32],
    keys: &[T],
    part: usize,
    scores: &mut Scores,
) {
    let mut sums = [[s.splat(0.0); C]; R];
    for (q, k) in queries.as_chunks::<R>().0.iter().zip(keys.as_chunks::<PAGE_TOKENS>().0) {
        let k_parts = &k.as_chunks::<LANES>().0[part..part + C];
        let mut k = [s.splat(0.0); C];
        for c in 0..C {
            k[c] = T::load(s, &k_parts[c]);
        }
        for r in 0..R {
            let q = s.splat(q[r]);
            for c in 0..C {
                sums[r][c] = s.fma(q, k[c], sums[r][c]);
            }
        }
    }
    for r in 0..R {
        let out = &mut scores[r].as_chunks_mut::<LANES>().0[part..part + C];
        for c in 0..C {
            s.store(sums[r][c], &mut out[c]);
        }
    }
}

/// The scales of the tokens of a tile, where its elements have any: those of the keys and those of the values.
type Scales<'a> = Option<&'a [[f32; PAGE_TOKENS]; 2]>;

/// Turns the scores of a row into weights and brings its exponent and sums up to date. Returns what its accumulator must be multiplied by.
#[inline(always)]
fn weigh<S: Lanes>(
    s: S,
    shape: Shape,
    scores: &mut [f32; PAGE_TOKENS],
    scales: Scales<'_>,
    (first, end): (usize, usize),
    exponent: &mut f32,
    sums: &mut [f32; LANES],
) -> f32 {
    let parts = scores.as_chunks_mut::<LANES>().0;
    let mut m = [s.splat(0.0); PARTS];
    let mut n = [s.splat(EMPTY_EXPONENT); PARTS];
    for c in 0..PARTS {
        let mut score = s.load(&parts[c]);
        if let Some([keys, _]) = scales {
            score = s.mul(score, s.load(&keys.as_chunks::<LANES>().0[c]));
        }
        score = s.mul(score, s.splat(shape.scale));
        if let Some(cap) = shape.soft_cap {
            score = capped(s, score, cap);
        }
        // The constants come first, so that a NaN passes.
        let score = s.max(s.splat(-SCORE_LIMIT), s.min(s.splat(SCORE_LIMIT), score));
        (m[c], n[c]) = ext_exp(s, score);
    }
    if (first, end) != (0, PAGE_TOKENS) {
        let index: [f32; LANES] =
            [0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.];
        #[expect(clippy::cast_precision_loss, reason = "below 64")]
        for c in 0..PARTS {
            let index = s.add(s.load(&index), s.splat((c * LANES) as f32));
            let before = s.lt(index, s.splat(first as f32));
            let inside = s.lt(index, s.splat(end as f32));
            let (zero, empty) = (s.splat(0.0), s.splat(EMPTY_EXPONENT));
            m[c] = s.select(before, zero, s.select(inside, m[c], zero));
            n[c] = s.select(before, empty, s.select(inside, n[c], empty));
        }
    }
    let tile_max = s.reduce_max(s.max(s.max(n[0], n[2]), s.max(n[1], n[3])));
    let common = if *exponent > tile_max { *exponent } else { tile_max };
    let rescale = scale_down(1.0, *exponent - common);
    *exponent = common;
    let mut p = [s.splat(0.0); PARTS];
    for c in 0..PARTS {
        p[c] = s.scale_down(m[c], s.sub(n[c], s.splat(common)));
        let weight = match scales {
            Some([_, values]) => s.mul(p[c], s.load(&values.as_chunks::<LANES>().0[c])),
            None => p[c],
        };
        s.store(weight, &mut parts[c]);
    }
    let tile_sum = s.add(s.add(p[0], p[2]), s.add(p[1], p[3]));
    s.store(s.fma(s.load(sums), s.splat(rescale), tile_sum), sums);
    rescale
}

/// `accumulators[r][d] += p[r][j] * v[j][d]` for the keys `first..end` in order and `C` vectors of d from `part` on.
#[inline(always)]
fn add_values<S: Lanes, T: Element, const R: usize, const C: usize>(
    s: S,
    p: &[[f32; PAGE_TOKENS]],
    (first, end): (usize, usize),
    values: &[T],
    stride: usize,
    part: usize,
    accumulators: &mut [f32],
) {
    let mut sums = [[s.splat(0.0); C]; R];
    let column = part * LANES;
    for r in 0..R {
        let row = accumulators[r * stride + column..][..C * LANES].as_chunks::<LANES>().0;
        for c in 0..C {
            sums[r][c] = s.load(&row[c]);
        }
    }
    assert!(end <= PAGE_TOKENS);
    for j in first..end {
        let row = values[j * stride + column..][..C * LANES].as_chunks::<LANES>().0;
        let mut v = [s.splat(0.0); C];
        for c in 0..C {
            v[c] = T::load(s, &row[c]);
        }
        for r in 0..R {
            let p = s.splat(p[r][j]);
            for c in 0..C {
                sums[r][c] = s.fma(p, v[c], sums[r][c]);
            }
        }
    }
    for r in 0..R {
        let row = accumulators[r * stride + column..][..C * LANES].as_chunks_mut::<LANES>().0;
        for c in 0..C {
            s.store(sums[r][c], &mut row[c]);
        }
    }
}

/// [`add_values`] for all of the columns.
#[inline(always)]
fn add_all_values<S: Lanes, T: Element, const R: usize>(
    s: S,
    p: &[[f32; PAGE_TOKENS]],
    range: (usize, usize),
    values: &[T],
    stride: usize,
    accumulators: &mut [f32],
) {
    if range.0 >= range.1 {
        return;
    }
    let parts = stride / LANES;
    let mut part = 0;
    if S::BLOCK == 4 {
        while part + 4 <= parts {
            add_values::<S, T, R, 4>(s, p, range, values, stride, part, accumulators);
            part += 4;
        }
    }
    while part < parts {
        add_values::<S, T, R, 1>(s, p, range, values, stride, part, accumulators);
        part += 1;
    }
}

/// [`dot_keys`] for all of the keys of a tile.
#[inline(always)]
fn dot_all_keys<S: Lanes, T: Element, const R: usize>(
    s: S,
    queries: &[f32],
    keys: &[T],
    scores: &mut Scores,
) {
    if S::BLOCK == 4 {
        dot_keys::<S, T, R, 4>(s, queries, keys, 0, scores);
    } else {
        for part in 0..PARTS {
            dot_keys::<S, T, R, 1>(s, queries, keys, part, scores);
        }
    }
}

/// A call of a function that is generic over the number of rows of a block.
macro_rules! for_rows {
    ($count:expr, $f:ident::<$S:ty, $T:ty>($($arg:expr),*)) => {
        match $count {
            1 => $f::<$S, $T, 1>($($arg),*),
            2 => $f::<$S, $T, 2>($($arg),*),
            3 => $f::<$S, $T, 3>($($arg),*),
            4 => $f::<$S, $T, 4>($($arg),*),
            5 => $f::<$S, $T, 5>($($arg),*),
            _ => $f::<$S, $T, 6>($($arg),*),
        }
    };
}

/// The state of the rows of a block.
struct Block<'a> {
    /// `[head_dim][rows]`
    queries: &'a [f32],
    /// The keys of this tile that each row sees.
    visible: &'a [(usize, usize)],
    exponents: &'a mut [f32],
    sums: &'a mut [[f32; LANES]],
    /// `[rows][value_stride]`
    accumulators: &'a mut [f32],
}

/// One tile for the rows of a block.
#[inline(always)]
fn see_tile<S: Lanes, T: Element>(
    s: S,
    shape: Shape,
    block: &mut Block<'_>,
    (keys, values): (&[T], &[T]),
    scales: Scales<'_>,
) {
    let visible = block.visible;
    let count = visible.len();
    let mut p = [[0.0f32; PAGE_TOKENS]; MAX_ROWS];
    for_rows!(count, dot_all_keys::<S, T>(s, block.queries, keys, &mut p));

    let stride = value_stride(shape.head_dim);
    let rows = block.accumulators.chunks_exact_mut(stride);
    let states = block.exponents.iter_mut().zip(block.sums.iter_mut());
    for (((p, &visible), (exponent, sums)), row) in p.iter_mut().zip(visible).zip(states).zip(rows)
    {
        if visible.0 >= visible.1 {
            continue;
        }
        let rescale = weigh(s, shape, p, scales, visible, exponent, sums);
        if rescale != 1.0 {
            for part in row.as_chunks_mut::<LANES>().0 {
                s.store(s.mul(s.load(part), s.splat(rescale)), part);
            }
        }
    }

    // The keys that all rows see go together; what some see before or after them goes row by row, so that no row ever touches a value that
    // it does not see, be that infinite or never written.
    let first = visible.iter().fold(0, |first, v| first.max(v.0));
    let end = visible.iter().fold(PAGE_TOKENS, |end, v| end.min(v.1)).max(first);
    for step in 0..3 {
        if step == 1 {
            let accumulators = &mut *block.accumulators;
            for_rows!(
                count,
                add_all_values::<S, T>(s, &p, (first, end), values, stride, accumulators)
            );
            continue;
        }
        let rows = block.accumulators.chunks_exact_mut(stride);
        for ((row, &visible), p) in rows.zip(visible).zip(&p) {
            let range = match step {
                0 => (visible.0, visible.1.min(first)),
                _ => (visible.0.max(end), visible.1),
            };
            let p = std::slice::from_ref(p);
            add_all_values::<S, T, 1>(s, p, range, values, stride, row);
        }
    }
}

/// The sizes of the blocks that `rows` rows are cut into: as few as possible, as equal as possible.
#[inline(always)]
fn block_rows(rows: usize, block: usize) -> usize {
    let blocks = rows.div_ceil(MAX_ROWS);
    rows / blocks + usize::from(block < rows % blocks)
}

/// `out[d][r] = rows[r][d]`
fn transpose(rows: &[f32], head_dim: usize, out: &mut [f32]) {
    let count = rows.len() / head_dim;
    for (r, row) in rows.chunks_exact(head_dim).enumerate() {
        for (d, &x) in row.iter().enumerate() {
            out[d * count + r] = x;
        }
    }
}

/// The part of `start..end` that lies in a tile, counted from its start; `(0, 0)` where there is none.
#[inline(always)]
fn within_tile(start: usize, end: usize, tile: usize) -> (usize, usize) {
    let base = tile * PAGE_TOKENS;
    let first = start.max(base) - base;
    let end = end.clamp(base, base + PAGE_TOKENS) - base;
    if first < end { (first, end) } else { (0, 0) }
}

/// The scale of each token of a page.
#[inline(always)]
fn token_scales<T: Element>(scales: &[T]) -> [f32; PAGE_TOKENS] {
    std::array::from_fn(|token| T::scale(scales, token))
}

#[inline(always)]
fn convert<S: Lanes, T: Element>(s: S, x: &[T], out: &mut [f32]) {
    for (x, out) in x.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0) {
        s.store(T::load(s, x), out);
    }
}

#[inline(always)]
pub(super) fn attention<S: Lanes, T: Element>(
    s: S,
    input: &Attention<'_, T>,
    scratch: &mut AttentionScratch,
    out: &mut [f32],
) {
    let rows = input.rows();
    if rows == 0 {
        return;
    }
    let (head_dim, stride) = (input.head_dim, value_stride(input.head_dim));
    let shape = Shape { head_dim, scale: input.scale, soft_cap: input.soft_cap };
    let blocks = rows.div_ceil(MAX_ROWS);

    let AttentionScratch { queries, accumulators, sums, exponents, keys, values } = scratch;
    queries.resize(rows * head_dim, 0.0);
    let mut row = 0;
    for block in 0..blocks {
        let range = row * head_dim..(row + block_rows(rows, block)) * head_dim;
        transpose(&input.queries[range.clone()], head_dim, &mut queries[range]);
        row += block_rows(rows, block);
    }
    accumulators.clear();
    accumulators.resize(rows * stride, 0.0);
    sums.clear();
    sums.resize(rows, [0.0; LANES]);
    exponents.clear();
    exponents.resize(rows, EMPTY_EXPONENT);
    let converted = T::CONVERTED && blocks > 1;
    if converted {
        keys.resize(head_dim * PAGE_TOKENS, 0.0);
        values.resize(stride * PAGE_TOKENS, 0.0);
    }

    let seen = input.visible.iter().filter(|visible| !visible.is_empty());
    let first = seen.clone().map(|visible| visible.start).min().unwrap_or(0) / PAGE_TOKENS;
    let end = seen.map(|visible| visible.end).max().unwrap_or(0).div_ceil(PAGE_TOKENS);
    for (tile, page) in input.pages.iter().enumerate().take(end).skip(first) {
        let scales: [[f32; PAGE_TOKENS]; 2];
        let scales = if T::SCALES > 0 {
            scales = [
                token_scales(&page.keys[key_page_len(head_dim)..]),
                token_scales(&page.values[value_page_len(head_dim)..]),
            ];
            Some(&scales)
        } else {
            None
        };
        if converted {
            convert(s, page.keys, keys);
            convert(s, page.values, values);
        }
        let mut row = 0;
        for index in 0..blocks {
            let count = block_rows(rows, index);
            let range = row..row + count;
            row += count;
            let mut visible = [(0, 0); MAX_ROWS];
            let visible = &mut visible[..count];
            for (visible, row) in visible.iter_mut().zip(&input.visible[range.clone()]) {
                *visible = within_tile(row.start, row.end, tile);
            }
            if visible.iter().all(|&visible| visible == (0, 0)) {
                continue;
            }
            let mut block = Block {
                queries: &queries[range.start * head_dim..range.end * head_dim],
                visible,
                exponents: &mut exponents[range.clone()],
                sums: &mut sums[range.clone()],
                accumulators: &mut accumulators[range.start * stride..range.end * stride],
            };
            if converted {
                see_tile::<S, f32>(s, shape, &mut block, (keys, values), scales);
            } else {
                see_tile::<S, T>(s, shape, &mut block, (page.keys, page.values), scales);
            }
        }
    }

    for (row, out) in out.chunks_exact_mut(head_dim).enumerate() {
        let sum = s.sum(s.load(&sums[row]));
        let (rescale, sum) = merge_sink(exponents[row], sum, input.sinks.get(row).copied());
        if sum == 0.0 {
            out.fill(0.0);
            continue;
        }
        let accumulators = accumulators[row * stride..][..stride].as_chunks::<LANES>().0;
        for (part, out) in accumulators.iter().zip(out.chunks_mut(LANES)) {
            let v = s.div(s.mul(s.load(part), s.splat(rescale)), s.splat(sum));
            s.store_partial(s.canonical(v), out);
        }
    }
}

#[inline(always)]
pub(super) fn store_kv<S: Lanes>(
    s: S,
    key: &[f32],
    value: &[f32],
    slot: usize,
    keys: &mut [u16],
    values: &mut [u16],
) {
    let mut bits = [0u16; LANES];
    for (columns, key) in keys.chunks_mut(LANES * PAGE_TOKENS).zip(key.chunks(LANES)) {
        s.store_f16(s.canonical(s.load_partial(key, 0.0)), &mut bits);
        for (column, &bits) in columns.as_chunks_mut::<PAGE_TOKENS>().0.iter_mut().zip(&bits) {
            column[slot] = bits;
        }
    }
    let stride = value_stride(value.len());
    let row = values[slot * stride..][..stride].as_chunks_mut::<LANES>().0;
    for (out, value) in row.iter_mut().zip(value.chunks(LANES)) {
        s.store_f16(s.canonical(s.load_partial(value, 0.0)), out);
    }
}
