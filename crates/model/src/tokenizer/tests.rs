//! The parts together, on small vocabularies.

use super::*;

/// Every byte as a token in order of value, then those of `further`.
fn byte_level_vocabulary(further: &[&str], merges: &[&str]) -> Vocabulary {
    let bytes = (0..=255).map(|byte| byte_level::char_of(byte).to_string());
    let tokens = bytes.chain(further.iter().map(|&token| token.to_owned())).collect();
    let mut vocabulary = Vocabulary::new(VocabularyModel::ByteLevelBpe, tokens);
    vocabulary.pre_tokenizer = Some("gpt-2".to_owned());
    vocabulary.merges = merges.iter().collect();
    vocabulary
}

/// Scores fall with the id, as in vocabularies that were trained: an early token is a frequent one.
fn sentence_piece_vocabulary(tokens: &[&str]) -> Vocabulary {
    let mut vocabulary = Vocabulary::new(VocabularyModel::SentencePiece, tokens.iter().collect());
    vocabulary.scores = (0u16..).map(|id| -f32::from(id)).take(tokens.len()).collect();
    vocabulary.token_types = tokens
        .iter()
        .map(|&token| match token {
            "<unk>" => TokenType::Unknown,
            "<s>" | "</s>" => TokenType::Control,
            token if byte_of_token(token.as_bytes()).is_some() => TokenType::Byte,
            _ => TokenType::Normal,
        })
        .collect();
    vocabulary.unknown = Some(0);
    vocabulary
}

fn tokenizer(vocabulary: Vocabulary) -> Tokenizer {
    Tokenizer::new(vocabulary).expect("the vocabulary is sound")
}

#[test]
fn merges_go_by_rank_and_from_the_left() {
    // "aaa" merges its left pair; "abc" its right one, which ranks first.
    let tokenizer = tokenizer(byte_level_vocabulary(&["aa", "bc", "ab"], &["a a", "b c", "a b"]));
    assert_eq!(tokenizer.encode("aaa", false), Ok(vec![256, 97]));
    assert_eq!(tokenizer.encode("abc", false), Ok(vec![97, 257]));
    assert_eq!(tokenizer.encode("abab", false), Ok(vec![258, 258]));
}

#[test]
fn merges_that_are_no_tokens_lead_on_or_fall_apart() {
    // "ab" is no token, but "abc" is, which is made from it.
    let tokenizer = tokenizer(byte_level_vocabulary(&["abc"], &["a b", "ab c"]));
    assert_eq!(tokenizer.encode("abc", false), Ok(vec![256]));
    assert_eq!(tokenizer.encode("ab", false), Ok(vec![97, 98]));
}

#[test]
fn a_piece_that_is_a_token_is_taken_whole_where_merges_are_ignored() {
    let mut vocabulary = byte_level_vocabulary(&["Ġxy"], &[]);
    assert_eq!(tokenizer(vocabulary.clone()).encode(" xy", false).map(|ids| ids.len()), Ok(3));
    vocabulary.pre_tokenizer = Some("llama-bpe".to_owned());
    assert_eq!(tokenizer(vocabulary).encode(" xy", false), Ok(vec![256]));
}

#[test]
fn bytes_without_token_are_unknown_or_an_error() {
    let mut vocabulary =
        Vocabulary::new(VocabularyModel::ByteLevelBpe, ["a", "?"].into_iter().collect());
    let missing = tokenizer(vocabulary.clone()).encode("ab", false);
    assert_eq!(missing, Err(TokenizerError::NoTokenForByte { byte: b'b' }));
    assert_eq!(missing.expect_err("an error").code(), "ERR_TOKENIZER_NO_TOKEN");
    vocabulary.unknown = Some(1);
    assert_eq!(tokenizer(vocabulary).encode("ab", false), Ok(vec![0, 1]));
}

#[test]
fn unknown_pre_tokenizers_are_reported() {
    let mut vocabulary = byte_level_vocabulary(&[], &[]);
    assert_eq!(tokenizer(vocabulary.clone()).warnings(), []);
    vocabulary.pre_tokenizer = Some("kimi-k2".to_owned());
    vocabulary.bos = Some(256);
    let tokenizer = tokenizer(vocabulary);
    assert_eq!(
        tokenizer.warnings(),
        [
            TokenizerWarning::SpecialIdOutOfRange { token: "BOS", id: 256 },
            TokenizerWarning::UnknownPreTokenizer { name: Some("kimi-k2".to_owned()) },
        ]
    );
    assert_eq!((tokenizer.bos(), tokenizer.add_bos()), (None, false));
    // `default` keeps runs of punctuation apart from letters.
    assert_eq!(tokenizer.encode("a..", false), Ok(vec![97, 46, 46]));
}

#[test]
fn sentence_piece_merges_the_highest_score_first() {
    let tokens = ["<unk>", "<s>", "</s>", "▁", "h", "e", "l", "o", "he", "ll", "lo", "hell", "▁he"];
    let tokenizer = tokenizer(sentence_piece_vocabulary(&tokens));
    // "he" and "ll" score above "lo"; then "hell" above "▁he".
    assert_eq!(tokenizer.encode("hello", false), Ok(vec![3, 11, 7]));
    assert_eq!(tokenizer.encode("he he", false), Ok(vec![12, 12]));
    assert_eq!(tokenizer.decode(&[12, 12], false).as_deref(), Ok("he he"));
    assert!(tokenizer.adds_space_prefix());
}

#[test]
fn sentence_piece_falls_back_to_bytes_and_then_to_unknown() {
    let with_bytes = ["<unk>", "▁", "a", "<0xC3>", "<0xA9>", "<0x0A>"];
    let tokenizer_with = tokenizer(sentence_piece_vocabulary(&with_bytes));
    assert_eq!(tokenizer_with.encode("aé\n", false), Ok(vec![1, 2, 3, 4, 5]));
    assert_eq!(tokenizer_with.decode(&[1, 2, 3, 4, 5], false).as_deref(), Ok("aé\n"));
    // A run of characters without tokens is one unknown token.
    assert_eq!(tokenizer_with.encode("aüüa", false), Ok(vec![1, 2, 0, 2]));
    let mut without = sentence_piece_vocabulary(&["<unk>", "▁", "a"]);
    without.unknown = None;
    let error = tokenizer(without).encode("é", false);
    assert_eq!(error, Err(TokenizerError::NoTokenForByte { byte: 0xC3 }));
}

/// Where a vocabulary has `s>`, merging could make the BOS token out of text that a user wrote.
#[test]
fn sentence_piece_text_never_becomes_a_control_token() {
    let tokens = ["<unk>", "<s>", "▁", "<", "s", ">", "s>"];
    let tokenizer = tokenizer(sentence_piece_vocabulary(&tokens));
    assert_eq!(tokenizer.encode("<s>", false), Ok(vec![2, 3, 6]));
    assert_eq!(tokenizer.encode("<s>", true), Ok(vec![1]));
}

#[test]
fn sentence_piece_takes_u2581_for_a_space() {
    let tokenizer = tokenizer(sentence_piece_vocabulary(&["<unk>", "▁", "a", "▁a"]));
    assert_eq!(tokenizer.encode("a▁a a", false), Ok(vec![3, 3, 3]));
}

/// Tokens may span words (`▁of▁the`): then the text is merged as a whole.
#[test]
fn sentence_piece_merges_across_words_where_tokens_do() {
    let tokenizer = tokenizer(sentence_piece_vocabulary(&["<unk>", "▁", "a", "b", "▁b", "a▁b"]));
    assert_eq!(tokenizer.encode("a b", false), Ok(vec![1, 5]));
}

#[test]
fn spaces_go_before_texts_and_behind_special_tokens() {
    let mut vocabulary = sentence_piece_vocabulary(&["<unk>", "<s>", "▁", "a", "▁a"]);
    assert_eq!(tokenizer(vocabulary.clone()).encode("a<s>a", true), Ok(vec![4, 1, 4]));
    vocabulary.add_space_prefix = Some(false);
    assert_eq!(tokenizer(vocabulary.clone()).encode("a<s> a", true), Ok(vec![3, 1, 4]));
    vocabulary.strip_after_special = true;
    vocabulary.token_types[1] = TokenType::UserDefined;
    assert_eq!(tokenizer(vocabulary).encode("a<s> a", true), Ok(vec![3, 1, 4]));
}

#[test]
fn special_tokens_of_phi_3_swallow_whitespace() {
    let mut vocabulary = sentence_piece_vocabulary(&["<unk>", "<s>", "▁", "a", "▁a", "<|end|>"]);
    vocabulary.strip_after_special = true;
    let tokenizer = tokenizer(vocabulary);
    assert_eq!(tokenizer.encode("<|end|>\n a<s> a", true), Ok(vec![5, 4, 1, 2, 4]));
}

#[test]
fn decoding_checks_ids_and_hides_special_tokens() {
    let mut vocabulary = byte_level_vocabulary(&["<|im_end|>"], &[]);
    vocabulary.eos = Some(256);
    let tokenizer = tokenizer(vocabulary);
    assert_eq!(tokenizer.decode(&[104, 105, 256], false).as_deref(), Ok("hi"));
    assert_eq!(tokenizer.decode(&[104, 105, 256], true).as_deref(), Ok("hi<|im_end|>"));
    let error = tokenizer.decode(&[104, 257], false).expect_err("an error");
    assert_eq!(error, TokenizerError::IdOutOfRange { id: 257, vocabulary_size: 257 });
    assert_eq!(error.code(), "ERR_TOKEN_ID");
    assert!(tokenizer.is_special(256) && tokenizer.is_end_of_generation(256));
    assert_eq!((tokenizer.token_bytes(32), tokenizer.token_bytes(257)), (&b" "[..], &b""[..]));
    assert_eq!(tokenizer.find_token("<|im_end|>"), Some(256));
}

#[test]
fn invalid_bytes_become_one_replacement_character_each() {
    let tokenizer = tokenizer(byte_level_vocabulary(&[], &[]));
    // A stray continuation, a cut character before a letter, and one at the end.
    let ids = [0x80, 0xF0, 0x9F, 0x41, 0xE2, 0x82];
    assert_eq!(tokenizer.decode(&ids, false).as_deref(), Ok("\u{FFFD}\u{FFFD}A\u{FFFD}"));
}

#[test]
fn contradictory_vocabularies_are_refused() {
    let code = |vocabulary| Tokenizer::new(vocabulary).expect_err("an error").code();
    let empty = Vocabulary::new(VocabularyModel::SentencePiece, ByteStrings::default());
    assert_eq!(code(empty), "ERR_TOKENIZER_VOCABULARY");
    let mut short = sentence_piece_vocabulary(&["a", "b"]);
    short.scores.pop();
    assert_eq!(code(short), "ERR_TOKENIZER_VOCABULARY");
    let mut short = sentence_piece_vocabulary(&["a", "b"]);
    short.token_types.pop();
    assert_eq!(code(short), "ERR_TOKENIZER_VOCABULARY");
    assert_eq!(code(byte_level_vocabulary(&[], &["ab"])), "ERR_TOKENIZER_VOCABULARY");
}
