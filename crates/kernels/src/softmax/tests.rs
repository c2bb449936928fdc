use dyadic_testkit::guard::{Flush, Guarded};
use dyadic_testkit::{Rng, cases, reference, ulp};
use half::{bf16, f16};

use super::{
    Algorithm, EXP_SCALE, EXP_STORE, EXP_SUM, EXT_EXP_SCALE, EXT_EXP_SUM, EmptyRow, InfiniteRow,
    MAX, Mask, NARROW_U8, ONLINE_SUM, Pair, SCALE, SUBTRACT, SoftmaxOptions, Source, Target,
    WIDEN_I8, scalar, serial,
};
use crate::{Isa, Kernels};

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::TwoPass, Algorithm::Recompute, Algorithm::Reload, Algorithm::Online];

/// Chunks of every tail length, of ordinary and of odd elements.
fn chunks(rng: &mut Rng) -> Vec<Vec<f32>> {
    let mut chunks = Vec::new();
    for len in cases::lengths().filter(|&len| len <= 4096) {
        let sigma = [0.1, 1.0, 10.0, 100.0, 1000.0][len % 5];
        chunks.push(rng.normal_vec(len, sigma));
        chunks.push(vec![-200.0; len]);
        if len % 7 == 0 {
            chunks.push(rng.special_vec(len));
            chunks.push(vec![f32::NEG_INFINITY; len]);
        }
    }
    chunks
}

fn assert_same_pair(actual: Pair, expected: Pair, context: &str) {
    let bits = |pair: Pair| [pair.sum.to_bits(), pair.exponent.to_bits()];
    assert_eq!(bits(actual), bits(expected), "{context}: {actual:?}, expected {expected:?}");
}

#[test]
fn reducing_kernels_equal_the_scalar_ones() {
    for x in chunks(&mut Rng::new(1)) {
        let max = scalar::max(&x);
        for flush in Flush::BOTH {
            let x = Guarded::new(&x, flush);
            // SAFETY (all calls): the CPU supports the kernel.
            for kernel in MAX.supported() {
                // SAFETY: as above.
                let actual = unsafe { (kernel.function)(&x) };
                assert!(actual == max, "{} {}: {actual} {max}", kernel.name, x.len());
            }
            for kernel in EXT_EXP_SUM.supported() {
                // SAFETY: as above.
                let actual = unsafe { (kernel.function)(&x) };
                assert_same_pair(actual, scalar::ext_exp_sum(&x), kernel.name);
            }
            for kernel in ONLINE_SUM.supported() {
                // SAFETY: as above.
                let actual = unsafe { (kernel.function)(&x) };
                assert_same_pair(actual, scalar::online_sum(&x), kernel.name);
            }
            for kernel in EXP_SUM.supported() {
                // SAFETY: as above.
                let actual = unsafe { (kernel.function)(&x, max) };
                ulp::assert_same_bits(&[actual], &[scalar::exp_sum(&x, max)], kernel.name);
            }
        }
    }
}

#[test]
fn mapping_kernels_equal_the_scalar_ones() {
    for x in chunks(&mut Rng::new(2)) {
        let max = scalar::max(&x);
        let mut expected = vec![0.0; x.len()];
        for flush in Flush::BOTH {
            let guarded = Guarded::new(&x, flush);
            let mut out = Guarded::filled(7.0, x.len(), flush);
            // The exponent of the sum is that of its largest term.
            let (_, exponent) = scalar::bounded_ext_exp(max);
            scalar::ext_exp_scale(&x, 0.3, exponent, &mut expected);
            for kernel in EXT_EXP_SCALE.supported() {
                // SAFETY: the CPU supports the kernel, and the lengths are equal.
                unsafe { (kernel.function)(&guarded, 0.3, exponent, &mut out) };
                ulp::assert_same_bits(&out, &expected, kernel.name);
            }
            scalar::exp_scale(&x, max, 0.3, &mut expected);
            for kernel in EXP_SCALE.supported() {
                // SAFETY: as above.
                unsafe { (kernel.function)(&guarded, max, 0.3, &mut out) };
                ulp::assert_same_bits(&out, &expected, kernel.name);
            }
            let sum = scalar::exp_store(&x, max, &mut expected);
            for kernel in EXP_STORE.supported() {
                // SAFETY: as above.
                let actual = unsafe { (kernel.function)(&guarded, max, &mut out) };
                ulp::assert_same_bits(&out, &expected, kernel.name);
                ulp::assert_same_bits(&[actual], &[sum], kernel.name);
            }
            scalar::subtract(&x, 3.0, 1e-7, &mut expected);
            for kernel in SUBTRACT.supported() {
                // SAFETY: as above.
                unsafe { (kernel.function)(&guarded, 3.0, 1e-7, &mut out) };
                ulp::assert_same_bits(&out, &expected, kernel.name);
            }
            expected.copy_from_slice(&x);
            scalar::scale(&mut expected, -1.3);
            for kernel in SCALE.supported() {
                let mut x = Guarded::new(&x, flush);
                // SAFETY: as above.
                unsafe { (kernel.function)(&mut x, -1.3) };
                ulp::assert_same_bits(&x, &expected, kernel.name);
            }
        }
    }
}

#[test]
fn converting_kernels_equal_the_scalar_ones() {
    let mut rng = Rng::new(3);
    for len in cases::lengths().filter(|&len| len <= 4096) {
        let integers: Vec<i8> = (0..len).map(|_| rng.next_i8()).collect();
        let probabilities: Vec<f32> = (0..len)
            .map(|i| match i % 9 {
                0 => f32::NAN,
                1 => 0.5 / 255.0,
                2 => [0.0, -0.0, 1.0, 1e-40][i % 4],
                _ => rng.uniform(0.0, 1.0),
            })
            .collect();
        for flush in Flush::BOTH {
            for scale in [0.03, f32::INFINITY] {
                let mut expected = vec![0.0; len];
                scalar::widen_i8(&integers, scale, &mut expected);
                let x = Guarded::new(&integers, flush);
                for kernel in WIDEN_I8.supported() {
                    let mut out = Guarded::filled(7.0, len, flush);
                    // SAFETY: the CPU supports the kernel, and the lengths are equal.
                    unsafe { (kernel.function)(&x, scale, &mut out) };
                    ulp::assert_same_bits(&out, &expected, kernel.name);
                }
            }
            let mut expected = vec![0; len];
            scalar::narrow_u8(&probabilities, &mut expected);
            let x = Guarded::new(&probabilities, flush);
            for kernel in NARROW_U8.supported() {
                let mut out = Guarded::filled(7, len, flush);
                // SAFETY: the CPU supports the kernel, and the lengths are equal.
                unsafe { (kernel.function)(&x, &mut out) };
                assert_eq!(*out, *expected, "{}", kernel.name);
            }
        }
    }
}

fn softmax(kernels: &Kernels, x: &[f32], options: &SoftmaxOptions<'_>) -> Vec<f32> {
    let mut out = vec![7.0; x.len()];
    kernels.softmax(Source::F32(x), Target::F32(&mut out), options, &serial);
    out
}

fn kernels() -> &'static Kernels {
    Kernels::for_isa(Isa::best()).unwrap()
}

fn with(algorithm: Algorithm) -> SoftmaxOptions<'static> {
    SoftmaxOptions { algorithm: Some(algorithm), ..SoftmaxOptions::default() }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn algorithms_keep_their_error_bounds() {
    let mut rng = Rng::new(3);
    for algorithm in ALGORITHMS {
        let bound = if algorithm == Algorithm::TwoPass { 1e-6 } else { 5e-6 };
        for sigma in [0.1, 1.0, 4.0, 10.0, 100.0, 1000.0] {
            for len in [1, 2, 63, 1000, 4096, 4097, 100_000] {
                let x = rng.normal_vec(len, sigma);
                let out = softmax(kernels(), &x, &with(algorithm));
                let exact = reference::softmax(&wide(&x));
                // Probabilities below the normal numbers become zero.
                let error = ulp::max_relative_error(&out, &exact, 1.3e-38 / bound);
                assert!(error < bound, "{algorithm:?} {sigma} {len}: {error}");
                let total = reference::sum(wide(&out));
                assert!((total - 1.0).abs() < 1e-6 + reference::sum(vec![6e-8; len]), "{total}");
            }
        }
    }
}

#[test]
fn a_constant_may_be_added() {
    let mut rng = Rng::new(4);
    let x: Vec<f32> =
        rng.normal_vec(1000, 4.0).iter().map(|x| (x * 256.0).round() / 256.0).collect();
    let shifted: Vec<f32> = x.iter().map(|x| x + 64.0).collect();
    for algorithm in ALGORITHMS {
        let (a, b) = (
            softmax(kernels(), &x, &with(algorithm)),
            softmax(kernels(), &shifted, &with(algorithm)),
        );
        let distance = a.iter().zip(&b).map(|(&a, &b)| ulp::distance_f32(a, b)).max();
        assert!(distance <= Some(6), "{algorithm:?}: {distance:?}");
    }
}

/// Elements beyond the domain of the extended exponential: two-pass subtracts the maximum there.
#[test]
fn huge_elements_are_not_clamped_together() {
    for algorithm in ALGORITHMS {
        for base in [3e6f32, -3e6, 1e5, -1e5] {
            let out = softmax(kernels(), &[base, base - 1.0], &with(algorithm));
            assert!((out[0] - 0.731_058_6).abs() < 1e-6, "{algorithm:?} {base}: {out:?}");
        }
        let out = softmax(kernels(), &[-3.4e38, 0.0, f32::NEG_INFINITY], &with(algorithm));
        assert_eq!(out, [0.0, 1.0, 0.0]);
        let out = softmax(kernels(), &[f32::MAX, f32::MIN], &with(algorithm));
        assert_eq!(out, [1.0, 0.0]);
    }
}

#[test]
fn special_rows() {
    for algorithm in ALGORITHMS {
        let mut options = with(algorithm);
        assert!(softmax(kernels(), &[], &options).is_empty());
        for x in [-12.5, 0.0, 3.7, 1e30] {
            assert_eq!(softmax(kernels(), &[x], &options), [1.0]);
        }
        let fifths = softmax(kernels(), &[-200.0; 5], &options);
        assert!(fifths.iter().all(|y| ulp::distance_f32(*y, 0.2) <= 1), "{fifths:?}");
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = vec![1.0; 5000];
            x[4321] = bad;
            let out = softmax(kernels(), &x, &options);
            assert!(out.iter().all(|y| y.to_bits() == 0x7FC0_0000), "{algorithm:?} {bad}");
        }
        let hidden = [f32::NEG_INFINITY; 4];
        assert_eq!(softmax(kernels(), &hidden, &options), [0.0; 4]);
        options.empty_row = EmptyRow::Uniform;
        assert_eq!(softmax(kernels(), &hidden, &options), [0.25; 4]);
        options.empty_row = EmptyRow::Nan;
        assert!(softmax(kernels(), &hidden, &options).iter().all(|y| y.is_nan()));
        options.sink = Some(0.0);
        assert_eq!(softmax(kernels(), &hidden, &options), [0.0; 4]);
        assert_eq!(softmax(kernels(), &[0.0], &options), [0.5]);
    }
}

#[test]
fn infinite_elements_share_the_row_where_asked() {
    let infinity = f32::INFINITY;
    for algorithm in ALGORITHMS {
        let options = SoftmaxOptions { infinite_row: InfiniteRow::OneHot, ..with(algorithm) };
        assert_eq!(
            softmax(kernels(), &[1.0, infinity, f32::NEG_INFINITY], &options),
            [0.0, 1.0, 0.0]
        );
        let mut x = vec![3.0; 9000];
        (x[5], x[8000]) = (infinity, infinity);
        let out = softmax(kernels(), &x, &options);
        assert!(
            out.iter().enumerate().all(|(i, &y)| y == if i == 5 || i == 8000 { 0.5 } else { 0.0 })
        );
        let mut in_place = x.clone();
        kernels().softmax_in_place(&mut in_place, &options, &serial);
        assert_eq!(in_place, out);
        let mut logarithm = vec![7.0; x.len()];
        kernels().log_softmax(Source::F32(&x), Target::F32(&mut logarithm), &options, &serial);
        assert!(logarithm.iter().zip(&out).all(|(log, y)| *log == y.ln()));
        // A sink takes its share, a NaN still spoils the row.
        let sink = SoftmaxOptions { sink: Some(infinity), ..options };
        assert_eq!(softmax(kernels(), &[infinity, 0.0], &sink), [0.5, 0.0]);
        assert_eq!(softmax(kernels(), &[2.0, 0.0], &sink), [0.0, 0.0]);
        x[7] = f32::NAN;
        assert!(softmax(kernels(), &x, &options).iter().all(|y| y.is_nan()));
    }
}

/// Many chunks, run in any order: the same bits; and those of the scalar kernels, in place and not.
#[test]
fn threads_isa_and_place_do_not_matter() {
    let mut rng = Rng::new(5);
    let x = rng.normal_vec(300_001, 10.0);
    let backwards = |tasks: usize, body: &(dyn Fn(usize) + Sync)| (0..tasks).rev().for_each(body);
    for algorithm in ALGORITHMS {
        let options = with(algorithm);
        let expected = softmax(Kernels::for_isa(Isa::Scalar).unwrap(), &x, &options);
        for isa in Isa::supported() {
            let kernels = Kernels::for_isa(isa).unwrap();
            let mut out = vec![7.0; x.len()];
            kernels.softmax(Source::F32(&x), Target::F32(&mut out), &options, &backwards);
            ulp::assert_same_bits(&out, &expected, algorithm.name());
            let mut out = x.clone();
            kernels.softmax_in_place(&mut out, &options, &backwards);
            ulp::assert_same_bits(&out, &expected, algorithm.name());
        }
    }
    assert_eq!(
        softmax(kernels(), &x, &with(Algorithm::Recompute)),
        softmax(kernels(), &x, &with(Algorithm::Reload))
    );
}

#[test]
fn scale_cap_and_mask_are_applied_in_order() {
    let mut rng = Rng::new(6);
    let x = rng.normal_vec(5000, 2.0);
    let additive: Vec<f32> =
        (0..5000).map(|i| [0.0, -1.5, f32::NEG_INFINITY, -3.4e38][i % 4]).collect();
    let keep: Vec<u8> = (0..5000).map(|i| u8::from(i % 3 != 0)).collect();
    for algorithm in ALGORITHMS {
        for (mask, masked) in [
            (
                Mask::Additive(&additive),
                Box::new(|i: usize, x: f64| x + f64::from(additive[i]))
                    as Box<dyn Fn(usize, f64) -> f64>,
            ),
            (
                Mask::Keep(&keep),
                Box::new(|i: usize, x: f64| if keep[i] == 0 { f64::NEG_INFINITY } else { x }),
            ),
        ] {
            let options =
                SoftmaxOptions { scale: 3.0, soft_cap: Some(5.0), mask, ..with(algorithm) };
            let exact: Vec<f64> = x
                .iter()
                .enumerate()
                .map(|(i, &x)| masked(i, 5.0 * (f64::from(x) * 3.0 / 5.0).tanh()))
                .collect();
            let exact = reference::softmax(&exact);
            let out = softmax(kernels(), &x, &options);
            let error = ulp::max_relative_error(&out, &exact, 1e-30);
            assert!(error < 5e-6, "{algorithm:?}: {error}");
            let mut in_place = x.clone();
            kernels().softmax_in_place(&mut in_place, &options, &serial);
            ulp::assert_same_bits(&in_place, &out, "in place");
        }
    }
}

#[test]
fn narrow_types_round_the_f32_result() {
    let mut rng = Rng::new(7);
    let half: Vec<u16> =
        rng.normal_vec(9000, 2.0).iter().map(|&x| f16::from_f32(x).to_bits()).collect();
    for (len, algorithm) in [9000, 700].into_iter().flat_map(|len| ALGORITHMS.map(|a| (len, a))) {
        let half = &half[..len];
        let single: Vec<f32> = half.iter().map(|&x| f16::from_bits(x).to_f32()).collect();
        let options = with(algorithm);
        let expected = softmax(kernels(), &single, &options);
        let mut out = vec![0; half.len()];
        kernels().softmax(Source::F16(half), Target::F16(&mut out), &options, &serial);
        assert!(out.iter().zip(&expected).all(|(&a, &e)| a == f16::from_f32(e).to_bits()));
        kernels().softmax(Source::F16(half), Target::Bf16(&mut out), &options, &serial);
        assert!(out.iter().zip(&expected).all(|(&a, &e)| a == bf16::from_f32(e).to_bits()));
    }
    let bytes: Vec<i8> = (0..5000).map(|_| rng.next_i8()).collect();
    let single: Vec<f32> = bytes.iter().map(|&x| f32::from(x) * 0.0625).collect();
    let expected = softmax(kernels(), &single, &SoftmaxOptions::default());
    let options = SoftmaxOptions::default();
    for isa in Isa::supported() {
        let kernels = Kernels::for_isa(isa).unwrap();
        let mut out = vec![0u8; bytes.len()];
        kernels.softmax(Source::I8(&bytes, 0.0625), Target::U8(&mut out), &options, &serial);
        let rounded = expected.iter().map(|e| (e * 255.0).round_ties_even());
        assert!(out.iter().zip(rounded).all(|(&a, e)| f32::from(a) == e), "{}", isa.name());
    }
}

#[test]
fn logarithms() {
    let mut rng = Rng::new(8);
    for (len, sigma, offset) in
        [(1, 1.0, 0.0), (1000, 4.0, 0.0), (50_000, 10.0, 900.0), (10, 1.0, 1e6)]
    {
        let x: Vec<f32> = rng.normal_vec(len, sigma).iter().map(|x| x + offset).collect();
        let exact = reference::log_sum_exp(&wide(&x));
        for algorithm in ALGORITHMS {
            let options = with(algorithm);
            let lse = kernels().log_sum_exp(Source::F32(&x), &options, &serial);
            assert!(
                (lse - exact).abs() < 2e-6 * exact.abs().max(1.0),
                "{algorithm:?}: {lse} {exact}"
            );
            let mut out = vec![0.0; len];
            kernels().log_softmax(Source::F32(&x), Target::F32(&mut out), &options, &serial);
            for (&out, &x) in out.iter().zip(&x) {
                let exact = f64::from(x) - exact;
                assert!((f64::from(out) - exact).abs() < 4e-6 * exact.abs().max(1.0));
            }
        }
        let entropy = kernels().cross_entropy(Source::F32(&x), len / 2, &serial);
        assert!((entropy - (exact - f64::from(x[len / 2]))).abs() < 2e-6 * exact.abs().max(1.0));
    }
    let options = SoftmaxOptions::default();
    let lse = |x: &[f32]| kernels().log_sum_exp(Source::F32(x), &options, &serial);
    assert_eq!(lse(&[]), f64::NEG_INFINITY);
    assert_eq!(lse(&[f32::NEG_INFINITY; 3]), f64::NEG_INFINITY);
    assert!(lse(&[f32::NAN]).is_nan());
}

#[test]
fn auto_chooses_by_length_alone() {
    assert_eq!(Algorithm::for_len(0), Algorithm::Reload);
    assert_eq!(Algorithm::for_len(2 << 20), Algorithm::Reload);
    assert_eq!(Algorithm::for_len((2 << 20) + 1), Algorithm::TwoPass);
    assert_eq!(Algorithm::for_len(usize::MAX), Algorithm::TwoPass);
}
