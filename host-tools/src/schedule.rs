//! The schedule: which step reads and writes which buffer, and when.
//!
//! Every step but a patch embedding updates the residual stream in place, so a
//! stage has one buffer for its map. A patch embedding writes the next stage's
//! map over the map that it reads, as far as the order of its rows allows.

use memory_planner::{
    Axis, Buffer, BufferId, Problem, Relation, SlidingWindow, sliding_window_overlap,
};
use tadpool_kernels::channel_mlp::ChannelMlp;
use tadpool_kernels::head::Head;
use tadpool_kernels::patch_embedding::PatchEmbedding;
use tadpool_kernels::pooling::Pooling;

use crate::quant_model::{QuantLayer, QuantMatrix, QuantModel, QuantOp, QuantPatchEmbedding};

/// Alignment of scratch buffers, for views as 32-bit integers and double loads.
const SCRATCH_ALIGNMENT: u64 = 8;
/// Alignment of maps, for loads of four values.
const MAP_ALIGNMENT: u64 = 4;

/// Steps in execution order and the placement problem of their buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// One step a layer.
    pub steps: Vec<Step>,
    /// Buffers with live ranges counted in steps.
    pub problem: Problem,
    /// Where the raw pixels go.
    pub image: BufferId,
    /// Where the logits come from.
    pub logits: BufferId,
}

/// Buffers of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What is read; equals `output` for a step in place.
    pub input: BufferId,
    /// What is written.
    pub output: BufferId,
    /// The kernel's temporary, if it needs one.
    pub scratch: Option<BufferId>,
    /// Tokens that the kernel takes at a time.
    pub tile_tokens: usize,
}

/// Choices of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// Tokens that matrix products take at a time.
    pub tile_tokens: usize,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { tile_tokens: 2 }
    }
}

/// Lays out the steps of `model`.
pub fn schedule(model: &QuantModel, config: &ScheduleConfig) -> Schedule {
    // The region is unbounded here: what a board holds is checked on the plan.
    let mut problem = Problem::with_capacity(u64::MAX);
    let image = problem.add_buffer(
        Buffer::new("image", 0..1, model.input.elements() as u64).aligned(MAP_ALIGNMENT),
    );

    let mut steps = Vec::with_capacity(model.layers.len());
    let mut map = image;
    for (time, layer) in (0u32..).zip(&model.layers) {
        let scratch = scratch_size(layer, config.tile_tokens).map(|size| {
            let name = format!("{}.scratch", layer.name);
            let scratch = Buffer::new(name, time..time + 1, size as u64);
            problem.add_buffer(scratch.aligned(SCRATCH_ALIGNMENT))
        });
        problem.buffers[map.index()].live.end = time + 1;
        let input = map;
        if let Some((name, size)) = new_output(layer) {
            map = problem
                .add_buffer(Buffer::new(name, time..time + 1, size as u64).aligned(MAP_ALIGNMENT));
        }
        if let QuantOp::PatchEmbedding(op) = &layer.op {
            problem.relations.push(Relation::MayOverlap {
                lower: map,
                upper: input,
                bytes: sliding_window_overlap(&window(layer, op, config.tile_tokens)),
            });
        }
        steps.push(Step {
            input,
            output: map,
            scratch,
            tile_tokens: config.tile_tokens,
        });
    }
    Schedule {
        steps,
        problem,
        image,
        logits: map,
    }
}

/// Name and size of the buffer that a layer begins, if it does not work in place.
fn new_output(layer: &QuantLayer) -> Option<(String, usize)> {
    match layer.op {
        QuantOp::PatchEmbedding(_) => {
            let stage = layer.name.split('.').next().unwrap_or(&layer.name);
            Some((format!("{stage}.map"), layer.output.elements()))
        }
        QuantOp::Head(_) => Some(("logits".to_owned(), 4 * layer.output.elements())),
        QuantOp::Pooling(_) | QuantOp::Identity(_) | QuantOp::ChannelMlp(_) => None,
    }
}

fn scratch_size(layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
    match &layer.op {
        QuantOp::PatchEmbedding(op) => {
            let QuantMatrix {
                inputs, outputs, ..
            } = op.matrix;
            Some(PatchEmbedding::scratch_size(inputs, outputs, tile_tokens))
        }
        QuantOp::Pooling(_) => Some(Pooling::scratch_size(
            layer.input.width,
            layer.input.channels,
        )),
        QuantOp::Identity(_) => None,
        QuantOp::ChannelMlp(op) => Some(ChannelMlp::scratch_size(
            op.fc1.inputs,
            op.fc1.outputs,
            tile_tokens,
        )),
        QuantOp::Head(_) => Some(Head::scratch_size(layer.input.channels)),
    }
}

fn window(layer: &QuantLayer, op: &QuantPatchEmbedding, tile_tokens: usize) -> SlidingWindow {
    // Shapes fit 32 bits, or the model would not fit any memory.
    let axis = |direction: usize, inputs: usize, outputs: usize| Axis {
        inputs: inputs as u32,
        outputs: outputs as u32,
        window: op.kernel[direction] as u32,
        stride: op.stride[direction] as u32,
        padding: op.padding[direction] as u32,
    };
    SlidingWindow {
        rows: axis(0, layer.input.height, layer.output.height),
        columns: axis(1, layer.input.width, layer.output.width),
        in_token_bytes: layer.input.channels as u64,
        out_token_bytes: layer.output.channels as u64,
        tile_tokens: tile_tokens as u32,
    }
}
