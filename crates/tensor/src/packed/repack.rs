//! From the blocks of a file, row by row, to tiles of 16 interleaved rows.

use dyadic_formats::float::f32_to_f16;
use dyadic_formats::{GgufType, UnpackedBlock};
use dyadic_kernels::matmul::float::FloatLayout;
use dyadic_kernels::matmul::layout::{BLOCK, Codes, LayoutSpec, Scales, TILE_ROWS};

use super::quantized::power_of_two_byte;
use super::{CodeLayout, Layout};

/// Packs up to 16 rows of `row_bytes` bytes each into a zeroed tile.
pub(super) fn tile(
    format: GgufType,
    layout: &Layout,
    rows: &[u8],
    row_bytes: usize,
    tile: &mut [u8],
) {
    let rows = rows.chunks_exact(row_bytes);
    match layout {
        Layout::Float(layout) => rows.enumerate().for_each(|(row, bytes)| {
            interleave(*layout, bytes, row, tile);
        }),
        Layout::Codes(CodeLayout { spec, .. }) => {
            for (row, bytes) in rows.enumerate() {
                match format {
                    GgufType::Q4_0 | GgufType::IQ4_NL => nibbles(spec, bytes, row, tile, 1),
                    GgufType::Q4_1 => nibbles(spec, bytes, row, tile, 2),
                    GgufType::MXFP4 => power_of_two_nibbles(spec, bytes, row, tile),
                    GgufType::Q8_0 => bytes_8(spec, bytes, row, tile),
                    _ => any_blocks(format, spec, bytes, row, tile),
                }
            }
        }
    }
}

fn interleave(layout: FloatLayout, bytes: &[u8], row: usize, tile: &mut [u8]) {
    fn elements<const N: usize>(bytes: &[u8], row: usize, tile: &mut [u8]) {
        let (columns, _) = tile.as_chunks_mut::<N>();
        let (elements, _) = bytes.as_chunks::<N>();
        for (column, element) in columns.chunks_exact_mut(TILE_ROWS).zip(elements) {
            column[row] = *element;
        }
    }
    match layout {
        FloatLayout::F16 | FloatLayout::Bf16 => elements::<2>(bytes, row, tile),
        FloatLayout::F32 => elements::<4>(bytes, row, tile),
    }
}

/// The four little-endian words of 16 bytes.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (words, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|word| u32::from_le_bytes(words[word]))
}

/// The codes of 16 bytes: columns 0 to 15 the low nibbles, 16 to 31 the high ones.
fn quads_of_nibbles(bytes: &[u8]) -> [u32; 8] {
    let [a, b, c, d] = words::<4>(bytes);
    [a, b, c, d, a >> 4, b >> 4, c >> 4, d >> 4].map(|word| word & 0x0F0F_0F0F)
}

/// Blocks of a power of two and 16 bytes of nibbles.
fn power_of_two_nibbles(spec: &LayoutSpec, bytes: &[u8], row: usize, tile: &mut [u8]) {
    for (block, bytes) in bytes.chunks_exact(1 + 16).enumerate() {
        spec.store_codes(tile, block, row, &quads_of_nibbles(&bytes[1..]));
        spec.block_scales_mut(tile, block)[row] = bytes[0];
    }
}

/// Blocks of `numbers` f16 and 16 bytes of nibbles.
fn nibbles(spec: &LayoutSpec, bytes: &[u8], row: usize, tile: &mut [u8], numbers: usize) {
    for (block, bytes) in bytes.chunks_exact(2 * numbers + 16).enumerate() {
        let (scales, codes) = bytes.split_at(2 * numbers);
        spec.store_codes(tile, block, row, &quads_of_nibbles(codes));
        let header = spec.header_mut(tile, block);
        for (index, scale) in scales.chunks_exact(2).enumerate() {
            header[2 * (index * TILE_ROWS + row)..][..2].copy_from_slice(scale);
        }
    }
}

/// Blocks of an f16 and 32 signed bytes.
fn bytes_8(spec: &LayoutSpec, bytes: &[u8], row: usize, tile: &mut [u8]) {
    for (block, bytes) in bytes.chunks_exact(2 + BLOCK).enumerate() {
        let (scale, codes) = bytes.split_at(2);
        spec.store_codes(tile, block, row, &words::<8>(codes));
        spec.header_mut(tile, block)[2 * row..][..2].copy_from_slice(scale);
    }
}

/// Blocks of any type, taken apart by its decoder.
fn any_blocks(format: GgufType, spec: &LayoutSpec, bytes: &[u8], row: usize, tile: &mut [u8]) {
    let blocks_per_unit = format.block_len() / BLOCK;
    let indices = table_indices(spec.codes);
    let mut unpacked = UnpackedBlock::default();
    for (unit, bytes) in bytes.chunks_exact(format.block_bytes()).enumerate() {
        format.unpack(bytes, &mut unpacked).expect("a block of this type");
        let first = unit * blocks_per_unit;
        let (blocks, _) = unpacked.codes().as_chunks::<BLOCK>();
        for (index, values) in blocks.iter().enumerate() {
            let quads = words::<8>(&stored_codes(spec.codes, &indices, values));
            spec.store_codes(tile, first + index, row, &quads);
            let scales = spec.block_scales_mut(tile, first + index);
            store_block_scales(spec, &unpacked, index, row, scales);
        }
        let header = spec.header_mut(tile, first);
        let numbers = [unpacked.super_scale(), unpacked.super_minimum()];
        for (index, number) in numbers.into_iter().take(header.len() / (2 * TILE_ROWS)).enumerate()
        {
            let bytes = f32_to_f16(number).to_le_bytes();
            header[2 * (index * TILE_ROWS + row)..][..2].copy_from_slice(&bytes);
        }
    }
}

/// The codes that stand for 32 integers that a decoder gave, the inverse of [`Codes::value`]; `indices` is [`table_indices`].
fn stored_codes(codes: Codes, indices: &[u8; 256], values: &[i8; BLOCK]) -> [u8; BLOCK] {
    let values = values.map(i8::cast_unsigned);
    match codes {
        Codes::Signed8 => values,
        Codes::Unsigned { zero_point, .. } => values.map(|value| value.wrapping_add(zero_point)),
        // −1 or 1.
        Codes::Bipolar => values.map(|value| !value >> 7),
        Codes::Table4(_) => values.map(|value| indices[usize::from(value)]),
        Codes::Table { .. } | Codes::Numbers { .. } | Codes::Trits => {
            unreachable!("no layout of GGUF types")
        }
    }
}

/// The first index of each entry of a table of codes, by the bits of the entry.
fn table_indices(codes: Codes) -> [u8; 256] {
    let mut indices = [0; 256];
    if let Codes::Table4(table) = codes {
        for (index, entry) in (0..16).zip(table).rev() {
            indices[usize::from(entry.cast_unsigned())] = index;
        }
    }
    indices
}

/// The scales of block `index` of those unpacked.
fn store_block_scales(
    spec: &LayoutSpec,
    unpacked: &UnpackedBlock,
    index: usize,
    row: usize,
    out: &mut [u8],
) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "second-level scales are integers of at most 8 bits"
    )]
    let unsigned = |scale: f32| scale as u8;
    #[expect(clippy::cast_possible_truncation, reason = "as above")]
    let signed = |scale: f32| (scale as i8).cast_unsigned();
    match spec.scales {
        Scales::F16 { .. } | Scales::F16Minimum | Scales::Grouped | Scales::GroupedHalves => {}
        Scales::F16Halves => {
            for half in 0..2 {
                let bytes = f32_to_f16(unpacked.scale(2 * index + half)).to_le_bytes();
                out[2 * (half * TILE_ROWS + row)..][..2].copy_from_slice(&bytes);
            }
        }
        Scales::PowerOfTwo => {
            out[row] = power_of_two_byte(unpacked.super_scale());
        }
        Scales::SuperI8 => out[row] = signed(unpacked.sub_scales()[index]),
        Scales::SuperI8Halves => {
            for half in 0..2 {
                out[half * TILE_ROWS + row] = signed(unpacked.sub_scales()[2 * index + half]);
            }
        }
        Scales::SuperU8Minimum => {
            out[row] = unsigned(unpacked.sub_scales()[index]);
            out[TILE_ROWS + row] = unsigned(unpacked.sub_minimums()[index]);
        }
        Scales::SuperU4MinimumHalves => {
            for half in 0..2 {
                let scale = unsigned(unpacked.sub_scales()[2 * index + half]);
                let minimum = unsigned(unpacked.sub_minimums()[2 * index + half]);
                out[half * TILE_ROWS + row] = scale | minimum << 4;
            }
        }
    }
}
