//! Regular expressions of ECMA-262, as `pattern` has them, without what is not regular: no lookaround, backreferences or word boundaries.
//!
//! ```text
//! alternatives = sequence ("|" sequence)*        atom = "." | "^" | "$" | class | escape | character
//! sequence     = (atom quantifier?)*                   | "(" ("?:" | "?<" name ">")? alternatives ")"
//! quantifier   = ("*" | "+" | "?" | "{" n ("," m?)? "}") "?"?
//! ```
//!
//! Anchors are understood at the ends of the pattern. A pattern that is not anchored may match anywhere in a string.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

use super::char_set::CharSet;

/// Groups within groups.
const MAX_NESTING: usize = 64;
/// States and transitions of one pattern.
const MAX_STATES: usize = 1 << 12;
const MAX_TRANSITIONS: usize = 1 << 14;

/// A nondeterministic automaton over characters. State 0 is the first.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) states: Vec<PatternState>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct PatternState {
    /// The states after a character of each set.
    pub(super) transitions: Vec<(CharSet, usize)>,
    /// Whether a string may end here.
    pub(super) accepts: bool,
}

#[derive(Clone, Debug)]
enum Expression {
    Start,
    End,
    Set(CharSet),
    Sequence(Vec<Expression>),
    Alternatives(Vec<Expression>),
    Repeat { of: Box<Expression>, least: usize, most: Option<usize> },
}

/// Why a pattern cannot be used.
type Result<T> = std::result::Result<T, String>;

impl Pattern {
    /// Parses a pattern; the error says what is wrong or unsupported.
    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let mut parser = Parser { rest: pattern.chars().peekable(), nesting: 0 };
        let expression = parser.alternatives()?;
        if parser.rest.next().is_some() {
            return Err("unmatched \")\"".into());
        }
        let mut compiler = Compiler { states: vec![Sketch::default()] };
        let end = compiler.compile(&whole(expression, true, true), 0)?;
        compiler.states[end].accepts = true;
        compiler.finish()
    }

    /// Whether a string matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut current = BTreeSet::from([0]);
        for character in text.chars() {
            current = current
                .into_iter()
                .flat_map(|state| &self.states[state].transitions)
                .filter(|(set, _)| set.contains(character))
                .map(|&(_, target)| target)
                .collect();
        }
        current.into_iter().any(|state| self.states[state].accepts)
    }
}

/// The expression that a string must match as a whole: anything may stand before and behind where the expression has no anchor.
fn whole(expression: Expression, mut open_start: bool, mut open_end: bool) -> Expression {
    let mut items = match expression {
        Expression::Alternatives(alternatives) => {
            return Expression::Alternatives(
                alternatives
                    .into_iter()
                    .map(|alternative| whole(alternative, open_start, open_end))
                    .collect(),
            );
        }
        Expression::Sequence(items) => items,
        single => vec![single],
    };
    if matches!(items.first(), Some(Expression::Start)) {
        items.remove(0);
        open_start = false;
    }
    if matches!(items.last(), Some(Expression::End)) {
        items.pop();
        open_end = false;
    }
    if let [Expression::Sequence(_) | Expression::Alternatives(_)] = &items[..] {
        return whole(items.remove(0), open_start, open_end);
    }
    let anything = || Expression::Repeat {
        of: Box::new(Expression::Set(CharSet::all())),
        least: 0,
        most: None,
    };
    if open_start {
        items.insert(0, anything());
    }
    if open_end {
        items.push(anything());
    }
    Expression::Sequence(items)
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    nesting: usize,
}

impl Parser<'_> {
    fn alternatives(&mut self) -> Result<Expression> {
        let mut alternatives = vec![self.sequence()?];
        while self.rest.next_if_eq(&'|').is_some() {
            alternatives.push(self.sequence()?);
        }
        Ok(match alternatives.len() {
            1 => alternatives.remove(0),
            _ => Expression::Alternatives(alternatives),
        })
    }

    fn sequence(&mut self) -> Result<Expression> {
        let mut items = Vec::new();
        while let Some(character) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let atom = self.atom(character)?;
            items.push(self.quantified(atom)?);
        }
        Ok(Expression::Sequence(items))
    }

    fn atom(&mut self, character: char) -> Result<Expression> {
        Ok(match character {
            '^' => Expression::Start,
            '$' => Expression::End,
            '.' => Expression::Set(line_ends().complement()),
            '[' => Expression::Set(self.class()?),
            '(' => self.group()?,
            '\\' => Expression::Set(self.escape(false)?),
            '*' | '+' | '?' => return Err(format!("nothing to repeat before {character:?}")),
            _ => Expression::Set(single(character)),
        })
    }

    fn group(&mut self) -> Result<Expression> {
        if self.rest.next_if_eq(&'?').is_some() {
            match self.rest.next() {
                Some(':') => {}
                Some('<') if !matches!(self.rest.peek(), Some('=' | '!')) => {
                    if !self.rest.any(|c| c == '>') {
                        return Err("the name of a group has no end".into());
                    }
                }
                _ => return Err("lookaround and flags are not supported".into()),
            }
        }
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("more than {MAX_NESTING} groups within groups"));
        }
        let inner = self.alternatives()?;
        self.nesting -= 1;
        match self.rest.next() {
            Some(')') => Ok(inner),
            _ => Err("unmatched \"(\"".into()),
        }
    }

    fn quantified(&mut self, atom: Expression) -> Result<Expression> {
        let (least, most) = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => {
                // A brace that begins no quantifier is a character of its own.
                let mut ahead = self.rest.clone();
                ahead.next();
                let Some(bounds) = braces(&mut ahead) else { return Ok(atom) };
                self.rest = ahead;
                return self.repeat(atom, bounds?);
            }
            _ => return Ok(atom),
        };
        self.rest.next();
        self.repeat(atom, (least, most))
    }

    fn repeat(&mut self, atom: Expression, bounds: (usize, Option<usize>)) -> Result<Expression> {
        // Whether few or many are preferred makes no difference to what matches.
        self.rest.next_if_eq(&'?');
        let (least, most) = bounds;
        if matches!(atom, Expression::Start | Expression::End) {
            return Err("an anchor cannot be repeated".into());
        }
        if most.is_some_and(|most| most < least) {
            return Err(format!("a repetition from {least} to fewer"));
        }
        if matches!(self.rest.peek(), Some('*' | '+' | '?')) {
            return Err("a repetition of a repetition".into());
        }
        Ok(Expression::Repeat { of: Box::new(atom), least, most })
    }

    /// A character class, behind its opening bracket.
    fn class(&mut self) -> Result<CharSet> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut set = CharSet::default();
        loop {
            let Some(character) = self.rest.next() else {
                return Err("unmatched \"[\"".into());
            };
            if character == ']' {
                break;
            }
            let first = self.class_item(character)?;
            let Some(first_character) = first.1 else {
                set = set.union(&first.0);
                continue;
            };
            // A hyphen makes a range unless it is the last character.
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-')
                && let Some(end) = ahead.next().filter(|&c| c != ']')
            {
                self.rest = ahead;
                let (end_set, Some(last)) = self.class_item(end)? else {
                    return Err("a range of characters ends in a class".into());
                };
                if last < first_character {
                    return Err(format!("the range {first_character:?} to {last:?} is empty"));
                }
                set = set.union(&CharSet::of([(first_character, last)])).union(&end_set);
            } else {
                set = set.union(&first.0);
            }
        }
        Ok(if negated { set.complement() } else { set })
    }

    /// One item of a class: its set, and the character if it is a single one.
    fn class_item(&mut self, character: char) -> Result<(CharSet, Option<char>)> {
        if character != '\\' {
            return Ok((single(character), Some(character)));
        }
        let is_class = matches!(self.rest.peek(), Some('d' | 'D' | 'w' | 'W' | 's' | 'S'));
        let set = self.escape(true)?;
        let character = if is_class { None } else { set.only_character() };
        Ok((set, character))
    }

    /// An escape, behind its backslash.
    fn escape(&mut self, in_class: bool) -> Result<CharSet> {
        let Some(character) = self.rest.next() else {
            return Err("a backslash at the end".into());
        };
        let character = match character {
            'd' => return Ok(CharSet::of([('0', '9')])),
            'D' => return Ok(CharSet::of([('0', '9')]).complement()),
            'w' => return Ok(word()),
            'W' => return Ok(word().complement()),
            's' => return Ok(spaces()),
            'S' => return Ok(spaces().complement()),
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'b' if in_class => '\u{8}',
            '0' if !matches!(self.rest.peek(), Some('0'..='9')) => '\0',
            'x' => self.hexadecimal(2).and_then(char::from_u32).ok_or("\\x needs two digits")?,
            'u' => self.unicode_escape()?,
            'c' => {
                let letter = self.rest.next().filter(char::is_ascii_alphabetic);
                char::from(u8::try_from(letter.ok_or("\\c needs a letter")?).unwrap_or(0) & 0x1F)
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(format!("the escape \\{other} is not supported"));
            }
            other => other,
        };
        Ok(single(character))
    }

    fn unicode_escape(&mut self) -> Result<char> {
        let wrong = || "\\u needs four digits, or digits in braces, of a character".to_owned();
        if self.rest.next_if_eq(&'{').is_some() {
            let mut value = 0_u32;
            loop {
                match self.rest.next() {
                    Some('}') => return char::from_u32(value).ok_or_else(wrong),
                    Some(digit) => {
                        let digit = digit.to_digit(16).ok_or_else(wrong)?;
                        value = value.checked_mul(16).ok_or_else(wrong)? + digit;
                    }
                    None => return Err(wrong()),
                }
            }
        }
        let first = self.hexadecimal(4).ok_or_else(wrong)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(wrong);
        }
        let mut low = None;
        if self.rest.next_if_eq(&'\\').is_some() && self.rest.next_if_eq(&'u').is_some() {
            low = self.hexadecimal(4).filter(|low| (0xDC00..0xE000).contains(low));
        }
        let low = low.ok_or_else(wrong)?;
        char::from_u32(0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00)).ok_or_else(wrong)
    }

    fn hexadecimal(&mut self, digits: usize) -> Option<u32> {
        (0..digits).try_fold(0, |value, _| {
            self.rest.next().and_then(|c| c.to_digit(16)).map(|digit| value * 16 + digit)
        })
    }
}

/// The bounds between braces, behind the opening one; `None` where they are no quantifier.
fn braces(rest: &mut Peekable<Chars>) -> Option<Result<(usize, Option<usize>)>> {
    let number = |rest: &mut Peekable<Chars>| -> Option<String> {
        let digits: String = std::iter::from_fn(|| rest.next_if(char::is_ascii_digit)).collect();
        (!digits.is_empty()).then_some(digits)
    };
    let least = number(rest)?;
    let most = if rest.next_if_eq(&',').is_some() { number(rest) } else { Some(least.clone()) };
    if rest.next() != Some('}') {
        return None;
    }
    let parse = |digits: String| {
        digits.parse().map_err(|_| format!("a repetition of {digits} is too long"))
    };
    Some(parse(least).and_then(|least| Ok((least, most.map(parse).transpose()?))))
}

fn single(character: char) -> CharSet {
    CharSet::of([(character, character)])
}

fn word() -> CharSet {
    CharSet::of([('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')])
}

fn line_ends() -> CharSet {
    CharSet::of([('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')])
}

/// `WhiteSpace` and `LineTerminator` of ECMA-262.
fn spaces() -> CharSet {
    CharSet::of([
        ('\t', '\r'),
        (' ', ' '),
        ('\u{a0}', '\u{a0}'),
        ('\u{1680}', '\u{1680}'),
        ('\u{2000}', '\u{200a}'),
        ('\u{2028}', '\u{2029}'),
        ('\u{202f}', '\u{202f}'),
        ('\u{205f}', '\u{205f}'),
        ('\u{3000}', '\u{3000}'),
        ('\u{feff}', '\u{feff}'),
    ])
}

/// Thompson's construction, then the edges that read nothing are followed once and for all.
struct Compiler {
    states: Vec<Sketch>,
}

#[derive(Default)]
struct Sketch {
    transitions: Vec<(CharSet, usize)>,
    skips: Vec<usize>,
    accepts: bool,
}

impl Compiler {
    fn compile(&mut self, expression: &Expression, from: usize) -> Result<usize> {
        match expression {
            Expression::Start | Expression::End => {
                Err("an anchor that is not at an end of the pattern is not supported".into())
            }
            Expression::Set(set) => {
                let target = self.state()?;
                self.states[from].transitions.push((set.clone(), target));
                Ok(target)
            }
            Expression::Sequence(items) => {
                items.iter().try_fold(from, |at, item| self.compile(item, at))
            }
            Expression::Alternatives(alternatives) => {
                let end = self.state()?;
                for alternative in alternatives {
                    // A start of its own, or a loop of one alternative would enter another.
                    let start = self.state()?;
                    self.states[from].skips.push(start);
                    let last = self.compile(alternative, start)?;
                    self.states[last].skips.push(end);
                }
                Ok(end)
            }
            Expression::Repeat { of, least, most } => {
                let mut at = from;
                for _ in 0..*least {
                    at = self.compile(of, at)?;
                }
                let end = self.state()?;
                if let Some(most) = most {
                    for _ in *least..*most {
                        self.states[at].skips.push(end);
                        at = self.compile(of, at)?;
                    }
                } else {
                    let again = self.state()?;
                    self.states[at].skips.push(again);
                    at = self.compile(of, again)?;
                    self.states[at].skips.push(again);
                    at = again;
                }
                self.states[at].skips.push(end);
                Ok(end)
            }
        }
    }

    fn state(&mut self) -> Result<usize> {
        if self.states.len() == MAX_STATES {
            return Err(format!("the pattern needs more than {MAX_STATES} states"));
        }
        self.states.push(Sketch::default());
        Ok(self.states.len() - 1)
    }

    fn finish(self) -> Result<Pattern> {
        let mut states = Vec::with_capacity(self.states.len());
        let mut total = 0;
        for first in 0..self.states.len() {
            let mut state = PatternState::default();
            let mut seen = BTreeSet::from([first]);
            let mut pending = vec![first];
            while let Some(at) = pending.pop() {
                let sketch = &self.states[at];
                state.accepts |= sketch.accepts;
                for transition in sketch.transitions.iter().filter(|(set, _)| !set.is_empty()) {
                    if !state.transitions.contains(transition) {
                        state.transitions.push(transition.clone());
                    }
                }
                pending.extend(sketch.skips.iter().filter(|&&skip| seen.insert(skip)));
                total += 1;
                if total > MAX_TRANSITIONS {
                    return Err(format!(
                        "the pattern needs more than {MAX_TRANSITIONS} transitions"
                    ));
                }
            }
            states.push(state);
        }
        Ok(Pattern { states })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_ecmascript_does() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("", &["", "x"], &[]),
            ("^$", &[""], &["x"]),
            ("b", &["b", "abc"], &["", "ac"]),
            ("^a", &["a", "ab"], &["ba"]),
            ("a$", &["a", "ba"], &["ab"]),
            ("^(a|bc)$", &["a", "bc"], &["abc", ""]),
            ("^a|b$", &["ax", "xb"], &["xa", "bx"]),
            ("(^a$)|(^b$)", &["a", "b"], &["ab"]),
            ("^(?:ab)+$", &["ab", "abab"], &["", "aba"]),
            ("^(?<year>\\d{4})-\\d{2}$", &["2024-05"], &["2024-5", "2024-055"]),
            ("^a{2}$", &["aa"], &["a", "aaa"]),
            ("^a{2,}$", &["aa", "aaaa"], &["a"]),
            ("^a{1,3}?b$", &["ab", "aaab"], &["b", "aaaab"]),
            ("^a{,3}$", &["a{,3}"], &["a", "aaa"]),
            ("^[\\d-z]{$", &["5{", "-{", "z{"], &["a{"]),
            ("^x{a}$", &["x{a}"], &["xa"]),
            ("^[a-c-]+$", &["a-c"], &["d"]),
            ("^[^a-c]$", &["d", "\u{1F600}", "\n"], &["a", "dd"]),
            ("^[\\d.]+$", &["1.5"], &["a"]),
            ("^[]$", &[], &["", "a"]),
            ("^[^]$", &["a", "\n"], &[""]),
            ("^[[&&]+$", &["[&"], &["]"]),
            ("^.$", &["a", "\u{e9}", "\u{85}"], &["\n", "\r", "\u{2028}", ""]),
            ("^\\w\\W\\s\\S\\D$", &["_- xy"], &["_-xyz"]),
            ("^\\/\\.\\-\\$$", &["/.-$"], &["/x-$"]),
            ("^\\x41\\u0042\\u{43}\\cJ\\0$", &["ABC\n\0"], &["ABC"]),
            ("^\\ud83d\\ude00$", &["\u{1F600}"], &["x"]),
            ("^(a*)*b?$", &["", "aab"], &["ba"]),
            ("^(a|b)*a(a|b){3}$", &["abbb", "babbabaa"], &["bbbb", "ab"]),
            ("^(a*|b)c$", &["c", "aac", "bc"], &["abc", "bac"]),
        ];
        for (pattern, matching, failing) in cases {
            let parsed = Pattern::parse(pattern).unwrap();
            for text in *matching {
                assert!(parsed.matches(text), "{pattern} should match {text:?}");
            }
            for text in *failing {
                assert!(!parsed.matches(text), "{pattern} should not match {text:?}");
            }
        }
    }

    #[test]
    fn what_is_unsupported_or_wrong_is_refused() {
        let nested = format!("{}a{}", "(".repeat(65), ")".repeat(65));
        for pattern in [
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<!a)",
            "(?i)a",
            "(a)\\1",
            "\\bword",
            "\\p{L}",
            "a^b",
            "a$b",
            "(",
            ")",
            "[a",
            "[b-a]",
            "*a",
            "a**",
            "a{2,1}",
            "^*",
            "\\",
            "\\u12",
            "\\ud800",
            "\\xg0",
            "a{99999999999999999999}",
            "(a{1000}){1000}",
            "[a-\\d]",
            &nested,
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern} should be refused");
        }
    }
}
