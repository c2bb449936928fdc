//! Tokenizers against llama.cpp's ids.

use std::path::Path;

use dyadic_model::gguf::GgufFile;
use dyadic_model::tokenizer::Tokenizer;
use serde_json::Value;

fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokenizer").join(name);
    let text = std::fs::read_to_string(&path).expect("the golden file is in the repository");
    serde_json::from_str(&text).expect("the golden file is JSON")
}

fn tokenizer(path: &Path) -> Tokenizer {
    let file = GgufFile::open(path).expect("the file opens");
    Tokenizer::from_metadata(file.metadata()).expect("the file has a tokenizer")
}

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().expect("a list").iter();
    ids.map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")).collect()
}

#[test]
fn smollm2_gives_the_ids_of_llama_cpp() {
    let Some(path) = dyadic_testkit::skip::smollm2() else { return };
    let tokenizer = tokenizer(&path);
    let golden = golden("smollm2.json");
    let cases = golden["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), 60);
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text, true), Ok(expected.clone()), "{text:?}");
        assert_eq!(tokenizer.decode(&expected, true).as_deref(), Ok(text));
    }
}
