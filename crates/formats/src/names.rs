//! The names of element formats, both ways.

use std::fmt;
use std::str::FromStr;

use crate::codebook::{CodeBook, Power};
use crate::element::Element;
use crate::float::{Float, NonFinite, Subnormals};
use crate::int::{Fixed, Int, SparseDigits};
use crate::parse::ParseError;
use crate::posit::Posit;

/// Floats whose names do not follow from their fields by the rules of [`read_float`].
const NAMED_FLOATS: [(&str, Float); 5] = [
    ("f32", Float::F32),
    ("tf32", Float::TF32),
    ("bf16", Float::BF16),
    ("f16", Float::F16),
    ("e8m0", Float::E8M0),
];

/// Other names, mostly those of the Python package `ml_dtypes`, and ours.
const ALIASES: [(&str, &str); 21] = [
    ("float32", "f32"),
    ("fp32", "f32"),
    ("float16", "f16"),
    ("fp16", "f16"),
    ("half", "f16"),
    ("bfloat16", "bf16"),
    ("float8_e3m4", "e3m4"),
    ("float8_e4m3", "e4m3"),
    ("float8_e4m3fn", "e4m3fn"),
    ("float8_e4m3fnuz", "e4m3fnuz"),
    ("float8_e4m3b11fnuz", "e4m3b11fnuz"),
    ("float8_e5m2", "e5m2"),
    ("float8_e5m2fnuz", "e5m2fnuz"),
    ("float8_e8m0fnu", "e8m0"),
    ("float6_e2m3fn", "e2m3"),
    ("float6_e3m2fn", "e3m2"),
    ("float4_e2m1fn", "e2m1"),
    ("fp4", "e2m1"),
    ("binary", "bipolar1"),
    ("complex", "complex2"),
    ("posit8es2", "posit8"),
];

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => write_int(f, *int),
            Self::Bipolar { bits } => write!(f, "bipolar{bits}"),
            Self::Ternary => f.write_str("ternary"),
            Self::Float(float) => write_float(f, float),
            Self::Fixed(Fixed { int, fraction_bits }) => {
                let sign = if int.signed { "" } else { "u" };
                let narrow = if int.symmetric { "s" } else { "" };
                let whole = i16::from(int.bits) - i16::from(*fraction_bits);
                write!(f, "{sign}q{whole}.{fraction_bits}{narrow}")
            }
            Self::SparseDigits(digits) => {
                let SparseDigits { bits, terms, fraction_bits, signed_digits } = digits;
                let kind = if *signed_digits { "naf" } else { "khot" };
                write!(f, "{kind}{bits}k{terms}")?;
                if *fraction_bits == 0 { Ok(()) } else { write!(f, "f{fraction_bits}") }
            }
            Self::CodeBook(book) => f.write_str(&book.name),
            Self::Posit(Posit { bits, exponent_bits: 2 }) => write!(f, "posit{bits}"),
            Self::Posit(Posit { bits, exponent_bits }) => write!(f, "posit{bits}es{exponent_bits}"),
            Self::Power(Power { bits, exponent }) => write!(f, "power{bits}a{exponent}"),
            Self::Complex => f.write_str("complex2"),
        }
    }
}

fn write_int(f: &mut fmt::Formatter<'_>, int: Int) -> fmt::Result {
    match (int.signed, int.symmetric) {
        (false, _) => write!(f, "uint{}", int.bits),
        (true, true) => write!(f, "int{}", int.bits),
        (true, false) => write!(f, "int{}full", int.bits),
    }
}

fn write_float(f: &mut fmt::Formatter<'_>, float: &Float) -> fmt::Result {
    if let Some((name, _)) = NAMED_FLOATS.iter().find(|(_, named)| named == float) {
        return f.write_str(name);
    }
    let sign = if float.signed { "" } else { "u" };
    write!(f, "{sign}e{}m{}", float.exponent_bits, float.mantissa_bits)?;
    if float.bias != Float::default_bias(float.exponent_bits, float.non_finite) {
        write!(f, "b{}", float.bias)?;
    }
    let unmarked = Float::new(float.exponent_bits, float.mantissa_bits, float.signed, None);
    if unmarked.is_none_or(|unmarked| unmarked.non_finite != float.non_finite) {
        f.write_str(suffix(float.non_finite))?;
    }
    f.write_str(match float.subnormals {
        Subnormals::Gradual => "",
        Subnormals::Flushed => "ftz",
        Subnormals::Absent => "nosub",
    })
}

/// What a name says of the codes that are no numbers, where the width alone does not.
const fn suffix(non_finite: NonFinite) -> &'static str {
    match non_finite {
        NonFinite::Ieee => "ieee",
        NonFinite::AllOnes => "fn",
        NonFinite::NegativeZero => "fnuz",
        NonFinite::NegativeZeroAndInfinity => "uz",
        NonFinite::Top => "nan",
        NonFinite::TopAndInfinity => "inf",
        NonFinite::None => "finite",
    }
}

impl FromStr for Element {
    type Err = ParseError;

    /// Reads the name of an element format: `e4m3fn`, `int4`, `uint3`, `bf16`, `nf4`, `posit16`, `q4.4`, or a name of `ml_dtypes`
    /// (`float8_e4m3fn`).
    fn from_str(name: &str) -> Result<Self, ParseError> {
        let canonical =
            ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
        read(canonical).filter(Self::is_valid).ok_or_else(|| ParseError::element(name))
    }
}

fn read(name: &str) -> Option<Element> {
    if let Some((_, float)) = NAMED_FLOATS.iter().find(|(named, _)| *named == name) {
        return Some(Element::Float(*float));
    }
    if let Some(book) = CodeBook::ALL.into_iter().find(|book| book.name == name) {
        return Some(Element::CodeBook(book));
    }
    if let Some(book) = crate::codebook::BITMOD3
        .iter()
        .chain(&crate::codebook::BITMOD4)
        .find(|book| book.name == name)
    {
        return Some(Element::CodeBook(book.clone()));
    }
    match name {
        "ternary" => return Some(Element::Ternary),
        "complex2" => return Some(Element::Complex),
        _ => {}
    }
    read_int(name)
        .or_else(|| read_fixed(name))
        .or_else(|| read_sparse_digits(name))
        .or_else(|| read_other(name))
        .or_else(|| read_float(name).map(Element::Float))
}

fn read_int(name: &str) -> Option<Element> {
    let bits = |digits: &str| digits.parse().ok().filter(|bits| (1..=32u8).contains(bits));
    if let Some(digits) = name.strip_prefix("bipolar") {
        return Some(Element::Bipolar { bits: bits(digits)? });
    }
    if let Some(digits) = name.strip_prefix("uint") {
        return Some(Element::Int(Int::unsigned(bits(digits)?)));
    }
    let digits = name.strip_prefix("int")?;
    Some(Element::Int(match digits.strip_suffix("full") {
        Some(digits) => Int::signed(bits(digits)?),
        None => Int::symmetric(bits(digits)?),
    }))
}

/// `q4.4`: whole bits, the sign among them, and fraction bits; `uq` unsigned, a trailing `s` symmetric.
fn read_fixed(name: &str) -> Option<Element> {
    let (signed, rest) = match name.strip_prefix('u') {
        Some(rest) => (false, rest),
        None => (true, name),
    };
    let (rest, symmetric) = match rest.strip_suffix('s') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (whole, fraction) = rest.strip_prefix('q')?.split_once('.')?;
    let (whole, fraction_bits): (i8, i8) = (whole.parse().ok()?, fraction.parse().ok()?);
    let bits = u8::try_from(whole.checked_add(fraction_bits)?).ok()?;
    if bits == 0 || bits > 32 {
        return None;
    }
    Some(Element::Fixed(Fixed { int: Int { bits, signed, symmetric }, fraction_bits }))
}

/// `khot8k2`, `naf8k2f4`.
fn read_sparse_digits(name: &str) -> Option<Element> {
    let (signed_digits, rest) = match name.strip_prefix("naf") {
        Some(rest) => (true, rest),
        None => (false, name.strip_prefix("khot")?),
    };
    let (bits, rest) = rest.split_once('k')?;
    let (terms, fraction_bits) = match rest.split_once('f') {
        Some((terms, fraction)) => (terms, fraction.parse().ok()?),
        None => (rest, 0),
    };
    let digits = SparseDigits {
        bits: bits.parse().ok()?,
        terms: terms.parse().ok()?,
        fraction_bits,
        signed_digits,
    };
    Some(Element::SparseDigits(digits))
}

/// Posits, power laws, and the formats of IEEE P3109 by its names (`binary8p4se`).
fn read_other(name: &str) -> Option<Element> {
    if let Some(rest) = name.strip_prefix("posit") {
        let (bits, exponent_bits) = rest.split_once("es").unwrap_or((rest, "2"));
        let posit = Posit { bits: bits.parse().ok()?, exponent_bits: exponent_bits.parse().ok()? };
        return Some(Element::Posit(posit));
    }
    if let Some(rest) = name.strip_prefix("power") {
        let (bits, exponent) = rest.split_once('a')?;
        let power = Power { bits: bits.parse().ok()?, exponent: exponent.parse().ok()? };
        return Some(Element::Power(power));
    }
    let (bits, rest) = name.strip_prefix("binary")?.split_once('p')?;
    let (rest, extended) = match rest.strip_suffix('e') {
        Some(rest) => (rest, true),
        None => (rest.strip_suffix('f')?, false),
    };
    let (precision, signed) = match rest.strip_suffix('s') {
        Some(precision) => (precision, true),
        None => (rest.strip_suffix('u')?, false),
    };
    Float::p3109(bits.parse().ok()?, precision.parse().ok()?, signed, extended).map(Element::Float)
}

/// `[u]eXmY[bBIAS][ieee|fn|fnuz|uz|nan|inf|finite][ftz|nosub]`.
fn read_float(name: &str) -> Option<Float> {
    let (signed, rest) = match name.strip_prefix('u') {
        Some(rest) => (false, rest),
        None => (true, name),
    };
    let rest = rest.strip_prefix('e')?;
    let (exponent_bits, rest) = leading_number(rest)?;
    let (mantissa_bits, mut rest) = leading_number(rest.strip_prefix('m')?)?;
    let mut bias = None;
    if let Some(digits) = rest.strip_prefix('b') {
        let (negative, digits) = match digits.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, digits),
        };
        let (magnitude, after) = leading_number::<i32>(digits)?;
        bias = Some(if negative { -magnitude } else { magnitude });
        rest = after;
    }
    let (rest, subnormals) = if let Some(rest) = rest.strip_suffix("ftz") {
        (rest, Subnormals::Flushed)
    } else if let Some(rest) = rest.strip_suffix("nosub") {
        (rest, Subnormals::Absent)
    } else {
        (rest, Subnormals::Gradual)
    };
    let non_finite = match rest {
        "" => None,
        _ => Some(
            [
                NonFinite::Ieee,
                NonFinite::AllOnes,
                NonFinite::NegativeZero,
                NonFinite::NegativeZeroAndInfinity,
                NonFinite::Top,
                NonFinite::TopAndInfinity,
                NonFinite::None,
            ]
            .into_iter()
            .find(|&non_finite| suffix(non_finite) == rest)?,
        ),
    };
    let float = Float::new(exponent_bits, mantissa_bits, signed, non_finite)?;
    let float = Float { bias: bias.unwrap_or(float.bias), subnormals, ..float };
    float.is_valid().then_some(float)
}

fn leading_number<T: FromStr>(text: &str) -> Option<(T, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// The names that the error messages and listings of formats show, in the order of the three-way grouping of low-precision surveys: integers and
/// fixed point, floating point, custom.
pub(crate) const ELEMENT_NAMES: [&str; 55] = [
    "bipolar1",
    "ternary",
    "int2",
    "int3",
    "int4",
    "int5",
    "int6",
    "int7",
    "int8",
    "int16",
    "int32",
    "uint1",
    "uint2",
    "uint3",
    "uint4",
    "uint5",
    "uint6",
    "uint7",
    "uint8",
    "bipolar2",
    "bipolar4",
    "q4.4",
    "khot8k2",
    "naf8k2",
    "e2m1",
    "e1m2",
    "e3m0",
    "e2m0",
    "e1m1",
    "e2m2",
    "e3m1",
    "e2m3",
    "e3m2",
    "e3m3",
    "e4m3fn",
    "e4m3",
    "e4m3fnuz",
    "e4m3b11fnuz",
    "e5m2",
    "e5m2fnuz",
    "e3m4",
    "f16",
    "bf16",
    "tf32",
    "f32",
    "ue4m3",
    "ue5m3",
    "e8m0",
    "nf4",
    "af4",
    "bnbfp4",
    "posit8",
    "posit16",
    "power4a0.5",
    "complex2",
];
