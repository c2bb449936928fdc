//! Every kernel of the integer-only path returns the bits of the specification, at all tails, against guard pages on both sides.

use std::cell::RefCell;

use dyadic_kernels::integer::attention::{Attention, AttentionScratch, Softmax};
use dyadic_kernels::integer::convolution::{Conv2d, ConvolutionWeights};
use dyadic_kernels::integer::elementwise::{Add, Multiply};
use dyadic_kernels::integer::linear::{Linear, LinearOutput, LinearWeights, WeightBits};
use dyadic_kernels::integer::norm::{LayerNorm, NormChannel, Root};
use dyadic_kernels::integer::pool::{Average, Window};
use dyadic_kernels::integer::requantize::Requantize;
use dyadic_kernels::integer::shift_exp::ShiftExp;
use dyadic_kernels::integer::{Dyadic, Output, Rounding};
use dyadic_kernels::{Isa, Kernels};
use dyadic_testkit::guard::Flush;
use dyadic_testkit::{Guarded, Rng};

const TAILS: std::ops::RangeInclusive<usize> = 0..=67;

/// Integers as wide as `T`, a quarter of them the least or the greatest.
trait Any: Copy + Default + PartialEq + std::fmt::Debug {
    fn any(rng: &mut Rng) -> Self;
}

macro_rules! any {
    ($($ty:ty),*) => {$(
        impl Any for $ty {
            #[expect(clippy::cast_possible_truncation, reason = "any bits")]
            #[allow(clippy::cast_lossless, reason = "one macro for all types")]
            fn any(rng: &mut Rng) -> Self {
                match rng.below(8) {
                    0 => <$ty>::MIN,
                    1 => <$ty>::MAX,
                    _ => rng.next_u64() as Self,
                }
            }
        }
    )*};
}

any!(i8, u8, i16, i32);

fn vector<T: Any>(rng: &mut Rng, len: usize) -> Vec<T> {
    (0..len).map(|_| T::any(rng)).collect()
}

/// A factor from 2^-40 to 2^3, of any sign: tiles of one kind and mixed ones.
fn scale(rng: &mut Rng) -> Dyadic {
    let multiplier = i32::any(rng) | 1 << 29;
    Dyadic::new(multiplier, 28 + u32::from(rng.next_u8() % 35)).unwrap()
}

/// Runs `op` on every instruction set with `x` and the result against guard pages, and compares with the scalar kernels.
fn check<I: Any, O: Any>(name: &str, x: &[I], len: usize, op: impl Fn(&Kernels, &[I], &mut [O])) {
    let mut expected = vec![O::default(); len];
    op(Kernels::for_isa(Isa::Scalar).unwrap(), x, &mut expected);
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        for flush in Flush::BOTH {
            let x = Guarded::new(x, flush);
            let mut out = Guarded::filled(O::default(), len, flush);
            op(kernels, &x, &mut out);
            assert!(*out == expected[..], "{name} of {} on {isa}, {flush:?}", x.len());
        }
    }
}

fn linear_case<O: LinearOutput + Any>(
    rng: &mut Rng,
    [rows, columns, tokens]: [usize; 3],
    bits: WeightBits,
    output: Output,
) {
    let max = i16::from(bits.max());
    let any = |rng: &mut Rng| i8::any(rng).clamp(-bits.max(), bits.max());
    let narrow = |rng: &mut Rng| i8::try_from(i16::from(rng.next_i8()) % (max + 1)).unwrap();
    let weights: Vec<i8> = (0..rows * columns)
        .map(|_| if rng.below(2) == 0 { any(rng) } else { narrow(rng) })
        .collect();
    let bias: Vec<i32> = (0..rows).map(|_| i32::any(rng) >> 4).collect();
    // In every other case all shifts are above 31: the short way of AVX-512.
    let short = rng.below(2) == 0;
    let scales: Vec<Dyadic> = (0..rows)
        .map(|_| {
            let scale = scale(rng);
            if short {
                Dyadic::new(scale.multiplier(), scale.shift().max(32)).unwrap()
            } else {
                scale
            }
        })
        .collect();
    let shape = [rows, columns];
    let linear = Linear { shape, weights: &weights, bits, bias: &bias, scales: &scales, output };
    let packed = LinearWeights::<O>::new(&linear).unwrap();
    let x: Vec<i8> = vector(rng, tokens * columns);
    let mut exact = vec![O::default(); tokens * rows];
    for (x, out) in x.chunks_exact(columns).zip(exact.chunks_exact_mut(rows)) {
        for (row, out) in out.iter_mut().enumerate() {
            let products = weights[row * columns..][..columns].iter().zip(x);
            let sum: i32 = products.map(|(&w, &x)| i32::from(w) * i32::from(x)).sum();
            *out = output.finish(scales[row].apply(bias[row] + sum));
        }
    }
    let name = format!("linear {rows} x {columns}, {tokens} tokens, {bits:?}");
    check(&name, &x, tokens * rows, |kernels, x, out: &mut [O]| {
        kernels.linear(&packed, x, out);
        assert!(*out == exact[..], "{name} on {}", kernels.isa());
    });
}

#[test]
fn linear_at_all_shapes() {
    let mut rng = Rng::new(71);
    let bytes = Output::bits(8);
    for bits in [WeightBits::Eight, WeightBits::Four] {
        for size in 1..=67 {
            linear_case::<i8>(&mut rng, [33, size, 7], bits, bytes);
            linear_case::<i16>(&mut rng, [size, 20, 3], bits, Output::bits(16));
            linear_case::<i32>(&mut rng, [size, 9, 1], bits, Output::bits(32));
        }
        for tokens in 1..=14 {
            let output = Output { zero_point: -3, min: -3, max: 100 };
            linear_case::<i8>(&mut rng, [80, 24, tokens], bits, output);
            linear_case::<i16>(&mut rng, [16, 8, tokens], bits, Output::bits(8).relu());
        }
    }
}

/// The longest rows that are allowed, of the largest numbers of either sign: nothing wraps.
/// A convolution by its definition, before the change of scale.
fn convolved(c: &Conv2d, weights: &[i8], bias: i32, x: &[i8], position: usize) -> i32 {
    let width = c.output()[1];
    let mut sum = bias;
    for (at, &weight) in weights.iter().enumerate() {
        let (channel, dx) = (at % c.channels, at / c.channels % c.kernel[1]);
        let dy = at / c.channels / c.kernel[1];
        let row = (position / width * c.stride[0] + dy).wrapping_sub(c.padding[0]);
        let column = (position % width * c.stride[1] + dx).wrapping_sub(c.padding[1]);
        if row < c.input[0] && column < c.input[1] {
            let x = x[(row * c.input[1] + column) * c.channels + channel];
            sum += i32::from(weight) * i32::from(x);
        }
    }
    sum
}

#[test]
fn convolutions_follow_their_definition() {
    let mut rng = Rng::new(17);
    for (channels, kernel, stride, padding) in [
        (1, [3, 3], [1, 1], [1, 1]),
        (3, [3, 3], [2, 2], [1, 1]),
        (4, [1, 1], [2, 3], [0, 0]),
        (5, [2, 4], [1, 2], [0, 3]),
        (32, [3, 1], [3, 1], [2, 0]),
    ] {
        let c = Conv2d { input: [7, 9], channels, kernel, stride, padding };
        let (rows, columns, positions) = (19, c.columns(), c.output()[0] * c.output()[1]);
        let x: Vec<i8> = vector(&mut rng, 63 * channels);
        let mut padded = vec![99; c.padded_len()];
        c.pad(&x, &mut padded);
        for bits in [WeightBits::Eight, WeightBits::Four] {
            let max = bits.max();
            let weights: Vec<i8> =
                (0..rows * columns).map(|_| rng.next_i8().clamp(-max, max)).collect();
            let bias: Vec<i32> = (0..rows).map(|_| i32::any(&mut rng) >> 8).collect();
            let scales: Vec<Dyadic> = (0..rows).map(|_| scale(&mut rng)).collect();
            let (shape, output) = ([rows, columns], Output::bits(32));
            let linear =
                Linear { shape, weights: &weights, bits, bias: &bias, scales: &scales, output };
            let packed = ConvolutionWeights::<i32>::new(&linear, c).unwrap();
            for first in [0, 1, c.output()[1] + 1, positions] {
                let expected: Vec<i32> = (first..positions)
                    .flat_map(|position| (0..rows).map(move |row| (position, row)))
                    .map(|(position, row)| {
                        let weights = &weights[row * columns..][..columns];
                        let sum = convolved(&c, weights, bias[row], &x, position);
                        output.finish(scales[row].apply(sum))
                    })
                    .collect();
                let name = format!("{c:?} from {first}");
                check::<i8, i32>(&name, &padded, expected.len(), |kernels, padded, out| {
                    kernels.conv2d(&packed, padded, first, out);
                    assert!(*out == expected[..], "{name} on {}", kernels.isa());
                });
            }
        }
    }
}

#[test]
fn linear_of_extremes_does_not_wrap() {
    let columns = 132_000;
    for (weight, x) in [(127, -128), (-127, -128), (127, 127), (-127, 127)] {
        let weights = vec![weight; columns];
        let bias = i32::MAX - 127 * 128 * 132_000;
        for bias in [bias, -bias] {
            let scales = [Dyadic::ONE];
            let shape = [1, columns];
            let linear = Linear {
                shape,
                weights: &weights,
                bits: WeightBits::Eight,
                bias: &[bias],
                scales: &scales,
                output: Output::bits(32),
            };
            let packed = LinearWeights::<i32>::new(&linear).unwrap();
            let exact = i64::from(weight) * i64::from(x) * 132_000 + i64::from(bias);
            for isa in Isa::supported() {
                let mut out = [0];
                let kernels = Kernels::for_isa(isa).unwrap();
                kernels.linear(&packed, &vec![x; columns], &mut out);
                assert_eq!(i64::from(out[0]), exact, "{isa}");
            }
        }
        let linear = Linear {
            shape: [1, columns],
            weights: &weights,
            bits: WeightBits::Eight,
            bias: &[bias + 1],
            scales: &[Dyadic::ONE],
            output: Output::bits(32),
        };
        assert!(LinearWeights::<i32>::new(&linear).is_err());
    }
}

#[test]
fn changes_of_scale() {
    let mut rng = Rng::new(72);
    for rounding in [Rounding::Up, Rounding::Even] {
        for len in TAILS {
            for channels in [1, len.max(1)] {
                let scales: Vec<Dyadic> = (0..channels).map(|_| scale(&mut rng)).collect();
                let by = |bits| {
                    let output = Output { zero_point: 3, ..Output::bits(bits) };
                    Requantize { scales: &scales, rounding, output }
                };
                let (bytes, words, longs): (Vec<i8>, Vec<i16>, Vec<i32>) =
                    (vector(&mut rng, len), vector(&mut rng, len), vector(&mut rng, len));
                let name = "requantize";
                check(name, &bytes, len, |k, x, out: &mut [i8]| k.requantize(x, &by(4), out));
                check(name, &bytes, len, |k, x, out: &mut [i16]| k.requantize(x, &by(16), out));
                check(name, &words, len, |k, x, out: &mut [i8]| k.requantize(x, &by(8), out));
                check(name, &words, len, |k, x, out: &mut [i16]| k.requantize(x, &by(16), out));
                check(name, &longs, len, |k, x, out: &mut [i8]| k.requantize(x, &by(8), out));
                check(name, &longs, len, |k, x, out: &mut [i16]| k.requantize(x, &by(16), out));
                check(name, &longs, len, |k, x, out: &mut [i32]| k.requantize(x, &by(32), out));
            }
        }
    }
}

#[test]
fn elements() {
    let mut rng = Rng::new(73);
    for len in TAILS {
        let (a, b): (Vec<i8>, Vec<i8>) = (vector(&mut rng, len), vector(&mut rng, len));
        let (c, d): (Vec<i16>, Vec<i16>) = (vector(&mut rng, len), vector(&mut rng, len));
        for _ in 0..2 {
            let (x, y) = (scale(&mut rng), scale(&mut rng));
            let add = |bits| Add { x, y, output: Output::bits(bits) };
            let multiply = |bits| Multiply { scale: x, output: Output::bits(bits) };
            check("add", &a, len, |k, x, out| k.add_quantized(x, &b, &add(8), out));
            check("add", &c, len, |k, x, out| k.add_quantized(x, &d, &add(16), out));
            check("multiply", &a, len, |k, x, out| k.multiply_quantized(x, &b, &multiply(8), out));
            check("multiply", &c, len, |k, x, out| k.multiply_quantized(x, &d, &multiply(16), out));
        }
        check("clamp", &a, len, |k, x, out| k.clamp_quantized(x, 0, 100, out));
        check("clamp", &c, len, |k, x, out| k.clamp_quantized(x, -5, 1000, out));
        check("dot", &c, 1, |k, x, out: &mut [i32]| {
            let sum = k.dot_dfp16(x, &d);
            let exact: i64 = x.iter().zip(&d).map(|(&x, &y)| i64::from(x) * i64::from(y)).sum();
            assert_eq!(sum, exact);
            out[0] = 0;
        });
    }
}

#[test]
fn lookups() {
    let mut rng = Rng::new(74);
    let table: [i8; 256] = vector(&mut rng, 256).try_into().unwrap();
    let knots: [i16; 513] = vector(&mut rng, 513).try_into().unwrap();
    for len in TAILS.chain([128, 200, 1000]) {
        let (x, wide): (Vec<i8>, Vec<i16>) = (vector(&mut rng, len), vector(&mut rng, len));
        check("lookup", &x, len, |k, x, out| k.lookup(x, &table, out));
        check("lookup_i16", &wide, len, |k, x, out| k.lookup_i16(x, &knots, out));
    }
}

#[test]
fn norms() {
    let mut rng = Rng::new(75);
    for width in 1..=67 {
        let channels: Vec<NormChannel> = (0..width)
            .map(|_| NormChannel::new(scale(&mut rng), i64::from(i32::any(&mut rng)) << 8).unwrap())
            .collect();
        let bias: Vec<i32> = vector(&mut rng, width);
        let (bytes, words): (Vec<i8>, Vec<i16>) =
            (vector(&mut rng, 11 * width), vector(&mut rng, 11 * width));
        for subtract_mean in [true, false] {
            let output = Output::bits(8);
            let by = LayerNorm { channels: &channels, epsilon: 5, subtract_mean, output };
            check("layer norm", &bytes, 11 * width, |k, x, out| k.layer_norm_exact(x, &by, out));
            check("layer norm", &words, 11 * width, |k, x, out| k.layer_norm_exact(x, &by, out));
        }
        for root in [Root::TenSteps, Root::Exact] {
            let len = 11 * width;
            check("i layer norm", &bytes, len, |k, x, out| k.i_layer_norm(x, &bias, root, out));
            check("i layer norm", &words, len, |k, x, out| k.i_layer_norm(x, &bias, root, out));
        }
    }
}

/// The longest row of the largest numbers, with the largest constants: nothing wraps.
#[test]
fn norms_of_extremes_do_not_wrap() {
    let scale = Dyadic::new(i32::MAX, 46).unwrap();
    for offset in [(1 << 62) - 1, -(1 << 62) + 1] {
        let channels = vec![NormChannel::new(scale, offset).unwrap(); 4096];
        for pattern in [[i16::MIN, i16::MAX], [i16::MIN, i16::MIN], [i16::MAX, i16::MAX], [0, 1]] {
            let x: Vec<i16> = pattern.iter().copied().cycle().take(4096).collect();
            for (subtract_mean, epsilon) in [(true, 0), (true, 1 << 54), (false, 0)] {
                let output = Output::bits(8);
                let by = LayerNorm { channels: &channels, epsilon, subtract_mean, output };
                check("layer norm", &x, 4096, |k, x, out| k.layer_norm_exact(x, &by, out));
            }
            check("i layer norm", &x, 4096, |k, x, out| {
                k.i_layer_norm(x, &[i32::MAX; 4096], Root::Exact, out);
            });
        }
    }
}

fn exponentials(one: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(one), |&e| Some(e * 15 / 16)).take(256)
}

#[test]
fn softmaxes() {
    let mut rng = Rng::new(76);
    let table: Vec<u16> = exponentials(1 << 15).map(|e| u16::try_from(e).unwrap()).collect();
    let table: [u16; 256] = table.try_into().unwrap();
    for width in 1..=67 {
        let x: Vec<i8> = vector(&mut rng, 3 * width);
        check("u8", &x, x.len(), |k, x, out: &mut [u8]| k.softmax_u8(x, width, &table, out));
        check("u15", &x, x.len(), |k, x, out: &mut [i16]| k.softmax_u15(x, width, &table, out));
        for one in [1, 7, 20, 300, 65_535] {
            let exp = ShiftExp::new(one, 15).unwrap();
            check("shiftmax", &x, x.len(), |k, x, out: &mut [i8]| {
                k.shiftmax_i8(x, width, exp, out);
            });
            check("shiftmax", &x, x.len(), |k, x, out: &mut [i16]| {
                k.shiftmax_i16(x, width, exp, out);
            });
        }
    }
}

#[test]
fn attentions() {
    let mut rng = Rng::new(77);
    let deferred: Vec<u8> = exponentials(255).map(|e| u8::try_from(e).unwrap()).collect();
    let deferred: [u8; 256] = deferred.try_into().unwrap();
    let table: Vec<u16> = exponentials(1 << 15).map(|e| u16::try_from(e).unwrap()).collect();
    let table: [u16; 256] = table.try_into().unwrap();
    let exp = ShiftExp::new(20, 15).unwrap();
    let scratch = RefCell::new(AttentionScratch::default());
    let softmaxes = [
        (Softmax::Deferred(&deferred), 31),
        (Softmax::U15(&table), 46),
        (Softmax::Shiftmax16(exp), 46),
        (Softmax::Shiftmax8(exp), 38),
    ];
    for tokens in 1..=67 {
        let (heads, head_dim) = (1 + tokens % 3, 1 + tokens % 19);
        let x: Vec<i8> = vector(&mut rng, 3 * tokens * heads * head_dim);
        for (softmax, shift) in softmaxes {
            let attention = Attention {
                heads,
                head_dim,
                scores: Dyadic::new(1 << 30, 38).unwrap(),
                softmax,
                values: Dyadic::new(if tokens % 2 == 0 { 1 << 30 } else { -(1 << 30) }, shift)
                    .unwrap(),
                output: Output::bits(8),
            };
            check("attention", &x, tokens * heads * head_dim, |k, x, out| {
                k.attention(x, 0, &attention, &mut AttentionScratch::default(), out);
            });
            // Some of the queries, in memory that a head of another shape has left.
            let first = tokens / 3;
            let len = (tokens - first) * heads * head_dim;
            let whole = |k: &Kernels| {
                let mut out = vec![0; tokens * heads * head_dim];
                k.attention(&x, 0, &attention, &mut AttentionScratch::default(), &mut out);
                out.split_off(first * heads * head_dim)
            };
            check("attention of some queries", &x, len, |k, x, out| {
                k.attention(x, first, &attention, &mut scratch.borrow_mut(), out);
                assert_eq!(*out, whole(k));
            });
        }
    }
}

#[test]
fn pools() {
    let mut rng = Rng::new(78);
    for channels in 1..=67 {
        let window = Window { input: [5, 7], channels, window: [3, 2], stride: [2, 1] };
        let x: Vec<i8> = vector(&mut rng, window.input_len().unwrap());
        let len = 2 * 6 * channels;
        check("max", &x, len, |k, x, out| k.max_pool(x, &window, out));
        let scale = scale(&mut rng);
        for average in [Average::SameScale, Average::Requantize { scale, output: Output::bits(8) }]
        {
            check("average", &x, len, |k, x, out| k.average_pool(x, &window, &average, out));
        }
    }
}
