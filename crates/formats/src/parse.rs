//! Format strings: `element[:gN|channel|tensor|RxC][:scale][:zp]`, both ways.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use crate::GgufType;
use crate::codebook::{BITMOD3, BITMOD4, CodeBook};
use crate::element::Element;
use crate::float::Float;
use crate::format::{Format, Granularity, Scale, ScaleRule, Storage, SuperScale, Zero};
use crate::int::{Fixed, Int};
use crate::mixed_width::MixedWidth;

/// A format string that could not be read, with what was understood of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct ParseError {
    /// The part that was not understood.
    pub part: String,
    /// What stands before it and was understood, in words; empty at the start.
    pub understood: String,
    /// What could stand there.
    pub expected: String,
}

impl ParseError {
    pub(crate) fn element(name: &str) -> Self {
        let nearest = names().min_by_key(|candidate| edit_distance(name, candidate));
        let hint = match nearest {
            Some(nearest) if edit_distance(name, &nearest) <= 2 => {
                format!("did you mean '{nearest}'? ")
            }
            _ => String::new(),
        };
        Self {
            part: name.to_owned(),
            understood: String::new(),
            expected: format!(
                "{hint}An element is intN, uintN, bipolarN, ternary, eXmY with fn, fnuz or bN behind it, ueXmY, f16, bf16, \
                 f32, qM.N, khotNkK, nafNkK, nf4, af4, bnbfp4, positN, powerNaA, or a block format such as mxfp4, nvfp4, bfp12, w2mix or q4_0"
            ),
        }
    }

    fn message(&self) -> String {
        let Self { part, understood, expected } = self;
        if understood.is_empty() {
            format!("unknown format '{part}': {expected}")
        } else {
            format!("understood {understood}, but not '{part}': {expected}")
        }
    }
}

/// The number of insertions, deletions and substitutions between two short ASCII strings.
fn edit_distance(a: &str, b: &str) -> usize {
    // Beyond the longest name every string is equally far: the cost stays bounded for hostile input.
    if a.len() > 32 {
        return a.len();
    }
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The named block formats, with what they are.
const BLOCK_FORMATS: [&str; 22] = [
    "mxfp8_e4m3",
    "mxfp8_e5m2",
    "mxfp6_e2m3",
    "mxfp6_e3m2",
    "mxfp4",
    "mxint8",
    "nvfp4",
    "nvfp4_4over6",
    "bfp12",
    "msfp12",
    "msfp13",
    "msfp14",
    "msfp15",
    "msfp16",
    "nf4",
    "nf4dq",
    "af4",
    "bitmod3",
    "bitmod4",
    "w2mix",
    "ternary",
    "binary",
];

/// Every name that is listed: elements, block formats, GGUF types.
pub fn names() -> impl Iterator<Item = String> {
    let elements =
        crate::names::ELEMENT_NAMES.iter().chain(&BLOCK_FORMATS).map(|&name| name.to_owned());
    elements
        .chain(GgufType::ALL.into_iter().filter_map(Format::gguf).map(|format| format.to_string()))
}

/// Every listed format, by its canonical name.
pub fn all() -> impl Iterator<Item = (String, Format)> {
    let mut seen = Vec::new();
    names().filter_map(move |name| {
        let format = format(&name).ok()?;
        (!seen.contains(&name)).then(|| {
            seen.push(name.clone());
            (name, format)
        })
    })
}

fn named(name: &str) -> Option<Format> {
    let mx = |element: Element| {
        Format::scaled(element, Float::E8M0, Granularity::Group(32), ScaleRule::Floor)
    };
    let nvfp4 = |rule| Format {
        super_scale: Some(SuperScale {
            element: Float::F32.into(),
            granularity: Granularity::Tensor,
        }),
        ..Format::scaled(Float::E2M1.into(), Float::E4M3FN, Granularity::Group(16), rule)
    };
    // A mantissa of so many bits with its sign, and an 8-bit exponent.
    let bfp = |bits, group| {
        let element = Element::Int(Int::symmetric(bits));
        Format::scaled(element, Float::E8M0, Granularity::Group(group), ScaleRule::SharedExponent)
    };
    let book = |book: CodeBook| {
        let group = Granularity::Group(64);
        Format::scaled(book.into(), Float::F32, group, ScaleRule::MaxMagnitude)
    };
    let bitmod = |books: &[CodeBook]| Format {
        alternatives: books.to_vec(),
        ..Format::scaled(
            books[0].clone().into(),
            Float::F16,
            Granularity::Group(128),
            ScaleRule::MaxMagnitude,
        )
    };
    let mean = |element: Element| {
        Format::scaled(element, Float::F32, Granularity::Tensor, ScaleRule::MeanMagnitude)
    };
    Some(match name {
        "mxfp8_e4m3" => mx(Float::E4M3FN.into()),
        "mxfp8_e5m2" => mx(Float::E5M2.into()),
        "mxfp6_e2m3" => mx(Float::E2M3.into()),
        "mxfp6_e3m2" => mx(Float::E3M2.into()),
        "mxfp4" => mx(Float::E2M1.into()),
        "mxint8" => mx(Element::Fixed(Fixed { int: Int::signed(8), fraction_bits: 6 })),
        "nvfp4" => nvfp4(ScaleRule::TwoLevel),
        "nvfp4_4over6" => nvfp4(ScaleRule::FourOverSix),
        "bfp12" => bfp(4, 32),
        "msfp12" => bfp(4, 16),
        "msfp13" => bfp(5, 16),
        "msfp14" => bfp(6, 16),
        "msfp15" => bfp(7, 16),
        "msfp16" => bfp(8, 16),
        "nf4" => book(CodeBook::NF4),
        "af4" => book(CodeBook::AF4),
        "bnbfp4" => book(CodeBook::BNB_FP4),
        // 8-bit scales with one f32 for 256 of them.
        "nf4dq" => Format {
            super_scale: Some(SuperScale {
                element: Float::F32.into(),
                granularity: Granularity::Group(64 * 256),
            }),
            ..Format::scaled(
                CodeBook::NF4.into(),
                Int::unsigned(8),
                Granularity::Group(64),
                ScaleRule::MaxMagnitude,
            )
        },
        "bitmod3" => bitmod(&BITMOD3),
        "bitmod4" => bitmod(&BITMOD4),
        "w2mix" => Format::mixed_width(MixedWidth::QUARTER),
        "ternary" => mean(Element::Ternary),
        "binary" | "bipolar1" => mean(Element::Bipolar { bits: 1 }),
        _ => {
            if let Some(wide) = name.strip_prefix("w2mix").and_then(|wide| wide.parse().ok()) {
                return Some(Format::mixed_width(MixedWidth::new(wide)?));
            }
            let block_type =
                GgufType::ALL.into_iter().find(|t| t.is_quantized() && is_gguf_name(*t, name))?;
            Format::gguf(block_type)?
        }
    })
}

/// GGUF's MXFP4 and NVFP4 give way to the planar formats of the same name, unless called `gguf_mxfp4`.
fn is_gguf_name(block_type: GgufType, name: &str) -> bool {
    let name = name.strip_prefix("gguf_").unwrap_or(name);
    block_type.name().eq_ignore_ascii_case(name)
}

/// The format of an element alone: integers, code books and powers need a scale to cover the range of a tensor, the others do not.
fn with_default_scale(element: Element) -> Format {
    match element {
        Element::Int(int) => {
            let rule = if int.signed { ScaleRule::MaxMagnitude } else { ScaleRule::Range };
            let zero = if int.signed { Zero::None } else { Zero::Point };
            Format { zero, ..Format::scaled(element, Float::F32, Granularity::Tensor, rule) }
        }
        Element::Bipolar { .. } | Element::CodeBook(_) | Element::Power(_) => {
            Format::scaled(element, Float::F32, Granularity::Tensor, ScaleRule::MaxMagnitude)
        }
        _ => Format::plain(element),
    }
}

/// What the parts behind the base of a format string say.
#[derive(Default)]
struct Parts {
    granularity: Option<Granularity>,
    scale: Option<ScalePart>,
    rule: Option<ScaleRule>,
    zero: Option<ZeroPart>,
}

/// The format of the scales, or their absence.
#[derive(PartialEq)]
enum ScalePart {
    None,
    Element(Element),
}

#[derive(Clone, Copy, PartialEq)]
enum ZeroPart {
    Point,
    Minimum,
}

enum Part {
    Granularity(Granularity),
    Scale(ScalePart),
    Rule(ScaleRule),
    Zero(ZeroPart),
}

fn part(text: &str) -> Option<Part> {
    let positive = |digits: &str| digits.parse().ok().filter(|&n: &u32| n > 0);
    match text {
        "tensor" => return Some(Part::Granularity(Granularity::Tensor)),
        "channel" => return Some(Part::Granularity(Granularity::Channel)),
        "none" => return Some(Part::Scale(ScalePart::None)),
        "zp" => return Some(Part::Zero(ZeroPart::Point)),
        "min" => return Some(Part::Zero(ZeroPart::Minimum)),
        _ => {}
    }
    if let Some((rule, _)) = ScaleRule::NAMED.into_iter().find(|(_, name)| *name == text) {
        return Some(Part::Rule(rule));
    }
    if let Some(group) = text.strip_prefix('g').and_then(positive) {
        return Some(Part::Granularity(Granularity::Group(group)));
    }
    if let Some((rows, columns)) = text.split_once('x')
        && let (Some(rows), Some(columns)) = (positive(rows), positive(columns))
    {
        return Some(Part::Granularity(Granularity::Block { rows, columns }));
    }
    let element = Element::from_str(text).ok()?;
    is_scale_format(&element).then_some(Part::Scale(ScalePart::Element(element)))
}

/// Scales are floats that are exact in f32, and 8-bit integers under a super-scale.
fn is_scale_format(element: &Element) -> bool {
    matches!(element, Element::Float(float) if float.exponent_bits <= 8 && float.bits() > 4)
}

/// Reads a format string.
pub(crate) fn format(text: &str) -> Result<Format, ParseError> {
    let mut texts = text.trim().split(':');
    let base = texts.next().unwrap_or_default();
    let mut format = match named(base) {
        Some(format) => format,
        None => with_default_scale(base.parse()?),
    };
    let mut parts = Parts::default();
    let mut understood = vec![format!("'{base}'")];
    for text in texts {
        let refuse = |expected: &str| ParseError {
            part: text.to_owned(),
            understood: understood.join(", "),
            expected: expected.to_owned(),
        };
        match format.storage {
            Storage::Planar => {}
            Storage::Gguf(_) => {
                return Err(refuse("the groups and scales of a GGUF type are fixed"));
            }
            Storage::MixedWidth(_) => {
                return Err(refuse("the groups and scales of w2mix are fixed"));
            }
        }
        let twice = "this part has been said already";
        match part(text) {
            Some(Part::Granularity(granularity)) if parts.granularity.is_none() => {
                parts.granularity = Some(granularity);
                understood.push(granularity.in_words());
            }
            Some(Part::Scale(scale)) if parts.scale.is_none() => {
                understood.push(match &scale {
                    ScalePart::None => "no scales".to_owned(),
                    ScalePart::Element(element) => format!("{element} scales"),
                });
                parts.scale = Some(scale);
            }
            Some(Part::Rule(rule)) if parts.rule.is_none() => {
                understood.push(format!("scale rule '{text}'"));
                parts.rule = Some(rule);
            }
            Some(Part::Zero(zero)) if parts.zero.is_none() => {
                if !matches!(format.element, Element::Int(_)) {
                    return Err(refuse("only integers have a zero point or a minimum"));
                }
                let word = if zero == ZeroPart::Point { "zero points" } else { "minimums" };
                understood.push(word.to_owned());
                parts.zero = Some(zero);
            }
            Some(_) => return Err(refuse(twice)),
            None => {
                return Err(refuse(
                    "expected gN (groups of N), RxC (blocks), channel or tensor; a scale: f32, f16, bf16, e8m0, e4m3fn, ue4m3, \
                     ue5m3 or none; zp (zero points) or min (minimums); or the rule of a power-of-two scale: floor, ceil, even, fourthirds, mse",
                ));
            }
        }
    }
    parts.apply(&mut format).map_err(|(part, expected)| ParseError {
        part: part.to_owned(),
        understood: understood.join(", "),
        expected: expected.to_owned(),
    })?;
    Ok(format)
}

impl Granularity {
    fn in_words(self) -> String {
        match self {
            Self::Tensor => "one scale".to_owned(),
            Self::Channel => "one scale a row".to_owned(),
            Self::Group(group) => format!("groups of {group}"),
            Self::Block { rows, columns } => format!("blocks of {rows} x {columns}"),
        }
    }
}

impl Parts {
    fn apply(self, format: &mut Format) -> Result<(), (&'static str, &'static str)> {
        if self.scale == Some(ScalePart::None) {
            if self.granularity.is_some() || self.rule.is_some() || self.zero.is_some() {
                return Err(("none", "groups, rules and zero points need a scale"));
            }
            *format = Format::plain(format.element.clone());
            return Ok(());
        }
        if let (Some(zero), Element::Int(int)) = (self.zero, &format.element) {
            format.element = Element::Int(Int::unsigned(int.bits));
            // A minimum gets the format of the scales below.
            format.zero = match zero {
                ZeroPart::Point => Zero::Point,
                ZeroPart::Minimum => Zero::Minimum(Float::F32.into()),
            };
        }
        let given = self.granularity.is_some() || self.scale.is_some() || self.rule.is_some();
        if format.scale.is_none() && given {
            format.scale = Some(Scale {
                element: Float::F32.into(),
                granularity: Granularity::Tensor,
                rule: ScaleRule::MaxMagnitude,
            });
        }
        let Some(scale) = &mut format.scale else { return Ok(()) };
        if self.zero.is_some() {
            scale.rule = ScaleRule::Range;
        }
        if let Some(granularity) = self.granularity {
            scale.granularity = granularity;
        }
        if let Some(ScalePart::Element(element)) = self.scale {
            let (was, is) = (is_power_of_two(&scale.element), is_power_of_two(&element));
            scale.element = element;
            match scale.rule {
                ScaleRule::MaxMagnitude if is => scale.rule = ScaleRule::Floor,
                _ if was && !is => scale.rule = ScaleRule::MaxMagnitude,
                ScaleRule::Range | ScaleRule::MeanMagnitude if is => {
                    return Err((
                        "e8m0",
                        "a power-of-two scale suits neither zero points nor means",
                    ));
                }
                _ => {}
            }
        }
        if let Zero::Minimum(minimum) = &mut format.zero {
            *minimum = scale.element.clone();
        }
        if let Some(rule) = self.rule {
            if !is_power_of_two(&scale.element) || scale.rule == ScaleRule::SharedExponent {
                return Err(("rule", "only e8m0 scales have a rule"));
            }
            scale.rule = rule;
        }
        Ok(())
    }
}

fn is_power_of_two(element: &Element) -> bool {
    *element == Element::Float(Float::E8M0)
}

impl FromStr for Format {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        format(text)
    }
}

impl fmt::Display for Format {
    /// The shortest string that [`Format::parse`] reads as this format; for descriptors that no string describes, the nearest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Storage::Gguf(block_type) = self.storage {
            let name = block_type.name().to_lowercase();
            let clash = matches!(block_type, GgufType::MXFP4 | GgufType::NVFP4);
            return write!(f, "{}{name}", if clash { "gguf_" } else { "" });
        }
        if let Storage::MixedWidth(mixed) = self.storage {
            f.write_str("w2mix")?;
            return if mixed == MixedWidth::QUARTER {
                Ok(())
            } else {
                write!(f, "{}", mixed.wide_groups())
            };
        }
        let bases =
            BLOCK_FORMATS.into_iter().filter_map(|name| Some((name.to_owned(), named(name)?)));
        let alone = (self.element.to_string(), with_default_scale(self.element.clone()));
        let candidates =
            bases.chain([alone]).filter_map(|(name, base)| self.in_terms_of(&name, &base));
        match candidates.min_by_key(String::len) {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}", self.element),
        }
    }
}

impl Format {
    /// Its string where only parts that can be said behind `base` differ.
    fn in_terms_of(&self, name: &str, base: &Self) -> Option<String> {
        if base.element.bits() != self.element.bits() {
            return None;
        }
        // A named format is told by its scales: with others it is better described by its element (`int4:g16:f16`, not `msfp12:f16`).
        let scale = |format: &Self| format.scale.as_ref().map(|scale| scale.element.clone());
        if BLOCK_FORMATS.contains(&name)
            && scale(self) != scale(base)
            && self.alternatives.is_empty()
        {
            return None;
        }
        let mut text = name.to_owned();
        match (&self.scale, &base.scale) {
            (None, Some(_)) => text += ":none",
            (Some(scale), base) => {
                let default = Scale {
                    element: Float::F32.into(),
                    granularity: Granularity::Tensor,
                    rule: ScaleRule::MaxMagnitude,
                };
                let is_new = base.is_none();
                let base = base.as_ref().unwrap_or(&default);
                if scale.granularity != base.granularity || is_new && scale == base {
                    _ = write!(text, ":{}", scale.granularity);
                }
                if scale.element != base.element {
                    _ = write!(text, ":{}", scale.element);
                }
                if let Some((_, rule)) =
                    ScaleRule::NAMED.iter().find(|(rule, _)| *rule == scale.rule)
                    && scale.rule != base.rule
                    && !(scale.rule == ScaleRule::Floor && scale.element != base.element)
                {
                    _ = write!(text, ":{rule}");
                }
            }
            (None, None) => {}
        }
        if self.zero == Zero::Point && base.zero == Zero::None {
            text += ":zp";
        }
        if matches!(self.zero, Zero::Minimum(_)) {
            text += ":min";
        }
        // Reading it back is what tells whether everything was said.
        format(&text).is_ok_and(|read| read == *self).then_some(text)
    }
}
