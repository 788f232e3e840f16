//! Errors of an ONNX file.

use tadpool_input::InputError;

use super::{MAX_FILE_BYTES, MAX_HELD_BYTES, MAX_NODES};

/// Why a file is not an ONNX network that can be read.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// The file cannot be opened, or is none.
    #[error(transparent)]
    Input(#[from] InputError),
    /// More bytes than are accepted.
    #[error("the file has {bytes} bytes, at most {MAX_FILE_BYTES} are read")]
    FileTooLarge {
        /// Size of the file.
        bytes: u64,
    },
    /// Not a protobuf message of ONNX.
    #[error("not an ONNX file: {0}")]
    Decode(String),
    /// A message without a graph.
    #[error("not an ONNX file: it holds no graph")]
    NoGraph,
    /// No version of the default operator set is declared.
    #[error("the file declares no version of the default operator set")]
    NoOpset,
    /// More nodes than are accepted.
    #[error("the graph has {nodes} nodes, at most {MAX_NODES} are read")]
    TooManyNodes {
        /// Nodes of the file.
        nodes: usize,
    },
    /// A feature of the format that is not read.
    #[error("{what}: {remedy}")]
    Unreadable {
        /// The feature and where it is used.
        what: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// Weights in another file that cannot be found.
    #[error(
        "tensor `{name}` keeps its data in a file {what}; keep that file beside the model, or export with the weights inside"
    )]
    External {
        /// Name of the tensor.
        name: String,
        /// The file, and what is wrong with it.
        what: String,
    },
    /// Sizes that are negative, overflow or exceed the limit.
    #[error("`{name}` has impossible sizes {sizes:?}")]
    Sizes {
        /// Tensor or value.
        name: String,
        /// As in the file.
        sizes: Vec<i64>,
    },
    /// Elements that take more memory than any network for a microcontroller.
    #[error(
        "tensor `{name}` takes {bytes} bytes in memory, all together may take {MAX_HELD_BYTES}; \
         check its sizes, no microcontroller holds such a network"
    )]
    TooMuchData {
        /// Name of the tensor.
        name: String,
        /// Bytes of its elements.
        bytes: u64,
    },
    /// Sizes and data disagree.
    #[error(
        "tensor `{name}` needs {expected} elements for its sizes {sizes:?}, the file has {found}"
    )]
    TensorData {
        /// Name of the tensor.
        name: String,
        /// As in the file.
        sizes: Vec<i64>,
        /// Product of the sizes.
        expected: usize,
        /// Elements stored.
        found: usize,
    },
    /// An element type without arithmetic here.
    #[error("`{name}` has elements of type {element}, only {accepted} can be read")]
    ElementType {
        /// Tensor or value.
        name: String,
        /// Type found.
        element: String,
        /// Types that are read.
        accepted: &'static str,
    },
    /// Two definitions of one name.
    #[error("`{name}` is defined twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// An input that nothing defines.
    #[error("node `{node}` ({op}) reads `{input}`, which nothing defines")]
    UndefinedInput {
        /// The reader.
        node: String,
        /// Its operator.
        op: String,
        /// The missing value.
        input: String,
    },
    /// A graph output that nothing defines.
    #[error("the graph's output `{name}` is computed by no node")]
    UndefinedOutput {
        /// The missing value.
        name: String,
    },
    /// Nodes that need their own result.
    #[error("node `{node}` needs its own result: the graph has a cycle")]
    Cycle {
        /// A node of the cycle.
        node: String,
    },
    /// Not exactly one image in or one score vector out.
    #[error("the graph has {count} {what} ({names}), a network has exactly one")]
    Terminals {
        /// `inputs` or `outputs`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// Their names.
        names: String,
    },
    /// An input that is not one image of fixed size.
    #[error("input `{name}` has the shape {shape}: {remedy}")]
    InputShape {
        /// The input.
        name: String,
        /// As in the file.
        shape: String,
        /// The remedy.
        remedy: &'static str,
    },
}
