//! Pictures, from a file or from memory, to the pixels that a model reads.
//!
//! A picture of the model's own size and channels is taken as it is. Any other becomes luminance where the model has one channel
//! (Rec. 601, `(19595 R + 38470 G + 7471 B + 2^15) >> 16`), its transparent parts black; its longer side is brought to the model's by averages of
//! the areas that a pixel covers, and it is put in the middle of black. Models of one channel are trained as those of MNIST: bright on dark.

use std::io::Cursor;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::graph::Shape;

/// The most pixels of a picture.
const MAX_PIXELS: usize = 1 << 26;

/// The most pixels that a byte of a PNG file can stand for: those of one bit, deflated to one byte of 1032.
const PNG_PIXELS_PER_BYTE: usize = 8 * 1032;

/// The same for JPEG: a block of 64 takes a bit at least.
const JPEG_PIXELS_PER_BYTE: usize = 8 * 64;

/// Why something is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Neither PNG nor JPEG.
    #[error("{file}: neither a PNG nor a JPEG picture")]
    Format {
        /// The path of the file.
        file: String,
    },
    /// The file is damaged.
    #[error("{file}: {reason}")]
    Data {
        /// The path of the file.
        file: String,
        /// What the decoder says.
        reason: String,
    },
    /// No pixels, or too many.
    #[error("a picture of {width} x {height} pixels, expected 1 to {MAX_PIXELS} pixels")]
    Size {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// Data and sizes do not fit.
    #[error(
        "{found} bytes for {width} x {height} pixels of {channels} channels, expected {expected} and 1 to 4 channels"
    )]
    Length {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes of a pixel.
        channels: usize,
        /// The bytes that there should be.
        expected: usize,
        /// The bytes that there are.
        found: usize,
    },
    /// A model that reads something else than pictures.
    #[error("the model reads {channels} channels; pictures have 1 or 3")]
    Channels {
        /// Those of the model.
        channels: usize,
    },
}

impl ImageError {
    /// The stable code that JavaScript sees as `error.code`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Format { .. } => "ERR_IMAGE_FORMAT",
            Self::Data { .. } => "ERR_IMAGE_DATA",
            Self::Size { .. } => "ERR_IMAGE_SIZE",
            Self::Length { .. } | Self::Channels { .. } => "ERR_SHAPE",
        }
    }
}

/// A picture of 8 bits a channel: grey, grey and alpha, RGB or RGBA; rows from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    data: Vec<u8>,
}

impl Image {
    /// A picture in memory.
    ///
    /// # Errors
    /// [`ImageError::Size`] where it has no pixels or more than 2^26, [`ImageError::Length`] where it has not `channels` bytes for each, or not 1 to 4.
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        data: Vec<u8>,
    ) -> Result<Self, ImageError> {
        check_size(width, height)?;
        let (expected, found) = (width * height * channels.min(4), data.len());
        if found != expected || !(1..=4).contains(&channels) {
            return Err(ImageError::Length { width, height, channels, expected, found });
        }
        Ok(Self { width, height, channels, data })
    }

    /// A picture in the bytes of a PNG or JPEG file; `file` stands in messages.
    ///
    /// # Errors
    /// [`ImageError`] where they are damaged, of another kind, or too large.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.starts_with(b"\x89PNG") {
            decode_png(file, bytes)
        } else if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            decode_jpeg(file, bytes)
        } else {
            Err(ImageError::Format { file: file.into() })
        }
    }

    /// The pixels that a model reads, `[height][width][channels]`.
    ///
    /// # Errors
    /// [`ImageError::Channels`] where the model reads neither 1 nor 3 channels.
    pub fn fit(&self, shape: Shape) -> Result<Vec<u8>, ImageError> {
        let Shape { height, width, channels } = shape;
        if (self.width, self.height, self.channels) == (width, height, channels) {
            return Ok(self.data.clone());
        }
        if channels != 1 && channels != 3 {
            return Err(ImageError::Channels { channels });
        }
        let (from_width, from_height) = (self.width, self.height);
        // The side that reaches the border first.
        let scaled = |side: usize, by: usize, of: usize| ((2 * side * by + of) / (2 * of)).max(1);
        let (to_width, to_height) = if from_width * height <= from_height * width {
            (scaled(from_width, height, from_height).min(width), height)
        } else {
            (width, scaled(from_height, width, from_width).min(height))
        };
        let (left, top) = ((width - to_width) / 2, (height - to_height) / 2);
        let mut out = vec![0; shape.elements()];
        for channel in 0..channels {
            let plane: Vec<u8> = self
                .data
                .chunks_exact(self.channels)
                .map(|pixel| if channels == 1 { luminance(pixel) } else { color(pixel, channel) })
                .collect();
            for y in 0..to_height {
                for x in 0..to_width {
                    let rows = Cover::new(y, from_height, to_height);
                    let columns = Cover::new(x, from_width, to_width);
                    out[((top + y) * width + left + x) * channels + channel] =
                        average(&plane, from_width, rows, columns);
                }
            }
        }
        Ok(out)
    }
}

fn check_size(width: usize, height: usize) -> Result<(), ImageError> {
    match width.checked_mul(height) {
        Some(1..=MAX_PIXELS) => Ok(()),
        _ => Err(ImageError::Size { width, height }),
    }
}

/// Refuses a size that no file of so many bytes can have, before memory is taken for it.
fn check_bytes(
    file: &str,
    bytes: &[u8],
    [width, height]: [usize; 2],
    pixels_per_byte: usize,
) -> Result<(), ImageError> {
    if width * height <= bytes.len().saturating_mul(pixels_per_byte) {
        return Ok(());
    }
    let reason = format!("{width} x {height} pixels cannot lie in {} bytes", bytes.len());
    Err(ImageError::Data { file: file.into(), reason })
}

/// The colour of a pixel on black.
fn color(pixel: &[u8], channel: usize) -> u8 {
    let (value, alpha) = match *pixel {
        [grey, alpha] => (grey, alpha),
        [red, green, blue, alpha] => ([red, green, blue][channel], alpha),
        [red, green, blue] => ([red, green, blue][channel], 255),
        _ => (pixel[0], 255),
    };
    let [low, ..] = ((u32::from(value) * u32::from(alpha) + 127) / 255).to_le_bytes();
    low
}

fn luminance(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [0, 1, 2].map(|channel| u32::from(color(pixel, channel)));
    let [_, _, luminance, _] =
        (19595 * red + 38470 * green + 7471 * blue + (1 << 15)).to_le_bytes();
    luminance
}

/// The pixels of a side that one pixel of the scaled side covers, in units in which both are whole.
#[derive(Clone, Copy)]
struct Cover {
    /// From here, in units.
    start: usize,
    /// To here.
    end: usize,
    /// Units of a pixel of the side.
    unit: usize,
}

impl Cover {
    fn new(at: usize, from: usize, to: usize) -> Self {
        Self { start: at * from, end: (at + 1) * from, unit: to }
    }

    /// Pixels of the side with the units of each that are covered.
    fn pixels(self) -> impl Iterator<Item = (usize, u64)> {
        (self.start / self.unit..self.end.div_ceil(self.unit)).map(move |pixel| {
            let start = self.start.max(pixel * self.unit);
            let end = self.end.min((pixel + 1) * self.unit);
            (pixel, (end - start) as u64)
        })
    }
}

/// The mean of an area, rounded to nearest.
fn average(plane: &[u8], stride: usize, rows: Cover, columns: Cover) -> u8 {
    let mut sum = 0;
    for (row, high) in rows.pixels() {
        let row = &plane[row * stride..][..stride];
        let inner: u64 = columns.pixels().map(|(column, wide)| u64::from(row[column]) * wide).sum();
        sum += inner * high;
    }
    let area = (rows.end - rows.start) as u64 * (columns.end - columns.start) as u64;
    ((sum + area / 2) / area).to_le_bytes()[0]
}

fn decode_png(file: &str, bytes: &[u8]) -> Result<Image, ImageError> {
    let damaged = |reason: String| ImageError::Data { file: file.into(), reason };
    let limits = png::Limits { bytes: 4 * MAX_PIXELS };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| damaged(error.to_string()))?;
    let (width, height) = reader.info().size();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    check_bytes(file, bytes, [width, height], PNG_PIXELS_PER_BYTE)?;
    let len = reader.output_buffer_size().ok_or(ImageError::Size { width, height })?;
    let mut data = vec![0; len];
    let info = reader.next_frame(&mut data).map_err(|error| damaged(error.to_string()))?;
    data.truncate(info.buffer_size());
    Image::new(width, height, info.color_type.samples(), data)
}

fn decode_jpeg(file: &str, bytes: &[u8]) -> Result<Image, ImageError> {
    let damaged = |reason: String| ImageError::Data { file: file.into(), reason };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| damaged(error.to_string()))?;
    let info = decoder.info().ok_or_else(|| damaged("it has no header".into()))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(width, height)?;
    check_bytes(file, bytes, [width, height], JPEG_PIXELS_PER_BYTE)?;
    let data = decoder.decode().map_err(|error| damaged(error.to_string()))?;
    let channels = data.len() / (width * height);
    Image::new(width, height, channels, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { height: 4, width: 4, channels: 1 };

    fn fit(width: usize, height: usize, channels: usize, data: &[u8]) -> Vec<u8> {
        Image::new(width, height, channels, data.to_vec())
            .expect("a picture")
            .fit(SHAPE)
            .expect("fits")
    }

    #[test]
    fn a_picture_of_the_models_size_is_taken_as_it_is() {
        let data: Vec<u8> = (0..16).collect();
        assert_eq!(fit(4, 4, 1, &data), data);
    }

    #[test]
    fn others_are_averaged_and_centred() {
        // 8 x 4 becomes 4 x 2: rows 1 and 2 of 4.
        let data: Vec<u8> = (0..32).map(|i| if i % 2 == 0 { 10 } else { 21 }).collect();
        assert_eq!(fit(8, 4, 1, &data), [0, 0, 0, 0, 16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0]);
        // One pixel fills everything; a column stands in the middle.
        assert_eq!(fit(1, 1, 1, &[9]), [9; 16]);
        assert_eq!(fit(1, 4, 1, &[1, 2, 3, 4]), [0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0]);
        // A constant picture of any size stays constant.
        assert_eq!(fit(7, 7, 1, &[200; 49]), [200; 16]);
    }

    #[test]
    fn colours_become_luminance_and_transparency_black() {
        assert_eq!(fit(1, 1, 3, &[255, 255, 255])[0], 255);
        assert_eq!(fit(1, 1, 3, &[255, 0, 0])[0], 76);
        assert_eq!(fit(1, 1, 4, &[255, 255, 255, 0])[0], 0);
        assert_eq!(fit(1, 1, 4, &[200, 200, 200, 255])[0], 200);
        assert_eq!(fit(1, 1, 2, &[200, 255])[0], 200);
    }

    /// One block whose only coefficient is 50 times 8: 128 + 50 everywhere.
    const GREY_JPEG: &[u8] = include_bytes!("../tests/golden/grey-178.jpg");

    #[test]
    fn a_jpeg_picture_is_read() {
        let image = Image::decode("grey.jpg", GREY_JPEG).expect("a picture");
        assert_eq!((image.width, image.height), (8, 8));
        assert!(image.data.iter().all(|&value| value == 178), "{:?}", image.data);
        assert_eq!(image.fit(SHAPE).expect("fits"), [178; 16]);
    }

    /// Small files that ask for 2^26 pixels, the most that there may be.
    #[test]
    fn a_size_beyond_the_file_is_refused() {
        let mut jpeg = GREY_JPEG.to_vec();
        let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame");
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x20, 0, 0x20, 0]);
        let reason =
            |file: &str, bytes: &[u8]| Image::decode(file, bytes).expect_err("refused").to_string();
        let beyond = "8192 x 8192 pixels cannot lie in";
        assert!(reason("large.jpg", &jpeg).contains(beyond), "{}", reason("large.jpg", &jpeg));
        let mut header = b"IHDR\0\0\x20\0\0\0\x20\0\x08\x06\0\0\0".to_vec();
        header.extend(crc32fast::hash(&header).to_be_bytes());
        let data = [&b"IDAT"[..], &crc32fast::hash(b"IDAT").to_be_bytes()].concat();
        let png = [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &header[..], &[0; 4], &data].concat();
        assert!(reason("large.png", &png).contains(beyond), "{}", reason("large.png", &png));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let code = |result: Result<Image, ImageError>| result.expect_err("refused").code();
        assert_eq!(code(Image::decode("a.gif", b"GIF89a")), "ERR_IMAGE_FORMAT");
        assert_eq!(code(Image::decode("a.png", b"\x89PNG\r\n\x1a\n")), "ERR_IMAGE_DATA");
        assert_eq!(code(Image::decode("a.jpg", &[0xFF, 0xD8, 0xFF, 0xE0])), "ERR_IMAGE_DATA");
        assert_eq!(code(Image::new(0, 4, 1, Vec::new())), "ERR_IMAGE_SIZE");
        assert_eq!(code(Image::new(usize::MAX, 2, 1, Vec::new())), "ERR_IMAGE_SIZE");
        assert_eq!(code(Image::new(2, 2, 1, vec![0; 5])), "ERR_SHAPE");
        assert_eq!(code(Image::new(2, 2, 5, vec![0; 20])), "ERR_SHAPE");
    }
}
