//! What holds for every text: nothing is lost, nothing panics, and streams end up where whole decoding does.

use std::time::Instant;

use dyadic_model::tokenizer::{
    ByteStrings, StreamDecoder, TokenType, Tokenizer, Vocabulary, VocabularyModel,
};
use proptest::prelude::*;
use serde_json::Value;

const SPECIAL: [&str; 3] = ["<|im_start|>", "<tool>", "   "];

fn golden() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tokenizer/small.json");
    let text = std::fs::read_to_string(path).expect("the golden file is in the repository");
    serde_json::from_str(&text).expect("the golden file is JSON")
}

fn strings(list: &Value) -> ByteStrings {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

/// GPT-2's first 1000 merges, with control and user-defined tokens.
fn byte_level(golden: &Value, pre_tokenizer: &str) -> Tokenizer {
    let mut vocabulary =
        Vocabulary::new(VocabularyModel::ByteLevelBpe, strings(&golden["bpe"]["tokens"]));
    let count = vocabulary.tokens.len();
    vocabulary.token_types = vec![TokenType::Normal; count];
    vocabulary.token_types[count - 6..count - 3].fill(TokenType::Control);
    vocabulary.token_types[count - 3..].fill(TokenType::UserDefined);
    vocabulary.merges = strings(&golden["bpe"]["merges"]);
    vocabulary.pre_tokenizer = Some(pre_tokenizer.to_owned());
    Tokenizer::new(vocabulary).expect("the vocabulary is sound")
}

/// Llama 2's beginning: 3 special tokens, 256 bytes, then normal ones by score.
fn sentence_piece(golden: &Value) -> Tokenizer {
    let mut vocabulary =
        Vocabulary::new(VocabularyModel::SentencePiece, strings(&golden["spm"]["tokens"]));
    let count = vocabulary.tokens.len();
    vocabulary.token_types = vec![TokenType::Normal; count];
    vocabulary.token_types[0] = TokenType::Unknown;
    vocabulary.token_types[1..3].fill(TokenType::Control);
    vocabulary.token_types[3..259].fill(TokenType::Byte);
    vocabulary.scores = (0u16..).take(count).map(|id| -f32::from(id)).collect();
    Tokenizer::new(vocabulary).expect("the vocabulary is sound")
}

/// One tokenizer of each kind: made once for all cases.
fn with_tokenizers<R>(test: impl FnOnce(&[Tokenizer]) -> R) -> R {
    thread_local! {
        static TOKENIZERS: Vec<Tokenizer> = {
            let golden = golden();
            let names = ["smollm", "gpt-2", "llama-bpe", "qwen2", "default", "gpt-4o", "deepseek-v3"];
            let mut all: Vec<_> = names.iter().map(|name| byte_level(&golden, name)).collect();
            all.push(sentence_piece(&golden));
            all
        };
    }
    TOKENIZERS.with(|tokenizers| test(tokenizers))
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => any::<String>(),
        2 => "[ a-zA-Z0-9'\\n\\t.,!]{0,20}",
        1 => prop::sample::select(&SPECIAL[..]).prop_map(str::to_owned),
        1 => "[\\u{300}-\\u{36F}\\u{200D}\\u{1F468}\\u{1F3FD}é漢한]{0,8}",
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn decoding_gives_the_text_back(text in text(), special in any::<bool>()) {
        with_tokenizers(|tokenizers| {
            for tokenizer in tokenizers {
                let ids = tokenizer.encode(&text, special).expect("every byte has a token");
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
                prop_assert!(special || !ids.iter().any(|&id| tokenizer.is_special(id)));
                if tokenizer.adds_space_prefix() {
                    // U+2581 is a space to SentencePiece, and one goes before each text behind a special token.
                    if !special && !text.contains('\u{2581}') {
                        prop_assert_eq!(tokenizer.decode(&ids, true).expect("known ids"), text.as_str());
                    }
                } else {
                    prop_assert_eq!(tokenizer.decode(&ids, true).expect("known ids"), text.as_str());
                }
            }
            Ok(())
        })?;
    }

    /// Any ids, so that characters are cut anywhere and bytes are often invalid.
    #[test]
    fn streams_give_what_whole_decoding_gives(
        picks in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
        special in any::<bool>(),
    ) {
        with_tokenizers(|tokenizers| {
            for tokenizer in tokenizers {
                // Half of the tokens are among the first 259, the single bytes.
                let size = tokenizer.vocabulary_size();
                let ids: Vec<u32> = picks
                    .iter()
                    .map(|(pick, byte)| pick.index(if *byte { 259 } else { size }))
                    .map(|id| u32::try_from(id).expect("a small vocabulary"))
                    .collect();
                let whole = tokenizer.decode(&ids, special).expect("known ids");
                let mut decoder = StreamDecoder::new().with_special(special).at_start();
                let mut streamed = String::new();
                for &id in &ids {
                    streamed += &decoder.push(tokenizer, id);
                    prop_assert!(whole.starts_with(&streamed), "{:?} {:?}", whole, streamed);
                }
                streamed += &decoder.finish();
                prop_assert_eq!(&streamed, &whole);
                let bytes: Vec<u8> = ids
                    .iter()
                    .filter(|&&id| special || !tokenizer.is_special(id))
                    .flat_map(|&id| tokenizer.token_bytes(id).iter().copied())
                    .collect();
                let lossy = String::from_utf8_lossy(&bytes);
                let expected = match (tokenizer.adds_space_prefix(), ids.first()) {
                    (true, Some(&first)) if !(special && tokenizer.is_special(first)) => {
                        lossy.strip_prefix(' ').unwrap_or(&lossy)
                    }
                    _ => &lossy,
                };
                prop_assert_eq!(&whole, expected);
            }
            Ok(())
        })?;
    }

    /// A vocabulary of anything: building it, encoding and decoding may fail, but with an error.
    #[test]
    fn odd_vocabularies_do_no_harm(
        tokens in prop::collection::vec(
            prop_oneof![prop::collection::vec(any::<u8>(), 0..6), "[ab▁ĠĊ<>0xA]{0,6}".prop_map(String::into_bytes)],
            0..40,
        ),
        types in prop::collection::vec(0..8i32, 40),
        merges in prop::collection::vec("[ab Ġ]{0,5}", 0..10),
        scores in prop::collection::vec(any::<f32>(), 40),
        bpe in any::<bool>(),
        text in text(),
    ) {
        let model =
            if bpe { VocabularyModel::ByteLevelBpe } else { VocabularyModel::SentencePiece };
        let mut vocabulary = Vocabulary::new(model, tokens.iter().collect());
        vocabulary.token_types =
            types[..tokens.len()].iter().map(|&number| TokenType::from_number(number)).collect();
        vocabulary.scores = scores[..tokens.len()].to_vec();
        vocabulary.merges = merges.iter().collect();
        vocabulary.unknown = Some(0);
        if let Ok(tokenizer) = Tokenizer::new(vocabulary)
            && let Ok(ids) = tokenizer.encode(&text, true)
        {
            tokenizer.decode(&ids, true).expect("encoding gives known ids");
        }
    }
}

#[test]
fn hostile_texts_take_no_longer_than_others() {
    let size = 1 << 20;
    let mut state = 1u32;
    let mut letters = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        char::from(b'a' + (state % 26) as u8)
    };
    let texts = [
        " ".repeat(size),
        "\u{301}".repeat(size / 2),
        "a".repeat(size),
        "\0".repeat(size),
        "<|im_start".repeat(size / 10),
        // One piece of a million letters, in which nothing repeats.
        (0..size).map(|_| letters()).collect(),
    ];
    with_tokenizers(|tokenizers| {
        for text in &texts {
            for tokenizer in tokenizers {
                let start = Instant::now();
                let ids = tokenizer.encode(text, true).expect("every byte has a token");
                assert!(!ids.is_empty());
                // At most 0.4 s on an idle machine; quadratic merging would take hours.
                assert!(start.elapsed().as_secs() < 30, "{:.20}: {:?}", text, start.elapsed());
            }
        }
    });
}

/// The second use of a word comes from the cache: it must be what the first one was, also where words share a place.
#[test]
fn repeated_words_are_encoded_alike() {
    with_tokenizers(|tokenizers| {
        for tokenizer in tokenizers {
            let words: Vec<String> = (0..20_000).map(|n| format!(" w{:x}q", n % 7919)).collect();
            let whole = tokenizer.encode(&words.concat(), false).expect("encodes");
            let mut apart = Vec::new();
            for (index, word) in words.iter().enumerate() {
                // Only the first word of a text takes the space that SentencePiece adds.
                let word =
                    if index == 0 || !tokenizer.adds_space_prefix() { word } else { &word[1..] };
                apart.extend(tokenizer.encode(word, false).expect("encodes"));
            }
            assert_eq!(whole, apart);
        }
    });
}
