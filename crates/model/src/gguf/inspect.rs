//! A summary of a file as JSON, for people and programs that ask what is in it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Array, GgufFile, TensorInfo, Value};

/// Longer arrays are shown by their first elements.
const SHOWN_ELEMENTS: usize = 16;

/// Longer texts are cut; chat templates are shorter.
const SHOWN_TEXT: usize = 64 << 10;

impl GgufFile {
    /// What is in the file:
    ///
    /// ```json
    /// { "format": "gguf", "version": 3, "parts": [{ "path": "model.gguf", "bytes": 98362432 }],
    ///   "architecture": "llama", "name": "SmolLM2 135M Instruct", "parameters": 134515008, "tensorBytes": 96584832,
    ///   "types": { "Q4_1": { "tensors": 211, "parameters": 134479872, "bytes": 84049920 } },
    ///   "metadata": { "llama.block_count": 30, "tokenizer.ggml.tokens": { "type": "string", "length": 49152, "first": ["..."] } },
    ///   "tensors": [{ "name": "output_norm.weight", "type": "F32", "shape": [576], "bytes": 2304, "part": 0, "offset": 1783552 }] }
    /// ```
    ///
    /// Shapes are in the order of ggml. `architecture` and `name` are null where the file does not say, `bytes` of a tensor where its type is
    /// unknown. Works for every file that can be opened, also where its types or architecture are not supported.
    #[must_use]
    pub fn inspect(&self) -> Json {
        let metadata: Map<String, Json> = self
            .metadata()
            .iter()
            .map(|(key, value)| (key.to_owned(), value.map_or(Json::Null, value_json)))
            .collect();
        let parts: Vec<Json> = self
            .parts
            .iter()
            .map(|part| json!({ "path": part.file.path().display().to_string(), "bytes": part.file.bytes().len() }))
            .collect();
        let mut total = Total::default();
        self.tensors().iter().for_each(|tensor| total.add(tensor));
        let types: Map<String, Json> =
            self.types().iter().map(|(&name, total)| (name.to_owned(), total.json())).collect();
        json!({
            "format": "gguf",
            "version": self.version(),
            "parts": parts,
            "architecture": self.text("general.architecture"),
            "name": self.text("general.name"),
            "parameters": total.parameters,
            "tensorBytes": total.bytes,
            "types": types,
            "metadata": metadata,
            "tensors": self.tensors().iter().map(tensor_json).collect::<Vec<_>>(),
        })
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.metadata().get(key).ok()
    }

    fn types(&self) -> BTreeMap<&'static str, Total> {
        let mut types = BTreeMap::<_, Total>::new();
        for tensor in self.tensors() {
            types.entry(tensor.type_name()).or_default().add(tensor);
        }
        types
    }
}

/// What a number of tensors comes to.
#[derive(Default)]
struct Total {
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

impl Total {
    /// Saturates: tensors of unknown type in a hostile file may claim any number of elements.
    fn add(&mut self, tensor: &TensorInfo) {
        self.tensors += 1;
        self.parameters = self.parameters.saturating_add(tensor.elements() as u64);
        self.bytes = self.bytes.saturating_add(tensor.byte_len().unwrap_or(0));
    }

    fn json(&self) -> Json {
        json!({ "tensors": self.tensors, "parameters": self.parameters, "bytes": self.bytes })
    }
}

fn tensor_json(tensor: &TensorInfo) -> Json {
    json!({
        "name": tensor.name(),
        "type": tensor.type_name(),
        "shape": tensor.shape(),
        "bytes": tensor.byte_len(),
        "part": tensor.part(),
        "offset": tensor.offset(),
    })
}

fn value_json(value: Value<'_>) -> Json {
    match value {
        Value::Bool(value) => value.into(),
        Value::String(text) => shortened(text).into(),
        Value::Array(array) => array_json(&array),
        Value::F32(value) => float_json(value),
        Value::F64(value) => value.into(),
        Value::U64(value) => value.into(),
        integer => integer.as_integer().and_then(|value| i64::try_from(value).ok()).into(),
    }
}

/// The shortest decimal number that is this f32, so that 1e-5 does not become 0.000009999999747378752.
fn float_json(value: f32) -> Json {
    value.to_string().parse::<f64>().ok().into()
}

fn array_json(array: &Array<'_>) -> Json {
    let first: Vec<Json> = array
        .iter()
        .take(SHOWN_ELEMENTS)
        .map(|element| element.map_or(Json::Null, value_json))
        .collect();
    if array.len() <= SHOWN_ELEMENTS {
        first.into()
    } else {
        json!({ "type": array.element_type().name(), "length": array.len(), "first": first })
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= SHOWN_TEXT {
        text.to_owned()
    } else {
        format!("{}…", &text[..text.floor_char_boundary(SHOWN_TEXT)])
    }
}
