//! The types of GGUF tensors.

use std::fmt;
use std::ops::RangeInclusive;

use super::{UnpackedBlock, iq4, k_quants, legacy, low_bit, microscaling, plain, ternary};
use crate::FormatError;
use crate::float::canonical;

/// A type that a GGUF tensor can have.
#[expect(non_camel_case_types, reason = "the names that GGUF files and their users know")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GgufType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// bfloat16.
    BF16,
    /// 32 4-bit integers, a scale.
    Q4_0,
    /// 32 4-bit integers, a scale and a minimum.
    Q4_1,
    /// 32 5-bit integers, a scale.
    Q5_0,
    /// 32 5-bit integers, a scale and a minimum.
    Q5_1,
    /// 32 8-bit integers, a scale.
    Q8_0,
    /// 256 2-bit integers, a 4-bit scale and minimum for each 16.
    Q2_K,
    /// 256 3-bit integers, a 6-bit scale for each 16.
    Q3_K,
    /// 256 4-bit integers, a 6-bit scale and minimum for each 32.
    Q4_K,
    /// 256 5-bit integers, a 6-bit scale and minimum for each 32.
    Q5_K,
    /// 256 6-bit integers, an 8-bit scale for each 16.
    Q6_K,
    /// 32 4-bit codes of a non-linear code book, a scale.
    IQ4_NL,
    /// 256 4-bit codes of a non-linear code book, a 6-bit scale for each 32.
    IQ4_XS,
    /// 256 ternary digits, five a byte, a scale.
    TQ1_0,
    /// 256 ternary digits, four a byte, a scale.
    TQ2_0,
    /// 32 4-bit floats (e2m1), a power-of-two scale (OCP Microscaling).
    MXFP4,
    /// 64 4-bit floats (e2m1), an 8-bit float scale (ue4m3) for each 16.
    NVFP4,
    /// 128 signs, a scale.
    Q1_0,
    /// 64 2-bit integers, a scale.
    Q2_0,
    /// 8-bit integer. No weight type.
    I8,
    /// 16-bit integer. No weight type.
    I16,
    /// 32-bit integer. No weight type.
    I32,
    /// 64-bit integer. No weight type.
    I64,
    /// IEEE binary64. No weight type.
    F64,
}

/// What is fixed about a type.
struct Layout {
    id: u32,
    name: &'static str,
    block_len: usize,
    block_bytes: usize,
    codes: Option<Codes>,
}

/// What is fixed about the integer codes of a quantized type.
struct Codes {
    /// Elements that share a scale.
    group_len: usize,
    min: i8,
    max: i8,
    has_minimums: bool,
}

const fn plain(id: u32, name: &'static str, bytes: usize) -> Layout {
    Layout { id, name, block_len: 1, block_bytes: bytes, codes: None }
}

/// A quantized type: `shape` is (elements of a block, its bytes, elements of a group), `range` that of the codes.
const fn quantized(
    id: u32,
    name: &'static str,
    shape: (usize, usize, usize),
    range: (i8, i8),
    has_minimums: bool,
) -> Layout {
    Layout {
        id,
        name,
        block_len: shape.0,
        block_bytes: shape.1,
        codes: Some(Codes { group_len: shape.2, min: range.0, max: range.1, has_minimums }),
    }
}

impl GgufType {
    /// All types.
    pub const ALL: [Self; 26] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::TQ1_0,
        Self::TQ2_0,
        Self::MXFP4,
        Self::NVFP4,
        Self::Q1_0,
        Self::Q2_0,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F64,
    ];

    const fn layout(self) -> Layout {
        match self {
            Self::F32 => plain(0, "F32", 4),
            Self::F16 => plain(1, "F16", 2),
            Self::BF16 => plain(30, "BF16", 2),
            Self::I8 => plain(24, "I8", 1),
            Self::I16 => plain(25, "I16", 2),
            Self::I32 => plain(26, "I32", 4),
            Self::I64 => plain(27, "I64", 8),
            Self::F64 => plain(28, "F64", 8),
            Self::Q4_0 => quantized(2, "Q4_0", (32, 18, 32), (-8, 7), false),
            Self::Q4_1 => quantized(3, "Q4_1", (32, 20, 32), (0, 15), true),
            Self::Q5_0 => quantized(6, "Q5_0", (32, 22, 32), (-16, 15), false),
            Self::Q5_1 => quantized(7, "Q5_1", (32, 24, 32), (0, 31), true),
            Self::Q8_0 => quantized(8, "Q8_0", (32, 34, 32), (-128, 127), false),
            Self::Q2_K => quantized(10, "Q2_K", (256, 84, 16), (0, 3), true),
            Self::Q3_K => quantized(11, "Q3_K", (256, 110, 16), (-4, 3), false),
            Self::Q4_K => quantized(12, "Q4_K", (256, 144, 32), (0, 15), true),
            Self::Q5_K => quantized(13, "Q5_K", (256, 176, 32), (0, 31), true),
            Self::Q6_K => quantized(14, "Q6_K", (256, 210, 16), (-32, 31), false),
            Self::IQ4_NL => quantized(20, "IQ4_NL", (32, 18, 32), (-127, 113), false),
            Self::IQ4_XS => quantized(23, "IQ4_XS", (256, 136, 32), (-127, 113), false),
            Self::TQ1_0 => quantized(34, "TQ1_0", (256, 54, 256), (-1, 1), false),
            Self::TQ2_0 => quantized(35, "TQ2_0", (256, 66, 256), (-1, 2), false),
            Self::MXFP4 => quantized(39, "MXFP4", (32, 17, 32), (-12, 12), false),
            Self::NVFP4 => quantized(40, "NVFP4", (64, 36, 16), (-12, 12), false),
            Self::Q1_0 => quantized(41, "Q1_0", (128, 18, 128), (-1, 1), false),
            Self::Q2_0 => quantized(42, "Q2_0", (64, 18, 64), (-1, 2), false),
        }
    }

    /// Its number in a GGUF file (`ggml_type`).
    #[must_use]
    pub const fn id(self) -> u32 {
        self.layout().id
    }

    /// The type with this number, where it is one of [`GgufType::ALL`].
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|block_type| block_type.id() == id)
    }

    /// The name of a type that a file may hold but this project does not read; for messages.
    #[must_use]
    pub const fn unsupported_name(id: u32) -> Option<&'static str> {
        Some(match id {
            9 => "Q8_1",
            15 => "Q8_K",
            16 => "IQ2_XXS",
            17 => "IQ2_XS",
            18 => "IQ3_XXS",
            19 => "IQ1_S",
            21 => "IQ3_S",
            22 => "IQ2_S",
            29 => "IQ1_M",
            _ => return None,
        })
    }

    /// Its name, as `llama-quantize` writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.layout().name
    }

    /// The number of elements of a block; 1 for plain numbers.
    #[must_use]
    pub const fn block_len(self) -> usize {
        self.layout().block_len
    }

    /// The number of bytes of a block.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        self.layout().block_bytes
    }

    /// Whether its elements are codes with scales, so that [`GgufType::unpack`] applies.
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        self.layout().codes.is_some()
    }

    /// The number of neighbouring elements that share a scale: a divisor of the block length, at least `block_len / 16`.
    #[must_use]
    pub const fn group_len(self) -> usize {
        match self.layout().codes {
            Some(codes) => codes.group_len,
            None => 1,
        }
    }

    /// Whether a minimum is added to each scaled code.
    #[must_use]
    pub const fn has_minimums(self) -> bool {
        matches!(self.layout().codes, Some(Codes { has_minimums: true, .. }))
    }

    /// The range that its integer codes have in [`UnpackedBlock::codes`]. `None` for plain numbers.
    #[must_use]
    pub const fn code_range(self) -> Option<RangeInclusive<i8>> {
        match self.layout().codes {
            Some(codes) => Some(codes.min..=codes.max),
            None => None,
        }
    }

    /// The number of bytes that `elements` take. `None` where they are no whole blocks or the number overflows.
    #[must_use]
    pub const fn byte_len(self, elements: usize) -> Option<usize> {
        if elements.is_multiple_of(self.block_len()) {
            (elements / self.block_len()).checked_mul(self.block_bytes())
        } else {
            None
        }
    }

    fn check(self, elements: usize, bytes: usize) -> Result<(), FormatError> {
        let expected = self.byte_len(elements).ok_or_else(|| self.partial_block(elements))?;
        if bytes == expected {
            Ok(())
        } else {
            let format = self.name().to_owned();
            Err(FormatError::ByteLength { format, elements, expected, actual: bytes })
        }
    }

    pub(crate) fn partial_block(self, elements: usize) -> FormatError {
        let (format, block) = (self.to_string(), self.block_len());
        FormatError::PartialBlock { format, block, elements }
    }

    /// Decodes whole blocks. Every NaN becomes [`crate::float::CANONICAL_NAN`]; an F32 tensor is copied as it stands.
    ///
    /// # Errors
    /// Where `out` is no whole number of blocks or `bytes` does not hold exactly these.
    pub fn decode(self, bytes: &[u8], out: &mut [f32]) -> Result<(), FormatError> {
        self.check(out.len(), bytes.len())?;
        if !self.is_quantized() {
            plain::decode(self, bytes, out);
            return Ok(());
        }
        let mut unpacked = UnpackedBlock::default();
        let blocks = bytes.chunks_exact(self.block_bytes());
        for (block, out) in blocks.zip(out.chunks_exact_mut(self.block_len())) {
            self.unpack_checked(block, &mut unpacked);
            let groups = out
                .chunks_exact_mut(self.group_len())
                .zip(unpacked.codes().chunks_exact(self.group_len()));
            for (group, (out, codes)) in groups.enumerate() {
                let scale = unpacked.scale(group);
                if self.has_minimums() {
                    let minimum = unpacked.minimum(group);
                    for (out, &code) in out.iter_mut().zip(codes) {
                        *out = canonical(scale * f32::from(code) + minimum);
                    }
                } else {
                    for (out, &code) in out.iter_mut().zip(codes) {
                        *out = canonical(scale * f32::from(code));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes one block apart into integer codes, scales and minimums: what a repacker reads.
    ///
    /// # Errors
    /// Where `block` is not [`GgufType::block_bytes`] long or the type is not quantized.
    pub fn unpack(self, block: &[u8], unpacked: &mut UnpackedBlock) -> Result<(), FormatError> {
        if !self.is_quantized() {
            return Err(self.unsupported("unpacked"));
        }
        self.check(self.block_len(), block.len())?;
        self.unpack_checked(block, unpacked);
        Ok(())
    }

    fn unpack_checked(self, block: &[u8], unpacked: &mut UnpackedBlock) {
        unpacked.reset(self.block_len(), self.group_len());
        match self {
            Self::Q4_0 => legacy::unpack_q4_0(block, unpacked),
            Self::Q4_1 => legacy::unpack_q4_1(block, unpacked),
            Self::Q5_0 => legacy::unpack_q5_0(block, unpacked),
            Self::Q5_1 => legacy::unpack_q5_1(block, unpacked),
            Self::Q8_0 => legacy::unpack_q8_0(block, unpacked),
            Self::Q2_K => k_quants::unpack_q2_k(block, unpacked),
            Self::Q3_K => k_quants::unpack_q3_k(block, unpacked),
            Self::Q4_K => k_quants::unpack_q4_k(block, unpacked),
            Self::Q5_K => k_quants::unpack_q5_k(block, unpacked),
            Self::Q6_K => k_quants::unpack_q6_k(block, unpacked),
            Self::IQ4_NL => iq4::unpack_iq4_nl(block, unpacked),
            Self::IQ4_XS => iq4::unpack_iq4_xs(block, unpacked),
            Self::TQ1_0 => ternary::unpack_tq1_0(block, unpacked),
            Self::TQ2_0 => ternary::unpack_tq2_0(block, unpacked),
            Self::MXFP4 => microscaling::unpack_mxfp4(block, unpacked),
            Self::NVFP4 => microscaling::unpack_nvfp4(block, unpacked),
            Self::Q1_0 => low_bit::unpack_q1_0(block, unpacked),
            Self::Q2_0 => low_bit::unpack_q2_0(block, unpacked),
            _ => unreachable!("{self} has no codes: callers check `is_quantized`"),
        }
    }

    /// Whether [`GgufType::encode`] exists.
    #[must_use]
    pub const fn can_encode(self) -> bool {
        matches!(
            self,
            Self::F32
                | Self::F16
                | Self::BF16
                | Self::Q4_0
                | Self::Q8_0
                | Self::TQ1_0
                | Self::TQ2_0
                | Self::MXFP4
                | Self::Q1_0
                | Self::Q2_0
        )
    }

    /// The largest magnitude that [`GgufType::encode`] takes: that of the largest code at the largest f16 scale. Beyond it ggml writes an infinite
    /// scale, and reads NaN back.
    const fn largest_encodable(self) -> f32 {
        match self {
            Self::Q4_0 => 8.0 * 65504.0,
            Self::Q8_0 => 127.0 * 65504.0,
            Self::TQ1_0 | Self::TQ2_0 | Self::Q1_0 | Self::Q2_0 => 65504.0,
            _ => f32::MAX,
        }
    }

    fn unsupported(self, operation: &'static str) -> FormatError {
        FormatError::Unsupported { format: self.name().to_owned(), operation }
    }

    /// Encodes whole blocks as ggml's reference quantizers do.
    ///
    /// # Errors
    /// Where the lengths do not fit, the type has no encoder ([`GgufType::can_encode`]), or a value for a quantized type is NaN or too large for its scale.
    pub fn encode(self, values: &[f32], bytes: &mut [u8]) -> Result<(), FormatError> {
        self.check(values.len(), bytes.len())?;
        let encode_block: fn(&[f32], &mut [u8]) = match self {
            Self::F32 => plain::encode_f32,
            Self::F16 => plain::encode_f16,
            Self::BF16 => plain::encode_bf16,
            Self::Q4_0 => legacy::encode_q4_0,
            Self::Q8_0 => legacy::encode_q8_0,
            Self::TQ1_0 => ternary::encode_tq1_0,
            Self::TQ2_0 => ternary::encode_tq2_0,
            Self::MXFP4 => microscaling::encode_mxfp4,
            Self::Q1_0 => low_bit::encode_q1_0,
            Self::Q2_0 => low_bit::encode_q2_0,
            _ => {
                return Err(self.unsupported("encoded"));
            }
        };
        let limit = self.largest_encodable();
        if self.is_quantized()
            && let Some(index) =
                values.iter().position(|value| value.is_nan() || value.abs() > limit)
        {
            let value = values[index];
            return Err(FormatError::OutOfRange { block_type: self, index, value, limit });
        }
        let blocks = values.chunks_exact(self.block_len());
        for (values, block) in blocks.zip(bytes.chunks_exact_mut(self.block_bytes())) {
            encode_block(values, block);
        }
        Ok(())
    }
}

impl fmt::Display for GgufType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
