//! Stop strings in a stream of text.

use super::SamplingError;

/// All stop strings together may be this long, in bytes: it bounds the automaton.
const MAX_TOTAL_BYTES: usize = 1 << 16;

/// Finds the first of several stop strings in a text that comes in pieces, and holds back what may be the beginning of one.
///
/// An Aho-Corasick automaton over the bytes (Aho, Corasick, 1975): its state is the longest suffix of the text that begins a stop string,
/// so the depth of the state is how much must be held back. The match is the one that ends first, and the longest of those that end there:
/// what is emitted does not depend on how the text is cut into pieces.
#[derive(Clone, Debug)]
pub struct StopMatcher {
    states: Vec<State>,
    state: usize,
    /// The text of `state`: seen, not yet emitted.
    held: String,
    matched: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Sorted by byte.
    children: Vec<(u8, usize)>,
    /// The state of the longest proper suffix that begins a stop string.
    fail: usize,
    depth: usize,
    /// The longest stop string that ends here: its index and length in bytes.
    stop: Option<(usize, usize)>,
}

impl StopMatcher {
    /// A matcher of `stops`; of none, all text passes at once.
    ///
    /// # Errors
    /// [`SamplingError::Option`] (`ERR_SAMPLING_OPTION`) where one is empty or all together exceed 65,536 bytes.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self, SamplingError> {
        let total = stops.iter().map(|stop| stop.as_ref().len()).sum::<usize>();
        if total > MAX_TOTAL_BYTES {
            return Err(SamplingError::Option {
                option: "stop",
                value: format!("{total} bytes together"),
                range: format!("at most {MAX_TOTAL_BYTES} bytes together"),
            });
        }
        let mut states = vec![State::default()];
        for (index, stop) in stops.iter().enumerate() {
            let stop = stop.as_ref();
            if stop.is_empty() {
                return Err(SamplingError::Option {
                    option: "stop",
                    value: format!("an empty string at index {index}"),
                    range: "strings of at least one character".into(),
                });
            }
            let mut state = 0;
            for byte in stop.bytes() {
                state = match states[state].child(byte) {
                    Ok(child) => child,
                    Err(place) => {
                        let new = states.len();
                        states[state].children.insert(place, (byte, new));
                        states.push(State { depth: states[state].depth + 1, ..State::default() });
                        new
                    }
                };
            }
            // Of equal stop strings the first one counts.
            states[state].stop.get_or_insert((index, stop.len()));
        }
        let mut matcher = Self { states, state: 0, held: String::new(), matched: None };
        matcher.link();
        Ok(matcher)
    }

    /// Takes the next piece of the text and gives what is now certain to come before any stop string. After a match nothing more comes.
    pub fn push(&mut self, piece: &str) -> String {
        if self.matched.is_some() {
            return String::new();
        }
        let before = self.held.len();
        self.held.push_str(piece);
        for (i, byte) in piece.bytes().enumerate() {
            self.state = self.next(self.state, byte);
            if let Some((index, length)) = self.states[self.state].stop {
                self.matched = Some(index);
                // Stop strings are whole characters, so the cut is between characters.
                self.held.truncate(before + i + 1 - length);
                return std::mem::take(&mut self.held);
            }
        }
        // The text of the state begins a stop string, so it starts with a character.
        let rest = self.held.split_off(self.held.len() - self.states[self.state].depth);
        std::mem::replace(&mut self.held, rest)
    }

    /// The end of the text: gives what was held back.
    pub fn finish(&mut self) -> String {
        self.state = 0;
        std::mem::take(&mut self.held)
    }

    /// The index of the stop string that was found.
    #[must_use]
    pub fn matched(&self) -> Option<usize> {
        self.matched
    }

    /// Whether a stop string was found: the text is at its end.
    #[must_use]
    pub fn is_matched(&self) -> bool {
        self.matched.is_some()
    }

    /// Sets the fail links and the inherited matches, in the order of depth.
    fn link(&mut self) {
        let mut queue = std::collections::VecDeque::from([0]);
        while let Some(state) = queue.pop_front() {
            for (byte, child) in self.states[state].children.clone() {
                let fail = if state == 0 { 0 } else { self.next(self.states[state].fail, byte) };
                let inherited = self.states[fail].stop;
                let child_state = &mut self.states[child];
                child_state.fail = fail;
                // A stop string that ends here in full is longer than one that is its suffix.
                child_state.stop = child_state.stop.or(inherited);
                queue.push_back(child);
            }
        }
    }

    fn next(&self, mut state: usize, byte: u8) -> usize {
        loop {
            match self.states[state].child(byte) {
                Ok(child) => return child,
                Err(_) if state == 0 => return 0,
                Err(_) => state = self.states[state].fail,
            }
        }
    }
}

impl State {
    /// The child by a byte, or the place among the children where it would be.
    fn child(&self, byte: u8) -> Result<usize, usize> {
        self.children
            .binary_search_by_key(&byte, |&(byte, _)| byte)
            .map(|place| self.children[place].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text before the stop string that ends first (the longest of those that end there), and its index.
    fn naive(text: &str, stops: &[String]) -> (String, Option<usize>) {
        for end in 1..=text.len() {
            let found = stops
                .iter()
                .enumerate()
                .filter(|(_, stop)| text.as_bytes()[..end].ends_with(stop.as_bytes()))
                .max_by_key(|&(index, stop)| (stop.len(), std::cmp::Reverse(index)));
            if let Some((index, stop)) = found {
                return (text[..end - stop.len()].to_owned(), Some(index));
            }
        }
        (text.to_owned(), None)
    }

    /// The longest suffix of `text` that begins a stop string.
    fn naive_held(text: &str, stops: &[String]) -> usize {
        (0..=text.len())
            .filter(|&start| text.is_char_boundary(start))
            .map(|start| &text[start..])
            .find(|suffix| stops.iter().any(|stop| stop.starts_with(suffix)))
            .map_or(0, str::len)
    }

    fn cut(text: &str, cuts: &[prop::sample::Index]) -> Vec<String> {
        let boundaries: Vec<usize> =
            (0..=text.len()).filter(|&i| text.is_char_boundary(i)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.get(&boundaries)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| text[pair[0]..pair[1]].to_owned()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_a_naive_search_over_all_splits(
            text in "[ab\u{e9}\u{ea}\u{1f600}]{0,24}",
            stops in prop::collection::vec("[ab\u{e9}\u{ea}\u{1f600}]{1,5}", 0..5),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let (expected, expected_stop) = naive(&text, &stops);
            let mut matcher = StopMatcher::new(&stops).unwrap();
            let (mut seen, mut emitted) = (String::new(), String::new());
            for piece in cut(&text, &cuts) {
                emitted.push_str(&matcher.push(&piece));
                seen.push_str(&piece);
                let (before, stopped) = naive(&seen, &stops);
                prop_assert_eq!(matcher.matched(), stopped);
                // Nothing is held back that could be emitted.
                let held = if stopped.is_some() { 0 } else { naive_held(&seen, &stops) };
                prop_assert_eq!(&emitted, &before[..before.len() - held]);
            }
            emitted.push_str(&matcher.finish());
            prop_assert_eq!(matcher.matched(), expected_stop);
            prop_assert_eq!(emitted, expected);
        }
    }

    #[test]
    fn stops_across_pieces() {
        let mut matcher = StopMatcher::new(&["\n\nUser:", "</s>"]).unwrap();
        let texts = ["Hi\n", "\nUs", "ed\n\n", "User", ": more", "ignored"]
            .map(|piece| (matcher.push(piece), matcher.is_matched()));
        let expected =
            [("Hi", false), ("", false), ("\n\nUsed", false), ("", false), ("", true), ("", true)];
        assert_eq!(texts, expected.map(|(text, matched)| (text.to_owned(), matched)));
        assert_eq!((matcher.finish().as_str(), matcher.matched()), ("", Some(0)));
    }

    #[test]
    fn bad_stop_strings_are_refused() {
        assert_eq!(StopMatcher::new(&[""]).unwrap_err().code(), "ERR_SAMPLING_OPTION");
        let long = "x".repeat(MAX_TOTAL_BYTES);
        assert!(StopMatcher::new(&[&long]).is_ok());
        assert_eq!(
            StopMatcher::new(&[long.as_str(), "y"]).unwrap_err().code(),
            "ERR_SAMPLING_OPTION"
        );
    }
}
