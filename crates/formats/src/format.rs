//! Formats of whole tensors: an element with its scales, as one plain value.

use std::fmt;

use crate::GgufType;
use crate::codebook::CodeBook;
use crate::element::Element;
use crate::error::FormatError;
use crate::float::Float;
use crate::int::Int;
use crate::mixed_width::MixedWidth;

/// How a tensor is stored. `value = super-scale × scale × (element − zero point)`, or `+ minimum` in place of the zero point.
#[derive(Clone, Debug, PartialEq)]
pub struct Format {
    /// The meaning of one code.
    pub element: Element,
    /// The code books that a selector chooses from for each scale (`BitMoD`); empty where there is only the element. A power of two of them.
    pub alternatives: Vec<CodeBook>,
    /// The scales; none for plain numbers.
    pub scale: Option<Scale>,
    /// What is subtracted from or added to the scaled codes, one for each scale.
    pub zero: Zero,
    /// The scales of the scales.
    pub super_scale: Option<SuperScale>,
    /// The order of the bytes.
    pub storage: Storage,
}

/// First-level scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The format of a scale.
    pub element: Element,
    /// Which elements share one.
    pub granularity: Granularity,
    /// How a scale follows from its elements.
    pub rule: ScaleRule,
}

/// Second-level scales.
#[derive(Clone, Debug, PartialEq)]
pub struct SuperScale {
    /// The format of a super-scale.
    pub element: Element,
    /// Which elements share one.
    pub granularity: Granularity,
}

/// Which elements share a scale. A tensor counts as a matrix whose columns are its last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Granularity {
    /// All.
    Tensor,
    /// Those of one row.
    Channel,
    /// So many neighbours of one row; the last group of a row may be short.
    Group(u32),
    /// Those of a rectangle; the last ones may be smaller.
    Block {
        /// Its rows.
        rows: u32,
        /// Its columns.
        columns: u32,
    },
}

/// How the scale of a group follows from its elements. "amax" is the largest magnitude, "max" the largest value of the element format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScaleRule {
    /// amax / max.
    MaxMagnitude,
    /// 2^(⌊log2 amax⌋ − ⌊log2 max⌋), the rule of OCP Microscaling: values above max are clipped.
    Floor,
    /// The least power of two that clips nothing.
    Ceil,
    /// As `Floor`, of amax rounded to the element's mantissa first.
    Even,
    /// `Floor` of amax × 4/3, with elements scaled by 3/4 (the 4/3 is part of the super-scale): nothing is clipped, as stochastic rounding needs.
    FourThirds,
    /// The power of two of least squared error among that of `Floor` and its neighbours.
    LeastSquares,
    /// NVFP4: amax / max relative to a super-scale that brings the largest scale to the top of its format.
    TwoLevel,
    /// NVFP4, mapping amax to 6 or to 4, whichever has the lower squared error.
    FourOverSix,
    /// Block floating point: 2^(⌊log2 amax⌋ + 2 − bits).
    SharedExponent,
    /// The mean magnitude.
    MeanMagnitude,
    /// (largest − smallest, with 0 between them) / (number of codes − 1).
    Range,
}

/// What moves the codes of a group off zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Zero {
    /// Nothing.
    None,
    /// The same integer for all, subtracted from the codes.
    Constant(i32),
    /// An integer, a code of the element format itself, subtracted from the codes.
    Point,
    /// A number of this format, added to the scaled codes; in formats with a super-scale, times a super-scale of its own.
    Minimum(Element),
}

/// The order of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Codes, scales and zero points each packed for themselves ([`crate::pack`]).
    Planar,
    /// The records of a GGUF type.
    Gguf(GgufType),
    /// Records of 2-bit and 4-bit groups.
    MixedWidth(MixedWidth),
}

impl Storage {
    /// The elements and the bytes of a record; `None` for planar storage.
    #[must_use]
    pub const fn record(self) -> Option<(usize, usize)> {
        match self {
            Self::Planar => None,
            Self::Gguf(block_type) => Some((block_type.block_len(), block_type.block_bytes())),
            Self::MixedWidth(mixed) => Some((MixedWidth::ELEMENTS, mixed.record_bytes())),
        }
    }
}

impl Granularity {
    /// The number of elements of a full group; `None` where it depends on the shape.
    #[must_use]
    pub const fn elements(self) -> Option<u64> {
        match self {
            Self::Tensor | Self::Channel => None,
            Self::Group(group) => Some(group as u64),
            Self::Block { rows, columns } => Some(rows as u64 * columns as u64),
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor => f.write_str("tensor"),
            Self::Channel => f.write_str("channel"),
            Self::Group(group) => write!(f, "g{group}"),
            Self::Block { rows, columns } => write!(f, "{rows}x{columns}"),
        }
    }
}

impl ScaleRule {
    /// The rules that a format string may name: those of power-of-two scales.
    pub(crate) const NAMED: [(Self, &'static str); 5] = [
        (Self::Floor, "floor"),
        (Self::Ceil, "ceil"),
        (Self::Even, "even"),
        (Self::FourThirds, "fourthirds"),
        (Self::LeastSquares, "mse"),
    ];
}

impl Format {
    /// Plain codes without scales.
    #[must_use]
    pub fn plain(element: Element) -> Self {
        Self {
            element,
            alternatives: Vec::new(),
            scale: None,
            zero: Zero::None,
            super_scale: None,
            storage: Storage::Planar,
        }
    }

    /// Codes with scales.
    #[must_use]
    pub fn scaled(
        element: Element,
        scale: impl Into<Element>,
        granularity: Granularity,
        rule: ScaleRule,
    ) -> Self {
        let scale = Some(Scale { element: scale.into(), granularity, rule });
        Self { scale, ..Self::plain(element) }
    }

    /// 2-bit weights with 4-bit groups of large range.
    #[must_use]
    pub fn mixed_width(mixed: MixedWidth) -> Self {
        let granularity = Granularity::Group(16);
        let scale = Int::unsigned(4);
        Self {
            super_scale: Some(SuperScale {
                element: Float::F16.into(),
                granularity: Granularity::Group(512),
            }),
            storage: Storage::MixedWidth(mixed),
            ..Self::scaled(
                Element::Bipolar { bits: 2 },
                scale,
                granularity,
                ScaleRule::LeastSquares,
            )
        }
    }

    /// The format that a GGUF type stores. `None` for 64-bit numbers, which are no elements of tensors here.
    #[must_use]
    pub fn gguf(block_type: GgufType) -> Option<Self> {
        use GgufType as T;
        let group = u32::try_from(block_type.group_len()).unwrap_or(u32::MAX);
        let one_level = |element: Element| {
            Self::scaled(element, Float::F16, Granularity::Group(group), ScaleRule::MaxMagnitude)
        };
        let with_minimum = |format: Self, minimum: Element| Self {
            zero: Zero::Minimum(minimum),
            scale: format.scale.map(|scale| Scale { rule: ScaleRule::Range, ..scale }),
            ..format
        };
        let two_level = |element: Element, scale: Int| {
            let granularity = Granularity::Group(group);
            let block = u32::try_from(block_type.block_len()).unwrap_or(u32::MAX);
            Self {
                super_scale: Some(SuperScale {
                    element: Float::F16.into(),
                    granularity: Granularity::Group(block),
                }),
                ..Self::scaled(element, scale, granularity, ScaleRule::MaxMagnitude)
            }
        };
        let signed = |bits| Element::Int(Int::signed(bits));
        let unsigned = |bits| Element::Int(Int::unsigned(bits));
        let format = match block_type {
            T::F32 => Self::plain(Float::F32.into()),
            T::F16 => Self::plain(Float::F16.into()),
            T::BF16 => Self::plain(Float::BF16.into()),
            T::I8 => Self::plain(signed(8)),
            T::I16 => Self::plain(signed(16)),
            T::I32 => Self::plain(signed(32)),
            T::I64 | T::F64 => return None,
            T::Q4_0 => one_level(signed(4)),
            T::Q5_0 => one_level(signed(5)),
            T::Q8_0 => one_level(signed(8)),
            T::Q4_1 => with_minimum(one_level(unsigned(4)), Float::F16.into()),
            T::Q5_1 => with_minimum(one_level(unsigned(5)), Float::F16.into()),
            T::Q2_K => with_minimum(two_level(unsigned(2), Int::unsigned(4)), unsigned(4)),
            T::Q3_K => two_level(signed(3), Int::signed(6)),
            T::Q4_K => with_minimum(two_level(unsigned(4), Int::unsigned(6)), unsigned(6)),
            T::Q5_K => with_minimum(two_level(unsigned(5), Int::unsigned(6)), unsigned(6)),
            T::Q6_K => two_level(signed(6), Int::signed(8)),
            T::IQ4_NL => one_level(CodeBook::IQ4_NL.into()),
            T::IQ4_XS => two_level(CodeBook::IQ4_NL.into(), Int::signed(6)),
            T::TQ1_0 | T::TQ2_0 => one_level(Element::Ternary),
            T::Q1_0 => one_level(Element::Bipolar { bits: 1 }),
            T::Q2_0 => Self { zero: Zero::Constant(1), ..one_level(unsigned(2)) },
            T::MXFP4 => {
                let granularity = Granularity::Group(group);
                Self::scaled(Float::E2M1.into(), Float::E8M0, granularity, ScaleRule::Floor)
            }
            T::NVFP4 => {
                let granularity = Granularity::Group(group);
                Self::scaled(Float::E2M1.into(), Float::UE4M3, granularity, ScaleRule::MaxMagnitude)
            }
        };
        // Plain numbers are stored in the same way everywhere.
        let storage =
            if block_type.is_quantized() { Storage::Gguf(block_type) } else { Storage::Planar };
        Some(Self { storage, ..format })
    }

    /// The bits of an element, with its share of the scales of groups. Scales of rows and of the whole tensor count nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub fn bits_per_element(&self) -> f64 {
        if let Some((elements, bytes)) = self.storage.record() {
            return 8.0 * bytes as f64 / elements as f64;
        }
        let share = |bits: u32, granularity: Granularity| {
            granularity.elements().map_or(0.0, |elements| f64::from(bits) / elements as f64)
        };
        let mut bits = f64::from(self.element.bits());
        if let Some(scale) = &self.scale {
            bits += share(scale.element.bits(), scale.granularity);
            bits += share(self.zero_bits() + self.selector_bits(), scale.granularity);
        }
        if let Some(super_scale) = &self.super_scale {
            let count = if matches!(self.zero, Zero::Minimum(_)) { 2 } else { 1 };
            bits += share(count * super_scale.element.bits(), super_scale.granularity);
        }
        bits
    }

    /// The bits of a zero point or minimum.
    #[must_use]
    pub fn zero_bits(&self) -> u32 {
        match &self.zero {
            Zero::None | Zero::Constant(_) => 0,
            Zero::Point => self.element.bits(),
            Zero::Minimum(element) => element.bits(),
        }
    }

    /// The bits of the selector of a code book.
    #[must_use]
    pub fn selector_bits(&self) -> u32 {
        self.alternatives.len().checked_ilog2().unwrap_or(0)
    }

    /// Reads a format string: `element[:gN|channel|tensor|RxC][:scale][:zp]`, or a named block format with any of these behind it.
    ///
    /// Elements are those of [`Element`]; a scale is `f32`, `f16`, `bf16`, `e8m0`, `e4m3fn`, `ue4m3`, `ue5m3` or `none`; `zp` makes an integer
    /// unsigned with a zero point, `min` with a minimum. A power-of-two scale also takes its rule: `floor`, `ceil`, `even`, `fourthirds`, `mse`.
    ///
    /// # Errors
    /// Where a part is not understood; the error says what was.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        Ok(crate::parse::format(text)?)
    }
}
