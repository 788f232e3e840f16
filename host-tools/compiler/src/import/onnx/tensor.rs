//! Stored tensors: any numeric element type into `f32` or `i64`.

use half::{bf16, f16};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::{MAX_ELEMENTS, MAX_RANK, OnnxError};
use crate::import::graph::{Data, Tensor, element_count};

/// A tensor's sizes and element type, known before anything is allocated for it.
pub(super) struct Stored {
    shape: Vec<usize>,
    count: usize,
    element: DataType,
}

impl Stored {
    /// Those of a tensor; `name` is used in errors.
    ///
    /// # Errors
    /// Sizes that are impossible, and element types other than numbers and truth values.
    pub(super) fn of(proto: &TensorProto, name: &str) -> Result<Self, OnnxError> {
        let (shape, count) = sizes(&proto.dims, name)?;
        match DataType::try_from(proto.data_type) {
            Ok(element) if bits(element).is_some() => Ok(Self {
                shape,
                count,
                element,
            }),
            _ => Err(refuse(proto, name)),
        }
    }

    /// Bytes of the elements in memory, as `f32` or `i64`.
    pub(super) fn memory_bytes(&self) -> u64 {
        let each = match self.element {
            DataType::Float | DataType::Double | DataType::Float16 | DataType::Bfloat16 => 4,
            _ => 8,
        };
        self.count as u64 * each
    }

    /// Bytes of the elements as raw data in a file.
    pub(super) fn raw_bytes(&self) -> u64 {
        let bits = bits(self.element).unwrap_or(8);
        (self.count as u64 * u64::from(bits)).div_ceil(8)
    }

    /// Whether two elements share a byte.
    fn is_half(&self) -> bool {
        matches!(self.element, DataType::Int4 | DataType::Uint4)
    }

    /// Elements that `proto` holds; of a byte with one element, the other half counts too.
    fn found(&self, proto: &TensorProto) -> usize {
        let stored = match (proto.raw_data.len(), self.element) {
            (0, DataType::Float) => proto.float_data.len(),
            (0, DataType::Double) => proto.double_data.len(),
            (0, DataType::Int64) => proto.int64_data.len(),
            (0, DataType::Uint64 | DataType::Uint32) => proto.uint64_data.len(),
            (0, _) => proto.int32_data.len(),
            (bytes, _) => bytes * 8 / bits(self.element).unwrap_or(8).max(8) as usize,
        };
        match self.is_half() {
            true => 2 * stored,
            false => stored,
        }
    }
}

/// Reads a tensor; `name` is used in errors.
///
/// # Errors
/// Sizes that are impossible or do not match the data, external data, and
/// element types other than numbers and truth values.
pub(super) fn read(proto: TensorProto, name: &str) -> Result<Tensor, OnnxError> {
    if proto.data_location() == DataLocation::External || !proto.external_data.is_empty() {
        return Err(OnnxError::Unreadable {
            what: format!("tensor `{name}` keeps its data in another file"),
            remedy: "export with the weights inside the ONNX file",
        });
    }
    if proto.segment.is_some() {
        return Err(OnnxError::Unreadable {
            what: format!("tensor `{name}` is stored in segments"),
            remedy: "export each tensor in one piece",
        });
    }
    let stored = Stored::of(&proto, name)?;
    let found = stored.found(&proto);
    let expected = match stored.is_half() {
        true => stored.count.next_multiple_of(2),
        false => stored.count,
    };
    let is_whole = proto.raw_data.is_empty() || proto.raw_data.len() as u64 == stored.raw_bytes();
    if found != expected || !is_whole {
        return Err(OnnxError::TensorData {
            name: name.to_owned(),
            sizes: proto.dims,
            expected: stored.count,
            found,
        });
    }
    let Stored {
        shape,
        count,
        element,
    } = stored;
    let data = match (element, proto.raw_data.is_empty()) {
        (DataType::Int4 | DataType::Uint4, true) => {
            let bytes = proto.int32_data.iter().map(|&value| value as u8);
            Some(Data::Int(halves(bytes, element, count)))
        }
        (DataType::Int4 | DataType::Uint4, false) => {
            let bytes = proto.raw_data.iter().copied();
            Some(Data::Int(halves(bytes, element, count)))
        }
        (_, true) => from_fields(&proto, element),
        (_, false) => from_raw(&proto.raw_data, element),
    };
    let data = data.ok_or_else(|| refuse(&proto, name))?;
    Ok(Tensor { shape, data })
}

/// Smallest and largest value of an element type that values are quantized to.
pub(super) fn limits(element: i32) -> Option<(i64, i64)> {
    Some(match DataType::try_from(element).ok()? {
        DataType::Int4 => (-8, 7),
        DataType::Uint4 => (0, 15),
        DataType::Int8 => (-128, 127),
        DataType::Uint8 => (0, 255),
        DataType::Int16 => (-32_768, 32_767),
        DataType::Uint16 => (0, 65_535),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => return None,
    })
}

/// Name of an element type, as ONNX spells it but in lower case.
pub(super) fn type_name(element: i32) -> String {
    match DataType::try_from(element) {
        Ok(element) => element.as_str_name().to_lowercase(),
        Err(_) => format!("number {element}"),
    }
}

fn refuse(proto: &TensorProto, name: &str) -> OnnxError {
    OnnxError::ElementType {
        name: name.to_owned(),
        element: type_name(proto.data_type),
        accepted: "floats, integers of 4 to 64 bits and truth values",
    }
}

fn sizes(dims: &[i64], name: &str) -> Result<(Vec<usize>, usize), OnnxError> {
    let impossible = || OnnxError::Sizes {
        name: name.to_owned(),
        sizes: dims.iter().copied().take(MAX_RANK).collect(),
    };
    if dims.len() > MAX_RANK {
        return Err(impossible());
    }
    let shape: Vec<usize> = dims
        .iter()
        .map(|&size| usize::try_from(size))
        .collect::<Result<_, _>>()
        .map_err(|_| impossible())?;
    match element_count(&shape) {
        Some(count @ ..=MAX_ELEMENTS) => Ok((shape, count)),
        _ => Err(impossible()),
    }
}

/// Bits of one element in raw data; none for text and complex numbers.
fn bits(element: DataType) -> Option<u32> {
    Some(match element {
        DataType::Double | DataType::Int64 | DataType::Uint64 => 64,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 16,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 8,
        DataType::Int4 | DataType::Uint4 => 4,
        _ => return None,
    })
}

fn from_raw(raw: &[u8], element: DataType) -> Option<Data> {
    Some(match element {
        DataType::Float => Data::Float(each(raw, f32::from_le_bytes)),
        DataType::Double => Data::Float(each(raw, |b| f64::from_le_bytes(b) as f32)),
        DataType::Float16 => Data::Float(each(raw, |b| f16::from_le_bytes(b).to_f32())),
        DataType::Bfloat16 => Data::Float(each(raw, |b| bf16::from_le_bytes(b).to_f32())),
        DataType::Int64 => Data::Int(each(raw, i64::from_le_bytes)),
        // Exporters use the largest value for "to the end".
        DataType::Uint64 => Data::Int(each(raw, |b| clamp(u64::from_le_bytes(b)))),
        DataType::Int32 => Data::Int(each(raw, |b| i32::from_le_bytes(b).into())),
        DataType::Uint32 => Data::Int(each(raw, |b| u32::from_le_bytes(b).into())),
        DataType::Int16 => Data::Int(each(raw, |b| i16::from_le_bytes(b).into())),
        DataType::Uint16 => Data::Int(each(raw, |b| u16::from_le_bytes(b).into())),
        DataType::Int8 => Data::Int(each(raw, |b| i8::from_le_bytes(b).into())),
        DataType::Uint8 => Data::Int(each(raw, |b| u8::from_le_bytes(b).into())),
        DataType::Bool => Data::Int(each(raw, |[b]: [u8; 1]| (b != 0).into())),
        _ => return None,
    })
}

fn from_fields(proto: &TensorProto, element: DataType) -> Option<Data> {
    let bits = || proto.int32_data.iter().map(|&value| value as u16);
    Some(match element {
        DataType::Float => Data::Float(proto.float_data.clone()),
        DataType::Double => Data::Float(proto.double_data.iter().map(|&v| v as f32).collect()),
        DataType::Float16 => Data::Float(bits().map(|b| f16::from_bits(b).to_f32()).collect()),
        DataType::Bfloat16 => Data::Float(bits().map(|b| bf16::from_bits(b).to_f32()).collect()),
        DataType::Int64 => Data::Int(proto.int64_data.clone()),
        DataType::Uint64 | DataType::Uint32 => Data::Int(
            proto
                .uint64_data
                .iter()
                .map(|&value| clamp(value))
                .collect(),
        ),
        DataType::Int32
        | DataType::Int16
        | DataType::Uint16
        | DataType::Int8
        | DataType::Uint8
        | DataType::Bool => Data::Int(proto.int32_data.iter().map(|&v| v.into()).collect()),
        _ => return None,
    })
}

/// `count` values of four bits, two a byte, the lower half first.
fn halves(bytes: impl Iterator<Item = u8>, element: DataType, count: usize) -> Vec<i64> {
    let mut values = Vec::with_capacity(count);
    let halves = bytes.flat_map(|byte| [byte & 15, byte >> 4]).take(count);
    values.extend(halves.map(|half| match element {
        DataType::Int4 => i64::from((half << 4) as i8 >> 4),
        _ => i64::from(half),
    }));
    values
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn each<const N: usize, T>(raw: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>()
        .0
        .iter()
        .map(|&bytes| convert(bytes))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(element: DataType, dims: &[i64], raw: &[u8]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: element as i32,
            raw_data: raw.to_vec(),
            ..TensorProto::default()
        }
    }

    #[test]
    fn half_precision_becomes_f32() {
        let raw = [
            f16::from_f32(1.5).to_le_bytes(),
            f16::from_f32(-0.25).to_le_bytes(),
        ]
        .concat();
        let read = read(tensor(DataType::Float16, &[2], &raw), "t").unwrap();
        assert_eq!(read.as_floats(), Some(&[1.5, -0.25][..]));
    }

    #[test]
    fn a_scalar_has_no_sizes() {
        let read = read(tensor(DataType::Float, &[], &2.0f32.to_le_bytes()), "t").unwrap();
        assert_eq!((read.shape.len(), read.as_scalar()), (0, Some(2.0)));
    }

    #[test]
    fn sizes_that_do_not_match_are_refused() {
        for (dims, raw) in [(&[2][..], 4), (&[1], 5), (&[1], 8), (&[], 0)] {
            let error = read(tensor(DataType::Float, dims, &vec![0; raw]), "t").unwrap_err();
            assert!(
                matches!(error, OnnxError::TensorData { .. }),
                "{dims:?} {raw}: {error}"
            );
        }
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for dims in [&[-1][..], &[i64::MAX, i64::MAX], &[1 << 40], &[1; 17]] {
            let error = read(tensor(DataType::Float, dims, &[0; 4]), "t").unwrap_err();
            assert!(
                matches!(error, OnnxError::Sizes { .. }),
                "{dims:?}: {error}"
            );
        }
    }

    #[test]
    fn four_bits_are_unpacked_from_the_lower_half_on() {
        let read = |element, count, raw: &[u8]| read(tensor(element, &[count], raw), "t");
        let int4 = read(DataType::Int4, 3, &[0x8f, 0x07]).unwrap();
        assert_eq!(int4.as_ints(), Some(&[-1, -8, 7][..]));
        let uint4 = read(DataType::Uint4, 2, &[0x8f]).unwrap();
        assert_eq!(uint4.as_ints(), Some(&[15, 8][..]));
        assert!(read(DataType::Int4, 5, &[0, 0]).is_err());
        assert!(read(DataType::Int4, 1, &[0, 0]).is_err());
    }

    #[test]
    fn text_is_refused() {
        let error = read(tensor(DataType::String, &[1], &[0]), "t").unwrap_err();
        assert!(matches!(error, OnnxError::ElementType { .. }), "{error}");
    }
}
