//! From a JSON schema (draft 2020-12, and what older drafts wrote otherwise) to a grammar of JSON texts that satisfy it.
//!
//! A rule stands for the values that meet all of a set of schemas: `{"allOf": [a, b]}` is the rule of {a, b}, a reference is the rule of its
//! target, and a schema that contains itself is a rule that calls itself. The grammar is narrower than the schema, never wider:
//!
//! - members come in the order of `properties`; those not declared come last, and only where `additionalProperties` is written or nothing is
//!   declared; likewise items behind `prefixItems`;
//! - `enum` and `const` are written in compact form; other numbers have at most 15 digits before and after the point;
//! - whitespace stands after `{ [ , :` and before `} ]`, at most a space, or a line break with up to 20 spaces or tabs;
//! - alternatives of `oneOf` must be told apart by their types, constants, ranges or required members;
//! - without `type`, keywords of one type alone mean that type.

mod facets;
mod format;
mod resolve;

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use serde_json::Value;

use super::ConstraintError;
use super::char_set::CharSet;
use super::grammar::{Edge, Grammar, GrammarBuilder, NodeId, RuleId};
use super::pattern::Pattern;
use facets::{Facets, Node, Result, Types};
use resolve::Document;

/// Characters of a string, or items of an array, where `maxLength` or `maxItems` allows more: narrower, and bounded in memory.
const MAX_COUNT: usize = 1 << 13;

/// Pairs of steps of several patterns of one string that are compared.
const MAX_PATTERN_PAIRS: usize = 1 << 20;

/// The grammar of the texts that satisfy a schema, and its first rule.
pub(super) fn compile(schema: &Value) -> Result<(Grammar, RuleId)> {
    let document = Document::new(schema);
    let mut compiler = Compiler::new(&document)?;
    let root = compiler.rule(vec![document.root()])?;
    while let Some((start, schemas)) = compiler.pending.pop() {
        compiler.rule_body(start, &schemas)?;
    }
    document.check_exclusive()?;
    Ok((compiler.builder.build(), root))
}

struct Compiler<'a> {
    document: &'a Document<'a>,
    builder: GrammarBuilder,
    /// The rule of each set of schemas, by their pointers.
    rules: HashMap<BTreeSet<String>, RuleId>,
    /// Rules without a body yet.
    pending: Vec<(NodeId, Vec<Node<'a>>)>,
    whitespace: RuleId,
    /// One character of a string.
    character: RuleId,
    /// One character of a set.
    sets: HashMap<CharSet, RuleId>,
}

impl<'a> Compiler<'a> {
    fn new(document: &'a Document<'a>) -> Result<Self> {
        let mut builder = GrammarBuilder::new();
        let (whitespace, start) = builder.rule()?;
        let end = builder.node()?;
        builder.whitespace(start, end)?;
        builder.accept(end);
        let (character, start) = builder.rule()?;
        let end = builder.node()?;
        builder.any_character(start, end)?;
        builder.accept(end);
        Ok(Self {
            document,
            builder,
            rules: HashMap::new(),
            pending: Vec::new(),
            whitespace,
            character,
            sets: HashMap::new(),
        })
    }

    /// The rule of the values that meet all of `schemas`.
    fn rule(&mut self, schemas: Vec<Node<'a>>) -> Result<RuleId> {
        let schemas = schemas
            .into_iter()
            .map(|node| self.document.target(node))
            .collect::<Result<Vec<_>>>()?;
        let key = schemas.iter().map(|node| node.pointer.clone()).collect();
        if let Some(&rule) = self.rules.get(&key) {
            return Ok(rule);
        }
        let (rule, start) = self.builder.rule()?;
        self.rules.insert(key, rule);
        self.pending.push((start, schemas));
        Ok(rule)
    }

    fn rule_body(&mut self, start: NodeId, schemas: &[Node<'a>]) -> Result<()> {
        let end = self.builder.node()?;
        self.builder.accept(end);
        for facets in self.document.expand(schemas)? {
            if let Some(values) = &facets.values {
                self.values(start, end, &facets, values)?;
                continue;
            }
            let types = facets.generated_types();
            for (single, text) in
                [(Types::NULL, "null"), (Types::BOOLEAN, "true"), (Types::BOOLEAN, "false")]
            {
                if types.meets(single) {
                    let last = self.builder.literal(start, text.as_bytes())?;
                    self.builder.skip(last, end)?;
                }
            }
            let mut ends = Vec::new();
            if types.meets(Types::NUMBER) {
                ends.push(self.number(start, &facets, !types.meets(Types::FRACTION))?);
            }
            if types.meets(Types::STRING) {
                ends.push(self.string(start, &facets)?);
            }
            if types.meets(Types::ARRAY) {
                ends.push(self.array(start, &facets)?);
            }
            if types.meets(Types::OBJECT) {
                ends.push(self.object(start, &facets)?);
            }
            for last in ends {
                self.builder.skip(last, end)?;
            }
        }
        Ok(())
    }

    /// One of the listed values that meet the other demands, as texts that share their beginnings.
    fn values(
        &mut self,
        start: NodeId,
        end: NodeId,
        facets: &Facets<'a>,
        values: &[&Value],
    ) -> Result<()> {
        let mut texts = BTreeSet::new();
        for value in values {
            match facets.admits(value)? {
                Some(true) => {
                    texts.insert(value.to_string());
                }
                Some(false) => {}
                None => {
                    return Err(ConstraintError::Unsupported {
                        pointer: facets.pointer.clone(),
                        reason: format!("demands on members or items beside the constant {value}"),
                    });
                }
            }
        }
        let mut nodes: Vec<NodeId> = vec![start];
        let mut previous = String::new();
        for text in texts {
            let shared = previous.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
            nodes.truncate(shared + 1);
            for byte in text.bytes().skip(shared) {
                let next = self.builder.node()?;
                self.builder.byte(nodes[nodes.len() - 1], (byte, byte), next)?;
                nodes.push(next);
            }
            self.builder.skip(nodes[text.len()], end)?;
            previous = text;
        }
        Ok(())
    }

    fn number(&mut self, from: NodeId, facets: &Facets, integer: bool) -> Result<NodeId> {
        if !facets.range.is_unbounded() {
            facets.range.emit(&mut self.builder, from, integer)
        } else if integer {
            self.builder.integer(from)
        } else {
            self.builder.number(from)
        }
    }

    fn string(&mut self, from: NodeId, facets: &Facets) -> Result<NodeId> {
        let quote = self.builder.literal(from, b"\"")?;
        let patterns = facets.patterns()?;
        let (least, most) = facets.length;
        let end = self.builder.node()?;
        if !patterns.is_empty() {
            self.matching_string(quote, &patterns, (least, most), end)?;
        } else if (least, most) == (0, None) {
            self.builder.any_character(quote, quote)?;
            self.builder.byte(quote, (b'"', b'"'), end)?;
        } else {
            let mut at = quote;
            // Without an upper bound, the last node loops.
            for count in 0..most.unwrap_or(least).min(MAX_COUNT.max(least)) {
                if count >= least {
                    self.builder.byte(at, (b'"', b'"'), end)?;
                }
                at = self.builder.call(at, self.character)?;
            }
            if most.is_none() {
                self.builder.any_character(at, at)?;
            }
            if most.is_none_or(|most| most >= least) {
                self.builder.byte(at, (b'"', b'"'), end)?;
            }
        }
        Ok(end)
    }

    /// A string, behind its quotation mark, that matches all patterns and whose length is between bounds: the product of the patterns'
    /// automata and a count.
    fn matching_string(
        &mut self,
        from: NodeId,
        patterns: &[Rc<Pattern>],
        (least, most): (usize, Option<usize>),
        end: NodeId,
    ) -> Result<()> {
        let start = (vec![0; patterns.len()], 0);
        let mut nodes = HashMap::from([(start.clone(), from)]);
        let mut pending = vec![start];
        let mut pairs = 0;
        while let Some(position) = pending.pop() {
            let node = nodes[&position];
            let (states, count) = position;
            let accepts =
                patterns.iter().zip(&states).all(|(pattern, &state)| pattern.states[state].accepts);
            if accepts && count >= least && most.is_none_or(|most| count <= most) {
                self.builder.byte(node, (b'"', b'"'), end)?;
            }
            if most.is_some_and(|most| count >= most) {
                continue;
            }
            // Without an upper bound, only whether the lower one is reached matters.
            let next_count = if most.is_none() { (count + 1).min(least) } else { count + 1 };
            let mut steps = vec![(CharSet::all(), Vec::new())];
            for (pattern, &state) in patterns.iter().zip(&states) {
                let transitions = &pattern.states[state].transitions;
                pairs += steps.len() * transitions.len();
                if pairs > MAX_PATTERN_PAIRS {
                    return Err(ConstraintError::Limit {
                        what: "steps of the patterns of a string",
                        limit: MAX_PATTERN_PAIRS,
                    });
                }
                steps = steps
                    .iter()
                    .flat_map(|(set, targets): &(CharSet, Vec<usize>)| {
                        transitions.iter().map(move |(other, target)| {
                            let targets = targets.iter().copied().chain([*target]).collect();
                            (set.intersection(other), targets)
                        })
                    })
                    .filter(|(set, _)| !set.is_empty())
                    .collect();
            }
            for (set, targets) in steps {
                let next = (targets, next_count);
                let target = if let Some(&target) = nodes.get(&next) {
                    target
                } else {
                    let target = self.builder.node()?;
                    nodes.insert(next.clone(), target);
                    pending.push(next);
                    target
                };
                self.character_of(node, &set, target)?;
            }
        }
        Ok(())
    }

    /// One character of a set: in place where that takes few edges, else by a rule that all strings share.
    fn character_of(&mut self, from: NodeId, set: &CharSet, target: NodeId) -> Result<()> {
        if set.is_plain_ascii() {
            return self.builder.character_of(from, set, target);
        }
        let rule = if let Some(&rule) = self.sets.get(set) {
            rule
        } else {
            let (rule, start) = self.builder.rule()?;
            let end = self.builder.node()?;
            self.builder.character_of(start, set, end)?;
            self.builder.accept(end);
            self.sets.insert(set.clone(), rule);
            rule
        };
        self.builder.edge(from, Edge::Call { rule, target })
    }

    /// `[ ]`, or items with commas: a node for each count of items, of which the last loops where there is no upper bound.
    fn array(&mut self, from: NodeId, facets: &Facets<'a>) -> Result<NodeId> {
        let end = self.builder.node()?;
        let (least, most) = facets.item_count;
        let prefix = facets.prefix_length();
        let most = if facets.has_further_items() {
            most
        } else {
            Some(most.map_or(prefix, |most| most.min(prefix)))
        };
        let unrolled = most.unwrap_or(prefix.max(least).max(1)).min(MAX_COUNT.max(least));
        let bracket = self.builder.literal(from, b"[")?;
        let mut at = self.builder.call(bracket, self.whitespace)?;
        for count in 0..=unrolled {
            if count >= least && most.is_none_or(|most| count <= most) {
                let close = if count == 0 { at } else { self.builder.call(at, self.whitespace)? };
                self.builder.byte(close, (b']', b']'), end)?;
            }
            let is_last = count == unrolled;
            if is_last && most.is_some() {
                break;
            }
            let item = if count == 0 { at } else { self.separator(at)? };
            let rule = self.rule(facets.item(count))?;
            if is_last {
                self.builder.edge(item, Edge::Call { rule, target: at })?;
            } else {
                at = self.builder.call(item, rule)?;
            }
        }
        Ok(end)
    }

    /// `{ }`, or members with commas. Two nodes for each declared member: nothing written before it, or something.
    ///
    /// ```text
    /// empty_0 --> empty_1 --> ... --> empty_n --> "}"        down where the member is written, to the right where it is left out
    ///    \           \                   \
    /// some_0 --> some_1 --> ... -----> some_n --> "}"
    /// ```
    fn object(&mut self, from: NodeId, facets: &Facets<'a>) -> Result<NodeId> {
        let end = self.builder.node()?;
        let brace = self.builder.literal(from, b"{")?;
        let mut empty = self.builder.call(brace, self.whitespace)?;
        let mut some = self.builder.node()?;
        let names = facets.names();
        let required: BTreeSet<&str> = facets.required.iter().copied().collect();
        for name in &names {
            let [key, next_empty, next_some] =
                [self.builder.node()?, self.builder.node()?, self.builder.node()?];
            self.builder.skip(empty, key)?;
            let behind_comma = self.separator(some)?;
            self.builder.skip(behind_comma, key)?;
            let name_text = Value::from(*name).to_string();
            let behind_name = self.builder.literal(key, name_text.as_bytes())?;
            let rule = self.rule(facets.member(name))?;
            self.member_value(behind_name, rule, next_some)?;
            if !required.contains(name) {
                self.builder.skip(empty, next_empty)?;
                self.builder.skip(some, next_some)?;
            }
            (empty, some) = (next_empty, next_some);
        }
        if let Some(schemas) = facets.other_members() {
            let key = self.builder.node()?;
            self.builder.skip(empty, key)?;
            let behind_comma = self.separator(some)?;
            self.builder.skip(behind_comma, key)?;
            let behind_name = self.builder.other_name(key, names.iter().copied())?;
            let rule = self.rule(schemas)?;
            self.member_value(behind_name, rule, some)?;
        }
        self.builder.byte(empty, (b'}', b'}'), end)?;
        let close = self.builder.call(some, self.whitespace)?;
        self.builder.byte(close, (b'}', b'}'), end)?;
        Ok(end)
    }

    /// A colon and a value.
    fn member_value(&mut self, from: NodeId, rule: RuleId, target: NodeId) -> Result<()> {
        let colon = self.builder.literal(from, b":")?;
        let value = self.builder.call(colon, self.whitespace)?;
        self.builder.edge(value, Edge::Call { rule, target })
    }

    /// A comma and whitespace.
    fn separator(&mut self, from: NodeId) -> Result<NodeId> {
        let comma = self.builder.literal(from, b",")?;
        self.builder.call(comma, self.whitespace)
    }
}
