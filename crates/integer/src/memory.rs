//! Buffers of values: planned once by when each value is last read, so that few are needed.

use std::ops::Range;

use dyadic_kernels::integer::attention::AttentionScratch;

use crate::check::convolution_of;
use crate::error::IntegerError;
use crate::graph::{Graph, NormKind, Op, Width};

/// The most bytes that the values of one image may take.
const MAX_BYTES: usize = 1 << 30;

/// Buffers of each width.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values {
    i8: Vec<Vec<i8>>,
    i16: Vec<Vec<i16>>,
    i32: Vec<Vec<i32>>,
}

/// A value: its elements, channels last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Of 8 bits.
    I8(&'a [i8]),
    /// Of 16 bits.
    I16(&'a [i16]),
    /// Of 32 bits.
    I32(&'a [i32]),
}

impl Values {
    pub(crate) fn get(&self, width: Width, slot: usize, len: usize) -> Value<'_> {
        match width {
            Width::I8 => Value::I8(&self.i8[slot][..len]),
            Width::I16 => Value::I16(&self.i16[slot][..len]),
            Width::I32 => Value::I32(&self.i32[slot][..len]),
        }
    }
}

impl Values {
    /// Copies some elements of a buffer to the same place.
    pub(crate) fn copy(&mut self, from: &Self, width: Width, slot: usize, elements: Range<usize>) {
        match width {
            Width::I8 => copy(&mut self.i8[slot], &from.i8[slot], elements),
            Width::I16 => copy(&mut self.i16[slot], &from.i16[slot], elements),
            Width::I32 => copy(&mut self.i32[slot], &from.i32[slot], elements),
        }
    }
}

fn copy<T: Copy>(to: &mut [T], from: &[T], elements: Range<usize>) {
    to[elements.clone()].copy_from_slice(&from[elements]);
}

/// An element of a value.
pub(crate) trait Element: Sized {
    fn slots(values: &Values) -> &[Vec<Self>];
    fn slots_mut(values: &mut Values) -> &mut [Vec<Self>];
}

macro_rules! element {
    ($($ty:ident),*) => {$(
        impl Element for $ty {
            fn slots(values: &Values) -> &[Vec<Self>] {
                &values.$ty
            }

            fn slots_mut(values: &mut Values) -> &mut [Vec<Self>] {
                &mut values.$ty
            }
        }
    )*};
}

element!(i8, i16, i32);

/// What one image needs while it is under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workspace {
    pub(crate) values: Values,
    /// The image of a convolution with its padding.
    pub(crate) padded: Vec<i8>,
    /// Results of I-LayerNorm before they are requantized.
    pub(crate) wide: Vec<i32>,
    pub(crate) attention: AttentionScratch,
}

/// Which buffer holds which value.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// For each node, among the buffers of its width.
    pub(crate) slots: Vec<usize>,
    /// For each width, the elements of each buffer.
    lengths: [Vec<usize>; 3],
    padded: usize,
    wide: usize,
}

impl Plan {
    pub(crate) fn new(graph: &Graph) -> Result<Self, IntegerError> {
        let nodes = graph.nodes();
        // The logits are read after the last node.
        let mut last_read: Vec<usize> = (0..nodes.len()).collect();
        for (index, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| last_read[input] = index);
        }
        let mut plan = Self { slots: Vec::new(), lengths: Default::default(), padded: 0, wide: 0 };
        let mut free: [Vec<usize>; 3] = Default::default();
        for (index, node) in nodes.iter().enumerate() {
            let kind = kind(node.width);
            let lengths = &mut plan.lengths[kind];
            // The inputs still hold their buffers: a result never overwrites what it is made of.
            let slot = free[kind].pop().unwrap_or_else(|| {
                lengths.push(0);
                lengths.len() - 1
            });
            lengths[slot] = lengths[slot].max(graph.shapes()[index].elements());
            plan.slots.push(slot);
            for (earlier, &last) in last_read[..=index].iter().enumerate() {
                if last == index && earlier + 1 < nodes.len() {
                    free[self::kind(nodes[earlier].width)].push(plan.slots[earlier]);
                }
            }
            let operand = node.inputs.first().map(|&input| graph.shapes()[input]);
            match (&node.op, operand) {
                (Op::Conv2d { windows, .. }, Some(shape)) => {
                    plan.padded = plan.padded.max(convolution_of(windows, shape).padded_len());
                }
                (
                    Op::LayerNorm { kind: NormKind::TenSteps | NormKind::ExactRoot, .. },
                    Some(shape),
                ) => {
                    plan.wide = plan.wide.max(shape.elements());
                }
                _ => {}
            }
        }
        let bytes = plan.bytes();
        if bytes > MAX_BYTES {
            let reason = format!(
                "needs {bytes} bytes for the values of one image, expected at most {MAX_BYTES}"
            );
            return Err(IntegerError::Graph { reason });
        }
        Ok(plan)
    }

    /// Bytes of a workspace.
    pub(crate) fn bytes(&self) -> usize {
        let [i8, i16, i32] = [0, 1, 2].map(|kind| self.lengths[kind].iter().sum::<usize>());
        i8 + self.padded + 2 * i16 + 4 * (i32 + self.wide)
    }

    pub(crate) fn workspace(&self) -> Workspace {
        let [i8, i16, i32] = &self.lengths;
        Workspace {
            values: Values {
                i8: i8.iter().map(|&len| vec![0; len]).collect(),
                i16: i16.iter().map(|&len| vec![0; len]).collect(),
                i32: i32.iter().map(|&len| vec![0; len]).collect(),
            },
            padded: vec![0; self.padded],
            wide: vec![0; self.wide],
            attention: AttentionScratch::default(),
        }
    }
}

const fn kind(width: Width) -> usize {
    match width {
        Width::I8 => 0,
        Width::I16 => 1,
        Width::I32 => 2,
    }
}
