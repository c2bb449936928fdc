//! Where integers differ from floats: value by value.

use dyadic_integer::{IntegerModel, Value};
use dyadic_tensor::pool::Pool;
use serde::Serialize;

use super::{FloatVision, Progress, VisionError};
use crate::ModelError;

/// The error of the value of one node, on all images.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ValueError {
    /// The node.
    pub name: String,
    /// What it does.
    pub op: &'static str,
    /// Bits of an element.
    pub bits: u32,
    /// The sum of the squares of the floats.
    pub signal: f64,
    /// The sum of the squares of the differences.
    pub noise: f64,
    /// The largest difference.
    pub largest: f64,
    /// The part of the elements that are the largest or the least integer.
    pub saturated: f64,
}

/// Runs both graphs on some images and compares all values. Errors add up: the value of a node has those of all before it. `Ok(None)` where `progress`,
/// called after each image, ended it.
///
/// # Errors
/// [`VisionError::Pair`] where the graphs are not of one network, [`VisionError::Images`] where `pixels` is no whole number of images.
pub fn compare(
    vision: &FloatVision,
    model: &IntegerModel,
    pool: (&Pool, usize),
    pixels: &[u8],
    progress: Progress<'_>,
) -> Result<Option<Vec<ValueError>>, ModelError> {
    let (floats, integers) = (vision.graph().nodes(), model.graph().nodes());
    let shapes = model.graph().shapes();
    let alike = floats.len() == integers.len()
        && floats.iter().zip(shapes).all(|(node, shape)| node.shape.elements() == shape.elements());
    if !alike {
        return Err(VisionError::Pair.into());
    }
    let mut errors: Vec<ValueError> = floats
        .iter()
        .zip(integers)
        .map(|(float, integer)| ValueError {
            name: float.name.clone(),
            op: float.op.name(),
            bits: integer.width.bits(),
            ..ValueError::default()
        })
        .collect();
    let image = vision.graph().input().elements();
    if !pixels.len().is_multiple_of(image) {
        return Err(VisionError::Images { found: pixels.len(), expected: image }.into());
    }
    let images = pixels.len() / image;
    for (index, pixels) in pixels.chunks(image).enumerate() {
        let mut values: Vec<Vec<f32>> = Vec::with_capacity(floats.len());
        vision.observe(pool, pixels, &mut |_, value| values.push(value.to_vec()))?;
        model.observe(pixels, &mut |node, value| {
            let scale = integers[node].scale;
            let scale = f64::from(scale.multiplier()) / f64::from(scale.shift()).exp2();
            let error = &mut errors[node];
            match value {
                Value::I8(value) => error.add(&values[node], value, scale, 127),
                Value::I16(value) => error.add(&values[node], value, scale, 32767),
                Value::I32(value) => error.add(&values[node], value, scale, i32::MAX),
            }
        })?;
        if progress(index + 1, images).is_break() {
            return Ok(None);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a part")]
    for (error, shape) in errors.iter_mut().zip(shapes) {
        error.saturated /= (shape.elements() * images.max(1)) as f64;
    }
    Ok(Some(errors))
}

impl ValueError {
    fn add<T: Copy + Into<i32>>(&mut self, floats: &[f32], integers: &[T], scale: f64, most: i32) {
        for (&float, &integer) in floats.iter().zip(integers) {
            let (float, integer): (f64, i32) = (float.into(), integer.into());
            let difference = f64::from(integer) * scale - float;
            self.signal += float * float;
            self.noise += difference * difference;
            self.largest = self.largest.max(difference.abs());
            self.saturated += f64::from(u8::from(integer.abs() >= most));
        }
    }
}
