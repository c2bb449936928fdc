//! Values as Python writes them: templates are written for Jinja2, and expect its `str`, `json.dumps` and `strftime`.

use std::fmt::{self, Write};

use minijinja::value::{Value, ValueKind};

/// Deepest nesting that is written.
const DEEPEST: usize = 64;

/// Writes `str(value)`: a string as it is, anything else as `repr(value)`.
pub(super) fn write_str(out: &mut impl Write, value: &Value) -> fmt::Result {
    if value.is_undefined() {
        return Ok(());
    }
    match value.as_str() {
        Some(text) => out.write_str(text),
        None => write_repr(out, value, DEEPEST),
    }
}

fn write_repr(out: &mut impl Write, value: &Value, depth: usize) -> fmt::Result {
    let depth = depth.checked_sub(1).ok_or(fmt::Error)?;
    match value.kind() {
        ValueKind::None => out.write_str("None"),
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => write_string_repr(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            out.write_char('[')?;
            for (index, item) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_repr(out, &item, depth)?;
            }
            out.write_char(']')
        }
        ValueKind::Map => {
            out.write_char('{')?;
            for (index, key) in value.try_iter().map_err(|_| fmt::Error)?.enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_repr(out, &key, depth)?;
                out.write_str(": ")?;
                write_repr(out, &value.get_item(&key).map_err(|_| fmt::Error)?, depth)?;
            }
            out.write_char('}')
        }
        _ => write!(out, "{value}"),
    }
}

/// Single quotes, unless the text has those and no double ones.
fn write_string_repr(out: &mut impl Write, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.write_char(quote)?;
    for character in text.chars() {
        match character {
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\\' => out.write_str("\\\\")?,
            c if c == quote => write!(out, "\\{c}")?,
            c if c.is_control() => write!(out, "\\x{:02x}", c as u32)?,
            c => out.write_char(c)?,
        }
    }
    out.write_char(quote)
}

/// How `json.dumps` writes. The defaults are those of Python, not of `JSON.stringify`: a space after `:` and `,`.
pub(super) struct JsonStyle {
    /// Spaces of one level; `None` writes one line.
    pub(super) indent: Option<usize>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) sort_keys: bool,
}

impl JsonStyle {
    /// Writes `json.dumps(value, ensure_ascii=False)` in this style.
    pub(super) fn write(&self, out: &mut impl Write, value: &Value) -> fmt::Result {
        self.write_nested(out, value, 0)
    }

    fn write_nested(&self, out: &mut impl Write, value: &Value, level: usize) -> fmt::Result {
        if level > DEEPEST {
            return Err(fmt::Error);
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => out.write_str("null"),
            ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::String => write_json_string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter().map_err(|_| fmt::Error)?.collect();
                self.write_items(out, "[", &items, "]", level, |out, item| {
                    self.write_nested(out, item, level + 1)
                })
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter().map_err(|_| fmt::Error)?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.write_items(out, "{", &keys, "}", level, |out, key| {
                    write_json_string(out, &key.to_string())?;
                    out.write_str(&self.key_separator)?;
                    let item = value.get_item(key).map_err(|_| fmt::Error)?;
                    self.write_nested(out, &item, level + 1)
                })
            }
            _ => write!(out, "{value}"),
        }
    }

    fn write_items<W: Write>(
        &self,
        out: &mut W,
        open: &str,
        items: &[Value],
        close: &str,
        level: usize,
        mut write_item: impl FnMut(&mut W, &Value) -> fmt::Result,
    ) -> fmt::Result {
        out.write_str(open)?;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.write_str(&self.item_separator)?;
            }
            self.break_line(out, level + 1)?;
            write_item(out, item)?;
        }
        if !items.is_empty() {
            self.break_line(out, level)?;
        }
        out.write_str(close)
    }

    fn break_line(&self, out: &mut impl Write, level: usize) -> fmt::Result {
        match self.indent {
            Some(indent) => write!(out, "\n{:width$}", "", width = indent * level),
            None => Ok(()),
        }
    }
}

fn write_json_string(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{C}' => out.write_str("\\f")?,
            c if c < ' ' => write!(out, "\\u{:04x}", c as u32)?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}
