//! The program: every step's kernel with its constants and its buffers.
//!
//! The one form that the simulator executes and the code generator writes out.
//! Weights are row-major here, a byte each; the generator packs them for the
//! board's kernels, which write the same bytes in every layout and from any
//! number of bits.

mod run;

use tadpool_kernels::norm::Stats;
use tadpool_kernels::patch_embedding::PatchEmbedding;
use tadpool_kernels::pushed_rows::{self, Pushed};
use tadpool_kernels::visit::AnyStep;
use tadpool_kernels::{Buffer, Fault, Observer, TrainedHead};

use run::embed;

use crate::given::model_toml::Feed;
use crate::layers::Places;
use crate::network::{LayerName, Shape};
use crate::place::memory::MemoryPlan;
use crate::place::schedule::{Schedule, Step};
use crate::quantize::quant_model::{Quant, QuantLayer, QuantModel, QuantOp, Stream, WeightBits};

/// A network ready to run in one arena.
#[derive(Debug)]
pub struct Program<'a> {
    /// Rows, columns and channels of the image.
    pub input: Shape,
    /// Steps in execution order.
    pub steps: Vec<ProgramStep<'a>>,
    /// Where the raw pixels go: all of them, or the rows that the first window needs.
    pub image: Buffer,
    /// How they get there.
    pub feed: Feed,
    /// The first step of an image that comes row by row.
    rows: Option<PatchEmbedding<'a>>,
    /// Where the logits come from, four bytes each, if the network has a head.
    pub logits: Option<Buffer>,
    /// Maps that stay in the arena, beside the logits.
    pub outputs: Vec<ProgramOutput<'a>>,
    /// Bytes of the arena.
    pub arena_size: usize,
}

/// A map that stays in the arena until the end of an inference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProgramOutput<'a> {
    /// Its name in the description.
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
#[derive(Debug)]
pub struct ProgramStep<'a> {
    /// The layer's place in the network.
    pub name: LayerName,
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
    pub kernel: Box<dyn AnyStep + Send + Sync + 'a>,
}

/// Joins constants, steps and places.
pub fn program<'a>(model: &'a QuantModel, schedule: &Schedule, memory: &MemoryPlan) -> Program<'a> {
    let mut input = Stream::Int8;
    let steps = model
        .layers
        .iter()
        .zip(&schedule.steps)
        .map(|(layer, step)| ProgramStep {
            name: layer.name,
            macs: layer.macs,
            input: std::mem::replace(&mut input, layer.stream),
            output: layer.stream,
            bits: bits(layer),
            copy: step.copy.map(|id| memory.place(id)),
            kernel: layer.op.layer().step(layer, &places(step, memory)),
        })
        .collect();
    let first = model.layers.first().zip(schedule.steps.first());
    let rows = first.and_then(|(layer, step)| match &layer.op {
        QuantOp::PatchEmbedding(op) if schedule.feed == Feed::Rows => {
            Some(op.constants(layer, &places(step, memory)))
        }
        _ => None,
    });
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
        rows,
        logits: schedule.logits.map(|id| memory.place(id)),
        outputs: outputs.collect(),
        arena_size: memory.arena_size,
    }
}

/// Where the buffers of a step lie.
fn places(step: &Step, memory: &MemoryPlan) -> Places {
    let scratch = step.scratch.map(|id| memory.place(id));
    Places {
        input: memory.place(step.input),
        output: memory.place(step.output),
        scratch: scratch.unwrap_or_default(),
        tile_tokens: step.tile_tokens,
    }
}

/// Bits on the board of the layer's matrices: of both, or twice those of the only one.
fn bits(layer: &QuantLayer) -> [WeightBits; 2] {
    match layer.op.layer().matrices()[..] {
        [] => [WeightBits::Int8; 2],
        [matrix] => [matrix.bits; 2],
        [first, second, ..] => [first.bits, second.bits],
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
            if observer.goes_on(number).is_break() {
                return Err(Fault::Stopped);
            }
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
        let logits = self.logits.map_or(Ok(&[][..]), |logits| logits.of(arena))?;
        let (logits, _) = logits.as_chunks::<4>();
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
            Some(output) if self.logits.is_none() => {
                let bytes = self.output_bytes(output, arena)?;
                Ok(output.quant.real_values(output.stream, bytes).collect())
            }
            _ => Ok(logits
                .iter()
                .map(|&logit| f64::from(logit) / 65_536.0)
                .collect()),
        }
    }

    /// The linear layer at the end, from which a new one can be learned.
    pub fn trained_head(&self) -> Option<TrainedHead<'_>> {
        self.steps.last()?.kernel.trained_head()
    }

    /// What the head of the inference that left `arena` has read: as many values as
    /// [`Self::trained_head`] says.
    ///
    /// # Errors
    /// A [`Fault`] if the network has no head, or `arena` is that of a smaller program.
    pub fn features(&self, arena: &mut Arena) -> Result<Vec<i16>, Fault> {
        let head = self.trained_head().ok_or(Fault::Geometry)?;
        let mut features = vec![0; head.features()];
        head.read(arena.bytes(self.arena_size), &mut features)?;
        Ok(features)
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
        if let (Some(embedding), Some(step)) = (&self.rows, self.steps.first()) {
            let run = embed(Stream::Int8, step.output);
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
