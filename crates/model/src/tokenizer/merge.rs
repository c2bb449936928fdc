//! Greedy pair merging, the common core of byte-level BPE and of SentencePiece's BPE.
//!
//! A piece starts as a list of symbols. Again and again the neighbours of the best rank merge into one symbol, the leftmost pair
//! first among equals, until no neighbours merge. With a linked list and a heap this takes O(n log n) for n symbols, however the
//! piece is made: each merge removes a symbol and offers at most two new pairs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A run of bytes of the piece that is one symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol {
    /// Where it starts in the piece.
    pub(super) start: u32,
    /// Its length in bytes; 0 once it has merged into its left neighbour.
    pub(super) len: u32,
    /// What it is, as the table of pairs names it.
    pub(super) id: u32,
    previous: u32,
    next: u32,
}

/// The end of the list of symbols.
const NONE: u32 = u32::MAX;

/// What merges with what.
pub(super) trait Pairs {
    /// The rank of the pair (lower merges first) and the symbol it merges into, or `None` if it does not merge. `text` is the
    /// piece.
    fn pair(&self, text: &[u8], left: Symbol, right: Symbol) -> Option<(u32, u32)>;
}

/// The working memory of merging, to be used for one piece after the other.
#[derive(Debug, Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

/// A pair that may merge. In order of rank, then of position; of two that stand at the same place, only one spans what stands
/// there now.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    /// Length of both symbols together, by which a pair is known whose symbols have merged otherwise since.
    len: u32,
    merged: u32,
}

/// A position or length in a piece. Encoding refuses texts of 4 GiB, so none is cut.
#[inline]
fn index_of(value: usize) -> u32 {
    debug_assert!(value < NONE as usize, "pieces are shorter than 4 GiB");
    #[expect(clippy::cast_possible_truncation, reason = "pieces are shorter than 4 GiB")]
    let index = value as u32;
    index
}

impl Merger {
    /// Forgets the last piece.
    pub(super) fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends a symbol of `len` > 0 bytes to the piece. All symbols of a piece together have fewer than 2^32 bytes.
    #[inline]
    pub(super) fn push(&mut self, len: usize, id: u32) {
        let (index, len) = (index_of(self.symbols.len()), index_of(len));
        let (start, previous) = match self.symbols.last_mut() {
            Some(last) => {
                last.next = index;
                (last.start + last.len, index - 1)
            }
            None => (0, NONE),
        };
        self.symbols.push(Symbol { start, len, id, previous, next: NONE });
    }

    /// Merges the symbols that were pushed, which are those of `text`, and returns what is left in order.
    pub(super) fn merge(
        &mut self,
        text: &[u8],
        pairs: &impl Pairs,
    ) -> impl Iterator<Item = Symbol> {
        let mut queue = std::mem::take(&mut self.queue).into_vec();
        queue.extend(
            (1..index_of(self.symbols.len()))
                .filter_map(|right| self.candidate(right - 1, right, text, pairs)),
        );
        self.queue = queue.into();
        while let Some(Reverse(best)) = self.queue.pop() {
            let left = self.symbols[best.left as usize];
            if left.len == 0 || left.next == NONE {
                continue;
            }
            let right = self.symbols[left.next as usize];
            if left.len + right.len != best.len {
                continue;
            }
            self.symbols[left.next as usize].len = 0;
            if right.next != NONE {
                self.symbols[right.next as usize].previous = best.left;
            }
            let merged = &mut self.symbols[best.left as usize];
            merged.len = best.len;
            merged.id = best.merged;
            merged.next = right.next;
            if left.previous != NONE {
                let before = self.candidate(left.previous, best.left, text, pairs);
                self.queue.extend(before);
            }
            if right.next != NONE {
                let after = self.candidate(best.left, right.next, text, pairs);
                self.queue.extend(after);
            }
        }
        self.symbols.iter().copied().filter(|symbol| symbol.len > 0)
    }

    #[inline]
    fn candidate(
        &self,
        left: u32,
        right: u32,
        text: &[u8],
        pairs: &impl Pairs,
    ) -> Option<Reverse<Candidate>> {
        let (a, b) = (self.symbols[left as usize], self.symbols[right as usize]);
        let (rank, merged) = pairs.pair(text, a, b)?;
        Some(Reverse(Candidate { rank, left, len: a.len + b.len, merged }))
    }
}
