//! Softmax of one row: reading it in any type, walking the chunks.

use std::ops::Range;
use std::sync::Mutex;

use super::Pair;
use super::options::{Algorithm, InfiniteRow, Mask, Run, SoftmaxOptions, Source, Target};
use super::scalar::{bounded_ext_exp, exp_of_difference, max_of};
use super::total::{Extended, Finish, Total};
use crate::registry::Kernels;

/// Elements of a chunk: a buffer of 16 KiB stays in the first-level cache beside the input.
const CHUNK: usize = 4096;

/// Chunks of a task: 64 Ki elements are about 20 µs of work.
const TASK_CHUNKS: usize = 16;

/// Two-pass serves rows whose largest element is at most this in magnitude (in units of ln 2): beyond 2^15 the reduction of `ext_exp` loses
/// bits, so such rows take the way of recompute.
const TWO_PASS_EXPONENT: f32 = 47_274.0;

/// Scale, cap and mask.
#[derive(Clone, Copy)]
struct Transform<'a> {
    scale: f32,
    soft_cap: Option<f32>,
    mask: Mask<'a>,
}

impl<'a> Transform<'a> {
    /// That of a row of `len` elements.
    fn new(options: &SoftmaxOptions<'a>, len: usize) -> Self {
        let &SoftmaxOptions { scale, soft_cap, mask, .. } = options;
        match mask {
            Mask::None => {}
            Mask::Additive(mask) => assert_eq!(mask.len(), len, "softmax: mask"),
            Mask::Keep(mask) => assert_eq!(mask.len(), len, "softmax: mask"),
        }
        Self { scale, soft_cap, mask }
    }

    fn is_identity(&self) -> bool {
        self.scale == 1.0 && self.soft_cap.is_none() && matches!(self.mask, Mask::None)
    }

    /// Applies it to the elements of `range`.
    fn apply(&self, kernels: &Kernels, range: Range<usize>, x: &mut [f32]) {
        if self.scale != 1.0 {
            kernels.scale(x, self.scale);
        }
        if let Some(cap) = self.soft_cap {
            kernels.soft_cap(x, cap);
        }
        match self.mask {
            Mask::None => {}
            Mask::Additive(mask) => kernels.add(x, &mask[range]),
            Mask::Keep(mask) => {
                for (x, &keep) in x.iter_mut().zip(&mask[range]) {
                    *x = if keep == 0 { f32::NEG_INFINITY } else { *x };
                }
            }
        }
    }
}

/// The elements of a row after scale, cap and mask.
#[derive(Clone, Copy)]
struct Row<'a> {
    kernels: &'a Kernels,
    source: Source<'a>,
    transform: Transform<'a>,
}

impl<'a> Row<'a> {
    fn new(kernels: &'a Kernels, source: Source<'a>, options: &SoftmaxOptions<'a>) -> Self {
        Row { kernels, source, transform: Transform::new(options, source.len()) }
    }

    /// Writes the elements of `range` to `out`.
    fn read(&self, range: Range<usize>, out: &mut [f32]) {
        self.kernels.widen(self.source.slice(range.clone()), out);
        self.transform.apply(self.kernels, range, out);
    }

    /// Calls `body` with the elements of `range`, at most [`CHUNK`].
    fn with<T>(&self, range: Range<usize>, body: impl FnOnce(&[f32]) -> T) -> T {
        match self.source {
            Source::F32(x) if self.transform.is_identity() => body(&x[range]),
            _ => {
                let mut buffer = [0.0; CHUNK];
                let buffer = &mut buffer[..range.len()];
                self.read(range, buffer);
                body(buffer)
            }
        }
    }

    /// Calls `body` for each chunk, then `merge` with the results in order.
    fn reduce<T: Send>(
        &self,
        run: Run<'_>,
        body: impl Fn(&[f32]) -> T + Sync,
        mut merge: impl FnMut(T),
    ) {
        let len = self.source.len();
        let chunks = len.div_ceil(CHUNK);
        let chunk = |i: usize| self.with(i * CHUNK..len.min((i + 1) * CHUNK), &body);
        if chunks <= TASK_CHUNKS {
            (0..chunks).map(chunk).for_each(merge);
            return;
        }
        let tasks: Vec<Mutex<Vec<T>>> =
            (0..chunks.div_ceil(TASK_CHUNKS)).map(|_| Mutex::default()).collect();
        run(tasks.len(), &|task| {
            let range = task * TASK_CHUNKS..chunks.min((task + 1) * TASK_CHUNKS);
            *lock(&tasks[task]) = range.map(chunk).collect();
        });
        for task in tasks {
            lock(&task).drain(..).for_each(&mut merge);
        }
    }

    /// The sum of the exponentials as the algorithm sees it, the sink included.
    fn total(&self, algorithm: Algorithm, sink: Option<f32>, run: Run<'_>) -> Total {
        let kernels = self.kernels;
        match algorithm {
            Algorithm::TwoPass => {
                let mut total = Extended::EMPTY;
                // SAFETY: the set holds kernels that the CPU supports.
                let sum = |x: &[f32]| unsafe { (kernels.ext_exp_sum.function)(x) };
                self.reduce(run, sum, |pair| total.merge(pair.sum.into(), pair.exponent));
                if let Some(sink) = sink {
                    let (m, n) = bounded_ext_exp(sink);
                    total.merge(m.into(), n);
                }
                if total.sum.is_nan() || total.exponent.abs() <= TWO_PASS_EXPONENT {
                    Total::Extended(total)
                } else {
                    self.total(Algorithm::Recompute, sink, run)
                }
            }
            Algorithm::Recompute | Algorithm::Reload => {
                let max = self.max(sink, run);
                let mut sum = sink_share(sink, max);
                if max > f32::NEG_INFINITY {
                    // SAFETY: as above.
                    let part = |x: &[f32]| unsafe { (kernels.exp_sum.function)(x, max) };
                    self.reduce(run, part, |part| sum += f64::from(part));
                }
                Total::Shifted { max, sum }
            }
            Algorithm::Online => {
                let mut max = sink.unwrap_or(f32::MIN);
                let mut sum = f64::from(u8::from(sink.is_some()));
                // SAFETY: as above.
                let part = |x: &[f32]| unsafe { (kernels.online_sum.function)(x) };
                self.reduce(run, part, |pair: Pair| {
                    let common = max_of(max, pair.exponent);
                    sum = sum * f64::from(exp_of_difference(max - common))
                        + f64::from(pair.sum)
                            * f64::from(exp_of_difference(pair.exponent - common));
                    max = common;
                });
                Total::Shifted { max, sum }
            }
        }
    }

    /// What the last pass does, once the sum is known.
    fn finish(
        &self,
        total: Total,
        logarithm: bool,
        options: &SoftmaxOptions<'_>,
        run: Run<'_>,
    ) -> Finish {
        if total.sum().is_nan() && options.infinite_row == InfiniteRow::OneHot {
            let mut infinities = usize::from(options.sink == Some(f32::INFINITY));
            let mut ordinary = options.sink.is_none_or(|sink| !sink.is_nan());
            let count = |x: &[f32]| {
                let infinities = x.iter().filter(|&&x| x == f32::INFINITY).count();
                (infinities, x.iter().all(|x| !x.is_nan()))
            };
            self.reduce(run, count, |(part, all)| {
                infinities += part;
                ordinary &= all;
            });
            if ordinary && infinities > 0 {
                return Finish::one_hot(infinities, logarithm);
            }
        }
        if logarithm {
            Finish::log_softmax(total, self.source.len(), options.empty_row)
        } else {
            Finish::softmax(total, self.source.len(), options)
        }
    }

    /// The largest element, or the sink.
    fn max(&self, sink: Option<f32>, run: Run<'_>) -> f32 {
        let mut max = sink.unwrap_or(f32::NEG_INFINITY);
        self.reduce(run, |x| self.kernels.max(x), |part| max = max_of(part, max));
        max
    }
}

/// The share of a sink in a sum of `e^(x - max)`.
fn sink_share(sink: Option<f32>, max: f32) -> f64 {
    match sink {
        Some(sink) if max != f32::NEG_INFINITY => exp_of_difference(sink - max).into(),
        _ => 0.0,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Calls `body(chunk index, part)` for each part, on many threads where they are many.
fn for_each_part<P: Send>(parts: Vec<P>, run: Run<'_>, body: &(dyn Fn(usize, P) + Sync)) {
    if parts.len() <= TASK_CHUNKS {
        parts.into_iter().enumerate().for_each(|(i, part)| body(i, part));
        return;
    }
    let mut tasks = Vec::new();
    let mut parts = parts.into_iter().enumerate().peekable();
    while parts.peek().is_some() {
        tasks.push(Mutex::new(parts.by_ref().take(TASK_CHUNKS).collect::<Vec<_>>()));
    }
    run(tasks.len(), &|task| {
        for (i, part) in lock(&tasks[task]).drain(..) {
            body(i, part);
        }
    });
}

impl Kernels {
    fn finish_into(&self, row: Row<'_>, finish: Finish, target: Target<'_>, run: Run<'_>) {
        let len = row.source.len();
        let body = |i: usize, part: Target<'_>| {
            row.with(i * CHUNK..len.min((i + 1) * CHUNK), |x| match part {
                Target::F32(out) => finish.apply(self, x, out),
                narrow => {
                    let mut buffer = [0.0; CHUNK];
                    let buffer = &mut buffer[..x.len()];
                    finish.apply(self, x, buffer);
                    self.narrow(buffer, narrow);
                }
            });
        };
        for_each_part(target.chunks(CHUNK), run, &body);
    }

    /// `out[i] = source[i]`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn widen(&self, source: Source<'_>, out: &mut [f32]) {
        assert_eq!(source.len(), out.len(), "widen: lengths");
        match source {
            Source::F32(x) => out.copy_from_slice(x),
            Source::F16(x) => self.f16_to_f32(x, out),
            Source::Bf16(x) => self.bf16_to_f32(x, out),
            // SAFETY: the set holds kernels that the CPU supports, and the lengths are equal.
            Source::I8(x, scale) => unsafe { (self.widen_i8.function)(x, scale, out) },
        }
    }

    /// `target[i] = x[i]`, rounded.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn narrow(&self, x: &[f32], target: Target<'_>) {
        assert_eq!(x.len(), target.len(), "narrow: lengths");
        match target {
            Target::F32(out) => out.copy_from_slice(x),
            Target::F16(out) => self.f32_to_f16(x, out),
            Target::Bf16(out) => self.f32_to_bf16(x, out),
            // SAFETY: the set holds kernels that the CPU supports, and the lengths are equal.
            Target::U8(out) => unsafe { (self.narrow_u8.function)(x, out) },
        }
    }

    /// Softmax of one row. A NaN anywhere (behind the mask) makes the whole row NaN, and so does +infinity, where not
    /// [`InfiniteRow::OneHot`] is asked for.
    ///
    /// Rows of up to 64 Ki elements are worked on by the calling thread; longer ones by tasks of 64 Ki elements. The bits do not depend on
    /// how they are run.
    ///
    /// # Panics
    /// Where the lengths of source, target and mask differ.
    pub fn softmax(
        &self,
        source: Source<'_>,
        target: Target<'_>,
        options: &SoftmaxOptions<'_>,
        run: Run<'_>,
    ) {
        assert_eq!(source.len(), target.len(), "softmax: lengths");
        let row = Row::new(self, source, options);
        let algorithm = options.algorithm.unwrap_or_else(|| Algorithm::for_len(source.len()));
        match target {
            Target::F32(out) if algorithm == Algorithm::Reload => {
                self.reload(row, out, options, run);
            }
            narrow if algorithm == Algorithm::Reload && narrow.len() <= CHUNK => {
                let mut buffer = [0.0; CHUNK];
                let out = &mut buffer[..narrow.len()];
                self.reload(row, out, options, run);
                self.narrow(out, narrow);
            }
            target => {
                let total = row.total(algorithm, options.sink, run);
                self.finish_into(row, row.finish(total, false, options, run), target, run);
            }
        }
    }

    /// The algorithm that stores the exponentials where the probabilities will be.
    fn reload(&self, row: Row<'_>, out: &mut [f32], options: &SoftmaxOptions<'_>, run: Run<'_>) {
        let len = out.len();
        let max = row.max(options.sink, run);
        let mut sum = sink_share(options.sink, max);
        if max > f32::NEG_INFINITY {
            // SAFETY: the set holds kernels that the CPU supports, and a chunk of the row is as long as that of the target.
            let store =
                |x: &[f32], out: &mut [f32]| unsafe { (self.exp_store.function)(x, max, out) };
            if len <= CHUNK {
                sum += f64::from(row.with(0..len, |x| store(x, out)));
            } else {
                let sums: Vec<Mutex<f32>> =
                    (0..len.div_ceil(CHUNK)).map(|_| Mutex::new(0.0)).collect();
                for_each_part(out.chunks_mut(CHUNK).collect(), run, &|i, out| {
                    let part = row.with(i * CHUNK..len.min((i + 1) * CHUNK), |x| store(x, out));
                    *lock(&sums[i]) = part;
                });
                sum = sums.iter().fold(sum, |sum, part| sum + f64::from(*lock(part)));
            }
        }
        match row.finish(Total::Shifted { max, sum }, false, options, run) {
            Finish::Shifted { factor, .. } => {
                for_each_part(out.chunks_mut(CHUNK).collect(), run, &|_, out: &mut [f32]| {
                    self.scale(out, factor);
                });
            }
            finish => self.finish_into(row, finish, Target::F32(out), run),
        }
    }

    /// Softmax of one row in its own place: as [`Kernels::softmax`] from f32 to f32, with the same bits.
    ///
    /// # Panics
    /// Where the mask differs in length.
    pub fn softmax_in_place(&self, x: &mut [f32], options: &SoftmaxOptions<'_>, run: Run<'_>) {
        let len = x.len();
        let algorithm = options.algorithm.unwrap_or_else(|| Algorithm::for_len(len));
        let transform = Transform::new(options, len);
        let row = Row { kernels: self, source: Source::F32(x), transform };
        let total = row.total(algorithm, options.sink, run);
        let finish = row.finish(total, false, options, run);
        for_each_part(x.chunks_mut(CHUNK).collect(), run, &|i, part: &mut [f32]| {
            let mut buffer = [0.0; CHUNK];
            let buffer = &mut buffer[..part.len()];
            buffer.copy_from_slice(part);
            transform.apply(self, i * CHUNK..i * CHUNK + part.len(), buffer);
            finish.apply(self, buffer, part);
        });
    }

    /// The logarithm of softmax of one row, `x - ln(sum e^x)`.
    ///
    /// # Panics
    /// Where the lengths of source, target and mask differ.
    pub fn log_softmax(
        &self,
        source: Source<'_>,
        target: Target<'_>,
        options: &SoftmaxOptions<'_>,
        run: Run<'_>,
    ) {
        assert_eq!(source.len(), target.len(), "log_softmax: lengths");
        let row = Row::new(self, source, options);
        let total = row.total(options.algorithm.unwrap_or(Algorithm::TwoPass), options.sink, run);
        let finish = row.finish(total, true, options, run);
        self.finish_into(row, finish, target, run);
    }

    /// `ln(sum e^x)` of one row, read once: -infinity of no elements, NaN of a NaN or +infinity; the error is
    /// below 2e-6 of the larger of 1 and the result.
    ///
    /// # Panics
    /// Where the mask differs in length.
    #[must_use]
    pub fn log_sum_exp(
        &self,
        source: Source<'_>,
        options: &SoftmaxOptions<'_>,
        run: Run<'_>,
    ) -> f64 {
        let row = Row::new(self, source, options);
        row.total(options.algorithm.unwrap_or(Algorithm::TwoPass), options.sink, run).ln()
    }

    /// `-ln softmax(logits)[target]`, in nats: the logits are read once, nothing is written.
    ///
    /// # Panics
    /// Where `target` is no index of `logits`.
    #[must_use]
    pub fn cross_entropy(&self, logits: Source<'_>, target: usize, run: Run<'_>) -> f64 {
        let mut logit = [0.0];
        self.widen(logits.slice(target..target + 1), &mut logit);
        self.log_sum_exp(logits, &SoftmaxOptions::default(), run) - f64::from(logit[0])
    }
}
