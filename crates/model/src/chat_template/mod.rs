//! Chat templates: messages to the text of a prompt.
//!
//! A model file carries its template in Jinja, written for Hugging Face's `apply_chat_template`. [`ChatTemplate`] runs it with the
//! same variables and functions. Files without a template, or with one that cannot be parsed, get one of the usual formats, known
//! by its markers.
//!
//! The text of a prompt holds special tokens as text, so it is encoded with special tokens parsed. It may already start with BOS.

mod environment;
mod error;
mod formats;
mod guard;
mod message;
mod python;
mod time;

#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::io;

use minijinja::{Error, ErrorKind, Value, context};
use serde_json::{Map, Value as Json};

pub use error::ChatTemplateError;
pub use message::Message;
pub use time::LocalTime;

use crate::ModelError;
use crate::gguf::{self, Array, Metadata};
use environment::{LONGEST_TEXT, LimitReached, Raised, environment, strftime_now};

/// What a template is told besides the messages.
#[derive(Clone, Debug, Default)]
pub struct RenderOptions {
    /// Whether the prompt ends with the beginning of the assistant's answer.
    pub add_generation_prompt: bool,
    /// Tools that the model may call: JSON schemas of functions, as the template expects them.
    pub tools: Option<Json>,
    /// Further variables, such as `enable_thinking`. They cannot replace the messages.
    pub variables: Map<String, Json>,
    /// The time that `strftime_now` tells; `None` is now, in UTC.
    pub now: Option<LocalTime>,
}

/// A chat template that has been parsed once.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    /// For conversations with tools, where the file has one of its own for them.
    tool_source: Option<String>,
    bos_token: String,
    eos_token: String,
    /// Name of the usual format that stands in for a template of the file's own.
    format: Option<&'static str>,
    /// Why the file's own template is not used.
    parse_error: Option<ChatTemplateError>,
}

impl ChatTemplate {
    /// A template from its source.
    ///
    /// # Errors
    /// `ERR_CHAT_TEMPLATE_SYNTAX` if it cannot be parsed, `ERR_CHAT_TEMPLATE_LIMIT` if it is too large or too deep.
    pub fn new(
        source: impl Into<String>,
        bos_token: impl Into<String>,
        eos_token: impl Into<String>,
    ) -> Result<Self, ChatTemplateError> {
        let source = without_generation_tags(source.into());
        check(&source)?;
        Ok(Self {
            source,
            tool_source: None,
            bos_token: bos_token.into(),
            eos_token: eos_token.into(),
            format: None,
            parse_error: None,
        })
    }

    /// The template of a GGUF file, or a usual format.
    ///
    /// # Errors
    /// `ERR_GGUF_METADATA` if keys are of the wrong type. A template that cannot be parsed is no error: see
    /// [`ChatTemplate::parse_error`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Self, ModelError> {
        let tokens = match metadata.find::<gguf::Value<'_>>("tokenizer.ggml.tokens")? {
            Some(gguf::Value::Array(tokens)) => Some(tokens),
            _ => None,
        };
        let token = |key: &str| -> Result<String, ModelError> {
            let id = metadata.find::<u32>(key)?;
            let text = id.zip(tokens).and_then(|(id, tokens)| text_of(&tokens, id));
            Ok(text.unwrap_or_default().to_owned())
        };
        let bos_token = token("tokenizer.ggml.bos_token_id")?;
        let eos_token = token("tokenizer.ggml.eos_token_id")?;
        let Some(source) = metadata.find::<&str>("tokenizer.chat_template")? else {
            let names = tokens.map(|tokens| special_names(&tokens)).unwrap_or_default();
            return Ok(Self::usual(|marker| names.contains(&marker), bos_token, eos_token, None));
        };
        let mut template = match Self::new(source, bos_token.clone(), eos_token.clone()) {
            Ok(template) => template,
            Err(error) => {
                let is_in_source = |marker: &str| source.contains(marker);
                return Ok(Self::usual(is_in_source, bos_token, eos_token, Some(error)));
            }
        };
        if let Some(source) = metadata.find::<&str>("tokenizer.chat_template.tool_use")? {
            let source = without_generation_tags(source);
            template.tool_source = check(&source).is_ok().then_some(source);
        }
        Ok(template)
    }

    /// The usual format whose markers are there.
    fn usual(
        contains: impl Fn(&str) -> bool,
        bos_token: String,
        eos_token: String,
        parse_error: Option<ChatTemplateError>,
    ) -> Self {
        let format = formats::recognize(contains);
        Self {
            source: format.template.to_owned(),
            tool_source: None,
            bos_token,
            eos_token,
            format: Some(format.name),
            parse_error,
        }
    }

    /// The source of the template.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The name of the usual format that stands in for a template of the file's own, if one does.
    #[must_use]
    pub fn format(&self) -> Option<&'static str> {
        self.format
    }

    /// Why the file's own template is not used, if it has one that is not.
    #[must_use]
    pub fn parse_error(&self) -> Option<&ChatTemplateError> {
        self.parse_error.as_ref()
    }

    /// The prompt of a conversation.
    ///
    /// # Errors
    /// `ERR_CHAT_MESSAGE` if there are no messages, `ERR_CHAT_TEMPLATE_RAISED` if the template refuses them,
    /// `ERR_CHAT_TEMPLATE_LIMIT` if it goes beyond its limits, `ERR_CHAT_TEMPLATE` if it fails.
    pub fn render(
        &self,
        messages: &[Message],
        options: &RenderOptions,
    ) -> Result<String, ModelError> {
        if messages.is_empty() {
            return Err(ChatTemplateError::NoMessages.into());
        }
        let source = match &self.tool_source {
            Some(source) if options.tools.is_some() => source,
            _ => &self.source,
        };
        let weight: usize = messages.iter().map(Message::weight).sum();
        let mut out = BoundedWriter {
            bytes: Vec::with_capacity(weight + 64 * messages.len() + 256),
            limit: LONGEST_TEXT.saturating_add(weight.saturating_mul(4)),
        };
        let mut variables: Map<String, Json> = options.variables.clone();
        // transformers passes both even where there are none.
        for name in ["tools", "documents"] {
            variables.entry(name).or_insert(Json::Null);
        }
        if let Some(tools) = &options.tools {
            variables.insert("tools".to_owned(), tools.clone());
        }
        let mut env = environment();
        let now = options.now.unwrap_or_else(LocalTime::now_utc);
        env.add_function("strftime_now", strftime_now(now));
        let rendered = env.template_from_named_str("chat_template", source).and_then(|template| {
            let variables = Value::from_serialize(variables);
            let context = context! {
                messages => self.messages(messages),
                add_generation_prompt => options.add_generation_prompt,
                bos_token => self.bos_token,
                eos_token => self.eos_token,
                ..variables
            };
            template.render_captured_to(context, &mut out)
        });
        rendered.map_err(|error| render_error(&error))?;
        // Templates and messages are UTF-8, and so is what is written.
        Ok(String::from_utf8_lossy(&out.bytes).into_owned())
    }

    /// The messages as the template sees them. The usual formats know nothing of messages without content.
    fn messages(&self, messages: &[Message]) -> Value {
        match self.format {
            Some(_) => Value::from_serialize(
                messages.iter().map(Message::with_content).collect::<Vec<_>>(),
            ),
            None => Value::from_serialize(messages),
        }
    }
}

/// Collects the output up to a limit.
struct BoundedWriter {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(io::Error::other(LimitReached("output length")));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Checks that a template can be parsed.
fn check(source: &str) -> Result<(), ChatTemplateError> {
    if let Some(what) = guard::excess(source) {
        return Err(ChatTemplateError::Limit { limit: what.to_owned() });
    }
    match environment().template_from_named_str("chat_template", source) {
        Ok(_) => Ok(()),
        Err(error) => Err(ChatTemplateError::Syntax { reason: describe(&error) }),
    }
}

fn render_error(error: &Error) -> ChatTemplateError {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = source {
        if let Some(LimitReached(limit)) = current.downcast_ref() {
            return ChatTemplateError::Limit { limit: (*limit).to_owned() };
        }
        if let Some(Raised(message)) = current.downcast_ref() {
            return ChatTemplateError::Raised { message: message.clone() };
        }
        source = current.source();
    }
    let limit = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "instructions",
        (ErrorKind::WriteFailure, _) => "output length",
        (_, Some(detail)) if detail.contains("recursion limit") => "recursion",
        _ => return ChatTemplateError::Render { reason: describe(error) },
    };
    ChatTemplateError::Limit { limit: limit.to_owned() }
}

/// What is wrong, and in which line.
fn describe(error: &Error) -> String {
    let kind = error.kind().to_string();
    let what = match error.detail() {
        Some(detail) => format!("{kind}: {detail}"),
        None => kind,
    };
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}

/// `{% generation %}` marks the assistant's words for training in transformers. Here its body is just rendered.
fn without_generation_tags(source: impl Into<String>) -> String {
    let source = source.into();
    if !source.contains("generation") {
        return source;
    }
    let mut out = String::with_capacity(source.len() + 16);
    let mut rest = source.as_str();
    while let Some(open) = rest.find("{%") {
        let (before, tag) = rest.split_at(open + 2);
        out.push_str(before);
        rest = tag;
        let name = tag.trim_start_matches(['-', '+']).trim_start();
        let (word, plain) = match () {
            () if name.starts_with("generation") => ("generation", "if true"),
            () if name.starts_with("endgeneration") => ("endgeneration", "endif"),
            () => continue,
        };
        let behind = &name[word.len()..];
        if behind.trim_start().trim_start_matches(['-', '+']).starts_with("%}") {
            out.push_str(&tag[..tag.len() - name.len()]);
            out.push_str(plain);
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// The text of a token.
fn text_of<'a>(tokens: &Array<'a>, id: u32) -> Option<&'a str> {
    match tokens.iter().nth(usize::try_from(id).ok()?)? {
        Ok(gguf::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// The tokens that look like markers of a chat format.
fn special_names<'a>(tokens: &Array<'a>) -> Vec<&'a str> {
    let texts = tokens.iter().filter_map(|token| match token {
        Ok(gguf::Value::String(text)) => Some(text),
        _ => None,
    });
    texts.filter(|text| text.len() > 2 && text.starts_with(['<', '['])).collect()
}
