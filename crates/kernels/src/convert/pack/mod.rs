//! Codes of one byte each ↔ codes of 1 to 7 bits without gaps.
//!
//! Code i stands in bits i × width and up of one little-endian bit string, as `dyadic_formats::pack` says. Eight codes make a whole number of bytes: a
//! 64-bit word of 8 × width used bits.

mod scalar;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use crate::isa::Isa;
use crate::registry::{Kernel, Op};

/// A kernel of `pack`: `bytes` has the bits of `codes`, rounded up. Only the low bits of a code are taken.
pub(crate) type PackFn = unsafe fn(codes: &[u8], bytes: &mut [u8]);
/// A kernel of `unpack`: `bytes` has the bits of `codes`, rounded up.
pub(crate) type UnpackFn = unsafe fn(bytes: &[u8], codes: &mut [u8]);

/// Codes of a word.
const WORD: usize = 8;

macro_rules! widths {
    ($($bits:literal $name:literal),*) => {
        /// By width, 1 to 7.
        pub(crate) static OPS_PACK: [Op<PackFn>; 7] = [$(Op {
            name: concat!("pack_u", $name),
            kernels: &[
                Kernel {
                    name: concat!("pack_u", $name, "__scalar"),
                    isa: Isa::Scalar,
                    function: scalar::pack::<$bits>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("pack_u", $name, "__avx2"),
                    isa: Isa::Avx2,
                    function: avx2::pack::<$bits>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("pack_u", $name, "__avx512"),
                    isa: Isa::Avx512,
                    function: avx512::pack::<$bits>,
                },
            ],
        }),*];

        /// By width, 1 to 7.
        pub(crate) static OPS_UNPACK: [Op<UnpackFn>; 7] = [$(Op {
            name: concat!("unpack_u", $name),
            kernels: &[
                Kernel {
                    name: concat!("unpack_u", $name, "__scalar"),
                    isa: Isa::Scalar,
                    function: scalar::unpack::<$bits>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("unpack_u", $name, "__avx2"),
                    isa: Isa::Avx2,
                    function: avx2::unpack::<$bits>,
                },
                #[cfg(target_arch = "x86_64")]
                Kernel {
                    name: concat!("unpack_u", $name, "__avx512"),
                    isa: Isa::Avx512,
                    function: avx512::unpack::<$bits>,
                },
            ],
        }),*];
    };
}

widths!(1 "1", 2 "2", 3 "3", 4 "4", 5 "5", 6 "6", 7 "7");
