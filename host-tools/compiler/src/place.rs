//! From the integer network to steps, buffers and their places in the arena.

pub mod schedule;

pub mod memory;

pub mod program;
