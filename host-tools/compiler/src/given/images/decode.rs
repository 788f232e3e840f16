//! From the bytes of an image to pixels as the photographer meant them.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};

use super::jpeg;
use crate::given::model_toml::Channels;
use crate::network::Shape;

/// Most memory that decoding an image may take.
pub(super) const MAX_DECODER_BYTES: u64 = 256 << 20;
/// Largest height and width of an image.
pub(super) const MAX_SIDE: u16 = 1 << 14;

/// Why bytes are no image for a network.
#[derive(Debug)]
pub(super) enum Problem {
    /// Another size than the network's.
    Size {
        width: u32,
        height: u32,
        turned: bool,
    },
    /// Colours of another kind; the kind with its article.
    Colours(&'static str),
    /// The end is missing.
    Truncated(String),
    /// Anything else; with the decoder's words.
    Other(String),
}

/// A decoded picture, upright.
pub(super) struct Picture(DynamicImage);

impl Picture {
    /// Decodes an image of exactly the `expected` size; the size is known before the
    /// pixels are decoded.
    pub(super) fn read(bytes: &[u8], expected: Shape) -> Result<Self, Problem> {
        if jpeg::is_jpeg(bytes) {
            return jpeg::read(bytes, expected).map(Self);
        }
        let mut reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| Problem::Other(error.to_string()))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE.into());
        limits.max_image_height = Some(MAX_SIDE.into());
        limits.max_alloc = Some(MAX_DECODER_BYTES);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(problem)?;
        let orientation = decoder.orientation().map_err(problem)?;
        let (width, height) = decoder.dimensions();
        check_size([width, height], orientation, expected)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(problem)?;
        image.apply_orientation(orientation);
        Ok(Self(image))
    }

    /// The pixels in the order that [`super::load`] says.
    pub(super) fn pixels(self, channels: Channels) -> Vec<u8> {
        match channels {
            Channels::Gray => luma(self.0),
            Channels::Rgb | Channels::Bgr => self.0.into_rgb8().into_raw(),
            Channels::Rgba => self.0.into_rgba8().into_raw(),
        }
    }
}

/// Whether an image of `stored` width and height, turned as `orientation` says, has the
/// `expected` size.
pub(super) fn check_size(
    stored: [u32; 2],
    orientation: Orientation,
    expected: Shape,
) -> Result<(), Problem> {
    let turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let [width, height] = match turned {
        true => [stored[1], stored[0]],
        false => stored,
    };
    match (width as usize, height as usize) == (expected.width, expected.height) {
        true => Ok(()),
        false => Err(Problem::Size {
            width,
            height,
            turned,
        }),
    }
}

/// Luma by Rec. 601 in the fixed-point numbers of Pillow's mode `L`, which is also what
/// OpenCV rounds to. Images without colours keep their values.
fn luma(image: DynamicImage) -> Vec<u8> {
    let is_coloured = image.color().has_color();
    if !is_coloured {
        return image.into_luma8().into_raw();
    }
    let weighted = |&[red, green, blue]: &[u8; 3]| {
        let [red, green, blue] = [red, green, blue].map(u32::from);
        ((red * 19_595 + green * 38_470 + blue * 7_471 + 0x8000) >> 16) as u8
    };
    let pixels = image.into_rgb8().into_raw();
    pixels.as_chunks().0.iter().map(weighted).collect()
}

fn problem(error: ImageError) -> Problem {
    let message = error.to_string().trim().replace('\n', " ");
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Problem::Truncated(message)
        }
        _ => Problem::Other(message),
    }
}
