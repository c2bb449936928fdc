//! The specification: the product of [`super::super::scalar`], of codes taken from their planes.

use super::super::activations::ActivationBlock;
use super::super::{Layout, Product, scalar};
use super::from_planes;

/// See [`super`].
///
/// # Safety
/// As [`super::LutFn`] says.
pub(super) unsafe fn matmul<L: Layout>(product: &Product<ActivationBlock>) {
    // SAFETY: the product has a specification.
    let spec = unsafe { &*product.spec };
    let bytes = product.tiles * product.tile_bytes;
    // SAFETY: the product has that many bytes of weights.
    let planes = unsafe { std::slice::from_raw_parts(product.weights, bytes) };
    let mut weights = vec![0; bytes];
    let tiles = planes.chunks_exact(product.tile_bytes);
    for (planes, out) in tiles.zip(weights.chunks_exact_mut(product.tile_bytes)) {
        from_planes(spec, planes, product.blocks, out);
    }
    // SAFETY: the same product, of weights of the same size.
    unsafe { scalar::matmul::<L>(&Product { weights: weights.as_ptr(), ..*product }) };
}
