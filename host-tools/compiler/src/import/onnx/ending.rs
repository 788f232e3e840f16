//! The file with another end, for the float reference.

use prost::Message;
use tract_onnx::pb;

use super::OnnxError;

/// The file `bytes` with the value `output` as its only output.
///
/// # Errors
/// The bytes are not an ONNX file.
pub fn ending_with(bytes: &[u8], output: &str) -> Result<Vec<u8>, OnnxError> {
    let mut model =
        pb::ModelProto::decode(bytes).map_err(|error| OnnxError::Decode(error.to_string()))?;
    let graph = model.graph.as_mut().ok_or(OnnxError::NoGraph)?;
    graph.output = vec![pb::ValueInfoProto {
        name: output.to_owned(),
        ..pb::ValueInfoProto::default()
    }];
    Ok(model.encode_to_vec())
}
