//! Copies that leave no trace in the caches.
//!
//! An ordinary store reads the line that it writes; for results larger than the caches that is traffic for nothing, up to a third of all. Results are
//! therefore made part by part in the first-level cache and leave it by stores that write whole lines past the caches.

use crate::isa::Isa;
use crate::registry::{Kernel, Kernels, Op};

/// A kernel of `stream`: `out` is as long as `source`. Nothing orders its stores with others: see [`Stage`].
pub(crate) type StreamFn = unsafe fn(source: &[u8], out: &mut [u8]);

pub(crate) static OP: Op<StreamFn> = Op {
    name: "stream_u8",
    kernels: &[
        Kernel { name: "stream_u8__scalar", isa: Isa::Scalar, function: scalar },
        #[cfg(target_arch = "x86_64")]
        Kernel { name: "stream_u8__avx2", isa: Isa::Avx2, function: avx2 },
    ],
};

/// Results of more bytes than this are streamed. No second-level cache holds them, so that who reads them next finds little of them there anyway.
const MIN_BYTES: usize = 8 << 20;

fn scalar(source: &[u8], out: &mut [u8]) {
    out.copy_from_slice(source);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(source: &[u8], out: &mut [u8]) {
    use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_stream_si256};

    const LINE: usize = 64;
    let head = out.as_ptr().align_offset(LINE).min(out.len());
    let (source_head, source) = source.split_at(head);
    let (out_head, out) = out.split_at_mut(head);
    out_head.copy_from_slice(source_head);
    let (source_lines, source_tail) = source.as_chunks::<LINE>();
    let (out_lines, out_tail) = out.as_chunks_mut::<LINE>();
    for (source, out) in source_lines.iter().zip(out_lines) {
        let source = source.as_ptr().cast();
        #[expect(clippy::cast_ptr_alignment, reason = "a line begins at a multiple of 64")]
        let out = out.as_mut_ptr().cast::<__m256i>();
        // SAFETY: both have 64 bytes, and `out` begins at a multiple of 64.
        unsafe {
            _mm256_stream_si256(out, _mm256_loadu_si256(source));
            _mm256_stream_si256(out.add(1), _mm256_loadu_si256(source.add(1)));
        }
    }
    out_tail.copy_from_slice(source_tail);
}

/// Makes results in a buffer that stays in the first-level cache and streams them to their place; or makes them in place, where they are few.
pub(super) struct Stage<'a, T> {
    kernels: &'a Kernels,
    buffer: Option<Vec<T>>,
}

impl<'a, T: Element> Stage<'a, T> {
    /// For results of `len` elements in all, made in parts of at most `part`.
    pub(super) fn new(kernels: &'a Kernels, len: usize, part: usize) -> Self {
        let streams = len > MIN_BYTES / size_of::<T>();
        Self { kernels, buffer: streams.then(|| vec![T::default(); part]) }
    }

    /// Calls `make` with a slice to fill, which becomes `out`.
    #[inline]
    pub(super) fn write<R>(&mut self, out: &mut [T], make: impl FnOnce(&mut [T]) -> R) -> R {
        let Some(buffer) = &mut self.buffer else { return make(out) };
        let buffer = &mut buffer[..out.len()];
        let result = make(buffer);
        // SAFETY: this set holds kernels that the CPU supports, and the lengths are equal.
        unsafe { (self.kernels.stream.function)(T::bytes(buffer), T::bytes_mut(out)) };
        result
    }
}

impl<T> Drop for Stage<'_, T> {
    /// Streamed stores are ordered with nothing else: here they become visible before whatever tells another thread that they are there.
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if self.buffer.is_some() {
            // SAFETY: every CPU of this architecture has SSE.
            unsafe {
                std::arch::x86_64::_mm_sfence();
            }
        }
    }
}

/// Numbers that are nothing but their bytes.
pub(super) trait Element: Copy + Default {
    fn bytes(elements: &[Self]) -> &[u8];
    fn bytes_mut(elements: &mut [Self]) -> &mut [u8];
}

impl Element for u8 {
    fn bytes(elements: &[Self]) -> &[u8] {
        elements
    }

    fn bytes_mut(elements: &mut [Self]) -> &mut [u8] {
        elements
    }
}

impl Element for f32 {
    fn bytes(elements: &[Self]) -> &[u8] {
        // SAFETY: any four bytes are an f32, and a byte needs no alignment.
        unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
    }

    fn bytes_mut(elements: &mut [Self]) -> &mut [u8] {
        // SAFETY: any four bytes are an f32, and a byte needs no alignment.
        unsafe {
            std::slice::from_raw_parts_mut(elements.as_mut_ptr().cast(), size_of_val(elements))
        }
    }
}
