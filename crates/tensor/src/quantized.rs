//! Tensors in any number format: by kernels where there are some, else by the definition, with the same result either way.

use dyadic_formats::{
    EncodeOptions, Format, FormatError, Granularity, Quantized, QuantizedRef, Storage,
};
use dyadic_kernels::Kernels;

use crate::machine_numbers;
use crate::pool::Pool;

/// The elements of a task: enough that waking a thread costs little beside it, few enough that they stay in the second-level cache.
const TASK: usize = 1 << 16;

/// Rounds a matrix of `rows` × `columns` into a format, its rows on at most `threads` threads.
///
/// # Errors
/// As [`Format::quantize`].
pub fn quantize(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    format: &Format,
    values: &[f32],
    (rows, columns): (usize, usize),
    options: &EncodeOptions,
) -> Result<Quantized, FormatError> {
    let whole = |values: &[f32], rows: usize| {
        let is_whole = rows.checked_mul(columns) == Some(values.len());
        if let Some(codes) = machine_numbers::encode(format, values, options).filter(|_| is_whole) {
            return Ok(Quantized {
                format: format.clone(),
                rows,
                columns,
                codes,
                scales: Vec::new(),
                zeros: Vec::new(),
                selectors: Vec::new(),
                super_scales: Vec::new(),
            });
        }
        match kernels.quantize(format, values, rows, columns, options) {
            Some(quantized) => Ok(quantized),
            None => format.quantize(values, rows, columns, options),
        }
    };
    let run = run_of_rows(columns);
    let is_split = columns > 0 && rows > run && rows.checked_mul(columns) == Some(values.len());
    if !is_split || !rows_are_independent(format, options, columns, run) {
        return whole(values, rows);
    }
    let mut parts: Vec<(&[f32], Option<Quantized>)> =
        values.chunks(run * columns).map(|values| (values, None)).collect();
    pool.for_each_mut(threads, &mut parts, |_, (values, part)| {
        *part = whole(values, values.len() / columns).ok();
    });
    let mut parts = parts.into_iter().map(|(_, part)| part);
    let first = parts.next().flatten();
    let joined = first.and_then(|mut joined| {
        for part in parts {
            let part = part?;
            joined.codes.extend_from_slice(&part.codes);
            joined.scales.extend_from_slice(&part.scales);
            joined.zeros.extend_from_slice(&part.zeros);
            joined.selectors.extend_from_slice(&part.selectors);
        }
        joined.rows = rows;
        Some(joined)
    });
    // Where a part failed, the definition says why, and at which element of the whole.
    joined.map_or_else(|| format.quantize(values, rows, columns, options), Ok)
}

/// As [`quantize`], of f64, with the result of [`Format::quantize_f64`].
///
/// # Errors
/// As there.
pub fn quantize_f64(
    kernels: &Kernels,
    pool: (&Pool, usize),
    format: &Format,
    values: &[f64],
    (rows, columns): (usize, usize),
    options: &EncodeOptions,
) -> Result<Quantized, FormatError> {
    let is_plain = format.scale.is_none() && format.storage == Storage::Planar;
    #[expect(clippy::cast_possible_truncation, reason = "rounds, or is exact")]
    let narrow = |value: f64| value as f32;
    // Most f64 of JavaScript are whole numbers or came from an f32: then there is nothing to be rounded twice.
    let is_exact = |&value: &f64| f64::from(narrow(value)) == value || value.is_nan();
    if is_plain && !values.iter().all(is_exact) {
        return format.quantize_f64(values, rows, columns, options);
    }
    let values: Vec<f32> = values.iter().map(|&value| narrow(value)).collect();
    quantize(kernels, pool, format, &values, (rows, columns), options)
}

/// Whether a run of rows is encoded as if there were no others.
fn rows_are_independent(
    format: &Format,
    options: &EncodeOptions,
    columns: usize,
    run: usize,
) -> bool {
    let shares_scale = format.scale.as_ref().is_some_and(|scale| {
        scale.granularity == Granularity::Tensor || format.super_scale.is_some()
    });
    !shares_scale && !options.rounding.is_random() && format.part_offsets(columns, run).is_some()
}

/// The rows of a task. Eight rows of any format end at a byte.
fn run_of_rows(columns: usize) -> usize {
    TASK.div_ceil(columns.max(1)).next_multiple_of(8)
}

/// Decodes a whole tensor, its rows on at most `threads` threads.
///
/// # Errors
/// Where `out` or a part of the tensor has another length than format and shape say ([`QuantizedRef::check`]), or a record contradicts its format.
pub fn dequantize(
    kernels: &Kernels,
    (pool, threads): (&Pool, usize),
    quantized: QuantizedRef<'_>,
    out: &mut [f32],
) -> Result<(), FormatError> {
    quantized.check()?;
    let QuantizedRef { rows, columns, .. } = quantized;
    if out.len() != rows * columns {
        return Err(FormatError::Length {
            what: "values of the matrix",
            expected: rows * columns,
            actual: out.len(),
        });
    }
    let whole = |part: QuantizedRef<'_>, out: &mut [f32]| {
        if machine_numbers::decode(part.format, part.codes, out) || kernels.dequantize(part, out) {
            Ok(())
        } else {
            part.dequantize(out)
        }
    };
    let run = run_of_rows(columns);
    if columns == 0 || rows <= run || quantized.rows(0..run).is_none() {
        return whole(quantized, out);
    }
    let mut parts: Vec<_> = (0..)
        .step_by(run)
        .zip(out.chunks_mut(run * columns))
        .map(|(first, out)| (first, out, Ok(())))
        .collect();
    pool.for_each_mut(threads, &mut parts, |_, (first, out, result)| {
        let part = quantized.rows(*first..*first + out.len() / columns);
        *result = whole(part.unwrap_or_else(|| unreachable!("as the first run")), out);
    });
    parts.into_iter().try_for_each(|(.., result)| result)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use dyadic_formats::{NanPolicy, Overflow, Rounding, StochasticBits};
    use dyadic_kernels::Isa;
    use dyadic_testkit::{Rng, ulp};

    use super::*;

    fn pool() -> Pool {
        Pool::new(NonZeroUsize::new(3).unwrap())
    }

    /// With and without a kernel, on every instruction set, in one run of rows and in several.
    #[test]
    fn every_format_has_the_result_of_its_definition() {
        let pool = pool();
        let mut rng = Rng::new(1);
        let roundings = [Rounding::NearestEven, Rounding::Stochastic(StochasticBits::default())];
        for (rows, columns) in [(3, 256), (5, 37), (1, 1), (0, 256), (1 << 17, 0), (24, 8192 + 256)]
        {
            let values = rng.normal_vec(rows * columns, 2.0);
            for (name, format) in dyadic_formats::all() {
                // The definition takes its time; whole blocks and plain codes show how large tensors are split.
                let is_large = values.len() > TASK;
                if is_large
                    && !["q4_0", "int5:g32", "e5m2", "nvfp4", "int4:g256:f16:zp"].contains(&&*name)
                {
                    continue;
                }
                for rounding in roundings {
                    let options = EncodeOptions { rounding, seed: 7, ..EncodeOptions::default() };
                    check(&pool, &name, &format, &values, (rows, columns), &options);
                }
            }
        }
        for text in [
            "int8:none",
            "int8full:none",
            "uint8:none",
            "int16:none",
            "uint32:none",
            "int32full:none",
        ] {
            let format = Format::parse(text).unwrap();
            let mut values = rng.normal_vec(64, 200.0);
            values.extend([0.5, 1.5, -0.5, -2.5, 127.5, -128.5, 1e10, -1e10, 255.5, -0.0]);
            for rounding in [Rounding::NearestEven, Rounding::TowardZero] {
                let options = EncodeOptions { rounding, ..EncodeOptions::default() };
                check(&pool, text, &format, &values, (2, 37), &options);
            }
            values[3] = f32::INFINITY;
            check(&pool, text, &format, &values, (2, 37), &EncodeOptions::default());
        }
        let special = [1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 1e-45];
        for (overflow, infinity_is_nan) in
            [(Overflow::Saturate, false), (Overflow::Ieee, false), (Overflow::Ieee, true)]
        {
            let options = EncodeOptions { overflow, infinity_is_nan, ..EncodeOptions::default() };
            check(&pool, "f32", &Format::parse("f32").unwrap(), &special, (2, 3), &options);
        }
        let values = rng.normal_vec(24 * 8448, 1.0);
        for text in ["int5:g32", "int4:g256:f16:zp", "int3:channel", "e2m1:16x16", "uint7:5x100"] {
            let format = Format::parse(text).unwrap();
            check(&pool, text, &format, &values, (24, 8448), &EncodeOptions::default());
        }
    }

    fn check(
        pool: &Pool,
        name: &str,
        format: &Format,
        values: &[f32],
        (rows, columns): (usize, usize),
        options: &EncodeOptions,
    ) {
        let Ok(expected) = format.quantize(values, rows, columns, options) else {
            // Records without an encoder or with rows that are no whole records, and complex numbers.
            assert!(format.storage != Storage::Planar || name == "complex2", "{name}");
            return;
        };
        expected.view().check().unwrap();
        let mut decoded = vec![0.0; values.len()];
        expected.dequantize(&mut decoded).unwrap();
        for isa in Isa::supported() {
            let kernels = Kernels::for_isa(isa).unwrap();
            for threads in [1, 3] {
                let shape = (rows, columns);
                let actual =
                    quantize(kernels, (pool, threads), format, values, shape, options).unwrap();
                assert_eq!(actual, expected, "{name} {isa} {threads}");
                let mut out = vec![0.0; values.len()];
                dequantize(kernels, (pool, threads), actual.view(), &mut out).unwrap();
                ulp::assert_same_bits(&out, &decoded, name);
            }
        }
    }

    /// A record of mixed widths with more wide groups than its format says, behind the first run of rows.
    #[test]
    fn damaged_records_are_errors_wherever_they_are() {
        let pool = pool();
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let format = Format::parse("w2mix").unwrap();
        let (rows, columns) = (400, 512);
        let options = EncodeOptions::default();
        let mut quantized =
            format.quantize(&vec![1.0; rows * columns], rows, columns, &options).unwrap();
        let record = quantized.codes.len() / rows;
        quantized.codes[399 * record + 2] ^= 1;
        for threads in [1, 3] {
            let mut out = vec![0.0; rows * columns];
            let error = dequantize(kernels, (&pool, threads), quantized.view(), &mut out);
            assert_eq!(error.unwrap_err().code(), "ERR_SHAPE");
        }
    }

    /// 1.0625 + 2^−40 is above the tie of e4m3fn, and on it once it is an f32.
    #[test]
    fn f64_are_rounded_once() {
        let pool = pool();
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let value = 1.0625 + 2f64.powi(-40);
        for (text, values, expected) in [
            ("e4m3fn", [value, -value], [1.125, -1.125]),
            ("e4m3fn", [1.0625, -1.1875], [1.0, -1.25]),
            ("int4:channel", [f64::from(f32::MAX), 0.0], [f64::from(f32::MAX), 0.0]),
            ("int32:none", [2_147_483_647.0, -16_777_217.0], [2_147_483_647.0, -16_777_217.0]),
        ] {
            let format = Format::parse(text).unwrap();
            let options = EncodeOptions::default();
            let quantized =
                quantize_f64(kernels, (&pool, 1), &format, &values, (1, 2), &options).unwrap();
            let mut out = [0.0; 2];
            quantized.view().dequantize_f64(&mut out).unwrap();
            assert_eq!(out, expected, "{text}");
            assert_eq!(quantized, format.quantize_f64(&values, 1, 2, &options).unwrap());
        }
    }

    #[test]
    fn nan_is_refused_or_spreads_over_its_block() {
        let pool = pool();
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let format = Format::parse("mxfp4").unwrap();
        let mut values = vec![1.0f32; 1 << 18];
        let index = (1 << 17) + 40;
        values[index] = f32::NAN;
        let shape = (1 << 12, 64);
        let run = |options: &EncodeOptions| {
            quantize(kernels, (&pool, 3), &format, &values, shape, options)
        };
        let error = run(&EncodeOptions::default()).unwrap_err();
        assert_eq!(error.code(), "ERR_NAN");
        assert!(error.to_string().starts_with(&format!("element {index} is NaN")), "{error}");
        let options = EncodeOptions { nan: NanPolicy::Zero, ..EncodeOptions::default() };
        let quantized = run(&options).unwrap();
        let mut out = vec![0.0; values.len()];
        dequantize(kernels, (&pool, 3), quantized.view(), &mut out).unwrap();
        let block = index / 32 * 32..index / 32 * 32 + 32;
        for (index, value) in out.iter().enumerate() {
            assert_eq!(value.is_nan(), block.contains(&index), "{index}");
        }
    }

    #[test]
    fn tensors_that_are_too_short_are_refused() {
        let pool = pool();
        let kernels = Kernels::for_isa(Isa::best()).unwrap();
        let format = Format::parse("int4:g32:f16").unwrap();
        let mut quantized =
            quantize(kernels, (&pool, 1), &format, &[1.0; 64], (1, 64), &EncodeOptions::default())
                .unwrap();
        let code = |quantized: &Quantized, len: usize| {
            let result = dequantize(kernels, (&pool, 1), quantized.view(), &mut vec![0.0; len]);
            result.unwrap_err().code()
        };
        assert_eq!(code(&quantized, 63), "ERR_SHAPE");
        quantized.scales.pop();
        assert_eq!(code(&quantized, 64), "ERR_SHAPE");
    }
}
