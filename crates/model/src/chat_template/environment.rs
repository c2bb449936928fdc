//! The Jinja of chat templates: what Hugging Face's `apply_chat_template` offers, within limits.
//!
//! Templates come from model files, so they are hostile until shown otherwise. Time is bounded by fuel, the native stack by the
//! nesting of tags, expressions and macros, and memory by the length of the output and of the results of filters that can make
//! much out of little.

#![expect(
    clippy::needless_pass_by_value,
    reason = "minijinja passes filters what they ask for by value"
)]

use std::error::Error as StdError;
use std::fmt::{self, Write};

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior};

use super::python::{JsonStyle, write_str};
use super::time::LocalTime;

/// Instructions that one rendering may take. A message takes about 100; the most elaborate templates some hundreds.
const FUEL: u64 = 10_000_000;

/// Depth of calls and scopes. A macro call counts 4.
const RECURSION: usize = 120;

/// Longest text that a filter makes, or a template writes, beyond the length of the messages.
pub(super) const LONGEST_TEXT: usize = 1 << 24;

/// Longest list that a filter makes.
const LONGEST_LIST: usize = 1 << 20;

/// Marks errors that say that a limit was reached.
#[derive(Debug)]
pub(super) struct LimitReached(pub(super) &'static str);

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for LimitReached {}

/// Marks errors that the template raised itself.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Raised {}

fn limit(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, what).with_source(LimitReached(what))
}

/// An environment with the filters, functions and settings of `apply_chat_template`.
pub(super) fn environment<'source>() -> Environment<'source> {
    let mut env = Environment::new();
    env.set_fuel(Some(FUEL));
    env.set_recursion_limit(RECURSION);
    env.set_trim_blocks(true);
    env.set_lstrip_blocks(true);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_formatter(|out, _, value| {
        write_str(out, value).map_err(|_| limit("output length or nesting"))
    });
    env.set_unknown_method_callback(call_method);
    env.add_function("raise_exception", |message: Value| -> Result<Value, Error> {
        let message = message.to_string();
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    env.add_filter("tojson", to_json);
    env.add_filter("string", to_text);
    env.add_filter("pprint", to_text);
    env.add_filter("join", join);
    env.add_filter("replace", |text: Value, from: String, to: String| {
        replace(text.as_str().unwrap_or_default(), &from, &to)
    });
    env.add_filter("indent", indent);
    env.add_filter("format", |state: &State<'_, '_>, format: &Value, args: Rest<Value>| {
        check_format(format.as_str().unwrap_or_default(), '%', &args)?;
        minijinja::filters::format(state, format, args)
    });
    // These fill up to any count.
    for filter in ["batch", "slice"] {
        env.remove_filter(filter);
    }
    // To Python, None is not iterable, and an undefined variable is.
    env.add_test("iterable", |value: &Value| {
        value.is_undefined() || (!value.is_none() && value.try_iter().is_ok())
    });
    env
}

/// The function that tells the time.
pub(super) fn strftime_now(now: LocalTime) -> impl Fn(&str) -> String + Send + Sync + 'static {
    move |format| now.format(format)
}

/// A text that grows up to [`LONGEST_TEXT`].
#[derive(Default)]
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST_TEXT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// A text written within limits.
fn bounded(write: impl FnOnce(&mut Bounded) -> fmt::Result) -> Result<String, Error> {
    let mut out = Bounded::default();
    write(&mut out).map_err(|_| limit("text length or nesting"))?;
    Ok(out.0)
}

/// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as transformers defines it: it escapes no HTML.
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    let _ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if indent.is_some_and(|indent| indent > 64) {
        return Err(limit("indentation"));
    }
    let [item_separator, key_separator] = match separators {
        Some(separators) => <[String; 2]>::try_from(separators).map_err(|_| {
            Error::new(ErrorKind::InvalidOperation, "separators must be two strings")
        })?,
        // Python leaves the space out where a line ends.
        None => [if indent.is_some() { "," } else { ", " }, ": "].map(str::to_owned),
    };
    let sort_keys = sort_keys.unwrap_or(false);
    let style = JsonStyle { indent, item_separator, key_separator, sort_keys };
    bounded(|out| style.write(out, value))
}

fn to_text(value: &Value) -> Result<String, Error> {
    bounded(|out| write_str(out, value))
}

/// `join(separator='', attribute=None)`.
fn join(list: &Value, separator: Option<String>, options: Kwargs) -> Result<String, Error> {
    let separator = match separator {
        Some(separator) => separator,
        None => options.get::<Option<String>>("d")?.unwrap_or_default(),
    };
    let attribute: Option<String> = options.get("attribute")?;
    options.assert_all_used()?;
    if list.is_undefined() || list.is_none() {
        return Ok(String::new());
    }
    bounded_list(list)?;
    let mut out = Bounded::default();
    for (index, item) in list.try_iter()?.enumerate() {
        let item = match &attribute {
            Some(attribute) => item.get_attr(attribute)?,
            None => item,
        };
        let separator = if index == 0 { "" } else { &separator };
        out.write_str(separator)
            .and_then(|()| write_str(&mut out, &item))
            .map_err(|_| limit("text length or nesting"))?;
    }
    Ok(out.0)
}

fn bounded_list(list: &Value) -> Result<(), Error> {
    match list.len() {
        Some(len) if len > LONGEST_LIST => Err(limit("list length")),
        _ => Ok(()),
    }
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let matches = text.matches(from).count();
    if matches.saturating_mul(to.len()) > LONGEST_TEXT {
        return Err(limit("text length"));
    }
    Ok(text.replace(from, to))
}

/// Checks that a format makes no more of its arguments than [`LONGEST_TEXT`]: each of the places that begin with `mark` may take
/// the longest argument, and widths have at most four digits.
fn check_format(format: &str, mark: char, args: &[Value]) -> Result<(), Error> {
    let wide = format.as_bytes().windows(5).any(|digits| digits.iter().all(u8::is_ascii_digit));
    // Widths that are arguments themselves: `%*d`, `{:{}}`.
    let mut specifications = format.split(mark).skip(1);
    let computed = match mark {
        '%' => specifications.any(|specification| {
            specification
                .trim_start_matches(|c: char| !c.is_ascii_alphabetic() && c != '*')
                .starts_with('*')
        }),
        _ => specifications
            .any(|specification| specification.contains(':') && !specification.contains('}')),
    };
    let mut longest = 10_000;
    for arg in args {
        longest = longest.max(to_text(arg)?.len());
    }
    if wide || computed || format.matches(mark).count().saturating_mul(longest) > LONGEST_TEXT {
        return Err(limit("text length"));
    }
    Ok(())
}

/// `indent(width=4, first=False, blank=False)`.
fn indent(
    text: &str,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let width = width.or(options.get::<Option<Value>>("width")?);
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let prefix = match width {
        Some(prefix) if prefix.kind() == ValueKind::String => prefix.to_string(),
        Some(width) => match usize::try_from(width)? {
            width if width > 1024 => return Err(limit("indentation")),
            width => " ".repeat(width),
        },
        None => " ".repeat(4),
    };
    bounded(|out| {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                out.write_char('\n')?;
            }
            if (index > 0 || first) && (index == 0 || blank || !line.is_empty()) {
                out.write_str(&prefix)?;
            }
            out.write_str(line)?;
        }
        Ok(())
    })
}

/// Methods of Python's strings, lists and dictionaries: those that can make much out of little are our own.
fn call_method(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), method) {
        (Some(text), "replace") => {
            let (from, to, Rest(further)): (&str, &str, Rest<Value>) =
                minijinja::value::from_args(args)?;
            if further.is_empty() {
                return replace(text, from, to).map(Value::from);
            }
            minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
        }
        (Some(separator), "join") => {
            let (list,): (&Value,) = minijinja::value::from_args(args)?;
            join(list, Some(separator.to_owned()), Kwargs::from_iter([] as [(&str, Value); 0]))
                .map(Value::from)
        }
        (Some(format), "format") => {
            check_format(format, '{', args)?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args),
    }
}
