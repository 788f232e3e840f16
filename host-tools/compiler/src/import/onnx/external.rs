//! Weights in a second file: brought into the model itself, so that everything
//! downstream sees one file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, TensorProto};

use super::{MAX_FILE_BYTES, OnnxError, wire};

/// The model `bytes` with all its weights inside; `folder` holds the files that
/// it names.
///
/// # Errors
/// The framing is broken, or a tensor names no part of a file in `folder`.
pub(super) fn inline(bytes: Vec<u8>, folder: &Path) -> Result<Vec<u8>, OnnxError> {
    // Every tensor with its data elsewhere has this key.
    if !bytes.windows(8).any(|window| window == b"location") {
        return Ok(bytes);
    }
    wire::check(&bytes)?;
    let mut model =
        ModelProto::decode(&bytes[..]).map_err(|error| OnnxError::Decode(error.to_string()))?;
    let Some(graph) = &mut model.graph else {
        return Ok(bytes);
    };
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_mut());
    let mut room = MAX_FILE_BYTES - bytes.len() as u64;
    let mut changed = false;
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor.data_location() == DataLocation::External {
            tensor.raw_data = read(tensor, folder, &mut room)?;
            tensor.external_data.clear();
            tensor.data_location = None;
            changed = true;
        }
    }
    Ok(match changed {
        true => model.encode_to_vec(),
        false => bytes,
    })
}

/// The part of a file that a tensor names; takes its size from `room`.
fn read(tensor: &TensorProto, folder: &Path, room: &mut u64) -> Result<Vec<u8>, OnnxError> {
    let fail = |what: String| OnnxError::External {
        name: tensor.name.clone(),
        what,
    };
    let entry = |key: &str| {
        let found = tensor.external_data.iter().find(|entry| entry.key == key);
        found.map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(fail(format!("whose {key} is no number"))),
    };
    let location = entry("location").ok_or_else(|| fail("without a name".to_owned()))?;
    let is_inside = Path::new(location)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !is_inside {
        return Err(fail(format!("`{location}` outside the model's folder")));
    }
    let failed =
        |error: std::io::Error| fail(format!("`{location}`, which cannot be read: {error}"));
    let mut file = File::open(folder.join(location)).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(fail(format!(
            "`{location}` at {offset} to {offset} + {length}, but it has {size} bytes"
        )));
    }
    *room = room.checked_sub(length).ok_or(OnnxError::FileTooLarge {
        bytes: MAX_FILE_BYTES - *room + length,
    })?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data).map_err(failed)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::{GraphProto, StringStringEntryProto};

    fn model(entries: &[(&str, &str)]) -> Vec<u8> {
        let external_data = entries
            .iter()
            .map(|&(key, value)| StringStringEntryProto {
                key: key.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        let tensor = TensorProto {
            name: "w".to_owned(),
            data_location: Some(DataLocation::External as i32),
            external_data,
            ..TensorProto::default()
        };
        let graph = GraphProto {
            initializer: vec![tensor],
            ..GraphProto::default()
        };
        ModelProto {
            graph: Some(graph),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn a_part_of_a_file_becomes_the_tensor() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.bin"), [1, 2, 3, 4, 5]).unwrap();
        let entries = [("location", "w.bin"), ("offset", "1"), ("length", "3")];
        let bytes = inline(model(&entries), folder.path()).unwrap();
        let tensor = &ModelProto::decode(&bytes[..])
            .unwrap()
            .graph
            .unwrap()
            .initializer[0];
        assert_eq!(tensor.raw_data, [2, 3, 4]);
        assert!(tensor.external_data.is_empty());
    }

    #[test]
    fn other_places_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.bin"), [1, 2, 3, 4, 5]).unwrap();
        for entries in [
            &[("location", "../w.bin")][..],
            &[("location", "/etc/hostname")],
            &[("location", "none.bin")],
            &[("location", "w.bin"), ("offset", "4"), ("length", "2")],
            &[("location", "w.bin"), ("offset", "-1")],
            &[("offset", "0"), ("key of the location", "location")],
        ] {
            let error = inline(model(entries), folder.path()).unwrap_err();
            assert!(
                matches!(error, OnnxError::External { .. }),
                "{entries:?}: {error}"
            );
        }
    }
}
