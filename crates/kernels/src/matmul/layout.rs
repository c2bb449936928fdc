//! How packed weights lie in memory, as data.
//!
//! Every layout interleaves 16 rows ([`TILE_ROWS`]): a row is a lane of a vector, so sums never cross lanes. A tile is one contiguous
//! stream of superblocks, each the header of its scales followed by blocks of 32 columns ([`BLOCK`]):
//!
//! ```text
//! tile        = superblock, superblock, …            the last one may hold fewer blocks
//! superblock  = header, block, block, …              blocks_per_header() blocks
//! header      = f16 d[16] [, f16 m[16]]              or nothing
//! block       = codes, block scales
//! codes       = vectors of 64 bytes; byte 4·row + j of each belongs to `row` and column 4·quad + j
//!   b bits: b vectors; each byte begins with ⌊8 / b⌋ whole codes, of quads ⌊8 / b⌋ · v + f for f = 0, 1, …
//!           the bits left at the top of the bytes of all vectors hold the codes of the last quads, least significant bit first
//!   trits: 8 vectors for 5 blocks; digit d of a byte of vector v belongs to quad 5v + d of their 40 quads
//! ```

use dyadic_formats::float::{f16_to_f32, f32_to_f16};

use super::LayoutId;
use super::codes::{byte_of_trits, load_quads, store_quads, trit_place, trits_of_byte};

/// Rows of a tile.
pub const TILE_ROWS: usize = 16;

/// Columns of a block: those that share an activation scale.
pub const BLOCK: usize = 32;

/// Bytes of a vector of codes: 4 columns of 16 rows.
pub(super) const VECTOR: usize = 4 * TILE_ROWS;

/// What the stored codes are and which integers they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codes {
    /// Unsigned integers of 1 to 7 bits; the code `u` stands for `u - zero_point`.
    Unsigned {
        /// Bits of a code.
        bits: u32,
        /// The code of zero.
        zero_point: u8,
    },
    /// Bits; 0 stands for −1 and 1 for 1.
    Bipolar,
    /// Signed bytes.
    Signed8,
    /// 4-bit indices into a table of signed bytes.
    Table4(&'static [i8; 16]),
    /// Indices of 2 or 4 bits into [`LayoutSpec::table`].
    Table {
        /// Bits of an index.
        bits: u32,
    },
    /// −1, 0, 1 as the codes 0, 1, 2, five of them in a byte ([`trits_of_byte`]): 1.6 bits.
    Trits,
    /// Indices of 1 to 8 bits into a table of numbers ([`super::weight_only`]): no integers, so that they take no part in integer products.
    Numbers {
        /// Bits of an index.
        bits: u32,
    },
}

impl Codes {
    /// Bits of a stored code.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Unsigned { bits, .. } | Self::Table { bits } | Self::Numbers { bits } => bits,
            Self::Bipolar => 1,
            Self::Signed8 => 8,
            Self::Table4(_) => 4,
            Self::Trits => 2,
        }
    }

    /// What a kernel adds to the integers so that none is negative, as unsigned operands of a dot product: 0 or a power of two.
    pub(super) const fn offset(self) -> i32 {
        match self {
            Self::Unsigned { zero_point, .. } => zero_point as i32,
            Self::Bipolar | Self::Trits => 1,
            Self::Signed8 | Self::Table { .. } => 128,
            Self::Numbers { .. } => 0,
            Self::Table4(table) => {
                let mut index = 0;
                while index < table.len() {
                    if table[index] < -16 {
                        return 128;
                    }
                    index += 1;
                }
                16
            }
        }
    }

    /// The position of the lowest bit of a stored code in the unsigned operand that a kernel makes of it.
    pub(super) const fn position(self) -> u32 {
        matches!(self, Self::Bipolar) as u32
    }

    /// Bytes of the codes of a block.
    const fn block_bytes(self) -> usize {
        self.bits() as usize * BLOCK * TILE_ROWS / 8
    }
}

/// How scales and minimums are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scales {
    /// An f16 scale for each run of `blocks` blocks.
    F16 {
        /// Blocks that share a scale.
        blocks: usize,
    },
    /// An f16 scale and an f16 minimum for each block.
    F16Minimum,
    /// An f16 scale for each half of a block.
    F16Halves,
    /// A power of two for each block: a byte `e` means 2^(e − 128).
    PowerOfTwo,
    /// Two levels: an f16 scale for 8 blocks times a signed byte for each block.
    SuperI8,
    /// Two levels: an f16 scale for 8 blocks times a signed byte for each half of a block.
    SuperI8Halves,
    /// Two levels: an f16 scale and an f16 minimum for 8 blocks times an unsigned byte each for each block.
    SuperU8Minimum,
    /// Two levels: an f16 scale and an f16 minimum for 8 blocks times 4 bits each for each half of a block: one byte, the scale in its low nibble.
    SuperU4MinimumHalves,
    /// As [`LayoutSpec::grouping`] says, which kernels read when they run: for formats that have no layout of their own.
    Grouped,
    /// The same with numbers for each half of a block.
    GroupedHalves,
}

/// The scales of [`Scales::Grouped`] and [`Scales::GroupedHalves`].
///
/// A header is `scale[16]`, then `minimum[16]`: f16 or f32, or one byte for a zero point; with halves, both of half 0 and of half 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Blocks that share a header, at least 1; 1 where halves have numbers of their own.
    pub run: usize,
    /// Whether numbers are f32, else f16.
    pub wide: bool,
    /// What is added to the scaled codes.
    pub minimum: Minimum,
}

/// What [`Grouping`] adds to scaled codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Minimum {
    /// Nothing.
    None,
    /// A number.
    Number,
    /// −z × scale, z a signed byte.
    ZeroPoint,
}

impl Grouping {
    /// An f16 scale for each block.
    pub const DEFAULT: Self = Self { run: 1, wide: false, minimum: Minimum::None };

    /// Bytes of a number.
    pub(super) const fn number_bytes(self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    const fn minimum_bytes(self) -> usize {
        match self.minimum {
            Minimum::None => 0,
            Minimum::Number => self.number_bytes(),
            Minimum::ZeroPoint => 1,
        }
    }
}

impl Scales {
    /// Whether [`LayoutSpec::grouping`] says what they are.
    #[must_use]
    pub const fn is_grouped(self) -> bool {
        matches!(self, Self::Grouped | Self::GroupedHalves)
    }

    /// Blocks of a superblock, where the type of scales alone says it.
    const fn blocks_per_header(self) -> usize {
        match self {
            Self::F16 { blocks } => blocks,
            Self::F16Minimum
            | Self::F16Halves
            | Self::PowerOfTwo
            | Self::Grouped
            | Self::GroupedHalves => 1,
            Self::SuperI8
            | Self::SuperI8Halves
            | Self::SuperU8Minimum
            | Self::SuperU4MinimumHalves => 8,
        }
    }

    /// Whether the halves of a block, 16 columns each, have scales of their own.
    #[must_use]
    pub const fn has_halves(self) -> bool {
        matches!(
            self,
            Self::F16Halves
                | Self::SuperI8Halves
                | Self::SuperU4MinimumHalves
                | Self::GroupedHalves
        )
    }

    /// Whether the header of a superblock has all of them.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn are_in_header(self) -> bool {
        matches!(self, Self::F16 { .. } | Self::F16Minimum) || self.is_grouped()
    }

    const fn header_bytes(self) -> usize {
        match self {
            Self::F16 { .. } | Self::SuperI8 | Self::SuperI8Halves => 2 * TILE_ROWS,
            Self::F16Minimum | Self::SuperU8Minimum | Self::SuperU4MinimumHalves => 4 * TILE_ROWS,
            Self::F16Halves | Self::PowerOfTwo | Self::Grouped | Self::GroupedHalves => 0,
        }
    }

    const fn block_bytes(self) -> usize {
        match self {
            Self::F16 { .. } | Self::F16Minimum | Self::Grouped | Self::GroupedHalves => 0,
            Self::PowerOfTwo | Self::SuperI8 => TILE_ROWS,
            Self::SuperI8Halves | Self::SuperU8Minimum | Self::SuperU4MinimumHalves => {
                2 * TILE_ROWS
            }
            Self::F16Halves => 4 * TILE_ROWS,
        }
    }
}

/// A layout of packed weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutSpec {
    /// The integer products of such weights. `None` where their codes are no integers.
    pub id: Option<LayoutId>,
    /// Its name, `codes_scales`.
    pub name: &'static str,
    /// The element codes.
    pub codes: Codes,
    /// The scales.
    pub scales: Scales,
    /// What [`Scales::Grouped`] and [`Scales::GroupedHalves`] are.
    pub grouping: Grouping,
    /// What the indices of [`Codes::Table`] mean.
    pub table: [i8; 16],
}

/// The scales and minimums of one row in one block: of each half, equal where the halves have none of their own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowScales {
    /// What multiplies the integers.
    pub scale: [f32; 2],
    /// What is added then; 0 for layouts without minimums.
    pub minimum: [f32; 2],
}

impl LayoutSpec {
    /// Blocks of a superblock.
    #[must_use]
    pub const fn blocks_per_header(&self) -> usize {
        if self.scales.is_grouped() { self.grouping.run } else { self.scales.blocks_per_header() }
    }

    /// Whether a minimum is added to each scaled code.
    #[must_use]
    pub const fn has_minimums(&self) -> bool {
        match self.scales {
            Scales::F16Minimum | Scales::SuperU8Minimum | Scales::SuperU4MinimumHalves => true,
            Scales::Grouped | Scales::GroupedHalves => {
                !matches!(self.grouping.minimum, Minimum::None)
            }
            _ => false,
        }
    }

    /// The integer that a stored code stands for.
    ///
    /// # Panics
    /// Where codes are no integers.
    #[must_use]
    pub const fn value(&self, code: u8) -> i32 {
        match self.codes {
            Codes::Unsigned { zero_point, .. } => code as i32 - zero_point as i32,
            Codes::Bipolar => 2 * code as i32 - 1,
            Codes::Trits => code as i32 - 1,
            Codes::Signed8 => code.cast_signed() as i32,
            Codes::Table4(table) => table[(code & 15) as usize] as i32,
            Codes::Table { .. } => self.table[(code & 15) as usize] as i32,
            Codes::Numbers { .. } => panic!("codes that are no integers"),
        }
    }

    /// Bytes of a header.
    #[must_use]
    pub const fn header_bytes(&self) -> usize {
        let halves = if self.scales.has_halves() { 2 } else { 1 };
        if self.scales.is_grouped() {
            halves * TILE_ROWS * (self.grouping.number_bytes() + self.grouping.minimum_bytes())
        } else {
            self.scales.header_bytes()
        }
    }

    /// Bytes of the codes of a block.
    #[must_use]
    pub const fn code_bytes(&self) -> usize {
        self.codes.block_bytes()
    }

    /// Bytes of a block: codes and block scales.
    #[must_use]
    pub const fn block_bytes(&self) -> usize {
        self.codes.block_bytes() + self.scales.block_bytes()
    }

    /// Bytes of a tile of `blocks` blocks. `None` on overflow.
    #[must_use]
    pub fn tile_bytes(&self, blocks: usize) -> Option<usize> {
        let run = self.blocks_per_header();
        let headers = blocks.div_ceil(run).checked_mul(self.header_bytes())?;
        let runs = (blocks / run).checked_mul(self.bytes_of(run))?;
        runs.checked_add(self.bytes_of(blocks % run))?.checked_add(headers)
    }

    /// Where block `index` of a superblock begins behind the header.
    #[inline]
    const fn bytes_before(&self, index: usize) -> usize {
        if matches!(self.codes, Codes::Trits) {
            // A block may begin within a vector.
            index * (BLOCK / 4) / 5 * VECTOR
        } else {
            index * self.block_bytes()
        }
    }

    /// The bytes of the blocks of a superblock of so many.
    #[inline]
    const fn bytes_of(&self, blocks: usize) -> usize {
        if matches!(self.codes, Codes::Trits) {
            (blocks * (BLOCK / 4)).div_ceil(5) * VECTOR
        } else {
            blocks * self.block_bytes()
        }
    }

    /// Where in a tile the header of the superblock of `block` begins.
    #[inline]
    #[must_use]
    pub const fn header_offset(&self, block: usize) -> usize {
        let run = self.blocks_per_header();
        self.superblock(block).0 * (self.header_bytes() + self.bytes_of(run))
    }

    /// Where in a tile the codes of `block` begin; the block scales follow them.
    #[inline]
    #[must_use]
    pub const fn block_offset(&self, block: usize) -> usize {
        self.header_offset(block)
            + self.header_bytes()
            + self.bytes_before(self.superblock(block).1)
    }

    /// The superblock of a block, and the place of the block in it.
    #[inline]
    const fn superblock(&self, block: usize) -> (usize, usize) {
        let run = self.blocks_per_header();
        if run.is_power_of_two() {
            (block >> run.trailing_zeros(), block & (run - 1))
        } else {
            (block / run, block % run)
        }
    }

    /// For trits: which of the five blocks that share eight vectors a block is.
    #[inline]
    pub(super) const fn phase(&self, block: usize) -> usize {
        self.superblock(block).1 % 5
    }

    /// The 32 integers of `row` in `block`.
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end, `row` is 16 or more, or codes are no integers.
    #[must_use]
    pub fn values(&self, tile: &[u8], block: usize, row: usize) -> [i32; BLOCK] {
        self.codes(tile, block, row).map(|code| self.value(code))
    }

    /// The 32 codes of `row` in `block`.
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end or `row` is 16 or more.
    #[must_use]
    pub fn codes(&self, tile: &[u8], block: usize, row: usize) -> [u8; BLOCK] {
        if let Codes::Trits = self.codes {
            let phase = self.phase(block);
            let vectors = &tile[self.block_offset(block)..];
            return std::array::from_fn(|k| {
                let (vector, digit) = trit_place(phase, k / 4);
                trits_of_byte(vectors[vector * VECTOR + 4 * row + k % 4])[digit]
            });
        }
        let codes = &tile[self.block_offset(block)..][..self.code_bytes()];
        let quad_codes = load_quads(self.codes.bits(), codes, row);
        std::array::from_fn(|k| quad_codes[k / 4].to_le_bytes()[k % 4])
    }

    /// The scales of `row` in `block`.
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end or `row` is 16 or more.
    #[must_use]
    pub fn row_scales(&self, tile: &[u8], block: usize, row: usize) -> RowScales {
        assert!(row < TILE_ROWS, "row {row} of a tile of 16");
        let header = &tile[self.header_offset(block)..][..self.header_bytes()];
        let scales = if self.scales.is_grouped() {
            &[]
        } else {
            &tile[self.block_offset(block) + self.code_bytes()..]
                [..self.block_bytes() - self.code_bytes()]
        };
        let f16 = |bytes: &[u8], index: usize| {
            f16_to_f32(u16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]]))
        };
        let byte = |half: usize| scales[half * TILE_ROWS + row];
        let signed = |half: usize| f32::from(byte(half).cast_signed());
        let (scale, minimum) = match self.scales {
            Scales::F16 { .. } => ([f16(header, row); 2], [0.0; 2]),
            Scales::F16Minimum => ([f16(header, row); 2], [f16(header, TILE_ROWS + row); 2]),
            Scales::F16Halves => ([0, 1].map(|half| f16(scales, half * TILE_ROWS + row)), [0.0; 2]),
            Scales::PowerOfTwo => ([power_of_two(byte(0)); 2], [0.0; 2]),
            Scales::SuperI8 => ([f16(header, row) * signed(0); 2], [0.0; 2]),
            Scales::SuperI8Halves => ([0, 1].map(|half| f16(header, row) * signed(half)), [0.0; 2]),
            Scales::SuperU8Minimum => (
                [f16(header, row) * f32::from(byte(0)); 2],
                [f16(header, TILE_ROWS + row) * f32::from(byte(1)); 2],
            ),
            Scales::SuperU4MinimumHalves => (
                [0, 1].map(|half| f16(header, row) * f32::from(byte(half) & 15)),
                [0, 1].map(|half| f16(header, TILE_ROWS + row) * f32::from(byte(half) >> 4)),
            ),
            Scales::Grouped => {
                let (scale, minimum) = self.grouped_scale(header, 0, row);
                ([scale; 2], [minimum; 2])
            }
            Scales::GroupedHalves => {
                let [low, high] = [0, 1].map(|half| self.grouped_scale(header, half, row));
                ([low.0, high.0], [low.1, high.1])
            }
        };
        RowScales { scale, minimum }
    }

    /// The scale and the minimum of a row in half `half` of a header.
    fn grouped_scale(&self, header: &[u8], half: usize, row: usize) -> (f32, f32) {
        let Grouping { wide, minimum, .. } = self.grouping;
        let bytes = self.grouping.number_bytes();
        let number = |index: usize| {
            let at = bytes * index;
            if wide {
                f32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
            } else {
                f16_to_f32(u16::from_le_bytes([header[at], header[at + 1]]))
            }
        };
        let halves = if self.scales.has_halves() { 2 } else { 1 };
        let index = half * TILE_ROWS + row;
        let scale = number(index);
        let minimum = match minimum {
            Minimum::None => 0.0,
            Minimum::Number => number(halves * TILE_ROWS + index),
            Minimum::ZeroPoint => {
                let zero = header[bytes * halves * TILE_ROWS + index].cast_signed();
                f32::from(-i16::from(zero)) * scale
            }
        };
        (scale, minimum)
    }

    /// Stores the scale and the minimum (or zero point) of a row: for [`Scales::Grouped`] with half 0, for [`Scales::GroupedHalves`] one half.
    ///
    /// Numbers are rounded to the width of the grouping.
    ///
    /// # Panics
    /// Where the layout has other scales, or `tile` is shorter than the header's end.
    pub fn store_grouped_scale(
        &self,
        tile: &mut [u8],
        block: usize,
        half: usize,
        row: usize,
        (scale, minimum): (f32, f32),
    ) {
        assert!(self.scales.is_grouped(), "{} has no grouped scales", self.name);
        let bytes = self.grouping.number_bytes();
        let halves = if self.scales.has_halves() { 2 } else { 1 };
        let grouping = self.grouping;
        let header = self.header_mut(tile, block);
        let mut put = |index: usize, number: f32| {
            let out = &mut header[bytes * index..][..bytes];
            if grouping.wide {
                out.copy_from_slice(&number.to_le_bytes());
            } else {
                out.copy_from_slice(&f32_to_f16(number).to_le_bytes());
            }
        };
        let index = half * TILE_ROWS + row;
        put(index, scale);
        match grouping.minimum {
            Minimum::None => {}
            Minimum::Number => put(halves * TILE_ROWS + index, minimum),
            Minimum::ZeroPoint => {
                header[bytes * halves * TILE_ROWS + index] = (minimum as i8).cast_unsigned();
            }
        }
    }

    /// The weights of `row` in `block` as numbers, rounded as the format's own decoder rounds them.
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end or `row` is 16 or more.
    #[must_use]
    pub fn decode_block(&self, tile: &[u8], block: usize, row: usize) -> [f32; BLOCK] {
        let scales = self.row_scales(tile, block, row);
        let values = self.values(tile, block, row);
        std::array::from_fn(|k| {
            let half = k / (BLOCK / 2);
            // At most 8 bits: exact.
            let value = values[k] as f32;
            let weight = value * scales.scale[half];
            let weight = if self.has_minimums() { weight + scales.minimum[half] } else { weight };
            if weight.is_nan() { f32::NAN } else { weight }
        })
    }

    /// Stores the codes of `row` in `block`: byte `j` of `quads[q]` is the code of column 4q + j.
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end or `row` is 16 or more.
    #[inline]
    pub fn store_codes(&self, tile: &mut [u8], block: usize, row: usize, quads: &[u32; 8]) {
        if let Codes::Trits = self.codes {
            let phase = self.phase(block);
            let vectors = &mut tile[self.block_offset(block)..];
            for (quad, codes) in quads.iter().enumerate() {
                let (vector, digit) = trit_place(phase, quad);
                for (j, code) in codes.to_le_bytes().into_iter().enumerate() {
                    let byte = &mut vectors[vector * VECTOR + 4 * row + j];
                    let mut trits = trits_of_byte(*byte);
                    trits[digit] = (code & 3).min(2);
                    *byte = byte_of_trits(trits);
                }
            }
            return;
        }
        let codes = &mut tile[self.block_offset(block)..][..self.code_bytes()];
        store_quads(self.codes.bits(), codes, row, quads);
    }

    /// The bytes of the header of the superblock of `block`: f16 d\[16\], then f16 m\[16\] where there are minimums.
    ///
    /// # Panics
    /// Where `tile` is shorter than the header's end.
    #[inline]
    pub fn header_mut<'a>(&self, tile: &'a mut [u8], block: usize) -> &'a mut [u8] {
        &mut tile[self.header_offset(block)..][..self.header_bytes()]
    }

    /// The bytes of the scales of `block`, as [`Scales`] says, half 0 (or the scale) of all rows before half 1 (or the minimum).
    ///
    /// # Panics
    /// Where `tile` is shorter than the block's end.
    #[inline]
    pub fn block_scales_mut<'a>(&self, tile: &'a mut [u8], block: usize) -> &'a mut [u8] {
        &mut tile[self.block_offset(block) + self.code_bytes()..]
            [..self.block_bytes() - self.code_bytes()]
    }
}

/// 2^(exponent − 128), subnormal below an exponent of 2.
#[must_use]
pub fn power_of_two(exponent: u8) -> f32 {
    f32::from_bits(match exponent {
        0 => 0x0020_0000,
        1 => 0x0040_0000,
        _ => u32::from(exponent - 1) << 23,
    })
}
