//! Images from files: lists of paths, and one image at a time in memory; or images that are
//! in memory already.
//!
//! Raw pixels are what the firmware is handed: red, green, blue, or luma alone
//! for a network of one channel. The order that the network wants is applied by
//! [`normalise`] here, and folded into the first layer's weights for the
//! firmware.

mod decode;
mod jpeg;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tadpool_input::text::{escaped, shown};
use tadpool_input::{InputError, Kind};

use crate::given::model_toml::{Channels, InputDescription};
use crate::network::Shape;

const IMAGE: Kind = Kind {
    name: "an image",
    max_bytes: 64 << 20,
};

/// Files that systems leave in folders of images.
const SYSTEM_FILES: [&str; 4] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"];
/// Folders of the same kind.
const SYSTEM_FOLDERS: [&str; 3] = ["__macosx", "@eadir", "$recycle.bin"];

/// An image that was found but not read yet, or one in memory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageFile {
    /// The file; a name for people if it is in memory.
    pub path: PathBuf,
    /// Its class by the folder that it lies in, if that is a class.
    pub label: Option<usize>,
    /// Its pixels as [`load`] would have them, if it is in memory.
    pixels: Option<Arc<[u8]>>,
}

/// Why images cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A folder cannot be listed.
    #[error("cannot read `{}`: {source}", shown(path))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The file system's error.
        source: std::io::Error,
    },
    /// A file cannot be opened, or is none.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A folder that is named like no class.
    #[error("folder `{}` is named like none of the labels: {labels}", shown(path))]
    UnknownClass {
        /// The folder.
        path: PathBuf,
        /// The labels, quoted.
        labels: String,
    },
    /// A folder without images.
    #[error("`{}` holds no images (jpeg, png, bmp, pbm, pgm, ppm)", shown(path))]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A file with a name that no image has.
    #[error("`{}` is no image (jpeg, png, bmp, pbm, pgm, ppm)", shown(path))]
    NotAnImage {
        /// The file.
        path: PathBuf,
    },
    /// Damaged, too large, or of a kind that is not read.
    #[error("cannot decode `{}`: {message}", shown(path))]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's error.
        message: String,
    },
    /// An image whose end is missing.
    #[error(
        "`{}` is cut off: {message}; copy or download it again, or remove it",
        shown(path)
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// The missing part.
        message: String,
    },
    /// A picture of a kind whose colours are not what a network takes.
    #[error(
        "`{}` is {found}; save it with eight bits of red, green and blue",
        shown(path)
    )]
    Colours {
        /// The file.
        path: PathBuf,
        /// The kind of the function.
        found: &'static str,
    },
    /// An image in memory of another size than the network's input.
    #[error("{name} has {bytes} bytes, the network takes {} ({expected})", expected.elements())]
    Bytes {
        /// Its name.
        name: String,
        /// Bytes found.
        bytes: usize,
        /// The network's input.
        expected: Shape,
    },
    /// Another size than the network's input.
    #[error(
        "`{}` has {width}x{height} pixels{}, the network takes {}x{} (width x height)",
        shown(path),
        if *turned { ", turned as its EXIF orientation says" } else { "" },
        expected.width, expected.height
    )]
    Size {
        /// The file.
        path: PathBuf,
        /// Columns found.
        width: u32,
        /// Rows found.
        height: u32,
        /// Whether the file says to turn it.
        turned: bool,
        /// The network's input.
        expected: Shape,
    },
}

impl ImageFile {
    /// A file that is read when its pixels are wanted.
    pub fn new(path: PathBuf, label: Option<usize>) -> Self {
        Self {
            path,
            label,
            pixels: None,
        }
    }

    /// Raw pixels in memory, `height x width x channels` as [`load`] has them, called `name`.
    pub fn in_memory(name: &str, pixels: impl Into<Arc<[u8]>>, label: Option<usize>) -> Self {
        Self {
            path: PathBuf::from(name),
            label,
            pixels: Some(pixels.into()),
        }
    }

    /// Its raw pixels, see [`load`].
    ///
    /// # Errors
    /// The file cannot be used, or what is in memory is not of the input's size.
    pub fn load(&self, input: &InputDescription) -> Result<Vec<u8>, ImageError> {
        match &self.pixels {
            None => load(&self.path, input),
            Some(pixels) if pixels.len() == input.shape().elements() => Ok(pixels.to_vec()),
            Some(pixels) => Err(ImageError::Bytes {
                name: self.path.display().to_string(),
                bytes: pixels.len(),
                expected: input.shape(),
            }),
        }
    }
}

/// The images of `folder`: files in class folders, and files without a class
/// beside them; or the one file that `folder` is.
///
/// In the order of folder and file names. Names that begin with a dot are left out, and
/// those of files that systems leave behind, such as `Thumbs.db`. Without `labels`, of a
/// network without classes, folders mean nothing; a folder named like several labels says
/// nothing of the class.
///
/// # Errors
/// A folder named like none of the `labels` that there are, a file that is no image, or no images
/// at all.
pub fn list(folder: &Path, labels: &[String]) -> Result<Vec<ImageFile>, ImageError> {
    // What is no folder is opened as a file, which says so if it is none.
    if fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
        check_name(folder)?;
        return Ok(vec![ImageFile::new(folder.to_owned(), None)]);
    }
    let mut images = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            check_name(&path)?;
            images.push(ImageFile::new(path, None));
            continue;
        }
        let is_named = |label: &String| path.file_name().is_some_and(|name| name == label.as_str());
        let mut named = (0..labels.len()).filter(|&class| is_named(&labels[class]));
        let (label, another) = (named.next(), named.next());
        if label.is_none() && !labels.is_empty() {
            return Err(ImageError::UnknownClass {
                path,
                labels: quoted(labels),
            });
        }
        let label = label.filter(|_| another.is_none());
        for path in entries(&path)? {
            check_name(&path)?;
            images.push(ImageFile::new(path, label));
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
/// or luma (Rec. 601) for a network of one channel. The image is turned as its EXIF
/// orientation says. Transparency is dropped, but for a network that reads it as a fourth
/// channel.
///
/// # Errors
/// The file cannot be read or decoded, is cut off, or is not exactly of the input's size.
pub fn load(path: &Path, input: &InputDescription) -> Result<Vec<u8>, ImageError> {
    let bytes = tadpool_input::read(path, IMAGE)?;
    decode(&bytes, path, input)
}

/// The raw pixels of an image in memory, as [`load`] has them; `path` names it in errors.
///
/// # Errors
/// See [`load`].
pub fn decode(bytes: &[u8], path: &Path, input: &InputDescription) -> Result<Vec<u8>, ImageError> {
    let path = || path.to_owned();
    let expected = input.shape();
    let picture = decode::Picture::read(bytes, expected);
    match picture.map(|picture| picture.pixels(input.channels)) {
        Ok(pixels) => Ok(pixels),
        Err(decode::Problem::Size {
            width,
            height,
            turned,
        }) => Err(ImageError::Size {
            path: path(),
            width,
            height,
            turned,
            expected,
        }),
        Err(decode::Problem::Colours(found)) => Err(ImageError::Colours {
            path: path(),
            found,
        }),
        Err(decode::Problem::Truncated(message)) => Err(ImageError::Truncated {
            path: path(),
            message,
        }),
        Err(decode::Problem::Other(message)) => Err(ImageError::Decode {
            path: path(),
            message,
        }),
    }
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

/// Entries of a folder in the order of their names, without hidden ones and those of the
/// system.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let failed = |source| ImageError::Folder {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let of_system = |names: &[&str]| names.contains(&name.as_str());
        if !name.starts_with('.') && !of_system(&SYSTEM_FILES) && !of_system(&SYSTEM_FOLDERS) {
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
        .map(|label| format!("`{}`", escaped(label)))
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
        assert!(matches!(label(&["cat", "dog", "cat"]), Ok(None)));
        let error = label(&["dog"]).unwrap_err();
        assert!(matches!(error, ImageError::UnknownClass { .. }), "{error}");
    }

    #[test]
    fn what_systems_leave_behind_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["cat", "__MACOSX", "@eaDir"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in [
            "cat/one.png",
            "cat/Thumbs.db",
            "cat/.DS_Store",
            "cat/._one.png",
            "cat/desktop.ini",
            "Thumbs.db",
            "__MACOSX/._one.png",
        ] {
            fs::write(at(name), []).unwrap();
        }
        let labels = ["cat".to_owned()];
        let images = list(folder.path(), &labels).unwrap();
        assert_eq!(images.len(), 1);
        assert_eq!(images[0].path, at("cat/one.png"));
        fs::write(at("cat/notes.txt"), []).unwrap();
        let error = list(folder.path(), &labels).unwrap_err();
        assert!(matches!(error, ImageError::NotAnImage { .. }), "{error}");
    }
}
