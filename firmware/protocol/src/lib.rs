#![doc = include_str!("../README.md")]
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
