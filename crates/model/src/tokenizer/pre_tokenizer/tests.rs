//! Matchers against the regular expressions that they stand for.

use fancy_regex::Regex;
use proptest::prelude::*;

use super::PreTokenizer;

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const NUMBER: &str = r"\p{N}";
const NUMBERS: &str = r"\p{N}+";
const THREE_NUMBERS: &str = r"\p{N}{1,3}";
const DIGITS: &str = "[0-9][0-9][0-9]";
const CONTRACTIONS: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const REST: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The regular expressions of a pre-tokenizer, as the models' own tokenizer files (or llama.cpp, where they have none) state them.
fn expressions(name: &str) -> Vec<String> {
    let upper = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}";
    let lower = r"\p{Ll}\p{Lm}\p{Lo}\p{M}";
    let cased = |suffix: &str, numbers: &str| {
        format!(
            r"[^\r\n\p{{L}}\p{{N}}]?[{upper}]*[{lower}]+{suffix}|[^\r\n\p{{L}}\p{{N}}]?[{upper}]+[{lower}]*{suffix}|{numbers}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )
    };
    let word = r"[^\r\n\p{L}\p{N}]?\p{L}+";
    let qwen_2 = format!(r"{CONTRACTIONS}|{word}|\p{{N}}|{REST}");
    match name {
        "gpt-2" => vec![GPT_2.into()],
        "smollm" => vec![NUMBER.into(), GPT_2.into()],
        "default" => vec![
            r"[\p{P}\$\+<=>\^~\|]+".into(),
            GPT_2.into(),
            NUMBERS.into(),
            DIGITS.into(),
        ],
        "falcon" => vec![r"[\p{P}\$\+<=>\^~\|`]+".into(), GPT_2.into(), DIGITS.into()],
        "llama-bpe" => vec![format!(r"{CONTRACTIONS}|{word}|{THREE_NUMBERS}|{REST}")],
        "qwen2" => vec![qwen_2],
        "qwen35" => vec![format!(
            r"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        "bailingmoe" => vec![format!(
            r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{{L}}\p{{N}}]?+\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
        )],
        "seed-coder" => vec![format!(
            r"{CONTRACTIONS}|{word}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
        )],
        "ufakzeka" => vec![format!(r"{word}|\p{{N}}|{REST}")],
        "laguna" => vec![r"[^\n]+|[\n]+".into(), qwen_2],
        "minicpm5" => {
            vec![THREE_NUMBERS.into(), format!(r"{CONTRACTIONS}|{word}|{NUMBERS}|{REST}")]
        }
        "gpt-4o" => vec![cased(&format!("{CONTRACTIONS}?"), THREE_NUMBERS)],
        "tekken" => vec![cased("", NUMBER)],
        "deepseek-coder" => vec![
            r"[\r\n]".into(),
            r"\s?\p{L}+".into(),
            r"\s?\p{P}+".into(),
            "[一-龥ࠀ-一가-퟿]+".into(),
            NUMBER.into(),
        ],
        "deepseek-v3" => vec![
            THREE_NUMBERS.into(),
            "[一-龥぀-ゟ゠-ヿ]+".into(),
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##.into(),
        ],
        _ => unreachable!("no expressions for {name}"),
    }
}

/// Names that stand for different patterns.
const NAMES: [&str; 16] = [
    "gpt-2",
    "smollm",
    "default",
    "falcon",
    "llama-bpe",
    "qwen2",
    "qwen35",
    "bailingmoe",
    "seed-coder",
    "ufakzeka",
    "laguna",
    "minicpm5",
    "gpt-4o",
    "tekken",
    "deepseek-coder",
    "deepseek-v3",
];

/// Cuts by regular expressions: matches and what lies between are pieces, cut again by the next expression.
fn split_by_regex<'t>(expressions: &[Regex], text: &'t str) -> Vec<&'t str> {
    let mut pieces = vec![text];
    for expression in expressions {
        let mut cut = Vec::new();
        for piece in pieces {
            let mut done = 0;
            for found in expression.find_iter(piece) {
                let found = found.expect("within the limit of backtracking");
                cut.extend([&piece[done..found.start()], found.as_str()]);
                done = found.end();
            }
            cut.push(&piece[done..]);
        }
        cut.retain(|piece| !piece.is_empty());
        pieces = cut;
    }
    pieces
}

fn split(name: &str, text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let pre_tokenizer = PreTokenizer::named(name).expect("a known name");
    pre_tokenizer.split(text, &mut |piece| pieces.push(piece.to_owned()));
    pieces
}

/// Characters of every class that some expression tells apart, so that random texts reach every alternative.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        6 => prop::sample::select(" \n\r\t'sStTrReEvVmMlLdDaZ019.,!-/$+<=>^~|`#_\u{0}\u{7F}".chars().collect::<Vec<_>>()),
        3 => prop::sample::select(
            "\u{A0}\u{85}\u{3000}\u{2028}éÉßſǅʰªあ漢한一龥ࠀ퟿゠ヿ\u{301}\u{903}\u{20DD}Ⅷ²½٣€©¿«–\u{200D}\u{FEFF}🙂👩"
                .chars()
                .collect::<Vec<_>>()
        ),
        1 => any::<char>(),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(character(), 0..24)
        .prop_map(|characters| characters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn every_matcher_cuts_as_its_regular_expression(text in text()) {
        thread_local! {
            static COMPILED: Vec<(&'static str, Vec<Regex>)> = NAMES
                .iter()
                .map(|&name| {
                    let compiled = expressions(name).into_iter().map(|e| Regex::new(&e).expect("compiles"));
                    (name, compiled.collect())
                })
                .collect();
        }
        COMPILED.with(|compiled| {
            for (name, expressions) in compiled {
                prop_assert_eq!(split(name, &text), split_by_regex(expressions, &text), "{}", name);
            }
            Ok(())
        })?;
    }

    #[test]
    fn pieces_together_are_the_text(text in any::<String>()) {
        for name in NAMES {
            prop_assert_eq!(split(name, &text).concat(), text.as_str(), "{}", name);
        }
    }
}

#[test]
fn case_turns_cut_words_of_gpt_4o() {
    assert_eq!(split("gpt-4o", "camelCaseHTTPServer"), ["camel", "Case", "HTTPServer"]);
    assert_eq!(split("gpt-4o", "don't DON'T"), ["don't", " DON'T"]);
    // Characters without case end the first word, and "BC" is a second one.
    assert_eq!(split("gpt-4o", "AあBC"), ["Aあ", "BC"]);
}

#[test]
fn long_hostile_texts_are_cut_in_linear_time() {
    let texts = [
        " ".repeat(1 << 20),
        "\n ".repeat(1 << 19),
        "\u{301}".repeat(1 << 19),
        "a".repeat(1 << 20),
        "Aあ".repeat(1 << 18),
        "'".repeat(1 << 20),
        "1".repeat(1 << 20),
        "\u{0}".repeat(1 << 20),
    ];
    let start = std::time::Instant::now();
    for text in &texts {
        for name in NAMES {
            let (mut pieces, mut bytes) = (0usize, 0);
            PreTokenizer::named(name).expect("a known name").split(text, &mut |piece| {
                pieces += 1;
                bytes += piece.len();
            });
            assert_eq!(bytes, text.len(), "{name}");
            assert!(pieces > 0);
        }
    }
    // 128 texts of 1 MB: about 1 s. Quadratic time would be hours.
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

#[test]
fn unknown_names_are_not_known() {
    assert!(PreTokenizer::named("").is_none());
    assert!(PreTokenizer::named("kimi-k2").is_none());
}
