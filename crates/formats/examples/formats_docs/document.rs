//! The text of `docs/formats.md`.

use std::fmt::Write as _;

use dyadic_formats::{Description, Format};

use crate::accuracy::{COLUMNS, ROWS, Samples};

const HEAD: &str = "\
# Formats

Every number format of dyadic is one descriptor value, and this page is printed from the descriptors: `npm run docs:formats` writes it, and the tests fail where it is stale.

A format is named by a string, `element[:gN|channel|tensor|RxC][:scale][:zp|min][:rule]`, or by the name of a block format with any of these parts behind it:

| string | meaning |
|---|---|
| `e4m3fn` | an element alone: one code each, no scales |
| `int8` | an integer; integers, code books and powers have an f32 scale for the tensor unless told otherwise |
| `int4:g128:f16` | groups of 128 neighbours of a row, each with an f16 scale |
| `int4:g128:f16:zp` | unsigned codes with a zero point a group; `min` instead of `zp` stores the minimum as a number |
| `e4m3fn:channel` | an f32 scale a row |
| `nvfp4:16x16` | a scale for each square of 16 × 16 |
| `mxfp4:even` | another rule for power-of-two scales, see below |
| `int16:none` | integers without a scale |

Groups are counted along the last axis; the last group of a row may be short. Integers: `intN` is symmetric (−7 to 7 for `int4`), `intNfull` has the lowest number too, `uintN` has a zero point.
Floats: `eXmY` has E exponent and M mantissa bits; from 8 bits on it has the infinities and NaNs of IEEE 754, below that every code is a number, and a suffix says otherwise: `ieee`, `fn` (only all ones are NaN), `fnuz` (only the code of −0 is NaN), `finite`; `bN` is another bias, `ftz` has no subnormal numbers,
`u` in front has no sign, and `binary8p4se` is a name of IEEE P3109. `qM.N` is fixed point of M bits (sign included) before and N behind the point; `khotBkK` has at most K ones among its B bits, `nafBkK` at most K signed digits; `powerBaA` is sign · (|q| / max)^(1/A).
The long names of `ml_dtypes` (`float8_e4m3fn`, `bfloat16`) are understood.

Columns: *smallest* is the smallest value above 0, *normal* the smallest normal number, *epsilon* the distance from 1 to the next value, *values* the number of distinct finite values, 0 and −0 being one. S, E, M, I, F and x are bits of sign, exponent, mantissa, integer, fraction, and bits without a meaning of their own.

The order is that of surveys of low-precision training: integers and fixed point, floating point, custom.
";

/// The three groups with the families that belong to each.
const SECTIONS: [(&str, &[&str]); 3] = [
    (
        "Integers and fixed point",
        &["integer", "bipolar", "ternary", "fixed point", "sparse digits"],
    ),
    ("Floating point", &["float"]),
    ("Custom", &["code book", "posit", "power", "complex"]),
];

const RULES: &str = "
## Rules of power-of-two scales

`amax` is the largest magnitude of the group, `max` the largest value of the element. The rule is what `e8m0` scales take as a last part (`mxfp4:even`).

| rule | scale | |
|---|---|---|
| `floor` | 2^(⌊log2 amax⌋ − ⌊log2 max⌋) | OCP Microscaling, the default: values above max are clipped |
| `ceil` | the least power of two that clips nothing | |
| `even` | `floor` of amax rounded to the element's mantissa | the least error of the closed forms on bell curves |
| `fourthirds` | `floor`, with elements scaled by 3/4 | nothing is clipped, so stochastic rounding stays unbiased |
| `mse` | the one of least squared error among that of `floor` and its neighbours | |

## Rounding

| name | to |
|---|---|
| `nearestEven` | the nearer neighbour, ties to the even code: IEEE 754 and all hardware |
| `nearestTiesAway`, `nearestTiesToZero`, `nearestTiesToOdd` | the nearer neighbour, ties as the name says |
| `towardZero`, `towardPositive`, `towardNegative` | one side |
| `toOdd` | the neighbour with the odd code; rounding again to fewer bits then equals rounding once |
| `stochastic` | away from zero with the probability of the distance |
| `stochasticEqual` | either neighbour with probability 1/2 |
| `randomDirected` | toward either infinity with probability 1/2, as CADNA does |

Random bits depend on the seed and the index of the element alone, so results are the same for any number of threads and any instruction set. Beyond the largest number a value saturates, becomes an infinity or NaN (`overflow: 'ieee'`), or wraps around (integers).

## Checked against

- 2784 codes and 1662 ties between codes, of all floats of at most 8 bits, from exact fractions.
- `ml_dtypes`: 4.2 million values through 12 types. `gfloat`: 15 floats in 9 modes, random bits included. `onnxruntime`: 4.2 million values through 10 casts. The 52 Cast vectors of ONNX between these types.
- Every float of at most 8 bits (299 of them) against a walk along its values; the 20 listed ones on the 16.7 million f32 whose low 8 bits are 0, and the kernels of 9 of them there against the scalar ones.
- Every mode against integer arithmetic, a million values in each of 20 floats.

Known differences: `ml_dtypes` rounds ties of e8m0 up; onnxruntime 1.30 makes, without saturation, NaN of [61440, 65536) in e5m2 and e5m2fnuz and 448 of [480, 496) in e4m3fn.
";

/// Everything before the accuracy table.
pub(crate) fn tables() -> String {
    let mut text = HEAD.to_owned();
    let formats: Vec<(Format, Description)> =
        dyadic_formats::all().map(|(_, format)| (format.clone(), format.describe())).collect();
    for (title, families) in SECTIONS {
        _ = write!(
            text,
            "\n## {title}\n\n| name | bits | layout | range | smallest | normal | epsilon | values | NaN codes | ±∞ codes |\n|---|--:|---|---|---|---|---|--:|--:|--:|\n"
        );
        for family in families {
            let mut elements: Vec<(String, &Description)> = formats
                .iter()
                .filter(|(_, description)| description.family == *family)
                .map(|(format, description)| (format.element.to_string(), description))
                .collect();
            elements.sort_by_key(|(_, description)| description.bits);
            let mut seen = Vec::new();
            for (name, description) in elements {
                if !seen.contains(&name) {
                    write_element(&mut text, &name, description);
                    seen.push(name);
                }
            }
        }
    }
    text +=
        "\n## Block formats\n\n| name | bits an element | element | scales |\n|---|--:|---|---|\n";
    for (format, description) in formats.iter().filter(|(format, _)| is_block(format)) {
        let Description { name, bits_per_element, scales, .. } = description;
        let books = format.alternatives.iter().map(|book| format!("`{}`", book.name));
        let books: Vec<String> = books.collect();
        let element =
            if books.is_empty() { format!("`{}`", format.element) } else { books.join(", ") };
        _ = writeln!(text, "| `{name}` | {bits_per_element} | {element} | {scales} |");
    }
    text + RULES
}

/// Whether the name stands for more than its element.
fn is_block(format: &Format) -> bool {
    let element = format.element.to_string();
    format.scale.is_some() && Format::parse(&element).is_ok_and(|plain| plain != *format)
        || format.to_string() == "nf4"
}

fn write_element(text: &mut String, name: &str, description: &Description) {
    let letter = |field: &str| match field {
        "sign" => 'S',
        "exponent" => 'E',
        "mantissa" => 'M',
        "integer" => 'I',
        "fraction" => 'F',
        _ => 'x',
    };
    let layout: Vec<String> = description
        .fields
        .iter()
        .map(|field| match (letter(field.name), field.bits) {
            (letter, 17..) => format!("{letter}×{}", field.bits),
            (letter, bits) => letter.to_string().repeat(bits as usize),
        })
        .collect();
    let optional = |value: Option<f64>| value.map_or(String::new(), number);
    let (low, high) = description.range;
    let range = if low == -high {
        format!("±{}", number(high))
    } else {
        format!("{} … {}", number(low), number(high))
    };
    let (nan, infinity) = description.nan_and_infinity_codes;
    _ = writeln!(
        text,
        "| `{name}` | {} | `{}` | {range} | {} | {} | {} | {} | {nan} | {infinity} |",
        description.bits,
        layout.join(" "),
        number(description.min_positive),
        optional(description.min_normal),
        optional(description.epsilon),
        description.distinct_values,
    );
}

/// Powers of two beyond 9 bits as such, others with seven digits.
fn number(value: f64) -> String {
    let exponent = value.abs().log2();
    let sign = if value < 0.0 { "−" } else { "" };
    if exponent.fract() == 0.0 && exponent.abs() > 9.0 {
        return format!("{sign}2^{}", exponent.to_string().replace('-', "−"));
    }
    let magnitude = value.abs();
    if magnitude >= 1e10 {
        return format!("{sign}{magnitude:.7e}");
    }
    let digits = format!("{magnitude:.7}");
    format!("{sign}{}", digits.trim_end_matches('0').trim_end_matches('.'))
}

const ACCURACY: &str = "
## Accuracy

The signal to quantization noise ratio in decibels, 10 log10(Σ x² / Σ (x − x̂)²), of 2^19 samples in 128 rows of 4096, rounded to nearest. Six decibels are one bit.

- *N(0,1)*, *Laplace* (b = 1) and *t(5)* are independent samples.
- *outliers* is the normal matrix with every hundredth column (37, 137, …, 40 of 4096) times 20: the shape of activations in large language models, where the same few channels are large in every token. Groups along a row so hold an outlier or none.
- *outliers, H128* is that matrix after an orthogonal Hadamard transform of every 128 neighbours of a row, *Laplace, H16* the Laplace matrix after one of 16.

Hadamard transforms help formats whose step follows the largest value of a group (int4, MXFP4) and hurt NVFP4, whose small groups and fine scales isolate outliers better than spreading them does.

";

/// The table of ratios.
pub(crate) fn accuracy_table(samples: &Samples) -> String {
    let mut text = ACCURACY.to_owned();
    _ = writeln!(text, "| format | bits | {} |", COLUMNS.map(|column| column.name).join(" | "));
    _ = writeln!(text, "|---|--:{}|", "|--:".repeat(COLUMNS.len()));
    for (name, _) in ROWS {
        let cells = COLUMNS.map(|column| format!("{:.2}", samples.sqnr_db(name, column)));
        let bits = Format::parse(name).map_or(f64::NAN, |format| format.bits_per_element());
        _ = writeln!(text, "| `{name}` | {bits} | {} |", cells.join(" | "));
    }
    text
}
