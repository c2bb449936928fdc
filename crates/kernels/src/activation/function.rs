//! The functions of one argument, as a table.

use super::{lanes, scalar};
use crate::exp::{lanes as exp_lanes, scalar as exp_scalar};
use crate::lanes::{Lanes, Unary, canonical, map};
use crate::registry::{Kernels, Op, op_table};
use crate::sin_cos::{lanes as sin_cos_lanes, scalar as sin_cos_scalar};

/// A function of one argument that is applied to each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// `e^x`
    Exp,
    /// `2^x`
    Exp2,
    /// The natural logarithm.
    Ln,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * Phi(x)`, Phi the normal distribution (Hendrycks and Gimpel 2016, arXiv 1606.08415); -0 below -13.125.
    Gelu,
    /// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`; -0 below -10.
    GeluTanh,
    /// `max(0, x)^2`
    ReluSquared,
    /// `ln(1 + e^x)`
    Softplus,
    /// `1 / sqrt(x)`
    Rsqrt,
    /// The sine of radians.
    Sin,
    /// The cosine of radians.
    Cos,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Exp,
        Self::Exp2,
        Self::Ln,
        Self::Sigmoid,
        Self::Tanh,
        Self::Silu,
        Self::Gelu,
        Self::GeluTanh,
        Self::ReluSquared,
        Self::Softplus,
        Self::Rsqrt,
        Self::Sin,
        Self::Cos,
    ];

    /// The name that users give.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Exp2 => "exp2",
            Self::Ln => "ln",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "geluTanh",
            Self::ReluSquared => "reluSquared",
            Self::Softplus => "softplus",
            Self::Rsqrt => "rsqrt",
            Self::Sin => "sin",
            Self::Cos => "cos",
        }
    }
}

/// How exact a function is: the degree of the polynomial of `2^f` in it. Functions without one have one class only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accuracy {
    /// Degree 7: exp within one ULP.
    #[default]
    OneUlp,
    /// Degree 5: exp within 2.2 ULP.
    Fast,
    /// Degree 3: exp within 2^-11, enough for results that are rounded to bf16.
    Bf16,
}

impl Accuracy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OneUlp, Self::Fast, Self::Bf16];

    /// The name that users give.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneUlp => "1ulp",
            Self::Fast => "fast",
            Self::Bf16 => "bf16",
        }
    }
}

/// A function on one element and on sixteen.
trait Elementwise: Copy + Default {
    fn scalar(x: f32) -> f32;
    fn lanes<S: Lanes>(s: S, x: S::F) -> S::F;
}

#[derive(Clone, Copy, Default)]
struct Canonical<E>(E);

impl<E: Elementwise> Unary for Canonical<E> {
    #[inline(always)]
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F {
        s.canonical(E::lanes(s, x))
    }
}

fn map_scalar<E: Elementwise>(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = canonical(E::scalar(x));
    }
}

#[inline(always)]
fn map_lanes<S: Lanes, E: Elementwise>(s: S, x: &[f32], out: &mut [f32]) {
    map(s, Canonical::<E>::default(), x, out);
}

/// Types that implement [`Elementwise`] by two functions of the same name, in `scalar` and in `lanes`.
macro_rules! elementwise {
    ($($type:ident = $scalar:ident, $lanes:ident, $function:ident $(<$degree:ident>)?;)*) => {
        $(#[derive(Clone, Copy, Default)]
        struct $type $(<const $degree: usize>)?;

        impl $(<const $degree: usize>)? Elementwise for $type $(<$degree>)? {
            fn scalar(x: f32) -> f32 {
                $scalar::$function $(::<$degree>)? (x)
            }

            #[inline(always)]
            fn lanes<S: Lanes>(s: S, x: S::F) -> S::F {
                $lanes::$function::<S $(, $degree)?>(s, x)
            }
        })*
    };
}

elementwise! {
    Exp = exp_scalar, exp_lanes, exp<D>;
    Exp2 = exp_scalar, exp_lanes, exp2<D>;
    Ln = exp_scalar, exp_lanes, ln;
    Sigmoid = scalar, lanes, sigmoid<D>;
    Tanh = scalar, lanes, tanh<D>;
    Silu = scalar, lanes, silu<D>;
    Gelu = scalar, lanes, gelu<D>;
    GeluTanh = scalar, lanes, gelu_tanh<D>;
    ReluSquared = scalar, lanes, relu_squared;
    Softplus = scalar, lanes, softplus<D>;
    Rsqrt = scalar, lanes, rsqrt;
    Sin = sin_cos_scalar, sin_cos_lanes, sin;
    Cos = sin_cos_scalar, sin_cos_lanes, cos;
}

/// A kernel of a function.
pub(crate) type FunctionFn = unsafe fn(&[f32], &mut [f32]);

/// The op of one [`Elementwise`] type.
macro_rules! op {
    ($name:literal, $type:ty) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2(x: &[f32], out: &mut [f32]) {
            // SAFETY: this function has the features that the token stands for.
            map_lanes::<_, $type>(unsafe { crate::lanes::Avx2::new() }, x, out);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(
            enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi"
        )]
        fn avx512(x: &[f32], out: &mut [f32]) {
            // SAFETY: this function has the features that the token stands for.
            map_lanes::<_, $type>(unsafe { crate::lanes::Avx512::new() }, x, out);
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "neon")]
        fn neon(x: &[f32], out: &mut [f32]) {
            // SAFETY: this function has the features that the token stands for.
            map_lanes::<_, $type>(unsafe { crate::lanes::Neon::new() }, x, out);
        }
        op_table!($name, scalar: map_scalar::<$type>, avx2: avx2, avx512: avx512, neon: neon)
    }};
}

/// The ops of one class after the other, in the order of [`Function::ALL`].
pub(crate) static OPS: [Op<FunctionFn>; Function::ALL.len() * Accuracy::ALL.len()] = [
    op!("exp_f32", Exp<7>),
    op!("exp2_f32", Exp2<7>),
    op!("ln_f32", Ln),
    op!("sigmoid_f32", Sigmoid<7>),
    op!("tanh_f32", Tanh<7>),
    op!("silu_f32", Silu<7>),
    op!("gelu_f32", Gelu<7>),
    op!("gelu_tanh_f32", GeluTanh<7>),
    op!("relu_squared_f32", ReluSquared),
    op!("softplus_f32", Softplus<7>),
    op!("rsqrt_f32", Rsqrt),
    op!("sin_f32", Sin),
    op!("cos_f32", Cos),
    op!("exp_fast_f32", Exp<5>),
    op!("exp2_fast_f32", Exp2<5>),
    op!("ln_fast_f32", Ln),
    op!("sigmoid_fast_f32", Sigmoid<5>),
    op!("tanh_fast_f32", Tanh<5>),
    op!("silu_fast_f32", Silu<5>),
    op!("gelu_fast_f32", Gelu<5>),
    op!("gelu_tanh_fast_f32", GeluTanh<5>),
    op!("relu_squared_fast_f32", ReluSquared),
    op!("softplus_fast_f32", Softplus<5>),
    op!("rsqrt_fast_f32", Rsqrt),
    op!("sin_fast_f32", Sin),
    op!("cos_fast_f32", Cos),
    op!("exp_bf16_f32", Exp<3>),
    op!("exp2_bf16_f32", Exp2<3>),
    op!("ln_bf16_f32", Ln),
    op!("sigmoid_bf16_f32", Sigmoid<3>),
    op!("tanh_bf16_f32", Tanh<3>),
    op!("silu_bf16_f32", Silu<3>),
    op!("gelu_bf16_f32", Gelu<3>),
    op!("gelu_tanh_bf16_f32", GeluTanh<3>),
    op!("relu_squared_bf16_f32", ReluSquared),
    op!("softplus_bf16_f32", Softplus<3>),
    op!("rsqrt_bf16_f32", Rsqrt),
    op!("sin_bf16_f32", Sin),
    op!("cos_bf16_f32", Cos),
];

impl Kernels {
    /// `out[i] = function(x[i])`. The largest errors over all floats are in `docs/numerics.md`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn apply(&self, function: Function, accuracy: Accuracy, x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "{}: lengths", function.name());
        let index = accuracy as usize * Function::ALL.len() + function as usize;
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.functions[index].function)(x, out) }
    }

    /// `out[i] = e^x[i]`, at most 0.993 ULP from the exact value. Infinity above 88.72, 0 below -103.97, NaN for NaN.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn exp(&self, x: &[f32], out: &mut [f32]) {
        self.apply(Function::Exp, Accuracy::OneUlp, x, out);
    }
}

#[cfg(test)]
mod tests {
    use dyadic_testkit::guard::{Flush, Guarded};
    use dyadic_testkit::{Rng, cases, reference, ulp};

    use super::{Accuracy, Function, OPS};
    use crate::{Isa, Kernels};

    /// The function in f64.
    fn exact(function: Function) -> fn(f64) -> f64 {
        match function {
            Function::Exp => f64::exp,
            Function::Exp2 => f64::exp2,
            Function::Ln => f64::ln,
            Function::Sigmoid => reference::sigmoid,
            Function::Tanh => f64::tanh,
            Function::Silu => reference::silu,
            // Flushed, since these would be subnormal.
            Function::Gelu => |x| if x < -13.125 { -0.0 } else { reference::gelu(x) },
            Function::GeluTanh => |x| {
                let u = 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
                if x < -10.0 { -0.0 } else { x * reference::sigmoid(u) }
            },
            Function::ReluSquared => |x| if x.is_nan() { x } else { x.max(0.0) * x.max(0.0) },
            Function::Softplus => |x| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Function::Rsqrt => |x| 1.0 / x.sqrt(),
            Function::Sin => f64::sin,
            Function::Cos => f64::cos,
        }
    }

    /// The largest error of each class over all floats, in ULP: the table of docs/numerics.md.
    fn bounds(function: Function) -> [f64; 3] {
        match function {
            Function::Exp => [0.992, 2.19, 6129.0],
            Function::Exp2 => [0.868, 1.95, 6129.0],
            Function::Ln => [0.827; 3],
            Function::Sigmoid => [2.40, 3.54, 6130.0],
            Function::Tanh => [1.41, 1.79, 2361.0],
            Function::Silu => [3.27, 4.48, 7239.0],
            Function::Gelu => [9.77, 9.53, 7235.0],
            // The argument of the exponential carries the rounding of its cubic: up to 100 * 2^-23.
            Function::GeluTanh => [211.0, 211.0, 7340.0],
            Function::ReluSquared => [0.5; 3],
            Function::Softplus => [2.05, 3.32, 6130.0],
            Function::Rsqrt => [1.49; 3],
            Function::Sin | Function::Cos => [1.58; 3],
        }
    }

    /// The largest error of each class on every `step`-th float, and where. All kernels of `isas` must return the same bits.
    fn worst(function: Function, step: usize, isas: &[Isa]) -> [(f64, f32); 3] {
        /// Floats that the kernels are given at once.
        const BLOCK: usize = 4096;
        /// An ULP of a normal number is more than this part of it.
        const LEAST_ULP: f64 = 1.0 / 16_777_216.0;
        let exact = exact(function);
        let mut worst = [(0.0f64, 0.0f32); 3];
        let (mut x, mut exacts) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
        let (mut out, mut first) = (vec![0.0; BLOCK], vec![0.0; BLOCK]);
        for start in (0..1u64 << 32).step_by(BLOCK * step) {
            let bits = (start..1 << 32).step_by(step).take(BLOCK);
            x.clear();
            x.extend(bits.map(|bits| f32::from_bits(u32::try_from(bits).unwrap())));
            exacts.clear();
            exacts.extend(x.iter().map(|&x| exact(f64::from(x))));
            let (out, first) = (&mut out[..x.len()], &mut first[..x.len()]);
            for (accuracy, worst) in Accuracy::ALL.into_iter().zip(&mut worst) {
                Kernels::for_isa(isas[0]).unwrap().apply(function, accuracy, &x, first);
                for &isa in &isas[1..] {
                    Kernels::for_isa(isa).unwrap().apply(function, accuracy, &x, out);
                    ulp::assert_same_bits(out, first, function.name());
                }
                for ((&out, &exact), &x) in first.iter().zip(&exacts).zip(&x) {
                    // Most errors are far below the largest: these need no more than a product.
                    if (f64::from(out) - exact).abs() <= worst.0 * LEAST_ULP * exact.abs() {
                        continue;
                    }
                    let error = ulp::error_f32(out, exact);
                    if error > worst.0 {
                        *worst = (error, x);
                    }
                }
            }
        }
        worst
    }

    fn assert_bounds(step: usize, isas: &[Isa]) {
        let mut failures = Vec::new();
        let only = std::env::var("DYADIC_TEST_FUNCTION").ok();
        let asked = |function: &Function| {
            only.as_ref().is_none_or(|names| names.split(',').any(|name| name == function.name()))
        };
        for function in Function::ALL.into_iter().filter(asked) {
            let worst = worst(function, step, isas);
            let classes = Accuracy::ALL.into_iter().zip(bounds(function));
            for ((accuracy, bound), (error, x)) in classes.zip(worst) {
                let line = format!(
                    "{} {} {error:.4} ULP at {x:e} ({:08X})",
                    function.name(),
                    accuracy.name(),
                    x.to_bits()
                );
                // The table of docs/numerics.md, with --nocapture.
                eprintln!("{line}");
                // The figures of the table are rounded.
                if error > 1.005 * bound {
                    failures.push(line);
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn errors_keep_their_bounds_on_a_sample() {
        assert_bounds(20_011, &Isa::supported().collect::<Vec<_>>());
    }

    #[test]
    #[ignore = "all 2^32 floats of 39 functions: a minute or two for each name"]
    fn errors_keep_their_bounds_on_all_floats() {
        let vector: Vec<Isa> =
            [Isa::best(), Isa::Avx2].into_iter().filter(|isa| isa.is_supported()).collect();
        assert_bounds(1, &vector);
    }

    #[test]
    fn kernels_equal_the_scalar_ones() {
        let mut rng = Rng::new(2);
        for op in &OPS {
            for len in cases::lengths() {
                let x: Vec<f32> = (0..len)
                    .map(|i| match i % 4 {
                        0 => rng.any_f32(),
                        1 => cases::SPECIAL_F32[i / 4 % cases::SPECIAL_F32.len()],
                        2 => rng.uniform(-110.0, 95.0),
                        _ => rng.normal(),
                    })
                    .collect();
                let mut expected = vec![0.0; len];
                // SAFETY: the first kernel is the scalar one, and the lengths are equal.
                unsafe { (op.kernels[0].function)(&x, &mut expected) };
                for flush in Flush::BOTH {
                    let x = Guarded::new(&x, flush);
                    let mut out = Guarded::filled(7.0, len, flush);
                    for kernel in op.supported() {
                        // SAFETY: the CPU supports the kernel, and the lengths are equal.
                        unsafe { (kernel.function)(&x, &mut out) };
                        ulp::assert_same_bits(&out, &expected, kernel.name);
                    }
                }
            }
        }
    }

    #[test]
    fn limits() {
        let at = |function: Function, x: f32| {
            let mut out = [0.0];
            // SAFETY: the first kernel is the scalar one, and the lengths are equal.
            unsafe { (OPS[function as usize].kernels[0].function)(&[x], &mut out) };
            out[0].to_bits()
        };
        let (zero, minus_zero, infinity) = (0, 0x8000_0000, 0x7F80_0000);
        for (function, low, high) in [
            (Function::Exp, zero, infinity),
            (Function::Exp2, zero, infinity),
            (Function::Sigmoid, zero, 1.0f32.to_bits()),
            (Function::Tanh, (-1.0f32).to_bits(), 1.0f32.to_bits()),
            (Function::Silu, minus_zero, infinity),
            (Function::Gelu, minus_zero, infinity),
            (Function::GeluTanh, minus_zero, infinity),
            (Function::ReluSquared, zero, infinity),
            (Function::Softplus, zero, infinity),
        ] {
            assert_eq!(at(function, f32::NEG_INFINITY), low, "{}", function.name());
            assert_eq!(at(function, f32::INFINITY), high, "{}", function.name());
        }
        for function in Function::ALL {
            assert_eq!(
                at(function, f32::from_bits(0xFFC1_2345)),
                0x7FC0_0000,
                "{}",
                function.name()
            );
        }
        assert_eq!(at(Function::Ln, -0.0), f32::NEG_INFINITY.to_bits());
        assert_eq!(at(Function::Ln, -1.0), 0x7FC0_0000);
        assert_eq!(at(Function::Ln, f32::INFINITY), infinity);
    }

    #[test]
    fn names_do_not_depend_on_the_order_of_the_table() {
        for (index, op) in OPS.iter().enumerate() {
            let function = Function::ALL[index % Function::ALL.len()];
            let accuracy = Accuracy::ALL[index / Function::ALL.len()];
            let snake: String = function
                .name()
                .chars()
                .flat_map(|c| {
                    c.is_uppercase()
                        .then_some('_')
                        .into_iter()
                        .chain(std::iter::once(c.to_ascii_lowercase()))
                })
                .collect();
            let class = match accuracy {
                Accuracy::OneUlp => String::new(),
                _ => format!("_{}", accuracy.name()),
            };
            assert_eq!(op.name, format!("{snake}{class}_f32"));
            assert_eq!(function as usize, index % Function::ALL.len());
        }
    }
}
