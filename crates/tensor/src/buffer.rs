//! Memory for packed weights.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// The size of a huge page on x86-64 and 64-bit Arm.
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed bytes whose start is aligned to 64, and in huge pages where the system grants them: a stream of weights crosses a page for every 4 KB
/// otherwise, and neither the prefetchers nor the translation caches follow.
pub(crate) struct Buffer {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Buffer {
    /// `len` zeros. The system grants the pages as they are first touched.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn new(len: usize) -> std::io::Result<Self> {
        // Small buffers fit no huge page. An empty map is refused by the system.
        let slack = if len < HUGE_PAGE { 0 } else { HUGE_PAGE };
        let total = len.checked_add(slack).ok_or(std::io::ErrorKind::OutOfMemory)?.max(1);
        let map = MmapMut::map_anon(total)?;
        #[cfg(target_os = "linux")]
        if slack != 0 {
            // A request: kernels without huge pages refuse it, and nothing depends on it.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let start = map.as_ptr().align_offset(if slack == 0 { 64 } else { HUGE_PAGE });
        Ok(Self { map, start, len })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for len in [0, 1, 63, 4096, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 5] {
            let mut buffer = Buffer::new(len).unwrap();
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&byte| byte == 0));
            if len > 0 {
                assert_eq!(buffer.as_ptr().addr() % 64, 0);
                buffer[len - 1] = 1;
            }
        }
        assert!(Buffer::new(usize::MAX).is_err());
    }
}
