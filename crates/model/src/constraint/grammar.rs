//! Context-free grammars over bytes, as recursive transition networks.
//!
//! A rule is a small nondeterministic automaton whose edges read a byte, read nothing, or call another rule and go on when that ends
//! (Woods, 1970). A schema that refers to itself is a rule that calls itself.

use super::ConstraintError;
use super::char_set::CharSet;

/// Calls within calls that a text may be in: with one call for each object or array around a value, the depth of the JSON text is below.
/// It keeps a model from opening brackets without end, and stays under the limit of 128 of common parsers.
pub(super) const MAX_DEPTH: u16 = 64;

/// Edges and nodes of one grammar: what a hostile schema may take, about 10 MB.
const MAX_SIZE: usize = 1 << 18;

/// The cost of a node from which its rule cannot end.
const UNREACHABLE: u16 = u16::MAX;

pub(super) type NodeId = u32;
pub(super) type RuleId = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// Reads a byte from `first` to `last`.
    Byte { first: u8, last: u8, target: NodeId },
    /// Reads nothing.
    Skip { target: NodeId },
    /// Goes through a whole rule.
    Call { rule: RuleId, target: NodeId },
}

/// A finished grammar.
#[derive(Debug)]
pub(super) struct Grammar {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    rules: Vec<NodeId>,
    /// The class of each byte: bytes of one class are never told apart.
    pub(super) classes: Box<[u8; 256]>,
    /// A byte of each class.
    pub(super) representatives: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    first_edge: u32,
    /// The calls within calls that the cheapest way from here to the end of the rule needs.
    cost: u16,
    accepts: bool,
}

impl Grammar {
    /// The first node of a rule.
    pub(super) fn start(&self, rule: RuleId) -> NodeId {
        self.rules[rule as usize]
    }

    pub(super) fn edges(&self, node: NodeId) -> &[Edge] {
        let node = node as usize;
        let end =
            self.nodes.get(node + 1).map_or(self.edges.len(), |next| next.first_edge as usize);
        &self.edges[self.nodes[node].first_edge as usize..end]
    }

    /// Whether the rule may end at the node.
    pub(super) fn accepts(&self, node: NodeId) -> bool {
        self.nodes[node as usize].accepts
    }

    /// Whether a text at `node`, within `depth` calls, can be completed without exceeding [`MAX_DEPTH`].
    pub(super) fn can_end(&self, node: NodeId, depth: u16) -> bool {
        depth.saturating_add(self.nodes[node as usize].cost) <= MAX_DEPTH
    }
}

/// A grammar in the making. Building is by fragments: each takes the node that it starts from and returns, or is given, the one it ends at.
pub(super) struct GrammarBuilder {
    nodes: Vec<(Vec<Edge>, bool)>,
    rules: Vec<NodeId>,
    size: usize,
}

impl GrammarBuilder {
    pub(super) fn new() -> Self {
        Self { nodes: Vec::new(), rules: Vec::new(), size: 0 }
    }

    /// A new node.
    pub(super) fn node(&mut self) -> Result<NodeId, ConstraintError> {
        self.grow()?;
        self.nodes.push((Vec::new(), false));
        Ok(index(self.nodes.len() - 1))
    }

    /// A new rule with its first node, and no way to its end yet.
    pub(super) fn rule(&mut self) -> Result<(RuleId, NodeId), ConstraintError> {
        let start = self.node()?;
        self.rules.push(start);
        Ok((index(self.rules.len() - 1), start))
    }

    /// Lets the rule of `node` end there.
    pub(super) fn accept(&mut self, node: NodeId) {
        self.nodes[node as usize].1 = true;
    }

    pub(super) fn edge(&mut self, from: NodeId, edge: Edge) -> Result<(), ConstraintError> {
        self.grow()?;
        self.nodes[from as usize].0.push(edge);
        Ok(())
    }

    /// Reads one byte from `first` to `last`.
    pub(super) fn byte(
        &mut self,
        from: NodeId,
        (first, last): (u8, u8),
        target: NodeId,
    ) -> Result<(), ConstraintError> {
        self.edge(from, Edge::Byte { first, last, target })
    }

    /// Reads nothing.
    pub(super) fn skip(&mut self, from: NodeId, target: NodeId) -> Result<(), ConstraintError> {
        self.edge(from, Edge::Skip { target })
    }

    /// Reads a whole rule; returns the node behind it.
    pub(super) fn call(&mut self, from: NodeId, rule: RuleId) -> Result<NodeId, ConstraintError> {
        let target = self.node()?;
        self.edge(from, Edge::Call { rule, target })?;
        Ok(target)
    }

    /// Reads the given bytes; returns the node behind them.
    pub(super) fn literal(
        &mut self,
        mut from: NodeId,
        bytes: &[u8],
    ) -> Result<NodeId, ConstraintError> {
        for &byte in bytes {
            let target = self.node()?;
            self.byte(from, (byte, byte), target)?;
            from = target;
        }
        Ok(from)
    }

    /// Reads one byte of each range in turn, the last one into `target`.
    pub(super) fn sequence(
        &mut self,
        mut from: NodeId,
        ranges: &[(u8, u8)],
        target: NodeId,
    ) -> Result<(), ConstraintError> {
        for (i, &range) in ranges.iter().enumerate() {
            let next = if i + 1 == ranges.len() { target } else { self.node()? };
            self.byte(from, range, next)?;
            from = next;
        }
        Ok(())
    }

    /// Reads the UTF-8 encoding of one character of a set.
    pub(super) fn characters(
        &mut self,
        from: NodeId,
        set: &CharSet,
        target: NodeId,
    ) -> Result<(), ConstraintError> {
        for sequence in set.utf8_sequences() {
            self.sequence(from, &sequence, target)?;
        }
        Ok(())
    }

    /// The finished grammar.
    pub(super) fn build(self) -> Grammar {
        let costs = self.costs();
        let mut bounds = [false; 256];
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut edges = Vec::new();
        for ((own, accepts), cost) in self.nodes.into_iter().zip(costs) {
            nodes.push(Node { first_edge: index(edges.len()), cost, accepts });
            for edge in own {
                if let Edge::Byte { first, last, .. } = edge {
                    bounds[usize::from(first)] = true;
                    if let Some(next) = bounds.get_mut(usize::from(last) + 1) {
                        *next = true;
                    }
                }
                edges.push(edge);
            }
        }
        // A class begins wherever an edge begins or has just ended.
        let mut classes = Box::new([0; 256]);
        let mut representatives = vec![0];
        for byte in 1..=u8::MAX {
            if bounds[usize::from(byte)] {
                representatives.push(byte);
            }
            classes[usize::from(byte)] =
                u8::try_from(representatives.len() - 1).expect("at most one class for each byte");
        }
        Grammar { nodes, edges, rules: self.rules, classes, representatives }
    }

    /// The cost of every node, see [`Node::cost`].
    ///
    /// Round `d` finds what can end within `d` calls, given the rules that can end within less: backwards from the ends along the edges.
    fn costs(&self) -> Vec<u16> {
        let mut costs = vec![UNREACHABLE; self.nodes.len()];
        let mut predecessors: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        let mut callers: Vec<Vec<NodeId>> = vec![Vec::new(); self.rules.len()];
        let mut queue = Vec::new();
        for (from, (edges, accepts)) in (0..).zip(&self.nodes) {
            if *accepts {
                queue.push(from);
            }
            for edge in edges {
                match *edge {
                    Edge::Byte { target, .. } | Edge::Skip { target } => {
                        predecessors[target as usize].push(from);
                    }
                    Edge::Call { rule, target } => {
                        predecessors[target as usize].push(from);
                        callers[rule as usize].push(from);
                    }
                }
            }
        }
        let mut ended = vec![false; self.rules.len()];
        for depth in 0..=MAX_DEPTH {
            while let Some(node) = queue.pop() {
                if costs[node as usize] != UNREACHABLE {
                    continue;
                }
                let (edges, accepts) = &self.nodes[node as usize];
                let passes = |edge: &Edge| match *edge {
                    Edge::Byte { target, .. } | Edge::Skip { target } => {
                        costs[target as usize] != UNREACHABLE
                    }
                    Edge::Call { rule, target } => {
                        ended[rule as usize] && costs[target as usize] != UNREACHABLE
                    }
                };
                if *accepts || edges.iter().any(passes) {
                    costs[node as usize] = depth;
                    queue.extend(&predecessors[node as usize]);
                }
            }
            for (rule, &start) in self.rules.iter().enumerate() {
                if !ended[rule] && costs[start as usize] != UNREACHABLE {
                    ended[rule] = true;
                    queue.extend(&callers[rule]);
                }
            }
            if queue.is_empty() {
                break;
            }
        }
        costs
    }

    fn grow(&mut self) -> Result<(), ConstraintError> {
        self.size += 1;
        if self.size > MAX_SIZE {
            return Err(ConstraintError::Limit { what: "states", limit: MAX_SIZE });
        }
        Ok(())
    }
}

/// Below [`MAX_SIZE`], as every node and edge is counted.
fn index(position: usize) -> u32 {
    u32::try_from(position).expect("bounded by MAX_SIZE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_count_the_calls_that_an_end_needs() {
        let mut builder = GrammarBuilder::new();
        let (list, start) = builder.rule().unwrap();
        let (endless, endless_start) = builder.rule().unwrap();
        // list = "[" list "]" | "x"; endless = "(" endless
        let open = builder.literal(start, b"[").unwrap();
        let inner = builder.call(open, list).unwrap();
        let end = builder.literal(inner, b"]").unwrap();
        builder.accept(end);
        builder.byte(start, (b'x', b'x'), end).unwrap();
        let open_endless = builder.literal(endless_start, b"(").unwrap();
        let never = builder.call(open_endless, endless).unwrap();
        builder.accept(never);
        let grammar = builder.build();
        assert!(grammar.can_end(start, MAX_DEPTH), "by x");
        assert!(grammar.can_end(open, MAX_DEPTH - 1));
        assert!(!grammar.can_end(open, MAX_DEPTH), "needs a call");
        assert!(!grammar.can_end(endless_start, 0));
        assert!(!grammar.can_end(open_endless, 0));
    }

    #[test]
    fn bytes_that_no_edge_tells_apart_share_a_class() {
        let mut builder = GrammarBuilder::new();
        let (_, start) = builder.rule().unwrap();
        builder.byte(start, (b'a', b'f'), start).unwrap();
        builder.byte(start, (b'e', 0xFF), start).unwrap();
        let grammar = builder.build();
        let class = |byte: u8| grammar.classes[usize::from(byte)];
        assert_eq!(grammar.representatives, [0, b'a', b'e', b'g']);
        assert_eq!([class(0), class(b'`'), class(b'a'), class(b'd')], [0, 0, 1, 1]);
        assert_eq!([class(b'e'), class(b'f'), class(b'g'), class(0xFF)], [2, 2, 3, 3]);
    }

    #[test]
    fn size_is_limited() {
        let mut builder = GrammarBuilder::new();
        let (_, start) = builder.rule().unwrap();
        let error = builder.literal(start, &vec![0; MAX_SIZE]).unwrap_err();
        assert_eq!(error.code(), "ERR_SCHEMA_LIMIT");
    }
}
