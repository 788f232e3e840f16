//! The files that a compilation reads.

use std::path::{Path, PathBuf};

use crate::given::model_toml;
use crate::import::onnx;

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
