//! SentencePiece's BPE (`tokenizer.ggml.model` = `llama`): Kudo and Richardson 2018.
//!
//! A text starts as its characters, and neighbours merge whenever their text together is a token, the token of the highest score
//! first. Characters that are in no token fall back to byte tokens (`<0x0A>`).
//!
//! The vocabulary writes a space as U+2581; here both are spaces, so text is looked up as it is.

use super::cache::PieceCache;
use super::error::TokenizerError;
use super::merge::{Merger, Pairs, Symbol};
use super::strings::ByteStrings;
use super::table::TokenTable;

/// The tokens of a vocabulary and their scores.
#[derive(Debug)]
pub(super) struct SentencePieceEncoder {
    table: TokenTable,
    /// Rank of each token: the order of scores, highest first, as integers. Shorter than the tokens if there are no scores.
    ranks: Vec<u32>,
    /// Token of each byte.
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
    /// Longest token that merging can make, in bytes.
    longest: u32,
    /// Whether words can be merged apart: no token goes on with a space behind another character.
    words_apart: bool,
}

/// The symbol of a character that is no token.
const NO_TOKEN: u32 = u32::MAX;

impl SentencePieceEncoder {
    /// Builds the encoder from the raw bytes of the tokens, spaces as spaces. Only tokens that `is_text` names are ever made by
    /// merging: the text `<s>` must not become the control token of that name.
    pub(super) fn new(
        raw: &ByteStrings,
        scores: &[f32],
        bytes: &[Option<u32>; 256],
        unknown: Option<u32>,
        is_text: impl Fn(u32) -> bool,
    ) -> Self {
        let text_tokens = || (0..).zip(raw.iter()).filter(|&(id, _)| is_text(id));
        let longest = text_tokens().map(|(_, token)| token.len()).max().unwrap_or(0);
        let continues_with_space =
            |token: &[u8]| token.windows(2).any(|pair| pair[0] != b' ' && pair[1] == b' ');
        Self {
            words_apart: !text_tokens().any(|(_, token)| continues_with_space(token)),
            longest: u32::try_from(longest).unwrap_or(u32::MAX),
            table: TokenTable::new(raw, &is_text),
            ranks: scores.iter().map(|&score| rank_of(score)).collect(),
            bytes: *bytes,
            unknown,
        }
    }

    /// Appends the ids of `text` to `out`. `raw` must be the tokens that the encoder was made from.
    pub(super) fn encode(
        &self,
        text: &str,
        raw: &ByteStrings,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        let mut cache = PieceCache::for_text(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.piece_end(rest));
            rest = behind;
            match cache.find(piece) {
                Ok(range) => out.extend_from_within(range),
                Err(place) => {
                    let start = out.len();
                    self.encode_piece(piece, raw, merger, out)?;
                    cache.insert(&place, piece, start..out.len());
                }
            }
        }
        Ok(())
    }

    /// The end of the first piece of `text` that can be merged apart from the rest: its spaces and the word behind them.
    fn piece_end(&self, text: &str) -> usize {
        if !self.words_apart {
            return text.len();
        }
        let bytes = text.as_bytes();
        let word = bytes.iter().position(|&byte| byte != b' ').unwrap_or(bytes.len());
        bytes[word..].iter().position(|&byte| byte == b' ').map_or(bytes.len(), |at| word + at)
    }

    fn encode_piece(
        &self,
        piece: &str,
        raw: &ByteStrings,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        merger.clear();
        for character in piece.chars() {
            let mut buffer = [0; 4];
            let bytes = character.encode_utf8(&mut buffer).as_bytes();
            let token = self.table.find(raw, bytes).unwrap_or(NO_TOKEN);
            merger.push(bytes.len(), token);
        }
        let mut after_unknown = false;
        for symbol in merger.merge(piece.as_bytes(), &Texts { encoder: self, raw }) {
            if symbol.id != NO_TOKEN {
                out.push(symbol.id);
                after_unknown = false;
                continue;
            }
            let start = symbol.start as usize;
            let bytes = &piece.as_bytes()[start..start + symbol.len as usize];
            let fallback = |&byte: &u8| self.bytes[usize::from(byte)];
            if bytes.iter().all(|byte| fallback(byte).is_some()) {
                out.extend(bytes.iter().filter_map(fallback));
                after_unknown = false;
            } else if let Some(unknown) = self.unknown {
                // A run of unknown characters is one unknown token, as in SentencePiece.
                if !after_unknown {
                    out.push(unknown);
                }
                after_unknown = true;
            } else {
                return Err(TokenizerError::NoTokenForByte { byte: bytes[0] });
            }
        }
        Ok(())
    }
}

/// Pairs that merge because their text is a token.
struct Texts<'a> {
    encoder: &'a SentencePieceEncoder,
    raw: &'a ByteStrings,
}

impl Pairs for Texts<'_> {
    #[inline]
    fn pair(&self, text: &[u8], left: Symbol, right: Symbol) -> Option<(u32, u32)> {
        let len = left.len + right.len;
        if len > self.encoder.longest {
            return None;
        }
        let bytes = &text[left.start as usize..][..len as usize];
        let id = self.encoder.table.find(self.raw, bytes)?;
        Some((self.encoder.ranks.get(id as usize).copied().unwrap_or(0), id))
    }
}

/// An integer that orders scores from the highest to the lowest. NaN sorts by its bits: any order will do, but there must be one.
fn rank_of(score: f32) -> u32 {
    // -0 and 0 are one score.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    !ascending
}

#[cfg(test)]
mod tests {
    use super::rank_of;

    #[test]
    fn ranks_order_scores_from_the_highest() {
        let scores =
            [f32::INFINITY, 1e9, 1.0, 1e-40, 0.0, -1e-40, -1.0, -31999.0, f32::NEG_INFINITY];
        assert!(scores.is_sorted_by(|a, b| rank_of(*a) < rank_of(*b)));
        assert_eq!(rank_of(-0.0), rank_of(0.0));
    }
}
