//! Formats whose codes are numbers of the machine, without scales: f32 and integers of 8, 16 and 32 bits. What the definition gives, as casts that
//! the compiler vectorizes.

use dyadic_formats::float::{Float, canonical};
use dyadic_formats::int::Int;
use dyadic_formats::{Element, EncodeOptions, Format, Overflow, Rounding, Storage};

/// Calls `$function::<T>` of the machine type of an integer.
macro_rules! for_machine_type {
    ($int:expr, $function:ident($($argument:expr),*)) => {
        match ($int.bits, $int.signed) {
            (8, true) => $function::<i8, 1>($($argument),*),
            (8, false) => $function::<u8, 1>($($argument),*),
            (16, true) => $function::<i16, 2>($($argument),*),
            (16, false) => $function::<u16, 2>($($argument),*),
            (32, true) => $function::<i32, 4>($($argument),*),
            (32, false) => $function::<u32, 4>($($argument),*),
            _ => return None,
        }
    };
}

/// A number of `N` bytes.
trait Machine<const N: usize>: Copy + Ord {
    /// To the nearest, which is `value` where that is whole; saturating.
    fn from_f32(value: f32) -> Self;
    /// To nearest even.
    fn to_f32(self) -> f32;
    fn to_bytes(self) -> [u8; N];
    fn from_bytes(bytes: [u8; N]) -> Self;
    /// −(2^(bits − 1) − 1), the least number of symmetric integers.
    const SYMMETRIC_MIN: Self;
}

macro_rules! machine {
    ($($type:ty, $bytes:literal, $symmetric_min:expr;)*) => {$(
        impl Machine<$bytes> for $type {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates"
            )]
            fn from_f32(value: f32) -> Self {
                value as Self
            }

            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_lossless,
                reason = "rounds, as decoding into f32 does"
            )]
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn to_bytes(self) -> [u8; $bytes] {
                self.to_le_bytes()
            }

            fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self::from_le_bytes(bytes)
            }

            const SYMMETRIC_MIN: Self = $symmetric_min;
        }
    )*};
}

machine! {
    i8, 1, -Self::MAX;
    u8, 1, 0;
    i16, 2, -Self::MAX;
    u16, 2, 0;
    i32, 4, -Self::MAX;
    u32, 4, 0;
}

/// The element of a format without scales.
fn plain(format: &Format) -> Option<&Element> {
    (format.scale.is_none() && format.storage == Storage::Planar).then_some(&format.element)
}

/// The codes of values. `None` where the format is no such one, or the options or the values need the definition.
pub(crate) fn encode(format: &Format, values: &[f32], options: &EncodeOptions) -> Option<Vec<u8>> {
    let is_finite = || values.iter().fold(true, |all, value| all & value.is_finite());
    match plain(format)? {
        Element::Float(float) if *float == Float::F32 => {
            let keeps_infinities = options.overflow == Overflow::Ieee && !options.infinity_is_nan;
            (keeps_infinities || is_finite()).then(|| {
                let mut bytes = vec![0; 4 * values.len()];
                for (bytes, &value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = canonical(value).to_le_bytes();
                }
                bytes
            })
        }
        Element::Int(int) => {
            let is_plain = options.rounding == Rounding::NearestEven
                && options.overflow != Overflow::Wrap
                && is_finite();
            if !is_plain {
                return None;
            }
            Some(for_machine_type!(int, encode_integers(*int, values)))
        }
        _ => None,
    }
}

fn encode_integers<T: Machine<N>, const N: usize>(int: Int, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; N * values.len()];
    for (bytes, &value) in bytes.as_chunks_mut().0.iter_mut().zip(values) {
        let code = T::from_f32(value.round_ties_even());
        let code = if int.symmetric { code.max(T::SYMMETRIC_MIN) } else { code };
        *bytes = code.to_bytes();
    }
    bytes
}

/// Decodes codes; whether the format is one of these. `codes` must hold exactly the codes of `out`.
pub(crate) fn decode(format: &Format, codes: &[u8], out: &mut [f32]) -> bool {
    try_decode(format, codes, out).is_some()
}

fn try_decode(format: &Format, codes: &[u8], out: &mut [f32]) -> Option<()> {
    match plain(format)? {
        Element::Float(float) if *float == Float::F32 => {
            for (&bytes, out) in codes.as_chunks().0.iter().zip(out) {
                *out = canonical(f32::from_le_bytes(bytes));
            }
        }
        Element::Int(int) => for_machine_type!(int, decode_integers(codes, out)),
        _ => return None,
    }
    Some(())
}

fn decode_integers<T: Machine<N>, const N: usize>(codes: &[u8], out: &mut [f32]) {
    for (&bytes, out) in codes.as_chunks().0.iter().zip(out) {
        *out = T::from_bytes(bytes).to_f32();
    }
}
