//! Where an image runs, and what it says there.

pub mod session;

pub mod emulator;

pub mod logs;

pub mod trace;
