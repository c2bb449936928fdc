//! The tokens that the penalties look at.

use std::collections::{HashMap, VecDeque};

/// How often each token occurs among the last ones.
#[derive(Clone, Debug)]
pub(super) struct Window {
    length: Option<usize>,
    /// The tokens in order, oldest first; not kept where the window holds all.
    tokens: VecDeque<u32>,
    counts: HashMap<u32, u32>,
}

impl Window {
    /// An empty window over the last `length` tokens, or over all.
    pub(super) fn new(length: Option<usize>) -> Self {
        Self { length, tokens: VecDeque::new(), counts: HashMap::new() }
    }

    /// Adds a token; the oldest one leaves a full window.
    pub(super) fn push(&mut self, id: u32) {
        let count = self.counts.entry(id).or_default();
        *count = count.saturating_add(1);
        let Some(length) = self.length else { return };
        self.tokens.push_back(id);
        if self.tokens.len() > length
            && let Some(oldest) = self.tokens.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
    }

    /// Each token of the window with how often it occurs, in no particular order.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, u32)> {
        self.counts.iter().map(|(&id, &count)| (id, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_are_those_of_the_last_tokens(
            tokens in prop::collection::vec(0_u32..6, 0..60),
            length in prop::option::of(0_usize..12),
        ) {
            let mut window = Window::new(length);
            for (i, &token) in tokens.iter().enumerate() {
                window.push(token);
                let start = length.map_or(0, |length| (i + 1).saturating_sub(length));
                let mut expected = HashMap::new();
                for &token in &tokens[start..=i] {
                    *expected.entry(token).or_insert(0) += 1;
                }
                prop_assert_eq!(window.counts().collect::<HashMap<_, _>>(), expected);
            }
        }
    }
}
