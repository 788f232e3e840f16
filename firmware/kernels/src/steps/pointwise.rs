//! A linear layer on every token, from one map to another.

use crate::arch::cast;
use crate::arena::{self, Buffer, Fault, ensure, volume};
use crate::arithmetic::layout::Kernel;
use crate::arithmetic::matmul::{Linear, tile_words};

/// Constants of one linear layer.
///
/// `q' = zero_point + requantize(bias + weights . q, multiplier)`
#[derive(Debug, Clone, Copy)]
pub struct Pointwise<'a> {
    /// The map that is read, `tokens x inputs`.
    pub input: Buffer,
    /// The map that is written, `tokens x outputs`.
    pub output: Buffer,
    /// At least [`Pointwise::scratch_size`] bytes, 4-byte aligned.
    pub scratch: Buffer,
    /// Values per token that is read.
    pub inputs: usize,
    /// Values per token that is written.
    pub outputs: usize,
    /// `outputs x inputs` in the step's layout, 4-byte aligned.
    pub weights: &'a [u8],
    /// Accumulator start per output, zero points folded in.
    pub bias: &'a [i32],
    /// Multiplier per output, Q32.
    pub multiplier: &'a [i32],
    /// Zero point of the output.
    pub zero_point: i32,
}

impl Pointwise<'_> {
    /// Scratch bytes that a run needs, in any layout.
    pub const fn scratch_size(inputs: usize, outputs: usize) -> usize {
        8 * outputs + 4 * tile_words(inputs)
    }

    fn check<K: Kernel>(&self) -> Result<(), Fault> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        ensure(inputs > 0 && outputs > 0)?;
        ensure(self.bias.len() == outputs && self.multiplier.len() == outputs)?;
        ensure(volume(&[self.input.size, outputs]) == volume(&[self.output.size, inputs]))?;
        ensure(K::LAYOUT.reads_whole(inputs))?;
        ensure(self.input.size.is_multiple_of(inputs))
    }
}

/// Runs the step.
///
/// # Errors
/// A [`Fault`] if buffers and dimensions do not match.
pub fn run<K: Kernel>(step: &Pointwise<'_>, arena: &mut [u8]) -> Result<(), Fault> {
    step.check::<K>()?;
    let [input, output, scratch] =
        arena::disjoint_three(arena, [step.input, step.output, step.scratch])?;
    let mut scratch = cast::words_mut(scratch)?;
    let constants = arena::cut(&mut scratch, 2 * step.outputs)?;
    let tile = arena::cut(&mut scratch, tile_words(step.inputs))?;
    K::constants(step.bias, step.multiplier, constants);
    let shape = [step.inputs, step.outputs];
    let linear = Linear::new::<K>(step.weights, shape, constants, step.zero_point)?;
    K::write(&linear, cast::i8s(input), tile, cast::i8s_mut(output));
    Ok(())
}
