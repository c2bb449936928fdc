//! Functions, norms and rotary embedding over whole arrays, on the thread pool.

use dyadic_kernels::Kernels;
use dyadic_kernels::activation::{Accuracy, Function};
use dyadic_kernels::rope::{RopePairing, RopeTable};
use dyadic_kernels::softmax::{Source, Target};

use crate::TensorError;
use crate::pool::Pool;

/// Elements of a task: about 10 µs of work for the cheapest function.
const TASK: usize = 32 << 10;

/// Elements that an operation in place copies at a time, and one between other types converts, where rows are shorter.
const BLOCK: usize = 4096;

/// What an operation over rows reads and writes.
#[derive(Debug)]
pub enum Io<'a> {
    /// From one array to another of the same length.
    Apart(&'a [f32], &'a mut [f32]),
    /// Within one array.
    InPlace(&'a mut [f32]),
    /// From one type to another: through f32, a few rows at a time.
    Converted(Source<'a>, Target<'a>),
}

impl Io<'_> {
    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Apart(_, out) | Self::InPlace(out) => out.len(),
            Self::Converted(_, out) => out.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `body(input, output)` with whole rows of `row_len` elements, as many at once as is convenient.
    fn for_each_rows(
        self,
        kernels: &Kernels,
        (pool, threads): (&Pool, usize),
        row_len: usize,
        body: impl Fn(&[f32], &mut [f32]) + Sync,
    ) -> Result<(), TensorError> {
        let row_len = row_len.max(1);
        let len = self.len();
        TensorError::check_length("rows, the last of them", 0, len % row_len)?;
        let least = TASK.div_ceil(row_len);
        let block = row_len * (BLOCK / row_len).max(1);
        match self {
            Self::Apart(x, out) => {
                TensorError::check_length("output", x.len(), out.len())?;
                pool.for_each_rows(threads, out, row_len, least, |first, out| {
                    body(&x[first * row_len..][..out.len()], out);
                });
            }
            Self::InPlace(x) => {
                pool.for_each_rows(threads, x, row_len, least, |_, x| {
                    let mut copy = vec![0.0; block.min(x.len())];
                    for out in x.chunks_mut(block) {
                        let input = &mut copy[..out.len()];
                        input.copy_from_slice(out);
                        body(input, out);
                    }
                });
            }
            Self::Converted(x, out) => {
                TensorError::check_length("output", x.len(), out.len())?;
                let task = row_len * least;
                let mut tasks: Vec<_> = out.chunks(task).into_iter().map(Some).collect();
                pool.for_each_mut(threads, &mut tasks, |index, out| {
                    let mut buffer = vec![0.0; 2 * block.min(task)];
                    let (input, result) = buffer.split_at_mut(block.min(task));
                    let mut start = index * task;
                    for out in out.take().map(|out| out.chunks(block)).unwrap_or_default() {
                        let (input, result) = (&mut input[..out.len()], &mut result[..out.len()]);
                        kernels.widen(x.slice(start..start + out.len()), input);
                        start += out.len();
                        body(input, result);
                        kernels.narrow(result, out);
                    }
                });
            }
        }
        Ok(())
    }
}

/// `function` of every element.
///
/// # Errors
/// [`TensorError::Length`] where input and output differ in length.
pub fn apply(
    kernels: &Kernels,
    pool: (&Pool, usize),
    (function, accuracy): (Function, Accuracy),
    io: Io<'_>,
) -> Result<(), TensorError> {
    io.for_each_rows(kernels, pool, 1, |x, out| kernels.apply(function, accuracy, x, out))
}

/// A normalisation of rows.
#[derive(Clone, Copy, Debug)]
pub enum Norm<'a> {
    /// [`Kernels::rms_norm`].
    Rms {
        /// As long as a row.
        weight: &'a [f32],
    },
    /// [`Kernels::layer_norm`].
    Layer {
        /// As long as a row.
        weight: &'a [f32],
        /// As long as a row.
        bias: &'a [f32],
    },
    /// [`Kernels::l2_norm`].
    L2 {
        /// The number of elements of a row.
        row_len: usize,
    },
}

/// `norm` of every row.
///
/// # Errors
/// [`TensorError::Length`] where the array is not whole rows, or input, output or bias have another length than they should.
pub fn normalize(
    kernels: &Kernels,
    pool: (&Pool, usize),
    norm: Norm<'_>,
    eps: f32,
    io: Io<'_>,
) -> Result<(), TensorError> {
    let row_len = match norm {
        Norm::Rms { weight } => weight.len(),
        Norm::Layer { weight, bias } => {
            TensorError::check_length("bias", weight.len(), bias.len())?;
            weight.len()
        }
        Norm::L2 { row_len } => row_len,
    };
    io.for_each_rows(kernels, pool, row_len, |x, out| {
        for (x, out) in x.chunks_exact(row_len).zip(out.chunks_exact_mut(row_len)) {
            match norm {
                Norm::Rms { weight } => kernels.rms_norm(x, weight, eps, out),
                Norm::Layer { weight, bias } => kernels.layer_norm(x, weight, bias, eps, out),
                Norm::L2 { .. } => kernels.l2_norm(x, eps, out),
            }
        }
    })
}

/// `residual += delta`, then `out = rms_norm(residual)`, row by row, each read once.
///
/// # Errors
/// [`TensorError::Length`] where the three differ in length or are not whole rows of the weight.
pub fn add_rms_norm(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    residual: &mut [f32],
    delta: &[f32],
    (weight, eps): (&[f32], f32),
    out: &mut [f32],
) -> Result<(), TensorError> {
    let row_len = weight.len().max(1);
    TensorError::check_length("delta", residual.len(), delta.len())?;
    TensorError::check_length("output", residual.len(), out.len())?;
    TensorError::check_length("rows, the last of them", 0, residual.len() % row_len)?;
    let parts = residual.chunks_mut(row_len).zip(delta.chunks(row_len));
    let mut rows: Vec<_> = parts.zip(out.chunks_mut(row_len)).collect();
    pool.for_each_rows(threads, &mut rows, 1, TASK.div_ceil(row_len), |_, rows| {
        for ((residual, delta), out) in rows {
            kernels.add_rms_norm(residual, delta, weight, eps, out);
        }
    });
    Ok(())
}

/// Turns the heads of `x`, `[positions][heads][head_dim]`; position i is `positions[i]`, and may be one that the table does not hold.
///
/// # Errors
/// [`TensorError::Length`] where `x` is not so many heads, or a head is shorter than what is turned of it.
pub fn rope(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    table: &RopeTable,
    pairing: RopePairing,
    positions: &[u32],
    head_dim: usize,
    x: &mut [f32],
) -> Result<(), TensorError> {
    let head = head_dim.max(1) * positions.len().max(1);
    TensorError::check_length("heads, the last of them", 0, x.len() % head)?;
    if head_dim < table.rotary_dim() {
        let (expected, actual) = (table.rotary_dim(), head_dim);
        return Err(TensorError::Length { what: "a head", expected, actual });
    }
    let row_len = x.len() / positions.len().max(1);
    pool.for_each_rows(threads, x, row_len, TASK.div_ceil(row_len.max(1)), |first, rows| {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for (i, heads) in rows.chunks_exact_mut(row_len.max(1)).enumerate() {
            cos.clear();
            sin.clear();
            table.push_angles(positions[first + i].into(), &mut cos, &mut sin);
            kernels.rope(heads, head_dim, &cos, &sin, pairing);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use dyadic_kernels::rope::RopeScaling;
    use dyadic_kernels::{Isa, Kernels};
    use dyadic_testkit::{Rng, ulp};

    use super::*;

    fn kernels() -> &'static Kernels {
        Kernels::for_isa(Isa::best()).unwrap()
    }

    #[test]
    fn threads_and_place_do_not_change_the_bits() {
        let mut rng = Rng::new(1);
        let pool = Pool::new(NonZeroUsize::new(3).unwrap());
        let (weight, bias) = (rng.normal_vec(320, 1.0), rng.normal_vec(320, 1.0));
        let x = rng.normal_vec(320 * 700, 2.0);
        let mut row = vec![0.0; 320];
        for norm in [
            Norm::Rms { weight: &weight },
            Norm::Layer { weight: &weight, bias: &bias },
            Norm::L2 { row_len: 320 },
        ] {
            let mut expected = Vec::new();
            for x in x.chunks(320) {
                match norm {
                    Norm::Rms { .. } => kernels().rms_norm(x, &weight, 1e-5, &mut row),
                    Norm::Layer { .. } => kernels().layer_norm(x, &weight, &bias, 1e-5, &mut row),
                    Norm::L2 { .. } => kernels().l2_norm(x, 1e-5, &mut row),
                }
                expected.extend_from_slice(&row);
            }
            for threads in [1, 3] {
                let mut out = vec![7.0; x.len()];
                let io = Io::Apart(&x, &mut out);
                normalize(kernels(), (&pool, threads), norm, 1e-5, io).unwrap();
                ulp::assert_same_bits(&out, &expected, "apart");
                let mut out = x.clone();
                let io = Io::InPlace(&mut out);
                normalize(kernels(), (&pool, threads), norm, 1e-5, io).unwrap();
                ulp::assert_same_bits(&out, &expected, "in place");
            }
        }
        let mut expected = vec![0.0; x.len()];
        let gelu = (Function::Gelu, Accuracy::Fast);
        kernels().apply(gelu.0, gelu.1, &x, &mut expected);
        let mut out = x.clone();
        apply(kernels(), (&pool, 3), gelu, Io::InPlace(&mut out)).unwrap();
        ulp::assert_same_bits(&out, &expected, "gelu in place");
        apply(kernels(), (&pool, 3), gelu, Io::Apart(&x, &mut out)).unwrap();
        ulp::assert_same_bits(&out, &expected, "gelu apart");
    }

    /// The bits of f32 in between.
    #[test]
    fn other_types_are_converted_on_the_way() {
        let mut rng = Rng::new(4);
        let pool = Pool::new(NonZeroUsize::new(3).unwrap());
        let weight = rng.normal_vec(50, 1.0);
        for rows in [0, 1, 90, 3000] {
            let mut narrow = vec![0; 50 * rows];
            kernels().narrow(&rng.normal_vec(50 * rows, 2.0), Target::F16(&mut narrow));
            let mut wide = vec![0.0; narrow.len()];
            kernels().widen(Source::F16(&narrow), &mut wide);
            let (mut f32, mut expected) = (vec![0.0; wide.len()], vec![0; wide.len()]);
            let mut out = vec![7; wide.len()];
            let gelu = (Function::Gelu, Accuracy::OneUlp);
            apply(kernels(), (&pool, 3), gelu, Io::Apart(&wide, &mut f32)).unwrap();
            kernels().narrow(&f32, Target::Bf16(&mut expected));
            let io = Io::Converted(Source::F16(&narrow), Target::Bf16(&mut out));
            apply(kernels(), (&pool, 3), gelu, io).unwrap();
            assert_eq!(out, expected, "gelu");
            let norm = Norm::Rms { weight: &weight };
            normalize(kernels(), (&pool, 3), norm, 1e-5, Io::Apart(&wide, &mut f32)).unwrap();
            kernels().narrow(&f32, Target::Bf16(&mut expected));
            let io = Io::Converted(Source::F16(&narrow), Target::Bf16(&mut out));
            normalize(kernels(), (&pool, 3), norm, 1e-5, io).unwrap();
            assert_eq!(out, expected, "norm");
        }
    }

    #[test]
    fn a_sum_and_its_norm_are_those_of_the_rows() {
        let mut rng = Rng::new(2);
        let pool = Pool::new(NonZeroUsize::new(2).unwrap());
        let (x, delta) = (rng.normal_vec(64 * 1000, 1.0), rng.normal_vec(64 * 1000, 1.0));
        let weight = rng.normal_vec(64, 1.0);
        let (mut residual, mut out) = (x.clone(), vec![0.0; x.len()]);
        let norm = (weight.as_slice(), 1e-6);
        add_rms_norm(kernels(), (&pool, 2), &mut residual, &delta, norm, &mut out).unwrap();
        let (mut expected, mut normed) = (x, vec![0.0; 64]);
        for (row, delta) in expected.chunks_mut(64).zip(delta.chunks(64)) {
            kernels().add_rms_norm(row, delta, &weight, 1e-6, &mut normed);
            ulp::assert_same_bits(&normed, &out[..64], "norm");
            out.drain(..64);
        }
        ulp::assert_same_bits(&residual, &expected, "sum");
    }

    #[test]
    fn heads_are_turned_by_their_positions() {
        let mut rng = Rng::new(3);
        let pool = Pool::new(NonZeroUsize::new(2).unwrap());
        let mut table = RopeTable::new(8, 10_000.0, RopeScaling::None, None).unwrap();
        table.extend_to(100);
        let positions: Vec<u32> = (0..2000).map(|i| i * 7 % 100).collect();
        let x = rng.normal_vec(2000 * 3 * 10, 1.0);
        let mut out = x.clone();
        let pairing = RopePairing::Halves;
        rope(kernels(), (&pool, 2), &table, pairing, &positions, 10, &mut out).unwrap();
        for (i, heads) in x.chunks(30).enumerate() {
            let mut expected = heads.to_vec();
            let (cos, sin) = table.at(positions[i] as usize);
            kernels().rope(&mut expected, 10, cos, sin, pairing);
            ulp::assert_same_bits(&out[i * 30..][..30], &expected, "heads");
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let pool = Pool::new(NonZeroUsize::MIN);
        let (x, mut out) = ([0.0; 6], [0.0; 5]);
        let gelu = (Function::Gelu, Accuracy::OneUlp);
        assert!(apply(kernels(), (&pool, 1), gelu, Io::Apart(&x, &mut out)).is_err());
        let norm = Norm::L2 { row_len: 4 };
        assert!(normalize(kernels(), (&pool, 1), norm, 1e-5, Io::InPlace(&mut out)).is_err());
        let norm = Norm::Layer { weight: &x, bias: &x[1..] };
        assert!(normalize(kernels(), (&pool, 1), norm, 1e-5, Io::InPlace(&mut out)).is_err());
        let table = RopeTable::new(4, 1e4, RopeScaling::None, None).unwrap();
        let turn = |head_dim, x: &mut [f32]| {
            rope(kernels(), (&pool, 1), &table, RopePairing::Halves, &[0], head_dim, x)
        };
        assert!(turn(3, &mut [0.0; 3]).is_err());
        assert!(turn(4, &mut [0.0; 5]).is_err());
        assert_eq!(turn(4, &mut [0.0; 8]), Ok(()));
    }
}
