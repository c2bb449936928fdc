//! Tokenizers against llama.cpp's ids.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dyadic_model::gguf::GgufFile;
use dyadic_model::tokenizer::{ByteStrings, TokenType, Tokenizer, Vocabulary, VocabularyModel};
use dyadic_testkit::skip::skip;
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

fn strings(list: &Value) -> ByteStrings {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// The vocabularies of the golden file: GPT-2's beginning under the name of a pre-tokenizer, and Llama 2's under `spm`.
fn small_tokenizer(golden: &Value, name: &str) -> Tokenizer {
    let types = |list: &Value| {
        let numbers = list.as_array().expect("a list").iter();
        let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
        numbers.map(|value| TokenType::from_number(number(value).expect("a type"))).collect()
    };
    let vocabulary = if name.starts_with("spm") {
        let (part, model) = (&golden["spm"], VocabularyModel::SentencePiece);
        let mut vocabulary = Vocabulary::new(model, strings(&part["tokens"]));
        vocabulary.token_types = types(&part["types"]);
        let scores = part["scores"].as_array().expect("a list").iter();
        #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
        let scores = scores.map(|score| score.as_f64().expect("a score") as f32).collect();
        vocabulary.scores = scores;
        vocabulary.unknown = Some(0);
        vocabulary.add_space_prefix = Some(name == "spm");
        vocabulary
    } else {
        let (part, model) = (&golden["bpe"], VocabularyModel::ByteLevelBpe);
        let mut vocabulary = Vocabulary::new(model, strings(&part["tokens"]));
        // The types are those of the last tokens.
        let last: Vec<TokenType> = types(&part["types"]);
        vocabulary.token_types = vec![TokenType::Normal; vocabulary.tokens.len() - last.len()];
        vocabulary.token_types.extend(last);
        vocabulary.merges = strings(&part["merges"]);
        vocabulary.pre_tokenizer = Some(name.to_owned());
        vocabulary
    };
    Tokenizer::new(vocabulary).expect("the vocabulary is sound")
}

#[test]
fn small_vocabularies_give_the_ids_of_llama_cpp() {
    let golden = golden("small.json");
    let names = golden["names"].as_array().expect("a list").iter();
    let tokenizers: HashMap<&str, Tokenizer> = names
        .map(|name| name.as_str().expect("a name"))
        .map(|name| (name, small_tokenizer(&golden, name)))
        .collect();
    let mut compared = 0;
    for case in golden["cases"].as_array().expect("a list") {
        let text = case["text"].as_str().expect("a text");
        for group in case["ids"].as_array().expect("a list") {
            let special = ids(&group["special"]);
            let plain = group.get("plain").map_or_else(|| special.clone(), ids);
            for name in group["vocabularies"].as_array().expect("a list") {
                let name = name.as_str().expect("a name");
                let tokenizer = &tokenizers[name];
                for (parse, expected) in [(true, &special), (false, &plain)] {
                    let found = tokenizer.encode(text, parse);
                    assert_eq!(found.as_ref(), Ok(expected), "{name}, special {parse}: {text:?}");
                    compared += 1;
                }
                if !name.starts_with("spm") {
                    assert_eq!(tokenizer.decode(&special, true).as_deref(), Ok(text), "{name}");
                }
            }
        }
    }
    assert!(compared >= 5000, "{compared} comparisons");
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

/// llama.cpp's vocabulary-only files with their texts and ids (`models/ggml-vocab-*.gguf`, `.inp`, `.out` of its repository).
#[test]
fn vocabularies_of_llama_cpp_give_their_ids() {
    let Some(folder) = std::env::var_os("DYADIC_TEST_VOCABULARIES").map(PathBuf::from) else {
        skip("needs llama.cpp's ggml-vocab-*.gguf: set DYADIC_TEST_VOCABULARIES to their folder");
        return;
    };
    let names = [
        "command-r",
        "deepseek-coder",
        "falcon",
        "gpt-2",
        "llama-bpe",
        "llama-spm",
        "mpt",
        "phi-3",
        "qwen2",
        "qwen35",
        "refact",
        "starcoder",
    ];
    for name in names {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let tokenizer = tokenizer(&path);
        let beside = |suffix: &str| {
            std::fs::read_to_string(format!("{}.{suffix}", path.display())).expect("a text file")
        };
        let (texts, expected) = (beside("inp"), beside("out"));
        // A separator stands between texts, on a line of its own.
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let expected: Vec<Vec<u32>> = expected
            .lines()
            .map(|line| line.split_whitespace().map(|id| id.parse().expect("an id")).collect())
            .collect();
        assert!(texts.len() >= 40 && expected.len() >= texts.len() - 1, "{name}");
        for (text, ids) in texts.iter().zip(&expected) {
            assert_eq!(tokenizer.encode(text, false).as_ref(), Ok(ids), "{name}: {text:?}");
            assert_eq!(tokenizer.decode(ids, false).as_deref(), Ok(*text), "{name}");
        }
    }
}

/// The beginning of Moby Dick, and the first ids that the reference was computed from.
#[test]
fn smollm2_reads_moby_dick() {
    let Some(path) = dyadic_testkit::skip::smollm2() else { return };
    let text = "CHAPTER 1. Loomings.\n\nCall me Ishmael. Some years ago—never mind how long precisely—having\n\
                little or no money in my purse, and nothing particular to interest me on\n\
                shore, I thought I would sail about a little and see the watery part of\nthe world.";
    let ids = [
        5229, 41958, 216, 33, 30, 450, 6364, 616, 30, 198, 198, 12800, 549, 46588, 30, 2015, 929,
        3156, 1265, 15661, 1945, 638, 986, 10031, 1265, 32120, 198, 31774, 355, 787, 2478, 281,
        957, 42882, 28, 284, 3878, 1542, 288, 1384, 549, 335, 198, 14518, 28, 339, 2275, 339, 736,
        11930, 563, 253, 1838, 284, 963, 260, 32415, 599, 282, 198, 1195, 905, 30,
    ];
    assert_eq!(tokenizer(&path).encode(text, false).as_deref(), Ok(&ids[..]));
}
