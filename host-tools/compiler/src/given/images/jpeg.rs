//! JPEG, decoded to the very bytes of libjpeg-turbo, which most networks were trained on.
//!
//! Decoders differ in how they round the cosine transform and how they interpolate chroma;
//! differences of a few steps change a prediction now and then.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use libjpeg_turbo_rs::{ColorSpace, DecodeLimits, Decoder, JpegError, PixelFormat};

use super::decode::{MAX_DECODER_BYTES, MAX_SIDE, Problem, check_size};
use crate::network::Shape;

/// Most scans of a progressive file; encoders write about ten.
const MAX_SCANS: usize = 256;

/// Whether bytes begin as a JPEG file does.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8])
}

/// Decodes a JPEG file of exactly the `expected` size, upright.
pub(super) fn read(bytes: &[u8], expected: Shape) -> Result<DynamicImage, Problem> {
    let limits = DecodeLimits {
        max_width: MAX_SIDE.into(),
        max_height: MAX_SIDE.into(),
        max_pixels: MAX_DECODER_BYTES / 4,
        max_scans: MAX_SCANS,
        max_memory: Some(MAX_DECODER_BYTES),
    };
    let decoder = Decoder::new_with_limits(bytes, limits).map_err(problem)?;
    let header = decoder.header();
    let orientation = decoder
        .exif_orientation()
        .and_then(Orientation::from_exif)
        .unwrap_or(Orientation::NoTransforms);
    let stored = [header.width, header.height].map(u32::from);
    check_size(stored, orientation, expected)?;
    if header.precision != 8 {
        return Err(Problem::Colours("a JPEG of more than eight bits"));
    }
    let format = match decoder.jpeg_color_space() {
        ColorSpace::Grayscale => PixelFormat::Grayscale,
        ColorSpace::YCbCr | ColorSpace::Rgb => PixelFormat::Rgb,
        ColorSpace::Cmyk | ColorSpace::Ycck => {
            return Err(Problem::Colours(
                "a JPEG for print, with inks (CMYK) for colours",
            ));
        }
        ColorSpace::Unknown => return Err(Problem::Colours("a JPEG of unknown colours")),
    };
    if !has_end(bytes) {
        let message = "its last scan does not end".to_owned();
        return Err(Problem::Truncated(message));
    }
    let decoded = decoder
        .with_output_format(format)
        .decode_image()
        .map_err(problem)?;
    let [width, height] = stored;
    let image = match format {
        PixelFormat::Grayscale => {
            GrayImage::from_raw(width, height, decoded.data).map(DynamicImage::from)
        }
        _ => RgbImage::from_raw(width, height, decoded.data).map(DynamicImage::from),
    };
    let mut image =
        image.ok_or_else(|| Problem::Other("it has fewer pixels than it says".to_owned()))?;
    image.apply_orientation(orientation);
    Ok(image)
}

fn problem(error: JpegError) -> Problem {
    match error {
        JpegError::UnexpectedEof => Problem::Truncated(error.to_string()),
        _ => Problem::Other(error.to_string()),
    }
}

/// Whether the file has the marker of its end behind a scan. Without it, a progressive file
/// may have lost its finest scans, which decodes to a blurred picture.
fn has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    const START_OF_SCAN: u8 = 0xda;
    let mut rest = &bytes[2..];
    let mut scanned = false;
    // Between segments and within a scan, a marker is what follows 0xff and is neither
    // padding, nor stuffing, nor a restart.
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[at + 1..];
        let Some((&marker, after)) = rest.split_first() else {
            return false;
        };
        match marker {
            0xff => continue,
            0 | 0x01 | 0xd0..=0xd8 => {}
            END => return scanned,
            _ => {
                scanned |= marker == START_OF_SCAN;
                let length = after
                    .first_chunk()
                    .map(|&length| u16::from_be_bytes(length));
                let Some(end) = length.and_then(|length| after.get(length.into()..)) else {
                    return false;
                };
                rest = end;
                continue;
            }
        }
        rest = after;
    }
    false
}
