//! Schemas against texts that they should allow and refuse; random generation against an independent validator; masks against brute force.

use std::time::Instant;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sampler::{Sampler, SamplingOptions};

/// Tokens of several bytes besides one for each byte: ends of strings joined with what follows, parts of characters, whitespace.
const PIECES: [&[u8]; 28] = [
    b"\"",
    b"\":",
    b"\",",
    b"\"}",
    b"\"]",
    b"\":\"",
    b"\", \"",
    b"{\"",
    b"[{\"",
    b"}}",
    b"},",
    b"]}",
    b": ",
    b", ",
    b"\n  ",
    b"  ",
    b"true",
    b"false",
    b"null",
    b"name",
    b"12",
    b"0.5",
    b"\\u00",
    b"\\\"",
    b"\xc3\xa9",
    b"\xe2\x82",
    b"\xf0\x9f\x98",
    b"abc",
];
const END: u32 = 256 + 28;
const SPECIAL: u32 = END + 1;
const VOCABULARY: usize = END as usize + 2;

fn trie() -> Arc<TokenTrie> {
    let bytes = (0..=u8::MAX).map(|byte| Box::from([byte]));
    let pieces = PIECES.iter().map(|&piece| Box::from(piece));
    let special = [Box::default(), Box::default()];
    Arc::new(TokenTrie::of_bytes(bytes.chain(pieces).chain(special).collect(), &[END]))
}

fn constraint(schema: &Value) -> JsonSchemaConstraint {
    JsonSchemaConstraint::new(schema, trie()).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

/// Whether the constraint lets a text through, byte by byte, to its end.
fn allows(schema: &Value, text: &str) -> bool {
    let mut constraint = constraint(schema);
    text.bytes().all(|byte| constraint.accept(byte.into()).is_ok()) && constraint.is_complete()
}

fn allowed(constraint: &mut JsonSchemaConstraint) -> Vec<u32> {
    let mut logits = vec![0.0; VOCABULARY];
    constraint.mask(&mut logits).unwrap();
    (0..).zip(logits).filter(|(_, logit)| logit.is_finite()).map(|(id, _)| id).collect()
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn cases() -> Vec<(Value, Vec<&'static str>, Vec<&'static str>)> {
    vec![
        (
            json!(true),
            vec![
                "null",
                "true",
                "-1.5e-3",
                "0",
                "[]",
                "{}",
                "[1, 2]",
                "{\"a\": [{}]}",
                r#""\u00e9\ud83d\ude00\n""#,
                "\"\u{e9}\u{1F600}\"",
                "{\n  \"a\": 1,\n  \"b\": []\n}",
                "[\n]",
                "{ }",
                "{\"a\":1,\"a\":2}",
            ],
            vec![
                "",
                "nul",
                "01",
                "1.",
                ".5",
                "+1",
                "-",
                "1e",
                "1e999",
                "[1,]",
                "{,}",
                "{\"a\"}",
                "{\"a\":}",
                "\"\n\"",
                r#""\x""#,
                r#""\ud83d""#,
                r#""\ude00""#,
                r#""\ud83d\u0041""#,
                "[  1]",
                "[\n\n1]",
                "1 ",
                " 1",
                "1234567890123456",
                "\"",
                "{a:1}",
                "'a'",
                "[1 2]",
                "truee",
            ],
        ),
        (json!({ "type": "object" }), vec!["{}", "{\"x\":[1]}"], vec!["[]", "1"]),
        (json!({ "type": ["string", "null"] }), vec!["null", "\"a\""], vec!["1", "true"]),
        (json!({ "type": "integer" }), vec!["0", "-12"], vec!["1.0", "-0", "1e2"]),
        (
            json!({ "type": "number" }),
            vec!["0", "-0.5", "12", "1E+20"],
            vec!["\"1\"", "1.2345678901234567"],
        ),
        (
            json!({ "const": { "a": [1, "x"] } }),
            vec!["{\"a\":[1,\"x\"]}"],
            vec!["{}", "{\"a\": [1,\"x\"]}"],
        ),
        (
            json!({ "enum": ["red", "redder", 1, null, 1] }),
            vec!["\"red\"", "\"redder\"", "1", "null"],
            vec!["\"redd\"", "2"],
        ),
        (
            json!({ "enum": ["a", 1, 2.5, 7], "type": ["integer", "string"], "maximum": 3 }),
            vec!["\"a\"", "1"],
            vec!["7", "2.5"],
        ),
        (
            json!({ "enum": ["a", "bb", "ccc"], "minLength": 2, "pattern": "^b|c" }),
            vec!["\"bb\"", "\"ccc\""],
            vec!["\"a\""],
        ),
        (
            json!({ "allOf": [{ "enum": [1, 2, 3.0] }, { "enum": [2, 3] }] }),
            vec!["2", "3.0"],
            vec!["1"],
        ),
        (
            json!({
                "type": "object",
                "properties": { "b": { "type": "integer" }, "a": { "type": "string" }, "c": { "type": "null" } },
                "required": ["b"],
            }),
            vec![
                "{\"b\":1}",
                "{\"b\":1,\"a\":\"\"}",
                "{\"b\":1, \"c\":null}",
                "{\"b\": 1, \"a\": \"x\", \"c\": null}",
            ],
            vec![
                "{}",
                "{\"a\":\"\",\"b\":1}",
                "{\"b\":1,\"b\":2}",
                "{\"b\":1,}",
                "{\"b\":1,\"d\":1}",
                "{\"b\":\"1\"}",
                "{,\"b\":1}",
            ],
        ),
        (
            json!({ "properties": { "a": {}, "b": {} }, "additionalProperties": false }),
            vec!["{}", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"],
            vec!["{\"b\":1,\"a\":2}", "{\"c\":1}", "1"],
        ),
        (
            json!({
                "type": "object",
                "properties": { "na": { "type": "null" }, "name": { "type": "null" }, "a\"b": { "type": "null" } },
                "additionalProperties": { "type": "integer" },
            }),
            vec![
                "{}",
                "{\"x\":1}",
                "{\"n\":1,\"nam\":2}",
                "{\"na\":null,\"names\":1}",
                "{\"a\\\"b\":null}",
                "{\"\":1}",
                "{\"\u{e9}\":1}",
            ],
            vec![
                "{\"na\":1}",
                "{\"name\":1}",
                "{\"x\":null}",
                "{\"x\":1,\"na\":null}",
                "{\"n\\u0061\":1}",
                "{\"a\\\"b\":1}",
            ],
        ),
        (
            json!({ "type": "object", "required": ["k"] }),
            vec!["{\"k\":1}", "{\"k\":1,\"x\":{}}"],
            vec!["{}", "{\"x\":1}"],
        ),
        (
            json!({ "type": "object", "properties": { "a": true }, "required": ["b"] }),
            vec!["{\"b\":1}", "{\"a\":0,\"b\":1}"],
            vec!["{\"a\":1}"],
        ),
        (
            json!({ "type": "array", "items": { "type": "integer" }, "minItems": 1, "maxItems": 3 }),
            vec!["[1]", "[1, 2]", "[1,2,3]"],
            vec!["[]", "[1,2,3,4]", "[\"1\"]", "[1,]"],
        ),
        (
            json!({ "items": { "type": "null" }, "minItems": 2 }),
            vec!["[null,null]", "[null,null,null,null]"],
            vec!["[null]", "[]"],
        ),
        (json!({ "type": "array", "maxItems": 0 }), vec!["[]"], vec!["[1]"]),
        (
            json!({ "prefixItems": [{ "type": "integer" }, { "type": "string" }] }),
            vec!["[]", "[1]", "[1,\"a\"]"],
            vec!["[\"a\"]", "[1,\"a\",2]"],
        ),
        (
            json!({ "prefixItems": [{ "type": "integer" }], "items": { "type": "null" }, "minItems": 2 }),
            vec!["[1,null]", "[1,null,null]"],
            vec!["[1]", "[null,null]"],
        ),
        (
            json!({ "$schema": "http://json-schema.org/draft-07/schema#", "items": [{ "const": 1 }], "additionalItems": false }),
            vec!["[1]", "[]"],
            vec!["[1,1]"],
        ),
        (
            json!({ "type": "string", "minLength": 2, "maxLength": 3 }),
            vec!["\"ab\"", "\"abc\"", "\"\u{1F600}\u{e9}\"", r#""\n\u00e9\ud83d\ude00""#],
            vec!["\"\"", "\"a\"", "\"abcd\"", "\"\u{1F600}\"", r#""\ud83d\ude00""#],
        ),
        (json!({ "minLength": 2 }), vec!["\"ab\"", "\"abcdef\""], vec!["\"a\"", "1"]),
        (json!({ "maxLength": 1 }), vec!["\"\"", "\"a\""], vec!["\"ab\""]),
        (
            json!({ "type": "string", "pattern": "^[a-z\u{e9}]+(-[0-9]{2})?$" }),
            vec!["\"ab\"", "\"\u{e9}-12\""],
            vec!["\"\"", "\"ab-1\"", "\"A\"", "\"ab-123\""],
        ),
        (
            json!({ "pattern": "b" }),
            vec!["\"b\"", "\"abc\"", "\"\u{1F600}b\"", "\"\\n\\\"b\""],
            vec!["\"\"", "\"ac\""],
        ),
        (json!({ "pattern": "^[\\s\"\\\\]+$" }), vec![r#"" \t\"\\\n""#], vec!["\"a\"", "\"\t\""]),
        (
            json!({ "pattern": "^a*$", "minLength": 2, "maxLength": 4 }),
            vec!["\"aa\"", "\"aaaa\""],
            vec!["\"a\"", "\"aaaaa\"", "\"ab\""],
        ),
        (
            json!({ "allOf": [{ "pattern": "a" }, { "pattern": "[^a]$" }] }),
            vec!["\"ab\"", "\"cab\""],
            vec!["\"a\"", "\"ba\"", "\"b\""],
        ),
        (
            json!({ "format": "date" }),
            vec!["\"2024-02-29\""],
            vec!["\"2023-02-29\"", "\"2024-1-1\""],
        ),
        (
            json!({ "type": "integer", "minimum": -12, "maximum": 105 }),
            vec!["-12", "-9", "-1", "0", "9", "99", "100", "105"],
            vec!["-13", "-99", "106", "110", "200", "1000", "-0", "00", "1.0"],
        ),
        (
            json!({ "type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 8.5 }),
            vec!["6", "8"],
            vec!["5", "9"],
        ),
        (json!({ "type": "integer", "minimum": 0.5, "maximum": 1.5 }), vec!["1"], vec!["0", "2"]),
        (
            json!({ "type": "integer", "minimum": 18 }),
            vec!["18", "19", "20", "100", "999999999999999"],
            vec!["17", "1", "2", "-18", "1000000000000000"],
        ),
        (json!({ "type": "integer", "maximum": -3 }), vec!["-3", "-10"], vec!["-2", "0", "3"]),
        (
            json!({ "type": "integer", "minimum": 0, "maximum": 18_446_744_073_709_551_615_u64 }),
            vec!["18446744073709551615", "9"],
            vec!["18446744073709551616", "-1"],
        ),
        (
            json!({ "type": "number", "minimum": -0.25, "exclusiveMaximum": 1.5 }),
            vec!["-0.25", "-0.2", "-0.0001", "0", "0.0", "1", "1.4", "1.49999", "1.0"],
            vec!["-0.26", "-0.251", "-1", "1.5", "1.50", "2", "-0", "-0.0", "1e0", "1."],
        ),
        (
            json!({ "type": "number", "exclusiveMinimum": 0 }),
            vec!["0.1", "1", "12.5"],
            vec!["0", "0.0", "-1"],
        ),
        (
            json!({ "type": "number", "minimum": 2.5, "maximum": 2.5 }),
            vec!["2.5", "2.50"],
            vec!["2", "2.4", "2.51"],
        ),
        (
            json!({ "allOf": [{ "minimum": 1, "maximum": 9 }, { "minimum": 3, "exclusiveMaximum": 5 }], "type": "integer" }),
            vec!["3", "4"],
            vec!["2", "5"],
        ),
        (
            json!({ "anyOf": [{ "type": "integer" }, { "const": "x" }] }),
            vec!["12", "\"x\""],
            vec!["\"y\"", "1.5"],
        ),
        (
            json!({ "type": "object", "properties": { "a": {} }, "required": ["a"], "anyOf": [{ "properties": { "a": { "type": "null" } } }, { "properties": { "b": { "const": 1 } }, "required": ["b"] }] }),
            vec!["{\"a\":null}", "{\"a\":\"x\",\"b\":1}"],
            vec!["{\"a\":1}", "{\"b\":1}"],
        ),
        (
            json!({
                "oneOf": [
                    { "type": "object", "properties": { "kind": { "const": "a" }, "x": { "type": "integer" } }, "required": ["kind", "x"] },
                    { "type": "object", "properties": { "kind": { "enum": ["b", "c"] } }, "required": ["kind"] },
                    { "type": "string", "maxLength": 1 },
                ],
            }),
            vec!["{\"kind\":\"a\",\"x\":1}", "{\"kind\":\"c\"}", "\"\""],
            vec!["{\"kind\":\"a\"}", "{\"kind\":\"b\",\"x\":1}"],
        ),
        (
            json!({ "oneOf": [{ "type": "object", "properties": { "a": {} }, "required": ["a"] }, { "type": "object", "properties": { "b": {} }, "required": ["b"] }] }),
            vec!["{\"a\":1}", "{\"b\":1}"],
            vec!["{}", "{\"a\":1,\"b\":1}"],
        ),
        (
            json!({ "oneOf": [{ "type": "integer", "maximum": 3 }, { "type": "number", "exclusiveMinimum": 3, "maximum": 4 }] }),
            vec!["3", "3.5"],
            vec!["5"],
        ),
        (
            json!({ "allOf": [{ "properties": { "a": { "type": "integer" } }, "required": ["a"] }, { "properties": { "a": { "minimum": 5 }, "b": { "type": "null" } }, "additionalProperties": false }] }),
            vec!["{\"a\":5}", "{\"a\":6,\"b\":null}"],
            vec!["{\"a\":4}", "{\"a\":5,\"c\":1}", "{}"],
        ),
        (
            json!({ "$ref": "#/$defs/list", "$defs": { "list": { "type": "object", "properties": { "v": { "type": "integer" }, "next": { "anyOf": [{ "$ref": "#/$defs/list" }, { "type": "null" }] } }, "required": ["v", "next"] } } }),
            vec!["{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"],
            vec!["{\"v\":1}", "null", "{\"v\":1,\"next\":{}}"],
        ),
        (
            json!({ "type": "array", "items": { "$ref": "#" } }),
            vec!["[]", "[[],[[]]]"],
            vec!["[1]"],
        ),
        (
            json!({ "definitions": { "a/b %": { "const": 1 } }, "$ref": "#/definitions/a~1b%20%25", "title": "t", "x-note": {} }),
            vec!["1"],
            vec!["2"],
        ),
        (
            json!({ "type": "object", "properties": { "a": false, "b": { "const": 1 } } }),
            vec!["{}", "{\"b\":1}"],
            vec!["{\"a\":1}"],
        ),
        (
            json!({ "properties": { "caf\u{e9}\n": { "const": 1 } } }),
            vec!["{}", "{\"caf\u{e9}\\n\":1}"],
            vec!["{\"cafe\":1}"],
        ),
    ]
}

#[test]
fn texts_are_allowed_and_refused() {
    for (schema, good, bad) in cases() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        for text in good {
            assert!(allows(&schema, text), "{schema} should allow {text}");
            // The case itself is right.
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(validator.is_valid(&value), "{schema} is not met by {text}");
        }
        for text in bad {
            assert!(!allows(&schema, text), "{schema} should refuse {text}");
        }
    }
}

/// A text of random allowed tokens; after `free` tokens those that close something are taken every other time.
fn generate(schema: &Value, random: &mut impl FnMut(usize) -> usize, free: usize) -> Vec<u8> {
    let trie = trie();
    let mut constraint = JsonSchemaConstraint::new(schema, Arc::clone(&trie)).unwrap();
    let mut text = Vec::new();
    for count in 0.. {
        assert!(count < free + 4000, "no end: {}", String::from_utf8_lossy(&text));
        let tokens = allowed(&mut constraint);
        assert!(!tokens.is_empty(), "stuck: {}", String::from_utf8_lossy(&text));
        assert_eq!(tokens.contains(&END), constraint.is_complete());
        assert!(!tokens.contains(&SPECIAL));
        assert_eq!(tokens == [END], constraint.is_finished());
        let closing = |id: &u32| [u32::from(b'"'), b']'.into(), b'}'.into(), END].contains(id);
        let mut choices: Vec<u32> = tokens.clone();
        if count >= free && random(2) > 0 && tokens.iter().any(closing) {
            choices.retain(closing);
        } else if random(4) > 0 && tokens.iter().any(|id| (128..END).contains(id)) {
            // The bytes of ASCII are half of the vocabulary: give the other tokens their turn.
            choices.retain(|id| (128..END).contains(id));
        }
        let id = choices[random(choices.len())];
        constraint.accept(id).unwrap();
        if id == END {
            assert!(constraint.is_finished() && constraint.accept(id).is_err());
            assert!(allowed(&mut constraint).is_empty());
            return text;
        }
        text.extend(trie.bytes(id));
    }
    unreachable!("the loop ends by return or panic")
}

fn xorshift(mut state: u64) -> impl FnMut(usize) -> usize {
    // Small seeds begin with small numbers otherwise.
    state = state.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |bound| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    }
}

#[test]
fn random_texts_parse_and_satisfy_their_schema() {
    for (schema, ..) in cases() {
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        for seed in 1..25 {
            let text = generate(&schema, &mut xorshift(seed), 40);
            let text = String::from_utf8(text).unwrap_or_else(|e| panic!("{schema}: {e}"));
            let value: Value = serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{schema} gave {text:?}: {error}"));
            assert!(validator.is_valid(&value), "{schema} gave {text}");
        }
    }
}

#[test]
fn formats_satisfy_an_independent_validator() {
    for format in ["date", "time", "date-time", "email", "hostname", "ipv4", "uuid", "uri"] {
        let schema = json!({ "type": "string", "format": format });
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        for seed in 1..60 {
            let text = generate(&schema, &mut xorshift(seed), 60);
            let value: Value = serde_json::from_slice(&text).unwrap();
            assert!(validator.is_valid(&value), "{format}: {value}");
        }
    }
}

/// Small random schemas.
fn schemas() -> impl Strategy<Value = Value> {
    let bounds = (-150_i32..150, 0_i32..200, 0_u8..4).prop_map(|(least, width, kind)| {
        let (least, greatest) = (f64::from(least) / 10.0, f64::from(least + width) / 10.0);
        match kind {
            0 => json!({ "type": "number", "minimum": least, "maximum": greatest }),
            1 => json!({ "type": "number", "exclusiveMinimum": least, "exclusiveMaximum": greatest + 0.1 }),
            2 => json!({ "type": "integer", "minimum": least, "maximum": greatest + 1.0 }),
            _ => json!({ "type": "integer", "exclusiveMinimum": least }),
        }
    });
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "enum": ["a", "b\u{e9}", null, 3, [1], { "k": "v" }] })),
        Just(json!({ "type": "string", "pattern": "^(a|b[0-9]{2})*c?$" })),
        bounds,
        (0_usize..4, 0_usize..6).prop_map(|(least, more)| {
            json!({ "type": "string", "minLength": least, "maxLength": least + more })
        }),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..3), inner.clone(), 0_usize..3, 0_usize..3)
                .prop_map(|(prefix, items, least, more)| {
                    let most = least + more;
                    let mut schema = json!({ "type": "array", "items": items, "minItems": least, "maxItems": most });
                    if !prefix.is_empty() {
                        schema["prefixItems"] = prefix.into();
                    }
                    schema
                }),
            (
                prop::collection::vec((any::<prop::sample::Index>(), inner.clone(), any::<bool>()), 0..4),
                prop::option::of(inner.clone()),
            )
                .prop_map(|(members, additional)| {
                    let names = ["a", "ab", "b", "\"q\"", "\u{e9}"];
                    let mut schema = json!({ "type": "object", "properties": {}, "required": [] });
                    for (name, member, required) in members {
                        let name = *name.get(&names);
                        if schema["properties"].get(name).is_none() && required {
                            schema["required"].as_array_mut().unwrap().push(name.into());
                        }
                        schema["properties"][name] = member;
                    }
                    if let Some(additional) = additional {
                        schema["additionalProperties"] = additional;
                    }
                    schema
                }),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| json!({ "anyOf": any })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "allOf": [a, b] })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn random_schemas_give_texts_that_satisfy_them(schema in schemas(), seed in any::<u64>()) {
        match JsonSchemaConstraint::new(&schema, trie()) {
            Ok(_) => {
                let text = generate(&schema, &mut xorshift(seed), 30);
                let text = String::from_utf8(text).unwrap();
                let value: Value = serde_json::from_str(&text).unwrap();
                prop_assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&value), "{}", text);
            }
            // allOf of what excludes each other, or of constants with demands on their insides.
            Err(error) => prop_assert!(
                ["ERR_SCHEMA_UNSATISFIABLE", "ERR_SCHEMA_UNSUPPORTED"].contains(&error.code()), "{}", error
            ),
        }
    }

    #[test]
    fn masks_are_what_accept_takes(schema in schemas(), seed in any::<u64>(), steps in 0_usize..40) {
        let Ok(mut constraint) = JsonSchemaConstraint::new(&schema, trie()) else { return Ok(()) };
        let mut random = xorshift(seed);
        for _ in 0..steps {
            let tokens = allowed(&mut constraint);
            if tokens.is_empty() {
                break;
            }
            constraint.accept(tokens[random(tokens.len())]).unwrap();
        }
        let expected: Vec<u32> = (0..u32::try_from(VOCABULARY).unwrap())
            .filter(|&id| constraint.clone().accept(id).is_ok())
            .collect();
        prop_assert_eq!(allowed(&mut constraint), expected);
    }
}

#[test]
fn nesting_is_bounded_and_never_stuck() {
    let list = json!({
        "type": "object",
        "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "const": [[[]]] }] } },
        "required": ["next"],
    });
    for schema in [json!(true), json!({ "type": "array", "items": { "$ref": "#" } }), list] {
        let mut constraint = constraint(&schema);
        let mut text = Vec::new();
        // Whatever opens another level is taken as long as it is allowed.
        while !constraint.is_finished() {
            let tokens = allowed(&mut constraint);
            let opening =
                [b'[', b'{', b'"', b'n'].map(u32::from).into_iter().find(|id| tokens.contains(id));
            let id = opening.filter(|_| text.len() < 3000).unwrap_or_else(|| {
                let end = [b']', b'}', b'"', b':'].map(u32::from);
                *tokens.iter().find(|id| end.contains(id)).unwrap_or(&tokens[0])
            });
            if id == END {
                break;
            }
            constraint.accept(id).unwrap();
            text.push(u8::try_from(id).unwrap());
            assert!(text.len() < 5000, "{}", String::from_utf8_lossy(&text));
        }
        serde_json::from_slice::<Value>(&text).unwrap();
    }
}

#[test]
fn whitespace_is_bounded() {
    let mut constraint = constraint(&json!({ "type": "array" }));
    constraint.accept(b'['.into()).unwrap();
    let mut count = 0;
    while let Some(&id) = allowed(&mut constraint)
        .iter()
        .find(|&&id| [b'\n', b'\t', b' '].map(u32::from).contains(&id))
    {
        constraint.accept(id).unwrap();
        count += 1;
    }
    assert_eq!(count, 21);
}

#[test]
fn unsupported_invalid_and_unsatisfiable_schemas_are_told_apart() {
    let cases = [
        (json!({ "type": "integer", "multipleOf": 2 }), "ERR_SCHEMA_UNSUPPORTED", "/multipleOf"),
        (
            json!({ "properties": { "a/b": { "not": {} } } }),
            "ERR_SCHEMA_UNSUPPORTED",
            "/properties/a~1b/not",
        ),
        (json!({ "uniqueItems": true }), "ERR_SCHEMA_UNSUPPORTED", "/uniqueItems"),
        (json!({ "nullable": true }), "ERR_SCHEMA_UNSUPPORTED", "/nullable"),
        (json!({ "format": "color" }), "ERR_SCHEMA_UNSUPPORTED", "/format"),
        (json!({ "pattern": "(?=a)" }), "ERR_SCHEMA_UNSUPPORTED", "/pattern"),
        (json!({ "$ref": "https://example.com/s" }), "ERR_SCHEMA_UNSUPPORTED", ""),
        (
            json!({ "oneOf": [{ "type": "string" }, { "minLength": 1 }] }),
            "ERR_SCHEMA_UNSUPPORTED",
            "",
        ),
        (
            json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] }),
            "ERR_SCHEMA_UNSUPPORTED",
            "",
        ),
        (
            json!({ "oneOf": [{ "properties": { "a": {} } }, { "properties": { "b": {} } }] }),
            "ERR_SCHEMA_UNSUPPORTED",
            "",
        ),
        (json!({ "oneOf": [{ "enum": [1, 2] }, { "const": 2.0 }] }), "ERR_SCHEMA_UNSUPPORTED", ""),
        (json!({ "enum": [{}], "required": ["a"] }), "ERR_SCHEMA_UNSUPPORTED", ""),
        (json!(1), "ERR_SCHEMA_INVALID", ""),
        (json!({ "type": "any" }), "ERR_SCHEMA_INVALID", "/type"),
        (json!({ "minLength": -1 }), "ERR_SCHEMA_INVALID", "/minLength"),
        (json!({ "items": 3 }), "ERR_SCHEMA_INVALID", "/items"),
        (json!({ "anyOf": [] }), "ERR_SCHEMA_INVALID", "/anyOf"),
        (json!({ "$ref": "#/$defs/none" }), "ERR_SCHEMA_INVALID", ""),
        (json!({ "$ref": "#" }), "ERR_SCHEMA_INVALID", ""),
        (json!({ "anyOf": [{ "type": "null" }, { "$ref": "#" }] }), "ERR_SCHEMA_INVALID", ""),
    ];
    for (schema, code, at) in cases {
        let error = JsonSchemaConstraint::new(&schema, trie()).unwrap_err();
        assert_eq!(error.code(), code, "{schema}: {error}");
        let (ConstraintError::Unsupported { pointer, .. }
        | ConstraintError::Invalid { pointer, .. }) = error
        else {
            panic!("{error}")
        };
        assert_eq!(pointer, at, "{schema}");
    }
    for schema in [
        json!(false),
        json!({ "type": "integer", "minimum": 3, "maximum": 2 }),
        json!({ "allOf": [{ "type": "string" }, { "type": "null" }] }),
        json!({ "type": "array", "minItems": 2, "maxItems": 1 }),
        json!({ "type": "string", "minLength": 2, "maxLength": 1 }),
        json!({ "properties": { "a": false }, "required": ["a"] }),
        json!({ "properties": { "a": { "$ref": "#" } }, "required": ["a"] }),
        json!({ "pattern": "^a$", "minLength": 2 }),
        json!({ "enum": [1], "type": "string" }),
        json!({ "prefixItems": [{}], "items": false, "minItems": 2 }),
        json!({ "type": "integer", "minimum": 0.2, "maximum": 0.8 }),
    ] {
        let error = JsonSchemaConstraint::new(&schema, trie()).unwrap_err();
        assert_eq!(error.code(), "ERR_SCHEMA_UNSATISFIABLE", "{schema}");
    }
}

#[test]
fn hostile_schemas_are_bounded() {
    let doubling = |keyword: &str| {
        let mut schema = json!({ "type": "null" });
        for _ in 0..40 {
            schema = json!({ keyword: [schema.clone(), { "type": "string" }], "anyOf": [{}, {}] });
        }
        schema
    };
    let chain: serde_json::Map<String, Value> = (0..20_000)
        .map(|i| (i.to_string(), json!({ "$ref": format!("#/$defs/{}", i + 1) })))
        .collect();
    let exclusive: serde_json::Map<String, Value> = (0..20_000)
        .map(|i| (i.to_string(), json!({ "oneOf": [{ "items": { "$ref": format!("#/$defs/{}", i + 1) } }, { "type": "null" }] })))
        .collect();
    let values: Vec<Value> = (0..3000).map(Value::from).collect();
    let many: Vec<Value> = (0..600).map(|i| json!({ "required": [format!("k{i}")] })).collect();
    let ambiguous: Vec<Value> = (0..40)
        .map(|i| json!({ "type": "array", "items": { "$ref": "#" }, "maxItems": 50 + i }))
        .collect();
    for (schema, codes) in [
        (json!({ "type": "string", "minLength": 1_000_000_000 }), vec!["ERR_SCHEMA_LIMIT"]),
        (json!({ "type": "array", "minItems": u64::MAX }), vec!["ERR_SCHEMA_LIMIT"]),
        (json!({ "pattern": "((a{50}){50}){50}" }), vec!["ERR_SCHEMA_UNSUPPORTED"]),
        (
            json!({ "pattern": "^(a|b|c|d){0,400}$", "minLength": 4000, "maxLength": 8000 }),
            vec!["ERR_SCHEMA_LIMIT", "ERR_SCHEMA_UNSATISFIABLE"],
        ),
        (doubling("allOf"), vec!["ERR_SCHEMA_LIMIT"]),
        (doubling("oneOf"), vec!["ERR_SCHEMA_LIMIT"]),
        (json!({ "$defs": chain, "$ref": "#/$defs/0" }), vec!["ERR_SCHEMA_LIMIT"]),
        (
            json!({ "$defs": exclusive, "$ref": "#/$defs/0" }),
            vec!["ERR_SCHEMA_LIMIT", "ERR_SCHEMA_INVALID", "ERR_SCHEMA_UNSUPPORTED"],
        ),
        (json!({ "allOf": [{ "enum": values }, { "enum": values }] }), vec!["ERR_SCHEMA_LIMIT"]),
        (json!({ "oneOf": many }), vec!["ERR_SCHEMA_LIMIT", "ERR_SCHEMA_UNSUPPORTED"]),
    ] {
        let start = Instant::now();
        let error = JsonSchemaConstraint::new(&schema, trie()).unwrap_err();
        assert!(codes.contains(&error.code()), "{error}");
        assert!(start.elapsed().as_secs() < 10, "{error} after {:?}", start.elapsed());
    }
    // Large, but narrower where it is too large.
    for schema in [
        json!({ "type": "string", "maxLength": 1_000_000_000 }),
        json!({ "type": "array", "maxItems": u64::MAX }),
        json!({ "enum": values }),
    ] {
        generate(&schema, &mut xorshift(1), 10);
    }
    // As ambiguous as can be: forty ways at every level. Either it is generated or it is a coded error, and soon.
    let start = Instant::now();
    let mut constraint = constraint(&json!({ "anyOf": ambiguous }));
    let mut logits = vec![0.0; VOCABULARY];
    for _ in 0..8 {
        match constraint.mask(&mut logits) {
            Ok(()) => constraint.accept(b'['.into()).unwrap(),
            Err(error) => {
                assert_eq!(error.code(), "ERR_SCHEMA_LIMIT");
                break;
            }
        }
    }
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn memory_is_forgotten_and_the_text_goes_on() {
    // A bounded string passes through a new state at every character, and 16,384 states are remembered.
    let mut constraint = constraint(
        &json!({ "type": "array", "items": { "type": "string", "minLength": 8000, "maxLength": 8192 } }),
    );
    constraint.accept(b'['.into()).unwrap();
    for item in 0..4 {
        if item > 0 {
            constraint.accept(b','.into()).unwrap();
        }
        constraint.accept(b'"'.into()).unwrap();
        for i in 0..8000 {
            if i % 1000 == 0 {
                assert!(!allowed(&mut constraint).contains(&b'"'.into()));
            }
            constraint.accept(b'x'.into()).unwrap();
        }
        assert!(allowed(&mut constraint).contains(&b'"'.into()));
        constraint.accept(b'"'.into()).unwrap();
    }
    constraint.accept(b']'.into()).unwrap();
    assert!(constraint.is_finished());
}

#[test]
fn more_or_fewer_logits_than_tokens_are_masked() {
    let mut constraint = constraint(&json!({ "const": 1 }));
    let mut logits = vec![0.0; VOCABULARY + 100];
    constraint.mask(&mut logits).unwrap();
    assert_eq!(logits.iter().filter(|x| x.is_finite()).count(), 1);
    let mut logits = vec![0.0; 50];
    constraint.mask(&mut logits).unwrap();
    assert_eq!(logits.iter().position(|x| x.is_finite()), Some(usize::from(b'1')));
}

#[test]
fn mask_then_penalties_then_sampling() {
    let schema = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
    let trie = trie();
    for seed in 0..20 {
        let options = SamplingOptions {
            temperature: 1.0,
            seed: Some(seed),
            // Penalties and bias in favour of what is forbidden cannot bring it back.
            repetition_penalty: 1.5,
            frequency_penalty: -2.0,
            logit_bias: [(u32::from(b'x'), 50.0), (END, 2.0)].into(),
            ..SamplingOptions::default()
        };
        let mut sampler = Sampler::new(options, VOCABULARY).unwrap();
        let mut constraint = JsonSchemaConstraint::new(&schema, Arc::clone(&trie)).unwrap();
        let mut text = Vec::new();
        loop {
            let mut logits = vec![0.0; VOCABULARY];
            constraint.mask(&mut logits).unwrap();
            let id = sampler.sample(&mut logits).unwrap().id;
            constraint.accept(id).unwrap();
            sampler.accept(id);
            if id == END {
                break;
            }
            text.extend(trie.bytes(id));
        }
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert!(value["n"].is_i64(), "{value}");
    }
}
