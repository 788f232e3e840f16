//! The schedule: which step reads and writes which buffer, and when.
//!
//! Every step but a patch embedding updates the residual stream in place, so a
//! stage has one buffer for its map. A patch embedding writes the next stage's
//! map over the map that it reads, as far as the order of its rows allows.

use memory_planner::{
    Axis, Buffer, BufferId, Problem, Relation, SlidingWindow, sliding_window_overlap,
};
use tadpool_kernels::pushed_rows;

use crate::given::model_toml::Feed;
use crate::layers::{Windows, Writes};
use crate::network::Shape;
use crate::quantize::quant_model::{
    QuantLayer, QuantModel, QuantOp, QuantOutput, Stream, WeightBits,
};

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
    /// Where the raw pixels go: all of them, or the rows that the first window needs.
    pub image: BufferId,
    /// How they get there.
    pub feed: Feed,
    /// Where the logits come from, if the network has a head.
    pub logits: Option<BufferId>,
    /// Where the model's outputs stay, in their order.
    pub outputs: Vec<BufferId>,
}

/// Buffers of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The map that is read; equals `output` for a step in place.
    pub input: BufferId,
    /// The map that is written.
    pub output: BufferId,
    /// The kernel's temporary, if it needs one.
    pub scratch: Option<BufferId>,
    /// Where the map that was written is copied to, since it is an output and the next
    /// step works in place.
    pub copy: Option<BufferId>,
    /// Tokens that the kernel takes at a time.
    pub tile_tokens: usize,
}

/// Tokens that a layer with int4 weights takes at a time, at least and at most:
/// its weights are unpacked once for all of them. It takes as many as leave the
/// arena no larger than other steps make it.
const UNPACKED_TILE_TOKENS: [usize; 2] = [4, 16];

/// Choices of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// Tokens that matrix products take at a time.
    pub tile_tokens: usize,
    /// How the firmware takes an image.
    pub feed: Feed,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            tile_tokens: 2,
            feed: Feed::Image,
        }
    }
}

/// Lays out the steps of `model`.
pub fn schedule(model: &QuantModel, config: &ScheduleConfig) -> Schedule {
    // The region is unbounded here: what a board holds is checked on the plan.
    let mut problem = Problem::with_capacity(u64::MAX);
    let image = problem.add_buffer(
        Buffer::new("image", 0..1, image_bytes(model, config.feed) as u64).aligned(MAP_ALIGNMENT),
    );
    let end = model.layers.len() as u32;
    let mut outputs = vec![image; model.outputs.len()];

    let mut steps = Vec::with_capacity(model.layers.len());
    let mut map = image;
    let tile_tokens = tile_tokens(model, config);
    for (time, ((layer, input_stream), tile_tokens)) in
        (0u32..).zip(with_input_streams(model).zip(tile_tokens))
    {
        let scratch = scratch_size(layer, tile_tokens).map(|size| {
            let name = format!("{}.scratch", layer.name);
            let scratch = Buffer::new(name, time..time + 1, size as u64);
            problem.add_buffer(scratch.aligned(SCRATCH_ALIGNMENT))
        });
        let live = &mut problem.buffers[map.index()].live;
        live.end = live.end.max(time + 1);
        let input = map;
        if let Some((name, size)) = new_output(layer) {
            map = problem
                .add_buffer(Buffer::new(name, time..time + 1, size as u64).aligned(MAP_ALIGNMENT));
        }
        let is_whole = time > 0 || config.feed == Feed::Image;
        if let Some(windows) = layer.op.layer().windows()
            && is_whole
            && problem.buffers[input.index()].live.end == time + 1
        {
            problem.relations.push(Relation::MayOverlap {
                lower: map,
                upper: input,
                bytes: sliding_window_overlap(&window(layer, windows, input_stream, tile_tokens)),
            });
        }
        let copy = keep(model, time, map, end, &mut problem, &mut outputs);
        steps.push(Step {
            input,
            output: map,
            scratch,
            copy,
            tile_tokens,
        });
    }
    Schedule {
        steps,
        problem,
        image,
        feed: config.feed,
        logits: (model.classes() > 0).then_some(map),
        outputs,
    }
}

/// Bytes of the image that are in the arena together.
fn image_bytes(model: &QuantModel, feed: Feed) -> usize {
    let Shape {
        width, channels, ..
    } = model.input;
    match (feed, model.layers.first().map(|layer| &layer.op)) {
        (Feed::Rows, Some(QuantOp::PatchEmbedding(op))) => {
            pushed_rows::window_size(op.window[0], width, channels)
        }
        _ => model.input.elements(),
    }
}

/// Keeps the map that step `time` writes until the end, if it is an output; where it
/// is copied to, if the next step would write over it.
fn keep(
    model: &QuantModel,
    time: u32,
    map: BufferId,
    end: u32,
    problem: &mut Problem,
    outputs: &mut [BufferId],
) -> Option<BufferId> {
    let is_asked = |output: &QuantOutput| output.layer == time as usize;
    let output = model.outputs.iter().find(|output| is_asked(output))?;
    let next = model.layers.get(time as usize + 1);
    let in_place = next.is_some_and(|next| new_output(next).is_none());
    let kept = if in_place {
        let size = problem.buffers[map.index()].size;
        let copy = Buffer::new(output.name.clone(), time..end, size);
        problem.add_buffer(copy.aligned(MAP_ALIGNMENT))
    } else {
        problem.buffers[map.index()].live.end = end;
        map
    };
    for (output, place) in model.outputs.iter().zip(outputs) {
        if is_asked(output) {
            *place = kept;
        }
    }
    in_place.then_some(kept)
}

/// Every layer with the width of the map that it reads.
fn with_input_streams(model: &QuantModel) -> impl Iterator<Item = (&QuantLayer, Stream)> {
    let written = model.layers.iter().map(|layer| layer.stream);
    model
        .layers
        .iter()
        .zip(std::iter::once(Stream::Int8).chain(written))
}

/// Tokens that each layer takes at a time.
fn tile_tokens(model: &QuantModel, config: &ScheduleConfig) -> Vec<usize> {
    let [least, most] = UNPACKED_TILE_TOKENS.map(|tokens| tokens.max(config.tile_tokens));
    let at_least = |layer: &QuantLayer| match unpacks(layer) {
        true => least,
        false => config.tile_tokens,
    };
    let sizes =
        with_input_streams(model).map(|(layer, input)| size_in_use(layer, input, at_least(layer)));
    let largest = sizes.max().unwrap_or(0);
    with_input_streams(model)
        .map(|(layer, input)| {
            let more = (least..=most).rev().filter(|tokens| tokens % 4 == 0);
            let fitting = more
                .filter(|_| unpacks(layer))
                .find(|&tokens| size_in_use(layer, input, tokens) <= largest);
            fitting.unwrap_or(at_least(layer))
        })
        .collect()
}

/// Whether a layer multiplies tokens with weights that have to be unpacked.
fn unpacks(layer: &QuantLayer) -> bool {
    let op = layer.op.layer();
    let matrices = op.matrices();
    let mut bits = matrices.iter().map(|matrix| matrix.bits);
    op.is_tiled() && bits.any(|bits| bits == WeightBits::Int4)
}

/// Bytes that a step uses, if they lie as close as they may.
fn size_in_use(layer: &QuantLayer, input: Stream, tile_tokens: usize) -> usize {
    let read = layer.input.elements() * input.value_bytes();
    let maps = match layer.op.layer().windows() {
        Some(windows) => {
            let window = window(layer, windows, input, tile_tokens);
            let shared = sliding_window_overlap(&window) as usize;
            read + layer.output_bytes() - shared.min(read).min(layer.output_bytes())
        }
        None => read + new_output(layer).map_or(0, |(_, size)| size),
    };
    maps + scratch_size(layer, tile_tokens).unwrap_or(0)
}

/// Name and size of the buffer that a layer begins, if it does not work in place.
fn new_output(layer: &QuantLayer) -> Option<(String, usize)> {
    match layer.op.layer().writes() {
        Writes::InPlace => None,
        Writes::Map => {
            let name = match layer.name.stage() {
                Some(stage) => format!("{stage}.map"),
                None => format!("{}.map", layer.name),
            };
            Some((name, layer.output_bytes()))
        }
        Writes::Logits => Some(("logits".to_owned(), layer.output_bytes())),
    }
}

fn scratch_size(layer: &QuantLayer, tile_tokens: usize) -> Option<usize> {
    layer.op.layer().scratch_size(layer, tile_tokens)
}

fn window(
    layer: &QuantLayer,
    windows: Windows,
    input: Stream,
    tile_tokens: usize,
) -> SlidingWindow {
    // Shapes fit 32 bits, or the model would not fit any memory.
    let axis = |direction: usize, inputs: usize, outputs: usize| Axis {
        inputs: inputs as u32,
        outputs: outputs as u32,
        window: windows.window[direction] as u32,
        stride: windows.stride[direction] as u32,
        padding: windows.padding[direction] as u32,
    };
    SlidingWindow {
        rows: axis(0, layer.input.height, layer.output.height),
        columns: axis(1, layer.input.width, layer.output.width),
        in_token_bytes: (layer.input.channels * input.value_bytes()) as u64,
        out_token_bytes: (layer.output.channels * layer.stream.value_bytes()) as u64,
        tile_tokens: windows.at_once.unwrap_or(tile_tokens) as u32,
    }
}
