//! Products of 8-bit weights and activations of language models as their papers define them: for reference, in f64 and one after the other.
//! `dyadic-tensor` has the kernels.
//!
//! ```text
//! LLM.int8()    x of a magnitude of at least τ are outliers, and so are their columns; 127/largest other x of a token is the scale
//!               out = Σ qx·qw · scales, without the columns of outliers, + Σ x·(qw · scale) of those columns
//! SmoothQuant   s = max|x|^α / max|w|^(1−α) of a column; x / s times w · s, both in 8 bits
//! ```

/// Rows of 8-bit integers with a scale each.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8Rows {
    /// `[rows][columns]`, −127 to 127.
    pub codes: Vec<i8>,
    /// What the codes of a row are multiplied by.
    pub scales: Vec<f64>,
}

impl Int8Rows {
    /// `x · (127 / largest)` in f32, as bitsandbytes computes it; the largest is that of the magnitudes below `threshold`, 127 where there are none.
    /// Others become 0.
    fn by_reciprocal(x: &[f32], columns: usize, threshold: f32) -> Self {
        let (mut codes, mut scales) = (Vec::with_capacity(x.len()), Vec::new());
        for row in x.chunks_exact(columns) {
            let others = || row.iter().map(|x| if x.abs() < threshold { *x } else { 0.0 });
            let largest = others().fold(0.0, |largest: f32, x| largest.max(x.abs()));
            let largest = if largest == 0.0 { 127.0 } else { largest };
            codes.extend(others().map(|x| to_i8(x * (127.0 / largest))));
            scales.push(f64::from(largest) / 127.0);
        }
        Self { codes, scales }
    }

    /// `x / scale` with `scale = max(largest, 1e-5) / 127`, in f32: per-token activations and per-channel weights.
    ///
    /// # Panics
    /// Where `columns` is 0.
    #[must_use]
    pub fn new(x: &[f32], columns: usize) -> Self {
        let (mut codes, mut scales) = (Vec::with_capacity(x.len()), Vec::new());
        for row in x.chunks_exact(columns) {
            let scale = row.iter().fold(1e-5, |largest: f32, x| largest.max(x.abs())) / 127.0;
            codes.extend(row.iter().map(|x| to_i8(x / scale)));
            scales.push(f64::from(scale));
        }
        Self { codes, scales }
    }

    /// The sums of products of each row with each row of `weight`.
    #[must_use]
    pub fn products(&self, weight: &Self, columns: usize) -> Vec<i32> {
        let rows = |rows: &Self| rows.codes.chunks_exact(columns).map(<[i8]>::to_vec).collect();
        let (x, weight): (Vec<_>, Vec<_>) = (rows(self), rows(weight));
        let dot = |x: &[i8], w: &[i8]| -> i32 {
            x.iter().zip(w).map(|(&x, &w)| i32::from(x) * i32::from(w)).sum()
        };
        x.iter().flat_map(|x| weight.iter().map(move |w| dot(x, w))).collect()
    }

    /// [`Self::products`] times their scales.
    #[must_use]
    pub fn multiply(&self, weight: &Self, columns: usize) -> Vec<f64> {
        let scales = self.scales.iter().flat_map(|x| weight.scales.iter().map(move |w| x * w));
        self.products(weight, columns)
            .into_iter()
            .zip(scales)
            .map(|(z, s)| f64::from(z) * s)
            .collect()
    }
}

/// A product by `LLM.int8()`.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmInt8 {
    /// The columns with an outlier.
    pub outlier_columns: Vec<usize>,
    /// The activations, 0 in those columns.
    pub x: Int8Rows,
    /// The weights.
    pub weight: Int8Rows,
    /// `[tokens][outputs]`
    pub out: Vec<f64>,
}

/// `x · weightᵀ` by `LLM.int8()` (Dettmers et al. 2022, arXiv 2208.07339): `x` is `[tokens][columns]`, `weight` `[outputs][columns]`. No column is one of
/// outliers where the threshold is infinite; the paper has 6.
///
/// # Panics
/// Where `columns` is 0.
#[must_use]
pub fn llm_int8(x: &[f32], weight: &[f32], columns: usize, threshold: f32) -> LlmInt8 {
    let has_outlier =
        |column: &usize| x.chunks_exact(columns).any(|token| token[*column].abs() >= threshold);
    let outlier_columns: Vec<usize> = (0..columns).filter(has_outlier).collect();
    let mut codes = Int8Rows::by_reciprocal(x, columns, threshold);
    for token in codes.codes.chunks_exact_mut(columns) {
        for &column in &outlier_columns {
            token[column] = 0;
        }
    }
    let weight = Int8Rows::by_reciprocal(weight, columns, f32::INFINITY);
    let mut out = codes.multiply(&weight, columns);
    for (token, out) in x.chunks_exact(columns).zip(out.chunks_exact_mut(weight.scales.len())) {
        let rows = weight.codes.chunks_exact(columns).zip(&weight.scales);
        for (out, (row, scale)) in out.iter_mut().zip(rows) {
            let outliers = outlier_columns.iter();
            *out += outliers.map(|&j| f64::from(token[j]) * f64::from(row[j]) * scale).sum::<f64>();
        }
    }
    LlmInt8 { outlier_columns, x: codes, weight, out }
}

/// What `SmoothQuant` (Xiao et al. 2023, arXiv 2211.10438) divides the columns of activations by and multiplies those of weights by, from the largest
/// magnitude of each column in both; `alpha` is 0 to 1, 0.5 in the paper.
#[must_use]
pub fn smooth_scales(largest_x: &[f32], largest_weight: &[f32], alpha: f64) -> Vec<f64> {
    let scale = |(&x, &w): (&f32, &f32)| {
        let weight = f64::from(w).max(1e-5).powf(1.0 - alpha);
        (f64::from(x).powf(alpha) / weight).max(1e-5)
    };
    largest_x.iter().zip(largest_weight).map(scale).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "limited to ±127")]
fn to_i8(x: f32) -> i8 {
    x.round_ties_even().clamp(-127.0, 127.0) as i8
}
