//! What is made of floats for the integer-only operations, as an independent implementation made it (`golden-integer.json`, in `dyadic-kernels`).

use dyadic_kernels::activation::Function;
use dyadic_kernels::integer::Dyadic;
use dyadic_kernels::integer::dyadic::TfliteMultiplier;
use dyadic_quant::dfp;
use dyadic_quant::dyadic::{dyadic, of_bits, tflite};
use dyadic_quant::tables::{exponential_table, lookup_table};
use dyadic_quant::w8a8::{Int8Rows, llm_int8, smooth_scales};
use serde_json::Value;
use support::{golden, integer, integers, list, number, numbers};

#[path = "../../kernels/tests/support/mod.rs"]
mod support;

#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn f32s(value: &Value) -> Vec<f32> {
    match value {
        Value::Array(values) => values.iter().flat_map(f32s).collect(),
        value => vec![number(value) as f32],
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
fn as_f32(value: &Value) -> f64 {
    f64::from(number(value) as f32)
}

fn assert_close(found: &[f64], golden: &Value, tolerance: f64) {
    let golden = numbers(golden);
    assert_eq!(found.len(), golden.len());
    for (found, golden) in found.iter().zip(golden) {
        assert!((found - golden).abs() <= tolerance * golden.abs(), "{found} is not {golden}");
    }
}

#[test]
fn dyadic_numbers() {
    let section = golden("dyadic");
    for case in list(&section, "cases") {
        // Of decimal digits the parser may lose the last bit.
        let s = hexadecimal(case["s_hex"].as_str().unwrap());
        assert!((s / number(&case["s"]) - 1.0).abs() < 1e-15, "{case}");
        let expected = Dyadic::new(integer(&case["m"]), integer(&case["e"]));
        assert_eq!(dyadic(s), expected, "{case}");
        let [m, e]: [i32; 2] = integers(&case["m15"]).try_into().unwrap();
        assert_eq!(of_bits(s, 15), Dyadic::new(m, e.cast_unsigned()), "{case}");
        if case["raw"].is_null() {
            continue;
        }
        let [multiplier, left_shift]: [i32; 2] = integers(&case["tflite"]).try_into().unwrap();
        assert_eq!(tflite(s), TfliteMultiplier::new(multiplier, left_shift), "{case}");
        // HAWQ does not normalise: the same number, whose multiplier may be 2^31.
        let [m, e]: [i64; 2] = integers(&case["raw"]).try_into().unwrap();
        let ours = dyadic(s).unwrap();
        let shift = i64::from(ours.shift());
        assert_eq!(
            i128::from(m) << (62 - e),
            i128::from(ours.multiplier()) << (62 - shift),
            "{case}"
        );
    }
}

/// `0x1.8p-3`, as C and Python write floats.
fn hexadecimal(text: &str) -> f64 {
    let (sign, rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let (digits, exponent) = rest.strip_prefix("0x1.").unwrap().split_once('p').unwrap();
    assert_eq!(digits.len() % 13, 0, "{text}");
    let fraction = u64::from_str_radix(digits, 16).unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    sign * f64::from_bits((1023 << 52) | fraction) * f64::from(exponent).exp2()
}

fn assert_dyadic(ratio: f64, golden: [&Value; 2]) {
    let [multiplier, shift] = golden;
    let expected = Dyadic::new(integer(multiplier), integer(shift));
    assert_eq!(dyadic(ratio), expected, "{ratio}");
}

/// The factors of operations, from the scales of their values.
#[test]
fn ratios_of_scales() {
    let section = golden("residual_add");
    let [x, i, own] = ["sx", "si", "so"].map(|name| number(&section[name]));
    assert_dyadic(x / own, ["mx", "ex"].map(|name| &section[name]));
    assert_dyadic(i / own, ["mi", "ei"].map(|name| &section[name]));
    let section = golden("concat");
    for (scale, golden) in list(&section, "scales").iter().zip(list(&section, "params")) {
        assert_dyadic(number(scale) / number(&section["so"]), [0, 1].map(|i| &golden[i]));
    }
    let section = golden("layernorm_exact");
    for case in list(&section, "cases") {
        for (gamma, golden) in numbers(&case["gamma"]).iter().zip(list(&case["ln"], "params")) {
            let ratio = gamma / 2f64.powi(14) / as_f32(&case["So"]);
            assert_dyadic(ratio, [0, 1].map(|i| &golden[i]));
        }
    }
    let section = golden("attention_deferred");
    let [values, own] = ["Sv", "So"].map(|name| number(&section[name]));
    assert_dyadic(values / own, ["m", "e"].map(|name| &section[name]));
}

#[test]
fn lut_unary() {
    let section = golden("lut_unary");
    for (name, function) in [
        ("gelu", Function::Gelu),
        ("silu", Function::Silu),
        ("sigmoid", Function::Sigmoid),
        ("tanh", Function::Tanh),
    ] {
        let case = &section[name];
        let table = lookup_table(function, as_f32(&case["Si"]), as_f32(&case["So"]));
        assert_eq!(table[..], integers::<i8>(&case["table"]), "{name}");
    }
}

#[test]
fn softmax_lut() {
    let section = golden("softmax_lut");
    let table: [u16; 256] = exponential_table(f64::from(0.05f32), 32768.0);
    assert_eq!(table[..], integers::<u16>(&section["E_table_S0.05"]));
}

#[test]
fn dfp16() {
    let section = golden("dfp16");
    let edges = list(&section, "edge").iter().map(|edge| ["x", "E", "i"].map(|name| &edge[name]));
    let others =
        [["a", "Ea", "ia"], ["b", "Eb", "ib"]].map(|names| names.map(|name| &section[name]));
    for [x, exponent, codes] in others.into_iter().chain(edges) {
        assert_eq!(dfp::encode(&numbers(x)), (integer(exponent), integers(codes)), "{x}");
    }
}

#[test]
fn llm_int8_products() {
    let section = golden("llm_int8");
    let (x, weight) = (f32s(&section["A"]), f32s(&section["W"]));
    for case in ["t6", "t0"].map(|name| &section[name]) {
        // bitsandbytes has 0 for none.
        let threshold = f32s(&case["threshold"])[0];
        let threshold = if threshold == 0.0 { f32::INFINITY } else { threshold };
        let product = llm_int8(&x, &weight, 8, threshold);
        assert_eq!(product.outlier_columns, integers::<usize>(&case["outlier_cols"]));
        assert_eq!(product.x.codes, integers::<i8>(&case["qa"]));
        assert_eq!(product.weight.codes, integers::<i8>(&case["qw"]));
        let largest = |rows: &Int8Rows| rows.scales.iter().map(|s| s * 127.0).collect::<Vec<_>>();
        assert_close(&largest(&product.x), &case["row_stats"], 1e-12);
        assert_close(&largest(&product.weight), &case["col_stats"], 1e-12);
        assert_eq!(product.x.products(&product.weight, 8), integers::<i32>(&case["acc"]));
        assert_close(&product.out, &case["out"], 1e-6);
    }
    // Outliers in floats bring the product nearer to the exact one.
    let exact = numbers(&section["ref"]);
    let error = |threshold| -> f64 {
        let out = llm_int8(&x, &weight, 8, threshold).out;
        out.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum()
    };
    assert!(error(6.0) < error(f32::INFINITY));
}

#[test]
fn smoothquant() {
    let (section, llm) = (golden("smoothquant"), golden("llm_int8"));
    let (x, weight) = (f32s(&llm["A"]), f32s(&llm["W"]));
    let largest = |x: &[f32]| -> Vec<f32> {
        let columns = (0..8).map(|j| x.iter().skip(j).step_by(8));
        columns.map(|column| column.fold(0.0, |most: f32, x| most.max(x.abs()))).collect()
    };
    let scales = smooth_scales(&largest(&x), &largest(&weight), number(&section["alpha"]));
    assert_close(&scales, &section["s"], 1e-12);
    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    let scaled = |x: &[f32], power: i32| -> Vec<f32> {
        let scales = scales.iter().cycle();
        x.iter().zip(scales).map(|(&x, s)| (f64::from(x) * s.powi(power)) as f32).collect()
    };
    for (name, x, weight) in [
        ("w8a8_plain", x.clone(), weight.clone()),
        ("w8a8_smooth", scaled(&x, -1), scaled(&weight, 1)),
    ] {
        let case = &section[name];
        let (x, weight) = (Int8Rows::new(&x, 8), Int8Rows::new(&weight, 8));
        assert_eq!(x.codes, integers::<i8>(&case["qa"]), "{name}");
        assert_eq!(weight.codes, integers::<i8>(&case["qw"]), "{name}");
        assert_close(&x.scales, &case["sa"], 1e-7);
        assert_close(&weight.scales, &case["sw"], 1e-7);
        assert_eq!(x.products(&weight, 8), integers::<i32>(&case["acc"]), "{name}");
        assert_close(&x.multiply(&weight, 8), &case["out"], 1e-6);
    }
}

/// Members that say what others are, or are steps from one that is read to another.
const NOT_RESULTS: [&str; 19] = [
    "D",
    "F",
    "R15",
    "R8",
    "S1",
    "Sd",
    "beta",
    "doc",
    "e16",
    "e2",
    "factor",
    "gamma",
    "mean",
    "norm",
    "scale_base",
    "std",
    "sum",
    "var",
    "erf_scale",
];

/// Every section, and every member of every section, is named by a test: what none reads would prove nothing.
#[test]
fn every_section_is_read_by_a_test() {
    let sources = [
        include_str!("golden_integer.rs"),
        include_str!("allocate.rs"),
        include_str!("../../kernels/tests/golden_integer.rs"),
        include_str!("../../kernels/tests/golden_integer_errors.rs"),
    ];
    let mut unread = Vec::new();
    for (name, section) in support::all().as_object().unwrap() {
        let sources: Vec<&str> = sources
            .into_iter()
            .filter(|source| source.contains(&format!("golden(\"{name}\")")))
            .collect();
        if sources.is_empty() {
            unread.push(name.clone());
        }
        let mut members = Vec::new();
        members_of(section, &mut members);
        members.retain(|member| {
            let named = |source: &&str| source.contains(&format!("\"{member}\""));
            !NOT_RESULTS.contains(member)
                && member.parse::<f64>().is_err()
                && !sources.iter().any(named)
        });
        members.sort_unstable();
        members.dedup();
        unread.extend(members.into_iter().map(|member| format!("{name}.{member}")));
    }
    assert!(unread.is_empty(), "no test reads {unread:?}");
}

/// The names of all members of a value.
fn members_of<'a>(value: &'a Value, members: &mut Vec<&'a str>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| members_of(value, members)),
        Value::Object(object) => {
            for (name, value) in object {
                members.push(name);
                members_of(value, members);
            }
        }
        _ => {}
    }
}
