//! Functions of one argument as tables.
//!
//! ```text
//! lookup_i8    table[x + 128]                                                      any function of an i8: 256 entries
//! lookup_i16   T[i] + ((T[i + 1] − T[i]) · fraction + 64 >> 7),                    513 knots, a straight line between two
//!              i = x + 32768 >> 7, fraction = x + 32768 mod 128
//! ```

#![cfg_attr(not(test), expect(clippy::wildcard_imports, reason = "intrinsics name themselves"))]

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use super::loop_op;
use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// Knots of a table for i16.
pub const KNOTS: usize = 513;

/// A kernel of `lookup_i8`. Its contract: the instruction set is supported and both slices have one length.
pub(crate) type LookupI8Fn = unsafe fn(x: &[i8], table: &[i8; 256], out: &mut [i8]);

/// See [`Kernels::lookup`].
pub(crate) static LOOKUP_I8: Op<LookupI8Fn> = Op {
    name: "lookup_i8",
    kernels: &[
        Kernel { name: "lookup_i8__scalar", isa: Isa::Scalar, function: scalar::lookup_i8 },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "lookup_i8__avx2", isa: Isa::Avx2, function: avx2::lookup_i8 },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "lookup_i8__avx512", isa: Isa::Avx512, function: avx512::lookup_i8 },
        #[cfg(target_arch = "aarch64")]
        Kernel { name: "lookup_i8__neon", isa: Isa::Neon, function: neon::lookup_i8 },
    ],
};

loop_op! {
    /// See [`Kernels::lookup_i16`].
    static LOOKUP_I16: LookupI16Fn = "lookup_i16",
    fn(x: &[i16], table: &[i16; KNOTS], out: &mut [i16]),
    scalar::lookup_i16,
}

impl Kernels {
    /// `out = table[x + 128]`.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn lookup(&self, x: &[i8], table: &[i8; 256], out: &mut [i8]) {
        assert_eq!(x.len(), out.len(), "elements");
        // SAFETY: the kernel was selected for a supported instruction set; the lengths are equal.
        unsafe { (self.lookup_i8.function)(x, table, out) };
    }

    /// `x` between two knots of the table.
    ///
    /// # Panics
    /// Where the lengths differ.
    pub fn lookup_i16(&self, x: &[i16], table: &[i16; KNOTS], out: &mut [i16]) {
        assert_eq!(x.len(), out.len(), "elements");
        // SAFETY: the kernel was selected for a supported instruction set.
        unsafe { (self.lookup_i16.function)(x, table, out) };
    }
}
