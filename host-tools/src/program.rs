//! The program: every step's kernel with its constants and its buffers.
//!
//! The one form that the simulator executes and the code generator writes out.
//! Weights are row-major here, a byte each; the generator packs them for the
//! board's kernels, which write the same bytes in every layout and from any
//! number of bits.

use tadpool_kernels::attention::{self, Attention};
use tadpool_kernels::channel_mlp::{self, ChannelMlp};
use tadpool_kernels::depthwise::Depthwise;
use tadpool_kernels::head::{self, Head};
use tadpool_kernels::identity::{self, Identity};
use tadpool_kernels::int16;
use tadpool_kernels::layout::Rows;
use tadpool_kernels::linear::{NormedLinear, PlainLinear, ResidualLinear};
use tadpool_kernels::norm::Stats;
use tadpool_kernels::normed_mlp::{self, NormedMlp};
use tadpool_kernels::normed_pooling::{self, NormedPooling};
use tadpool_kernels::patch_embedding::{self, PatchEmbedding};
use tadpool_kernels::pooling::{self, Pooling};
use tadpool_kernels::pushed_rows::{self, Pushed};
use tadpool_kernels::random_mixing::{self, RandomMixing};
use tadpool_kernels::scaled_pooling::{self, ScaledPooling};
use tadpool_kernels::sep_conv::{self, SepConv};
use tadpool_kernels::stream::{Int8, Int16};
use tadpool_kernels::weights::Weights;
use tadpool_kernels::wide_head::{self, HeadHidden, WideHead, WideLinear};
use tadpool_kernels::{Buffer, Fault, Observer};

use crate::ir::Shape;
use crate::memory::MemoryPlan;
use crate::model_toml::Feed;
use crate::quant_model::{
    Quant, QuantLayer, QuantMatrix, QuantModel, QuantOp, QuantPlainLinear, QuantResidualLinear,
    QuantWideLinear, Stream, WeightBits,
};
use crate::schedule::{Schedule, Step};

/// A network ready to run in one arena.
#[derive(Debug, Clone)]
pub struct Program<'a> {
    /// Rows, columns and channels of the image.
    pub input: Shape,
    /// Steps in execution order.
    pub steps: Vec<ProgramStep<'a>>,
    /// Where the raw pixels go: all of them, or the rows that the first window needs.
    pub image: Buffer,
    /// How they get there.
    pub feed: Feed,
    /// Where the logits come from, four bytes each; empty if there is no head.
    pub logits: Buffer,
    /// Maps that stay in the arena, beside the logits.
    pub outputs: Vec<ProgramOutput<'a>>,
    /// Bytes of the arena.
    pub arena_size: usize,
}

/// A map that stays in the arena until the end of an inference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProgramOutput<'a> {
    /// What the description calls it.
    pub name: &'a str,
    /// The step that writes it.
    pub step: usize,
    /// Where it stays.
    pub map: Buffer,
    /// Rows, columns and channels.
    pub shape: Shape,
    /// Width of its values.
    pub stream: Stream,
    /// Meaning of its values.
    pub quant: Quant,
}

/// One kernel call.
#[derive(Debug, Clone)]
pub struct ProgramStep<'a> {
    /// The layer's place in the network.
    pub name: &'a str,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Width of the map that is read; raw pixels are as wide as int8.
    pub input: Stream,
    /// Width of the map that is written.
    pub output: Stream,
    /// Bits on the board of the kernel's weights: of its two matrices, or of its
    /// only one.
    pub bits: [WeightBits; 2],
    /// Where what was written is copied to, since a later step writes over it.
    pub copy: Option<Buffer>,
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
    /// See [`tadpool_kernels::scaled_pooling`].
    ScaledPooling(ScaledPooling<'a>),
    /// See [`tadpool_kernels::normed_pooling`].
    NormedPooling(NormedPooling<'a>),
    /// See [`tadpool_kernels::identity`].
    Identity(Identity<'a>),
    /// See [`tadpool_kernels::random_mixing`].
    RandomMixing(RandomMixing<'a>),
    /// See [`tadpool_kernels::sep_conv`].
    SepConv(SepConv<'a>),
    /// See [`tadpool_kernels::attention`].
    Attention(Attention<'a>),
    /// See [`tadpool_kernels::channel_mlp`].
    ChannelMlp(ChannelMlp<'a>),
    /// See [`tadpool_kernels::int16::channel_mlp`].
    ChannelMlpInt16(int16::channel_mlp::ChannelMlp<'a>),
    /// See [`tadpool_kernels::normed_mlp`].
    NormedMlp(NormedMlp<'a>),
    /// See [`tadpool_kernels::head`].
    Head(Head<'a>),
    /// See [`tadpool_kernels::wide_head`].
    WideHead(WideHead<'a>),
}

/// Joins constants, steps and places.
pub fn program<'a>(model: &'a QuantModel, schedule: &Schedule, memory: &MemoryPlan) -> Program<'a> {
    let mut input = Stream::Int8;
    let steps = model
        .layers
        .iter()
        .zip(&schedule.steps)
        .map(|(layer, step)| ProgramStep {
            name: &layer.name,
            macs: layer.macs,
            input: std::mem::replace(&mut input, layer.stream),
            output: layer.stream,
            bits: bits(layer),
            copy: step.copy.map(|id| memory.place(id)),
            kernel: kernel(layer, step, memory),
        })
        .collect();
    let outputs = model.outputs.iter().zip(&schedule.outputs);
    let outputs = outputs.map(|(output, &id)| {
        let layer = &model.layers[output.layer];
        ProgramOutput {
            name: &output.name,
            step: output.layer,
            map: memory.place(id),
            shape: layer.output,
            stream: layer.stream,
            quant: layer.output_quant,
        }
    });
    Program {
        input: model.input,
        steps,
        image: memory.place(schedule.image),
        feed: schedule.feed,
        logits: schedule
            .logits
            .map_or(Buffer::default(), |id| memory.place(id)),
        outputs: outputs.collect(),
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
            shift: &op.shift,
            pad: &op.pad,
            weights: weights(&op.matrix),
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
        QuantOp::ScaledPooling(op) => Kernel::ScaledPooling(ScaledPooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            norm: op.norm,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::NormedPooling(op) => Kernel::NormedPooling(NormedPooling {
            map: output,
            scratch,
            shape: dims(layer.input),
            normed: op.normed,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::Identity(op) => Kernel::Identity(Identity {
            map: output,
            channels: layer.input.channels,
            scope: op.scope,
            norm: op.norm,
            factor: &op.factor,
            offset: &op.offset,
            residual: &op.residual,
        }),
        QuantOp::RandomMixing(op) => Kernel::RandomMixing(RandomMixing {
            map: output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            normed: op.normed,
            weights: weights(&op.matrix),
            multiplier: &op.multiplier,
            constant: &op.constant,
            beta: &op.beta,
            factor: &op.factor,
            residual: &op.residual,
            offset: &op.offset,
        }),
        QuantOp::SepConv(op) => Kernel::SepConv(SepConv {
            map: output,
            scratch,
            shape: dims(layer.input),
            hidden: op.fc1.matrix.outputs,
            tile_tokens,
            normed: op.normed,
            fc1: plain_linear(&op.fc1),
            act1: op.act1.as_ref(),
            depthwise: Depthwise {
                kernel: op.depthwise.kernel,
                weights: &op.depthwise.weights,
                bias: &op.depthwise.bias,
                multiplier: &op.depthwise.multiplier,
                padding: op.depthwise.padding,
                zero: op.depthwise.zero,
            },
            act2: op.act2.as_ref(),
            fc2: residual_linear(&op.fc2),
        }),
        QuantOp::Attention(op) => Kernel::Attention(Attention {
            map: output,
            scratch,
            channels: layer.input.channels,
            heads: op.heads,
            head_size: op.projection.matrix.inputs / op.heads,
            tile_tokens,
            norm: op.norm,
            qkv: plain_linear(&op.qkv),
            exponent: op.exponent,
            attended: op.attended,
            projection: residual_linear(&op.projection),
        }),
        QuantOp::ChannelMlp(op) => {
            let fc1 = NormedLinear {
                weights: weights(&op.fc1),
                row_sums: &op.fc1_row_sums,
                bias: &op.fc1_bias,
                multiplier: &op.fc1_multiplier,
            };
            let fc2 = residual_linear(&op.fc2);
            match layer.stream {
                Stream::Int8 => Kernel::ChannelMlp(ChannelMlp {
                    map: output,
                    scratch,
                    channels: op.fc1.inputs,
                    hidden: op.fc1.outputs,
                    tile_tokens,
                    norm: op.norm,
                    fc1,
                    hidden_zero: op.hidden_zero,
                    activation: &op.activation,
                    fc2,
                }),
                Stream::Int16 => Kernel::ChannelMlpInt16(int16::channel_mlp::ChannelMlp {
                    map: output,
                    scratch,
                    channels: op.fc1.inputs,
                    hidden: op.fc1.outputs,
                    tile_tokens,
                    norm: op.norm,
                    shift: &op.shift,
                    fc1,
                    hidden_zero: op.hidden_zero,
                    activation: &op.activation,
                    fc2,
                }),
            }
        }
        QuantOp::NormedMlp(op) => Kernel::NormedMlp(NormedMlp {
            map: output,
            scratch,
            channels: op.fc1.matrix.inputs,
            hidden: op.fc1.matrix.outputs,
            tile_tokens,
            norm: op.norm,
            fc1: plain_linear(&op.fc1),
            activation: &op.activation,
            fc2: residual_linear(&op.fc2),
        }),
        QuantOp::Head(op) => Kernel::Head(Head {
            map: input,
            output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: op.norm,
            zero_point: op.zero_point,
            weights: weights(&op.matrix),
            row_sums: &op.row_sums,
            multiplier: &op.multiplier,
            bias: &op.bias,
        }),
        QuantOp::WideHead(op) => Kernel::WideHead(WideHead {
            map: input,
            output,
            scratch,
            tokens: layer.input.tokens(),
            channels: layer.input.channels,
            norm: op.norm,
            hidden: op.hidden.as_ref().map(|hidden| HeadHidden {
                fc1: wide_linear(&hidden.fc1),
                activation: &hidden.activation,
                norm: hidden.norm,
            }),
            linear: wide_linear(&op.linear),
        }),
    }
}

fn plain_linear(linear: &QuantPlainLinear) -> PlainLinear<'_> {
    PlainLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        multiplier: &linear.multiplier,
        zero: linear.zero,
    }
}

fn residual_linear(linear: &QuantResidualLinear) -> ResidualLinear<'_> {
    ResidualLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        residual: &linear.residual.factor,
        multiplier: &linear.multiplier,
        offset: &linear.residual.offset,
        zero_point: linear.residual.zero_point,
    }
}

fn wide_linear(linear: &QuantWideLinear) -> WideLinear<'_> {
    WideLinear {
        weights: weights(&linear.matrix),
        bias: &linear.bias,
        multiplier: &linear.multiplier,
    }
}

fn weights(matrix: &QuantMatrix) -> Weights<'_> {
    Weights::Int8(bytemuck::cast_slice(&matrix.weights))
}

fn bits(layer: &QuantLayer) -> [WeightBits; 2] {
    match &layer.op {
        QuantOp::PatchEmbedding(op) => [op.matrix.bits; 2],
        QuantOp::RandomMixing(op) => [op.matrix.bits; 2],
        QuantOp::SepConv(op) => [op.fc1.matrix.bits, op.fc2.matrix.bits],
        QuantOp::ChannelMlp(op) => [op.fc1.bits, op.fc2.matrix.bits],
        QuantOp::NormedMlp(op) => [op.fc1.matrix.bits, op.fc2.matrix.bits],
        QuantOp::Attention(op) => [op.qkv.matrix.bits, op.projection.matrix.bits],
        QuantOp::Head(op) => [op.matrix.bits; 2],
        QuantOp::WideHead(op) => {
            let fc1 = op.hidden.as_ref().map_or(&op.linear, |hidden| &hidden.fc1);
            [fc1.matrix.bits, op.linear.matrix.bits]
        }
        QuantOp::Pooling(_)
        | QuantOp::ScaledPooling(_)
        | QuantOp::NormedPooling(_)
        | QuantOp::Identity(_) => [WeightBits::Int8; 2],
    }
}

impl Kernel<'_> {
    /// What the step writes.
    pub fn output(&self) -> Buffer {
        match self {
            Self::PatchEmbedding(step) => step.output,
            Self::Pooling(step) => step.map,
            Self::ScaledPooling(step) => step.map,
            Self::NormedPooling(step) => step.map,
            Self::Identity(step) => step.map,
            Self::RandomMixing(step) => step.map,
            Self::SepConv(step) => step.map,
            Self::Attention(step) => step.map,
            Self::ChannelMlp(step) => step.map,
            Self::ChannelMlpInt16(step) => step.map,
            Self::NormedMlp(step) => step.map,
            Self::Head(step) => step.output,
            Self::WideHead(step) => step.output,
        }
    }

    /// What the step reads: raw pixels or a feature map.
    pub fn input(&self) -> Buffer {
        match self {
            Self::PatchEmbedding(step) => step.input,
            Self::Pooling(step) => step.map,
            Self::ScaledPooling(step) => step.map,
            Self::NormedPooling(step) => step.map,
            Self::Identity(step) => step.map,
            Self::RandomMixing(step) => step.map,
            Self::SepConv(step) => step.map,
            Self::Attention(step) => step.map,
            Self::ChannelMlp(step) => step.map,
            Self::ChannelMlpInt16(step) => step.map,
            Self::NormedMlp(step) => step.map,
            Self::Head(step) => step.map,
            Self::WideHead(step) => step.map,
        }
    }
}

impl ProgramStep<'_> {
    /// Runs the step on `arena`; the sums of the map go in and come out.
    ///
    /// # Errors
    /// A [`Fault`] if buffers and dimensions do not match.
    pub fn run(&self, stats: &Stats, arena: &mut [u8]) -> Result<Stats, Fault> {
        match (&self.kernel, self.input) {
            (Kernel::PatchEmbedding(step), input) => {
                let run = embed(input, self.output);
                run(step, arena)
            }
            (Kernel::Pooling(step), Stream::Int8) => pooling::run::<Rows>(step, stats, arena),
            (Kernel::Pooling(step), Stream::Int16) => int16::pooling::run(step, stats, arena),
            (Kernel::ScaledPooling(step), Stream::Int8) => {
                scaled_pooling::run::<Int8>(step, stats, arena)
            }
            (Kernel::ScaledPooling(step), Stream::Int16) => {
                scaled_pooling::run::<Int16>(step, stats, arena)
            }
            (Kernel::NormedPooling(step), Stream::Int8) => {
                normed_pooling::run::<Int8>(step, stats, arena)
            }
            (Kernel::NormedPooling(step), Stream::Int16) => {
                normed_pooling::run::<Int16>(step, stats, arena)
            }
            (Kernel::Identity(step), Stream::Int8) => identity::run::<Int8>(step, stats, arena),
            (Kernel::Identity(step), Stream::Int16) => identity::run::<Int16>(step, stats, arena),
            (Kernel::RandomMixing(step), Stream::Int8) => {
                random_mixing::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::RandomMixing(step), Stream::Int16) => {
                random_mixing::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::SepConv(step), Stream::Int8) => {
                sep_conv::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::SepConv(step), Stream::Int16) => {
                sep_conv::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::Attention(step), Stream::Int8) => {
                attention::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::Attention(step), Stream::Int16) => {
                attention::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::ChannelMlp(step), _) => channel_mlp::run::<Rows>(step, stats, arena),
            (Kernel::ChannelMlpInt16(step), _) => {
                int16::channel_mlp::run::<Rows>(step, stats, arena)
            }
            (Kernel::NormedMlp(step), Stream::Int8) => {
                normed_mlp::run::<Rows, Int8>(step, stats, arena)
            }
            (Kernel::NormedMlp(step), Stream::Int16) => {
                normed_mlp::run::<Rows, Int16>(step, stats, arena)
            }
            (Kernel::Head(step), Stream::Int8) => head::run(step, stats, arena).map(|()| *stats),
            (Kernel::Head(step), Stream::Int16) => {
                int16::head::run(step, stats, arena).map(|()| *stats)
            }
            (Kernel::WideHead(step), Stream::Int8) => {
                wide_head::run::<Int8>(step, stats, arena).map(|()| *stats)
            }
            (Kernel::WideHead(step), Stream::Int16) => {
                wide_head::run::<Int16>(step, stats, arena).map(|()| *stats)
            }
        }
    }
}

/// The kernel of a patch embedding.
fn embed(
    input: Stream,
    output: Stream,
) -> fn(&PatchEmbedding<'_>, &mut [u8]) -> Result<Stats, Fault> {
    match (input, output) {
        (Stream::Int8, Stream::Int8) => patch_embedding::run::<Rows>,
        (Stream::Int8, Stream::Int16) => patch_embedding::run_mixed::<Rows, Int8, Int16>,
        (Stream::Int16, Stream::Int8) => patch_embedding::run_mixed::<Rows, Int16, Int8>,
        (Stream::Int16, Stream::Int16) => patch_embedding::run_mixed::<Rows, Int16, Int16>,
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
        let mut stats = self.take(image, arena)?;
        for (number, step) in self.steps.iter().enumerate() {
            // Of an image that came in rows, the first step has run already.
            if number > 0 || self.feed == Feed::Image {
                stats = step.run(&stats, arena)?;
            }
            let output = step.kernel.output();
            if let Some(copy) = step.copy {
                output.copy(copy, arena)?;
            }
            observer.step(number, output.of(arena)?);
        }
        let (logits, _) = self.logits.of(arena)?.as_chunks::<4>();
        Ok(logits
            .iter()
            .map(|&logit| i32::from_le_bytes(logit))
            .collect())
    }
}

impl Program<'_> {
    /// The real values of what an inference that left `arena` and `logits` says: the
    /// scores, or the last output of a network without a head.
    ///
    /// # Errors
    /// A [`Fault`] if `arena` is that of a smaller program.
    pub fn scores(&self, logits: &[i32], arena: &mut Arena) -> Result<Vec<f64>, Fault> {
        match self.outputs.last() {
            Some(output) if self.logits.size == 0 => {
                let bytes = self.output_bytes(output, arena)?;
                Ok(output.quant.real_values(output.stream, bytes).collect())
            }
            _ => Ok(logits
                .iter()
                .map(|&logit| f64::from(logit) / 65_536.0)
                .collect()),
        }
    }

    /// The bytes of an output that an inference left in `arena`.
    ///
    /// # Errors
    /// A [`Fault`] if `arena` is that of a smaller program.
    pub fn output_bytes<'a>(
        &self,
        output: &ProgramOutput<'_>,
        arena: &'a mut Arena,
    ) -> Result<&'a [u8], Fault> {
        output.map.of(arena.bytes(self.arena_size))
    }
}

impl Program<'_> {
    /// Puts the image where the first step reads it, or pushes it through that step.
    fn take(&self, image: &[u8], arena: &mut [u8]) -> Result<Stats, Fault> {
        let step = self.steps.first().filter(|_| self.feed == Feed::Rows);
        if let Some(ProgramStep {
            kernel: Kernel::PatchEmbedding(embedding),
            output,
            ..
        }) = step
        {
            let run = embed(Stream::Int8, *output);
            let mut pushed = Pushed::new();
            pushed_rows::push(embedding, &mut pushed, image, arena, run)?;
            return pushed.take(embedding);
        }
        let pixels = self.image.of_mut(arena)?;
        if pixels.len() != image.len() {
            return Err(Fault::Geometry);
        }
        pixels.copy_from_slice(image);
        Ok(Stats::default())
    }

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
        let step = self.steps.get(number).ok_or(Fault::Geometry)?;
        let arena = arena.bytes(self.arena_size);
        if number == 0 && self.feed == Feed::Rows {
            self.take(map, arena)?;
            return step.kernel.output().of(arena);
        }
        let input = step.kernel.input().of_mut(arena)?;
        if input.len() != map.len() {
            return Err(Fault::Geometry);
        }
        input.copy_from_slice(map);
        step.run(stats, arena)?;
        step.kernel.output().of(arena)
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
