//! Finding tokens by their bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::strings::ByteStrings;

/// Token ids by the bytes of tokens, which stay in the list that they index. The hash is seeded at random, so no file can be made
/// to collide.
#[derive(Debug)]
pub(super) struct TokenTable {
    ids: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl TokenTable {
    /// The table of those of `tokens` that `keep` names. Of equal tokens the last one is found.
    pub(super) fn new(tokens: &ByteStrings, keep: impl Fn(u32) -> bool) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut ids = HashTable::with_capacity(tokens.len());
        let hash_of = |&id: &u32| hasher.hash_one(tokens.get(id as usize));
        for (id, token) in (0..).zip(tokens.iter()) {
            if !keep(id) {
                continue;
            }
            let hash = hasher.hash_one(Some(token));
            match ids.find_mut(hash, |&other| tokens.get(other as usize) == Some(token)) {
                Some(other) => *other = id,
                None => {
                    ids.insert_unique(hash, id, hash_of);
                }
            }
        }
        Self { ids, hasher }
    }

    /// The token whose bytes are `bytes`. `tokens` must be the list that the table was made from.
    #[inline]
    pub(super) fn find(&self, tokens: &ByteStrings, bytes: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(Some(bytes));
        self.ids.find(hash, |&id| tokens.get(id as usize) == Some(bytes)).copied()
    }
}
