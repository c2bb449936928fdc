//! Memory for packed weights.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use memmap2::{MmapMut, MmapRaw};

/// The size of a huge page on x86-64 and 64-bit Arm.
const HUGE_PAGE: usize = 2 << 20;

/// The size of a slab. Memory of it that is never touched costs nothing.
const SLAB: usize = 32 << 20;

const ALIGNMENT: usize = 64;

/// Zeroed bytes whose start is aligned to 64, and in huge pages where the system grants them: a stream of weights crosses a page for every 4 KB otherwise,
/// and neither the prefetchers nor the translation caches follow.
///
/// Most matrices are smaller than a huge page, so they are cut one behind the other from slabs that many buffers share. A slab is given back with the last of
/// its buffers.
pub(crate) struct Buffer {
    slab: Arc<Slab>,
    start: usize,
    len: usize,
}

struct Slab {
    map: MmapRaw,
    /// Where the next buffer begins: what lies behind belongs to nobody yet.
    next: Mutex<usize>,
}

/// The slab that buffers are being cut from.
static CURRENT: Mutex<Weak<Slab>> = Mutex::new(Weak::new());

impl Slab {
    fn new(len: usize) -> std::io::Result<Self> {
        let total = len.checked_add(HUGE_PAGE).ok_or(std::io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(total)?;
        #[cfg(target_os = "linux")]
        {
            // A request: kernels without huge pages refuse it, and nothing depends on it.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        let start = map.as_ptr().align_offset(HUGE_PAGE);
        Ok(Self { map: map.into(), next: Mutex::new(start) })
    }

    /// Where `len` bytes begin that no buffer has had. `None` where they are not left.
    fn cut(&self, len: usize) -> Option<usize> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *next;
        let end = start.checked_add(len)?.checked_next_multiple_of(ALIGNMENT)?;
        (end <= self.map.len()).then(|| {
            *next = end;
            start
        })
    }
}

impl Buffer {
    /// `len` zeros. The system grants the pages as they are first touched.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn new(len: usize) -> std::io::Result<Self> {
        let refused = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        if len > SLAB / 4 {
            let slab = Arc::new(Slab::new(len)?);
            let start = slab.cut(len).ok_or_else(refused)?;
            return Ok(Self { slab, start, len });
        }
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slab) = current.upgrade()
            && let Some(start) = slab.cut(len)
        {
            return Ok(Self { slab, start, len });
        }
        let slab = Arc::new(Slab::new(SLAB)?);
        *current = Arc::downgrade(&slab);
        let start = slab.cut(len).ok_or_else(refused)?;
        Ok(Self { slab, start, len })
    }

    fn as_mut_ptr(&self) -> *mut u8 {
        self.slab.map.as_mut_ptr().wrapping_add(self.start)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `cut` gave these bytes of the mapping to this buffer alone; a private anonymous mapping is readable, writable and zeroed, and lives as long as
        // the slab.
        unsafe { std::slice::from_raw_parts(self.as_mut_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the buffer is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_zero_and_apart() {
        let mut buffers = Vec::new();
        for round in 1..4 {
            for len in [0, 1, 63, 4096, HUGE_PAGE - 1, HUGE_PAGE, SLAB / 4 + 1, 7 * HUGE_PAGE] {
                let mut buffer = Buffer::new(len).unwrap();
                assert_eq!(buffer.len(), len);
                assert_eq!(buffer.as_ptr().addr() % ALIGNMENT, 0);
                assert!(buffer.iter().all(|&byte| byte == 0));
                buffer.fill(round);
                buffers.push((round, buffer));
            }
        }
        for (round, buffer) in &buffers {
            assert!(buffer.iter().all(|byte| byte == round));
        }
        assert!(Buffer::new(usize::MAX).is_err());
    }
}
