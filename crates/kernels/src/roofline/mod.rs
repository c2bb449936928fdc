//! What a CPU can do at most: bytes read and 8-bit integers multiplied in a second, with nothing else done. The two lines of a roofline
//! (Williams, Waterman, Patterson 2009), which the speed of products is compared with.
//!
//! Both return what they computed, so that no compiler leaves the work out and tests can tell that none was.

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_dotprod;

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Bytes of a line, the unit of reading.
pub const LINE: usize = 64;

/// How far ahead lines are fetched: products do the same.
const PREFETCH: usize = 4096;

/// Independent sums of a round of multiplications, each of 16 lanes of four products: enough to hide the latency of any multiplier.
const SUMS: usize = 12;

/// Products of a round.
pub const ROUND: usize = SUMS * 64;

/// A kernel: the exclusive or of all words of whole lines.
pub(crate) type ReadFn = unsafe fn(lines: &[[u8; LINE]]) -> u64;

/// A kernel: `rounds` times, each lane of all sums grows by `Σ_j weights[j] · x[j]`; the sum of all lanes, modulo 2^32.
///
/// Its contract: the instruction set is supported; weights are at most 127, so that two products fit into 16 bits.
pub(crate) type MultiplyFn = unsafe fn(rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32;

macro_rules! op {
    ($static:ident, $name:literal, $type:ty, $function:ident, [$($isa:ident $module:ident $arch:literal),*]) => {
        pub(crate) static $static: Op<$type> = Op {
            name: $name,
            kernels: &[
                Kernel {
                    name: concat!($name, "__scalar"),
                    isa: Isa::Scalar,
                    function: scalar::$function,
                },
                $(
                    #[cfg(target_arch = $arch)]
                    Kernel {
                        name: concat!($name, "__", stringify!($module)),
                        isa: Isa::$isa,
                        function: $module::$function,
                    },
                )*
            ],
        };
    };
}

op!(READ, "roofline_read", ReadFn, read, [
    Avx2 avx2 "x86_64", Avx512 avx512 "x86_64", Neon neon "aarch64"
]);
op!(MULTIPLY, "roofline_multiply_u8_i8", MultiplyFn, multiply, [
    Avx2 avx2 "x86_64", Avx512 avx512 "x86_64", Neon neon "aarch64", NeonDotprod neon_dotprod "aarch64"
]);

impl Kernels {
    /// Reads all lines: the exclusive or of their words.
    #[must_use]
    pub fn roofline_read(&self, lines: &[[u8; LINE]]) -> u64 {
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.roofline_read.function)(lines) }
    }

    /// Makes `rounds` × [`ROUND`] products of 8-bit integers: their sum, modulo 2^32.
    ///
    /// # Panics
    /// Where a weight is above 127.
    #[must_use]
    pub fn roofline_multiply(&self, rounds: u32, weights: [u8; 4], x: [i8; 4]) -> i32 {
        assert!(weights.iter().all(|&weight| weight <= 127), "weights of 7 bits");
        // SAFETY: the kernel was selected for a supported instruction set, and the weights are of 7 bits.
        unsafe { (self.roofline_multiply.function)(rounds, weights, x) }
    }
}
