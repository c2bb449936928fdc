//! A grammar made deterministic as far as a text and its possible next tokens reach.
//!
//! A [recursive transition network](super::grammar) with its stack of calls is in several (node, stack) pairs at once. Such a set of
//! configurations is a state here, and its successors are remembered: a walk over tens of thousands of tokens then takes one look-up a byte
//! almost everywhere. Stacks are lists that share their tails, each stored once, so that equal ones have equal numbers and equal sets are
//! found again: a list of objects goes through the same states for every object.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ConstraintError;
use super::grammar::{Edge, Grammar, NodeId, RuleId};
use super::trie::TokenTrie;

/// Configurations of one state: what an ambiguous schema may take.
const MAX_CONFIGURATIONS: usize = 4096;

/// Configurations visited to find what may follow one token: it bounds the time that a hostile schema takes, to a fraction of a second.
const MAX_WORK: usize = 1 << 22;

/// Remembered states, after which all but the current one are forgotten.
const MAX_STATES: usize = 1 << 14;

/// Memory of the remembered masks, after which they are forgotten.
const MAX_MASK_BYTES: usize = 16 << 20;

/// The state after a byte that no text of the grammar goes on with.
const DEAD: u32 = u32::MAX;
/// A successor that was not looked for yet.
const UNKNOWN: u32 = u32::MAX - 1;

/// The empty stack.
const BOTTOM: u32 = 0;

/// A node and the number of the stack of calls that it is in.
type Configuration = (NodeId, u32);

/// A bit for each token: whether it may come next.
pub(super) type Mask = Arc<[u64]>;

/// Where a text is in its grammar.
#[derive(Clone, Debug)]
pub(super) struct Automaton {
    grammar: Arc<Grammar>,
    trie: Arc<TokenTrie>,
    stacks: Vec<Stack>,
    stack_numbers: HashMap<(u32, NodeId), u32>,
    states: Vec<State>,
    state_numbers: HashMap<Arc<[Configuration]>, [Option<u32>; 2]>,
    /// `transitions[state * classes + class]`
    transitions: Vec<u32>,
    masks: HashMap<u32, Mask>,
    current: u32,
    /// Scratch of [`Self::state`].
    seen: HashSet<Configuration>,
    /// Configurations visited since the last token.
    work: usize,
}

/// A call: where it returns to, on top of the stack that it was made in.
#[derive(Clone, Copy, Debug)]
struct Stack {
    below: u32,
    target: NodeId,
    depth: u16,
}

#[derive(Clone, Debug)]
struct State {
    /// Sorted; those only that can read a byte.
    configurations: Arc<[Configuration]>,
    /// Whether the text is complete here.
    complete: bool,
}

impl Automaton {
    /// The start of a text of `rule`.
    ///
    /// # Errors
    /// [`ConstraintError::Unsatisfiable`] where no text can be completed.
    pub(super) fn new(
        grammar: Arc<Grammar>,
        rule: RuleId,
        trie: Arc<TokenTrie>,
    ) -> Result<Self, ConstraintError> {
        let start = grammar.start(rule);
        let mut automaton = Self {
            grammar,
            trie,
            stacks: vec![Stack { below: BOTTOM, target: 0, depth: 0 }],
            stack_numbers: HashMap::new(),
            states: Vec::new(),
            state_numbers: HashMap::new(),
            transitions: Vec::new(),
            masks: HashMap::new(),
            current: DEAD,
            seen: HashSet::new(),
            work: 0,
        };
        automaton.current = automaton.state(vec![(start, BOTTOM)])?;
        if automaton.current == DEAD {
            return Err(ConstraintError::Unsatisfiable);
        }
        Ok(automaton)
    }

    /// Whether the text so far is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.states[self.current as usize].complete
    }

    /// Whether the text is complete and nothing may follow.
    pub(super) fn is_finished(&self) -> bool {
        let state = &self.states[self.current as usize];
        state.complete && state.configurations.is_empty()
    }

    /// The tokens that may come next; those that end the text are among them where it is complete.
    pub(super) fn mask(&mut self) -> Result<Mask, ConstraintError> {
        self.work = 0;
        self.forget();
        if let Some(mask) = self.masks.get(&self.current) {
            return Ok(Arc::clone(mask));
        }
        let mut mask = vec![0_u64; self.trie.vocabulary_size().div_ceil(64)];
        let mut allow = |id: u32| {
            if let Some(word) = mask.get_mut(id as usize / 64) {
                *word |= 1 << (id % 64);
            }
        };
        if self.is_complete() {
            self.trie.end_of_generation().iter().for_each(|&id| allow(id));
        }
        let trie = Arc::clone(&self.trie);
        let nodes = trie.nodes();
        // The state after each byte on the way to the node.
        let mut states = vec![self.current];
        let mut i = 0;
        while let Some(node) = nodes.get(i) {
            let depth = usize::from(node.depth);
            let state = self.step(states[depth - 1], node.byte)?;
            if state == DEAD {
                i = node.skip as usize;
                continue;
            }
            states.truncate(depth);
            states.push(state);
            trie.tokens(i).iter().for_each(|&id| allow(id));
            i += 1;
        }
        let mask = Mask::from(mask);
        if (self.masks.len() + 1) * mask.len() * 8 > MAX_MASK_BYTES {
            self.masks.clear();
        }
        self.masks.insert(self.current, Arc::clone(&mask));
        Ok(mask)
    }

    /// Goes on by the bytes of a token; stays where it is if they are not allowed.
    pub(super) fn accept(&mut self, id: u32) -> Result<(), ConstraintError> {
        self.work = 0;
        self.forget();
        let trie = Arc::clone(&self.trie);
        let bytes = trie.bytes(id);
        let mut state = self.current;
        for &byte in bytes {
            state = self.step(state, byte)?;
            if state == DEAD {
                break;
            }
        }
        if bytes.is_empty() || state == DEAD {
            return Err(ConstraintError::Token { id });
        }
        self.current = state;
        Ok(())
    }

    /// The state after a byte.
    fn step(&mut self, state: u32, byte: u8) -> Result<u32, ConstraintError> {
        let class = self.grammar.classes[usize::from(byte)];
        let slot = state as usize * self.grammar.representatives.len() + usize::from(class);
        match self.transitions[slot] {
            UNKNOWN => {
                let next =
                    self.successor(state, self.grammar.representatives[usize::from(class)])?;
                self.transitions[slot] = next;
                Ok(next)
            }
            known => Ok(known),
        }
    }

    fn successor(&mut self, state: u32, byte: u8) -> Result<u32, ConstraintError> {
        let configurations = Arc::clone(&self.states[state as usize].configurations);
        let mut next = Vec::new();
        for &(node, stack) in &*configurations {
            for edge in self.grammar.edges(node) {
                if let Edge::Byte { first, last, target } = *edge
                    && (first..=last).contains(&byte)
                {
                    next.push((target, stack));
                }
            }
        }
        self.state(next)
    }

    /// The number of the state that holds `pending` and all that is reached from there without reading.
    fn state(&mut self, mut pending: Vec<Configuration>) -> Result<u32, ConstraintError> {
        let grammar = Arc::clone(&self.grammar);
        let mut reading = Vec::new();
        self.seen.clear();
        let mut complete = false;
        while let Some((node, stack)) = pending.pop() {
            let depth = self.stacks[stack as usize].depth;
            if !grammar.can_end(node, depth) || !self.seen.insert((node, stack)) {
                continue;
            }
            self.work += 1;
            if self.seen.len() > MAX_CONFIGURATIONS || self.work > MAX_WORK {
                return Err(ConstraintError::Limit {
                    what: "ways to read a text at once",
                    limit: MAX_CONFIGURATIONS,
                });
            }
            if grammar.accepts(node) {
                if stack == BOTTOM {
                    complete = true;
                } else {
                    let Stack { below, target, .. } = self.stacks[stack as usize];
                    pending.push((target, below));
                }
            }
            let mut reads = false;
            for edge in grammar.edges(node) {
                match *edge {
                    Edge::Byte { .. } => reads = true,
                    Edge::Skip { target } => pending.push((target, stack)),
                    Edge::Call { rule, target } => {
                        let start = grammar.start(rule);
                        if grammar.can_end(start, depth + 1) && grammar.can_end(target, depth) {
                            pending.push((start, self.push(stack, target, depth + 1)));
                        }
                    }
                }
            }
            if reads {
                reading.push((node, stack));
            }
        }
        if reading.is_empty() && !complete {
            return Ok(DEAD);
        }
        reading.sort_unstable();
        Ok(self.number(reading.into(), complete))
    }

    fn push(&mut self, below: u32, target: NodeId, depth: u16) -> u32 {
        *self.stack_numbers.entry((below, target)).or_insert_with(|| {
            self.stacks.push(Stack { below, target, depth });
            number(self.stacks.len() - 1)
        })
    }

    fn number(&mut self, configurations: Arc<[Configuration]>, complete: bool) -> u32 {
        let numbers = self.state_numbers.entry(Arc::clone(&configurations)).or_default();
        *numbers[usize::from(complete)].get_or_insert_with(|| {
            self.states.push(State { configurations, complete });
            let classes = self.grammar.representatives.len();
            self.transitions.resize(self.transitions.len() + classes, UNKNOWN);
            number(self.states.len() - 1)
        })
    }

    /// Forgets all but the current state where too many are remembered.
    fn forget(&mut self) {
        if self.states.len() <= MAX_STATES {
            return;
        }
        let State { configurations, complete } = self.states[self.current as usize].clone();
        let stacks = std::mem::take(&mut self.stacks);
        self.stacks.push(stacks[BOTTOM as usize]);
        self.stack_numbers.clear();
        self.states.clear();
        self.state_numbers.clear();
        self.transitions.clear();
        self.masks.clear();
        let mut kept = Vec::with_capacity(configurations.len());
        for &(node, stack) in &*configurations {
            let mut calls = Vec::new();
            let mut at = stack;
            while at != BOTTOM {
                calls.push(stacks[at as usize]);
                at = stacks[at as usize].below;
            }
            let stack = calls
                .into_iter()
                .rev()
                .fold(BOTTOM, |below, call| self.push(below, call.target, call.depth));
            kept.push((node, stack));
        }
        kept.sort_unstable();
        self.current = self.number(kept.into(), complete);
    }
}

/// Numbers stay far below 2^32: states are forgotten at [`MAX_STATES`], and one walk over a vocabulary adds a few for each of its bytes.
fn number(position: usize) -> u32 {
    u32::try_from(position).expect("bounded by the states of one walk")
}
