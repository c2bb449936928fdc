//! From the blocks of a file, row by row, to tiles of 16 interleaved rows.

use dyadic_formats::float::f32_to_f16;
use dyadic_formats::{GgufType, UnpackedBlock};
use dyadic_kernels::matmul::LayoutId;
use dyadic_kernels::matmul::float::FloatLayout;
use dyadic_kernels::matmul::layout::{BLOCK, LayoutSpec, Scales, TILE_ROWS};

use super::Layout;

/// Packs up to 16 rows of `row_bytes` bytes each into a zeroed tile.
pub(super) fn tile(
    format: GgufType,
    layout: Layout,
    rows: &[u8],
    row_bytes: usize,
    tile: &mut [u8],
) {
    let rows = rows.chunks_exact(row_bytes);
    match layout {
        Layout::Float(layout) => rows.enumerate().for_each(|(row, bytes)| {
            interleave(layout, bytes, row, tile);
        }),
        Layout::Codes(id) => {
            let spec = id.spec();
            for (row, bytes) in rows.enumerate() {
                match (format, id) {
                    (GgufType::Q4_0, LayoutId::U4F16) => nibbles(spec, bytes, row, tile, 1),
                    (GgufType::Q4_1, LayoutId::U4F16Minimum) => {
                        nibbles(spec, bytes, row, tile, 2);
                    }
                    (GgufType::Q8_0, LayoutId::I8F16) => bytes_8(spec, bytes, row, tile),
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

/// Blocks of `numbers` f16 and 16 bytes of nibbles: columns 0 to 15 the low ones, 16 to 31 the high ones.
fn nibbles(spec: &LayoutSpec, bytes: &[u8], row: usize, tile: &mut [u8], numbers: usize) {
    const LOW: u32 = 0x0F0F_0F0F;
    for (block, bytes) in bytes.chunks_exact(2 * numbers + 16).enumerate() {
        let (scales, codes) = bytes.split_at(2 * numbers);
        let [a, b, c, d] = words::<4>(codes);
        let quads = [a, b, c, d, a >> 4, b >> 4, c >> 4, d >> 4].map(|word| word & LOW);
        spec.store_codes(tile, block, row, &quads);
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
    // Codes that the decoder never gives stand for themselves.
    let codes: [u8; 256] = std::array::from_fn(|byte| {
        let value = u8::try_from(byte).unwrap_or_default().cast_signed();
        spec.codes.code(value).unwrap_or_default()
    });
    let blocks_per_unit = format.block_len() / BLOCK;
    let mut unpacked = UnpackedBlock::default();
    for (unit, bytes) in bytes.chunks_exact(format.block_bytes()).enumerate() {
        format.unpack(bytes, &mut unpacked).expect("a block of this type");
        let first = unit * blocks_per_unit;
        for (index, values) in unpacked.codes().chunks_exact(BLOCK).enumerate() {
            let quads = std::array::from_fn(|quad| {
                let code = |j: usize| codes[usize::from(values[4 * quad + j].cast_unsigned())];
                u32::from_le_bytes([code(0), code(1), code(2), code(3)])
            });
            spec.store_codes(tile, first + index, row, &quads);
            store_block_scales(
                spec,
                &unpacked,
                index,
                row,
                spec.block_scales_mut(tile, first + index),
            );
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
        Scales::F16 { .. } | Scales::F16Minimum => {}
        Scales::F16Halves => {
            for half in 0..2 {
                let bytes = f32_to_f16(unpacked.scale(2 * index + half)).to_le_bytes();
                out[2 * (half * TILE_ROWS + row)..][..2].copy_from_slice(&bytes);
            }
        }
        Scales::PowerOfTwo => {
            // The inverse of `layout::power_of_two`.
            out[row] = match unpacked.super_scale().to_bits() {
                0x0020_0000 => 0,
                0x0040_0000 => 1,
                bits => (bits >> 23).to_le_bytes()[0].wrapping_add(1),
            };
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
