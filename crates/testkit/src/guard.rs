//! Buffers that lie flush against an inaccessible page, so that a kernel that reads or writes one element too far dies at once.

use std::ops::{Deref, DerefMut};

/// Where the elements of a [`Guarded`] buffer touch an inaccessible page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// The byte before the first element is inaccessible.
    Front,
    /// The byte after the last element is inaccessible.
    Back,
}

impl Flush {
    /// Both sides, for tests to iterate over.
    pub const BOTH: [Self; 2] = [Self::Front, Self::Back];
}

/// A slice of plain values with an inaccessible page directly before or behind it.
///
/// Platforms other than Unix get an ordinary allocation.
pub struct Guarded<T: Copy> {
    data: *mut T,
    len: usize,
    #[cfg(unix)]
    map: unix::Map,
    #[cfg(not(unix))]
    storage: Vec<T>,
}

impl<T: Copy> Guarded<T> {
    /// A copy of `values`, flush against an inaccessible page on the side `flush`.
    ///
    /// # Panics
    /// Where the system grants no memory.
    #[must_use]
    pub fn new(values: &[T], flush: Flush) -> Self {
        #[cfg(unix)]
        {
            let map = unix::Map::new(size_of_val(values));
            let offset = match flush {
                Flush::Front => 0,
                Flush::Back => map.usable_len() - size_of_val(values),
            };
            // The usable part starts and ends at page boundaries, and the size of a type is a multiple of its alignment.
            let data = map.usable().wrapping_add(offset).cast::<T>();
            // SAFETY: the usable part of the map is at least as long as `values`, `data` is aligned as just said, and a new map overlaps nothing.
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), data, values.len()) };
            Self { data, len: values.len(), map }
        }
        #[cfg(not(unix))]
        {
            let _ = flush;
            let mut storage = values.to_vec();
            Self { data: storage.as_mut_ptr(), len: values.len(), storage }
        }
    }

    /// `len` copies of `value`, flush against an inaccessible page on the side `flush`.
    #[must_use]
    pub fn filled(value: T, len: usize, flush: Flush) -> Self {
        Self::new(&vec![value; len], flush)
    }
}

impl<T: Copy> Deref for Guarded<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        #[cfg(unix)]
        debug_assert!(self.len * size_of::<T>() <= self.map.usable_len());
        #[cfg(not(unix))]
        debug_assert!(self.len == self.storage.len());
        // SAFETY: `new` placed `len` initialised elements there, and they live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl<T: Copy> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

#[cfg(unix)]
mod unix {
    use std::ptr;

    /// Accessible pages between two inaccessible ones.
    pub(super) struct Map {
        base: *mut u8,
        page: usize,
        len: usize,
    }

    impl Map {
        /// At least `bytes` accessible bytes.
        pub(super) fn new(bytes: usize) -> Self {
            // SAFETY: sysconf has no preconditions.
            let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) })
                .expect("the system has a page size");
            let len = bytes.next_multiple_of(page).max(page) + 2 * page;
            // SAFETY: a fresh anonymous mapping at an address of the kernel's choice touches no existing memory.
            let base = unsafe {
                libc::mmap(
                    ptr::null_mut(),
                    len,
                    libc::PROT_NONE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            assert!(base != libc::MAP_FAILED, "no address space for a guarded buffer");
            let map = Self { base: base.cast(), page, len };
            // SAFETY: the usable part lies inside the mapping just made.
            let result = unsafe {
                libc::mprotect(
                    map.usable().cast(),
                    map.usable_len(),
                    libc::PROT_READ | libc::PROT_WRITE,
                )
            };
            assert!(result == 0, "no memory for a guarded buffer");
            map
        }

        pub(super) fn usable(&self) -> *mut u8 {
            self.base.wrapping_add(self.page)
        }

        pub(super) fn usable_len(&self) -> usize {
            self.len - 2 * self.page
        }
    }

    impl Drop for Map {
        fn drop(&mut self) {
            // SAFETY: `new` made exactly this mapping, and the buffer that owned it is gone.
            unsafe { libc::munmap(self.base.cast(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Flush, Guarded};

    #[test]
    fn holds_its_values_on_both_sides() {
        for flush in Flush::BOTH {
            for len in [0, 1, 3, 1024, 5000] {
                let values: Vec<u32> = (0..len).collect();
                let mut buffer = Guarded::new(&values, flush);
                assert_eq!(*buffer, *values);
                for value in buffer.iter_mut() {
                    *value += 1;
                }
                assert!(buffer.iter().zip(1..).all(|(&a, b)| a == b));
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn touches_the_boundary_of_a_page() {
        // SAFETY: sysconf has no preconditions.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let front = Guarded::<u8>::filled(0, 7, Flush::Front);
        assert_eq!(front.as_ptr().addr() % page, 0);
        let back = Guarded::<u16>::filled(0, 7, Flush::Back);
        assert_eq!(back.as_ptr_range().end.addr() % page, 0);
    }

    /// Forks, lets the child touch the guard and looks how it ended.
    #[cfg(unix)]
    #[test]
    fn dies_beyond_the_boundary() {
        for flush in Flush::BOTH {
            let buffer = Guarded::<u8>::filled(0, 16, flush);
            let outside = match flush {
                Flush::Front => buffer.as_ptr().wrapping_sub(1),
                Flush::Back => buffer.as_ptr().wrapping_add(16),
            };
            // SAFETY: the child does nothing but restore a default signal action, read one byte and exit, all of which are async-signal-safe.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "fork");
            if child == 0 {
                // SAFETY: as above; the read faults, and that is the point.
                unsafe {
                    libc::signal(libc::SIGSEGV, libc::SIG_DFL);
                    libc::signal(libc::SIGBUS, libc::SIG_DFL);
                    std::ptr::read_volatile(outside);
                    libc::_exit(0);
                }
            }
            let mut status = 0;
            // SAFETY: `child` is our child and `status` a valid place.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert!(libc::WIFSIGNALED(status), "{flush:?}: status {status}");
        }
    }
}
