//! The usual chat formats, for files without a usable template of their own.

/// A chat format: its name, how to know it, and its template.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) name: &'static str,
    /// Texts that stand together in templates of this format, and in no format before it in the list.
    pub(super) markers: &'static [&'static str],
    pub(super) template: &'static str,
}

/// In order of recognition: the first whose markers are all there.
pub(super) const FORMATS: [Format; 13] = [
    Format {
        name: "phi4",
        markers: &["<|im_start|>", "<|im_sep|>"],
        template: include_str!("formats/phi4.jinja"),
    },
    Format {
        name: "chatml",
        markers: &["<|im_start|>"],
        template: include_str!("formats/chatml.jinja"),
    },
    Format {
        name: "mistral-v7",
        markers: &["[INST]", "[SYSTEM_PROMPT]"],
        template: include_str!("formats/mistral-v7.jinja"),
    },
    Format {
        name: "mistral",
        markers: &["[INST]", "[AVAILABLE_TOOLS]"],
        template: include_str!("formats/mistral.jinja"),
    },
    Format { name: "llama2", markers: &["[INST]"], template: include_str!("formats/llama2.jinja") },
    Format {
        name: "phi3",
        markers: &["<|assistant|>", "<|end|>"],
        template: include_str!("formats/phi3.jinja"),
    },
    Format {
        name: "zephyr",
        markers: &["<|user|>", "<|assistant|>"],
        template: include_str!("formats/zephyr.jinja"),
    },
    Format {
        name: "gemma",
        markers: &["<start_of_turn>"],
        template: include_str!("formats/gemma.jinja"),
    },
    Format {
        name: "vicuna",
        markers: &["USER:", "ASSISTANT:"],
        template: include_str!("formats/vicuna.jinja"),
    },
    Format {
        name: "command-r",
        markers: &["<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"],
        template: include_str!("formats/command-r.jinja"),
    },
    Format {
        name: "llama3",
        markers: &["<|start_header_id|>", "<|end_header_id|>"],
        template: include_str!("formats/llama3.jinja"),
    },
    Format {
        name: "deepseek3",
        markers: &["<｜User｜>", "<｜Assistant｜>"],
        template: include_str!("formats/deepseek3.jinja"),
    },
    Format {
        name: "granite",
        markers: &["<|start_of_role|>"],
        template: include_str!("formats/granite.jinja"),
    },
];

/// The format of which `contains` finds all markers; `chatml` where there is none, as in llama.cpp.
pub(super) fn recognize(contains: impl Fn(&str) -> bool) -> &'static Format {
    let known = |format: &&Format| format.markers.iter().all(|marker| contains(marker));
    FORMATS.iter().find(known).unwrap_or(&FORMATS[1])
}
