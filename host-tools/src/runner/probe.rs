//! Boards behind a debug probe: found, attached to, flashed, run, and spoken to
//! through RTT. The only module that knows probe-rs.

mod connect;
mod error;
mod flash;
mod link;
pub mod qemu;

pub use connect::{Connection, FoundProbe, Options, connect, list};
pub use error::ProbeError;
pub use flash::Flashed;
pub use link::RttLink;
