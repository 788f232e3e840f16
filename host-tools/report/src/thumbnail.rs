//! An image as text that a page can hold.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ExtendedColorType, ImageEncoder as _, ImageError, codecs::png::PngEncoder};

use tadpool_compiler::given::model_toml::{Channels, InputDescription};

/// Raw pixels as a PNG file in base64.
///
/// # Errors
/// The number of pixels is not that of the input.
pub(super) fn thumbnail(pixels: &[u8], input: &InputDescription) -> Result<String, ImageError> {
    let colours = match input.channels {
        Channels::Gray => ExtendedColorType::L8,
        Channels::Rgb | Channels::Bgr => ExtendedColorType::Rgb8,
        Channels::Rgba => ExtendedColorType::Rgba8,
    };
    let mut file = Cursor::new(Vec::new());
    PngEncoder::new(&mut file).write_image(
        pixels,
        input.width as u32,
        input.height as u32,
        colours,
    )?;
    Ok(STANDARD.encode(file.into_inner()))
}
