//! Integer kernels.
#![no_std]

pub mod checksum;

/// Why an inference stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A slice of the arena has not the length its step expects.
    Shape,
}

/// Sees every step of an inference.
pub trait Observer {
    /// Called after `step` with the bytes it wrote.
    fn step(&mut self, step: usize, output: &[u8]);
}
