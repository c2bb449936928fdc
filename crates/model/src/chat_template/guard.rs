//! A look at a template before it is parsed: nesting that would exhaust the native stack.
//!
//! The parser limits the depth of blocks and parentheses, but it parses `a~a~a…`, `a.b.b…`, `not not …` and `elif` chains into
//! trees as deep as they are long, and compiles those by recursion: 5000 operators end a thread of 2 MiB.

/// Longest template. The longest of 70 known ones has 17 KB.
const LONGEST: usize = 1 << 20;

/// Most tokens between the braces of one tag. The known templates have up to 56.
const MOST_TOKENS: usize = 1024;

/// Most `elif`s. The known templates have up to 20.
const MOST_ELIFS: usize = 256;

/// What of a template exceeds the limits, if anything does.
pub(super) fn excess(source: &str) -> Option<&'static str> {
    if source.len() > LONGEST {
        return Some("template length");
    }
    let mut elifs = 0;
    let mut rest = source;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        let close = match rest.as_bytes().first() {
            Some(b'#') => {
                rest = rest.find("#}").map_or("", |end| &rest[end..]);
                continue;
            }
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            _ => continue,
        };
        rest = &rest[1..];
        let tag = Tag::read(rest, close);
        elifs += usize::from(tag.is_elif);
        if tag.tokens > MOST_TOKENS {
            return Some("operators in one expression");
        }
        if elifs > MOST_ELIFS {
            return Some("elif branches");
        }
        rest = &rest[tag.len..];
    }
    None
}

struct Tag {
    tokens: usize,
    is_elif: bool,
    /// Length up to its closing braces.
    len: usize,
}

impl Tag {
    /// Counts the tokens up to `close` outside of strings. Every character of punctuation counts.
    fn read(source: &str, close: &str) -> Self {
        let bytes = source.as_bytes();
        let (mut tokens, mut at, mut is_elif) = (0, 0, false);
        while at < bytes.len() && !bytes[at..].starts_with(close.as_bytes()) {
            let start = at;
            at += 1;
            match bytes[start] {
                quote @ (b'"' | b'\'') => {
                    while at < bytes.len() && bytes[at] != quote {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at = (at + 1).min(bytes.len());
                }
                byte if byte.is_ascii_whitespace() => continue,
                byte if is_word(byte) => {
                    while bytes.get(at).copied().is_some_and(is_word) {
                        at += 1;
                    }
                    is_elif |= &bytes[start..at] == b"elif";
                }
                _ => {}
            }
            tokens += 1;
        }
        // The braces are ASCII; where they are missing, the tag ends with the text.
        Self { tokens, is_elif, len: at.min(bytes.len()) }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn honest_templates_pass() {
        let strings = format!("{{{{ '{}' ~ \"%}}}}\\\"\" }}}}", "a + ".repeat(5000));
        for source in
            ["", "{", "{{", "{% 'é", "{{ '\\", "{# a~a #}", "a {{ b }} {% if c %}", &strings]
        {
            assert_eq!(excess(source), None, "{source:.40}");
        }
    }

    #[test]
    fn deep_trees_do_not() {
        let operators = "operators in one expression";
        assert_eq!(excess(&format!("{{{{ a{} }}}}", "~a".repeat(1024))), Some(operators));
        assert_eq!(excess(&format!("{{% if {} a %}}", "not ".repeat(1024))), Some(operators));
        assert_eq!(excess(&format!("{{# }}}} #}}{{{{ a{} ", ".b".repeat(1024))), Some(operators));
        let elifs = "{%- elif a %}".repeat(257);
        assert_eq!(excess(&format!("{{% if a %}}{elifs}")), Some("elif branches"));
        assert_eq!(excess(&" ".repeat(LONGEST + 1)), Some("template length"));
    }
}
