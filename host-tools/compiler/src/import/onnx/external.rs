//! Weights in a second file: brought into the model itself, so that everything
//! downstream sees one file.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use prost::Message;
use tadpool_input::text::escaped;
use tadpool_input::{InputError, Kind, RegularFile};
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{ModelProto, TensorProto};

use super::tensor::Stored;
use super::{MAX_FILE_BYTES, MAX_HELD_BYTES, OnnxError, wire};

/// A file beside a model. Its size says little, since it may hold more than the model's
/// weights; what is read of it is limited.
const WEIGHTS: Kind = Kind {
    name: "a file of weights",
    max_bytes: u64::MAX,
};

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
    let folder = Folder::new(folder);
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_mut());
    let mut room = Room {
        file_bytes: MAX_FILE_BYTES.saturating_sub(bytes.len() as u64),
        held_bytes: MAX_HELD_BYTES,
    };
    let mut changed = false;
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor.data_location() == DataLocation::External {
            tensor.raw_data = read(tensor, &folder, &mut room)?;
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

/// The files that the model `bytes` names, as far as it can be read.
pub(super) fn files(bytes: &[u8], folder: &Path) -> Vec<PathBuf> {
    let has_any = bytes.windows(8).any(|window| window == b"location");
    if !has_any || wire::check(bytes).is_err() {
        return Vec::new();
    }
    let Ok(ModelProto {
        graph: Some(graph), ..
    }) = ModelProto::decode(bytes)
    else {
        return Vec::new();
    };
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    let constants = attributes.filter_map(|attribute| attribute.t.as_ref());
    let tensors = graph.initializer.iter().chain(constants);
    let entries = tensors.flat_map(|tensor| &tensor.external_data);
    let locations = entries.filter(|entry| entry.key == "location");
    let files: BTreeSet<_> = locations
        .filter(|entry| is_plain(&entry.value))
        .map(|entry| folder.join(&entry.value))
        .collect();
    files.into_iter().collect()
}

/// Whether a location is one in the model's folder, as it is written.
fn is_plain(location: &str) -> bool {
    Path::new(location)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// The bytes that may still be read.
struct Room {
    /// Bytes of files.
    file_bytes: u64,
    /// Bytes of elements in memory.
    held_bytes: u64,
}

/// The model's folder, as named and without links.
struct Folder<'a> {
    named: &'a Path,
    resolved: Option<PathBuf>,
}

impl<'a> Folder<'a> {
    fn new(folder: &'a Path) -> Self {
        let named = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        Self {
            named,
            resolved: named.canonicalize().ok(),
        }
    }

    /// The file `location` of the folder, without links; none if it lies elsewhere.
    fn file(&self, location: &str) -> std::io::Result<Option<PathBuf>> {
        if !is_plain(location) {
            return Ok(None);
        }
        let resolved = self.named.join(location).canonicalize()?;
        let is_inside = self
            .resolved
            .as_ref()
            .is_some_and(|folder| resolved.starts_with(folder));
        Ok(is_inside.then_some(resolved))
    }
}

/// The part of a file that a tensor names; takes its size from `room`.
fn read(tensor: &TensorProto, folder: &Folder<'_>, room: &mut Room) -> Result<Vec<u8>, OnnxError> {
    let fail = |what: String| OnnxError::External {
        name: escaped(&tensor.name).into_owned(),
        what: escaped(&what).into_owned(),
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
    // What the tensor takes is known before a byte is read, since a sparse file has any size.
    let stored = Stored::of(tensor, &escaped(&tensor.name))?;
    let held = stored.memory_bytes();
    room.held_bytes = room.held_bytes.checked_sub(held).ok_or_else(|| {
        let name = escaped(&tensor.name).into_owned();
        OnnxError::TooMuchData { name, bytes: held }
    })?;

    let location = entry("location").ok_or_else(|| fail("without a name".to_owned()))?;
    let unreadable = |error: &dyn std::fmt::Display| {
        fail(format!("`{location}`, which cannot be read: {error}"))
    };
    let path = folder
        .file(location)
        .map_err(|error| unreadable(&error))?
        .ok_or_else(|| fail(format!("`{location}` outside the model's folder")))?;
    let RegularFile {
        mut file,
        bytes: size,
    } = tadpool_input::open(&path, WEIGHTS).map_err(|error| match error {
        InputError::Read { source, .. } => unreadable(&source),
        InputError::LfsPointer { .. } => fail(format!(
            "`{location}`, which is a Git LFS pointer (`git lfs pull` fetches the file itself)"
        )),
        other => unreadable(&other),
    })?;
    let offset = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(size.saturating_sub(offset));
    if offset.checked_add(length).is_none_or(|end| end > size) {
        return Err(fail(format!(
            "`{location}` at {offset} to {offset} + {length}, but it has {size} bytes"
        )));
    }
    let expected = stored.raw_bytes();
    if length != expected {
        return Err(fail(format!(
            "`{location}`, in which it has {length} bytes; its sizes {:?} need {expected}",
            tensor.dims
        )));
    }
    room.file_bytes = room
        .file_bytes
        .checked_sub(length)
        .ok_or(OnnxError::FileTooLarge {
            bytes: MAX_FILE_BYTES - room.file_bytes + length,
        })?;
    let failed = |error: std::io::Error| unreadable(&error);
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data).map_err(failed)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::tensor_proto::DataType;
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
            data_type: DataType::Int8 as i32,
            dims: vec![3],
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
    fn files_are_named() {
        let named = |entries: &[(&str, &str)]| files(&model(entries), Path::new("a"));
        assert_eq!(named(&[("location", "w.bin")]), [Path::new("a/w.bin")]);
        assert_eq!(
            named(&[("location", "../w.bin")]),
            [""; 0].map(PathBuf::from)
        );
        assert!(files(b"location", Path::new("a")).is_empty());
    }

    #[test]
    fn other_places_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("w.bin"), [1, 2, 3, 4, 5]).unwrap();
        for entries in [
            &[("location", "../w.bin")][..],
            &[("location", "/etc/hostname")],
            &[("location", "none.bin")],
            &[("location", "w.bin"), ("offset", "3"), ("length", "3")],
            &[("location", "w.bin"), ("length", "2")],
            &[("location", "w.bin")],
            &[("location", ".")],
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

    #[cfg(unix)]
    #[test]
    fn links_lead_nowhere_else() {
        use std::os::unix::fs::symlink;

        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("w.bin"), [1, 2, 3]).unwrap();
        std::fs::create_dir(folder.path().join("weights")).unwrap();
        std::fs::write(folder.path().join("weights/w.bin"), [4, 5, 6]).unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink(other.path().join("w.bin"), at("file")).unwrap();
        symlink(other.path(), at("folder")).unwrap();
        symlink("/dev/zero", at("device")).unwrap();
        symlink("weights/w.bin", at("inside")).unwrap();
        for location in ["file", "folder/w.bin", "device", "weights"] {
            let error = inline(model(&[("location", location)]), folder.path()).unwrap_err();
            assert!(
                matches!(error, OnnxError::External { .. }),
                "{location}: {error}"
            );
        }
        // A link within the folder is as good as the file, and so is one to the folder.
        inline(model(&[("location", "inside")]), folder.path()).unwrap();
        symlink(folder.path(), other.path().join("model")).unwrap();
        let linked = other.path().join("model");
        inline(model(&[("location", "./weights/w.bin")]), &linked).unwrap();
    }

    #[test]
    fn sparse_files_take_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let sparse = std::fs::File::create(folder.path().join("w.bin")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let bytes = model(&[("location", "w.bin")]);
        let error = inline(bytes.clone(), folder.path()).unwrap_err();
        assert!(matches!(error, OnnxError::External { .. }), "{error}");
        let mut model = ModelProto::decode(&bytes[..]).unwrap();
        let graph = model.graph.as_mut().unwrap();
        for (element, sizes) in [
            (DataType::Int4, vec![1 << 30]),
            (DataType::Int8, vec![1 << 13, 1 << 14]),
            (DataType::Float16, vec![1 << 28]),
        ] {
            graph.initializer[0].data_type = element as i32;
            graph.initializer[0].dims = sizes;
            let bytes = ModelProto {
                graph: Some(graph.clone()),
                ..ModelProto::default()
            };
            let error = inline(bytes.encode_to_vec(), folder.path()).unwrap_err();
            assert!(
                matches!(
                    error,
                    OnnxError::TooMuchData { .. } | OnnxError::Sizes { .. }
                ),
                "{error}"
            );
        }
    }
}
