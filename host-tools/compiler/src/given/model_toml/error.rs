//! What can be wrong with a model description.

use std::path::PathBuf;

use super::MAX_BYTES;

/// Why a model description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// The file system refused.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Not a description, but something else.
    #[error("`{}` has {bytes} bytes, a model description has at most {MAX_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not TOML, or a field is missing, unknown or of the wrong type.
    #[error("`{}` is no model description: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place and reason.
        message: String,
    },
    /// A field has a value that makes no sense.
    #[error("`{}`: `{field}` {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Such as `input.mean`.
        field: &'static str,
        /// What is wrong with the value.
        problem: String,
    },
    /// The description does not fit the network.
    #[error("`{field}` {described} does not fit the network of `{}`: it has {network}", onnx.display())]
    Network {
        /// Such as `input`.
        field: &'static str,
        /// What the description says.
        described: String,
        /// What the network has.
        network: String,
        /// The ONNX file.
        onnx: PathBuf,
    },
    /// An output is no map of the network.
    #[error("`outputs` names `{name}`, which the network of `{}` does not have; it has {known}", onnx.display())]
    Output {
        /// What the description says.
        name: String,
        /// What there is.
        known: String,
        /// The ONNX file.
        onnx: PathBuf,
    },
}
