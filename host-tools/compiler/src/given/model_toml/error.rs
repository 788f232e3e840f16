//! Errors of a model description.

use std::path::PathBuf;

use tadpool_input::InputError;
use tadpool_input::text::shown;

/// Why a model description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// The file cannot be opened, or is none.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Not TOML, or a field is missing, unknown or of the wrong type.
    #[error("`{}` is no model description: {message}", shown(path))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        message: String,
    },
    /// A field has a value that makes no sense.
    #[error("`{}`: `{field}` {problem}", shown(path))]
    Field {
        /// The file.
        path: PathBuf,
        /// Such as `input.mean`.
        field: &'static str,
        /// The reason.
        problem: String,
    },
    /// The description does not fit the network.
    #[error(
        "`{field}` {described} does not fit the network of `{}`: it has {network}",
        shown(onnx)
    )]
    Network {
        /// Such as `input`.
        field: &'static str,
        /// The value in the description.
        described: String,
        /// The value of the network.
        network: String,
        /// The ONNX file.
        onnx: PathBuf,
    },
    /// An output is no map of the network.
    #[error(
        "`outputs` names `{name}`, which the network of `{}` does not have; it has {known}",
        shown(onnx)
    )]
    Output {
        /// The value in the description.
        name: String,
        /// The values that exist.
        known: String,
        /// The ONNX file.
        onnx: PathBuf,
    },
    /// Both the description and the file normalise the image.
    #[error(
        "`{}` normalises its image itself (mean {own_mean:?}, std {own_std:?} of pixels from 0 to \
         1), and the description does it once more with mean {mean:?}, std {std:?}: let \
         `input.mean` be zeros and `input.std` ones",
        onnx.display()
    )]
    Normalised {
        /// The value in the description.
        mean: Vec<f32>,
        /// The value in the description.
        std: Vec<f32>,
        /// The file's own behaviour.
        own_mean: Vec<f32>,
        /// The file's own behaviour.
        own_std: Vec<f32>,
        /// The ONNX file.
        onnx: PathBuf,
    },
}
