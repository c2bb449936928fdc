//! Sets of Unicode characters, and their UTF-8 encodings as sequences of byte ranges.

/// The last code point before the surrogates, and the first after them: surrogates are no characters.
const SURROGATES: (u32, u32) = (0xD800, 0xDFFF);
const LAST: u32 = char::MAX as u32;

/// A set of characters: rising inclusive ranges of code points that neither touch nor overlap, without surrogates.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct CharSet(Vec<(u32, u32)>);

impl CharSet {
    /// The set of the given inclusive ranges.
    pub(super) fn of(ranges: impl IntoIterator<Item = (char, char)>) -> Self {
        Self::normalized(
            ranges.into_iter().map(|(first, last)| (first.into(), last.into())).collect(),
        )
    }

    /// Every character.
    pub(super) fn all() -> Self {
        Self::of([('\0', char::MAX)])
    }

    /// The characters of either set.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::normalized(self.0.iter().chain(&other.0).copied().collect())
    }

    /// The characters that are not in the set.
    pub(super) fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 1);
        let mut next = 0;
        for &(first, last) in &self.0 {
            if first > next {
                ranges.push((next, first - 1));
            }
            next = last + 1;
        }
        if next <= LAST {
            ranges.push((next, LAST));
        }
        Self::normalized(ranges)
    }

    /// The characters of both sets.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        let (mut i, mut j) = (0, 0);
        while let (Some(a), Some(b)) = (self.0.get(i), other.0.get(j)) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                ranges.push((first, last));
            }
            if a.1 < b.1 { i += 1 } else { j += 1 }
        }
        Self(ranges)
    }

    /// Whether it holds only ASCII characters that stand for themselves in a JSON string.
    pub(super) fn is_plain_ascii(&self) -> bool {
        let is_plain = |&(first, last): &(u32, u32)| {
            let holds = |character: char| (first..=last).contains(&character.into());
            first >= 0x20 && last < 0x80 && !holds('"') && !holds('\\')
        };
        self.0.iter().all(is_plain)
    }

    /// Whether no character is in the set.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `character` is in the set.
    pub(super) fn contains(&self, character: char) -> bool {
        let point = u32::from(character);
        self.0.iter().any(|&(first, last)| (first..=last).contains(&point))
    }

    /// The character of a set of one.
    pub(super) fn only_character(&self) -> Option<char> {
        match self.0[..] {
            [(first, last)] if first == last => char::from_u32(first),
            _ => None,
        }
    }

    /// The UTF-8 encodings of the set: each item is a sequence of 1 to 4 inclusive byte ranges, any choice from which is a character of it.
    pub(super) fn utf8_sequences(&self) -> Vec<Vec<(u8, u8)>> {
        /// The last code points of one, two, three and four bytes.
        const LAST_OF_LENGTH: [u32; 4] = [0x7F, 0x7FF, 0xFFFF, LAST];
        let mut sequences = Vec::new();
        for &(mut first, last) in &self.0 {
            for end in LAST_OF_LENGTH {
                if first <= end && first <= last {
                    push_sequences(first, last.min(end), &mut sequences);
                    first = end + 1;
                }
            }
        }
        sequences
    }

    fn normalized(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        let mut without_surrogates = Vec::with_capacity(merged.len() + 1);
        for (first, last) in merged {
            if first < SURROGATES.0 {
                without_surrogates.push((first, last.min(SURROGATES.0 - 1)));
            }
            if last > SURROGATES.1 {
                without_surrogates.push((first.max(SURROGATES.1 + 1), last));
            }
        }
        Self(without_surrogates)
    }
}

/// Splits a range of code points of one encoded length until the encodings are a product of byte ranges: wherever the bits above a
/// continuation byte differ, the bits below must run through all their values.
fn push_sequences(first: u32, last: u32, sequences: &mut Vec<Vec<(u8, u8)>>) {
    let length = char::from_u32(first).map_or(1, char::len_utf8);
    for continuation in 1..length {
        let mask = (1 << (6 * continuation)) - 1;
        if first & !mask != last & !mask {
            if first & mask != 0 {
                push_sequences(first, first | mask, sequences);
                return push_sequences((first | mask) + 1, last, sequences);
            }
            if last & mask != mask {
                push_sequences(first, (last & !mask) - 1, sequences);
                return push_sequences(last & !mask, last, sequences);
            }
        }
    }
    let encode = |point| {
        let mut bytes = [0; 4];
        // No surrogate is in a set, so every end of a range is a character.
        char::from_u32(point).unwrap_or(char::MAX).encode_utf8(&mut bytes);
        bytes
    };
    let (first, last) = (encode(first), encode(last));
    sequences.push((0..length).map(|i| (first[i], last[i])).collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(sequences: &[Vec<(u8, u8)>], bytes: &[u8]) -> usize {
        sequences
            .iter()
            .filter(|sequence| {
                sequence.len() == bytes.len()
                    && sequence.iter().zip(bytes).all(|(range, b)| (range.0..=range.1).contains(b))
            })
            .count()
    }

    fn sets() -> impl Strategy<Value = CharSet> {
        let character = prop_oneof![
            any::<char>(),
            prop::sample::select(vec![
                '\0',
                '\x7f',
                '\u{80}',
                '\u{7ff}',
                '\u{800}',
                '\u{d7ff}',
                '\u{e000}',
                '\u{ffff}',
                '\u{10000}',
                '\u{10ffff}',
                '\u{fff}',
                '\u{1000}',
                '\u{40000}',
                '\u{3f}',
                '\u{bf}',
            ]),
        ];
        prop::collection::vec((character.clone(), character), 0..5)
            .prop_map(|ranges| CharSet::of(ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b)))))
    }

    proptest! {
        #[test]
        fn operations_agree_with_membership(a in sets(), b in sets(), extra in any::<char>()) {
            let ends = a.0.iter().chain(&b.0).flat_map(|range| [range.0, range.1]);
            let probes: Vec<char> = ends
                .flat_map(|point| [point.wrapping_sub(1), point, point + 1])
                .filter_map(char::from_u32)
                .chain([extra, '\0', char::MAX])
                .collect();
            for c in probes {
                let (in_a, in_b) = (a.contains(c), b.contains(c));
                prop_assert_eq!(a.union(&b).contains(c), in_a || in_b);
                prop_assert_eq!(a.intersection(&b).contains(c), in_a && in_b);
                prop_assert_eq!(a.complement().contains(c), !in_a);
                let encoded = c.to_string().into_bytes();
                prop_assert_eq!(matches(&a.utf8_sequences(), &encoded), usize::from(in_a));
            }
        }
    }

    #[test]
    fn all_characters_take_the_nine_sequences_of_the_standard() {
        // Table 3-7 of the Unicode standard: well-formed byte sequences.
        let sequences = CharSet::all().utf8_sequences();
        assert_eq!(sequences.len(), 9);
        assert_eq!(matches(&sequences, &[0xED, 0xA0, 0x80]), 0, "a surrogate");
        assert_eq!(matches(&sequences, &[0xC0, 0x80]), 0, "an overlong encoding");
        assert_eq!(matches(&sequences, &[0xF4, 0x90, 0x80, 0x80]), 0, "above U+10FFFF");
    }
}
