//! Safe parallel loops over slices, on top of [`Pool::run`].

use crate::pool::Pool;

/// A pointer that threads may share: each index is visited by exactly one task.
struct Items<T>(*mut T);

// SAFETY: tasks only make references to distinct elements, and `T: Send` lets those move to the worker's thread.
unsafe impl<T: Send> Sync for Items<T> {}

impl<T> Items<T> {
    /// # Safety
    /// `index` is inside the slice, and no other reference to that element lives.
    unsafe fn get(&self, index: usize) -> *mut T {
        // SAFETY: the caller keeps `index` inside the slice.
        unsafe { self.0.add(index) }
    }
}

impl Pool {
    /// Calls `body(index, item)` once for every item, on at most `threads` threads.
    pub fn for_each_mut<T: Send>(
        &self,
        threads: usize,
        items: &mut [T],
        body: impl Fn(usize, &mut T) + Sync,
    ) {
        let pointer = Items(items.as_mut_ptr());
        self.run(threads, items.len(), &|index| {
            // SAFETY: `run` claims each index below `items.len()` exactly once, and returns before `items` is used again.
            let item = unsafe { &mut *pointer.get(index) };
            body(index, item);
        });
    }

    /// Splits `data` into rows of `row_len` elements and calls `body(first_row, rows)` for runs of at least `least` rows, on at most
    /// `threads` threads.
    ///
    /// # Panics
    /// Where `data` is no whole number of rows.
    pub fn for_each_rows<T: Send>(
        &self,
        threads: usize,
        data: &mut [T],
        row_len: usize,
        least: usize,
        body: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(data.len().is_multiple_of(row_len.max(1)), "data must be whole rows");
        let rows = data.len() / row_len.max(1);
        // Four runs a thread let a thread that lost its core for a moment be overtaken.
        let run = rows.div_ceil(4 * threads.max(1)).max(least).max(1);
        if rows <= run {
            body(0, data);
            return;
        }
        let mut runs: Vec<&mut [T]> = data.chunks_mut(run * row_len).collect();
        self.for_each_mut(threads, &mut runs, |index, rows| body(index * run, rows));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[test]
    fn every_item_is_visited_once() {
        let pool = Pool::new(NonZeroUsize::new(3).unwrap());
        for (threads, count) in [(1, 0), (1, 5), (2, 1), (3, 1000)] {
            let mut items = vec![0_usize; count];
            pool.for_each_mut(threads, &mut items, |index, item| *item += index + 1);
            assert!(items.iter().enumerate().all(|(index, &item)| item == index + 1));
        }
    }

    #[test]
    fn rows_are_split_at_row_boundaries() {
        let pool = Pool::new(NonZeroUsize::new(2).unwrap());
        for (rows, least) in [(0, 1), (1, 1), (7, 3), (100, 1), (100, 200)] {
            let mut data = vec![usize::MAX; rows * 5];
            pool.for_each_rows(2, &mut data, 5, least, |first, part| {
                for (row, elements) in part.chunks_mut(5).enumerate() {
                    elements.fill(first + row);
                }
            });
            assert!(data.iter().enumerate().all(|(index, &row)| row == index / 5));
        }
    }
}
