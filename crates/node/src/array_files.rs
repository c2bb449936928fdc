//! Headers of `.npy` and safetensors files. JavaScript reads and writes the data behind them.

use dyadic_model::dtype::Dtype;
use dyadic_model::npy;
use dyadic_model::safetensors::{self, SafetensorsFile, SafetensorsWriter};
use napi_derive::napi;
use serde_json::json;

use crate::error::{Result, guard};

/// A header to be written.
#[napi(object, object_from_js = false)]
pub struct NativeHeader {
    /// Its bytes, one a character (Latin-1).
    pub bytes: String,
    /// The order in which the data of the tensors follows.
    pub order: Vec<u32>,
}

/// A tensor to be written.
#[napi(object, object_to_js = false)]
pub struct NativeFileTensor {
    /// Its name.
    pub name: String,
    /// The name of its type.
    pub dtype: String,
    /// Its dimensions.
    pub shape: Vec<u32>,
    /// The bytes of its data.
    pub byte_length: f64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of files are whole numbers below 2^53"
)]
const fn length(bytes: f64) -> usize {
    bytes as usize
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn dtype(name: &str) -> Dtype {
    Dtype::from_name(name).unwrap_or_else(|| unreachable!("TypeScript names the types: {name}"))
}

/// The header of a safetensors file of `file_bytes` bytes, which begins with `bytes`, as JSON:
/// `{metadata: [[key, text]], tensors: [{name, dtype, shape, begin, end}]}`.
#[napi]
pub fn read_safetensors_header(path: String, bytes: &[u8], file_bytes: f64) -> Result<String> {
    guard(|| {
        let file = SafetensorsFile::from_header(&path, bytes.to_vec(), length(file_bytes))?;
        let tensors: Vec<_> = file
            .tensors()
            .iter()
            .map(|tensor| {
                json!({
                    "name": tensor.name(),
                    "dtype": tensor.dtype().name(),
                    "shape": tensor.shape(),
                    "begin": tensor.range().start,
                    "end": tensor.range().end,
                })
            })
            .collect();
        Ok(json!({ "metadata": file.metadata(), "tensors": tensors }).to_string())
    })
}

/// The header of a new safetensors file. `metadata` holds keys and texts by turns.
#[napi]
pub fn safetensors_header(
    metadata: Vec<String>,
    tensors: Vec<NativeFileTensor>,
) -> Result<NativeHeader> {
    guard(|| {
        let shapes: Vec<Vec<usize>> = tensors
            .iter()
            .map(|tensor| tensor.shape.iter().map(|&n| n as usize).collect())
            .collect();
        let entries: Vec<_> = tensors
            .iter()
            .zip(&shapes)
            .map(|(tensor, shape)| {
                (tensor.name.as_str(), dtype(&tensor.dtype), &**shape, length(tensor.byte_length))
            })
            .collect();
        let pairs: Vec<_> =
            metadata.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        SafetensorsWriter::check(&entries)?;
        let (bytes, order) = safetensors::header_bytes(&pairs, &entries);
        let order = order.into_iter().map(|index| u32::try_from(index).unwrap_or(u32::MAX));
        Ok(NativeHeader { bytes: latin1(&bytes), order: order.collect() })
    })
}

/// The header of an `.npy` file of `file_bytes` bytes, which begins with `bytes`, as JSON: `{dtype, shape, fortranOrder, begin, end}`.
#[napi]
pub fn read_npy_header(path: String, bytes: &[u8], file_bytes: f64) -> Result<String> {
    guard(|| {
        let header = npy::read_header(&path, bytes, length(file_bytes))?;
        Ok(json!({
            "dtype": header.dtype.name(),
            "shape": header.shape,
            "fortranOrder": header.fortran_order,
            "begin": header.data.start,
            "end": header.data.end,
        })
        .to_string())
    })
}

/// The header of a new `.npy` file.
#[napi]
pub fn npy_header(tensor: NativeFileTensor) -> Result<NativeHeader> {
    guard(|| {
        let shape: Vec<usize> = tensor.shape.iter().map(|&n| n as usize).collect();
        let bytes = npy::header_bytes(dtype(&tensor.dtype), &shape, length(tensor.byte_length))?;
        Ok(NativeHeader { bytes: latin1(&bytes), order: vec![0] })
    })
}
