//! The tokens of a vocabulary as a trie of their bytes.

use crate::tokenizer::{TokenType, Tokenizer};

/// A longer token is never allowed: it bounds the depth of the trie.
const MAX_TOKEN_BYTES: usize = 1024;

/// The bytes of every token that a constraint may allow, as a trie in one array: a walk over all tokens that leaves out the ones below a
/// forbidden prefix. Built once for a vocabulary and shared.
///
/// The nodes are in preorder; node i's descendants are i + 1 to `skip` - 1:
///
/// ```text
/// tokens:  "a" "ab" "b"      node  byte depth skip  tokens
///                               0   'a'    1    2   "a"
///                               1   'b'    2    2   "ab"
///                               2   'b'    1    3   "b"
/// ```
#[derive(Debug)]
pub struct TokenTrie {
    nodes: Vec<TrieNode>,
    /// The tokens of all nodes in the order of the nodes.
    tokens: Vec<u32>,
    /// The bytes of each token, by id.
    bytes: Vec<Box<[u8]>>,
    end_of_generation: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct TrieNode {
    /// The node behind its last descendant.
    pub(super) skip: u32,
    /// Its first token in `tokens`; the last is before the next node's first.
    first_token: u32,
    /// How many bytes lead to it, its own among them: at least 1.
    pub(super) depth: u16,
    /// The last byte of those.
    pub(super) byte: u8,
}

impl TokenTrie {
    /// The trie of a tokenizer's vocabulary.
    #[must_use]
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let text = |&id: &u32| {
            let kind = tokenizer.token_type(id);
            matches!(kind, Some(TokenType::Normal | TokenType::UserDefined | TokenType::Byte))
        };
        let tokens = (0..to_u32(tokenizer.vocabulary_size()))
            .map(|id| {
                Some(id).filter(text).map(|id| tokenizer.token_bytes(id)).unwrap_or_default().into()
            })
            .collect();
        Self::of_bytes(tokens, tokenizer.end_of_generation_ids())
    }

    /// The trie of a vocabulary: `tokens[id]` holds the bytes of token `id`. Empty ones, as special tokens should be here, are never
    /// allowed, those of `end_of_generation` only where the text is complete.
    #[must_use]
    pub fn of_bytes(tokens: Vec<Box<[u8]>>, end_of_generation: &[u32]) -> Self {
        let mut bytes = tokens;
        for id in end_of_generation {
            if let Some(bytes) = bytes.get_mut(*id as usize) {
                *bytes = Box::default();
            }
        }
        let mut sorted: Vec<(&[u8], u32)> = bytes
            .iter()
            .zip(0..)
            .filter(|(bytes, _)| (1..=MAX_TOKEN_BYTES).contains(&bytes.len()))
            .map(|(bytes, id)| (&**bytes, id))
            .collect();
        sorted.sort_unstable();
        let mut nodes: Vec<TrieNode> = Vec::new();
        let mut tokens = Vec::with_capacity(sorted.len());
        // The nodes on the way to the last token.
        let mut path: Vec<usize> = Vec::new();
        let mut previous: &[u8] = &[];
        for &(bytes, id) in &sorted {
            let shared = previous.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            close(&mut nodes, &mut path, shared);
            for (&byte, depth) in bytes[shared..].iter().zip(to_u16(shared + 1)..) {
                path.push(nodes.len());
                nodes.push(TrieNode { skip: 0, first_token: to_u32(tokens.len()), depth, byte });
            }
            tokens.push(id);
            previous = bytes;
        }
        close(&mut nodes, &mut path, 0);
        Self { nodes, tokens, end_of_generation: end_of_generation.to_vec(), bytes }
    }

    pub(super) fn nodes(&self) -> &[TrieNode] {
        &self.nodes
    }

    /// The tokens whose bytes end at a node.
    pub(super) fn tokens(&self, node: usize) -> &[u32] {
        let first = |node: usize| self.nodes.get(node).map(|node| node.first_token as usize);
        let end = first(node + 1).unwrap_or(self.tokens.len());
        &self.tokens[first(node).unwrap_or(end)..end]
    }

    /// The bytes of a token; none for those that are never allowed.
    pub(super) fn bytes(&self, id: u32) -> &[u8] {
        let bytes = self.bytes.get(id as usize).map_or(&[][..], |bytes| bytes);
        if bytes.len() > MAX_TOKEN_BYTES { &[] } else { bytes }
    }

    /// How many ids the vocabulary has.
    pub(super) fn vocabulary_size(&self) -> usize {
        self.bytes.len()
    }

    /// The tokens that end a text.
    pub(super) fn end_of_generation(&self) -> &[u32] {
        &self.end_of_generation
    }
}

/// Ends the nodes of the path below `depth`.
fn close(nodes: &mut [TrieNode], path: &mut Vec<usize>, depth: usize) {
    let end = to_u32(nodes.len());
    for node in path.drain(depth..) {
        nodes[node].skip = end;
    }
}

/// A position in the trie. The bytes of a vocabulary come from a file that is mapped in whole: far fewer than 2^32 in all.
fn to_u32(position: usize) -> u32 {
    u32::try_from(position).expect("a vocabulary has fewer than 2^32 bytes")
}

fn to_u16(depth: usize) -> u16 {
    u16::try_from(depth).expect("tokens are at most MAX_TOKEN_BYTES long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_walk_meets_every_token_once_with_its_bytes(
            tokens in prop::collection::vec(prop::collection::vec(0_u8..4, 0..6), 0..40),
        ) {
            let end = u32::try_from(tokens.len()).unwrap();
            let all: Vec<Box<[u8]>> = tokens.iter().cloned().map(Vec::into_boxed_slice).collect();
            let trie = TokenTrie::of_bytes(all, &[end, 0]);
            let mut path = Vec::new();
            let mut met = Vec::new();
            for (i, node) in trie.nodes().iter().enumerate() {
                path.truncate(usize::from(node.depth) - 1);
                path.push(node.byte);
                prop_assert!(trie.nodes()[i + 1..node.skip as usize].iter().all(|n| n.depth > node.depth));
                prop_assert!(trie.nodes().get(node.skip as usize).is_none_or(|n| n.depth <= node.depth));
                for &id in trie.tokens(i) {
                    prop_assert_eq!(&path, &tokens[id as usize]);
                    prop_assert_eq!(trie.bytes(id), &path[..]);
                    met.push(id);
                }
            }
            met.sort_unstable();
            // Token 0 ends the text, so it is not in the trie.
            let expected: Vec<u32> = (1..end).filter(|&id| !tokens[id as usize].is_empty()).collect();
            prop_assert_eq!(met, expected);
        }
    }

    #[test]
    fn tokens_of_absurd_length_are_left_out() {
        let trie = TokenTrie::of_bytes(vec![vec![b'a'; 1025].into(), vec![b'a'; 1024].into()], &[]);
        assert_eq!(trie.nodes().len(), 1024);
        assert_eq!((trie.bytes(0).len(), trie.bytes(1).len(), trie.bytes(2).len()), (0, 1024, 0));
    }
}
