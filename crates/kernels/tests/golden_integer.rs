//! The integer-only operations as an independent implementation computed them (`golden-integer.json`, Python integers), on every instruction set.

use dyadic_kernels::integer::attention::{Attention, AttentionScratch, Softmax};
use dyadic_kernels::integer::dyadic::{
    TfliteMultiplier, rounding_divide_by_power_of_two, saturating_rounding_doubling_high_mul,
};
use dyadic_kernels::integer::elementwise::{Add, AddTflite, add_tflite};
use dyadic_kernels::integer::norm::{LayerNorm, NormChannel, Root, newton_sqrt};
use dyadic_kernels::integer::pool::{Average, Window};
use dyadic_kernels::integer::requantize::Requantize;
use dyadic_kernels::integer::shift_exp::ShiftExp;
use dyadic_kernels::integer::shift_gelu::{ShiftGelu, sigmoid};
use dyadic_kernels::integer::softmax::index_softmax;
use dyadic_kernels::integer::variants::{hawq_mean, shiftmax_exact, tvm_shift_gelu, tvm_shiftmax};
use dyadic_kernels::integer::{Dyadic, Output, Rounding, dfp, ibert};
use dyadic_kernels::{Isa, Kernels};
use serde_json::Value;
use support::{
    golden, integer, integers, list, nearest_dyadic, number, numbers, tflite_multiplier,
};

mod support;

fn dyadic(multiplier: &Value, shift: &Value) -> Dyadic {
    Dyadic::new(integer(multiplier), integer(shift)).unwrap()
}

fn every_kernel() -> impl Iterator<Item = &'static Kernels> {
    Isa::supported().map(|isa| Kernels::for_isa(isa).unwrap())
}

#[test]
fn requant() {
    let (section, scales) = (golden("requant"), golden("dyadic"));
    for case in list(&section, "cases") {
        let (z, scale): (i32, _) = (integer(&case["z"]), dyadic(&case["m"], &case["e"]));
        assert_eq!(scale.apply(z), integer::<i64>(&case["up"]), "{case}");
        assert_eq!(scale.apply_wide(z.into()), i128::from(integer::<i64>(&case["up"])), "{case}");
        assert_eq!(scale.apply_rounded(z, Rounding::Even), integer::<i64>(&case["even"]), "{case}");
        let in_f64 = f64::from(z) * f64::from(scale.multiplier()) / f64::from(scale.shift()).exp2();
        assert_eq!(in_f64.round_ties_even(), number(&case["even_f64"]), "{case}");
        for kernels in every_kernel() {
            let scales = [scale];
            let by = |output| Requantize { scales: &scales, rounding: Rounding::Up, output };
            let mut narrow = [0i8];
            kernels.requantize(&[z], &by(Output::bits(8)), &mut narrow);
            assert_eq!(narrow[0], integer::<i8>(&case["i8"]), "{case}");
            let mut wide = [0i16];
            kernels.requantize(&[z], &by(Output::bits(16)), &mut wide);
            assert_eq!(wide[0], integer::<i16>(&case["i16"]), "{case}");
        }
        // The multiplier of TensorFlow Lite stands in the section of scales.
        let listed = list(&scales, "cases").iter().find(|scale| scale["s"] == case["s"]);
        if let Some(listed) = listed {
            let [multiplier, left_shift] = integers(&listed["tflite"])[..] else {
                panic!("{listed}")
            };
            let tflite = TfliteMultiplier::new(multiplier, left_shift).unwrap();
            assert_eq!(tflite.apply_single(z), integer::<i64>(&case["tfl_single"]), "{case}");
            let double = tflite.apply_double(z);
            assert_eq!(double.map(i64::from), case["tfl_double"].as_i64(), "{case}");
        }
    }
}

#[test]
fn gemmlowp_prims() {
    let section = golden("gemmlowp_prims");
    for case in list(&section, "sqrdmulh") {
        let [a, b, product]: [i32; 3] = integers(case).try_into().unwrap();
        assert_eq!(saturating_rounding_doubling_high_mul(a, b), product, "{case}");
    }
    for case in list(&section, "rdivpot") {
        let [x, exponent, quotient]: [i32; 3] = integers(case).try_into().unwrap();
        let found = rounding_divide_by_power_of_two(x, exponent.cast_unsigned());
        assert_eq!(found, quotient, "{case}");
    }
}

#[test]
fn residual_add() {
    let section = golden("residual_add");
    let (x, y): (Vec<i8>, Vec<i8>) = (integers(&section["x"]), integers(&section["i"]));
    let (scale_x, scale_y) =
        (dyadic(&section["mx"], &section["ex"]), dyadic(&section["mi"], &section["ei"]));
    let by = |bits| Add { x: scale_x, y: scale_y, output: Output::bits(bits) };
    let wide = |x: &[i8]| x.iter().map(|&x| i16::from(x) * 100).collect::<Vec<_>>();
    for kernels in every_kernel() {
        let mut out = vec![0i8; x.len()];
        kernels.add_quantized(&x, &y, &by(8), &mut out);
        assert_eq!(out, integers::<i8>(&section["out_i8"]));
        let mut out = vec![0i16; x.len()];
        kernels.add_quantized(&wide(&x), &wide(&y), &by(16), &mut out);
        assert_eq!(out, integers::<i16>(&section["out_i16"]));
    }
}

/// With the multipliers that TensorFlow Lite derives from scales; `dyadic-quant` derives them too.
#[test]
fn tflite_add_i8() {
    let section = golden("tflite_add_i8");
    let [s1, s2, so] = ["s1", "s2", "so"].map(|name| number(&section[name]));
    let twice = 2.0 * s1.max(s2);
    let by = AddTflite {
        zero_points: ["z1", "z2"].map(|name| integer(&section[name])),
        inputs: [s1 / twice, s2 / twice].map(tflite_multiplier),
        result: tflite_multiplier(twice / (2f64.powi(20) * so)),
        output: Output { zero_point: integer(&section["zo"]), ..Output::bits(8) },
    };
    let (a, b): (Vec<i8>, Vec<i8>) = (integers(&section["a"]), integers(&section["b"]));
    let mut out = vec![0; a.len()];
    add_tflite(&a, &b, &by, &mut out);
    assert_eq!(out, integers::<i8>(&section["out"]));
}

#[test]
fn concat() {
    let section = golden("concat");
    for kernels in every_kernel() {
        let mut found = Vec::new();
        for (branch, scale) in list(&section, "branches").iter().zip(list(&section, "params")) {
            let x: Vec<i8> = integers(branch);
            let scales = [dyadic(&scale[0], &scale[1])];
            let by =
                Requantize { scales: &scales, rounding: Rounding::Up, output: Output::bits(8) };
            let mut out = vec![0i8; x.len()];
            kernels.requantize(&x, &by, &mut out);
            if scales[0] == Dyadic::ONE {
                assert_eq!(out, x);
            }
            found.extend(out);
        }
        assert_eq!(found, integers::<i8>(&section["out"]));
    }
}

/// The golden sums as the pixels of one window.
#[test]
fn avgpool() {
    let section = golden("avgpool");
    for case in list(&section, "cases") {
        let (count, sum): (usize, i32) = (integer(&case["n"]), integer(&case["acc"]));
        let mut left = sum;
        let pixels: Vec<i8> = (0..count)
            .map(|_| {
                let pixel = left.clamp(-128, 127);
                left -= pixel;
                i8::try_from(pixel).unwrap()
            })
            .collect();
        assert_eq!(left, 0, "{case}");
        let window = Window { input: [1, count], channels: 1, window: [1, count], stride: [1, 1] };
        for kernels in every_kernel() {
            let mut out = [0i8];
            kernels.average_pool(&pixels, &window, &Average::SameScale, &mut out);
            assert_eq!(out[0], integer::<i8>(&case["half_away"]), "{case}");
            let scale = nearest_dyadic(1.0 / f64::from(integer::<i32>(&case["n"])));
            let requantize = Average::Requantize { scale, output: Output::bits(8) };
            kernels.average_pool(&pixels, &window, &requantize, &mut out);
            assert_eq!(out[0], integer::<i8>(&case["half_up"]), "{case}");
        }
        assert_eq!(
            hawq_mean(sum, integer(&case["n"])),
            integer::<i32>(&case["hawq_trunc"]),
            "{case}"
        );
    }
}

#[test]
fn shiftexp_trace() {
    let section = golden("shiftexp_trace");
    let exp = ShiftExp::new(integer(&section["I0"]), 15).unwrap();
    for row in list(&section, "rows") {
        assert_eq!(exp.apply(integer(&row[0])), integer::<i32>(&row[4]), "{row}");
    }
}

#[test]
fn shiftmax() {
    let section = golden("shiftmax");
    for case in list(&section, "cases") {
        let q: Vec<i8> = integers(&case["q"]);
        let exp = ShiftExp::new(integer(&case["b16"]["I0"]), 15).unwrap();
        for kernels in every_kernel() {
            let mut wide = vec![0i16; q.len()];
            kernels.shiftmax_i16(&q, q.len(), exp, &mut wide);
            assert_eq!(wide, integers::<i16>(&case["b16"]["out"]), "{case}");
            let mut narrow = vec![0i8; q.len()];
            kernels.shiftmax_i8(&q, q.len(), exp, &mut narrow);
            assert_eq!(narrow, integers::<i8>(&case["b8"]["out"]), "{case}");
        }
        for (bits, name) in [(16, "exactdiv16"), (8, "exactdiv8")] {
            let mut exact = vec![0; q.len()];
            shiftmax_exact(&q, exp, bits, &mut exact);
            assert_eq!(exact, integers::<u16>(&case[name]), "{case}");
        }
        let mut tvm = vec![0; q.len()];
        tvm_shiftmax(&q, -integer::<i32>(&case["tvm"]["x0"]), &mut tvm);
        assert_eq!(tvm, integers::<i8>(&case["tvm"]["out"]), "{case}");
    }
}

#[test]
fn shiftgelu() {
    let section = golden("shiftgelu");
    for case in list(&section, "cases") {
        let q: Vec<i8> = integers(&case["q"]);
        let exp = ShiftExp::new(integer(&case["ref"]["I0"]), 23).unwrap();
        let max = i32::from(*q.iter().max().unwrap());
        let sigmoids: Vec<i32> = q.iter().map(|&q| sigmoid(exp, q.into(), max)).collect();
        assert_eq!(sigmoids, integers::<i32>(&case["ref"]["sig"]));
        let scale = Dyadic::new(1 << 30, 37).unwrap();
        let function = ShiftGelu::new(exp, scale, Output::bits(8));
        let expected: Vec<i8> = integers::<i32>(&case["ref"]["out"])
            .into_iter()
            .map(|product| Output::bits(8).finish(scale.apply(product)))
            .collect();
        for kernels in every_kernel() {
            let mut out = vec![0i8; q.len()];
            kernels.shift_gelu(&q, q.len(), &function, &mut out);
            assert_eq!(out, expected, "{case}");
        }
        let mut tvm = vec![0; q.len()];
        tvm_shift_gelu(&q, -integer::<i32>(&case["tvm"]["x0"]), &mut tvm);
        assert_eq!(tvm, integers::<i32>(&case["tvm"]["out"]), "{case}");
        // A row whose largest is 9 or more: both exponentials of its least are as small as they get, and σ is ¼.
        let bound = if number(&case["S"]) < 0.1 { 0.3 } else { 1.5 };
        let floats = numbers(&case["float_gelu_over_Sout"]);
        for (product, float) in integers::<i32>(&case["ref"]["out"]).into_iter().zip(floats) {
            let error = (f64::from(product) - float) * number(&case["S"]) / 128.0;
            assert!(error.abs() < bound, "{product} against {float}: {case}");
        }
    }
}

#[test]
fn ilayernorm() {
    let section = golden("ilayernorm");
    for case in list(&section, "cases") {
        let x: Vec<i16> = integers(&case["x"]);
        for (name, root) in [("newton10", Root::TenSteps), ("isqrt", Root::Exact)] {
            let bias: Vec<i32> = integers(&case[name]["bias_int"]);
            for kernels in every_kernel() {
                let mut out = vec![0; x.len()];
                kernels.i_layer_norm(&x, &bias, root, &mut out);
                assert_eq!(out, integers::<i32>(&case[name]["out"]), "{case}");
            }
        }
        let wide: Vec<i32> = x.iter().map(|&x| x.into()).collect();
        let mut out = vec![0; x.len()];
        ibert::layer_norm(&wide, 0, &integers::<i32>(&case["isqrt"]["bias_int"]), &mut out);
        assert_eq!(out, integers::<i32>(&case["isqrt"]["out"]), "{case}");
    }
}

#[test]
fn layernorm_exact() {
    let section = golden("layernorm_exact");
    for case in list(&section, "cases") {
        let x: Vec<i16> = integers(&case["x"]);
        for (name, subtract_mean) in [("ln", true), ("rms", false)] {
            let case = &case[name];
            let channels: Vec<NormChannel> = list(case, "params")
                .iter()
                .map(|p| NormChannel::new(dyadic(&p[0], &p[1]), integer(&p[2])).unwrap())
                .collect();
            let by = LayerNorm {
                channels: &channels,
                epsilon: integer(&case["eps_int"]),
                subtract_mean,
                output: Output::bits(8),
            };
            for kernels in every_kernel() {
                let mut out = vec![0; x.len()];
                kernels.layer_norm_exact(&x, &by, &mut out);
                assert_eq!(out, integers::<i8>(&case["out"]), "{case}");
            }
        }
    }
}

#[test]
fn isqrt() {
    let section = golden("isqrt");
    let rows = list(&section, "rows");
    assert_eq!(rows.len(), 23);
    for row in rows {
        let value: u64 = row[0].as_u64().unwrap();
        assert_eq!(newton_sqrt(value, 10), integer::<u64>(&row[1]), "{row}");
        assert_eq!(value.isqrt(), integer::<u64>(&row[2]), "{row}");
        let steps: u32 = integer(&row[3]);
        let reached = |steps| {
            let (found, root) = (newton_sqrt(value, steps), value.isqrt());
            found == root || found == root + 1
        };
        if steps <= 16 {
            assert!(reached(steps) && (0..steps).all(|steps| !reached(steps)), "{row}");
        }
    }
}

fn ibert_exp(case: &Value, bits: u32) -> ibert::Exp {
    ibert::Exp::new(integer(&case["b"]), integer(&case["c"]), integer(&case["x0"]), bits).unwrap()
}

#[test]
fn ibert_iexp() {
    let section = golden("ibert_iexp");
    let exp = ibert_exp(&section, 30);
    let found: Vec<i64> =
        integers::<i64>(&section["q"]).into_iter().map(|q| exp.apply(q)).collect();
    assert_eq!(found, integers::<i64>(&section["out"]));
    assert_near_floats(&found, &section, 0.0025);
}

/// Results times their scale against the function itself.
#[expect(clippy::cast_precision_loss, reason = "a bound of three digits")]
fn assert_near_floats(found: &[i64], section: &Value, bound: f64) {
    for (&found, float) in found.iter().zip(numbers(&section["float"])) {
        let error = found as f64 * number(&section["scale"]) - float;
        assert!(error.abs() <= bound, "{found} against {float}");
    }
}

#[test]
fn ibert_igelu() {
    let section = golden("ibert_igelu");
    let [b, c, one] = ["b", "c", "shift"].map(|name| integer(&section[name]));
    let gelu = ibert::Gelu::new(b, c, one).unwrap();
    let found: Vec<i64> =
        integers::<i32>(&section["q"]).into_iter().map(|q| gelu.apply(q)).collect();
    assert_eq!(found, integers::<i64>(&section["out"]));
    assert_near_floats(&found, &section, 0.019);
}

#[test]
fn ibert_softmax() {
    let section = golden("ibert_softmax");
    let q: Vec<i32> = integers(&section["q"]);
    let exp = ibert_exp(&golden("ibert_iexp"), integer(&section["n"]));
    let max = *q.iter().max().unwrap();
    let exps: Vec<i64> = q.iter().map(|&q| exp.apply((q - max).into())).collect();
    assert_eq!(exps, integers::<i64>(&section["e"]));
    // The factor that brings exponentials to 16 bits: their scale by 1/32767.
    let factor = 0.358_151_47 * f64::from(0.004f32).powi(2) / f64::from(1 << 12) * 32767.0;
    let requantize = nearest_dyadic(factor);
    let mut out = vec![0; q.len()];
    ibert::softmax(&q, exp, requantize, 8, &mut out);
    assert_eq!(out, integers::<i16>(&section["out"]));
}

#[test]
fn index_softmax_of_32_exponentials() {
    let section = golden("index_softmax");
    let table: [u8; 32] = integers(&section["lut"]).try_into().unwrap();
    for case in list(&section, "cases") {
        let q: Vec<i32> = integers(&case["q"]);
        let mut out = vec![0; q.len()];
        index_softmax(&q, integer(&case["c_int"]), &table, &mut out);
        assert_eq!(out, integers::<u8>(&case["out"]), "{case}");
    }
}

/// `⌊one · e^(−d·scale) + ½⌋`
fn exponentials<T: TryFrom<i64> + std::fmt::Debug>(scale: f64, one: f64) -> [T; 256]
where
    T::Error: std::fmt::Debug,
{
    #[expect(clippy::cast_possible_truncation, reason = "at most 2^15")]
    let entry = |d: u16| (one * (-f64::from(d) * scale).exp() + 0.5).floor() as i64;
    let entries: Vec<T> = (0..256).map(|d| T::try_from(entry(d)).unwrap()).collect();
    entries.try_into().unwrap()
}

#[test]
fn softmax_lut() {
    let section = golden("softmax_lut");
    let table: [u16; 256] = exponentials(f64::from(0.05f32), 32768.0);
    assert_eq!(table[..], integers::<u16>(&section["E_table_S0.05"]));
    for case in list(&section, "cases") {
        let q: Vec<i8> = integers(&case["q"]);
        #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
        let scale = case["S"].as_f64().unwrap() as f32;
        let table = exponentials(scale.into(), 32768.0);
        for kernels in every_kernel() {
            let mut narrow = vec![0; q.len()];
            kernels.softmax_u8(&q, q.len(), &table, &mut narrow);
            assert_eq!(narrow, integers::<u8>(&case["u8"]), "{case}");
            let mut wide = vec![0; q.len()];
            kernels.softmax_u15(&q, q.len(), &table, &mut wide);
            assert_eq!(wide, integers::<i16>(&case["u15"]), "{case}");
        }
    }
}

/// The golden logits as keys, seen by queries of 1.
#[test]
fn attention_deferred() {
    let section = golden("attention_deferred");
    let logits: Vec<i8> = integers(&section["q"]);
    let values: Vec<i8> = integers(&section["V"]);
    let table: [u8; 256] = exponentials(f64::from(0.05f32), 255.0);
    let max = *logits.iter().max().unwrap();
    let seen: Vec<u8> =
        logits.iter().map(|&q| table[usize::from(max.wrapping_sub(q).cast_unsigned())]).collect();
    assert_eq!(seen, integers::<u8>(&section["E8"]));
    let mut qkv = Vec::new();
    for (&logit, v) in logits.iter().zip(values.chunks_exact(4)) {
        qkv.extend([1, 0, 0, 0, logit, 0, 0, 0]);
        qkv.extend(v);
    }
    let attention = Attention {
        heads: 1,
        head_dim: 4,
        scores: Dyadic::ONE,
        softmax: Softmax::Deferred(&table),
        values: dyadic(&section["m"], &section["e"]),
        output: Output::bits(8),
    };
    for kernels in every_kernel() {
        let mut out = vec![0; 4 * logits.len()];
        kernels.attention(&qkv, 0, &attention, &mut AttentionScratch::default(), &mut out);
        for row in out.chunks_exact(4) {
            assert_eq!(row, integers::<i8>(&section["out"]));
        }
    }
}

#[test]
fn lut_unary() {
    let section = golden("lut_unary");
    let x: Vec<i8> = (i8::MIN..=i8::MAX).collect();
    for name in ["gelu", "silu", "sigmoid", "tanh"] {
        let entries: Vec<i8> = integers(&section[name]["table"]);
        let table: [i8; 256] = entries.try_into().unwrap();
        for kernels in every_kernel() {
            let mut out = vec![0; 256];
            kernels.lookup(&x, &table, &mut out);
            assert_eq!(out, table, "{name}");
        }
    }
}

#[test]
fn dfp16() {
    let section = golden("dfp16");
    let (a, b): (Vec<i16>, Vec<i16>) = (integers(&section["ia"]), integers(&section["ib"]));
    let exponent = integer::<i32>(&section["Ea"]) + integer::<i32>(&section["Eb"]);
    assert_eq!(exponent, integer::<i32>(&section["acc_exp"]));
    let mut products = vec![0; a.len()];
    dfp::multiply(&a, &b, &mut products);
    assert_eq!(products, integers::<i32>(&section["products"]));
    let sums: Vec<i64> = integers(&section["acc"]);
    for (&sum, overflows) in sums.iter().zip(list(&section, "overflow_i32")) {
        assert_eq!(i32::try_from(sum).is_err(), *overflows, "{sum}");
    }
    for kernels in every_kernel() {
        let found = [
            kernels.dot_dfp16(&a[..4], &b[..4]),
            kernels.dot_dfp16(&a[4..], &b[4..]),
            kernels.dot_dfp16(&a, &b),
        ];
        assert_eq!(found[..], sums);
    }
    let mut down = vec![0; sums.len()];
    let exponent = dfp::down_convert(&sums, exponent, &mut down);
    assert_eq!(exponent, integer::<i32>(&section["down"]["E"]));
    assert_eq!(down, integers::<i16>(&section["down"]["i16"]));
}
