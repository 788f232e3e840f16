//! The program: every step's kernel with its constants and its buffers.
//!
//! The one form that the simulator executes and the code generator writes out.
//! Weights are row-major here; the generator packs them for the board's kernels,
//! which write the same bytes in every layout.

use tadpool_kernels::channel_mlp::{self, ChannelMlp, NormedLinear, ResidualLinear};
use tadpool_kernels::head::{self, Head};
use tadpool_kernels::identity::{self, Identity};
use tadpool_kernels::layout::Rows;
use tadpool_kernels::norm::Stats;
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling::{self, Pooling};
use tadpool_kernels::{Buffer, Fault, Observer};

use crate::ir::Shape;
use crate::memory::MemoryPlan;
use crate::quant_model::{QuantLayer, QuantMatrix, QuantModel, QuantOp, QuantResidual};
use crate::schedule::{Schedule, Step};

/// A network ready to run in one arena.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Rows, columns and channels of the image.
    pub input: Shape,
    /// Steps in execution order.
    pub steps: Vec<ProgramStep<'a>>,
    /// Where the raw pixels go.
    pub image: Buffer,
    /// Where the logits come from, four bytes each.
    pub logits: Buffer,
    /// Bytes of the arena.
    pub arena_size: usize,
}

/// One kernel call.
#[derive(Debug, Clone)]
pub struct ProgramStep<'a> {
    /// The layer's place in the network.
    pub name: &'a str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Kernel and constants.
    pub kernel: Kernel<'a>,
}

/// The constants of one kernel call.
#[derive(Debug, Clone)]
pub enum Kernel<'a> {
    /// See [`tadpool_kernels::patch_embedding`].
    PatchEmbedding(PatchEmbedding<'a>),
    /// See [`tadpool_kernels::pooling`].
    Pooling(Pooling<'a>),
    /// See [`tadpool_kernels::identity`].
    Identity(Identity<'a>),
    /// See [`tadpool_kernels::channel_mlp`].
    ChannelMlp(ChannelMlp<'a>),
    /// See [`tadpool_kernels::head`].
    Head(Head<'a>),
}

/// Joins constants, steps and places.
pub fn program<'a>(model: &'a QuantModel, schedule: &Schedule, memory: &MemoryPlan) -> Program<'a> {
    let steps = model
        .layers
        .iter()
        .zip(&schedule.steps)
        .map(|(layer, step)| ProgramStep {
            name: &layer.name,
            macs: layer.macs,
            kernel: kernel(layer, step, memory),
        })
        .collect();
    Program {
        input: model.input,
        steps,
        image: memory.place(schedule.image),
        logits: memory.place(schedule.logits),
        arena_size: memory.arena_size,
    }
}

fn kernel<'a>(layer: &'a QuantLayer, step: &Step, memory: &MemoryPlan) -> Kernel<'a> {
    let input = memory.place(step.input);
    let output = memory.place(step.output);
    let scratch = step
        .scratch
        .map_or(Buffer::default(), |id| memory.place(id));
    let tile_tokens = step.tile_tokens;
    let dims = |shape: Shape| [shape.height, shape.width, shape.channels];
    match &layer.op {
        QuantOp::PatchEmbedding(op) => Kernel::PatchEmbedding(PatchEmbedding {
            input,
            output,
            scratch,
            input_shape: dims(layer.input),
            output_shape: dims(layer.output),
            kernel: op.kernel,
            stride: op.stride,
            padding: op.padding,
            tile_tokens,
            flip: if op.pixels { 0x80 } else { 0 },
            pad: &op.pad,
            weights: bytes(&op.matrix),
            bias: &op.bias,
            multiplier: &op.multiplier,
            zero_point: op.zero_point,
        }),
        QuantOp::Pooling(op) => Kernel::Pooling(Pooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            norm: op.norm,
            factor: &op.factor,
            residual: op.residual,
            offset: op.offset,
        }),
        QuantOp::Identity(op) => Kernel::Identity(Identity {
            map: output,
            channels: layer.input.channels,
            norm: op.norm,
            factor: &op.factor,
            offset: &op.offset,
            residual: op.residual,
        }),
        QuantOp::ChannelMlp(op) => Kernel::ChannelMlp(ChannelMlp {
            map: output,
            scratch,
            channels: op.fc1.inputs,
            hidden: op.fc1.outputs,
            tile_tokens,
            norm: op.norm,
            fc1: NormedLinear {
                weights: bytes(&op.fc1),
                row_sums: &op.fc1_row_sums,
                bias: &op.fc1_bias,
                multiplier: &op.fc1_multiplier,
            },
            hidden_zero: op.hidden_zero,
            activation: &op.activation,
            fc2: match &op.fc2_residual {
                QuantResidual::Int8 { steps, zero_point } => ResidualLinear {
                    weights: bytes(&op.fc2),
                    bias: &op.fc2_bias,
                    residual: steps,
                    multiplier: &op.fc2_multiplier,
                    zero_point: *zero_point,
                },
                QuantResidual::Int16 { .. } => unreachable!("`quantize` refuses int16 streams"),
            },
        }),
        QuantOp::Head(op) => Kernel::Head(Head {
            map: input,
            output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: op.norm,
            zero_point: op.zero_point,
            weights: bytes(&op.matrix),
            row_sums: &op.row_sums,
            multiplier: &op.multiplier,
            bias: &op.bias,
        }),
    }
}

fn bytes(matrix: &QuantMatrix) -> &[u8] {
    bytemuck::cast_slice(&matrix.weights)
}

impl Kernel<'_> {
    /// What the step writes.
    pub fn output(&self) -> Buffer {
        match self {
            Self::PatchEmbedding(step) => step.output,
            Self::Pooling(step) => step.map,
            Self::Identity(step) => step.map,
            Self::ChannelMlp(step) => step.map,
            Self::Head(step) => step.output,
        }
    }

    /// What the step reads: raw pixels or a feature map.
    pub fn input(&self) -> Buffer {
        match self {
            Self::PatchEmbedding(step) => step.input,
            Self::Pooling(step) => step.map,
            Self::Identity(step) => step.map,
            Self::ChannelMlp(step) => step.map,
            Self::Head(step) => step.map,
        }
    }

    /// Runs the step on `arena`; the sums of the map go in and come out.
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    pub fn run(&self, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        match self {
            Self::PatchEmbedding(step) => patch_embedding::run::<Rows>(step, arena),
            Self::Pooling(step) => pooling::run::<Rows>(step, stats, arena),
            Self::Identity(step) => identity::run(step, stats, arena),
            Self::ChannelMlp(step) => channel_mlp::run::<Rows>(step, stats, arena),
            Self::Head(step) => head::run(step, stats, arena).map(|()| *stats),
        }
    }
}

impl Program<'_> {
    /// Runs one inference on the host, with the firmware's own kernels.
    ///
    /// `arena` is grown to its size; `image` is raw pixels, as the firmware
    /// takes them. Returns Q16 logits.
    ///
    /// # Errors
    /// A [`Fault`] if the image has another size than the network's input.
    pub fn infer(
        &self,
        image: &[u8],
        arena: &mut Arena,
        observer: &mut impl Observer,
    ) -> Result<Vec<i32>, Fault> {
        let arena = arena.bytes(self.arena_size);
        let pixels = self.image.of_mut(arena)?;
        if pixels.len() != image.len() {
            return Err(Fault::Geometry);
        }
        pixels.copy_from_slice(image);
        let mut stats = Stats::default();
        for (number, step) in self.steps.iter().enumerate() {
            stats = step.kernel.run(&stats, arena)?;
            observer.step(number, step.kernel.output().of(arena)?);
        }
        let (logits, _) = self.logits.of(arena)?.as_chunks::<4>();
        Ok(logits
            .iter()
            .map(|&logit| i32::from_le_bytes(logit))
            .collect())
    }
}

impl Program<'_> {
    /// Runs the step `number` alone on `map`, the bytes that it reads and whose
    /// sums are `stats`; the bytes that it writes.
    ///
    /// # Errors
    /// A [`Fault`] if the map has another size than the step reads, or there is
    /// no such step.
    pub fn step<'a>(
        &self,
        number: usize,
        map: &[u8],
        stats: &Stats,
        arena: &'a mut Arena,
    ) -> Result<&'a [u8], Fault> {
        let kernel = &self.steps.get(number).ok_or(Fault::Geometry)?.kernel;
        let arena = arena.bytes(self.arena_size);
        let input = kernel.input().of_mut(arena)?;
        if input.len() != map.len() {
            return Err(Fault::Geometry);
        }
        input.copy_from_slice(map);
        kernel.run(stats, arena)?;
        kernel.output().of(arena)
    }
}

/// RAM of a simulated run, aligned as on the device.
#[derive(Debug, Default)]
pub struct Arena(Vec<u64>);

impl Arena {
    fn bytes(&mut self, size: usize) -> &mut [u8] {
        self.0.resize(size.div_ceil(8), 0);
        &mut bytemuck::cast_slice_mut(&mut self.0)[..size]
    }
}
