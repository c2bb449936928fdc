//! Sixteen virtual lanes of f32, the unit of every canonical order.
//!
//! A body written over [`Lanes`] is compiled once for each instruction set: one register of AVX-512, two of AVX2, four of NEON. Each
//! operation is defined lane by lane and means the same everywhere, so such a body returns the same bits on every machine, provided that it
//! does nothing else. What differs between instruction sets is settled here: the operand that `max` returns for NaN, the order of a
//! horizontal sum, what becomes of subnormals.
//!
//! A value of a [`Lanes`] type is the proof that the CPU has the features: its constructor is unsafe, everything after it is safe. All
//! methods are `#[inline(always)]`, so that they are compiled inside the `#[target_feature]` function that made the token; a body that is
//! not itself `#[inline(always)]` would call every intrinsic out of line.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

/// The number of virtual lanes.
pub(crate) const LANES: usize = 16;

/// The only NaN that a kernel returns; the default NaNs of x86 (negative) and Arm (positive) differ.
pub(crate) const CANONICAL_NAN: f32 = f32::from_bits(0x7FC0_0000);

/// `x`, but [`CANONICAL_NAN`] for any NaN: what [`Lanes::canonical`] is to scalar kernels.
pub(crate) fn canonical(x: f32) -> f32 {
    if x.is_nan() { CANONICAL_NAN } else { x }
}

/// A number for each byte.
pub(crate) struct ByteTable {
    numbers: [f32; 256],
    /// The two upper bytes of each number, the higher first, where the others are zero: numbers of at most 8 significant bits.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "AVX-512 permutes bytes"))]
    upper: Option<[[u8; 256]; 2]>,
}

impl ByteTable {
    /// The table of these numbers.
    pub(crate) fn new(numbers: &[f32; 256]) -> Self {
        let mut upper = [[0; 256]; 2];
        let mut is_short = true;
        for (byte, number) in numbers.iter().enumerate() {
            let [low, next, second, first] = number.to_le_bytes();
            is_short &= [low, next] == [0; 2];
            (upper[0][byte], upper[1][byte]) = (first, second);
        }
        Self { numbers: *numbers, upper: is_short.then_some(upper) }
    }
}

/// Operations on sixteen lanes. A method says `lane` for each of them.
pub(crate) trait Lanes: Copy {
    /// Sixteen f32.
    type F: Copy;
    /// Sixteen i32.
    type I: Copy;
    /// Sixteen truth values.
    type M: Copy;

    /// How many `F` of a row a register-blocked matrix kernel holds for each of its rows: 4 where 6 x 4 accumulators fit the registers.
    const BLOCK: usize;

    /// Every lane `x`.
    fn splat(self, x: f32) -> Self::F;
    /// Lane i is `x[i]`.
    fn load(self, x: &[f32; LANES]) -> Self::F;
    /// Lane i is `x[i]` where that exists (at most 16), else `fill`.
    fn load_partial(self, x: &[f32], fill: f32) -> Self::F;
    /// `out[i]` is lane i.
    fn store(self, v: Self::F, out: &mut [f32; LANES]);
    /// `out[i]` is lane i where that exists (at most 16).
    fn store_partial(self, v: Self::F, out: &mut [f32]);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, correctly rounded
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The square root, correctly rounded
    fn sqrt(self, v: Self::F) -> Self::F;
    /// The nearest integer, ties to even
    fn round(self, v: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`: `b` where either is NaN, and for two zeros
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`: `b` where either is NaN, and for two zeros
    fn min(self, a: Self::F, b: Self::F) -> Self::F;

    /// `a < b`, false for NaN
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// Whether `v` is NaN
    fn is_nan(self, v: Self::F) -> Self::M;
    /// `if m { a } else { b }`
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// Whether `m` is true of any lane
    fn any(self, m: Self::M) -> bool;

    /// The bits of `v`
    fn bits(self, v: Self::F) -> Self::I;
    /// The float of these bits
    fn float_of_bits(self, v: Self::I) -> Self::F;
    /// Every lane `x`
    fn splat_i(self, x: i32) -> Self::I;
    /// `a + b`, wrapping
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a & b`
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a | b`
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a ^ b`
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `v << N`
    fn shl_i<const N: i32>(self, v: Self::I) -> Self::I;
    /// `v >> N` with copies of the sign
    fn sar_i<const N: i32>(self, v: Self::I) -> Self::I;
    /// The nearest integer, ties to even; unspecified where that is no i32
    fn to_int(self, v: Self::F) -> Self::I;
    /// The nearest float
    fn to_float(self, v: Self::I) -> Self::F;

    /// `v * 2^n` for an integer-valued `n` <= 0, but zero where `n` <= -127. NaN where both are NaN; unspecified where only one is.
    fn scale_down(self, v: Self::F, n: Self::F) -> Self::F;
    /// `v * 2^n`, rounded once, for an integer-valued `n` in [-252, 252], where `n` is 0 or |v| in [2^-8, 2^8]. NaN where `v` is NaN;
    /// unspecified where only `n` is.
    fn scale(self, v: Self::F, n: Self::F) -> Self::F;

    /// The sum of the lanes, by halves: i with i + 8, then i + 4, i + 2, i + 1
    fn sum(self, v: Self::F) -> f32;
    /// The [`Lanes::max`] of the lanes, by the same halves
    fn reduce_max(self, v: Self::F) -> f32;

    /// Lanes 2i and 2i + 1 are `x[i]`
    fn duplicate(self, x: &[f32; LANES / 2]) -> Self::F;
    /// Lanes 2i and 2i + 1 change places
    fn swap_pairs(self, v: Self::F) -> Self::F;

    /// Lane i is `table[low 4 bits of lane i]`
    fn look_up_16(self, table: &[f32; 16], index: Self::I) -> Self::F;
    /// Lane i is `table[low 8 bits of lane i]`
    fn look_up_256(self, table: &[f32; 256], index: Self::I) -> Self::F;

    /// What the four bytes of each lane stand for, the lowest first
    #[inline(always)]
    fn look_up_bytes(self, table: &ByteTable, bytes: Self::I) -> [Self::F; 4] {
        [
            self.look_up_256(&table.numbers, bytes),
            self.look_up_256(&table.numbers, self.sar_i::<8>(bytes)),
            self.look_up_256(&table.numbers, self.sar_i::<16>(bytes)),
            self.look_up_256(&table.numbers, self.sar_i::<24>(bytes)),
        ]
    }

    /// Lane i is the f16 of bits `x[i]`
    fn load_f16(self, x: &[u16; LANES]) -> Self::F;
    /// Lane i is `x[i]`
    fn load_i8(self, x: &[i8; LANES]) -> Self::F;
    /// `out[i]` is the bits of lane i as f16, rounded to nearest, ties to even. The payload of a NaN is unspecified.
    fn store_f16(self, v: Self::F, out: &mut [u16; LANES]);

    /// `-v`
    #[inline(always)]
    fn neg(self, v: Self::F) -> Self::F {
        self.float_of_bits(self.xor_i(self.bits(v), self.splat_i(i32::MIN)))
    }

    /// `|v|`
    #[inline(always)]
    fn abs(self, v: Self::F) -> Self::F {
        self.float_of_bits(self.and_i(self.bits(v), self.splat_i(i32::MAX)))
    }

    /// `v`, but [`CANONICAL_NAN`] for any NaN
    #[inline(always)]
    fn canonical(self, v: Self::F) -> Self::F {
        self.select(self.is_nan(v), self.splat(CANONICAL_NAN), v)
    }

    /// The sum of 64 lanes held as four times 16, by halves: lane i with i + 32, then i + 16, then as [`Lanes::sum`]
    #[inline(always)]
    fn sum_64(self, v: [Self::F; 4]) -> f32 {
        self.sum(self.add(self.add(v[0], v[2]), self.add(v[1], v[3])))
    }
}

/// A lane-wise function of one argument. A type, since a closure would not be compiled with the features of its caller.
pub(crate) trait Unary: Copy {
    /// The function on sixteen lanes.
    fn apply<S: Lanes>(self, s: S, x: S::F) -> S::F;
}

/// A lane-wise function of two arguments.
pub(crate) trait Binary: Copy {
    /// The function on sixteen lanes.
    fn apply<S: Lanes>(self, s: S, x: S::F, y: S::F) -> S::F;
}

/// `out[i] = f(x[i])`.
#[inline(always)]
pub(crate) fn map<S: Lanes>(s: S, f: impl Unary, x: &[f32], out: &mut [f32]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    for (chunk, out) in chunks.iter().zip(out_chunks) {
        s.store(f.apply(s, s.load(chunk)), out);
    }
    if !tail.is_empty() {
        s.store_partial(f.apply(s, s.load_partial(tail, 0.0)), out_tail);
    }
}

/// `x[i] = f(x[i])`.
#[inline(always)]
pub(crate) fn map_in_place<S: Lanes>(s: S, f: impl Unary, x: &mut [f32]) {
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        s.store(f.apply(s, s.load(chunk)), chunk);
    }
    if !tail.is_empty() {
        s.store_partial(f.apply(s, s.load_partial(tail, 0.0)), tail);
    }
}

/// `out[i] = f(x[i], y[i])`.
#[inline(always)]
pub(crate) fn zip<S: Lanes>(s: S, f: impl Binary, x: &[f32], y: &[f32], out: &mut [f32]) {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let (y_chunks, y_tail) = y.as_chunks::<LANES>();
    let (out_chunks, out_tail) = out.as_chunks_mut::<LANES>();
    for ((x, y), out) in chunks.iter().zip(y_chunks).zip(out_chunks) {
        s.store(f.apply(s, s.load(x), s.load(y)), out);
    }
    if !tail.is_empty() {
        let v = f.apply(s, s.load_partial(tail, 0.0), s.load_partial(y_tail, 0.0));
        s.store_partial(v, out_tail);
    }
}

/// `x[i] = f(x[i], y[i])`.
#[inline(always)]
pub(crate) fn zip_in_place<S: Lanes>(s: S, f: impl Binary, x: &mut [f32], y: &[f32]) {
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    let (y_chunks, y_tail) = y.as_chunks::<LANES>();
    for (x, y) in chunks.iter_mut().zip(y_chunks) {
        s.store(f.apply(s, s.load(x), s.load(y)), x);
    }
    if !tail.is_empty() {
        let v = f.apply(s, s.load_partial(tail, 0.0), s.load_partial(y_tail, 0.0));
        s.store_partial(v, tail);
    }
}

/// Declares an op whose SIMD kernels are one body over [`Lanes`]: its function type and its table, with a scalar kernel and one for each
/// instruction set that [`Lanes`] is implemented for.
macro_rules! lane_op {
    (
        $(#[$doc:meta])*
        static $op:ident: $function:ident = $name:literal,
        fn($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?,
        scalar: $scalar:path,
        lanes: $lanes:path $(,)?
    ) => {
        #[doc = concat!("A kernel of `", $name, "`.")]
        pub(crate) type $function = unsafe fn($($ty),*) $(-> $ret)?;

        $(#[$doc])*
        pub(crate) static $op: $crate::registry::Op<$function> = {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function has the features that the token stands for.
                let lanes = unsafe { $crate::lanes::Avx2::new() };
                $lanes(lanes, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function has the features that the token stands for.
                let lanes = unsafe { $crate::lanes::Avx512::new() };
                $lanes(lanes, $($arg),*)
            }
            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            fn neon($($arg: $ty),*) $(-> $ret)? {
                // SAFETY: this function has the features that the token stands for.
                let lanes = unsafe { $crate::lanes::Neon::new() };
                $lanes(lanes, $($arg),*)
            }
            $crate::registry::op_table!($name, scalar: $scalar, avx2: avx2, avx512: avx512, neon: neon)
        };
    };
}

pub(crate) use lane_op;
