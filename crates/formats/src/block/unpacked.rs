//! One block, taken apart.

/// The longest block.
const MAX_BLOCK_LEN: usize = 256;
/// The most groups of one block.
const MAX_GROUPS: usize = 16;

/// The integer codes, scales and minimums of one block as they stand in the file.
///
/// Element `i`, of group `g = i / group_len`, is `scale(g) * codes()[i] + minimum(g)` in f32 arithmetic, without fusing; types without
/// minimums add nothing. Codes are centred (`Q4_0`: −8 to 7), code books are looked up (`IQ4_NL`: −127 to 113), and e2m1 floats are doubled so
/// that they are integers (−12 to 12); the range is [`GgufType::code_range`](super::GgufType::code_range).
#[derive(Clone, Debug)]
pub struct UnpackedBlock {
    len: usize,
    group_len: usize,
    pub(super) codes: [i8; MAX_BLOCK_LEN],
    pub(super) super_scale: f32,
    pub(super) super_minimum: f32,
    pub(super) sub_scales: [f32; MAX_GROUPS],
    pub(super) sub_minimums: [f32; MAX_GROUPS],
}

impl Default for UnpackedBlock {
    fn default() -> Self {
        Self {
            len: 0,
            group_len: 1,
            codes: [0; MAX_BLOCK_LEN],
            super_scale: 0.0,
            super_minimum: 0.0,
            sub_scales: [1.0; MAX_GROUPS],
            sub_minimums: [1.0; MAX_GROUPS],
        }
    }
}

impl UnpackedBlock {
    /// Prepares for a block of this shape, with one level of scales and no minimums.
    pub(super) fn reset(&mut self, len: usize, group_len: usize) {
        self.len = len;
        self.group_len = group_len;
        self.super_minimum = 0.0;
        self.sub_scales = [1.0; MAX_GROUPS];
        self.sub_minimums = [1.0; MAX_GROUPS];
    }

    /// The codes of the whole block, in the order of the elements.
    #[must_use]
    pub fn codes(&self) -> &[i8] {
        &self.codes[..self.len]
    }

    /// The number of groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.len / self.group_len
    }

    /// The scale of a group: the super-scale times its sub-scale, rounded to f32.
    ///
    /// # Panics
    /// Where `group` is 16 or more.
    #[must_use]
    pub fn scale(&self, group: usize) -> f32 {
        self.super_scale * self.sub_scales[group]
    }

    /// What is added to the scaled codes of a group: the super-minimum times its sub-minimum, rounded to f32. Zero or negative for K-quants,
    /// which subtract it; 0 for types without minimums.
    ///
    /// # Panics
    /// Where `group` is 16 or more.
    #[must_use]
    pub fn minimum(&self, group: usize) -> f32 {
        self.super_minimum * self.sub_minimums[group]
    }

    /// The scale of the block. 1/2 for NVFP4, which has none of its own and whose codes are doubled.
    #[must_use]
    pub fn super_scale(&self) -> f32 {
        self.super_scale
    }

    /// The factor of all minimums of the block, negative where the format subtracts them; 0 for types without minimums.
    #[must_use]
    pub fn super_minimum(&self) -> f32 {
        self.super_minimum
    }

    /// The second-level scales, one a group: integers of 4 to 8 bits for the 256-element types, 8-bit floats for NVFP4, else 1.
    #[must_use]
    pub fn sub_scales(&self) -> &[f32] {
        &self.sub_scales[..self.groups()]
    }

    /// The second-level minimums, one a group: integers of 4 or 6 bits for `Q2_K`, `Q4_K` and `Q5_K`, else 1.
    #[must_use]
    pub fn sub_minimums(&self) -> &[f32] {
        &self.sub_minimums[..self.groups()]
    }
}
