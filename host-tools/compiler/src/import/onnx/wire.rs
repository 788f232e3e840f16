//! A look at the protobuf framing before it is decoded.
//!
//! An empty message takes two bytes in a file and hundreds in memory, and a
//! packed integer one byte and eight. Both are counted here, so that decoding a
//! file allocates little more than the file's own size.

use super::OnnxError;

/// Most messages, strings and byte strings of a file.
const MAX_RECORDS: usize = 1 << 19;
/// Most bytes of packed integers.
const MAX_PACKED_BYTES: usize = 64 << 20;
/// Deepest nesting of messages that hold graphs.
const MAX_DEPTH: usize = 32;

/// Messages that hold messages.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Training,
    Function,
    Annotation,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    /// Holds strings and numbers only.
    Flat,
}

/// The value of a field.
enum Field {
    Message(Kind),
    Packed,
    Bytes,
}

/// Checks the framing of a model.
///
/// # Errors
/// Truncated or impossible framing, or more records than any real network has.
pub(super) fn check(bytes: &[u8]) -> Result<(), OnnxError> {
    let mut counts = Counts::default();
    counts.message(bytes, Kind::Model, 0)
}

#[derive(Default)]
struct Counts {
    records: usize,
    packed_bytes: usize,
}

impl Counts {
    fn message(&mut self, mut bytes: &[u8], kind: Kind, depth: usize) -> Result<(), OnnxError> {
        if depth > MAX_DEPTH {
            return Err(malformed("messages are nested too deeply"));
        }
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                }
                1 => {
                    take(&mut bytes, 8)?;
                }
                5 => {
                    take(&mut bytes, 4)?;
                }
                2 => {
                    let length = varint(&mut bytes)?;
                    let content = take(&mut bytes, length)?;
                    self.records += 1;
                    match field(kind, key >> 3) {
                        Field::Message(kind) => self.message(content, kind, depth + 1)?,
                        Field::Packed => self.packed_bytes += content.len(),
                        Field::Bytes => {}
                    }
                }
                _ => return Err(malformed("unknown wire type")),
            }
            if self.records > MAX_RECORDS || self.packed_bytes > MAX_PACKED_BYTES {
                return Err(malformed("it has more parts than any network"));
            }
        }
        Ok(())
    }
}

fn field(kind: Kind, number: u64) -> Field {
    use Kind::*;
    let kind = match (kind, number) {
        (Model, 7) => Graph,
        (Model, 8 | 14) => Flat,
        (Model, 20) => Training,
        (Model, 25) => Function,
        (Training, 1 | 2) => Graph,
        (Training, 3 | 4) => Flat,
        (Function, 7) => Node,
        (Function, 9) => Flat,
        (Graph, 1) => Node,
        (Graph, 5) => Tensor,
        (Graph, 15) => Sparse,
        (Graph, 11..=13) => ValueInfo,
        (Graph, 14) => Annotation,
        (Annotation, 2) => Flat,
        (ValueInfo, 2) => Type,
        (Type, 1) => TensorType,
        (TensorType, 2) => Shape,
        (Shape, 1) => Flat,
        (Node, 5) => Attribute,
        (Attribute, 5 | 10) => Tensor,
        (Attribute, 6 | 11) => Graph,
        (Attribute, 22 | 23) => Sparse,
        (Attribute, 15) => Type,
        (Sparse, 1 | 2) => Tensor,
        (Tensor, 13) => Flat,
        (Attribute, 8) | (Tensor, 1 | 5 | 7 | 11) | (Sparse, 3) => return Field::Packed,
        _ => return Field::Bytes,
    };
    Field::Message(kind)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed("a number is too long"))
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], OnnxError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let (head, tail) = bytes
        .split_at_checked(count)
        .ok_or_else(|| malformed("it ends in the middle of a field"))?;
    *bytes = tail;
    Ok(head)
}

fn malformed(what: &str) -> OnnxError {
    OnnxError::Decode(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_checked() {
        assert!(check(&[]).is_ok());
        // The format's version, and an empty graph.
        assert!(check(&[0x08, 0x08, 0x3a, 0x00]).is_ok());
        for bytes in [
            &[0x3a][..],
            &[0x3a, 0x05, 0x00],
            &[0x08],
            &[0x0b],
            &[0x08; 1],
            &[0xff; 12],
        ] {
            assert!(check(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let mut bytes = vec![];
        for level in 0..201 {
            // A subgraph in an attribute in a node, over and over.
            let key = [0x32, 0x2a, 0x0a][level % 3];
            let mut outer = vec![key];
            prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
            outer.extend(bytes);
            bytes = outer;
        }
        let mut model = vec![0x3a];
        prost::encoding::encode_varint(bytes.len() as u64, &mut model);
        model.extend(bytes);
        assert!(check(&model).is_err());
    }
}
