//! Templates of small size, messages, and limits.

use serde_json::json;

use super::*;
use crate::gguf::{GgufFile, GgufWriter};

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content).expect("a known role")
}

fn render_with(source: &str, options: &RenderOptions) -> Result<String, ModelError> {
    let template = ChatTemplate::new(source, "<s>", "</s>")?;
    template.render(&[message("user", "Hi"), message("assistant", "Yes?")], options)
}

fn render(source: &str) -> String {
    render_with(source, &RenderOptions::default()).expect("renders")
}

fn failure(source: &str) -> (&'static str, String) {
    let error = render_with(source, &RenderOptions::default()).expect_err("fails");
    (error.code(), error.to_string())
}

#[test]
fn values_are_written_as_python_writes_them() {
    assert_eq!(render("{{ true }} {{ none }} {{ 1.0 }} {{ 7 // 2 }}"), "True None 1.0 3");
    assert_eq!(render("{{ [1, 'a', none, {'k': \"it's\"}] }}"), "[1, 'a', None, {'k': \"it's\"}]");
    assert_eq!(render("{{ messages[0] }}"), "{'role': 'user', 'content': 'Hi'}");
    assert_eq!(render("{{ ['a\\n', 'é', 'x\\'\"'] }}"), r#"['a\n', 'é', 'x\'"']"#);
    assert_eq!(render("{{ nothing }}|{{ messages[5] }}|"), "||");
}

#[test]
fn to_json_is_that_of_transformers() {
    let value = "{'b': [1, 2.5, 'é<&>\\n'], 'a': {}, 'c': []}";
    assert_eq!(
        render(&format!("{{{{ {value} | tojson }}}}")),
        r#"{"b": [1, 2.5, "é<&>\n"], "a": {}, "c": []}"#
    );
    assert_eq!(
        render(&format!("{{{{ {value} | tojson(indent=2, sort_keys=true) }}}}")),
        "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2.5,\n    \"é<&>\\n\"\n  ],\n  \"c\": []\n}"
    );
    assert_eq!(
        render("{{ {'a': 1, 'b': 2} | tojson(separators=(',', ':')) }}"),
        r#"{"a":1,"b":2}"#
    );
}

#[test]
fn filters_and_methods_are_those_of_jinja2() {
    assert_eq!(
        render("{{ [1, 2, 3] | join(', ') }} {{ '-'.join(['a', none]) }}"),
        "1, 2, 3 a-None"
    );
    assert_eq!(render("{{ messages | join('|', attribute='role') }}"), "user|assistant");
    assert_eq!(render("{{ 'a\n\nb' | indent(2) }}"), "a\n\n  b");
    assert_eq!(
        render("{{ 'a\n\nb' | indent(width='> ', first=true, blank=true) }}"),
        "> a\n> \n> b"
    );
    assert_eq!(
        render("{{ 'aXbX' | replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }}"),
        "a-b- a-bX"
    );
    assert_eq!(
        render("{{ '{}:{}'.format('a', 1) }} {{ '%s-%03d' | format('b', 7) }}"),
        "a:1 b-007"
    );
    assert_eq!(
        render("{{ none is iterable }} {{ [] is iterable }} {{ x is iterable }}"),
        "False True True"
    );
    assert_eq!(
        render(
            "{% for i in range(9) %}{% if i == 4 %}{% break %}{% endif %}{% if i % 2 %}{% continue %}{% endif %}{{ i }}{% endfor %}"
        ),
        "02"
    );
}

#[test]
fn generation_tags_are_transparent() {
    assert_eq!(
        render(
            "a {%- generation -%} b {% endgeneration %}{% if add_generation_prompt %}c{% endif %}"
        ),
        "ab "
    );
    assert_eq!(render("{% set generation = 1 %}{{ generation }}"), "1");
}

#[test]
fn options_reach_the_template() {
    let options = RenderOptions {
        add_generation_prompt: true,
        tools: Some(json!([{"name": "f"}])),
        variables: json!({"enable_thinking": false, "messages": "mine"})
            .as_object()
            .cloned()
            .unwrap_or_default(),
        now: Some(LocalTime { unix_seconds: 0, utc_offset_minutes: 60 }),
    };
    let source = "{{ bos_token }}{{ add_generation_prompt }} {{ tools[0].name }} {{ enable_thinking }} \
                  {{ messages | length }} {{ strftime_now('%H:%M %d %b %Y') }}{{ eos_token }}";
    let rendered = render_with(source, &options).expect("renders");
    assert_eq!(rendered, "<s>True f False 2 01:00 01 Jan 1970</s>");
    assert_eq!(render("{{ tools is none }} {{ documents is none }}"), "True True");
}

#[test]
fn templates_may_refuse_messages() {
    let (code, text) = failure("{{ raise_exception('roles must alternate') }}");
    assert_eq!(code, "ERR_CHAT_TEMPLATE_RAISED");
    assert_eq!(text, "the chat template refuses the messages: roles must alternate");
    // Also from inside a macro.
    let nested = "{% macro m() %}{{ raise_exception('no') }}{% endmacro %}{{ m() }}";
    assert_eq!(failure(nested).0, "ERR_CHAT_TEMPLATE_RAISED");
}

#[test]
fn errors_say_where() {
    let (code, text) = failure("\n{% if %}");
    assert_eq!(code, "ERR_CHAT_TEMPLATE_SYNTAX");
    assert!(text.contains("line 2"), "{text}");
    let (code, text) = failure("\n\n{{ messages.nothing.at_all }}");
    assert_eq!(code, "ERR_CHAT_TEMPLATE");
    assert!(text.contains("line 3"), "{text}");
}

#[test]
fn endless_templates_are_stopped() {
    let loops = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    assert_eq!(failure(loops).0, "ERR_CHAT_TEMPLATE_LIMIT");
    let recursion = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert_eq!(failure(recursion).0, "ERR_CHAT_TEMPLATE_LIMIT");
    let long = format!("{{% for a in range(100000) %}}{}{{% endfor %}}", "x".repeat(1000));
    assert_eq!(failure(&long).0, "ERR_CHAT_TEMPLATE_LIMIT");
}

/// Each took gigabytes, or the native stack, before it was bounded.
#[test]
fn templates_that_make_much_of_little_are_stopped() {
    let wide = "{% set s = 'x' * 4000000 %}";
    let hostile = [
        format!("{wide}{{{{ s | replace('x', s) }}}}"),
        format!("{wide}{{{{ s.replace('', s) }}}}"),
        format!("{wide}{{{{ [s, s, s, s, s] | join(s) }}}}"),
        format!("{wide}{{{{ s.join([s, s, s, s, s]) }}}}"),
        format!("{wide}{{{{ '{{0}}{{0}}{{0}}{{0}}{{0}}'.format(s) }}}}"),
        format!("{wide}{{{{ '%s%s%s%s%s' | format(s, s, s, s, s) }}}}"),
        "{{ '{:1000000000}'.format('x') }}".to_owned(),
        "{{ '{:{}}'.format('x', 1000000000) }}".to_owned(),
        "{{ '%1000000000d' | format(1) }}".to_owned(),
        "{{ '%*d' | format(1000000000, 1) }}".to_owned(),
        "{{ 'a\nb' | indent(1000000000) }}".to_owned(),
        "{{ {'a': 1} | tojson(indent=1000000000) }}".to_owned(),
        format!("{{% set x = [1] %}}{}{{{{ x | tojson }}}}", "{% set x = [x, x] %}".repeat(60)),
        format!("{{% set x = [1] %}}{}{{{{ x }}}}", "{% set x = [x, x] %}".repeat(60)),
        format!("{{{{ a{} }}}}", " ~ a".repeat(100_000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(100_000)),
        "x".repeat((1 << 20) + 1),
    ];
    for source in hostile {
        assert_eq!(failure(&source).0, "ERR_CHAT_TEMPLATE_LIMIT", "{source:.80}");
    }
}

#[test]
fn messages_are_checked() {
    let error = |json: &str| Message::list_from_json(json).expect_err("fails").to_string();
    assert_eq!(
        error(r#"[{"role": "user", "content": "a"}, {"role": "root", "content": "b"}]"#),
        "message 1: unknown role \"root\" (known: system, developer, user, assistant, tool)"
    );
    assert_eq!(error(r#"[{"content": "a"}]"#), "message 0: role is missing");
    assert_eq!(
        error(r#"[{"role": 1, "content": "a"}]"#),
        "message 0: role must be a string, not a number"
    );
    assert_eq!(error(r#"[{"role": "user"}]"#), "message 0: content is missing");
    assert_eq!(
        error(r#"[{"role": "user", "content": 5}]"#),
        "message 0: content must be a string, not a number"
    );
    assert_eq!(error(r#"["a"]"#), "message 0: must be an object, not a string");
    assert_eq!(error("{}"), "message 0: messages must be a list, not an object");
    assert_eq!(
        error(r#"[{"role": "user", "content": [{"type": "image"}]}]"#),
        "message 0: parts of type \"image\" are not supported"
    );
    let error = Message::list_from_json("[").expect_err("fails");
    assert_eq!(error.code(), "ERR_CHAT_MESSAGE");
    let template = ChatTemplate::new("", "", "").expect("parses");
    let error = template.render(&[], &RenderOptions::default()).expect_err("fails");
    assert_eq!(error.code(), "ERR_CHAT_MESSAGE");
}

#[test]
fn messages_keep_what_they_carry() {
    let json = r#"[
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"z": 1, "a": 2}], "name": "n"}
    ]"#;
    let messages = Message::list_from_json(json).expect("sound");
    assert_eq!((messages[0].role(), messages[0].content()), ("user", Some("ab")));
    assert_eq!(messages[1].content(), None);
    let template = ChatTemplate::new("{{ messages[1] | tojson }}", "", "").expect("parses");
    assert_eq!(
        template.render(&messages, &RenderOptions::default()),
        Ok(r#"{"role": "assistant", "content": null, "tool_calls": [{"z": 1, "a": 2}], "name": "n"}"#.to_owned())
    );
    let again: Vec<Message> =
        serde_json::from_str(&serde_json::to_string(&messages).expect("JSON")).expect("sound");
    assert_eq!(again, messages);
}

/// A template from the metadata of a file with these tokens.
fn from_file(template: Option<&str>, tokens: &[&str]) -> ChatTemplate {
    let mut writer = GgufWriter::new();
    writer.metadata("tokenizer.ggml.tokens", tokens);
    writer.metadata("tokenizer.ggml.bos_token_id", 0u32);
    writer.metadata("tokenizer.ggml.eos_token_id", 1u32);
    if let Some(template) = template {
        writer.metadata("tokenizer.chat_template", template);
    }
    let file = GgufFile::from_bytes("test", writer.to_bytes()).expect("a sound file");
    ChatTemplate::from_metadata(file.metadata()).expect("a template")
}

fn conversation(template: &ChatTemplate) -> String {
    let messages = [
        message("system", "S"),
        message("user", "U"),
        message("assistant", "A"),
        message("user", "V"),
    ];
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    template.render(&messages, &options).expect("renders")
}

#[test]
fn files_without_template_get_the_format_of_their_tokens() {
    let expected = [
        (
            &["<|im_start|>"][..],
            "chatml",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            &["<|im_start|>", "<|im_sep|>"],
            "phi4",
            "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>U<|im_end|><|im_start|>assistant<|im_sep|>A<|im_end|><|im_start|>user<|im_sep|>V<|im_end|><|im_start|>assistant<|im_sep|>",
        ),
        (
            &["[INST]", "[SYSTEM_PROMPT]"],
            "mistral-v7",
            "<s>[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] U[/INST] A</s>[INST] V[/INST]",
        ),
        (
            &["[INST]", "[AVAILABLE_TOOLS]"],
            "mistral",
            "<s>[INST] S\n\nU[/INST] A</s>[INST] V[/INST]",
        ),
        (
            &["[INST]"],
            "llama2",
            "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nU [/INST] A </s><s>[INST] V [/INST]",
        ),
        (
            &["<|assistant|>", "<|end|>"],
            "phi3",
            "<s><|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nV<|end|>\n<|assistant|>\n",
        ),
        (
            &["<|assistant|>", "<|user|>"],
            "zephyr",
            "<|system|>\nS</s>\n<|user|>\nU</s>\n<|assistant|>\nA</s>\n<|user|>\nV</s>\n<|assistant|>\n",
        ),
        (
            &["<start_of_turn>"],
            "gemma",
            "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nV<end_of_turn>\n<start_of_turn>model\n",
        ),
        (
            &["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"],
            "command-r",
            "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>U<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>A<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>V<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        ),
        (
            &["<|start_header_id|>", "<|end_header_id|>"],
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
        (
            &["<｜User｜>", "<｜Assistant｜>"],
            "deepseek3",
            "<s>S\n\n<｜User｜>U<｜Assistant｜>A<｜end▁of▁sentence｜><｜User｜>V<｜Assistant｜>",
        ),
        (
            &["<|start_of_role|>"],
            "granite",
            "<|start_of_role|>system<|end_of_role|>S<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>U<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>A<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>V<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        ),
    ];
    for (markers, format, text) in expected {
        let template = from_file(None, &[&["<s>", "</s>"], markers].concat());
        assert_eq!(template.format(), Some(format));
        assert_eq!(conversation(&template), text, "{format}");
    }
    assert_eq!(from_file(None, &["<s>", "</s>", "a"]).format(), Some("chatml"));
}

#[test]
fn templates_that_cannot_be_parsed_give_way_to_their_format() {
    let template = from_file(Some("{% nonsense %}USER: ASSISTANT: "), &["<s>", "</s>"]);
    assert_eq!(template.format(), Some("vicuna"));
    assert_eq!(conversation(&template), "<s>S\n\nUSER: U\nASSISTANT: A</s>\nUSER: V\nASSISTANT:");
    let error = template.parse_error().expect("the reason");
    assert_eq!(error.code(), "ERR_CHAT_TEMPLATE_SYNTAX");
    let sound = from_file(Some("{{ bos_token }}{{ eos_token }}"), &["<s>", "</s>"]);
    assert_eq!((sound.format(), sound.parse_error()), (None, None));
    assert_eq!(conversation(&sound), "<s></s>");
}

#[test]
fn usual_formats_take_messages_without_content() {
    let messages = Message::list_from_json(
        r#"[{"role": "user", "content": "U"}, {"role": "assistant", "content": null, "tool_calls": []}]"#,
    )
    .expect("sound");
    for format in &formats::FORMATS {
        let template = from_file(None, &[&["<s>", "</s>"], format.markers].concat());
        let rendered = template.render(&messages, &RenderOptions::default());
        assert!(rendered.is_ok(), "{}: {rendered:?}", format.name);
    }
}
