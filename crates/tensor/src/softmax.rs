//! Softmax over an axis of a tensor, on the thread pool.

use dyadic_kernels::Kernels;
use dyadic_kernels::softmax::{Mask, Run, SoftmaxOptions, Source, Target, serial};

use crate::pool::Pool;

/// Elements of a row from which on it is worth more than one thread: two tasks of the kernels.
const SPLIT_ROW: usize = 128 << 10;

/// Elements of a task of whole rows, about 10 µs of work.
const TASK: usize = 32 << 10;

/// Softmax of each row of `row_len` elements of `source`, or its logarithm.
#[derive(Clone, Copy, Debug)]
pub struct SoftmaxRows<'a> {
    /// The number of elements of a row.
    pub row_len: usize,
    /// What each row is asked; its mask must be [`Mask::None`].
    pub options: SoftmaxOptions<'a>,
    /// A mask of all elements, or of one row that all rows share.
    pub mask: Mask<'a>,
    /// How many of its first elements count in each row; the rest become 0, or -infinity of a logarithm.
    pub lengths: Option<&'a [usize]>,
    /// Causal attention: row r is query `r % queries` and sees the first `r % queries + 1 + offset` elements.
    pub causal: Option<Causal>,
    /// Whether the logarithm is wanted.
    pub logarithm: bool,
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Causal {
    /// The number of queries of a sequence.
    pub queries: usize,
    /// The number of keys before the first query.
    pub offset: usize,
}

impl SoftmaxRows<'_> {
    /// The number of elements that count in a row.
    fn visible(&self, row: usize) -> usize {
        let length = self.lengths.map_or(self.row_len, |lengths| lengths[row]);
        let causal = self.causal.map_or(self.row_len, |causal| {
            (row % causal.queries).saturating_add(1).saturating_add(causal.offset)
        });
        length.min(causal).min(self.row_len)
    }

    /// Checks what does not depend on a row.
    fn assert_valid(&self, source: usize, target: usize) {
        assert!(self.row_len > 0 || source == 0, "softmax: rows of no elements");
        assert!(source.is_multiple_of(self.row_len.max(1)), "softmax: whole rows");
        assert_eq!(source, target, "softmax: lengths");
        let rows = source / self.row_len.max(1);
        assert!(self.lengths.is_none_or(|lengths| lengths.len() == rows), "softmax: row lengths");
        assert!(self.causal.is_none_or(|causal| causal.queries > 0), "softmax: queries");
        let mask = match self.mask {
            Mask::None => source,
            Mask::Additive(mask) => mask.len(),
            Mask::Keep(mask) => mask.len(),
        };
        assert!(mask == source || mask == self.row_len, "softmax: mask");
    }

    /// The options of the first `visible` elements of a row.
    fn of_row(&self, row: usize, visible: usize) -> SoftmaxOptions<'_> {
        let start = |len: usize| if len == self.row_len { 0 } else { row * self.row_len };
        let mask = match self.mask {
            Mask::None => Mask::None,
            Mask::Additive(mask) => Mask::Additive(&mask[start(mask.len())..][..visible]),
            Mask::Keep(mask) => Mask::Keep(&mask[start(mask.len())..][..visible]),
        };
        SoftmaxOptions { mask, ..self.options }
    }

    /// One row.
    fn row(
        &self,
        kernels: &Kernels,
        row: usize,
        source: Source<'_>,
        target: Target<'_>,
        run: Run<'_>,
    ) {
        let visible = self.visible(row);
        let options = self.of_row(row, visible);
        let (target, hidden) = target.split_at(visible);
        let source = source.slice(0..visible);
        if self.logarithm {
            kernels.log_softmax(source, target, &options, run);
        } else {
            kernels.softmax(source, target, &options, run);
        }
        hidden.hide(self.logarithm);
    }

    /// One row in its own place.
    fn row_in_place(&self, kernels: &Kernels, row: usize, x: &mut [f32], run: Run<'_>) {
        let visible = self.visible(row);
        let (seen, hidden) = x.split_at_mut(visible);
        self.column(kernels, seen, &self.of_row(row, visible), run);
        Target::F32(hidden).hide(self.logarithm);
    }

    /// What is seen of one row, in its own place.
    fn column(&self, kernels: &Kernels, x: &mut [f32], options: &SoftmaxOptions<'_>, run: Run<'_>) {
        if self.logarithm {
            let source = x.to_vec();
            kernels.log_softmax(Source::F32(&source), Target::F32(x), options, run);
        } else {
            kernels.softmax_in_place(x, options, run);
        }
    }
}

/// Softmax of the rows of `source`. Rows go to at most `threads` threads, and so do the parts of rows of 128 Ki elements and more; the bits do
/// not depend on that.
///
/// # Panics
/// Where a length is not as documented.
pub fn softmax_rows(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    rows: &SoftmaxRows<'_>,
    source: Source<'_>,
    target: Target<'_>,
) {
    rows.assert_valid(source.len(), target.len());
    let len = rows.row_len;
    if source.is_empty() {
        return;
    }
    let slice = |row: usize| source.slice(row * len..(row + 1) * len);
    // Small calls do without the list of tasks.
    if source.len() == len && len < SPLIT_ROW {
        rows.row(kernels, 0, source, target, &serial);
        return;
    }
    if len >= SPLIT_ROW {
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        for (row, target) in target.chunks(len).into_iter().enumerate() {
            rows.row(kernels, row, slice(row), target, run);
        }
        return;
    }
    let task_rows = TASK.div_ceil(len);
    let mut tasks: Vec<Option<Target<'_>>> =
        target.chunks(task_rows * len).into_iter().map(Some).collect();
    pool.for_each_mut(threads, &mut tasks, |task, target| {
        let parts = target.take().map(|target| target.chunks(len)).unwrap_or_default();
        for (i, target) in parts.into_iter().enumerate() {
            let row = task * task_rows + i;
            rows.row(kernels, row, slice(row), target, &serial);
        }
    });
}

/// [`softmax_rows`] of f32 in its own place, with the same bits.
///
/// # Panics
/// Where a length is not as documented.
pub fn softmax_rows_in_place(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    rows: &SoftmaxRows<'_>,
    x: &mut [f32],
) {
    rows.assert_valid(x.len(), x.len());
    let len = rows.row_len;
    if x.is_empty() {
        return;
    }
    if len >= SPLIT_ROW {
        let run: Run<'_> = &|tasks, body| pool.run(threads, tasks, body);
        for (row, x) in x.chunks_exact_mut(len).enumerate() {
            rows.row_in_place(kernels, row, x, run);
        }
        return;
    }
    pool.for_each_rows(threads, x, len, TASK.div_ceil(len), |first, part| {
        for (i, x) in part.chunks_exact_mut(len).enumerate() {
            rows.row_in_place(kernels, first + i, x, &serial);
        }
    });
}

/// Columns of an inner axis that are gathered together: a cache line of each row.
const COLUMNS: usize = 16;

/// Softmax over the middle axis of `[outer][row_len][inner]`. Row `r` of `rows` is column `r % inner` of plane `r / inner`; a mask
/// of all elements has the shape of `source`.
///
/// # Panics
/// Where the lengths of `source` and `target` differ or are no multiple of `row_len * inner`.
pub fn softmax_axis(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    rows: &SoftmaxRows<'_>,
    inner: usize,
    source: Source<'_>,
    target: Target<'_>,
) {
    rows.assert_valid(source.len(), target.len());
    if source.is_empty() {
        return;
    }
    let len = rows.row_len;
    let plane = len * inner;
    let task_planes = TASK.div_ceil(plane);
    let mut tasks: Vec<Option<Target<'_>>> =
        target.chunks(task_planes * plane).into_iter().map(Some).collect();
    pool.for_each_mut(threads, &mut tasks, |task, target| {
        let mut gathered = vec![0.0; COLUMNS.min(inner) * len];
        let mut additive = Vec::new();
        let mut keep = Vec::new();
        let planes = target.take().map(|target| target.chunks(plane)).unwrap_or_default();
        for (i, mut out) in planes.into_iter().enumerate() {
            let first = task * task_planes + i;
            let start = first * plane;
            for block in (0..inner).step_by(COLUMNS) {
                let count = COLUMNS.min(inner - block);
                let columns = &mut gathered[..count * len];
                let mut line = [0.0; COLUMNS];
                let line = &mut line[..count];
                for k in 0..len {
                    let at = start + k * inner + block;
                    kernels.widen(source.slice(at..at + count), line);
                    for (c, x) in line.iter().enumerate() {
                        columns[c * len + k] = *x;
                    }
                }
                for (c, column) in columns.chunks_exact_mut(len).enumerate() {
                    let row = first * inner + block + c;
                    let visible = rows.visible(row);
                    let of_column = start + block + c..start + plane;
                    let mask = match rows.mask {
                        Mask::None => Mask::None,
                        Mask::Additive(mask) if mask.len() == len => {
                            Mask::Additive(&mask[..visible])
                        }
                        Mask::Keep(mask) if mask.len() == len => Mask::Keep(&mask[..visible]),
                        Mask::Additive(mask) => {
                            additive.clear();
                            additive.extend(mask[of_column].iter().step_by(inner).take(visible));
                            Mask::Additive(&additive)
                        }
                        Mask::Keep(mask) => {
                            keep.clear();
                            keep.extend(mask[of_column].iter().step_by(inner).take(visible));
                            Mask::Keep(&keep)
                        }
                    };
                    let options = SoftmaxOptions { mask, ..rows.options };
                    let (seen, hidden) = column.split_at_mut(visible);
                    rows.column(kernels, seen, &options, &serial);
                    Target::F32(hidden).hide(rows.logarithm);
                }
                for k in 0..len {
                    for (c, x) in line.iter_mut().enumerate() {
                        *x = columns[c * len + k];
                    }
                    let at = k * inner + block;
                    kernels.narrow(line, out.slice_mut(at..at + count));
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use dyadic_kernels::softmax::{Algorithm, Mask, SoftmaxOptions, Source, Target, serial};
    use dyadic_kernels::{Isa, Kernels};
    use dyadic_testkit::{Rng, ulp};

    use super::{Causal, SoftmaxRows, softmax_axis, softmax_rows, softmax_rows_in_place};
    use crate::pool::Pool;

    fn kernels() -> &'static Kernels {
        Kernels::for_isa(Isa::best()).unwrap()
    }

    fn rows(row_len: usize) -> SoftmaxRows<'static> {
        SoftmaxRows {
            row_len,
            options: SoftmaxOptions::default(),
            mask: Mask::None,
            lengths: None,
            causal: None,
            logarithm: false,
        }
    }

    fn one(x: &[f32], options: &SoftmaxOptions<'_>) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        kernels().softmax(Source::F32(x), Target::F32(&mut out), options, &serial);
        out
    }

    #[test]
    fn threads_do_not_change_the_bits() {
        let mut rng = Rng::new(1);
        let pool = Pool::new(NonZeroUsize::new(3).unwrap());
        for (count, len) in [(1, 300_000), (2, 200_000), (1000, 257), (7, 1)] {
            let x = rng.normal_vec(count * len, 8.0);
            for algorithm in [Algorithm::TwoPass, Algorithm::Reload, Algorithm::Online] {
                let options =
                    SoftmaxOptions { algorithm: Some(algorithm), ..SoftmaxOptions::default() };
                let expected: Vec<f32> = x.chunks(len).flat_map(|row| one(row, &options)).collect();
                for threads in [1, 3] {
                    let mut out = vec![0.0; x.len()];
                    let rows = SoftmaxRows { options, ..rows(len) };
                    let target = Target::F32(&mut out);
                    softmax_rows(kernels(), (&pool, threads), &rows, Source::F32(&x), target);
                    ulp::assert_same_bits(&out, &expected, algorithm.name());
                    out.copy_from_slice(&x);
                    softmax_rows_in_place(kernels(), (&pool, threads), &rows, &mut out);
                    ulp::assert_same_bits(&out, &expected, "in place");
                }
            }
        }
    }

    #[test]
    fn lengths_and_causality_hide_the_rest_of_a_row() {
        let mut rng = Rng::new(2);
        let x = rng.normal_vec(6 * 10, 2.0);
        let pool = Pool::new(NonZeroUsize::MIN);
        let plain = SoftmaxOptions::default();
        let cases: [(SoftmaxRows<'_>, [usize; 6]); 3] = [
            (
                SoftmaxRows { lengths: Some(&[10, 0, 3, 1, 99, 9]), ..rows(10) },
                [10, 0, 3, 1, 10, 9],
            ),
            (
                SoftmaxRows { causal: Some(Causal { queries: 3, offset: 2 }), ..rows(10) },
                [3, 4, 5, 3, 4, 5],
            ),
            (
                SoftmaxRows {
                    causal: Some(Causal { queries: 3, offset: usize::MAX }),
                    lengths: Some(&[2; 6]),
                    ..rows(10)
                },
                [2; 6],
            ),
        ];
        for (rows, visible) in cases {
            let mut out = vec![7.0; x.len()];
            softmax_rows(kernels(), (&pool, 1), &rows, Source::F32(&x), Target::F32(&mut out));
            for ((out, x), visible) in out.chunks(10).zip(x.chunks(10)).zip(visible) {
                let mut expected = one(&x[..visible], &plain);
                expected.resize(10, 0.0);
                ulp::assert_same_bits(out, &expected, "visible part");
            }
            for logarithm in [false, true] {
                let rows = SoftmaxRows { logarithm, ..rows };
                let target = Target::F32(&mut out);
                softmax_rows(kernels(), (&pool, 1), &rows, Source::F32(&x), target);
                let mut in_place = x.clone();
                softmax_rows_in_place(kernels(), (&pool, 1), &rows, &mut in_place);
                ulp::assert_same_bits(&in_place, &out, "in place");
            }
        }
    }

    #[test]
    fn a_mask_is_of_one_row_or_of_all() {
        let mut rng = Rng::new(3);
        let x = rng.normal_vec(4 * 8, 2.0);
        let pool = Pool::new(NonZeroUsize::MIN);
        let all: Vec<u8> = (0..32).map(|i| u8::from(i % 5 != 0)).collect();
        for mask in [&all[..8], &all[..]] {
            let rows = SoftmaxRows { mask: Mask::Keep(mask), ..rows(8) };
            let mut out = vec![7.0; x.len()];
            softmax_rows(kernels(), (&pool, 1), &rows, Source::F32(&x), Target::F32(&mut out));
            for (row, (out, x)) in out.chunks(8).zip(x.chunks(8)).enumerate() {
                let mask = if mask.len() == 8 { mask } else { &mask[8 * row..8 * row + 8] };
                let options =
                    SoftmaxOptions { mask: Mask::Keep(mask), ..SoftmaxOptions::default() };
                ulp::assert_same_bits(out, &one(x, &options), "mask");
            }
        }
    }

    /// With a mask of all elements, row lengths and both results.
    #[test]
    fn an_inner_axis_equals_its_transpose() {
        let mut rng = Rng::new(4);
        let (outer, len) = (3, 40);
        for inner in [1, 5, 16, 37] {
            let x = rng.normal_vec(outer * len * inner, 2.0);
            let keep: Vec<u8> = x.iter().map(|&x| u8::from(x < 3.0)).collect();
            let lengths: Vec<usize> = (0..outer * inner).map(|row| 40 - row % 7).collect();
            let pool = Pool::new(NonZeroUsize::new(2).unwrap());
            for logarithm in [false, true] {
                let mask = Mask::Keep(&keep);
                let rows = SoftmaxRows { mask, logarithm, lengths: Some(&lengths), ..rows(len) };
                let mut out = vec![0.0; x.len()];
                let (source, target) = (Source::F32(&x), Target::F32(&mut out));
                softmax_axis(kernels(), (&pool, 2), &rows, inner, source, target);
                let mut narrow = vec![0; x.len()];
                let target = Target::F16(&mut narrow);
                softmax_axis(kernels(), (&pool, 2), &rows, inner, source, target);
                let mut rounded = vec![0; x.len()];
                kernels().narrow(&out, Target::F16(&mut rounded));
                assert_eq!(narrow, rounded, "f16");
                let at = |row: usize, k: usize| (row / inner * len + k) * inner + row % inner;
                let gather = |row: usize| (0..len).map(move |k| at(row, k));
                let all = 0..outer * inner;
                let x: Vec<f32> = all.clone().flat_map(gather).map(|i| x[i]).collect();
                let keep: Vec<u8> = all.clone().flat_map(gather).map(|i| keep[i]).collect();
                let actual: Vec<f32> = all.flat_map(gather).map(|i| out[i]).collect();
                let mut expected = vec![0.0; x.len()];
                let transposed = SoftmaxRows { mask: Mask::Keep(&keep), ..rows };
                let target = Target::F32(&mut expected);
                softmax_rows(kernels(), (&pool, 1), &transposed, Source::F32(&x), target);
                ulp::assert_same_bits(&actual, &expected, "columns");
            }
        }
    }
}
