//! The pieces that were encoded before in the same call: text repeats its words.

use std::hash::BuildHasher;
use std::ops::Range;

/// Longest piece that is remembered, in bytes. Longer ones repeat too seldom.
const LONGEST: usize = 64;

/// A direct-mapped cache from pieces of a text to the ids that they became: a piece takes the place of the one that was there
/// before, so memory and time are bounded whatever the text.
pub(super) struct PieceCache<'t> {
    slots: Vec<Slot<'t>>,
    hasher: hashbrown::DefaultHashBuilder,
}

#[derive(Clone, Copy, Default)]
struct Slot<'t> {
    piece: &'t str,
    start: u32,
    end: u32,
}

/// Where a piece belongs in the cache.
pub(super) struct Place(Option<usize>);

impl<'t> PieceCache<'t> {
    /// A cache for a text of `bytes` bytes: one slot for 16 bytes, at most 8192 (256 KiB), none for short texts.
    pub(super) fn for_text(bytes: usize) -> Self {
        let slots = if bytes < 256 { 0 } else { (bytes / 16).next_power_of_two().min(8192) };
        Self {
            slots: vec![Slot::default(); slots],
            hasher: hashbrown::DefaultHashBuilder::default(),
        }
    }

    /// Where the ids of `piece` stand in the output, if it was encoded before; else where to note it.
    #[inline]
    pub(super) fn find(&self, piece: &'t str) -> Result<Range<usize>, Place> {
        if piece.len() > LONGEST || self.slots.is_empty() {
            return Err(Place(None));
        }
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash will do")]
        let index = self.hasher.hash_one(piece.as_bytes()) as usize & (self.slots.len() - 1);
        let slot = &self.slots[index];
        if slot.piece == piece {
            return Ok(slot.start as usize..slot.end as usize);
        }
        Err(Place(Some(index)))
    }

    /// Notes that `piece` became the ids at `range` of the output.
    #[inline]
    pub(super) fn insert(&mut self, place: &Place, piece: &'t str, range: Range<usize>) {
        if let (Some(index), Ok(start), Ok(end)) =
            (place.0, u32::try_from(range.start), u32::try_from(range.end))
        {
            self.slots[index] = Slot { piece, start, end };
        }
    }
}
