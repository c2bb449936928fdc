//! 2-bit weights of which the groups with the largest range take 4 bits ("Enabling Fast 2-bit LLM on GPUs", Li et al. 2023).
//!
//! ```text
//! record of 512 elements, w of its 32 groups wide:
//! f16 s   u32 wide   32 × u4 c   (32 − w) × 16 × u2   w × 16 × u4      22 + 128 + 4 w bytes; 182 for w = 8: 2.84 bits an element
//!
//! value = s · c · (2 q − 3)          narrow: −3, −1, 1, 3
//! value = s · c · (2 q − 15) / 4     wide: −3.75, −3.25, …, 3.75
//! ```
//!
//! Every record has equally many wide groups, so it lies at a known address: that is what "aligned" means in the paper. Narrow groups come before
//! wide ones, each kind in the order of the row; bit g of `wide` says that group g is wide. The paper keeps 4-bit scales and zero points; odd
//! multiples need no zero points, which is where their bits come from.

use crate::error::FormatError;
use crate::float::{Float, f16_to_f32};
use crate::scale::ScaleEncoder;

/// Groups of a record.
const GROUPS: usize = 32;
/// Elements of a group.
const GROUP: usize = 16;
/// The bytes of a narrow and of a wide group.
const NARROW_BYTES: usize = GROUP / 4;
const WIDE_BYTES: usize = GROUP / 2;
/// Where the parts of a record begin.
const WIDE_AT: usize = 2;
const SCALES_AT: usize = 6;
const CODES_AT: usize = SCALES_AT + GROUPS / 2;
/// The largest 4-bit scale.
const MAX_SCALE: u8 = 15;

/// Records of 512 elements: 32 groups, of which so many have codes of 4 bits and the others of 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MixedWidth {
    wide_groups: u8,
}

/// A group under one of its widths.
#[derive(Clone, Copy, Default)]
struct Choice {
    scale: u8,
    codes: [u8; GROUP],
    error: f64,
}

/// How many codes a width has, and what the odd integers of its codes are multiplied by.
#[derive(Clone, Copy)]
struct Width {
    max_code: u8,
    factor: f32,
}

const NARROW: Width = Width { max_code: 3, factor: 1.0 };
const WIDE: Width = Width { max_code: 15, factor: 0.25 };

impl Width {
    fn value(self, code: u8) -> f32 {
        (2.0 * f32::from(code) - f32::from(self.max_code)) * self.factor
    }

    /// The code whose odd integer is nearest; ties go up. NaN becomes the lowest, larger magnitudes the ends.
    fn code(self, value: f32) -> u8 {
        let position = (value / self.factor + f32::from(self.max_code) + 1.0) / 2.0;
        // The cast drops the fraction as floor would, and needs no instruction of later CPUs.
        #[expect(clippy::cast_possible_truncation, reason = "clamped; NaN becomes 0")]
        #[expect(clippy::cast_sign_loss, reason = "clamped")]
        let code = position.clamp(0.0, f32::from(self.max_code)) as u8;
        code
    }

    /// The 4-bit scale of least squared error; of equals the smaller one.
    fn fit(self, values: &[f32; GROUP], above: f32) -> Choice {
        let mut best = Choice { error: f64::INFINITY, ..Choice::default() };
        for scale in 0..=MAX_SCALE {
            let stored = f32::from(scale) * above;
            let reciprocal = if stored == 0.0 { 0.0 } else { 1.0 / stored };
            let codes = values.map(|value| self.code(value * reciprocal));
            let mut errors: [f64; GROUP] = std::array::from_fn(|i| {
                (f64::from(values[i]) - f64::from(self.value(codes[i]) * stored)).powi(2)
            });
            // By halves, so that additions do not wait for each other.
            for half in [8, 4, 2, 1] {
                for i in 0..half {
                    errors[i] += errors[i + half];
                }
            }
            let error = errors[0];
            if error < best.error {
                best = Choice { scale, codes, error };
            }
        }
        best
    }
}

impl MixedWidth {
    /// The elements of a record.
    pub const ELEMENTS: usize = GROUPS * GROUP;
    /// A quarter of the groups wide: 2.84 bits an element, scales and all.
    pub const QUARTER: Self = Self { wide_groups: 8 };

    /// `None` where `wide_groups` is above 32.
    #[must_use]
    pub const fn new(wide_groups: u8) -> Option<Self> {
        if wide_groups as usize <= GROUPS { Some(Self { wide_groups }) } else { None }
    }

    /// How many of the 32 groups of a record have 4 bits.
    #[must_use]
    pub const fn wide_groups(self) -> u8 {
        self.wide_groups
    }

    /// The bytes of a record.
    #[must_use]
    pub const fn record_bytes(self) -> usize {
        let wide = self.wide_groups as usize;
        CODES_AT + (GROUPS - wide) * NARROW_BYTES + wide * WIDE_BYTES
    }

    /// Rounds whole records: the scale of each group is the one of least squared error, and wide are the groups that gain most by it (of equals the first).
    /// NaN becomes the lowest number of its group, larger numbers the ends.
    ///
    /// # Errors
    /// Where `values` is no whole number of records or `bytes` does not hold exactly these.
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) -> Result<(), FormatError> {
        self.check(values.len(), bytes.len())?;
        let super_scales = ScaleEncoder::new(&Float::F16.into());
        let (records, _) = values.as_chunks::<{ Self::ELEMENTS }>();
        for (values, record) in records.iter().zip(bytes.chunks_exact_mut(self.record_bytes())) {
            self.encode_record(values, record, &super_scales);
        }
        Ok(())
    }

    fn encode_record(
        self,
        values: &[f32; Self::ELEMENTS],
        record: &mut [u8],
        super_scales: &ScaleEncoder,
    ) {
        let finite = values.iter().map(|value| value.abs()).filter(|value| value.is_finite());
        let largest = finite.fold(0.0, f32::max);
        let (code, above) =
            super_scales.encode(largest / NARROW.value(NARROW.max_code) / f32::from(MAX_SCALE));
        let above = if largest == 0.0 { 0.0 } else { above };
        record.fill(0);
        record[..WIDE_AT].copy_from_slice(&code.to_le_bytes()[..2]);

        let (groups, _) = values.as_chunks::<GROUP>();
        let choices: [[Choice; 2]; GROUPS] = std::array::from_fn(|group| {
            [NARROW.fit(&groups[group], above), WIDE.fit(&groups[group], above)]
        });
        let gain = |group: &usize| choices[*group][0].error - choices[*group][1].error;
        let mut order: [usize; GROUPS] = std::array::from_fn(|group| group);
        // A stable sort: of equal gains the first group comes first.
        order.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
        let wide = order[..usize::from(self.wide_groups)]
            .iter()
            .fold(0u32, |wide, group| wide | 1 << group);
        record[WIDE_AT..SCALES_AT].copy_from_slice(&wide.to_le_bytes());
        for (group, at) in self.places(wide).enumerate() {
            let is_wide = wide >> group & 1;
            let Choice { scale, codes, .. } = choices[group][is_wide as usize];
            record[SCALES_AT + group / 2] |= scale << (4 * (group % 2));
            let each = if is_wide == 1 { 2 } else { 4 };
            for (i, code) in codes.into_iter().enumerate() {
                record[at + i / each] |= code << (8 / each * (i % each));
            }
        }
    }

    /// Where the codes of each group begin.
    fn places(self, wide: u32) -> impl Iterator<Item = usize> {
        let narrow = GROUPS - usize::from(self.wide_groups);
        let mut next = [CODES_AT, CODES_AT + narrow * NARROW_BYTES];
        (0..GROUPS).map(move |group| {
            let kind = (wide >> group & 1) as usize;
            let at = next[kind];
            next[kind] += [NARROW_BYTES, WIDE_BYTES][kind];
            at
        })
    }

    /// Decodes whole records.
    ///
    /// # Errors
    /// Where `out` is no whole number of records, `bytes` does not hold exactly these, or a record has another number of wide groups.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) -> Result<(), FormatError> {
        self.check(out.len(), bytes.len())?;
        let (records, _) = out.as_chunks_mut::<{ Self::ELEMENTS }>();
        for (record, out) in bytes.chunks_exact(self.record_bytes()).zip(records) {
            let above = f16_to_f32(u16::from_le_bytes([record[0], record[1]]));
            let wide = u32::from_le_bytes([record[2], record[3], record[4], record[5]]);
            if wide.count_ones() != u32::from(self.wide_groups) {
                return Err(FormatError::Length {
                    what: "wide groups of a record",
                    expected: self.wide_groups.into(),
                    actual: wide.count_ones() as usize,
                });
            }
            let (groups, _) = out.as_chunks_mut::<GROUP>();
            for ((group, at), out) in self.places(wide).enumerate().zip(groups) {
                let scale = record[SCALES_AT + group / 2] >> (4 * (group % 2)) & MAX_SCALE;
                let stored = f32::from(scale) * above;
                let (width, each) = if wide >> group & 1 == 1 { (WIDE, 2) } else { (NARROW, 4) };
                for (i, out) in out.iter_mut().enumerate() {
                    let code = record[at + i / each] >> (8 / each * (i % each)) & width.max_code;
                    *out = crate::float::canonical(width.value(code) * stored);
                }
            }
        }
        Ok(())
    }

    fn check(self, elements: usize, bytes: usize) -> Result<(), FormatError> {
        let format = || crate::Format::mixed_width(self).to_string();
        if !elements.is_multiple_of(Self::ELEMENTS) {
            return Err(FormatError::PartialBlock {
                format: format(),
                block: Self::ELEMENTS,
                elements,
            });
        }
        let expected = elements / Self::ELEMENTS * self.record_bytes();
        if bytes == expected {
            Ok(())
        } else {
            Err(FormatError::ByteLength { format: format(), elements, expected, actual: bytes })
        }
    }
}
