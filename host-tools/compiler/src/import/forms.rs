//! The forms of networks that are imported, from the tables that the importer works by.

use serde::Serialize;

use crate::import::normalise::RULES;
use crate::import::recognise::OPERATORS;
use crate::import::recognise::whole::KINDS;
use crate::layers::RESIDUAL_LAYERS;
use crate::network::Activation;

/// Everything that is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forms {
    /// Layers of a block: what each adds to the map `x`, where `n` is its norm.
    pub blocks: Vec<Entry>,
    /// Layers outside blocks.
    pub around: Vec<Entry>,
    /// Norms, before any layer of a block.
    pub norms: Vec<Entry>,
    /// Activations, in MLPs, separable convolutions, heads and stems.
    pub activations: Vec<Entry>,
    /// Operators that are read, and where.
    pub operators: Vec<Entry>,
    /// Spellings that are rewritten before anything is looked for.
    pub rewritten: Vec<&'static str>,
    /// Files that are refused as a whole, and the remedy.
    pub refused: Vec<Entry>,
}

/// A form, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The formula, the place or the remedy.
    pub what: String,
}

/// Everything that is imported, as the importer's own tables have it.
pub fn forms() -> Forms {
    Forms {
        blocks: RESIDUAL_LAYERS
            .iter()
            .map(|layer| entry(layer.name, layer.branch))
            .collect(),
        around: AROUND
            .iter()
            .map(|(name, what)| entry(name, what))
            .collect(),
        norms: NORMS.iter().map(|(name, what)| entry(name, what)).collect(),
        activations: ACTIVATIONS.iter().map(activation).collect(),
        operators: OPERATORS
            .iter()
            .map(|operators| entry(&operators.names.join(", "), operators.place))
            .collect(),
        rewritten: RULES.iter().map(|rule| rule.forms).collect(),
        refused: KINDS
            .iter()
            .map(|kind| entry(kind.what, kind.remedy))
            .collect(),
    }
}

fn entry(name: &str, what: &str) -> Entry {
    Entry {
        name: name.to_owned(),
        what: what.to_owned(),
    }
}

const AROUND: [(&str, &str); 7] = [
    (
        "patch embedding",
        "a convolution of all channels, any window, stride and padding",
    ),
    (
        "depthwise embedding",
        "a convolution of each channel, in a stem or between stages",
    ),
    (
        "average pool, max pool",
        "in a stem or between stages, any window, stride and padding",
    ),
    (
        "activation",
        "behind a convolution of a stem or its norm; behind it ReLU and ReLU6 cost nothing",
    ),
    (
        "position embedding",
        "a constant map that is added in front of a block",
    ),
    (
        "norm",
        "behind an embedding, before a downsampling, at the end of a stage",
    ),
    (
        "head",
        "linear, an MLP or none, of the mean over tokens, its norm, or the flat map",
    ),
];

const NORMS: [(&str, &str); 5] = [
    (
        "GroupNorm",
        "one group: a mean and a deviation of the whole map",
    ),
    ("LayerNorm", "a mean and a deviation of each token"),
    (
        "RMSNorm",
        "a root mean square of each token or of the whole map",
    ),
    ("BatchNorm", "fixed statistics, which cost nothing"),
    ("none", "the map itself"),
];

/// One of each kind, with the parameters that it usually has.
const ACTIVATIONS: [Activation; 15] = [
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Relu,
    Activation::SquaredRelu,
    Activation::StarRelu {
        scale: 1.0,
        bias: 0.0,
    },
    Activation::Clip {
        lowest: 0.0,
        highest: 6.0,
    },
    Activation::Swish { alpha: 1.0 },
    Activation::HardSwish,
    Activation::Mish,
    Activation::LeakyRelu { slope: 0.01 },
    Activation::Elu { alpha: 1.0 },
    Activation::Sigmoid,
    Activation::HardSigmoid {
        slope: 1.0 / 6.0,
        offset: 0.5,
    },
    Activation::Tanh,
    Activation::Softplus,
];

fn activation(activation: &Activation) -> Entry {
    let (name, what) = match activation {
        Activation::Gelu => ("GELU", "x Phi(x)"),
        Activation::GeluTanh => (
            "GELU by tanh",
            "0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
        ),
        Activation::Relu => ("ReLU", "max(x, 0)"),
        Activation::SquaredRelu => ("squared ReLU", "max(x, 0)^2"),
        Activation::StarRelu { .. } => ("StarReLU", "scale max(x, 0)^2 + bias"),
        Activation::Clip { .. } => ("ReLU6, any Clip", "min(max(x, lowest), highest)"),
        Activation::Swish { .. } => ("SiLU, quick GELU", "x sigmoid(alpha x)"),
        Activation::HardSwish => ("Hardswish", "x min(max(x + 3, 0), 6) / 6"),
        Activation::Mish => ("Mish", "x tanh(softplus(x))"),
        Activation::LeakyRelu { .. } => ("LeakyReLU", "max(x, 0) + slope min(x, 0)"),
        Activation::Elu { .. } => ("ELU", "max(x, 0) + alpha (exp(min(x, 0)) - 1)"),
        Activation::Sigmoid => ("sigmoid", "1 / (1 + exp(-x))"),
        Activation::HardSigmoid { .. } => ("hard sigmoid", "min(max(slope x + offset, 0), 1)"),
        Activation::Tanh => ("tanh", "tanh(x)"),
        Activation::Softplus => ("softplus", "log(1 + exp(x))"),
    };
    entry(name, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_named_once() {
        let forms = forms();
        let operators = OPERATORS.iter().flat_map(|operators| operators.names);
        let mut lists = vec![operators.copied().collect::<Vec<_>>()];
        let others = [
            &forms.blocks,
            &forms.around,
            &forms.norms,
            &forms.activations,
        ];
        for list in others {
            lists.push(list.iter().map(|entry| entry.name.as_str()).collect());
        }
        for mut names in lists {
            let count = names.len();
            assert!(count > 0);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{names:?}");
        }
    }
}
