//! Reads an ONNX file into a [`Graph`]; the only place that knows ONNX types.
//!
//! The bytes are not trusted: sizes are checked before anything is allocated
//! for them, and every defect is a typed error.

mod ending;
mod error;
mod external;
mod live;
mod names;
mod order;
mod qdq;
mod single;
mod tensor;
mod wire;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;
use tadpool_input::Kind;
use tract_onnx::pb;

use crate::import::graph::{Attribute, Element, Graph, Node, Tensor, Value, ValueId};
pub use ending::ending_with;
pub use error::OnnxError;
pub use live::live;
pub use qdq::without_qdq;
pub use single::in_single;

/// Most bytes that are read, of a file and those that it names.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most bytes that the elements of all stored tensors take in memory, where they are wider
/// than in the file.
pub const MAX_HELD_BYTES: u64 = 512 << 20;
/// Most elements of one tensor or feature map.
pub const MAX_ELEMENTS: usize = 1 << 27;
/// Most nodes of a graph.
pub const MAX_NODES: usize = 1 << 14;
/// Most axes of a tensor.
pub const MAX_RANK: usize = 16;
/// Most images that a file takes at a time.
const MAX_BATCH: usize = 256;
/// Longest symbolic size, such as `batch`.
const MAX_SYMBOL_BYTES: usize = 64;

const MODEL: Kind = Kind {
    name: "an ONNX file",
    max_bytes: MAX_FILE_BYTES,
};

/// Reads the bytes of the file at `path`, with weights that it keeps in other files
/// of its folder.
///
/// # Errors
/// A file cannot be read or lies outside the folder, or all together are larger than
/// [`MAX_FILE_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, OnnxError> {
    let content = tadpool_input::read(path, MODEL)?;
    external::inline(content, path.parent().unwrap_or(Path::new("")))
}

/// The files that hold the network at `path`: itself, and those that its tensors name. As
/// many as are known if it cannot be read.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    let is_small = path
        .metadata()
        .is_ok_and(|about| about.is_file() && about.len() <= MAX_FILE_BYTES);
    if is_small && let Ok(bytes) = std::fs::read(path) {
        let folder = path.parent().unwrap_or(Path::new(""));
        files.extend(external::files(&bytes, folder));
    }
    files
}

/// Reads a network; shapes other than those of the input and of constants are
/// left unknown, and constants that nodes compute are left to them.
///
/// A symbolic batch size of the input becomes 1; symbolic height and width become `size`.
///
/// # Errors
/// Every way in which the bytes are not one image-to-scores network.
pub fn read(bytes: &[u8], size: Option<[usize; 2]>) -> Result<Graph, OnnxError> {
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(OnnxError::FileTooLarge {
            bytes: bytes.len() as u64,
        });
    }
    if bytes.is_empty() {
        return Err(OnnxError::Decode("it is empty".to_owned()));
    }
    wire::check(bytes)?;
    let model =
        pb::ModelProto::decode(bytes).map_err(|error| OnnxError::Decode(error.to_string()))?;
    if !model.functions.is_empty() {
        return Err(OnnxError::Unreadable {
            what: format!(
                "the file defines {} functions of its own",
                model.functions.len()
            ),
            remedy: "inline the functions when exporting",
        });
    }
    let mut graph = model.graph.ok_or(OnnxError::NoGraph)?;
    names::escape(&mut graph);
    let opset = model
        .opset_import
        .iter()
        .find(|set| is_default_domain(&set.domain))
        .map(|set| set.version)
        .ok_or(OnnxError::NoOpset)?;
    Reader::default().graph(graph, opset, size)
}

/// Values by name, while the graph is read.
#[derive(Default)]
struct Reader {
    values: Vec<Value>,
    ids: HashMap<String, ValueId>,
    held_bytes: u64,
}

impl Reader {
    fn graph(
        mut self,
        graph: pb::GraphProto,
        opset: i64,
        size: Option<[usize; 2]>,
    ) -> Result<Graph, OnnxError> {
        if graph.node.len() > MAX_NODES {
            return Err(OnnxError::TooManyNodes {
                nodes: graph.node.len(),
            });
        }
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| &values.name);
            return Err(OnnxError::Unreadable {
                what: format!("tensor `{name}` is sparse"),
                remedy: "export dense weights",
            });
        }
        for proto in graph.initializer {
            let name = proto.name.clone();
            let limits = tensor::limits(proto.data_type);
            let constant = self.tensor(proto, &name)?;
            self.define(Value {
                name,
                shape: Some(constant.shape.clone()),
                constant: Some(Arc::new(constant)),
                limits,
                ..Value::default()
            })?;
        }
        // Up to version 3 of the format, initializers are listed as inputs too.
        let images: Vec<_> = graph
            .input
            .iter()
            .filter(|info| !self.ids.contains_key(&info.name))
            .collect();
        let [image] = images[..] else {
            return Err(terminals(
                "inputs",
                images.iter().map(|info| info.name.as_str()),
            ));
        };
        let (shape, element, batch) = image_shape(image, size)?;
        let input = self.define(Value {
            name: image.name.clone(),
            shape: Some(shape),
            ..Value::default()
        })?;
        if graph.output.is_empty() {
            return Err(terminals("outputs", std::iter::empty()));
        }
        for output in &graph.output {
            check_symbols(output)?;
        }

        let mut outputs = Vec::new();
        for proto in &graph.node {
            let limits = constant_limits(proto);
            let mut ids = Vec::new();
            for name in &proto.output {
                ids.push(match name.as_str() {
                    "" => None,
                    _ => Some(self.define(Value {
                        name: name.clone(),
                        limits,
                        ..Value::default()
                    })?),
                });
            }
            outputs.push(ids);
        }
        let mut nodes = Vec::new();
        for (proto, outputs) in graph.node.into_iter().zip(outputs) {
            nodes.push(self.node(proto, outputs)?);
        }
        let mut outputs = Vec::new();
        for info in &graph.output {
            let id = self.ids.get(&info.name);
            outputs.push(*id.ok_or_else(|| OnnxError::UndefinedOutput {
                name: info.name.clone(),
            })?);
        }
        let output = outputs.remove(0);
        order::sort(Graph {
            opset,
            input,
            element,
            batch,
            output,
            others: outputs,
            values: self.values,
            nodes,
        })
    }

    /// Reads a tensor, and counts what it takes.
    fn tensor(&mut self, proto: pb::TensorProto, name: &str) -> Result<Tensor, OnnxError> {
        let bytes = tensor::Stored::of(&proto, name)?.memory_bytes();
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > MAX_HELD_BYTES {
            let name = name.to_owned();
            return Err(OnnxError::TooMuchData { name, bytes });
        }
        tensor::read(proto, name)
    }

    fn define(&mut self, value: Value) -> Result<ValueId, OnnxError> {
        let id = ValueId(self.values.len());
        if self.ids.insert(value.name.clone(), id).is_some() {
            return Err(OnnxError::DuplicateName { name: value.name });
        }
        self.values.push(value);
        Ok(id)
    }

    fn node(
        &mut self,
        proto: pb::NodeProto,
        outputs: Vec<Option<ValueId>>,
    ) -> Result<Node, OnnxError> {
        let op = match is_default_domain(&proto.domain) {
            true => proto.op_type,
            false => format!("{}.{}", proto.domain, proto.op_type),
        };
        let name = match proto.name.is_empty() {
            true => proto.output.first().cloned().unwrap_or_default(),
            false => proto.name,
        };
        let mut inputs = Vec::new();
        for input in &proto.input {
            inputs.push(match (input.as_str(), self.ids.get(input)) {
                ("", _) => None,
                (_, Some(&id)) => Some(id),
                (_, None) => {
                    let input = input.clone();
                    return Err(OnnxError::UndefinedInput {
                        node: name,
                        op,
                        input,
                    });
                }
            });
        }
        let mut attributes = BTreeMap::new();
        let mut seen = HashSet::new();
        for proto in proto.attribute {
            if !seen.insert(proto.name.clone()) {
                return Err(OnnxError::DuplicateName {
                    name: format!("{name}.{}", proto.name),
                });
            }
            let key = proto.name.clone();
            attributes.insert(key, self.attribute(proto, &name)?);
        }
        Ok(Node {
            name,
            op,
            inputs,
            outputs,
            attributes,
        })
    }

    fn attribute(&mut self, proto: pb::AttributeProto, node: &str) -> Result<Attribute, OnnxError> {
        use pb::attribute_proto::AttributeType;
        Ok(match proto.r#type() {
            AttributeType::Int => Attribute::Int(proto.i),
            AttributeType::Float => Attribute::Float(proto.f),
            AttributeType::String => match String::from_utf8(proto.s) {
                Ok(text) => Attribute::Text(text),
                Err(_) => Attribute::Other,
            },
            AttributeType::Ints => Attribute::Ints(proto.ints),
            AttributeType::Floats => Attribute::Floats(proto.floats),
            AttributeType::Tensor => match proto.t {
                Some(proto) => Attribute::Tensor(Arc::new(self.tensor(proto, node)?)),
                None => Attribute::Other,
            },
            _ => Attribute::Other,
        })
    }
}

/// The limits of what a `Constant` node holds.
fn constant_limits(node: &pb::NodeProto) -> Option<(i64, i64)> {
    let constant = node.op_type == "Constant" && is_default_domain(&node.domain);
    let tensor = node
        .attribute
        .iter()
        .find_map(|attribute| attribute.t.as_ref());
    tensor
        .filter(|_| constant)
        .and_then(|tensor| tensor::limits(tensor.data_type))
}

fn is_default_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

fn terminals<'a>(what: &'static str, names: impl Iterator<Item = &'a str>) -> OnnxError {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    let shown = match names.len() {
        0 => "none".to_owned(),
        1..=8 => names.join(", "),
        _ => format!("{}, ...", names[..8].join(", ")),
    };
    OnnxError::Terminals {
        what,
        count: names.len(),
        names: shown,
    }
}

/// The four sizes of the network's input, with a batch of one; the type of its elements,
/// and the batch of the file.
fn image_shape(
    info: &pb::ValueInfoProto,
    size: Option<[usize; 2]>,
) -> Result<(Vec<usize>, Element, usize), OnnxError> {
    use pb::tensor_shape_proto::dimension::Value as Size;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Err(OnnxError::Unreadable {
            what: format!("input `{}` is no tensor", info.name),
            remedy: "export a network that takes one image",
        });
    };
    use pb::tensor_proto::DataType;
    let element = match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double) => {
            Element::Float
        }
        Ok(DataType::Uint8) => Element::Byte,
        _ => {
            return Err(OnnxError::ElementType {
                name: info.name.clone(),
                element: tensor::type_name(tensor.elem_type),
                accepted: "images of floats and of uint8",
            });
        }
    };
    check_symbols(info)?;
    let dims = tensor.shape.as_ref().map_or(&[][..], |shape| &shape.dim);
    let sizes: Vec<Option<i64>> = dims
        .iter()
        .map(|dim| match &dim.value {
            Some(Size::DimValue(size)) => Some(*size),
            _ => None,
        })
        .collect();
    let shown: Vec<_> = sizes
        .iter()
        .take(MAX_RANK)
        .map(|size| size.map_or("?".to_owned(), |size| size.to_string()))
        .collect();
    let refuse = |remedy| {
        let shape = match shown.is_empty() {
            true => "unknown".to_owned(),
            false => shown.join("x"),
        };
        Err(OnnxError::InputShape {
            name: info.name.clone(),
            shape,
            remedy,
        })
    };
    let &[batch, mut first, mut second, mut third] = &sizes[..] else {
        return refuse("export with an input of batch x channels x height x width");
    };
    // Channels come first or last, and are known.
    let [height, width] = match first {
        Some(_) => [&mut second, &mut third],
        None => [&mut first, &mut second],
    };
    let is_open = height.is_none() || width.is_none();
    match size {
        Some([rows, columns]) if is_open => {
            *height = height.or(i64::try_from(rows).ok());
            *width = width.or(i64::try_from(columns).ok());
        }
        None if is_open => {
            return refuse(
                "say its height and width in a model description (`input.height`, `input.width` \
                 of a `model.toml`), or export with fixed ones",
            );
        }
        _ => {}
    }
    let Ok(batch @ 1..=MAX_BATCH) = usize::try_from(batch.unwrap_or(1)) else {
        return refuse("export with a batch of 1 or a symbolic batch");
    };
    let mut shape = vec![1];
    for size in [first, second, third] {
        match size.map(usize::try_from) {
            Some(Ok(size @ 1..)) => shape.push(size),
            _ => return refuse("export with fixed, positive channels, height and width"),
        }
    }
    match crate::import::graph::element_count(&shape) {
        Some(..=MAX_ELEMENTS) => Ok((shape, element, batch)),
        _ => refuse("the image is too large"),
    }
}

/// Refuses symbolic sizes that are not plain names or short expressions.
fn check_symbols(info: &pb::ValueInfoProto) -> Result<(), OnnxError> {
    use pb::tensor_shape_proto::dimension::Value as Size;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        info.r#type.as_ref().and_then(|kind| kind.value.as_ref())
    else {
        return Ok(());
    };
    for dim in tensor.shape.iter().flat_map(|shape| &shape.dim) {
        match &dim.value {
            Some(Size::DimParam(symbol)) if symbol.len() > MAX_SYMBOL_BYTES => {
                return Err(OnnxError::Unreadable {
                    what: format!("a symbolic size of `{}` is too long", info.name),
                    remedy: "export with fixed sizes",
                });
            }
            _ => {}
        }
    }
    Ok(())
}
