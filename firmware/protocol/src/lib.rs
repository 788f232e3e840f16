//! What the host and the firmware say to each other.
//!
//! The host sends [`Request`]s, the firmware answers with [`Response`]s, both as
//! frames: a [`postcard`] message and its checksum, [`cobs`]-stuffed, ended by a
//! zero byte. Every buffer has a fixed size, whatever the model: pixels and
//! logits travel in pieces, the results of the steps one by one. A frame that
//! is broken is an error of [`FrameReader::message`], and the next frame is read
//! as if it had not been there.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod frame;
mod message;

pub use frame::{FrameError, FrameReader, MAX_FRAME, MAX_MESSAGE, encode};
pub use message::{
    BoardName, Counter, FaultKind, FaultReport, Hello, LOGITS_PER_FRAME, LogitsPiece, Message,
    ModelName, PIXELS_PER_FRAME, Refusal, Registers, Request, Response, SelfTest, Setup, VERSION,
};
