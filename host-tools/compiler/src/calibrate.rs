//! Calibration: what the values of a network are like over a set of images.

mod findings;
mod shift;

pub mod equalise;
pub mod ranges;

use std::collections::BTreeMap;

use rayon::prelude::*;
use tadpool_float::{keep_larger, largest, largest_magnitude};

use crate::calibrate::ranges::{LayerRanges, Range, Ranges, Trained, inner_views};
use crate::given::model_toml::RangeMethod;
use crate::network::MetaFormer;
use crate::network::float::{self, View};
use crate::quantize::precision::Precision;
use crate::quantize::quant_model::Stream;

pub use findings::{Finding, LabelledPixels, MAX_IMAGES, findings};
pub use tadpool_float::{Histogram, Moments};

/// Images that are in memory together.
const BATCH: usize = 8;
/// Most inputs of a matrix whose moments are taken; 128 MiB of products.
const MAX_INPUTS: usize = 4096;
/// Most tokens of one image whose products are taken, spread over its map.
const MAX_TOKENS: usize = 256;

/// The statistics of a network's maps, in the order of [`MetaFormer::layers`].
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// One entry a layer.
    pub layers: Vec<LayerCalibration>,
}

/// The statistics of one layer's maps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerCalibration {
    /// Of the values that the layer writes.
    pub output: Histogram,
    /// The largest magnitude in each channel of these.
    pub channels: Vec<f32>,
    /// Of the layer's other maps that become integers, see [`inner_views`].
    pub inner: BTreeMap<View, Histogram>,
    /// Of the values between `fc1` and the activation, if the layer has one.
    pub pre_activation: Histogram,
    /// The largest of these in each hidden channel, or zero.
    pub hidden_channels: Vec<f32>,
    /// Of the values behind that activation.
    pub hidden: Range,
    /// The moments of the inputs of the layer's matrices, in the order of
    /// [`LayerPrecision::weights`](crate::quantize::precision::LayerPrecision::weights):
    /// windows of a patch embedding, the normed map without the norm's weight
    /// and bias, and the hidden values of a channel MLP, those behind a depthwise
    /// convolution, or the attended ones of a self-attention.
    pub inputs: [Option<Moments>; 2],
}

/// Runs the float network over images and takes down what it sees.
///
/// `load` reads image `i` of `count`, normalised; `look` is given its number, the image
/// and the network's scores. Images are taken in parallel, a few at a time, and added in
/// their order: the result is the same whatever the number of threads.
///
/// # Errors
/// The error of the first image of which `load` or `look` made one.
pub fn observe<T: Send, E: Send>(
    network: &MetaFormer,
    count: usize,
    load: impl Fn(usize) -> Result<Vec<f32>, E> + Sync,
    look: impl Fn(usize, &[f32], &[f32]) -> Result<T, E> + Sync,
) -> Result<(Calibration, Vec<T>), E> {
    let mut calibration = Calibration::empty(network);
    let mut looks = Vec::with_capacity(count);
    for start in (0..count).step_by(BATCH) {
        let seen: Vec<Result<(Seen, T), E>> = (start..count.min(start + BATCH))
            .into_par_iter()
            .map(|index| {
                let image = load(index)?;
                let (seen, scores) = Seen::of(network, &image);
                Ok((seen, look(index, &image, &scores)?))
            })
            .collect();
        let seen: Vec<(Seen, T)> = seen.into_iter().collect::<Result<_, E>>()?;
        let (seen, news): (Vec<Seen>, Vec<T>) = seen.into_iter().unzip();
        looks.extend(news);
        let layers = calibration.layers.par_iter_mut().enumerate();
        layers.for_each(|(index, layer)| {
            for seen in &seen {
                layer.add(&seen.layers[index]);
            }
        });
    }
    Ok((calibration, looks))
}

/// Ranges from the smallest to the largest value that any image gives.
///
/// The same as those of [`Calibration::ranges`] with [`RangeMethod::MinMax`],
/// without taking anything else down.
///
/// # Errors
/// The first error of `load`.
pub fn min_max<E: Send>(
    network: &MetaFormer,
    count: usize,
    load: impl Fn(usize) -> Result<Vec<f32>, E> + Sync,
) -> Result<Ranges, E> {
    let of_image = |image: &[f32]| {
        let mut ranges = Ranges::empty(network);
        float::run(network, image, |view| {
            let layer = &mut ranges.layers[view.index];
            let range = match view.kind {
                View::Preactivation => &mut layer.pre_activation,
                View::Hidden => &mut layer.hidden,
                View::Output => &mut layer.output,
                kind if inner_views(&view.layer.op).contains(&kind) => {
                    layer.inner.entry(kind).or_default()
                }
                _ => return,
            };
            *range = Range::of(view.values);
        });
        ranges
    };
    (0..count)
        .into_par_iter()
        .map(|index| Ok(of_image(&load(index)?)))
        .try_reduce(|| Ranges::empty(network), |a, b| Ok(a.union(b)))
}

impl Calibration {
    /// The empty statistics, before any image.
    fn empty(network: &MetaFormer) -> Self {
        let moments = |inputs: usize| {
            (1..=MAX_INPUTS)
                .contains(&inputs)
                .then(|| Moments::new(inputs))
        };
        let layers = network.layers.iter().map(|layer| LayerCalibration {
            inputs: {
                let mut inputs = [None, None];
                let matrices = layer.op.layer().matrices();
                for (seen, matrix) in inputs.iter_mut().zip(&matrices) {
                    *seen = matrix.reads.and_then(|_| moments(matrix.inputs));
                }
                inputs
            },
            ..LayerCalibration::default()
        });
        Self {
            layers: layers.collect(),
        }
    }

    /// The ranges that `method` chooses. A map of an int16 stream, whose steps
    /// are fine enough for all of it, keeps every value.
    pub fn ranges(
        &self,
        network: &MetaFormer,
        method: RangeMethod,
        precision: &Precision,
    ) -> Ranges {
        let layers = network.layers.iter().zip(&self.layers);
        let layers = layers
            .zip(&precision.layers)
            .map(|((layer, seen), precision)| {
                let map_method = match precision.stream {
                    Stream::Int8 => method,
                    Stream::Int16 => RangeMethod::MinMax,
                };
                let choose = |histogram: &Histogram, method| match method {
                    RangeMethod::MinMax => histogram.min_max(),
                    RangeMethod::Percentile(percent) => histogram.percentile(percent),
                    RangeMethod::Mse => histogram.least_error(),
                    RangeMethod::Kl => histogram.least_divergence(),
                };
                let pre_activation = match (layer.op.activation(), method) {
                    (Some(activation), RangeMethod::Mse) => {
                        let all = seen.pre_activation.min_max();
                        seen.pre_activation
                            .least_activated_error(&|x| activation.apply(x), all)
                    }
                    (_, method) => choose(&seen.pre_activation, method),
                };
                let finite = |histogram: &Histogram, range: Range| {
                    // Infinities are not hidden by a narrow range.
                    if histogram.min_max().is_finite() {
                        range
                    } else {
                        histogram.min_max()
                    }
                };
                LayerRanges {
                    output: finite(&seen.output, choose(&seen.output, map_method)),
                    pre_activation: finite(&seen.pre_activation, pre_activation),
                    hidden: seen.hidden,
                    inner: seen
                        .inner
                        .iter()
                        .map(|(&view, histogram)| {
                            (view, finite(histogram, choose(histogram, method)))
                        })
                        .collect(),
                    trained: Trained::default(),
                }
            });
        Ranges {
            layers: layers.collect(),
        }
    }
}

impl LayerCalibration {
    fn add(&mut self, seen: &SeenLayer) {
        self.output.merge(&seen.output);
        keep_larger(&mut self.channels, &seen.channels);
        keep_larger(&mut self.hidden_channels, &seen.hidden_channels);
        self.hidden = self.hidden.union(seen.hidden);
        for (&view, histogram) in &seen.inner {
            self.inner.entry(view).or_default().merge(histogram);
        }
        if let Some(pre_activation) = &seen.pre_activation {
            self.pre_activation.merge(pre_activation);
        }
        for (moments, tokens) in self.inputs.iter_mut().zip(&seen.inputs) {
            if let Some(moments) = moments {
                moments.add(tokens);
            }
        }
    }
}

/// The statistics of one image.
struct Seen {
    layers: Vec<SeenLayer>,
}

#[derive(Default)]
struct SeenLayer {
    output: Histogram,
    inner: BTreeMap<View, Histogram>,
    channels: Vec<f32>,
    hidden_channels: Vec<f32>,
    pre_activation: Option<Histogram>,
    hidden: Range,
    /// Tokens that each matrix reads.
    inputs: [Vec<f32>; 2],
}

impl Seen {
    /// The same, and the network's scores.
    fn of(network: &MetaFormer, image: &[f32]) -> (Self, Vec<f32>) {
        let mut layers: Vec<_> = network
            .layers
            .iter()
            .map(|_| SeenLayer::default())
            .collect();
        let scores = float::run(network, image, |view| {
            let layer = &mut layers[view.index];
            let stride = view.layer.output.tokens().div_ceil(MAX_TOKENS);
            let mut keep = |slot: usize| {
                let tokens = view.values.chunks_exact(view.channels).step_by(stride);
                tokens.for_each(|token| layer.inputs[slot].extend_from_slice(token));
            };
            let matrices = view.layer.op.layer().matrices();
            for (slot, _) in (0..)
                .zip(&matrices)
                .filter(|(_, m)| m.reads == Some(view.kind))
            {
                keep(slot);
            }
            match view.kind {
                View::Hidden => layer.hidden = Range::of(view.values),
                View::Preactivation => {
                    layer.pre_activation = Some(Histogram::of(view.values));
                    layer.hidden_channels = largest(view.values, view.channels);
                }
                View::Output => {
                    layer.output = Histogram::of(view.values);
                    layer.channels = largest_magnitude(view.values, view.channels);
                }
                _ => {}
            }
            if inner_views(&view.layer.op).contains(&view.kind) {
                let histogram = Histogram::of(view.values);
                layer.inner.insert(view.kind, histogram);
            }
        });
        (Self { layers }, scores)
    }
}
