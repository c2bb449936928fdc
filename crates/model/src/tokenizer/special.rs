//! Finding special and user-defined tokens in text.

use aho_corasick::{AhoCorasick, MatchKind};

use super::error::TokenizerError;

/// A stretch of text: one token, or ordinary text before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragment<'t> {
    /// The text of a special or user-defined token.
    Token(u32),
    /// Text without such tokens; never empty.
    Text(&'t str),
}

/// Searches text for the tokens that are matched before anything else: at each place the longest, from left to right.
#[derive(Debug, Default)]
pub(super) struct SpecialTokens {
    /// User-defined tokens, which are matched always.
    user_defined: Search,
    /// User-defined and control tokens.
    all: Search,
}

/// A search, and the token of each of its patterns. Without patterns there is no automaton.
#[derive(Debug, Default)]
struct Search {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl Search {
    fn new<'a>(tokens: impl Iterator<Item = (u32, &'a [u8])>) -> Result<Self, TokenizerError> {
        let (ids, texts): (Vec<_>, Vec<_>) = tokens.filter(|(_, text)| !text.is_empty()).unzip();
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(texts)
            .map_err(|error| TokenizerError::SpecialTokens { reason: error.to_string() })?;
        Ok(Self { automaton: Some(automaton), ids })
    }
}

impl SpecialTokens {
    /// Tokens to search for, by id and text: `control` ones only where the caller asks for them.
    pub(super) fn new<'a>(
        user_defined: impl Iterator<Item = (u32, &'a [u8])> + Clone,
        control: impl Iterator<Item = (u32, &'a [u8])>,
    ) -> Result<Self, TokenizerError> {
        Ok(Self {
            user_defined: Search::new(user_defined.clone())?,
            all: Search::new(control.chain(user_defined))?,
        })
    }

    /// Calls `sink` with the fragments of `text` in order, until it fails.
    ///
    /// A match that would cut a character, which only a malformed vocabulary has, is taken as text.
    pub(super) fn split<'t, E>(
        &self,
        text: &'t str,
        special: bool,
        mut sink: impl FnMut(Fragment<'t>) -> Result<(), E>,
    ) -> Result<(), E> {
        let search = if special { &self.all } else { &self.user_defined };
        let mut done = 0;
        for found in search.automaton.iter().flat_map(|automaton| automaton.find_iter(text)) {
            let (Some(before), true) =
                (text.get(done..found.start()), text.is_char_boundary(found.end()))
            else {
                continue;
            };
            if !before.is_empty() {
                sink(Fragment::Text(before))?;
            }
            sink(Fragment::Token(search.ids[found.pattern().as_usize()]))?;
            done = found.end();
        }
        if done < text.len() {
            sink(Fragment::Text(&text[done..]))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments<'t>(tokens: &SpecialTokens, text: &'t str, special: bool) -> Vec<Fragment<'t>> {
        let mut all = Vec::new();
        let ok: Result<(), ()> = tokens.split(text, special, |fragment| {
            all.push(fragment);
            Ok(())
        });
        assert_eq!(ok, Ok(()));
        all
    }

    #[test]
    fn the_longest_token_wins_and_control_tokens_only_when_asked() {
        use Fragment::{Text, Token};
        let user: [(u32, &[u8]); 2] = [(5, b"  "), (6, b"   ")];
        let control: [(u32, &[u8]); 2] = [(1, b"<s>"), (2, b"")];
        let tokens = SpecialTokens::new(user.into_iter(), control.into_iter()).expect("builds");
        assert_eq!(
            fragments(&tokens, "a    b<s>", true),
            [Text("a"), Token(6), Text(" b"), Token(1)]
        );
        assert_eq!(fragments(&tokens, "a     b", true), [Text("a"), Token(6), Token(5), Text("b")]);
        assert_eq!(fragments(&tokens, "<s>", false), [Text("<s>")]);
        assert_eq!(fragments(&tokens, "", true), []);
    }

    #[test]
    fn a_token_that_cuts_a_character_is_not_matched() {
        let control: [(u32, &[u8]); 1] = [(1, &[0xA9])];
        let tokens = SpecialTokens::new([].into_iter(), control.into_iter()).expect("builds");
        assert_eq!(fragments(&tokens, "é©", true), [Fragment::Text("é©")]);
    }
}
