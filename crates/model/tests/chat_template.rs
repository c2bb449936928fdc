//! Chat templates of models against what Jinja2 makes of them, in the environment of transformers' `apply_chat_template`.

use std::path::{Path, PathBuf};

use dyadic_model::chat_template::{ChatTemplate, LocalTime, Message, RenderOptions};
use dyadic_model::gguf::GgufFile;
use dyadic_model::tokenizer::Tokenizer;
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("the golden file is in the repository");
    serde_json::from_str(&text).expect("the golden file is JSON")
}

/// The time that the golden file tells: 2026-11-23 10:15:30.
const NOW: LocalTime = LocalTime { unix_seconds: 1_795_428_930, utc_offset_minutes: 0 };

/// Renders a conversation of the golden file: the text, or a code and a message.
fn render(template: &ChatTemplate, conversation: &Value) -> Result<String, (&'static str, String)> {
    let messages = Message::list_from_json(&conversation["messages"].to_string())
        .expect("the messages are sound");
    let options = RenderOptions {
        add_generation_prompt: conversation["add_generation_prompt"] == true,
        tools: conversation.get("tools").cloned(),
        variables: conversation["variables"].as_object().cloned().unwrap_or_default(),
        now: Some(NOW),
    };
    template.render(&messages, &options).map_err(|error| (error.code(), error.to_string()))
}

#[test]
fn templates_render_as_in_jinja2() {
    let mut paths = vec![golden("chat_templates.json")];
    paths.extend(std::env::var_os("DYADIC_TEST_CHAT_TEMPLATES").map(PathBuf::from));
    let (mut compared, mut differing) = (0, Vec::new());
    for path in paths {
        let golden = read_json(&path);
        for template in golden["templates"].as_array().expect("a list") {
            let name = template["name"].as_str().expect("a name");
            let source = template["source"].as_str().expect("a source");
            let parsed = match ChatTemplate::new(source, "<s>", "</s>") {
                Ok(parsed) => parsed,
                Err(error) => {
                    differing.push(format!("{name}: {error}"));
                    continue;
                }
            };
            for (case, expected) in template["expected"].as_object().expect("cases") {
                let found = render(&parsed, &golden["conversations"][case]);
                compared += 1;
                let same = match (&found, expected["text"].as_str(), expected["raised"].as_str()) {
                    (Ok(text), Some(expected), _) => text == expected,
                    (Err((code, message)), _, Some(raised)) => {
                        *code == "ERR_CHAT_TEMPLATE_RAISED" && message.contains(raised)
                    }
                    // Jinja2 fails on a type; whether ours does too is not its concern.
                    (_, None, None) => true,
                    _ => false,
                };
                if !same {
                    differing.push(format!("{name}, {case}:\n{found:?}\n{expected}"));
                }
            }
        }
    }
    assert!(compared >= 64, "{compared} conversations");
    assert!(
        differing.is_empty(),
        "{} of {compared} differ:\n{}",
        differing.len(),
        differing.join("\n\n")
    );
}

/// SmolLM2's template puts a system message of its own before a conversation that has none.
#[test]
fn smollm2_gives_the_prompts_of_the_reference() {
    let Some(path) = dyadic_testkit::skip::smollm2() else { return };
    let file = GgufFile::open(&path).expect("the file opens");
    let template = ChatTemplate::from_metadata(file.metadata()).expect("a template");
    let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("a tokenizer");
    assert_eq!((template.format(), template.parse_error()), (None, None));
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    for (question, ids) in [
        (
            "What is the capital of France?",
            &[
                1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018,
                411, 407, 19712, 8182, 2, 198, 1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47,
                2, 198, 1, 520, 9531, 198,
            ][..],
        ),
        (
            "Write one sentence about the sea.",
            &[
                1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018,
                411, 407, 19712, 8182, 2, 198, 1, 4093, 198, 19161, 582, 6330, 563, 260, 3426, 30,
                2, 198, 1, 520, 9531, 198,
            ],
        ),
    ] {
        let message = Message::new("user", question).expect("a known role");
        let prompt = template.render(&[message], &options).expect("renders");
        let expected = format!(
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(prompt, expected);
        assert_eq!(tokenizer.encode(&prompt, true).as_deref(), Ok(ids));
    }
}
