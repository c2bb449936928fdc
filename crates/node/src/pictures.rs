//! Pictures that JavaScript names or holds, to the pixels that a model reads.

use std::path::PathBuf;

use dyadic_integer::{Image, Shape};
use dyadic_model::file_map::FileMap;
use dyadic_model::vision::VisionError;
use dyadic_model::{EngineError, ModelError};
use dyadic_tensor::pool::Pool;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

/// A picture: a path, the bytes of a picture file, or pixels.
#[napi(object, object_to_js = false)]
pub struct NativeImage {
    /// A PNG or JPEG file.
    pub path: Option<String>,
    /// The bytes of such a file.
    pub file: Option<Uint8Array>,
    /// Rows from the top, `channels` bytes a pixel. Without sizes those of the model are meant, for one or more images.
    pub data: Option<Uint8Array>,
    /// Columns.
    pub width: Option<u32>,
    /// Rows.
    pub height: Option<u32>,
    /// 1, 3 or 4.
    pub channels: Option<u32>,
}

/// A picture that a thread may look at while JavaScript goes on.
pub(crate) enum Picture {
    Path(PathBuf),
    File(Vec<u8>),
    Pixels {
        sizes: [usize; 3],
        data: Vec<u8>,
    },
    /// Pixels as a model reads them.
    Fitted(Vec<u8>),
}

impl From<NativeImage> for Picture {
    fn from(image: NativeImage) -> Self {
        let NativeImage { path, file, data, width, height, channels } = image;
        if let Some(path) = path {
            return Self::Path(path.into());
        }
        if let Some(file) = file {
            return Self::File(file.to_vec());
        }
        let data = data.map_or_else(Vec::new, |data| data.to_vec());
        match (width, height, channels) {
            (Some(width), Some(height), Some(channels)) => {
                Self::Pixels { sizes: [width, height, channels].map(|size| size as usize), data }
            }
            _ => Self::Fitted(data),
        }
    }
}

impl Picture {
    /// Whether there is nothing to do.
    pub(crate) const fn is_fitted(&self) -> bool {
        matches!(self, Self::Fitted(_))
    }

    fn pixels(self, shape: Shape) -> Result<Vec<u8>, ModelError> {
        let image = match self {
            Self::Path(path) => {
                Image::decode(&path.display().to_string(), FileMap::open(&path)?.bytes())?
            }
            Self::File(bytes) => Image::decode("the picture", &bytes)?,
            Self::Pixels { sizes: [width, height, channels], data } => {
                Image::new(width, height, channels, data)?
            }
            Self::Fitted(data) => {
                let (found, expected) = (data.len(), shape.elements());
                if found.is_multiple_of(expected) {
                    return Ok(data);
                }
                return Err(VisionError::Images { found, expected }.into());
            }
        };
        Ok(image.fit(shape)?)
    }
}

/// The pixels of all pictures, one after another. Threads share the pictures; the work ends early where `stopped` becomes true.
pub(crate) fn read_pictures(
    (pool, threads): (&Pool, usize),
    pictures: Vec<Picture>,
    shape: Shape,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<u8>, ModelError> {
    let mut read: Vec<_> =
        pictures.into_iter().map(|picture| (Some(picture), Ok(Vec::new()))).collect();
    pool.for_each_mut(threads, &mut read, |_, (picture, pixels)| {
        if let Some(picture) = picture.take()
            && !stopped()
        {
            *pixels = picture.pixels(shape);
        }
    });
    if stopped() {
        return Err(EngineError::Aborted.into());
    }
    let mut all = Vec::new();
    for (_, pixels) in read {
        all.extend(pixels?);
    }
    Ok(all)
}
