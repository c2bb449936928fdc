//! Chat messages.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::error::ChatTemplateError;

/// Who may speak. Templates decide which of them they accept.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// One message of a conversation.
///
/// In JSON it is an object with `role` and `content`; everything else (`name`, `tool_calls`, `tool_call_id`, `reasoning_content`,
/// …) goes to the template as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    role: String,
    content: Option<String>,
    fields: Map<String, Value>,
}

impl Message {
    /// A message of text.
    ///
    /// # Errors
    /// `ERR_CHAT_MESSAGE` if the role is unknown.
    pub fn new(
        role: impl Into<String>,
        content: impl Into<String>,
    ) -> Result<Self, ChatTemplateError> {
        let role = role.into();
        check_role(&role).map_err(|reason| ChatTemplateError::Message { index: 0, reason })?;
        Ok(Self { role, content: Some(content.into()), fields: Map::new() })
    }

    /// A message from a JSON object. The content is a text, a list of parts of type `text`, or, beside tool calls, null.
    fn from_object(mut fields: Map<String, Value>) -> Result<Self, String> {
        let role = match fields.shift_remove("role") {
            Some(Value::String(role)) => role,
            Some(other) => return Err(format!("role must be a string, not {}", kind(&other))),
            None => return Err("role is missing".to_owned()),
        };
        check_role(&role)?;
        let content = match fields.shift_remove("content") {
            Some(Value::String(text)) => Some(text),
            Some(Value::Array(parts)) => {
                Some(parts.iter().map(text_of_part).collect::<Result<String, _>>()?)
            }
            Some(Value::Null) | None if fields.contains_key("tool_calls") => None,
            None => return Err("content is missing".to_owned()),
            Some(other) => {
                return Err(format!("content must be a string, not {}", kind(&other)));
            }
        };
        Ok(Self { role, content, fields })
    }

    /// Messages from JSON: a list of objects.
    ///
    /// # Errors
    /// `ERR_CHAT_MESSAGE`, with the number of the message.
    pub fn list_from_json(json: &str) -> Result<Vec<Self>, ChatTemplateError> {
        let malformed = |reason: String| ChatTemplateError::Message { index: 0, reason };
        let list: Value =
            serde_json::from_str(json).map_err(|error| malformed(error.to_string()))?;
        let Value::Array(list) = list else {
            return Err(malformed(format!("messages must be a list, not {}", kind(&list))));
        };
        let parsed = list.into_iter().enumerate().map(|(index, message)| match message {
            Value::Object(fields) => Self::from_object(fields)
                .map_err(|reason| ChatTemplateError::Message { index, reason }),
            other => Err(ChatTemplateError::Message {
                index,
                reason: format!("must be an object, not {}", kind(&other)),
            }),
        });
        parsed.collect()
    }

    /// Who speaks.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// What is said; `None` for an assistant that only calls tools.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        self.content.as_deref()
    }

    /// The message with an empty content where it has none.
    pub(super) fn with_content(&self) -> Self {
        let mut message = self.clone();
        message.content.get_or_insert_default();
        message
    }

    /// Length in bytes of its texts, about.
    pub(super) fn weight(&self) -> usize {
        fn weigh(value: &Value) -> usize {
            match value {
                Value::String(text) => text.len(),
                Value::Array(list) => list.iter().map(weigh).sum(),
                Value::Object(fields) => fields.iter().map(|(k, v)| k.len() + weigh(v)).sum(),
                _ => 8,
            }
        }
        let fields: usize = self.fields.iter().map(|(key, value)| key.len() + weigh(value)).sum();
        self.role.len() + self.content.as_ref().map_or(0, String::len) + fields
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.fields.len() + 2))?;
        map.serialize_entry("role", &self.role)?;
        map.serialize_entry("content", &self.content)?;
        for (key, value) in &self.fields {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_object(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn check_role(role: &str) -> Result<(), String> {
    if ROLES.contains(&role) {
        return Ok(());
    }
    Err(format!("unknown role \"{role}\" (known: {})", ROLES.join(", ")))
}

fn text_of_part(part: &Value) -> Result<&str, String> {
    match (part.get("type").and_then(Value::as_str), part.get("text").and_then(Value::as_str)) {
        (Some("text"), Some(text)) => Ok(text),
        (Some("text"), None) => Err("a part of type \"text\" needs a text".to_owned()),
        (Some(other), _) => Err(format!("parts of type \"{other}\" are not supported")),
        (None, _) => Err("a part of the content needs a type".to_owned()),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
