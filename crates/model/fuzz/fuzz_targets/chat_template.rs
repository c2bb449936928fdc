//! Any template renders, or is refused with a code, in bounded time, stack and memory.
#![no_main]

use dyadic_model::chat_template::{ChatTemplate, Message, RenderOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, "<s>", "</s>") else { return };
    let messages = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "é")]
        .map(|(role, content)| Message::new(role, content).expect("a known role"));
    let options = RenderOptions { add_generation_prompt: true, ..RenderOptions::default() };
    if let Err(error) = template.render(&messages, &options) {
        assert!(error.code().starts_with("ERR_CHAT_TEMPLATE"), "{error}");
    }
});
