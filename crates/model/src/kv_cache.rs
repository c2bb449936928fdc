//! The key-value cache of one sequence: pages of [`PAGE_TOKENS`] positions, shared between forks until one of them writes.
//!
//! A page holds, for each layer and each KV head, a key block and a value block in the layout of [`dyadic_kernels::attention`].

use std::sync::Arc;

use dyadic_formats::lmul::LMul;
use dyadic_kernels::Kernels;
pub use dyadic_kernels::attention::PAGE_TOKENS;
use dyadic_kernels::attention::{
    Attention, AttentionScratch, I8_SCALES, KvPage, attention_l_mul, key_page_len, value_page_len,
};

/// The element type of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// IEEE half precision: 2 bytes an element, rounded to nearest even.
    #[default]
    F16,
    /// Single precision: 4 bytes an element, exact.
    F32,
    /// 8-bit integers with a scale for each position's key and value of a head.
    I8,
}

/// The sizes that every page of a model's caches has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvShape {
    /// Decoder layers.
    pub layers: usize,
    /// Key-value heads of a layer.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Element type.
    pub kv_type: KvType,
}

impl KvShape {
    /// Elements of a head's keys in one page, and of its values, scales included.
    fn parts(&self) -> (usize, usize) {
        let scales = if self.kv_type == KvType::I8 { I8_SCALES } else { 0 };
        (key_page_len(self.head_dim) + scales, value_page_len(self.head_dim) + scales)
    }

    /// Elements of a head in one page.
    fn head_len(&self) -> usize {
        self.parts().0 + self.parts().1
    }

    /// Elements of one layer of a page.
    fn layer_len(&self) -> usize {
        self.heads * self.head_len()
    }

    /// Bytes of one page.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        let element = match self.kv_type {
            KvType::F16 => size_of::<u16>(),
            KvType::F32 => size_of::<f32>(),
            KvType::I8 => size_of::<i8>(),
        };
        self.layers * self.layer_len() * element
    }
}

/// `[layer][head][keys, values]` for each page.
#[derive(Clone)]
pub(crate) enum Pages {
    F16(Vec<Arc<Vec<u16>>>),
    F32(Vec<Arc<Vec<f32>>>),
    I8(Vec<Arc<Vec<i8>>>),
}

/// A type that caches are made of, and its kernels.
pub(crate) trait KvElement: Copy + Default + Send + Sync {
    /// The pages of a cache of this type.
    fn pages(pages: &Pages) -> &[Arc<Vec<Self>>];
    /// The same, to grow and to write.
    fn pages_mut(pages: &mut Pages) -> &mut Vec<Arc<Vec<Self>>>;
    /// See [`Kernels::attention_f16`].
    fn attention(
        kernels: &Kernels,
        input: &Attention<'_, Self>,
        scratch: &mut AttentionScratch,
        out: &mut [f32],
    );
    /// See [`attention_l_mul`].
    fn attention_l_mul(l_mul: LMul, input: &Attention<'_, Self>, out: &mut [f32]);
    /// See [`Kernels::store_kv_f16`].
    fn store(
        kernels: &Kernels,
        key: &[f32],
        value: &[f32],
        slot: usize,
        page: &mut KvPageMut<'_, Self>,
    );
}

macro_rules! kv_element {
    ($element:ty, $variant:ident, $attention:ident, $store:ident) => {
        impl KvElement for $element {
            fn pages(pages: &Pages) -> &[Arc<Vec<Self>>] {
                match pages {
                    Pages::$variant(pages) => pages,
                    _ => unreachable!("all caches of a model have its type"),
                }
            }

            fn pages_mut(pages: &mut Pages) -> &mut Vec<Arc<Vec<Self>>> {
                match pages {
                    Pages::$variant(pages) => pages,
                    _ => unreachable!("all caches of a model have its type"),
                }
            }

            fn attention(
                kernels: &Kernels,
                input: &Attention<'_, Self>,
                scratch: &mut AttentionScratch,
                out: &mut [f32],
            ) {
                kernels.$attention(input, scratch, out);
            }

            fn attention_l_mul(l_mul: LMul, input: &Attention<'_, Self>, out: &mut [f32]) {
                attention_l_mul(l_mul, input, out);
            }

            fn store(
                kernels: &Kernels,
                key: &[f32],
                value: &[f32],
                slot: usize,
                page: &mut KvPageMut<'_, Self>,
            ) {
                kernels.$store(key, value, slot, page.keys, page.values);
            }
        }
    };
}

kv_element!(u16, F16, attention_f16, store_kv_f16);
kv_element!(f32, F32, attention_f32, store_kv_f32);
kv_element!(i8, I8, attention_i8, store_kv_i8);

/// The keys and values of one head in one page, to write.
pub(crate) struct KvPageMut<'a, T> {
    keys: &'a mut [T],
    values: &'a mut [T],
}

/// The cache of one sequence. A clone shares its pages until either side writes to them.
#[derive(Clone)]
pub struct KvCache {
    shape: KvShape,
    pages: Pages,
    length: usize,
}

impl KvCache {
    /// An empty cache.
    #[must_use]
    pub fn new(shape: KvShape) -> Self {
        let pages = match shape.kv_type {
            KvType::F16 => Pages::F16(Vec::new()),
            KvType::F32 => Pages::F32(Vec::new()),
            KvType::I8 => Pages::I8(Vec::new()),
        };
        Self { shape, pages, length: 0 }
    }

    /// Positions that are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether no position is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The sizes of its pages.
    #[must_use]
    pub fn shape(&self) -> KvShape {
        self.shape
    }

    /// Forgets every position from `length` on, and frees the pages that are no longer needed.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
        let pages = self.length.div_ceil(PAGE_TOKENS);
        match &mut self.pages {
            Pages::F16(all) => all.truncate(pages),
            Pages::F32(all) => all.truncate(pages),
            Pages::I8(all) => all.truncate(pages),
        }
    }

    /// Makes room for `count` more positions, and makes the pages that they fall into this cache's own.
    pub(crate) fn reserve<T: KvElement>(&mut self, count: usize) {
        let first = self.length / PAGE_TOKENS;
        let needed = (self.length + count).div_ceil(PAGE_TOKENS);
        let page_len = self.shape.layers * self.shape.layer_len();
        let pages = T::pages_mut(&mut self.pages);
        for page in pages.iter_mut().skip(first) {
            Arc::make_mut(page);
        }
        while pages.len() < needed {
            pages.push(Arc::new(vec![T::default(); page_len]));
        }
    }

    /// Counts `count` positions, written through [`Self::append_pages`] for every layer, as held.
    pub(crate) fn advance(&mut self, count: usize) {
        self.length += count;
    }

    /// For each head of `layer`, its part of the pages from that of the first free position on.
    ///
    /// # Panics
    /// Where [`Self::reserve`] has not been called since the cache was cloned.
    pub(crate) fn append_pages<T: KvElement>(
        &mut self,
        layer: usize,
    ) -> Vec<Vec<KvPageMut<'_, T>>> {
        let (shape, first) = (self.shape, self.length / PAGE_TOKENS);
        let mut heads: Vec<Vec<KvPageMut<'_, T>>> = (0..shape.heads).map(|_| Vec::new()).collect();
        for page in T::pages_mut(&mut self.pages).iter_mut().skip(first) {
            let page = Arc::get_mut(page).expect("reserve makes the pages unshared");
            let layer = &mut page[layer * shape.layer_len()..][..shape.layer_len()];
            for (head, part) in heads.iter_mut().zip(layer.chunks_exact_mut(shape.head_len())) {
                let (keys, values) = part.split_at_mut(shape.parts().0);
                head.push(KvPageMut { keys, values });
            }
        }
        heads
    }

    /// The pages of one head of one layer, in order.
    pub(crate) fn head_pages<T: KvElement>(&self, layer: usize, head: usize) -> Vec<KvPage<'_, T>> {
        let shape = self.shape;
        let start = layer * shape.layer_len() + head * shape.head_len();
        let pages = T::pages(&self.pages).iter();
        pages
            .map(|page| {
                let part = &page[start..][..shape.head_len()];
                let (keys, values) = part.split_at(shape.parts().0);
                KvPage { keys, values }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: KvShape = KvShape { layers: 2, heads: 3, head_dim: 8, kv_type: KvType::F32 };

    /// Appends a position whose every key element is `mark`.
    fn append(cache: &mut KvCache, mark: f32) {
        cache.reserve::<f32>(1);
        let slot = cache.len() % PAGE_TOKENS;
        for layer in 0..SHAPE.layers {
            for head in cache.append_pages::<f32>(layer) {
                head.into_iter().next().unwrap().keys[slot] = mark;
            }
        }
        cache.advance(1);
    }

    fn key(cache: &KvCache, position: usize) -> f32 {
        cache.head_pages::<f32>(1, 2)[position / PAGE_TOKENS].keys[position % PAGE_TOKENS]
    }

    #[test]
    fn a_fork_shares_what_came_before_and_nothing_after() {
        let mut cache = KvCache::new(SHAPE);
        for mark in 0..100_u8 {
            append(&mut cache, f32::from(mark));
        }
        let mut fork = cache.clone();
        append(&mut fork, 1000.0);
        append(&mut cache, 2000.0);
        assert_eq!((key(&fork, 99), key(&fork, 100)), (99.0, 1000.0));
        assert_eq!((key(&cache, 99), key(&cache, 100)), (99.0, 2000.0));
    }

    #[test]
    fn truncation_frees_pages() {
        let mut cache = KvCache::new(SHAPE);
        for _ in 0..130 {
            append(&mut cache, 1.0);
        }
        assert_eq!(cache.head_pages::<f32>(0, 0).len(), 3);
        cache.truncate(64);
        assert_eq!((cache.len(), cache.head_pages::<f32>(0, 0).len()), (64, 1));
        cache.truncate(200);
        assert_eq!(cache.len(), 64);
    }
}
