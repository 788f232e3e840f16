//! Networks written in Rust, taken through every stage and onto emulated boards.
use tadpool_compiler::calibrate;
use tadpool_compiler::generate::{Generated, generate};
use tadpool_compiler::given::model_toml::RangeMethod;
use tadpool_compiler::network::{
    Head, Layer, LayerName, Linear, MetaFormer, Norm, NormScope, Op, Residual, Shape,
};
use tadpool_compiler::place::schedule::ScheduleConfig;
use tadpool_compiler::quantize::precision::Precision;
use tadpool_compiler::quantize::quant_model::QuantModel;
use tadpool_compiler::quantize::{QuantError, Rounding, quantize_rounded};
use tadpool_kernels::layout::Layout;

use super::Noise;
use super::emulated::{assert_same_bytes, description};
use super::integer::{self, Quantized, images, normalised, pixels};

/// Weights that change the stream by about its own size.
pub(crate) struct Maker(pub(crate) Noise);

impl Maker {
    pub(crate) fn linear(&mut self, outputs: usize, inputs: usize) -> Linear {
        let size = (inputs as f32).sqrt().recip();
        let weight = self.0.values(outputs * inputs);
        Linear {
            outputs,
            inputs,
            weight: weight.into_iter().map(|value| size * value).collect(),
            bias: self.0.values(outputs),
        }
    }

    pub(crate) fn norm(&mut self, channels: usize) -> Norm {
        Norm {
            scope: NormScope::Map,
            centred: true,
            gamma: self.0.values(channels),
            beta: self.0.values(channels),
            epsilon: 1e-5,
        }
    }

    pub(crate) fn residual(&mut self, channels: usize) -> Residual {
        let values = self.0.values(channels);
        Residual {
            layer_scale: values.into_iter().map(|value| 0.3 * value).collect(),
            res_scale: vec![1.0; channels],
        }
    }
}

/// Layers in execution order, each on the map that the one before wrote.
pub(crate) struct Layers {
    input: Shape,
    /// The map behind the last layer.
    pub(crate) map: Shape,
    layers: Vec<Layer>,
}

impl Layers {
    pub(crate) fn of(input: Shape) -> Self {
        Self {
            input,
            map: input,
            layers: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, name: LayerName, output: Shape, op: Op) {
        let input = std::mem::replace(&mut self.map, output);
        self.layers.push(Layer {
            name,
            nodes: Vec::new(),
            input,
            output,
            op,
        });
    }

    /// The network that ends with a linear head.
    pub(crate) fn classified(mut self, norm: Norm, linear: Linear) -> MetaFormer {
        let logits = Shape {
            height: 1,
            width: 1,
            channels: linear.outputs,
        };
        let head = Op::Head(Head {
            norm: Some(norm),
            mean_norm: None,
            hidden: None,
            linear,
        });
        self.push(LayerName::Head, logits, head);
        MetaFormer {
            input: self.input,
            layers: self.layers,
        }
    }
}

/// Images that ranges come from, and what rounding looks at.
const IMAGES: usize = 12;

/// Quantizes a network with ranges from random images.
pub(crate) fn quantize(
    network: &MetaFormer,
    precision: &Precision,
) -> Result<QuantModel, QuantError> {
    integer::quantize(network, precision, IMAGES)
}

/// The same with each matrix rounded for what it computes on these images, and its
/// bias corrected.
pub(crate) fn quantize_carefully(network: &MetaFormer, precision: &Precision) -> QuantModel {
    let images = images(network, IMAGES);
    let load = |index: usize| Ok::<_, ()>(normalised(&images[index]));
    let seen = calibrate::observe(network, images.len(), load, |_, _, _| Ok(()))
        .unwrap()
        .0;
    let ranges = seen.ranges(network, RangeMethod::MinMax, precision);
    let rounding = Rounding {
        outputs: Some(&seen),
        correction: Some(&seen),
    };
    quantize_rounded(network, &ranges, &pixels(network), precision, rounding)
        .unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn placed(network: &MetaFormer, precision: &Precision) -> Quantized {
    let model = quantize(network, precision);
    place(network, model.unwrap_or_else(|error| panic!("{error}")))
}

pub(crate) fn place(network: &MetaFormer, model: QuantModel) -> Quantized {
    integer::place(network.clone(), model, &ScheduleConfig::default())
}

pub(crate) fn generated(placed: &Quantized, layout: Layout) -> Generated {
    let program = placed.program();
    generate(&program, &description(&program), layout)
}

/// Signal over noise of every step, in decibels.
pub(crate) fn step_sqnr(placed: &Quantized) -> Vec<f64> {
    integer::step_sqnr(&placed.network, &placed.model, &placed.program())
}

/// Every step of a few inferences on an emulated board is as on the host. The image is
/// audited when it is built.
pub(crate) fn assert_same_on(name: &str, placed: &Quantized) {
    let program = placed.program();
    assert_same_bytes(&program, name, &images(&placed.network, 3));
}
