//! What a schema demands of a value, with references, `allOf` and alternatives resolved.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::super::ConstraintError;
use super::super::number_range::{Bound, Decimal, NumberRange};
use super::super::pattern::Pattern;
use super::format;

pub(super) type Result<T> = std::result::Result<T, ConstraintError>;

/// Comparisons of the constants of one schema with those of another.
const MAX_COMPARISONS: usize = 1 << 20;

/// A schema within the document.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) pointer: String,
    pub(super) value: &'a Value,
}

impl<'a> Node<'a> {
    /// The schema below this one.
    pub(super) fn child(&self, path: &[&str], value: &'a Value) -> Self {
        let mut pointer = self.pointer.clone();
        for part in path {
            pointer.push('/');
            pointer.push_str(&part.replace('~', "~0").replace('/', "~1"));
        }
        Self { pointer, value }
    }
}

/// A set of JSON types, numbers split in whole ones and others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(1 << 1);
    pub(super) const INTEGER: Self = Self(1 << 2);
    pub(super) const FRACTION: Self = Self(1 << 3);
    pub(super) const NUMBER: Self = Self(1 << 2 | 1 << 3);
    pub(super) const STRING: Self = Self(1 << 4);
    pub(super) const ARRAY: Self = Self(1 << 5);
    pub(super) const OBJECT: Self = Self(1 << 6);
    pub(super) const ALL: Self = Self((1 << 7) - 1);

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => return None,
        })
    }

    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) => {
                let is_whole = number.as_f64().is_none_or(|float| float.fract() == 0.0);
                if is_whole { Self::INTEGER } else { Self::FRACTION }
            }
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What one schema object says of the members of an object.
#[derive(Clone, Debug)]
pub(super) struct Members<'a> {
    node: Node<'a>,
    properties: Option<&'a Map<String, Value>>,
    /// `additionalProperties`, where it is there.
    additional: Option<Node<'a>>,
}

/// What one schema object says of the items of an array.
#[derive(Clone, Debug)]
pub(super) struct Items<'a> {
    prefix: Vec<Node<'a>>,
    /// `items` for those behind the prefix, where it is there.
    rest: Option<Node<'a>>,
}

/// The conjunction of schemas, without alternatives.
#[derive(Clone, Debug)]
pub(super) struct Facets<'a> {
    /// The first schema that was merged.
    pub(super) pointer: String,
    pub(super) types: Types,
    /// The types that other keywords are about.
    mentioned: Types,
    /// The values of `enum` or `const`.
    pub(super) values: Option<Vec<&'a Value>>,
    pub(super) range: NumberRange,
    pub(super) length: (usize, Option<usize>),
    patterns: Vec<Rc<Pattern>>,
    format: Option<(String, &'a str)>,
    members: Vec<Members<'a>>,
    /// May hold a name more than once.
    pub(super) required: Vec<&'a str>,
    items: Vec<Items<'a>>,
    pub(super) item_count: (usize, Option<usize>),
}

/// A schema that another one contains: what is to be merged too.
pub(super) enum Further<'a> {
    Reference(String),
    All(Vec<Node<'a>>),
    Any(Vec<Node<'a>>),
    One(Vec<Node<'a>>),
}

impl<'a> Facets<'a> {
    /// No demands.
    pub(super) fn new() -> Self {
        Self {
            pointer: String::new(),
            types: Types::ALL,
            mentioned: Types::NONE,
            values: None,
            range: NumberRange::default(),
            length: (0, None),
            patterns: Vec::new(),
            format: None,
            members: Vec::new(),
            required: Vec::new(),
            items: Vec::new(),
            item_count: (0, None),
        }
    }

    /// Adds the demands of one schema object; returns the schemas that it refers to, whose demands count too.
    pub(super) fn merge(&mut self, node: &Node<'a>) -> Result<Vec<Further<'a>>> {
        if self.pointer.is_empty() {
            self.pointer.clone_from(&node.pointer);
        }
        let keywords = match node.value {
            Value::Bool(true) => return Ok(Vec::new()),
            Value::Bool(false) => {
                self.types = Types::NONE;
                return Ok(Vec::new());
            }
            Value::Object(keywords) => keywords,
            _ => return Err(invalid(node, "a schema must be an object or a boolean")),
        };
        let mut further = Vec::new();
        for (keyword, value) in keywords {
            let at = node.child(&[keyword], value);
            match keyword.as_str() {
                "$ref" => further.push(Further::Reference(string(&at)?.to_owned())),
                "allOf" => further.push(Further::All(schemas(&at)?)),
                "anyOf" => further.push(Further::Any(schemas(&at)?)),
                "oneOf" => further.push(Further::One(schemas(&at)?)),
                "type" => self.types = self.types.and(types(&at)?),
                "enum" => self.restrict(array(&at)?.iter().collect())?,
                "const" => self.restrict(vec![value])?,
                "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                    self.mentioned = self.mentioned.or(Types::NUMBER);
                    let Value::Number(number) = value else {
                        return Err(invalid(&at, "must be a number"));
                    };
                    let exclusive = keyword.starts_with("exclusive");
                    let bound = Bound { value: Decimal::of(number), exclusive };
                    if keyword.ends_with("inimum") {
                        self.range.raise(bound);
                    } else {
                        self.range.lower(bound);
                    }
                }
                "minLength" | "maxLength" | "pattern" | "format" => {
                    self.mentioned = self.mentioned.or(Types::STRING);
                    match keyword.as_str() {
                        "minLength" => self.length.0 = self.length.0.max(count(&at)?),
                        "maxLength" => lower(&mut self.length.1, count(&at)?),
                        "format" => self.format = Some((at.pointer.clone(), string(&at)?)),
                        _ => {
                            let pattern = Pattern::parse(string(&at)?)
                                .map_err(|reason| unsupported(&at, reason))?;
                            self.patterns.push(Rc::new(pattern));
                        }
                    }
                }
                "prefixItems" | "items" | "additionalItems" => {
                    self.mentioned = self.mentioned.or(Types::ARRAY);
                }
                "minItems" | "maxItems" => {
                    self.mentioned = self.mentioned.or(Types::ARRAY);
                    if keyword == "minItems" {
                        self.item_count.0 = self.item_count.0.max(count(&at)?);
                    } else {
                        lower(&mut self.item_count.1, count(&at)?);
                    }
                }
                "properties" | "additionalProperties" => {
                    self.mentioned = self.mentioned.or(Types::OBJECT);
                }
                "required" => {
                    self.mentioned = self.mentioned.or(Types::OBJECT);
                    for name in array(&at)? {
                        let Value::String(name) = name else {
                            return Err(invalid(&at, "must be an array of strings"));
                        };
                        self.required.push(name);
                    }
                }
                "uniqueItems" if *value == Value::Bool(false) => {}
                "minProperties" if value.as_u64() == Some(0) => {}
                "$id" | "id" if node.pointer.is_empty() => {}
                // Annotations: they demand nothing.
                "$schema" | "$comment" | "$anchor" | "$defs" | "definitions" | "title"
                | "description" | "default" | "examples" | "deprecated" | "readOnly"
                | "writeOnly" | "contentMediaType" | "contentEncoding" => {}
                extension if extension.starts_with("x-") => {}
                _ => return Err(unsupported(&at, format!("the keyword {keyword:?}"))),
            }
        }
        self.merge_members(node, keywords)?;
        self.merge_items(node, keywords)?;
        Ok(further)
    }

    /// The types that a generated value may have: where only keywords of one type are given, that type is meant.
    pub(super) fn generated_types(&self) -> Types {
        let single = [Types::NUMBER, Types::STRING, Types::ARRAY, Types::OBJECT];
        if self.types == Types::ALL && single.contains(&self.mentioned) {
            self.mentioned
        } else {
            self.types
        }
    }

    /// The patterns that a string must match all. A format counts where there is no pattern.
    pub(super) fn patterns(&self) -> Result<Vec<Rc<Pattern>>> {
        match &self.format {
            Some((pointer, name)) if self.patterns.is_empty() => {
                let pattern =
                    format::pattern(name).ok_or_else(|| ConstraintError::Unsupported {
                        pointer: pointer.clone(),
                        reason: format!("the format {name:?}"),
                    })?;
                let pattern = Pattern::parse(pattern).map_err(|reason| {
                    ConstraintError::Unsupported { pointer: pointer.clone(), reason }
                })?;
                Ok(vec![Rc::new(pattern)])
            }
            _ => Ok(self.patterns.clone()),
        }
    }

    /// Whether a value meets the demands. Those on items and members are not looked at: `None` where it depends on them.
    pub(super) fn admits(&self, value: &Value) -> Result<Option<bool>> {
        let listed = |values: &Vec<&Value>| values.iter().any(|listed| same(listed, value));
        if !self.types.meets(Types::of(value)) || !self.values.as_ref().is_none_or(listed) {
            return Ok(Some(false));
        }
        Ok(match value {
            Value::Number(number) => Some(self.range.contains(&Decimal::of(number))),
            Value::String(text) => {
                let length = text.chars().count();
                let fits = length >= self.length.0 && self.length.1.is_none_or(|m| length <= m);
                Some(fits && self.patterns()?.iter().all(|pattern| pattern.matches(text)))
            }
            Value::Array(_) if !self.items.is_empty() || self.item_count != (0, None) => None,
            Value::Object(_) if !self.members.is_empty() || !self.required.is_empty() => None,
            _ => Some(true),
        })
    }

    /// The declared names in order, each once: those of `properties`, then those that are required only.
    pub(super) fn names(&self) -> Vec<&'a str> {
        let declared =
            self.members.iter().filter_map(|members| members.properties).flat_map(Map::keys);
        let mut names: Vec<&str> = Vec::new();
        let mut seen = HashSet::new();
        for name in declared.map(String::as_str).chain(self.required.iter().copied()) {
            if seen.insert(name) {
                names.push(name);
            }
        }
        names
    }

    /// The schemas that a member of this name must meet.
    pub(super) fn member(&self, name: &str) -> Vec<Node<'a>> {
        self.members
            .iter()
            .filter_map(|members| {
                let declared = members.properties.and_then(|properties| properties.get(name));
                match declared {
                    Some(value) => Some(members.node.child(&["properties", name], value)),
                    None => members.additional.clone(),
                }
            })
            .collect()
    }

    /// The schemas that members of other names must meet, or `None` where there are to be none: they are forbidden, or not mentioned beside
    /// declared ones.
    pub(super) fn other_members(&self) -> Option<Vec<Node<'a>>> {
        let schemas: Vec<_> =
            self.members.iter().filter_map(|members| members.additional.clone()).collect();
        let declares = self.members.iter().any(|members| members.properties.is_some());
        (!schemas.is_empty() || !declares)
            .then_some(schemas)
            .filter(|schemas| schemas.iter().all(|node| *node.value != Value::Bool(false)))
    }

    /// Whether a member of this name is forbidden.
    pub(super) fn forbids(&self, name: &str) -> bool {
        self.member(name).iter().any(|node| *node.value == Value::Bool(false))
    }

    /// The number of items that have schemas of their own.
    pub(super) fn prefix_length(&self) -> usize {
        self.items.iter().map(|items| items.prefix.len()).max().unwrap_or(0)
    }

    /// The schemas that an item must meet; the position of one behind the prefix stands for all.
    pub(super) fn item(&self, position: usize) -> Vec<Node<'a>> {
        let schema =
            |items: &Items<'a>| items.prefix.get(position).cloned().or_else(|| items.rest.clone());
        self.items.iter().filter_map(schema).collect()
    }

    /// Whether items behind the prefix may come: they are allowed, and mentioned where there is a prefix.
    pub(super) fn has_further_items(&self) -> bool {
        let rest = self.item(self.prefix_length());
        let mentioned = !rest.is_empty() || self.prefix_length() == 0;
        mentioned && rest.iter().all(|node| *node.value != Value::Bool(false))
    }

    fn restrict(&mut self, values: Vec<&'a Value>) -> Result<()> {
        self.values = Some(match self.values.take() {
            None => values,
            Some(old) if old.len().saturating_mul(values.len()) > MAX_COMPARISONS => {
                return Err(ConstraintError::Limit {
                    what: "comparisons of constants",
                    limit: MAX_COMPARISONS,
                });
            }
            Some(old) => old.into_iter().filter(|a| values.iter().any(|b| same(a, b))).collect(),
        });
        Ok(())
    }

    fn merge_members(&mut self, node: &Node<'a>, keywords: &'a Map<String, Value>) -> Result<()> {
        let properties = match keywords.get("properties") {
            Some(Value::Object(properties)) => Some(properties),
            Some(_) => return Err(invalid(node, "properties must be an object")),
            None => None,
        };
        let additional = keywords
            .get("additionalProperties")
            .map(|value| node.child(&["additionalProperties"], value));
        if properties.is_some() || additional.is_some() {
            self.members.push(Members { node: node.clone(), properties, additional });
        }
        Ok(())
    }

    fn merge_items(&mut self, node: &Node<'a>, keywords: &'a Map<String, Value>) -> Result<()> {
        // Before draft 2020-12, an array under "items" was the prefix, and "additionalItems" what is now "items".
        let (prefix, rest) = match keywords.get("items") {
            Some(Value::Array(_)) => ("items", "additionalItems"),
            _ => ("prefixItems", "items"),
        };
        let prefix = match keywords.get(prefix) {
            Some(value) => schemas(&node.child(&[prefix], value))?,
            None => Vec::new(),
        };
        let rest = keywords.get(rest).map(|value| node.child(&[rest], value));
        if !prefix.is_empty() || rest.is_some() {
            self.items.push(Items { prefix, rest });
        }
        Ok(())
    }
}

/// Whether two values are equal as JSON Schema has it: numbers by value, members in any order.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Decimal::of(a) == Decimal::of(b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

pub(super) fn invalid(node: &Node, reason: impl Into<String>) -> ConstraintError {
    ConstraintError::Invalid { pointer: node.pointer.clone(), reason: reason.into() }
}

pub(super) fn unsupported(node: &Node, reason: impl Into<String>) -> ConstraintError {
    ConstraintError::Unsupported { pointer: node.pointer.clone(), reason: reason.into() }
}

fn lower(bound: &mut Option<usize>, to: usize) {
    *bound = Some(bound.map_or(to, |bound| bound.min(to)));
}

fn string<'a>(node: &Node<'a>) -> Result<&'a str> {
    node.value.as_str().ok_or_else(|| invalid(node, "must be a string"))
}

fn array<'a>(node: &Node<'a>) -> Result<&'a Vec<Value>> {
    node.value.as_array().ok_or_else(|| invalid(node, "must be an array"))
}

fn count(node: &Node) -> Result<usize> {
    let Value::Number(number) = node.value else {
        return Err(invalid(node, "must be a number"));
    };
    let whole = number.as_u64().or_else(|| {
        // 3.0 is a whole number too.
        number.as_f64().filter(|x| x.fract() == 0.0).and_then(|x| format!("{x}").parse().ok())
    });
    whole
        .and_then(|whole| usize::try_from(whole).ok())
        .ok_or_else(|| invalid(node, "must be a whole number of at least 0"))
}

fn schemas<'a>(node: &Node<'a>) -> Result<Vec<Node<'a>>> {
    let schemas = array(node)?;
    if schemas.is_empty() {
        return Err(invalid(node, "must not be empty"));
    }
    Ok(schemas.iter().enumerate().map(|(i, value)| node.child(&[&i.to_string()], value)).collect())
}

fn types(node: &Node) -> Result<Types> {
    let single = |value: &Value| value.as_str().and_then(Types::named);
    let types = match node.value {
        Value::Array(names) => {
            names.iter().map(single).try_fold(Types::NONE, |types, named| Some(types.or(named?)))
        }
        name => single(name),
    };
    types.ok_or_else(|| {
        let names = "null, boolean, integer, number, string, array, object";
        invalid(node, format!("must be of {names}, or an array of them"))
    })
}
