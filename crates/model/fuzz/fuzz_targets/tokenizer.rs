//! A vocabulary of any bytes and any text: encoding fails with a code, or decoding gives known ids back.
#![no_main]

use dyadic_model::tokenizer::{
    ByteStrings, StreamDecoder, TokenType, Tokenizer, Vocabulary, VocabularyModel,
};
use libfuzzer_sys::fuzz_target;

const PRE_TOKENIZERS: [&str; 8] =
    ["smollm", "gpt-2", "llama-bpe", "qwen2", "default", "gpt-4o", "deepseek-v3", "qwen35"];

// The first byte chooses the kind. Bytes 0xFF part the tokens, one a line, from the merges and those from the text.
fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else { return };
    let mut parts = rest.split(|&byte| byte == 0xFF);
    let list = |part: Option<&[u8]>| -> ByteStrings {
        part.unwrap_or_default().split(|&byte| byte == b'\n').collect()
    };
    let (tokens, merges) = (list(parts.next()), list(parts.next()));
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let model =
        if kind & 1 == 0 { VocabularyModel::ByteLevelBpe } else { VocabularyModel::SentencePiece };
    let mut vocabulary = Vocabulary::new(model, tokens);
    vocabulary.pre_tokenizer = Some(PRE_TOKENIZERS[usize::from(kind >> 1 & 7)].to_owned());
    vocabulary.merges = merges;
    vocabulary.unknown = (kind & 0x80 != 0).then_some(0);
    // Types and scores follow from the tokens themselves.
    vocabulary.token_types = vocabulary
        .tokens
        .iter()
        .map(|token| TokenType::from_number(i32::from(token.first().copied().unwrap_or(1) % 8)))
        .collect();
    vocabulary.scores = vocabulary
        .tokens
        .iter()
        .map(|token| f32::from_bits(token.iter().fold(7u32, |hash, &byte| hash.wrapping_mul(31) ^ u32::from(byte))))
        .collect();
    let Ok(tokenizer) = Tokenizer::new(vocabulary) else { return };
    for special in [false, true] {
        let Ok(ids) = tokenizer.encode(&text, special) else { continue };
        let whole = tokenizer.decode(&ids, special).expect("encoding gives known ids");
        let mut decoder = StreamDecoder::new().with_special(special).at_start();
        let mut streamed: String = ids.iter().map(|&id| decoder.push(&tokenizer, id)).collect();
        streamed += &decoder.finish();
        assert_eq!(streamed, whole);
    }
});
