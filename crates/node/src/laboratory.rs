//! The format laboratory: errors of formats, formats that fit, arithmetic in a format.

use dyadic_formats::search::{self, Candidate};
use dyadic_formats::{
    Emulator, EncodeOptions, ErrorStats, Format, FormatError, Granularity, Noise, Operation,
    PseudoQuantization, wasserstein1 as distance,
};
use dyadic_kernels::Kernels;
use dyadic_tensor::pool::Pool;
use napi::bindgen_prelude::Float32ArraySlice;
use napi_derive::napi;

use crate::error::{Result, guard};
use crate::format::{NativeEncodeOptions, NativeFormat};

/// The numbers of an [`ErrorStats`] in an array.
const STATS: usize = 6;

#[expect(clippy::cast_precision_loss, reason = "counts of elements")]
fn numbers(stats: &ErrorStats) -> [f64; STATS] {
    let ErrorStats { count, signal, noise, max_error, clipped, underflowed } = *stats;
    [count as f64, signal, noise, max_error, clipped as f64, underflowed as f64]
}

/// Quantizes a matrix and compares: `[count, signal, noise, max error, clipped, underflowed]` of all elements, then with `parts` of each row, then of each group.
#[napi]
pub fn analyse(
    format: &NativeFormat,
    values: &[f32],
    rows: u32,
    columns: u32,
    options: NativeEncodeOptions,
    parts: bool,
) -> Result<Vec<f64>> {
    guard(|| {
        let pool = Pool::global()?;
        let pool = (pool, pool.threads());
        let shape = (rows as usize, columns as usize);
        let options = options.read()?;
        let kernels = Kernels::active()?;
        let quantized =
            dyadic_tensor::quantize(kernels, pool, format.format(), values, shape, &options)?;
        let mut decoded = vec![0.0; values.len()];
        dyadic_tensor::dequantize(kernels, pool, quantized.view(), &mut decoded)?;
        let analysis = quantized.compare(values, &decoded)?;
        let mut all = vec![analysis.total];
        if parts {
            all.extend(analysis.channels);
            all.extend(analysis.groups);
        }
        Ok(all.iter().flat_map(numbers).collect())
    })
}

fn granularity(text: &str) -> std::result::Result<Granularity, FormatError> {
    let scale = Format::parse(&format!("e2m1:{text}"))?.scale;
    Ok(scale.map_or(Granularity::Tensor, |scale| scale.granularity))
}

/// A format that was found, and the ratio that it reached.
#[napi(object, object_from_js = false)]
pub struct NativeCandidate {
    /// Its name.
    pub format: String,
    /// In decibels.
    pub sqnr: f64,
}

impl From<Candidate> for NativeCandidate {
    fn from(candidate: Candidate) -> Self {
        Self { format: candidate.format.to_string(), sqnr: candidate.sqnr_db }
    }
}

/// Every split of so many bits into exponent and mantissa, best first; `per` is the granularity of the scales, as in format strings.
#[napi]
pub fn compare_float_splits(
    bits: u8,
    values: &[f32],
    rows: u32,
    columns: u32,
    per: String,
) -> Result<Vec<NativeCandidate>> {
    guard(|| {
        let (rows, columns) = (rows as usize, columns as usize);
        let splits = search::compare_float_splits(bits, values, rows, columns, granularity(&per)?)?;
        Ok(splits.into_iter().map(NativeCandidate::from).collect())
    })
}

/// The fixed-point format with the best binary point.
#[napi]
pub fn search_binary_point(bits: u8, values: &[f32]) -> Result<NativeCandidate> {
    guard(|| {
        let fixed = search::search_binary_point(bits, values)?;
        let format = Format::plain(dyadic_formats::Element::Fixed(fixed));
        let analysis = format.analyse(values, 1, values.len(), &EncodeOptions::default())?;
        Ok(Candidate { sqnr_db: analysis.total.sqnr_db(), format }.into())
    })
}

/// The power-law format with the best exponent.
#[napi]
pub fn fit_power(
    bits: u8,
    values: &[f32],
    rows: u32,
    columns: u32,
    per: String,
) -> Result<NativeCandidate> {
    guard(|| {
        let (rows, columns) = (rows as usize, columns as usize);
        Ok(search::fit_power(bits, values, rows, columns, granularity(&per)?)?.into())
    })
}

/// The first Wasserstein distance of two samples.
#[napi]
pub fn wasserstein1(a: &[f64], b: &[f64]) -> Result<f64> {
    guard(|| Ok(distance(a, b)?))
}

/// What noise is added to weights: [`PseudoQuantization`].
#[napi(object, object_to_js = false)]
pub struct NativePqtNoise {
    /// The bits that are imitated: 2 to 16.
    pub bits: u8,
    /// Which weights share a step, as in format strings.
    pub per: String,
    /// Uniform instead of rounded Gaussian noise.
    pub uniform: bool,
    /// 0 to 2^53 − 1.
    pub seed: f64,
}

/// Writes pseudo-quantization noise for a matrix of weights.
#[napi]
pub fn pqt_noise(
    weights: &[f32],
    rows: u32,
    columns: u32,
    noise: NativePqtNoise,
    mut out: Float32ArraySlice<'_>,
) -> Result<()> {
    guard(|| {
        let NativePqtNoise { bits, per, uniform, seed } = noise;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "TypeScript checks that the seed is an integer from 0 to 2^53 - 1"
        )]
        let seed = seed as u64;
        let noise = if uniform { Noise::Uniform } else { Noise::RoundedGaussian };
        let noise = PseudoQuantization { bits, granularity: granularity(&per)?, noise, seed };
        // SAFETY: TypeScript passes an array that it has just made.
        let out = unsafe { out.as_mut() };
        Ok(noise.write_noise(weights, rows as usize, columns as usize, out)?)
    })
}

/// Arithmetic in a format.
#[napi]
pub struct NativeEmulator {
    emulator: Emulator,
}

#[napi]
impl NativeEmulator {
    /// In a format.
    #[napi(constructor)]
    pub fn new(format: &NativeFormat, options: NativeEncodeOptions) -> Result<Self> {
        guard(|| {
            let emulator = Emulator::new(format.format().clone(), options.read()?)?;
            Ok(Self { emulator })
        })
    }

    /// Does an operation of [`Operation::NAMED`] into `out`; operands have its length, or one element.
    #[napi]
    pub fn apply(
        &mut self,
        operation: String,
        a: &[f32],
        b: &[f32],
        c: &[f32],
        mut out: Float32ArraySlice<'_>,
    ) -> Result<()> {
        guard(|| {
            let named = Operation::NAMED.into_iter().find(|(_, name)| *name == operation);
            let Some((operation, _)) = named else {
                let format = self.emulator.format().to_string();
                return Err(FormatError::Unsupported { format, operation: "used so" }.into());
            };
            // SAFETY: TypeScript passes an array that is none of the operands' memory, nor used by anybody else during the call.
            let out = unsafe { out.as_mut() };
            // Kernels equal the definition, random bits included.
            if operation == Operation::Chop
                && a.len() == out.len()
                && let kernels = Kernels::active()?
                && let (format, options) = (self.emulator.format(), self.emulator.next_options())
                && let Some(quantized) = kernels.quantize(format, a, 1, a.len(), &options)
                && kernels.dequantize(quantized.view(), out)
            {
                self.emulator.count_operation();
                return Ok(());
            }
            Ok(self.emulator.apply(operation, [a, b, c], out)?)
        })
    }

    /// Rounds one number, straight from f64.
    #[napi]
    pub fn round(&mut self, value: f64) -> Result<f64> {
        guard(|| Ok(self.emulator.round(value)?))
    }

    /// The sum, each partial sum rounded.
    #[napi]
    pub fn sum(&mut self, values: &[f32]) -> Result<f64> {
        guard(|| Ok(self.emulator.sum(values)?.into()))
    }

    /// The dot product, each product and partial sum rounded; with `fused` only the sums.
    #[napi]
    pub fn dot(&mut self, a: &[f32], b: &[f32], fused: bool) -> Result<f64> {
        guard(|| Ok(self.emulator.dot(a, b, fused)?.into()))
    }
}
