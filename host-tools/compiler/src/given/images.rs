//! Images from files: lists of paths, and one image at a time in memory.
//!
//! Raw pixels are what the firmware is handed: red, green, blue, or luma alone
//! for a network of one channel. The order that the network wants is applied by
//! [`normalise`] here, and folded into the first layer's weights for the
//! firmware.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::given::model_toml::{Channels, InputDescription};
use crate::network::Shape;

/// Largest image file that is read.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Most memory that decoding an image may take.
const MAX_DECODER_BYTES: u64 = 256 << 20;
/// Largest height and width of an image.
const MAX_SIDE: u32 = 1 << 14;

/// An image that was found but not read yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    /// The file.
    pub path: PathBuf,
    /// Its class by the folder that it lies in, if that is a class.
    pub label: Option<usize>,
}

/// Why images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A folder that is named like no class.
    #[error("folder `{}` is named like none of the labels: {labels}", path.display())]
    UnknownClass {
        /// The folder.
        path: PathBuf,
        /// The labels, quoted.
        labels: String,
    },
    /// A folder without images.
    #[error("`{}` holds no images (jpeg, png, bmp, pbm, pgm, ppm)", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A file with a name that no image has.
    #[error("`{}` is no image (jpeg, png, bmp, pbm, pgm, ppm)", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// More bytes than are accepted.
    #[error("`{}` has {bytes} bytes, at most {MAX_FILE_BYTES} are read", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Damaged, too large, or of a kind that is not read.
    #[error("cannot decode `{}`: {message}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        message: String,
    },
    /// Another size than the network's input.
    #[error(
        "`{}` has {width}x{height} pixels, the network takes {}x{} (width x height)",
        path.display(), expected.width, expected.height
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Columns found.
        width: u32,
        /// Rows found.
        height: u32,
        /// The network's input.
        expected: Shape,
    },
}

/// The images of `folder`: files in class folders, and files without a class
/// beside them; or the one file that `folder` is.
///
/// In the order of folder and file names. Names that begin with a dot are left
/// out. Without `labels`, of a network without classes, folders mean nothing.
///
/// # Errors
/// A folder named like none of the `labels` that there are, a file that is no image, or no images
/// at all.
pub fn list(folder: &Path, labels: &[String]) -> Result<Vec<ImageFile>, ImageError> {
    if folder.is_file() {
        check_name(folder)?;
        return Ok(vec![ImageFile {
            path: folder.to_owned(),
            label: None,
        }]);
    }
    let mut images = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            check_name(&path)?;
            images.push(ImageFile { path, label: None });
            continue;
        }
        let is_named = |label: &String| path.file_name().is_some_and(|name| name == label.as_str());
        let label = labels.iter().position(is_named);
        if label.is_none() && !labels.is_empty() {
            return Err(ImageError::UnknownClass {
                path,
                labels: quoted(labels),
            });
        }
        for path in entries(&path)? {
            check_name(&path)?;
            images.push(ImageFile { path, label });
        }
    }
    match images.is_empty() {
        true => Err(ImageError::NoImages {
            path: folder.to_owned(),
        }),
        false => Ok(images),
    }
}

/// The raw pixels of one image, `height x width x channels`: red, green, blue,
/// or luma for a network of one channel. Transparency is dropped, but for a network that
/// reads it as a fourth one.
///
/// # Errors
/// The file cannot be read or decoded, or is not exactly of the input's size.
pub fn load(path: &Path, input: &InputDescription) -> Result<Vec<u8>, ImageError> {
    let read = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let decode = |error: image::ImageError| ImageError::Decode {
        path: path.to_owned(),
        message: error.to_string().trim().replace('\n', " "),
    };
    let file = File::open(path).map_err(read)?;
    let bytes = file.metadata().map_err(read)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(ImageError::FileTooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    let mut reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(read)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(decode)?;
    let (width, height) = decoder.dimensions();
    let expected = input.shape();
    if (width as usize, height as usize) != (expected.width, expected.height) {
        return Err(ImageError::Size {
            path: path.to_owned(),
            width,
            height,
            expected,
        });
    }
    let image = DynamicImage::from_decoder(decoder).map_err(decode)?;
    Ok(match input.channels {
        Channels::Gray => image.into_luma8().into_raw(),
        Channels::Rgb | Channels::Bgr => image.into_rgb8().into_raw(),
        Channels::Rgba => image.into_rgba8().into_raw(),
    })
}

/// The network's input for raw pixels of [`load`]: `(pixel / 255 - mean) / std`
/// in the network's channel order, `height x width x channels`.
pub fn normalise(pixels: &[u8], input: &InputDescription) -> Vec<f32> {
    let channels = input.channels.count();
    let tables: Vec<[f32; 256]> = (0..channels)
        .map(|c| {
            let (mean, std) = (f64::from(input.mean[c]), f64::from(input.std[c]));
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / std) as f32)
        })
        .collect();
    let mut values = Vec::with_capacity(pixels.len());
    for pixel in pixels.chunks_exact(channels) {
        for (c, table) in tables.iter().enumerate() {
            let stored = match input.channels {
                Channels::Bgr => channels - 1 - c,
                Channels::Rgb | Channels::Gray | Channels::Rgba => c,
            };
            values.push(table[usize::from(pixel[stored])]);
        }
    }
    values
}

/// Entries of a folder in the order of their names, hidden ones left out.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let failed = |source| ImageError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn check_name(path: &Path) -> Result<(), ImageError> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg" | "png" | "bmp" | "pbm" | "pgm" | "ppm" | "pnm") => Ok(()),
        _ => Err(ImageError::NotAnImage {
            path: path.to_owned(),
        }),
    }
}

fn quoted(labels: &[String]) -> String {
    let mut names: Vec<_> = labels
        .iter()
        .take(20)
        .map(|label| format!("`{label}`"))
        .collect();
    if labels.len() > names.len() {
        names.push("...".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(channels: Channels) -> InputDescription {
        let count = channels.count();
        InputDescription {
            height: 1,
            width: 1,
            channels,
            mean: (0..count).map(|c| 0.25 * c as f32).collect(),
            std: vec![0.5; count],
            feed: crate::given::model_toml::Feed::Image,
        }
    }

    #[test]
    fn mean_follows_the_networks_channel_order() {
        let pixel = [255, 0, 51];
        assert_eq!(normalise(&pixel, &input(Channels::Rgb)), [2.0, -0.5, -0.6]);
        assert_eq!(normalise(&pixel, &input(Channels::Bgr)), [0.4, -0.5, 1.0]);
        assert_eq!(normalise(&[51], &input(Channels::Gray)), [0.4]);
    }

    #[test]
    fn folders_are_classes_where_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("cat")).unwrap();
        fs::write(folder.path().join("cat/one.png"), []).unwrap();
        let label = |labels: &[&str]| {
            let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
            list(folder.path(), &labels).map(|images| images[0].label)
        };
        assert!(matches!(label(&["dog", "cat"]), Ok(Some(1))));
        assert!(matches!(label(&[]), Ok(None)));
        let error = label(&["dog"]).unwrap_err();
        assert!(matches!(error, ImageError::UnknownClass { .. }), "{error}");
    }
}
