//! Which decoder architectures are known, as data over the blocks that [`super::forward`] shares among them.

use dyadic_kernels::rope::RopePairing;

/// One decoder architecture: how it departs from the common block
/// `x += attention(norm(x)); x += down(silu(gate(norm(x))) * up(norm(x)))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// `general.architecture` of the file, and the prefix of its metadata keys.
    pub name: &'static str,
    /// Which elements of a head form a rotated pair. GGUF converters permute the query and key rows of `llama` so that pairs are adjacent.
    pub rope_pairing: RopePairing,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: Presence,
    /// Whether queries and keys of each head go through an `RMSNorm` before the rotation.
    pub qk_norm: Presence,
}

/// Whether the tensors of an optional part are in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Files of this architecture never have it.
    Never,
    /// Used where the file has it.
    Optional,
    /// A file without it is incomplete.
    Required,
}

/// The known architectures. Mistral, `TinyLlama` and `SmolLM2` files say `llama`.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "llama",
        rope_pairing: RopePairing::Interleaved,
        qkv_bias: Presence::Optional,
        qk_norm: Presence::Never,
    },
    Architecture {
        name: "mistral",
        rope_pairing: RopePairing::Interleaved,
        qkv_bias: Presence::Never,
        qk_norm: Presence::Never,
    },
    Architecture {
        name: "qwen2",
        rope_pairing: RopePairing::Halves,
        qkv_bias: Presence::Required,
        qk_norm: Presence::Never,
    },
    Architecture {
        name: "qwen3",
        rope_pairing: RopePairing::Halves,
        qkv_bias: Presence::Never,
        qk_norm: Presence::Required,
    },
];

impl Architecture {
    /// The architecture that a file calls `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|architecture| architecture.name == name)
    }
}
