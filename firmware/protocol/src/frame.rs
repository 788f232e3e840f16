//! Frames: where a message begins and ends, and whether it arrived whole.

use core::fmt;

use heapless::Vec;
use serde::{Deserialize, Serialize};
use tadpool_kernels::checksum::fnv1a;

/// Most bytes of a serialised message.
pub const MAX_MESSAGE: usize = 544;
/// Most bytes of a frame: message, checksum, stuffing and the final zero.
pub const MAX_FRAME: usize = STUFFED + 1;

const CHECKSUM: usize = size_of::<u32>();
const STUFFED: usize = cobs::max_encoding_length(MAX_MESSAGE + CHECKSUM);

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// More than [`MAX_FRAME`] bytes without an end.
    TooLong,
    /// The byte stuffing is broken.
    Stuffing,
    /// The checksum is wrong.
    Checksum,
    /// The bytes are not a message of the expected kind.
    Message,
}

/// Writes `message` as a frame to the start of `frame` and returns that part.
///
/// # Errors
///
/// [`FrameError::TooLong`] if the message has more than [`MAX_MESSAGE`] bytes.
pub fn encode<'a>(
    message: &impl Serialize,
    frame: &'a mut [u8; MAX_FRAME],
) -> Result<&'a [u8], FrameError> {
    let mut plain = [0; MAX_MESSAGE + CHECKSUM];
    let room = plain.get_mut(..MAX_MESSAGE).ok_or(FrameError::TooLong)?;
    let length = postcard::to_slice(message, room)
        .map_err(|_| FrameError::TooLong)?
        .len();
    let (body, rest) = plain
        .split_at_mut_checked(length)
        .ok_or(FrameError::TooLong)?;
    let checksum = rest.first_chunk_mut().ok_or(FrameError::TooLong)?;
    *checksum = fnv1a(body).to_le_bytes();
    let plain = plain.get(..length + CHECKSUM).ok_or(FrameError::TooLong)?;
    let stuffed = cobs::try_encode(plain, frame).map_err(|_| FrameError::TooLong)?;
    *frame.get_mut(stuffed).ok_or(FrameError::TooLong)? = 0;
    frame.get(..=stuffed).ok_or(FrameError::TooLong)
}

/// Collects bytes until a frame is complete.
#[derive(Debug, Default)]
pub struct FrameReader {
    stuffed: Vec<u8, STUFFED>,
    too_long: bool,
    complete: bool,
}

impl FrameReader {
    /// A reader at the start of a frame.
    pub const fn new() -> Self {
        Self {
            stuffed: Vec::new(),
            too_long: false,
            complete: false,
        }
    }

    /// Takes the next byte; true if it ends a frame, which [`Self::message`]
    /// then reads. Empty frames are passed over, so a zero byte may be sent to
    /// end whatever was sent before.
    pub fn push(&mut self, byte: u8) -> bool {
        if self.complete {
            *self = Self::new();
        }
        if byte != 0 {
            self.too_long |= self.stuffed.push(byte).is_err();
        } else {
            self.complete = !self.stuffed.is_empty();
        }
        self.complete
    }

    /// Reads the frame that the last [`Self::push`] ended; once only, for it is
    /// decoded in place.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if it is none, or not a message of type `T`.
    pub fn message<'a, T: Deserialize<'a>>(&'a mut self) -> Result<T, FrameError> {
        if self.too_long {
            return Err(FrameError::TooLong);
        }
        let length = unstuff(&mut self.stuffed).ok_or(FrameError::Stuffing)?;
        let plain = self.stuffed.get(..length).ok_or(FrameError::Stuffing)?;
        let (body, checksum) = plain.split_last_chunk().ok_or(FrameError::Checksum)?;
        if fnv1a(body).to_le_bytes() != *checksum {
            return Err(FrameError::Checksum);
        }
        postcard::from_bytes(body).map_err(|_| FrameError::Message)
    }
}

/// Undoes the byte stuffing in place, and returns how many bytes there are; none if they are
/// not stuffed. That of the crate `cobs`, but for its panics, which the optimiser leaves in.
fn unstuff(bytes: &mut [u8]) -> Option<usize> {
    let (mut from, mut to) = (0, 0);
    while let Some(&distance) = bytes.get(from) {
        from += 1;
        for _ in 1..distance {
            let byte = *bytes.get(from).filter(|byte| **byte != 0)?;
            *bytes.get_mut(to)? = byte;
            from += 1;
            to += 1;
        }
        match distance {
            0 => return None,
            // The longest run is followed by no zero.
            0xff => {}
            _ if from == bytes.len() => {}
            _ => {
                *bytes.get_mut(to)? = 0;
                to += 1;
            }
        }
    }
    Some(to)
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the frame is too long",
            Self::Stuffing => "the byte stuffing is broken",
            Self::Checksum => "the checksum is wrong",
            Self::Message => "the message is of another kind",
        })
    }
}

impl core::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    extern crate std;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::vec::Vec as StdVec;

    use super::*;
    use crate::{FaultKind, FaultReport, PIXELS_PER_FRAME, Refusal, Registers, Request, Response};

    fn frame_of(message: &impl Serialize) -> StdVec<u8> {
        encode(message, &mut [0; MAX_FRAME]).unwrap().to_vec()
    }

    fn read(reader: &mut FrameReader, bytes: &[u8]) -> StdVec<Result<Response, FrameError>> {
        let mut messages = StdVec::new();
        for &byte in bytes {
            if reader.push(byte) {
                messages.push(reader.message());
            }
        }
        messages
    }

    #[test]
    fn the_largest_messages_fit() {
        let request = Request::Pixels {
            offset: u32::MAX,
            bytes: &[0xff; PIXELS_PER_FRAME],
        };
        frame_of(&request);
        let values = core::iter::repeat_n(i32::MIN, crate::LOGITS_PER_FRAME).collect();
        frame_of(&Response::Logits(crate::LogitsPiece {
            offset: u16::MAX,
            values,
        }));
        let max = u32::MAX;
        let message = core::iter::repeat_n('x', 160).collect();
        let registers = Registers {
            pc: max,
            lr: max,
            sp: max,
            cfsr: max,
            bfar: max,
        };
        let kind = FaultKind::Exception;
        let fault = FaultReport {
            kind,
            step: Some(u16::MAX),
            message,
            registers: Some(registers),
        };
        frame_of(&Response::Fault(fault));
    }

    #[test]
    fn a_broken_frame_does_not_hurt_the_next() {
        let good = Response::Refused(Refusal::NoSelfTests);
        let mut bytes = frame_of(&good);
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        bytes.extend([7; 2 * MAX_FRAME]);
        bytes.push(0);
        bytes.extend(frame_of(&good));
        let messages = read(&mut FrameReader::new(), &bytes);
        assert_eq!(messages.len(), 3);
        assert!(messages[0].is_err());
        assert_eq!(messages[1], Err(FrameError::TooLong));
        assert_eq!(messages[2], Ok(good));
    }

    proptest! {
        #[test]
        fn unstuffing_is_that_of_the_crate(bytes in vec(0u8..6, 0..40), long: bool) {
            let mut plain = bytes;
            if long {
                plain.extend([7; 300]);
            }
            let stuffed = &mut [0; 400];
            let length = cobs::try_encode(&plain, stuffed).unwrap();
            let stuffed = &mut stuffed[..length];
            let length = unstuff(stuffed).unwrap();
            prop_assert_eq!(&stuffed[..length], &plain);
        }

        #[test]
        fn pixels_come_back(bytes in vec(any::<u8>(), 0..=PIXELS_PER_FRAME), offset: u32) {
            let request = Request::Pixels { offset, bytes: &bytes };
            let mut reader = FrameReader::new();
            let ends: StdVec<bool> = frame_of(&request).iter().map(|&b| reader.push(b)).collect();
            prop_assert_eq!(ends.iter().position(|&end| end), Some(ends.len() - 1));
            prop_assert_eq!(reader.message::<Request<'_>>(), Ok(request));
        }

        #[test]
        fn garbage_never_panics(bytes in vec(any::<u8>(), 0..2000)) {
            let mut reader = FrameReader::new();
            read(&mut reader, &bytes);
            reader.push(0);
            let good = Response::Ticks(7);
            prop_assert_eq!(read(&mut reader, &frame_of(&good)), [Ok(good)]);
        }

        #[test]
        fn a_flipped_bit_is_noticed(ticks: u64, place: prop::sample::Index, bit in 0u32..8) {
            let mut bytes = frame_of(&Response::Ticks(ticks));
            let place = place.index(bytes.len() - 1);
            bytes[place] ^= 1u8 << bit;
            let messages = read(&mut FrameReader::new(), &bytes);
            prop_assert!(messages.iter().all(Result::is_err), "{:?}", messages);
        }
    }
}
