//! References and alternatives: a conjunction of schemas as a list of [`Facets`], one of which a value must meet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::super::ConstraintError;
use super::facets::{Facets, Further, Node, Result, Types, invalid, unsupported};

/// Alternatives of one value, all those of alternatives within alternatives together.
const MAX_ALTERNATIVES: usize = 1024;

/// Keywords, and entries in them, of all schemas each time that they are merged.
const MAX_MERGED: usize = 1 << 20;

/// Pairs of alternatives of `oneOf` that are compared.
const MAX_PAIRS: usize = 1 << 16;

/// References and alternatives followed from one schema to another without going into a value.
const MAX_CHAIN: usize = 256;

/// Members within members looked at to tell two alternatives of `oneOf` apart.
const MAX_EXCLUSION_DEPTH: usize = 4;

/// A schema document.
pub(super) struct Document<'a> {
    root: &'a Value,
    /// The `oneOf` that were met, and those whose alternatives are still to be compared.
    met: RefCell<BTreeSet<String>>,
    unchecked: RefCell<Vec<(Node<'a>, Vec<Node<'a>>)>>,
    merged: Cell<usize>,
    pairs: Cell<usize>,
}

/// The schemas that led to one: it may not be among them.
type Chain = Option<Rc<Link>>;

struct Link {
    pointer: String,
    length: usize,
    parent: Chain,
}

/// One way to choose among alternatives, on the way to its facets.
#[derive(Clone)]
struct Branch<'a> {
    facets: Facets<'a>,
    merged: BTreeSet<String>,
    pending: Vec<Pending<'a>>,
}

#[derive(Clone)]
enum Pending<'a> {
    Schema(Node<'a>, Chain),
    Choice(Vec<Node<'a>>, Chain),
}

impl<'a> Document<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self {
            root,
            met: RefCell::default(),
            unchecked: RefCell::default(),
            merged: Cell::new(0),
            pairs: Cell::new(0),
        }
    }

    pub(super) fn root(&self) -> Node<'a> {
        Node { pointer: String::new(), value: self.root }
    }

    /// The alternatives of a value that must meet all of `schemas`.
    pub(super) fn expand(&self, schemas: &[Node<'a>]) -> Result<Vec<Facets<'a>>> {
        let mut found = Vec::new();
        let mut branches = vec![Branch {
            facets: Facets::new(),
            merged: BTreeSet::new(),
            pending: schemas.iter().rev().map(|node| Pending::Schema(node.clone(), None)).collect(),
        }];
        while let Some(mut branch) = branches.pop() {
            match branch.pending.pop() {
                None => found.push(branch.facets),
                Some(Pending::Schema(node, chain)) => {
                    self.merge(&mut branch, &node, &chain)?;
                    branches.push(branch);
                }
                Some(Pending::Choice(alternatives, chain)) => {
                    for alternative in alternatives.into_iter().rev() {
                        let mut branch = branch.clone();
                        branch.pending.push(Pending::Schema(alternative, chain.clone()));
                        branches.push(branch);
                    }
                }
            }
            if found.len() + branches.len() > MAX_ALTERNATIVES {
                return Err(ConstraintError::Limit {
                    what: "alternatives of one value",
                    limit: MAX_ALTERNATIVES,
                });
            }
        }
        Ok(found)
    }

    fn merge(&self, branch: &mut Branch<'a>, node: &Node<'a>, chain: &Chain) -> Result<()> {
        let length = chain.as_ref().map_or(0, |link| link.length) + 1;
        if length > MAX_CHAIN {
            return Err(ConstraintError::Limit { what: "references in a row", limit: MAX_CHAIN });
        }
        let mut ancestor = chain.as_ref();
        while let Some(link) = ancestor {
            if link.pointer == node.pointer {
                return Err(invalid(node, "it refers to itself without going into a value"));
            }
            ancestor = link.parent.as_ref();
        }
        if !branch.merged.insert(node.pointer.clone()) {
            return Ok(());
        }
        let chain =
            Some(Rc::new(Link { pointer: node.pointer.clone(), length, parent: chain.clone() }));
        if let Value::Object(keywords) = node.value {
            let entries = keywords.values().map(|value| match value {
                Value::Array(items) => items.len() + 1,
                Value::Object(members) => members.len() + 1,
                _ => 1,
            });
            count(&self.merged, entries.sum(), "keywords to merge", MAX_MERGED)?;
        }
        let further = branch.facets.merge(node)?;
        for further in further.into_iter().rev() {
            let pending = &mut branch.pending;
            match further {
                Further::Reference(reference) => {
                    let target = self.resolve(node, &reference)?;
                    pending.push(Pending::Schema(target, chain.clone()));
                }
                Further::All(schemas) => pending.extend(
                    schemas.into_iter().rev().map(|node| Pending::Schema(node, chain.clone())),
                ),
                Further::Any(schemas) => pending.push(Pending::Choice(schemas, chain.clone())),
                Further::One(schemas) => {
                    if self.met.borrow_mut().insert(node.pointer.clone()) {
                        self.unchecked.borrow_mut().push((node.clone(), schemas.clone()));
                    }
                    pending.push(Pending::Choice(schemas, chain.clone()));
                }
            }
        }
        Ok(())
    }

    /// The schema that a mere reference leads to, so that all references to a schema share its rule.
    pub(super) fn target(&self, mut node: Node<'a>) -> Result<Node<'a>> {
        // A chain that is longer is followed, and refused, when it is merged.
        for _ in 0..MAX_CHAIN {
            let Value::Object(keywords) = node.value else { break };
            let Some(Value::String(reference)) =
                keywords.get("$ref").filter(|_| keywords.len() == 1)
            else {
                break;
            };
            node = self.resolve(&node, reference)?;
        }
        Ok(node)
    }

    /// The schema of a reference: a JSON pointer (RFC 6901) into the document, as a URI fragment.
    fn resolve(&self, node: &Node, reference: &str) -> Result<Node<'a>> {
        let Some(fragment) = reference.strip_prefix('#') else {
            return Err(unsupported(
                node,
                format!("the reference {reference:?} out of the schema"),
            ));
        };
        let missing = || invalid(node, format!("the reference {reference:?} leads nowhere"));
        let pointer = percent_decode(fragment).ok_or_else(missing)?;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(unsupported(node, format!("the reference {reference:?} to an anchor")));
        }
        let value = self.root.pointer(&pointer).ok_or_else(missing)?;
        Ok(Node { pointer, value })
    }

    /// Checks every `oneOf` that was met: no value that is generated for one alternative may meet another.
    pub(super) fn check_exclusive(&self) -> Result<()> {
        loop {
            let next = self.unchecked.borrow_mut().pop();
            let Some((node, alternatives)) = next else { return Ok(()) };
            self.check_alternatives(&node, &alternatives)?;
        }
    }

    fn check_alternatives(&self, node: &Node<'a>, alternatives: &[Node<'a>]) -> Result<()> {
        let expanded: Vec<_> = alternatives
            .iter()
            .map(|alternative| self.expand(std::slice::from_ref(alternative)))
            .collect::<Result<_>>()?;
        for (i, generated) in expanded.iter().enumerate() {
            for (j, other) in expanded.iter().enumerate() {
                if i != j && !self.all_excluded(generated, other, MAX_EXCLUSION_DEPTH)? {
                    let (i, j) = (i.min(j), i.max(j));
                    return Err(unsupported(
                        node,
                        format!(
                            "alternatives {i} and {j} of oneOf may both hold; a required member with \
                             a constant tells them apart, or use anyOf"
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether no value generated for any of `generated` meets any of `other`, as far as can be told.
    fn all_excluded(
        &self,
        generated: &[Facets<'a>],
        other: &[Facets<'a>],
        depth: usize,
    ) -> Result<bool> {
        for generated in generated {
            for other in other {
                if !self.excluded(generated, other, depth)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn excluded(&self, generated: &Facets<'a>, other: &Facets<'a>, depth: usize) -> Result<bool> {
        count(&self.pairs, 1, "pairs of alternatives to compare", MAX_PAIRS)?;
        let common = generated.generated_types().and(other.types);
        if common == Types::NONE {
            return Ok(true);
        }
        if let Some(values) = &generated.values {
            // `None` of `admits` is a value that may meet the other.
            for value in values {
                if generated.admits(value)? != Some(false) && other.admits(value)? != Some(false) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        if let Some(values) = &other.values {
            for value in values {
                if generated.admits(value)? != Some(false) {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        // Each type that is left in both must be excluded by what is demanded of it.
        let numbers = !common.meets(Types::NUMBER) || generated.range.excludes(&other.range);
        let objects =
            !common.meets(Types::OBJECT) || self.excluded_object(generated, other, depth)?;
        let rest = Types::NULL.or(Types::BOOLEAN).or(Types::STRING).or(Types::ARRAY);
        Ok(numbers && objects && !common.meets(rest))
    }

    fn excluded_object(
        &self,
        generated: &Facets<'a>,
        other: &Facets<'a>,
        depth: usize,
    ) -> Result<bool> {
        let names = generated.names();
        let open = generated.other_members().is_some();
        for name in &other.required {
            // A member that the other needs and that is never generated.
            if !open && !names.contains(name) {
                return Ok(true);
            }
            if depth > 0 && generated.required.contains(name) {
                let inner = self.expand(&generated.member(name))?;
                let outer = self.expand(&other.member(name))?;
                if self.all_excluded(&inner, &outer, depth - 1)? {
                    return Ok(true);
                }
            }
        }
        Ok(generated.required.iter().any(|name| other.forbids(name)))
    }
}

/// Counts work against a limit.
fn count(counter: &Cell<usize>, more: usize, what: &'static str, limit: usize) -> Result<()> {
    counter.set(counter.get().saturating_add(more));
    if counter.get() > limit { Err(ConstraintError::Limit { what, limit }) } else { Ok(()) }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}
