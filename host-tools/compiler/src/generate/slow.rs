//! Steps that run on a slow path of a core's kernels, and what would make them fast.

use std::fmt;

use serde::Serialize;
use tadpool_boards::KernelVariant;
use tadpool_kernels::layout::Layout;
use tadpool_kernels::visit::{AnyStep, Field, Fields, Values, Visitor};

use super::model::layout_of_kernel;
use crate::place::program::Program;

/// A step that the kernels have no loop of their own for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlowStep {
    /// The step's name.
    pub name: String,
    /// Why it is slow.
    pub reason: String,
    /// The change that would make it fast.
    pub remedy: &'static str,
}

impl fmt::Display for SlowStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is slow: {}; what is fast: {}",
            self.name, self.reason, self.remedy
        )
    }
}

/// The steps of a program that such kernels run in plain Rust. None for kernels that are
/// plain Rust but for their products.
pub fn slow_steps(program: &Program<'_>, kernels: KernelVariant) -> Vec<SlowStep> {
    let layout = super::layout(kernels);
    let steps = program.steps.iter();
    steps
        .filter_map(|step| {
            let (reason, remedy) = slow(&*step.kernel, step.input.into(), layout)?;
            Some(SlowStep {
                name: step.name.to_string(),
                reason,
                remedy,
            })
        })
        .collect()
}

/// Windows that the cores' loops take have at most as many rows and columns.
const LARGEST_WINDOW: usize = 7;

/// Why a step is slow, and the remedy.
fn slow(kernel: &dyn AnyStep, input: Values, layout: Layout) -> Option<(String, &'static str)> {
    if layout == Layout::Rows {
        return None;
    }
    let sizes = Sizes::of(kernel);
    let is_plain = || layout_of_kernel(kernel, input, layout) == Layout::Rows;
    match kernel.name() {
        "Pooling" if input == Values::Int16 => Some((
            "pooling on a 16-bit stream has no loop of its own".into(),
            "stream = \"int8\" where the accuracy allows it",
        )),
        "Pooling" if is_plain() => {
            let channels = sizes.shape.last().copied().unwrap_or_default();
            let remedy = match layout {
                Layout::Helium | Layout::HeliumPadded => "at least eight channels",
                _ => "a multiple of four channels",
            };
            Some((
                format!("pooling of {channels} channels has no loop of its own"),
                remedy,
            ))
        }
        "ScaledPooling" => Some((
            "pooling with a res scale, or that subtracts nothing, has no loop of its own".into(),
            "pooling that subtracts its input, without a res scale",
        )),
        "NormedPooling" => Some((
            "pooling behind a norm of each token has no loop of its own".into(),
            "a norm of the whole map, as GroupNorm with one group",
        )),
        "WidePooling" => Some((
            format!("pooling of {} has no loop of its own", sizes.window()),
            "windows of 3x3",
        )),
        "DepthwiseEmbedding" => Some((
            format!(
                "strided windows of {} of each channel have no loop of their own",
                sizes.window()
            ),
            "a depthwise convolution of stride 1, or a downsampling over all channels",
        )),
        "Attention" if is_plain() => Some((
            "its heads do not fit the loop of matrix products".into(),
            "heads of a multiple of four values, and at most 516 tokens",
        )),
        "DepthwiseMixer" | "SepConv" if sizes.window.iter().any(|&side| side > LARGEST_WINDOW) => {
            Some((
                format!(
                    "depthwise windows of {} have no loop of their own",
                    sizes.window()
                ),
                "windows of at most 7x7",
            ))
        }
        _ if kernel.takes(layout, input) && is_plain() => Some((
            "its weights are too many or too large for the accumulators of the loop of \
             matrix products"
                .into(),
            "shorter rows of weights, or smaller weights",
        )),
        _ => None,
    }
}

/// Sizes among a step's fields.
#[derive(Debug, Default)]
struct Sizes {
    shape: Vec<usize>,
    window: Vec<usize>,
}

impl Sizes {
    fn of(kernel: &dyn AnyStep) -> Self {
        let mut sizes = Self::default();
        (kernel as &dyn Fields).visit(&mut sizes);
        sizes
    }

    /// Rows and columns of the window, or the side of a square one.
    fn window(&self) -> String {
        let sides: Vec<_> = self.window.iter().map(ToString::to_string).collect();
        match &sides[..] {
            [side] => format!("{side}x{side}"),
            sides => sides.join("x"),
        }
    }
}

impl Visitor for Sizes {
    fn field(&mut self, name: &'static str, field: Field<'_>) {
        match (name, field) {
            ("shape", Field::Sizes(sizes)) => self.shape = sizes.to_vec(),
            ("window", Field::Sizes(sizes)) => self.window = sizes.to_vec(),
            ("window", Field::Integer(side)) => self.window = vec![side as usize],
            (_, Field::Part(fields) | Field::Layer(fields)) => fields.visit(self),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tadpool_kernels::Buffer;
    use tadpool_kernels::norm::Norm;
    use tadpool_kernels::pooling::{Pooling, Subtracted};
    use tadpool_kernels::scaled_pooling::ScaledPooling;

    use super::*;

    fn pooling(channels: usize) -> Pooling<'static> {
        Pooling {
            map: Buffer::default(),
            scratch: Buffer::default(),
            shape: [4, 4, channels],
            norm: Norm::FIXED,
            factor: &[],
            residual: 0,
            offset: 0,
        }
    }

    #[test]
    fn pooling_is_fast_where_its_channels_have_a_loop() {
        let slow = |channels, input, layout| slow(&pooling(channels), input, layout);
        assert_eq!(slow(12, Values::Int8, Layout::Dsp), None);
        assert_eq!(slow(13, Values::Int8, Layout::Helium), None);
        assert_eq!(slow(13, Values::Int8, Layout::Rows), None);
        let (reason, remedy) = slow(13, Values::Int8, Layout::Dsp).unwrap();
        assert!(reason.contains("13 channels"), "{reason}");
        assert_eq!(remedy, "a multiple of four channels");
        let (_, remedy) = slow(7, Values::Int8, Layout::Helium).unwrap();
        assert_eq!(remedy, "at least eight channels");
        let (reason, _) = slow(12, Values::Int16, Layout::Dsp).unwrap();
        assert!(reason.contains("16-bit"), "{reason}");
    }

    #[test]
    fn a_res_scale_makes_pooling_slow() {
        let step = ScaledPooling {
            map: Buffer::default(),
            scratch: Buffer::default(),
            shape: [4, 4, 8],
            norm: Norm::FIXED,
            factor: &[],
            residual: &[],
            offset: &[],
            subtracted: Subtracted::Pooled,
        };
        let (reason, _) = slow(&step, Values::Int8, Layout::Helium).unwrap();
        assert!(reason.contains("res scale"), "{reason}");
    }
}
