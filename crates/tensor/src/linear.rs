//! Products of packed weights and activations, over a whole batch and several matrices at once.

use dyadic_formats::float::canonical;
use dyadic_kernels::matmul::OutputColumns;
use dyadic_kernels::matmul::activations::{ActivationBlock, PANEL};
use dyadic_kernels::matmul::int8_lut::{self, Int8Tables};
use dyadic_kernels::matmul::layout::{BLOCK, TILE_ROWS};
use dyadic_kernels::matmul::{byte_lut, lut};

use crate::TensorError;
use crate::activations::{ActivationKind, Activations, Outlier};
use crate::packed::{CodeLayout, Layout, Order, PackedWeights, rearrange};
use crate::pool::Pool;

/// The least bytes of weights that a task reads times its tokens: one microsecond or so, ten times what claiming it costs.
const MIN_TASK_BYTES: usize = 1 << 14;

/// Tasks for each thread, so that a thread that is held up leaves little undone.
const TASKS_PER_THREAD: usize = 8;

/// Bytes of activations that a task goes through before it returns to its first tile: half of the second-level cache of a Zen core.
const ACTIVATION_BYTES: usize = 1 << 19;

/// One matrix of a product: `out = weights · x + bias`.
pub struct Projection<'a> {
    /// The matrix, rows × columns of the activations.
    pub weights: &'a PackedWeights,
    /// One number for each row.
    pub bias: Option<&'a [f32]>,
    /// The result, tokens × rows, row-major.
    pub out: &'a mut [f32],
}

/// A run of tiles of one projection.
struct Task {
    projection: usize,
    first: usize,
    tiles: usize,
}

/// The most tokens that go through tables of bytes one after the other: more share the work of taking codes apart. No more than a panel, so that the tables of
/// all of them belong to one step.
const TABLE_TOKENS: usize = PANEL;

/// Where a projection writes, shared by its tasks.
struct Target(*mut f32);

// SAFETY: each task writes rows of its own tiles, and no two tasks have the same tile.
unsafe impl Sync for Target {}
// SAFETY: as above; f32 may be written by any thread.
unsafe impl Send for Target {}

/// Multiplies several matrices by the same activations in one region of the pool, on up to `threads` threads.
///
/// The result for a row and token depends on nothing but its weights and activations: not on the threads, the other tokens, or the instruction set.
///
/// # Errors
/// [`TensorError::Length`] where a matrix has not one column for each activation of a token, or a bias or an output has the wrong length.
pub fn linear(
    pool: &Pool,
    threads: usize,
    activations: &Activations,
    projections: &mut [Projection<'_>],
) -> Result<(), TensorError> {
    let tokens = activations.tokens();
    for projection in &*projections {
        check(projection, activations)?;
    }
    let bytes = projections.iter().map(|projection| projection.weights.byte_len()).sum();
    let task_bytes = task_bytes(bytes, threads, tokens);
    let tasks = projections.iter().map(|projection| task_count(projection.weights, task_bytes));
    let tasks = tasks.sum();
    let targets: Vec<_> =
        projections.iter_mut().map(|projection| Target(projection.out.as_mut_ptr())).collect();
    let targets = targets.as_slice();
    let projections = &*projections;
    pool.run(threads, tasks, &|index| {
        let Task { projection, first, tiles } = find_task(projections, task_bytes, index);
        let Projection { weights, bias, .. } = &projections[projection];
        let first_row = first * TILE_ROWS;
        let rows = (tiles * TILE_ROWS).min(weights.rows() - first_row);
        let tiles = weights.tiles(first, tiles);
        let bias = bias.map(|bias| &bias[first_row..first_row + rows]);
        let step = tokens_per_step(weights);
        for token in (0..tokens).step_by(step) {
            let count = step.min(tokens - token);
            let out = targets[projection].0.wrapping_add(token * weights.rows() + first_row);
            // SAFETY: the output has tokens × rows elements, our caller borrowed it exclusively, and these rows belong to this task alone.
            let mut out = unsafe { OutputColumns::from_raw(out, weights.rows(), count, rows) };
            multiply(weights, tiles, activations, token, count, &mut out);
            add_outliers(weights, (first_row, rows), activations, token, &mut out);
            if let Some(bias) = bias {
                out.for_each_token(|_, out| add(out, bias));
            }
        }
    });
    Ok(())
}

fn check(projection: &Projection<'_>, activations: &Activations) -> Result<(), TensorError> {
    let Projection { weights, bias, out } = projection;
    TensorError::check_length("activations of a token", weights.columns(), activations.columns())?;
    if let Some(bias) = bias {
        TensorError::check_length("a bias", weights.rows(), bias.len())?;
    }
    let expected = weights.rows().saturating_mul(activations.tokens());
    TensorError::check_length("the output of a product", expected, out.len())
}

/// How many bytes of weights a task should read.
fn task_bytes(bytes: usize, threads: usize, tokens: usize) -> usize {
    if threads <= 1 {
        return usize::MAX;
    }
    (bytes / (threads * TASKS_PER_THREAD)).max(MIN_TASK_BYTES / tokens.max(1))
}

fn tiles_per_task(weights: &PackedWeights, task_bytes: usize) -> usize {
    let tiles = (task_bytes / weights.tile_bytes()).max(1);
    match weights.layout() {
        Layout::Codes(CodeLayout { order: Order::Bytes, .. }) => {
            tiles.next_multiple_of(byte_lut::TILES)
        }
        _ => tiles,
    }
}

fn task_count(weights: &PackedWeights, task_bytes: usize) -> usize {
    weights.rows().div_ceil(TILE_ROWS).div_ceil(tiles_per_task(weights, task_bytes))
}

/// Task `index` of all, those of the first projection first.
fn find_task(projections: &[Projection<'_>], task_bytes: usize, mut index: usize) -> Task {
    for (projection, Projection { weights, .. }) in projections.iter().enumerate() {
        let tasks = task_count(weights, task_bytes);
        if index < tasks {
            let per_task = tiles_per_task(weights, task_bytes);
            let first = index * per_task;
            let tiles = per_task.min(weights.rows().div_ceil(TILE_ROWS) - first);
            return Task { projection, first, tiles };
        }
        index -= tasks;
    }
    unreachable!("there are as many tasks as the projections have")
}

/// How many tokens a task multiplies by all its tiles before the next ones: whole panels.
fn tokens_per_step(weights: &PackedWeights) -> usize {
    let bytes_of_token = match weights.layout() {
        Layout::Codes(CodeLayout { order: Order::Planes, .. }) => {
            weights.columns().div_ceil(BLOCK)
                * (size_of::<ActivationBlock>() + size_of::<lut::TableBlock>())
        }
        Layout::Codes(CodeLayout { order: Order::Nibbles, .. }) => {
            weights.columns().div_ceil(BLOCK) * size_of::<Int8Tables>()
        }
        Layout::Codes(_) if weights.takes_integers() => {
            weights.columns().div_ceil(BLOCK) * size_of::<ActivationBlock>()
        }
        Layout::Codes(_) | Layout::Float(_) => weights.columns() * size_of::<f32>(),
    };
    (ACTIVATION_BYTES / bytes_of_token / PANEL).max(1) * PANEL
}

fn multiply(
    weights: &PackedWeights,
    tiles: &[u8],
    activations: &Activations,
    first: usize,
    tokens: usize,
    out: &mut OutputColumns<'_>,
) {
    let kernels = weights.kernels();
    let columns = weights.columns();
    match weights.layout() {
        Layout::Codes(layout)
            if activations.kind() == ActivationKind::Int8Tables
                && layout.spec.id.is_some_and(int8_lut::is_supported) =>
        {
            let blocks = columns.div_ceil(BLOCK);
            let blocks_per_group = int8_lut::blocks_per_group(&layout.spec, blocks);
            let tables = activations.int8_tables(kernels, blocks_per_group, first, tokens);
            in_order(weights, layout, tiles, Order::Nibbles, out, &mut |tiles, out| {
                kernels.matmul_by_int8_tables(&layout.spec, tiles, blocks, tables, out);
            });
            scale(layout.factor, out);
        }
        Layout::Codes(layout @ CodeLayout { order: Order::Nibbles | Order::Words, .. }) => {
            if let Some(bits) = layout.bits_of_planes(activations.kind()) {
                let planes = (activations.bits(first, tokens, bits), bits);
                let activations = activations.blocks(first, tokens);
                let blocks = columns.div_ceil(BLOCK);
                kernels.matmul_by_popcount(&layout.spec, tiles, blocks, activations, planes, out);
                scale(layout.factor, out);
                return;
            }
            in_order(weights, layout, tiles, Order::Quads, out, &mut |tiles, out| {
                multiply_codes(weights, layout, tiles, activations, first, tokens, out);
            });
        }
        Layout::Codes(layout @ CodeLayout { order: Order::Bytes, .. }) => {
            multiply_bytes(weights, layout, tiles, activations, first, tokens, out);
        }
        Layout::Codes(layout @ CodeLayout { order: Order::Planes, .. }) => {
            let blocks = columns.div_ceil(BLOCK);
            if activations.kind().has_tables() {
                let tables = activations.tables(first, tokens);
                let activations = activations.blocks(first, tokens);
                kernels.matmul_by_tables(&layout.spec, tiles, blocks, activations, tables, out);
                scale(layout.factor, out);
                return;
            }
            in_order(weights, layout, tiles, Order::Quads, out, &mut |tiles, out| {
                multiply_codes(weights, layout, tiles, activations, first, tokens, out);
            });
        }
        Layout::Codes(layout) => {
            multiply_codes(weights, layout, tiles, activations, first, tokens, out);
        }
        Layout::Float(layout) => {
            let x = activations.values(first, tokens);
            kernels.matmul_float(*layout, tiles, columns, x, out);
        }
    }
}

/// Calls `multiply` with the tiles in an order, a few at a time where they have another.
fn in_order(
    weights: &PackedWeights,
    layout: &CodeLayout,
    tiles: &[u8],
    order: Order,
    out: &mut OutputColumns<'_>,
    multiply: &mut dyn FnMut(&[u8], &mut OutputColumns<'_>),
) {
    if layout.order == order {
        multiply(tiles, out);
        return;
    }
    let (tile_bytes, blocks) = (weights.tile_bytes(), weights.columns().div_ceil(BLOCK));
    for (index, four) in tiles.chunks(byte_lut::TILES * tile_bytes).enumerate() {
        let mut four = four.to_vec();
        let orders = [layout.order, order];
        rearrange(weights.kernels(), &layout.spec, &mut four, tile_bytes, blocks, orders);
        multiply(&four, &mut out.tiles(index * byte_lut::TILES, byte_lut::TILES));
    }
}

/// Tiles whose codes lie in bytes of four: a few tokens by tables, more by dot products.
fn multiply_bytes(
    weights: &PackedWeights,
    layout: &CodeLayout,
    tiles: &[u8],
    activations: &Activations,
    first: usize,
    tokens: usize,
    out: &mut OutputColumns<'_>,
) {
    let kernels = weights.kernels();
    let blocks = weights.columns().div_ceil(BLOCK);
    let four_bytes = byte_lut::TILES * weights.tile_bytes();
    let whole = tiles.len() / four_bytes;
    let (fours, rest) = tiles.split_at(whole * four_bytes);
    match layout.spec.id {
        Some(id) if activations.kind().has_tables() && activations.tokens() <= TABLE_TOKENS => {
            let tables = activations.byte_tables(kernels, id);
            let activations = activations.blocks(first, tokens);
            let mut out = out.tiles(0, whole * byte_lut::TILES);
            let spec = &layout.spec;
            kernels.matmul_by_byte_tables(spec, fours, blocks, activations, tables, &mut out);
            scale(layout.factor, &mut out);
        }
        _ => {
            let mut quads = vec![0; four_bytes];
            for (index, four) in fours.chunks_exact(four_bytes).enumerate() {
                kernels.bytes_to_tiles(&layout.spec, four, blocks, 0, &mut quads);
                let mut out = out.tiles(index * byte_lut::TILES, byte_lut::TILES);
                multiply_codes(weights, layout, &quads, activations, first, tokens, &mut out);
            }
        }
    }
    let mut out = out.tiles(whole * byte_lut::TILES, byte_lut::TILES);
    multiply_codes(weights, layout, rest, activations, first, tokens, &mut out);
}

fn multiply_codes(
    weights: &PackedWeights,
    CodeLayout { spec, values, factor, .. }: &CodeLayout,
    tiles: &[u8],
    activations: &Activations,
    first: usize,
    tokens: usize,
    out: &mut OutputColumns<'_>,
) {
    let kernels = weights.kernels();
    let columns = weights.columns();
    if activations.kind().is_integer() && weights.takes_integers() {
        let blocks = columns.div_ceil(BLOCK);
        kernels.matmul(spec, tiles, blocks, activations.blocks(first, tokens), out);
        if let Some(low) = activations.low_blocks(first, tokens) {
            add_product(out, |out| kernels.matmul(spec, tiles, blocks, low, out));
        }
    } else {
        let x = activations.values(first, tokens);
        kernels.matmul_codes(spec, values, tiles, columns, x, out);
    }
    scale(*factor, out);
}

fn scale(factor: f32, out: &mut OutputColumns<'_>) {
    if factor != 1.0 {
        out.for_each_token(|_, out| {
            for out in out {
                *out = canonical(*out * factor);
            }
        });
    }
}

/// Adds what `multiply` writes to what is there.
fn add_product(out: &mut OutputColumns<'_>, multiply: impl FnOnce(&mut OutputColumns<'_>)) {
    let mut columns = 0;
    let mut kept = Vec::new();
    out.for_each_token(|_, out| {
        columns = out.len();
        kept.extend_from_slice(out);
    });
    multiply(out);
    out.for_each_token(|token, out| add(out, &kept[token * columns..][..columns]));
}

/// Adds the columns that were kept out of the integers: for each token and row Σ W·x in the order of the columns, unfused, then to the result.
fn add_outliers(
    weights: &PackedWeights,
    (first_row, rows): (usize, usize),
    activations: &Activations,
    first: usize,
    out: &mut OutputColumns<'_>,
) {
    if !weights.takes_integers() {
        // Their activations were decoded, outliers and all.
        return;
    }
    if (0..activations.tokens()).all(|token| activations.outliers(token).is_empty()) {
        return;
    }
    for tile in 0..rows.div_ceil(TILE_ROWS) {
        let weights = weights.tile_of_numbers(first_row / TILE_ROWS + tile);
        out.tiles(tile, 1).for_each_token(|token, out| {
            for (row, out) in out.iter_mut().enumerate() {
                let mut sum = 0.0;
                for &Outlier { column, value } in activations.outliers(first + token) {
                    sum += weights.weight(row, column as usize) * value;
                }
                *out = canonical(*out + sum);
            }
        });
    }
}

fn add(out: &mut [f32], bias: &[f32]) {
    for (out, bias) in out.iter_mut().zip(bias) {
        *out = canonical(*out + bias);
    }
}
