//! Decimal numbers between two bounds.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::Number;

use super::ConstraintError;
use super::grammar::{GrammarBuilder, NodeId};
use super::json::MAX_DIGITS;

/// Digits before the point where a bound has that many: those of 2^64.
const MAX_BOUNDED_DIGITS: usize = 20;

/// A decimal number, exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without leading zeros, "0" at least.
    whole: Vec<u8>,
    /// Without trailing zeros.
    fraction: Vec<u8>,
}

/// The least or greatest number of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) value: Decimal,
    /// Whether the value itself is out of the range.
    pub(super) exclusive: bool,
}

/// Numbers from one bound to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NumberRange {
    pub(super) least: Option<Bound>,
    pub(super) greatest: Option<Bound>,
}

impl Decimal {
    /// The value of a number: of its shortest decimal text where it is a float.
    pub(super) fn of(number: &Number) -> Self {
        // Display of f64 has no exponent.
        let text = match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        };
        let (negative, magnitude) =
            text.strip_prefix('-').map_or((false, &*text), |magnitude| (true, magnitude));
        let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
        let fraction = fraction.trim_end_matches('0').as_bytes().to_vec();
        let is_zero = whole == "0" && fraction.is_empty();
        Self { negative: negative && !is_zero, whole: whole.as_bytes().to_vec(), fraction }
    }

    fn zero() -> Self {
        Self { negative: false, whole: vec![b'0'], fraction: Vec::new() }
    }

    fn magnitude(&self) -> Self {
        Self { negative: false, ..self.clone() }
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let key = |x: &Self| (x.whole.len(), x.whole.clone(), x.fraction.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_magnitude(other),
            (true, true) => other.compare_magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl NumberRange {
    /// Leaves only what is also at least `bound`.
    pub(super) fn raise(&mut self, bound: Bound) {
        if self
            .least
            .as_ref()
            .is_none_or(|least| (&bound.value, bound.exclusive) > (&least.value, least.exclusive))
        {
            self.least = Some(bound);
        }
    }

    /// Leaves only what is also at most `bound`.
    pub(super) fn lower(&mut self, bound: Bound) {
        if self.greatest.as_ref().is_none_or(|greatest| {
            (&bound.value, !bound.exclusive) < (&greatest.value, !greatest.exclusive)
        }) {
            self.greatest = Some(bound);
        }
    }

    /// Whether every number is in the range.
    pub(super) fn is_unbounded(&self) -> bool {
        self.least.is_none() && self.greatest.is_none()
    }

    /// Whether a number is in the range.
    pub(super) fn contains(&self, value: &Decimal) -> bool {
        let above = self.least.as_ref().is_none_or(|least| {
            *value > least.value || (*value == least.value && !least.exclusive)
        });
        let below = self.greatest.as_ref().is_none_or(|greatest| {
            *value < greatest.value || (*value == greatest.value && !greatest.exclusive)
        });
        above && below
    }

    /// Whether no number is in both ranges.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let below = |a: &Self, b: &Self| match (&a.greatest, &b.least) {
            (Some(greatest), Some(least)) => {
                greatest.value < least.value
                    || (greatest.value == least.value && (greatest.exclusive || least.exclusive))
            }
            _ => false,
        };
        below(self, other) || below(other, self)
    }

    /// Reads a number of the range, without an exponent: of up to [`MAX_DIGITS`] significant digits, or as many before the point as a bound
    /// has. So few keep their order as f64, which is what a validator may compare.
    pub(super) fn emit(
        &self,
        builder: &mut GrammarBuilder,
        from: NodeId,
        integer: bool,
    ) -> Result<NodeId, ConstraintError> {
        let end = builder.node()?;
        let zero = |exclusive| Bound { value: Decimal::zero(), exclusive };
        let magnitude =
            |bound: &Bound| Bound { value: bound.value.magnitude(), exclusive: bound.exclusive };
        let is_negative = |bound: &Bound| bound.value.negative;
        // From the greater of 0 and the least up.
        if !self.greatest.as_ref().is_some_and(is_negative) {
            let least = self.least.clone().filter(|least| !is_negative(least));
            let least = least.unwrap_or_else(|| zero(false));
            Magnitudes::new(least, self.greatest.clone(), integer, end).emit(builder, from)?;
        }
        // Mirrored: from the magnitude of the greatest, or above 0, up to that of the least. "-0" is not among them.
        if self.least.as_ref().is_none_or(is_negative) {
            let minus = builder.literal(from, b"-")?;
            let least = self.greatest.as_ref().filter(|greatest| is_negative(greatest));
            let least = least.map_or_else(|| zero(true), magnitude);
            let greatest = self.least.as_ref().map(magnitude);
            Magnitudes::new(least, greatest, integer, end).emit(builder, minus)?;
        }
        Ok(end)
    }
}

/// The digits of the numbers without sign between two bounds.
struct Magnitudes {
    least: Bound,
    greatest: Option<Bound>,
    integer: bool,
    end: NodeId,
}

/// How far into a number of a given length, and whether its digits so far are those of a bound. What is not "tight" is strictly inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Position {
    digit: usize,
    tight_least: bool,
    tight_greatest: bool,
}

impl Magnitudes {
    fn new(least: Bound, greatest: Option<Bound>, integer: bool, end: NodeId) -> Self {
        Self { least, greatest, integer, end }
    }

    fn emit(&self, builder: &mut GrammarBuilder, from: NodeId) -> Result<(), ConstraintError> {
        let least = self.least.value.whole.len();
        let greatest = self.greatest.as_ref().map(|bound| bound.value.whole.len());
        let most = least.max(greatest.unwrap_or(0)).clamp(MAX_DIGITS, MAX_BOUNDED_DIGITS);
        for length in least..=most.min(greatest.unwrap_or(most)) {
            self.emit_length(builder, from, length, (least, greatest))?;
        }
        Ok(())
    }

    /// The numbers with `length` digits before the point.
    fn emit_length(
        &self,
        builder: &mut GrammarBuilder,
        from: NodeId,
        length: usize,
        (least, greatest): (usize, Option<usize>),
    ) -> Result<(), ConstraintError> {
        let fraction_digits = if self.integer { 0 } else { MAX_DIGITS.saturating_sub(length) };
        let start = Position {
            digit: 0,
            tight_least: length == least,
            tight_greatest: Some(length) == greatest,
        };
        let mut nodes = HashMap::from([(start, from)]);
        let mut pending = vec![start];
        while let Some(position) = pending.pop() {
            let mut node = nodes[&position];
            let Position { digit, .. } = position;
            if digit >= length && self.may_end(position, length) {
                builder.skip(node, self.end)?;
            }
            if digit == length + fraction_digits {
                continue;
            }
            if digit == length {
                node = builder.literal(node, b".")?;
            }
            for value in b'0'..=b'9' {
                let leading_zero = value == b'0' && digit == 0 && length > 1;
                let Some(next) = self.after(position, value, length).filter(|_| !leading_zero)
                else {
                    continue;
                };
                let target = if let Some(&target) = nodes.get(&next) {
                    target
                } else {
                    let target = builder.node()?;
                    nodes.insert(next, target);
                    pending.push(next);
                    target
                };
                builder.byte(node, (value, value), target)?;
            }
        }
        Ok(())
    }

    /// The position after a digit, if that stays between the bounds.
    fn after(&self, position: Position, value: u8, length: usize) -> Option<Position> {
        let digit_of = |bound: &Bound| {
            let digits = bound.value.whole.iter().chain(&bound.value.fraction);
            // A tight number has as many digits before the point as its bound.
            debug_assert_eq!(bound.value.whole.len(), length);
            digits.copied().nth(position.digit).unwrap_or(b'0')
        };
        let (mut tight_least, mut tight_greatest) = (false, false);
        if position.tight_least {
            let least = digit_of(&self.least);
            if value < least {
                return None;
            }
            tight_least = value == least;
        }
        if position.tight_greatest
            && let Some(greatest) = &self.greatest
        {
            let greatest = digit_of(greatest);
            if value > greatest {
                return None;
            }
            tight_greatest = value == greatest;
        }
        Some(Position { digit: position.digit + 1, tight_least, tight_greatest })
    }

    /// Whether a number may end after as many digits; the rest are zeros.
    fn may_end(&self, position: Position, length: usize) -> bool {
        // Whether the bound has digits that are left out.
        let is_longer = |bound: &Bound| bound.value.fraction.len() > position.digit - length;
        let above = !position.tight_least || !(is_longer(&self.least) || self.least.exclusive);
        let below = !position.tight_greatest
            || self.greatest.as_ref().is_none_or(|bound| is_longer(bound) || !bound.exclusive);
        above && below
    }
}
