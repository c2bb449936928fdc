//! From tensors of any format to tiles: which layout holds them, and with which numbers.
//!
//! The meaning of a format is a table of values for its codes, a scale for each group of columns, and what is added. So the choice asks no names:
//!
//! 1. values in equal steps are unsigned integers of as many bits (all integers, fixed point, ternary, bipolar);
//! 2. other values that are integers of 8 bits times one power of two are a table in registers (small floats, complex units, `BitMoD`), or bytes
//!    where there are more than 16 of them;
//! 3. other values of codes up to 8 bits are a table of numbers, for products in f32 (`NF4`, 8-bit floats, posits);
//! 4. wider codes, and groups that are no multiple of 16 columns, are decoded to f32.
//!
//! The first two are exact: integer × scale + minimum in f32 is what the format defines, but that a zero point under an f32 scale is rounded once.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "codes and what they stand for in integers have at most 8 bits; values of formats of 8 bits are f32"
)]

use dyadic_formats::float::{Float, f16_to_f32, f32_to_f16};
use dyadic_formats::{Element, Granularity, Quantized, Reader, ScaleRule, Zero, pack};
use dyadic_kernels::matmul::LayoutId;
use dyadic_kernels::matmul::float::FloatLayout;
use dyadic_kernels::matmul::layout::{
    BLOCK, Codes, Grouping, LayoutSpec, Minimum, Scales, TILE_ROWS, power_of_two,
};
use dyadic_kernels::matmul::weight_only::integer_values;

use super::{CodeLayout, Layout};

/// The widest code that a table holds.
const MAX_BITS: u32 = 8;

/// Half of a block: the least number of columns that share a scale.
const HALF: usize = BLOCK / 2;

/// How a planar tensor is packed.
pub(super) struct Plan<'a> {
    tensor: &'a Quantized,
    reader: Reader<'a>,
    pub(super) layout: Layout,
    /// What each code is stored as, by selector. Empty where weights are decoded.
    stored: Vec<[u8; 256]>,
    numbers: GroupNumbers,
}

/// How what is stored of a group follows from its scale s and zero point z: a value is `factor · integer + constant`, so
/// `s · (value − z) = (s · factor) · integer + s · (constant − z)`.
#[derive(Clone, Copy)]
struct GroupNumbers {
    factor: f32,
    constant: f32,
    /// A scale of the whole tensor, which products are multiplied by instead.
    above: Option<f32>,
    minimum: Minimum,
}

/// What the codes of a tensor become.
struct Coding {
    codes: Codes,
    table: [i8; 16],
    /// What codes mean in f32. `None` for integers.
    numbers: Option<Box<[f32; 256]>>,
    stored: Vec<[u8; 256]>,
    factor: f32,
    constant: f32,
}

impl<'a> Plan<'a> {
    /// The plan for a planar tensor of at least one row and column.
    pub(super) fn new(tensor: &'a Quantized) -> Self {
        let format = &tensor.format;
        let numbers =
            GroupNumbers { factor: 1.0, constant: 0.0, above: None, minimum: Minimum::None };
        let mut plan = Self {
            tensor,
            reader: tensor.reader(),
            layout: Layout::Float(FloatLayout::F32),
            stored: Vec::new(),
            numbers,
        };
        if format.scale.is_none()
            && let Element::Float(float) = &format.element
        {
            let layout = [(Float::F16, FloatLayout::F16), (Float::BF16, FloatLayout::Bf16)];
            if let Some((_, layout)) = layout.iter().find(|(of, _)| of == float) {
                plan.layout = Layout::Float(*layout);
                return plan;
            }
        }
        let coding = Coding::new(tensor, &value_tables(tensor));
        let (Some((halves, run)), Some(mut coding)) = (span(tensor), coding) else { return plan };
        plan.numbers.factor = coding.factor;
        plan.numbers.constant = coding.constant;
        plan.numbers.above = match (&tensor.super_scales[..], &format.zero, &format.scale) {
            (&[above], Zero::None, Some(scale)) if scale.rule != ScaleRule::FourThirds => {
                Some(above)
            }
            _ => None,
        };
        plan.numbers.minimum = plan.minimum(&mut coding);
        let wide = !plan.fits_f16();
        let grouping = Grouping { run, wide, minimum: plan.numbers.minimum };
        let spec = plan.choose(&mut coding, halves, grouping);
        let values = coding.numbers.take().unwrap_or_else(|| Box::new(integer_values(&spec)));
        plan.stored = coding.stored;
        let factor = plan.numbers.above.unwrap_or(1.0);
        plan.layout = Layout::Codes(CodeLayout::new(spec, values, factor));
        plan
    }

    /// What is added to the scaled codes. A zero point that all groups share becomes that of the codes.
    fn minimum(&mut self, coding: &mut Coding) -> Minimum {
        if let Zero::Minimum(_) = self.tensor.format.zero {
            return Minimum::Number;
        }
        let zeros: Vec<f32> =
            (0..self.reader.groups().count()).map(|g| self.stored_zero(g)).collect();
        let first = zeros.first().copied().unwrap_or(0.0);
        if zeros.iter().all(|&zero| zero == first) {
            if first == 0.0 {
                return Minimum::None;
            }
            if let Codes::Unsigned { bits, zero_point } = &mut coding.codes {
                let shared = first + f32::from(*zero_point);
                if shared.fract() == 0.0 && (0.0..f32::from(1u8 << *bits)).contains(&shared) {
                    *zero_point = shared as u8;
                    return Minimum::None;
                }
            }
        }
        let is_byte = |zero: &f32| zero.fract() == 0.0 && (-128.0..=127.0).contains(zero);
        if zeros.iter().all(is_byte) { Minimum::ZeroPoint } else { Minimum::Number }
    }

    /// The zero point of a group, in steps of the integers that are stored.
    fn stored_zero(&self, group: usize) -> f32 {
        let zero = match &self.tensor.format.zero {
            Zero::Constant(zero) => *zero as f32,
            Zero::Point => {
                let element = &self.tensor.format.element;
                element.decode(code_of(&self.tensor.zeros, element.bits(), group)) as f32
            }
            Zero::None | Zero::Minimum(_) => 0.0,
        };
        (zero - self.numbers.constant) / self.numbers.factor
    }

    /// Whether all numbers of the groups are f16.
    fn fits_f16(&self) -> bool {
        let is_f16 = |x: f32| f16_to_f32(f32_to_f16(x)).to_bits() == x.to_bits();
        (0..self.reader.groups().count()).all(|group| {
            let (scale, added) = self.group(group);
            is_f16(scale) && (self.numbers.minimum != Minimum::Number || is_f16(added))
        })
    }

    /// The stored scale of a group, and its minimum or zero point.
    fn group(&self, group: usize) -> (f32, f32) {
        let GroupNumbers { factor, constant, above, minimum } = self.numbers;
        let scale = match (&self.tensor.format.scale, above) {
            (Some(scale), Some(_)) => {
                let code = code_of(&self.tensor.scales, scale.element.bits(), group);
                scale.element.decode(code) as f32
            }
            _ => self.reader.scale(group),
        };
        let added = match (minimum, &self.tensor.format.zero) {
            (Minimum::None, _) => 0.0,
            (Minimum::ZeroPoint, _) => self.stored_zero(group),
            (Minimum::Number, Zero::Minimum(element)) => {
                let code = code_of(&self.tensor.zeros, element.bits(), group);
                constant * scale + element.decode(code) as f32
            }
            (Minimum::Number, _) => -self.stored_zero(group) * (scale * factor),
        };
        (scale * factor, added)
    }

    /// Packs the rows of tile `index` into a zeroed tile.
    pub(super) fn tile(&self, index: usize, tile: &mut [u8]) {
        let rows = TILE_ROWS.min(self.tensor.rows - index * TILE_ROWS);
        for row in 0..rows {
            match &self.layout {
                Layout::Float(layout) => self.decode(index * TILE_ROWS + row, *layout, row, tile),
                Layout::Codes(layout) => self.row(&layout.spec, index * TILE_ROWS + row, row, tile),
            }
        }
    }

    fn decode(&self, matrix_row: usize, layout: FloatLayout, row: usize, tile: &mut [u8]) {
        let columns = self.tensor.columns;
        for column in 0..columns {
            let index = matrix_row * columns + column;
            let at = (column * TILE_ROWS + row) * layout.bytes();
            let out = &mut tile[at..][..layout.bytes()];
            match layout {
                FloatLayout::F32 => out.copy_from_slice(&self.reader.value(index).to_le_bytes()),
                FloatLayout::F16 | FloatLayout::Bf16 => {
                    out.copy_from_slice(&self.tensor.codes[2 * index..][..2]);
                }
            }
        }
    }

    fn row(&self, spec: &LayoutSpec, matrix_row: usize, row: usize, tile: &mut [u8]) {
        let Quantized { columns, .. } = *self.tensor;
        let bits = self.tensor.format.element.bits();
        let selector_bits = self.tensor.format.selector_bits();
        let groups = self.reader.groups();
        for block in 0..columns.div_ceil(BLOCK) {
            let mut codes = [0u8; BLOCK];
            let first = matrix_row * columns + block * BLOCK;
            let width = BLOCK.min(columns - block * BLOCK);
            for half in 0..width.div_ceil(HALF) {
                let start = first + half * HALF;
                let group = groups.of_element(start);
                let selector = match selector_bits {
                    0 => 0,
                    bits => code_of(&self.tensor.selectors, bits, group) as usize,
                };
                let stored = &self.stored[selector];
                let out = &mut codes[half * HALF..width.min((half + 1) * HALF)];
                for (index, out) in (start..).zip(out) {
                    *out = stored[code_of(&self.tensor.codes, bits, index) as usize];
                }
                let is_first = block % spec.blocks_per_header() == 0;
                if spec.scales.has_halves() || half == 0 && is_first {
                    self.store_scale(spec, group, [block, half, row], tile);
                }
            }
            let (quads, _) = codes.as_chunks::<4>();
            let quads = std::array::from_fn(|quad| u32::from_le_bytes(quads[quad]));
            spec.store_codes(tile, block, row, &quads);
        }
    }

    fn store_scale(
        &self,
        spec: &LayoutSpec,
        group: usize,
        [block, half, row]: [usize; 3],
        tile: &mut [u8],
    ) {
        let (scale, added) = self.group(group);
        let half_bytes = |number: f32| f32_to_f16(number).to_le_bytes();
        match spec.scales {
            Scales::Grouped | Scales::GroupedHalves => {
                spec.store_grouped_scale(tile, block, half, row, (scale, added));
            }
            Scales::F16 { .. } | Scales::F16Minimum => {
                let header = spec.header_mut(tile, block);
                header[2 * row..][..2].copy_from_slice(&half_bytes(scale));
                if spec.has_minimums() {
                    header[2 * (TILE_ROWS + row)..][..2].copy_from_slice(&half_bytes(added));
                }
            }
            Scales::F16Halves => {
                let at = 2 * (half * TILE_ROWS + row);
                spec.block_scales_mut(tile, block)[at..at + 2].copy_from_slice(&half_bytes(scale));
            }
            Scales::PowerOfTwo => {
                spec.block_scales_mut(tile, block)[row] = power_of_two_byte(scale);
            }
            Scales::SuperI8
            | Scales::SuperI8Halves
            | Scales::SuperU8Minimum
            | Scales::SuperU4MinimumHalves => unreachable!("no plan has scales of scales"),
        }
    }

    /// The layout of these codes: one with fixed scales where there is one that holds just these, since its kernels are a little faster.
    fn choose(&self, coding: &mut Coding, halves: bool, grouping: Grouping) -> LayoutSpec {
        let (codes, table) = (coding.codes, coding.table);
        if let Some(spec) = LayoutId::ALL
            .into_iter()
            .map(LayoutId::spec)
            .find(|spec| self.is_held_by(spec, coding, halves, grouping))
        {
            return *spec;
        }
        if let Codes::Numbers { .. } = codes {
            let scales = if halves { Scales::GroupedHalves } else { Scales::Grouped };
            let name = if halves { "numbers_grouped16" } else { "numbers_grouped" };
            return LayoutSpec { id: None, name, codes, scales, grouping, table };
        }
        let id = match (codes, halves) {
            (Codes::Bipolar, false) => LayoutId::BipolarGrouped,
            (Codes::Unsigned { bits: 2, .. }, false) => LayoutId::U2Grouped,
            (Codes::Unsigned { bits: 2, .. }, true) => LayoutId::U2GroupedHalves,
            (Codes::Unsigned { bits: 3, .. }, false) => LayoutId::U3Grouped,
            (Codes::Unsigned { bits: 4, .. }, false) => LayoutId::U4Grouped,
            (Codes::Unsigned { bits: 3 | 4, .. }, true) => LayoutId::U4GroupedHalves,
            (Codes::Unsigned { bits: 5, .. }, false) => LayoutId::U5Grouped,
            (Codes::Unsigned { bits: 6, .. }, false) => LayoutId::U6Grouped,
            (Codes::Unsigned { bits: 7, .. }, false) => LayoutId::U7Grouped,
            (Codes::Table { bits: 2 }, false) => LayoutId::T2Grouped,
            (Codes::Table { .. }, false) => LayoutId::T4Grouped,
            (Codes::Table { .. }, true) => LayoutId::T4GroupedHalves,
            (_, false) => LayoutId::I8Grouped,
            (_, true) => LayoutId::I8GroupedHalves,
        };
        let pattern = id.spec();
        let codes = match (pattern.codes, codes) {
            (Codes::Unsigned { bits, .. }, Codes::Unsigned { zero_point, .. }) => {
                Codes::Unsigned { bits, zero_point }
            }
            // Bytes for codes of fewer bits.
            (Codes::Signed8, Codes::Unsigned { .. } | Codes::Bipolar) => {
                let narrow = LayoutSpec { codes, ..*pattern };
                for code in coding.stored.iter_mut().flatten() {
                    *code = (narrow.value(*code) as i8).cast_unsigned();
                }
                Codes::Signed8
            }
            (pattern, _) => pattern,
        };
        LayoutSpec { codes, grouping, table, ..*pattern }
    }

    fn is_held_by(
        &self,
        spec: &LayoutSpec,
        coding: &Coding,
        halves: bool,
        Grouping { run, wide, minimum }: Grouping,
    ) -> bool {
        let same_codes = match spec.codes {
            Codes::Table4(table) => {
                coding.codes == Codes::Table { bits: 4 } && *table == coding.table
            }
            codes => codes == coding.codes,
        };
        let is_power = |group: usize| {
            let (scale, _) = self.group(group);
            power_of_two(power_of_two_byte(scale)).to_bits() == scale.to_bits()
        };
        let scales = match spec.scales {
            Scales::F16 { blocks } => !wide && minimum == Minimum::None && blocks == run,
            Scales::F16Minimum => !wide && minimum == Minimum::Number && run == 1,
            Scales::F16Halves => !wide && minimum == Minimum::None,
            Scales::PowerOfTwo => {
                run == 1
                    && minimum == Minimum::None
                    && (0..self.reader.groups().count()).all(is_power)
            }
            _ => false,
        };
        same_codes && spec.scales.has_halves() == halves && scales
    }
}

/// Whether halves of blocks have their own scales, and how many blocks share one. `None` where a group ends within a half.
fn span(tensor: &Quantized) -> Option<(bool, usize)> {
    let columns = tensor.columns;
    let whole_row = (false, columns.div_ceil(BLOCK));
    let width = match tensor.format.scale.as_ref().map(|scale| scale.granularity) {
        None | Some(Granularity::Tensor | Granularity::Channel) => return Some(whole_row),
        Some(Granularity::Group(width)) => width as usize,
        Some(Granularity::Block { columns, .. }) => columns as usize,
    };
    Some(match width {
        _ if width >= columns => whole_row,
        _ if width.is_multiple_of(BLOCK) => (false, width / BLOCK),
        _ if width.is_multiple_of(HALF) && width > 0 => (true, 1),
        _ => return None,
    })
}

/// The value of each code, by selector. Empty where codes are wide.
fn value_tables(tensor: &Quantized) -> Vec<Vec<f32>> {
    let format = &tensor.format;
    let table = |element: &Element| {
        if element.bits() > MAX_BITS {
            return Vec::new();
        }
        element.enumerate().map(|(_, value)| value as f32).collect()
    };
    if format.alternatives.is_empty() {
        return vec![table(&format.element)];
    }
    format.alternatives.iter().map(|book| table(&Element::CodeBook(book.clone()))).collect()
}

/// A packed code of a tensor whose lengths were checked.
fn code_of(codes: &[u8], bits: u32, index: usize) -> u32 {
    pack::get(codes, bits, index).expect("a code of the tensor")
}

impl Coding {
    /// `None` where codes are too wide for tables.
    fn new(tensor: &Quantized, tables: &[Vec<f32>]) -> Option<Self> {
        if tables.iter().any(Vec::is_empty) {
            return None;
        }
        if let [table] = tables
            && let Some(coding) = Self::steps(table)
        {
            return Some(coding);
        }
        Self::table_of_integers(tensor, tables).or_else(|| Self::numbers(tables))
    }

    /// Values in equal steps, in the order of the codes or of two's complement.
    fn steps(values: &[f32]) -> Option<Self> {
        let bits = values.len().trailing_zeros();
        let top = values.len() / 2;
        let (flip, base, step) = [0, top].into_iter().find_map(|flip| {
            let value = |code: usize| values[code ^ flip];
            let (base, step) = (value(0), value(1) - value(0));
            let in_steps = (0..values.len()).all(|code| value(code) == base + code as f32 * step);
            (step > 0.0 && in_steps).then_some((flip as u8, base, step))
        })?;
        let (codes, flip, factor, zero) = match bits {
            // ±1 in units of half a step.
            1 => (Codes::Bipolar, flip, step / 2.0, 1.0),
            8 => (Codes::Signed8, flip ^ 0x80, step, 128.0),
            _ => {
                let zero_point = (-base / step).clamp(0.0, top as f32).floor();
                (Codes::Unsigned { bits, zero_point: zero_point as u8 }, flip, step, zero_point)
            }
        };
        Some(Self {
            codes,
            table: [0; 16],
            numbers: None,
            stored: vec![std::array::from_fn(|code| code as u8 ^ flip)],
            factor,
            constant: base + zero * factor,
        })
    }

    /// Integers of 8 bits times a power of two, for the codes in use.
    fn table_of_integers(tensor: &Quantized, tables: &[Vec<f32>]) -> Option<Self> {
        let used = if tables.iter().flatten().all(|value| value.is_finite()) {
            [true; 256]
        } else {
            codes_in_use(tensor)
        };
        let is_used = |code: usize| used[code];
        let values = || {
            tables.iter().flat_map(|table| {
                table.iter().enumerate().filter(|&(code, _)| is_used(code)).map(|(_, value)| *value)
            })
        };
        let factor = (-24..=8)
            .rev()
            .map(|power: i32| 2f32.powi(power))
            .find(|&factor| values().all(|value| (value / factor).fract() == 0.0))?;
        let is_byte = |value: f32| (-127.0..=127.0).contains(&(value / factor));
        if !values().all(is_byte) {
            return None;
        }
        let integer = |value: f32| if value.is_finite() { (value / factor) as i8 } else { 0 };
        let bits = tables[0].len().trailing_zeros();
        let plain = Self {
            codes: Codes::Signed8,
            table: [0; 16],
            numbers: None,
            stored: Vec::new(),
            factor,
            constant: 0.0,
        };
        let mut distinct: Vec<i8> = Vec::new();
        if let ([values], 2 | 4) = (tables, bits) {
            distinct.extend(values.iter().map(|&value| integer(value)));
        } else {
            for value in values().map(integer) {
                if !distinct.contains(&value) {
                    distinct.push(value);
                }
            }
        }
        if distinct.len() <= 16 {
            let mut table = [0; 16];
            table[..distinct.len()].copy_from_slice(&distinct);
            let keeps_order = tables.len() == 1 && matches!(bits, 2 | 4);
            let index = |code: usize, value: f32| {
                if keeps_order {
                    code
                } else {
                    distinct.iter().position(|&x| x == integer(value)).unwrap_or(0)
                }
            };
            let stored = tables.iter().map(|values| {
                std::array::from_fn(|code| {
                    values.get(code).map_or(0, |&value| index(code, value)) as u8
                })
            });
            let bits = if distinct.len() <= 4 { 2 } else { 4 };
            return Some(Self {
                codes: Codes::Table { bits },
                table,
                stored: stored.collect(),
                ..plain
            });
        }
        let stored = tables.iter().map(|values| {
            std::array::from_fn(|code| {
                values.get(code).map_or(0, |&value| integer(value).cast_unsigned())
            })
        });
        Some(Self { stored: stored.collect(), ..plain })
    }

    /// Any values. `None` where alternatives have more than 256 together.
    fn numbers(tables: &[Vec<f32>]) -> Option<Self> {
        let mut distinct: Vec<u32> = Vec::new();
        if let [values] = tables {
            distinct.extend(values.iter().map(|value| value.to_bits()));
        } else {
            for value in tables.iter().flatten() {
                if !distinct.contains(&value.to_bits()) {
                    distinct.push(value.to_bits());
                }
            }
        }
        let bits = distinct.len().next_power_of_two().trailing_zeros().max(1);
        if bits > MAX_BITS {
            return None;
        }
        let mut numbers = Box::new([0.0; 256]);
        for (number, &value) in numbers.iter_mut().zip(&distinct) {
            *number = f32::from_bits(value);
        }
        let stored = tables.iter().map(|values| {
            std::array::from_fn(|code| match (tables.len(), values.get(code)) {
                (1, _) => code as u8,
                (_, None) => 0,
                (_, Some(value)) => {
                    distinct.iter().position(|&x| x == value.to_bits()).unwrap_or(0) as u8
                }
            })
        });
        Some(Self {
            codes: Codes::Numbers { bits },
            table: [0; 16],
            numbers: Some(numbers),
            stored: stored.collect(),
            factor: 1.0,
            constant: 0.0,
        })
    }
}

fn codes_in_use(tensor: &Quantized) -> [bool; 256] {
    let bits = tensor.format.element.bits();
    let mut used = [false; 256];
    for index in 0..tensor.rows * tensor.columns {
        used[code_of(&tensor.codes, bits, index) as usize] = true;
    }
    used
}

/// The byte of [`Scales::PowerOfTwo`] for a power of two.
pub(super) fn power_of_two_byte(scale: f32) -> u8 {
    match scale.to_bits() {
        0x0020_0000 => 0,
        0x0040_0000 => 1,
        bits => (bits >> 23).to_le_bytes()[0].wrapping_add(1),
    }
}
