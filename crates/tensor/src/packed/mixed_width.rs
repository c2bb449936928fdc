//! Records of 2-bit and 4-bit groups ([`MixedWidth`]) as 4-bit codes: the bytes of memory that wide groups need, for a table of odd integers.
//!
//! A narrow value is `s · c · odd`, a wide one `s · c · odd / 4`. With quarters for a unit both are odd integers under `s` and a byte, 4 c or c.

use dyadic_formats::MixedWidth;
use dyadic_kernels::matmul::layout::{BLOCK, LayoutSpec, TILE_ROWS};

use crate::TensorError;

/// What products are multiplied by.
pub(super) const UNIT: f32 = 0.25;

const GROUPS: usize = MixedWidth::ELEMENTS / GROUP;
const GROUP: usize = BLOCK / 2;
const SCALES_AT: usize = 6;
const CODES_AT: usize = SCALES_AT + GROUPS / 2;

fn wide_groups(record: &[u8]) -> u32 {
    u32::from_le_bytes([record[2], record[3], record[4], record[5]])
}

/// Checks that every record has as many wide groups as the format says, on which the addresses of codes depend.
pub(super) fn check(mixed: MixedWidth, records: &[u8]) -> Result<(), TensorError> {
    let expected = usize::from(mixed.wide_groups());
    records.chunks_exact(mixed.record_bytes()).try_for_each(|record| {
        let actual = wide_groups(record).count_ones() as usize;
        TensorError::check_length("the wide groups of a record", expected, actual)
    })
}

/// Packs one row of records into a zeroed tile.
pub(super) fn row(
    mixed: MixedWidth,
    spec: &LayoutSpec,
    records: &[u8],
    row: usize,
    tile: &mut [u8],
) {
    let blocks_of_record = MixedWidth::ELEMENTS / BLOCK;
    for (index, record) in records.chunks_exact(mixed.record_bytes()).enumerate() {
        let wide = wide_groups(record);
        let narrow = GROUPS - usize::from(mixed.wide_groups());
        let mut next = [CODES_AT, CODES_AT + narrow * GROUP / 4];
        let mut codes = [0u8; BLOCK];
        for group in 0..GROUPS {
            let (block, half) = (index * blocks_of_record + group / 2, group % 2);
            let is_wide = wide >> group & 1 == 1;
            let at = &mut next[usize::from(is_wide)];
            let out = &mut codes[half * GROUP..][..GROUP];
            for (i, code) in out.iter_mut().enumerate() {
                *code = if is_wide {
                    record[*at + i / 2] >> (4 * (i % 2)) & 15
                } else {
                    // −3 to 3 are the codes 6 to 9 of −15 to 15.
                    6 + (record[*at + i / 4] >> (2 * (i % 4)) & 3)
                };
            }
            *at += if is_wide { GROUP / 2 } else { GROUP / 4 };
            let scale = record[SCALES_AT + group / 2] >> (4 * (group % 2)) & 15;
            spec.block_scales_mut(tile, block)[half * TILE_ROWS + row] =
                if is_wide { scale } else { 4 * scale };
            if half == 1 {
                let (quads, _) = codes.as_chunks::<4>();
                let quads = std::array::from_fn(|quad| u32::from_le_bytes(quads[quad]));
                spec.store_codes(tile, block, row, &quads);
            }
        }
        for block in (0..blocks_of_record).step_by(spec.blocks_per_header()) {
            let header = spec.header_mut(tile, index * blocks_of_record + block);
            header[2 * row..][..2].copy_from_slice(&record[..2]);
        }
    }
}
