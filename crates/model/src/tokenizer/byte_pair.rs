//! Byte-level byte-pair encoding (`tokenizer.ggml.model` = `gpt2`): Sennrich et al. 2016 over bytes, as in GPT-2.
//!
//! Text is cut into pieces by the pre-tokenizer; each piece starts as its bytes and merges by the ranks of the merge list.

use std::collections::HashMap;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::byte_level;
use super::cache::PieceCache;
use super::error::TokenizerError;
use super::merge::{Merger, Pairs, Symbol};
use super::pre_tokenizer::PreTokenizer;
use super::strings::ByteStrings;
use super::table::TokenTable;

/// The merges of a vocabulary and the way to them.
///
/// Symbols are token ids. A byte or a merge that is no token of the vocabulary gets a symbol beyond them, and is put out as its
/// bytes if it does not merge further.
#[derive(Debug)]
pub(super) struct BytePairEncoder {
    pre_tokenizer: PreTokenizer,
    /// Symbol of each byte.
    bytes: [u32; 256],
    merges: HashTable<Merge>,
    hasher: DefaultHashBuilder,
    vocabulary_size: u32,
    /// Bytes of the symbols beyond the vocabulary.
    beyond: Vec<Box<[u8]>>,
    /// Tokens by their raw bytes, for pre-tokenizers that ignore merges.
    whole_pieces: Option<TokenTable>,
    unknown: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Merge {
    left: u32,
    right: u32,
    rank: u32,
    merged: u32,
}

/// What a [`BytePairEncoder`] is made from.
pub(super) struct Parts<'a> {
    pub(super) pre_tokenizer: PreTokenizer,
    /// Tokens as the file spells them, in GPT-2's characters.
    pub(super) tokens: &'a ByteStrings,
    /// Merges in order of rank: two tokens with a space between.
    pub(super) merges: &'a ByteStrings,
    /// Raw bytes of the tokens.
    pub(super) raw: &'a ByteStrings,
    pub(super) unknown: Option<u32>,
}

impl BytePairEncoder {
    /// Builds the encoder. Only tokens that `is_text` names are ever made by merging; control tokens must not be.
    pub(super) fn new(
        parts: &Parts<'_>,
        is_text: impl Fn(u32) -> bool,
    ) -> Result<Self, TokenizerError> {
        let table = TokenTable::new(parts.tokens, &is_text);
        let mut symbols =
            Symbols { parts, table, beyond: Vec::new(), beyond_by_text: HashMap::new() };
        let mut bytes = [0; 256];
        for (byte, symbol) in (0..=255).zip(&mut bytes) {
            *symbol = symbols.named(byte_level::char_of(byte).encode_utf8(&mut [0; 4]).as_bytes());
        }
        let hasher = DefaultHashBuilder::default();
        let mut merges = HashTable::with_capacity(parts.merges.len());
        let mut joined = Vec::new();
        for (rank, merge) in (0..).zip(parts.merges.iter()) {
            // A token may itself start with a space where a file does not escape them: the separator is never the first byte.
            let space = merge.iter().skip(1).position(|&byte| byte == b' ').map(|at| at + 1);
            let Some((left, right)) = space.map(|at| (&merge[..at], &merge[at + 1..])) else {
                return Err(TokenizerError::WrongType {
                    key: "tokenizer.ggml.merges",
                    expected: "a list of pairs of tokens with a space between",
                });
            };
            joined.clear();
            joined.extend_from_slice(left);
            joined.extend_from_slice(right);
            let (left, right, merged) =
                (symbols.named(left), symbols.named(right), symbols.named(&joined));
            let hash = hasher.hash_one((left, right));
            merges
                .entry(
                    hash,
                    |known: &Merge| (known.left, known.right) == (left, right),
                    |known| hasher.hash_one((known.left, known.right)),
                )
                .or_insert(Merge { left, right, rank, merged });
        }
        let beyond = symbols.beyond;
        Ok(Self {
            pre_tokenizer: parts.pre_tokenizer,
            bytes,
            merges,
            hasher,
            vocabulary_size: u32::try_from(parts.tokens.len()).unwrap_or(u32::MAX),
            beyond,
            whole_pieces: parts
                .pre_tokenizer
                .ignores_merges
                .then(|| TokenTable::new(parts.raw, is_text)),
            unknown: parts.unknown,
        })
    }

    /// Appends the ids of `text` to `out`. `raw` are the raw bytes of the tokens.
    pub(super) fn encode(
        &self,
        text: &str,
        raw: &ByteStrings,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut cache = PieceCache::for_text(text.len());
        let mut result = Ok(());
        self.pre_tokenizer.split(text, &mut |piece| match cache.find(piece) {
            Ok(range) => out.extend_from_within(range),
            Err(place) => {
                let start = out.len();
                if let Err(error) = self.encode_piece(piece.as_bytes(), raw, merger, out) {
                    result = Err(error);
                }
                cache.insert(&place, piece, start..out.len());
            }
        });
        result
    }

    fn encode_piece(
        &self,
        piece: &[u8],
        raw: &ByteStrings,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        if let Some(id) = self.whole_pieces.as_ref().and_then(|table| table.find(raw, piece)) {
            out.push(id);
            return Ok(());
        }
        merger.clear();
        for &byte in piece {
            merger.push(1, self.bytes[usize::from(byte)]);
        }
        for symbol in merger.merge(piece, self) {
            match symbol.id.checked_sub(self.vocabulary_size) {
                None => out.push(symbol.id),
                Some(index) => self.spell_out(&self.beyond[index as usize], out)?,
            }
        }
        Ok(())
    }

    /// Appends the tokens of single bytes.
    fn spell_out(&self, bytes: &[u8], out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        for &byte in bytes {
            let symbol = self.bytes[usize::from(byte)];
            let token = (symbol < self.vocabulary_size).then_some(symbol).or(self.unknown);
            out.push(token.ok_or(TokenizerError::NoTokenForByte { byte })?);
        }
        Ok(())
    }
}

impl Pairs for BytePairEncoder {
    #[inline]
    fn pair(&self, _: &[u8], left: Symbol, right: Symbol) -> Option<(u32, u32)> {
        let pair = (left.id, right.id);
        self.merges
            .find(self.hasher.hash_one(pair), |known| (known.left, known.right) == pair)
            .map(|known| (known.rank, known.merged))
    }
}

/// Gives symbols to the texts of merges.
struct Symbols<'a> {
    parts: &'a Parts<'a>,
    table: TokenTable,
    beyond: Vec<Box<[u8]>>,
    beyond_by_text: HashMap<Box<[u8]>, u32>,
}

impl Symbols<'_> {
    fn named(&mut self, text: &[u8]) -> u32 {
        if let Some(id) = self.table.find(self.parts.tokens, text) {
            return id;
        }
        if let Some(&symbol) = self.beyond_by_text.get(text) {
            return symbol;
        }
        // At most three for each merge, and merges fit 32 bits together with the bytes of their texts.
        let symbol = u32::try_from(self.parts.tokens.len() + self.beyond.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        byte_level::decode_into(text, &mut bytes);
        self.beyond.push(bytes.into());
        self.beyond_by_text.insert(text.into(), symbol);
        symbol
    }
}
