//! Thumb and Helium machine code of the Cortex-M: what each instruction does, and what
//! it costs.
//!
//! [`decode`] tells the length of an instruction,
//! the registers that it reads and writes, its memory access, where the program counter
//! goes, and its class in the pipeline models; an encoding that it does not know is an
//! error. [`latency`] takes an execution ([`trace`]) and tells its cycles on a core
//! ([`pipeline`], one file a core) with a board's memories ([`memory`]); [`validation`] says
//! how far such estimates were from what was measured.
//!
//! ```
//! use tadpool_cycles::decode::{Code, Flow, decode};
//!
//! let pop = decode(Code::narrow(0xbdf0))?;
//! assert_eq!(pop.flow, Flow::Return);
//! # Ok::<(), tadpool_cycles::decode::Unknown>(())
//! ```

#![warn(missing_docs)]

pub mod decode;
pub mod latency;
pub mod memory;
pub mod pipeline;
pub mod trace;
pub mod validation;
