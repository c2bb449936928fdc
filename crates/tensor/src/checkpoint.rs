//! Quantized checkpoints of other projects, as tensors of this one: GPTQ, AWQ, `BitNet`.
//!
//! They keep weights transposed (columns × rows) or several rows in a byte; here a tensor is rows × columns again, with packed codes. Nothing is rounded.

use dyadic_formats::float::Float;
use dyadic_formats::int::Int;
use dyadic_formats::{Element, Format, Granularity, Quantized, ScaleRule, Zero, pack};

use crate::{Shape, TensorError};

/// How `qzeros` of a GPTQ tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GptqVersion {
    /// The zero point minus 1. Writers and readers disagree about a zero point of 0; here it is what wraps around to it.
    V1,
    /// The zero point.
    V2,
}

/// The parts of a GPTQ tensor, as the safetensors file holds them.
#[derive(Clone, Copy, Debug)]
pub struct GptqTensor<'a> {
    /// The shape of the weights: outputs × inputs.
    pub shape: Shape,
    /// Bits of a code: 2, 3, 4 or 8.
    pub bits: u32,
    /// Inputs that share a scale.
    pub group: usize,
    /// inputs · bits / 32 × outputs: each column is one little-endian string of bits.
    pub qweight: &'a [u32],
    /// groups × outputs · bits / 32: each row is one string of bits.
    pub qzeros: &'a [u32],
    /// groups × outputs, the bits of f16.
    pub scales: &'a [u16],
    /// The group of each input, where the checkpoint was quantized in order of activations.
    pub g_idx: Option<&'a [u32]>,
    /// How zero points are stored.
    pub version: GptqVersion,
}

/// A tensor whose columns may be in another order than those of its input.
#[derive(Clone, Debug)]
pub struct Reordered {
    /// The weights.
    pub tensor: Quantized,
    /// Column `j` takes input `order[j]`. `None` where that is `j`.
    pub order: Option<Vec<u32>>,
}

impl Reordered {
    /// The inputs of some tokens in the order of the columns.
    #[must_use]
    pub fn gather(&self, x: &[f32]) -> Vec<f32> {
        let Some(order) = &self.order else { return x.to_vec() };
        let tokens = x.chunks_exact(order.len().max(1));
        tokens.flat_map(|token| order.iter().map(|&column| token[column as usize])).collect()
    }
}

impl GptqTensor<'_> {
    /// The tensor as unsigned integers with zero points.
    ///
    /// # Errors
    /// [`TensorError::Length`] where a part has not the length that shape, bits and group say, or a group of `g_idx` has not its number of inputs.
    pub fn unpack(&self) -> Result<Reordered, TensorError> {
        let Self { shape: Shape { rows, columns }, bits, group, .. } = *self;
        check("the shape of a matrix", 1, usize::from(rows > 0 && columns > 0))?;
        check("the bits of a code (2, 3, 4 or 8)", 1, usize::from(matches!(bits, 2..=4 | 8)))?;
        check(
            "a group that divides the inputs",
            1,
            usize::from(group > 0 && columns % group == 0),
        )?;
        let groups = columns / group;
        check("qweight", words(columns, bits)?.saturating_mul(rows), self.qweight.len())?;
        check("qzeros", words(rows, bits)?.saturating_mul(groups), self.qzeros.len())?;
        check("scales", groups.saturating_mul(rows), self.scales.len())?;
        let order = self.g_idx.map(|g_idx| order_of(g_idx, columns, group)).transpose()?;
        let order = order.filter(|order| !order.is_sorted());

        let mask = u32::MAX >> (32 - bits);
        let column_of = |j: usize| order.as_ref().map_or(j, |order| order[j] as usize);
        let code = |row: usize, j: usize| bits_at(self.qweight, rows, row, bits, column_of(j));
        let words_of_zeros = words(rows, bits)?;
        let zero = |row: usize, group: usize| {
            let zeros = &self.qzeros[group * words_of_zeros..][..words_of_zeros];
            let stored = bits_at(zeros, 1, 0, bits, row);
            match self.version {
                GptqVersion::V1 => (stored + 1) & mask,
                GptqVersion::V2 => stored,
            }
        };
        let tensor = affine(self.shape, bits, group, code, zero, self.scales);
        Ok(Reordered { tensor, order })
    }
}

/// The parts of an AWQ tensor (the "GEMM" version, 4 bits), as the safetensors file holds them.
#[derive(Clone, Copy, Debug)]
pub struct AwqTensor<'a> {
    /// The shape of the weights: outputs × inputs.
    pub shape: Shape,
    /// Inputs that share a scale.
    pub group: usize,
    /// inputs × outputs / 8.
    pub qweight: &'a [u32],
    /// groups × outputs / 8.
    pub qzeros: &'a [u32],
    /// groups × outputs, the bits of f16.
    pub scales: &'a [u16],
}

/// Where in a word the nibble of output `8c + i` stands.
const AWQ_NIBBLE: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

impl AwqTensor<'_> {
    /// The tensor as unsigned integers with zero points.
    ///
    /// # Errors
    /// [`TensorError::Length`] where a part has not the length that shape and group say.
    pub fn unpack(&self) -> Result<Quantized, TensorError> {
        let Self { shape: Shape { rows, columns }, group, .. } = *self;
        check("the shape of a matrix", 1, usize::from(rows > 0 && columns > 0))?;
        check(
            "a group that divides the inputs",
            1,
            usize::from(group > 0 && columns % group == 0),
        )?;
        let groups = columns / group;
        let words = words(rows, 4)?;
        check("qweight", words.saturating_mul(columns), self.qweight.len())?;
        check("qzeros", words.saturating_mul(groups), self.qzeros.len())?;
        check("scales", groups.saturating_mul(rows), self.scales.len())?;
        let nibble = |packed: &[u32], line: usize, row: usize| {
            packed[line * words + row / 8] >> (4 * AWQ_NIBBLE[row % 8]) & 15
        };
        let code = |row: usize, column: usize| nibble(self.qweight, column, row);
        let zero = |row: usize, group: usize| nibble(self.qzeros, group, row);
        Ok(affine(self.shape, 4, group, code, zero, self.scales))
    }
}

/// What the scale of a `BitNet` checkpoint does: files that were packed beforehand hold the reciprocal of the mean magnitude, those that a layer packs as
/// it loads the mean itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BitnetScale {
    /// Weights are divided by it.
    Divides(f32),
    /// Weights are multiplied by it.
    Multiplies(f32),
}

impl BitnetScale {
    fn factor(self) -> f32 {
        match self {
            Self::Divides(scale) => 1.0 / scale,
            Self::Multiplies(scale) => scale,
        }
    }
}

/// The ternary weights of a `BitNet` checkpoint in safetensors: outputs / 4 × inputs bytes, of which bits 2i and 2i + 1 are for output `i · outputs / 4 + r`.
///
/// # Errors
/// [`TensorError::Length`] where there are not so many bytes.
pub fn unpack_bitnet(
    shape: Shape,
    packed: &[u8],
    scale: BitnetScale,
) -> Result<Quantized, TensorError> {
    let Shape { rows, columns } = shape;
    check("outputs in fours", rows / 4 * 4, rows)?;
    check("a BitNet tensor", (rows / 4).saturating_mul(columns), packed.len())?;
    let quarter = rows / 4;
    let code = |row: usize, column: usize| {
        u32::from(packed[row % quarter * columns + column] >> (2 * (row / quarter)) & 3)
    };
    Ok(ternary(shape, code, scale.factor()))
}

/// The order in which `I2_S` of bitnet.cpp keeps its weights. Files do not say which; converters write the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum I2sOrder {
    /// Blocks of 128 weights in 32 bytes.
    X86,
    /// Blocks of 64 weights in 16 bytes.
    Arm,
}

/// The ternary weights of an `I2_S` tensor, row-major: weight `j` of a block of `4 n` is in byte `j mod n`, bits `6 − 2 ⌊j / n⌋`. `scale` is the f32 behind them.
///
/// # Errors
/// [`TensorError::Length`] where the elements are no whole blocks of as many bytes.
pub fn unpack_i2s(
    shape: Shape,
    packed: &[u8],
    order: I2sOrder,
    scale: f32,
) -> Result<Quantized, TensorError> {
    let bytes = match order {
        I2sOrder::X86 => 32,
        I2sOrder::Arm => 16,
    };
    let Shape { rows, columns } = shape;
    let elements = rows.saturating_mul(columns);
    check("an I2_S tensor of whole blocks", elements / (4 * bytes) * bytes * 4, elements)?;
    check("an I2_S tensor", elements / 4, packed.len())?;
    let code = |row: usize, column: usize| {
        let index = row * columns + column;
        let (block, j) = (index / (4 * bytes), index % (4 * bytes));
        u32::from(packed[block * bytes + j % bytes] >> (6 - 2 * (j / bytes)) & 3)
    };
    Ok(ternary(shape, code, scale))
}

fn check(what: &'static str, expected: usize, actual: usize) -> Result<(), TensorError> {
    TensorError::check_length(what, expected, actual)
}

/// The words of `codes` codes, which must fill them.
fn words(codes: usize, bits: u32) -> Result<usize, TensorError> {
    let all = codes.saturating_mul(bits as usize);
    check("codes in whole words", all / 32 * 32, all)?;
    Ok(all / 32)
}

/// Code `index` of a string of bits whose words are `stride` apart, the first at `first`.
fn bits_at(packed: &[u32], stride: usize, first: usize, bits: u32, index: usize) -> u32 {
    let bit = index * bits as usize;
    let word = |index: usize| packed.get(index * stride + first).copied().unwrap_or(0);
    let pair = u64::from(word(bit / 32)) | u64::from(word(bit / 32 + 1)) << 32;
    #[expect(clippy::cast_possible_truncation, reason = "masked to at most 8 bits")]
    let code = (pair >> (bit % 32)) as u32;
    code & (u32::MAX >> (32 - bits))
}

/// The inputs sorted by group, those of a group in their order.
fn order_of(g_idx: &[u32], columns: usize, group: usize) -> Result<Vec<u32>, TensorError> {
    check("g_idx", columns, g_idx.len())?;
    let mut order: Vec<u32> = (0..).take(columns).collect();
    order.sort_by_key(|&column| g_idx[column as usize]);
    for (j, &column) in order.iter().enumerate() {
        check("the inputs of a group of g_idx", j / group, g_idx[column as usize] as usize)?;
    }
    Ok(order)
}

/// Unsigned integers with a zero point and an f16 scale for each row and group; `scales` are groups × rows.
fn affine(
    Shape { rows, columns }: Shape,
    bits: u32,
    group: usize,
    code: impl Fn(usize, usize) -> u32,
    zero: impl Fn(usize, usize) -> u32,
    scales: &[u16],
) -> Quantized {
    let element = Element::Int(Int::unsigned(bits.to_le_bytes()[0]));
    let granularity = match u32::try_from(group) {
        Ok(group) if (group as usize) < columns => Granularity::Group(group),
        _ => Granularity::Channel,
    };
    let format = Format {
        zero: Zero::Point,
        ..Format::scaled(element, Float::F16, granularity, ScaleRule::Range)
    };
    let groups = columns / group;
    let by_group = || (0..rows).flat_map(|row| (0..groups).map(move |group| (row, group)));
    let zeros: Vec<u32> = by_group().map(|(row, group)| zero(row, group)).collect();
    let scales = by_group().flat_map(|(row, group)| scales[group * rows + row].to_le_bytes());
    Quantized {
        format,
        rows,
        columns,
        codes: packed(rows, columns, bits, code),
        scales: scales.collect(),
        zeros: pack_codes(&zeros, bits),
        selectors: Vec::new(),
        super_scales: Vec::new(),
    }
}

fn ternary(
    Shape { rows, columns }: Shape,
    code: impl Fn(usize, usize) -> u32,
    scale: f32,
) -> Quantized {
    let rule = ScaleRule::MeanMagnitude;
    Quantized {
        format: Format::scaled(Element::Ternary, Float::F32, Granularity::Tensor, rule),
        rows,
        columns,
        codes: packed(rows, columns, 2, code),
        scales: scale.to_le_bytes().to_vec(),
        zeros: Vec::new(),
        selectors: Vec::new(),
        super_scales: Vec::new(),
    }
}

/// Row-major packed codes.
fn packed(rows: usize, columns: usize, bits: u32, code: impl Fn(usize, usize) -> u32) -> Vec<u8> {
    let codes = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let codes: Vec<u32> = codes.map(|(row, column)| code(row, column)).collect();
    pack_codes(&codes, bits)
}

fn pack_codes(codes: &[u32], bits: u32) -> Vec<u8> {
    let mut bytes = vec![0; (codes.len() * bits as usize).div_ceil(8)];
    pack::pack(codes, bits, &mut bytes).expect("as many bytes as the codes take");
    bytes
}
