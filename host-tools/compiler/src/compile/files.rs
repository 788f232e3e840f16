//! The files that a compilation reads.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{CompileError, file_of, networks};
use crate::given::model_toml::{self, ModelDescription};
use crate::import::{self, onnx};

/// The files of a model, read: all that [`compile::import`](super::import()) needs.
#[derive(Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The description, or the ONNX file if there is none; a name in its folder if they were
    /// never written to files.
    pub path: PathBuf,
    /// The description's text, if there is one.
    pub description: Option<String>,
    /// The ONNX file, with weights that it keeps in other files.
    pub onnx: Vec<u8>,
}

impl ModelFiles {
    /// Reads `path`: a model description if its name ends in `.toml`, the `model.toml` in it if
    /// it is a folder, else a bare ONNX file.
    ///
    /// # Errors
    /// A file cannot be read, or a description not be used.
    pub fn read(path: &Path) -> Result<Self, CompileError> {
        let file = file_of(path);
        if path.is_dir() && !file.exists() {
            return Err(CompileError::NoDescription {
                folder: path.to_owned(),
                networks: networks(path),
            });
        }
        let is_described = file.extension().is_some_and(|end| end == "toml");
        let description = match is_described {
            true => Some(model_toml::text(&file)?),
            false => None,
        };
        let mut files = Self {
            path: file.into_owned(),
            description,
            onnx: Vec::new(),
        };
        let described = files.described()?;
        let onnx = described.map_or_else(|| files.path.clone(), |description| description.onnx);
        files.onnx = import::read_file(&onnx)?;
        Ok(files)
    }

    /// The description, if there is one.
    ///
    /// # Errors
    /// Its text cannot be used.
    pub fn described(&self) -> Result<Option<ModelDescription>, CompileError> {
        let text = self.description.as_deref();
        let parsed = text.map(|text| model_toml::parse(text, &self.path));
        Ok(parsed.transpose()?)
    }
}

impl fmt::Debug for ModelFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFiles")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The files and folders that compiling `path` reads, a model description or an ONNX file:
/// itself, the network with its external data, and the calibration images, of `calibration`
/// if that is a folder. As many as are known if one cannot be read.
pub fn files_read(path: &Path, calibration: Option<&Path>) -> Vec<PathBuf> {
    let is_described = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    let (mut files, mut images) = (Vec::new(), None);
    if is_described {
        files.push(path.to_owned());
        if let Ok(description) = model_toml::read(path) {
            files.extend(onnx::files(&description.onnx));
            images = description.calibration;
        }
    } else {
        files.extend(onnx::files(path));
    }
    files.extend(calibration.map(Path::to_owned).or(images));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_left_out() {
        assert_eq!(
            files_read(Path::new("none.toml"), None),
            [Path::new("none.toml")]
        );
        assert_eq!(
            files_read(Path::new("none.onnx"), Some(Path::new("images"))),
            [Path::new("none.onnx"), Path::new("images")]
        );
    }
}
