//! Tensors in a format: their parts, how long each is, and what they stand for.

use std::ops::Range;

use crate::element::Element;
use crate::error::FormatError;
use crate::float::canonical;
use crate::format::{Format, Granularity, ScaleRule, Storage, Zero};
use crate::pack;

/// The groups of a matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    granularity: Granularity,
    rows: usize,
    columns: usize,
}

impl Groups {
    /// The groups of a matrix of `rows` × `columns`.
    #[must_use]
    pub const fn new(granularity: Granularity, rows: usize, columns: usize) -> Self {
        Self { granularity, rows, columns }
    }

    /// The height and width of a full group.
    const fn shape(&self) -> (usize, usize) {
        let (rows, columns) = match self.granularity {
            Granularity::Tensor => (self.rows, self.columns),
            Granularity::Channel => (1, self.columns),
            Granularity::Group(group) => (1, group as usize),
            Granularity::Block { rows, columns } => (rows as usize, columns as usize),
        };
        (if rows == 0 { 1 } else { rows }, if columns == 0 { 1 } else { columns })
    }

    const fn across(&self) -> usize {
        self.columns.div_ceil(self.shape().1)
    }

    /// The number of groups.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.rows.div_ceil(self.shape().0) * self.across()
    }

    /// The group of an element; groups are numbered along the rows.
    #[must_use]
    pub const fn of_element(&self, index: usize) -> usize {
        let (rows, columns) = self.shape();
        (index / self.columns / rows) * self.across() + index % self.columns / columns
    }

    /// The elements of a group, as ranges of row-major indices, one a row.
    pub fn spans(&self, group: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, columns) = self.shape();
        let first_row = group / self.across() * rows;
        let first_column = group % self.across() * columns;
        let last_column = (first_column + columns).min(self.columns);
        let width = self.columns;
        (first_row..(first_row + rows).min(self.rows))
            .map(move |row| row * width + first_column..row * width + last_column)
    }
}

/// A tensor in a format: packed codes with their scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// The format.
    pub format: Format,
    /// The number of rows.
    pub rows: usize,
    /// The number of columns: the length of the last axis.
    pub columns: usize,
    /// The packed codes in row-major order, or the records of formats that have them.
    pub codes: Vec<u8>,
    /// The packed codes of the scales, by group.
    pub scales: Vec<u8>,
    /// The packed codes of the zero points or minimums, by group.
    pub zeros: Vec<u8>,
    /// The packed selectors of code books, by group.
    pub selectors: Vec<u8>,
    /// The super-scales, each of as many consecutive groups as its granularity says.
    pub super_scales: Vec<f32>,
}

/// A tensor whose parts are somewhere else: what [`Quantized`] is to `Vec`, to slices.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedRef<'a> {
    /// The format.
    pub format: &'a Format,
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub columns: usize,
    /// As [`Quantized::codes`].
    pub codes: &'a [u8],
    /// As [`Quantized::scales`].
    pub scales: &'a [u8],
    /// As [`Quantized::zeros`].
    pub zeros: &'a [u8],
    /// As [`Quantized::selectors`].
    pub selectors: &'a [u8],
    /// As [`Quantized::super_scales`].
    pub super_scales: &'a [f32],
}

/// A number for each part of a tensor: its length, or where a row begins in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Bytes of the codes, or of the records.
    pub codes: usize,
    /// Bytes of the scales.
    pub scales: usize,
    /// Bytes of the zero points or minimums.
    pub zeros: usize,
    /// Bytes of the selectors.
    pub selectors: usize,
    /// Super-scales, each an f32.
    pub super_scales: usize,
}

impl Format {
    /// How long the parts of a matrix are.
    ///
    /// # Errors
    /// Where the size overflows, or rows are no whole records.
    pub fn part_lengths(&self, rows: usize, columns: usize) -> Result<Parts, FormatError> {
        // A code has at most 32 bits, and so have a scale, a zero point and a selector of each element.
        let limit = usize::MAX / 64;
        let elements = rows.checked_mul(columns).filter(|elements| *elements <= limit);
        let Some(elements) = elements.filter(|_| rows <= limit && columns <= limit) else {
            let actual = rows.saturating_mul(columns);
            return Err(FormatError::Length {
                what: "elements of the matrix, at most",
                expected: limit,
                actual,
            });
        };
        self.check_records(columns)?;
        if let Some((block, bytes)) = self.storage.record() {
            return Ok(Parts { codes: elements / block * bytes, ..Parts::default() });
        }
        let bytes = |count: usize, bits: u32| (count * bits as usize).div_ceil(8);
        let codes = bytes(elements, self.element.bits());
        let Some(scale) = &self.scale else { return Ok(Parts { codes, ..Parts::default() }) };
        let groups = Groups::new(scale.granularity, rows, columns).count();
        Ok(Parts {
            codes,
            scales: bytes(groups, scale.element.bits()),
            zeros: bytes(groups, self.zero_bits()),
            selectors: bytes(groups, self.selector_bits()),
            super_scales: match self.super_scale {
                Some(_) => groups.div_ceil(self.groups_of_super_scale()),
                None => 0,
            },
        })
    }

    /// Where a row begins in the parts of a matrix with so many columns; 0 for what all rows share. `None` where it does not begin at a byte, or
    /// shares a group with the row before it.
    #[must_use]
    pub fn part_offsets(&self, columns: usize, row: usize) -> Option<Parts> {
        let elements = row.checked_mul(columns)?;
        if let Some((block, bytes)) = self.storage.record() {
            let whole = columns.is_multiple_of(block);
            return whole.then(|| Parts { codes: elements / block * bytes, ..Parts::default() });
        }
        let bytes = |count: usize, bits: u32| {
            let bits = count.checked_mul(bits as usize)?;
            bits.is_multiple_of(8).then_some(bits / 8)
        };
        let codes = bytes(elements, self.element.bits())?;
        let parts = Parts { codes, ..Parts::default() };
        let Some(scale) = &self.scale else { return Some(parts) };
        let groups = match scale.granularity {
            Granularity::Tensor => return Some(parts),
            Granularity::Block { rows, .. } if !row.is_multiple_of(rows as usize) => return None,
            granularity => Groups::new(granularity, row, columns).count(),
        };
        let super_scales = match self.super_scale {
            None => 0,
            Some(_) if self.groups_of_super_scale() == usize::MAX => 0,
            Some(_) if groups.is_multiple_of(self.groups_of_super_scale()) => {
                groups / self.groups_of_super_scale()
            }
            Some(_) => return None,
        };
        Some(Parts {
            scales: bytes(groups, scale.element.bits())?,
            zeros: bytes(groups, self.zero_bits())?,
            selectors: bytes(groups, self.selector_bits())?,
            super_scales,
            ..parts
        })
    }

    /// A row must be whole records.
    pub(crate) fn check_records(&self, columns: usize) -> Result<(), FormatError> {
        match self.storage.record() {
            Some((block, _)) if !columns.is_multiple_of(block) => {
                let format = self.to_string();
                Err(FormatError::PartialBlock { format, block, elements: columns })
            }
            _ => Ok(()),
        }
    }

    /// How many consecutive groups share a super-scale: `usize::MAX` for all.
    pub(crate) fn groups_of_super_scale(&self) -> usize {
        let above = self.super_scale.as_ref().and_then(|scale| scale.granularity.elements());
        let below = self.scale.as_ref().and_then(|scale| scale.granularity.elements());
        match (above, below) {
            (Some(above), Some(below)) => {
                usize::try_from(above / below.max(1)).unwrap_or(usize::MAX).max(1)
            }
            _ => usize::MAX,
        }
    }
}

pub(crate) fn check_length(length: usize, rows: usize, columns: usize) -> Result<(), FormatError> {
    let expected = rows.saturating_mul(columns);
    if length == expected {
        Ok(())
    } else {
        Err(FormatError::Length { what: "values of the matrix", expected, actual: length })
    }
}

impl Quantized {
    /// Its parts.
    #[must_use]
    pub fn view(&self) -> QuantizedRef<'_> {
        QuantizedRef {
            format: &self.format,
            rows: self.rows,
            columns: self.columns,
            codes: &self.codes,
            scales: &self.scales,
            zeros: &self.zeros,
            selectors: &self.selectors,
            super_scales: &self.super_scales,
        }
    }

    /// As [`QuantizedRef::dequantize`].
    ///
    /// # Errors
    /// As there.
    pub fn dequantize(&self, out: &mut [f32]) -> Result<(), FormatError> {
        self.view().dequantize(out)
    }

    /// As [`QuantizedRef::reader`].
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        self.view().reader()
    }

    /// The bytes that the tensor takes, scales and all.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.codes.len()
            + self.scales.len()
            + self.zeros.len()
            + self.selectors.len()
            + 4 * self.super_scales.len()
    }
}

impl<'a> QuantizedRef<'a> {
    /// A tensor that owns copies of the parts.
    #[must_use]
    pub fn to_quantized(&self) -> Quantized {
        Quantized {
            format: self.format.clone(),
            rows: self.rows,
            columns: self.columns,
            codes: self.codes.to_vec(),
            scales: self.scales.to_vec(),
            zeros: self.zeros.to_vec(),
            selectors: self.selectors.to_vec(),
            super_scales: self.super_scales.to_vec(),
        }
    }

    /// Checks that every part has the length that format and shape say: what must hold before a tensor from elsewhere is decoded.
    ///
    /// # Errors
    /// Names the part and both lengths.
    pub fn check(&self) -> Result<(), FormatError> {
        if !self.format.element.is_valid() {
            let format = self.format.to_string();
            return Err(FormatError::Unsupported { format, operation: "used" });
        }
        let expected = self.format.part_lengths(self.rows, self.columns)?;
        for (what, expected, actual) in [
            ("bytes of the codes", expected.codes, self.codes.len()),
            ("bytes of the scales", expected.scales, self.scales.len()),
            ("bytes of the zero points", expected.zeros, self.zeros.len()),
            ("bytes of the selectors", expected.selectors, self.selectors.len()),
            ("super-scales", expected.super_scales, self.super_scales.len()),
        ] {
            if expected != actual {
                return Err(FormatError::Length { what, expected, actual });
            }
        }
        Ok(())
    }

    /// The tensor of some of its rows. `None` where they do not begin at a byte, or share groups with others ([`Format::part_offsets`]).
    ///
    /// # Panics
    /// Where there are no such rows, or the parts are not as [`Self::check`] asks for.
    #[must_use]
    pub fn rows(&self, rows: Range<usize>) -> Option<Self> {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows of the matrix");
        let at = self.format.part_offsets(self.columns, rows.start)?;
        let len = self.format.part_lengths(rows.len(), self.columns).ok()?;
        if rows.end < self.rows {
            // The rows behind them need a beginning too.
            self.format.part_offsets(self.columns, rows.end)?;
        }
        Some(Self {
            rows: rows.len(),
            codes: &self.codes[at.codes..][..len.codes],
            scales: &self.scales[at.scales..][..len.scales],
            zeros: &self.zeros[at.zeros..][..len.zeros],
            selectors: &self.selectors[at.selectors..][..len.selectors],
            super_scales: &self.super_scales[at.super_scales..][..len.super_scales],
            ..*self
        })
    }

    /// Decodes the whole matrix.
    ///
    /// # Errors
    /// Where `out` or a part of the tensor has another length than format and shape say.
    pub fn dequantize(&self, out: &mut [f32]) -> Result<(), FormatError> {
        check_length(out.len(), self.rows, self.columns)?;
        self.check()?;
        if self.format.storage != Storage::Planar {
            return self.decode_records(self.codes, out);
        }
        let reader = self.reader();
        if self.format.scale.is_none() {
            for (index, out) in out.iter_mut().enumerate() {
                *out = reader.element(0, reader.code(index));
            }
            return Ok(());
        }
        for group in 0..reader.groups.count() {
            let scaling = reader.scaling(group);
            for index in reader.groups.spans(group).flatten() {
                out[index] = reader.scaled(&scaling, reader.code(index));
            }
        }
        Ok(())
    }

    /// Decodes the whole matrix into f64: exact for elements without scales, which may be integers of 32 bits; else what [`Self::dequantize`] gives.
    ///
    /// # Errors
    /// As there.
    pub fn dequantize_f64(&self, out: &mut [f64]) -> Result<(), FormatError> {
        check_length(out.len(), self.rows, self.columns)?;
        if self.is_plain() {
            self.check()?;
            let (element, bits) = (&self.format.element, self.format.element.bits());
            for (index, out) in out.iter_mut().enumerate() {
                *out = element.decode(get(self.codes, bits, index));
            }
            return Ok(());
        }
        let mut values = vec![0.0; out.len()];
        self.dequantize(&mut values)?;
        for (out, value) in out.iter_mut().zip(values) {
            *out = value.into();
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        self.format.scale.is_none() && self.format.storage == Storage::Planar
    }

    /// Decodes one element, of any format; exact where there are no scales. To decode many, make one [`Reader`].
    ///
    /// # Errors
    /// As [`Self::check`].
    ///
    /// # Panics
    /// Where there is no such element.
    pub fn value(&self, index: usize) -> Result<f64, FormatError> {
        self.check()?;
        if self.is_plain() {
            let element = &self.format.element;
            return Ok(element.decode(get(self.codes, element.bits(), index)));
        }
        if let Some((len, bytes)) = self.format.storage.record() {
            let mut record = vec![0.0; len];
            self.decode_records(&self.codes[index / len * bytes..][..bytes], &mut record)?;
            return Ok(record[index % len].into());
        }
        Ok(self.reader_with(Vec::new()).value(index).into())
    }

    fn decode_records(&self, bytes: &[u8], out: &mut [f32]) -> Result<(), FormatError> {
        match self.format.storage {
            Storage::Gguf(block_type) => block_type.decode(bytes, out),
            Storage::MixedWidth(mixed) => mixed.decode(bytes, out),
            Storage::Planar => Ok(()),
        }
    }

    /// Decodes single elements of a planar tensor.
    #[must_use]
    pub fn reader(&self) -> Reader<'a> {
        let format = self.format;
        self.reader_with(if format.alternatives.is_empty() {
            vec![Values::new(format.element.clone())]
        } else {
            let books = format.alternatives.iter();
            books.map(|book| Values::new(Element::CodeBook(book.clone()))).collect()
        })
    }

    fn reader_with(&self, values: Vec<Values>) -> Reader<'a> {
        let scale = self.format.scale.as_ref();
        let granularity = scale.map_or(Granularity::Tensor, |scale| scale.granularity);
        Reader {
            quantized: *self,
            groups: Groups::new(granularity, self.rows, self.columns),
            values,
            groups_each: self.format.groups_of_super_scale(),
        }
    }
}

fn to_f32(value: f64) -> f32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "element values are f32; 32-bit integers and posits are rounded"
    )]
    let value = value as f32;
    canonical(value)
}

/// Decodes single elements of a planar tensor.
#[derive(Debug)]
pub struct Reader<'a> {
    quantized: QuantizedRef<'a>,
    groups: Groups,
    /// The values of the codes, by selector; empty for a single element.
    values: Vec<Values>,
    groups_each: usize,
}

impl Reader<'_> {
    /// The groups of the tensor.
    #[must_use]
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The scale of a group, with the super-scale, as decoding uses it. 1 for formats without scales.
    ///
    /// # Panics
    /// Where there is no such group.
    #[must_use]
    pub fn scale(&self, group: usize) -> f32 {
        let Some(scale) = &self.quantized.format.scale else { return 1.0 };
        let code = get(self.quantized.scales, scale.element.bits(), group);
        let above =
            self.quantized.super_scales.get(group / self.groups_each).copied().unwrap_or(1.0);
        let grid = if scale.rule == ScaleRule::FourThirds { 4.0 / 3.0 } else { 1.0 };
        to_f32(scale.element.decode(code)) * above * grid
    }

    /// What the format subtracts from the codes of a group, or adds to its scaled codes; 0 where it does neither.
    ///
    /// # Panics
    /// Where there is no such group.
    #[must_use]
    pub fn zero(&self, group: usize) -> f32 {
        let format = self.quantized.format;
        let zero = || get(self.quantized.zeros, format.zero_bits(), group);
        match &format.zero {
            Zero::None => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "a zero point of a few bits")]
            Zero::Constant(zero) => *zero as f32,
            Zero::Point => self.element(0, zero()),
            Zero::Minimum(element) => to_f32(element.decode(zero())),
        }
    }

    /// The value of an element; NaN is [`crate::float::CANONICAL_NAN`].
    ///
    /// # Panics
    /// Where there is no such element, or the tensor holds records.
    #[must_use]
    pub fn value(&self, index: usize) -> f32 {
        if self.quantized.format.scale.is_none() {
            return self.element(0, self.code(index));
        }
        self.scaled(&self.scaling(self.groups.of_element(index)), self.code(index))
    }

    fn code(&self, index: usize) -> u32 {
        get(self.quantized.codes, self.quantized.format.element.bits(), index)
    }

    fn scaling(&self, group: usize) -> Scaling {
        let selector = match self.quantized.format.selector_bits() {
            0 => 0,
            bits => get(self.quantized.selectors, bits, group) as usize,
        };
        Scaling { selector, scale: self.scale(group), zero: self.zero(group) }
    }

    fn scaled(&self, &Scaling { selector, scale, zero }: &Scaling, code: u32) -> f32 {
        let value = self.element(selector, code);
        canonical(match &self.quantized.format.zero {
            Zero::None => value * scale,
            Zero::Constant(_) | Zero::Point => (value - zero) * scale,
            Zero::Minimum(_) => value * scale + zero,
        })
    }

    fn element(&self, selector: usize, code: u32) -> f32 {
        match self.values.get(selector) {
            Some(values) => values.of(code),
            None => to_f32(match self.quantized.format.alternatives.get(selector) {
                Some(book) => book.decode(code),
                None => self.quantized.format.element.decode(code),
            }),
        }
    }
}

/// What the codes of a group are scaled by.
struct Scaling {
    selector: usize,
    scale: f32,
    zero: f32,
}

/// The values of the codes of an element format as f32.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    /// Of all codes, where they have at most 8 bits.
    table: Vec<f32>,
    element: Element,
}

impl Values {
    pub(crate) fn new(element: Element) -> Self {
        let table = if element.bits() <= 8 {
            element.enumerate().map(|(_, value)| to_f32(value)).collect()
        } else {
            Vec::new()
        };
        Self { table, element }
    }

    pub(crate) fn of(&self, code: u32) -> f32 {
        match self.table.get(code as usize) {
            Some(value) => *value,
            None => to_f32(self.element.decode(code)),
        }
    }
}

fn get(bytes: &[u8], bits: u32, index: usize) -> u32 {
    pack::get(bytes, bits, index).expect("an index within the tensor")
}
