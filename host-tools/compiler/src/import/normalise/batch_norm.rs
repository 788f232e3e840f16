//! BatchNorm in inference: a factor and a term of each channel.

use super::edit::Edit;
use crate::import::graph::Node;

/// `BatchNormalization` as `x * scale + term`.
///
/// In training it takes statistics of the images, which is no such form.
pub(super) fn affine(edit: &mut Edit<'_>, node: &Node) -> Option<()> {
    if node.op != "BatchNormalization" || node.int("training_mode", 0) != 0 {
        return None;
    }
    // Statistics are given out in training only.
    if node.outputs.iter().skip(1).any(Option::is_some) {
        return None;
    }
    let x = node.input(0)?;
    let rank = edit.shape(x)?.len();
    let channels = *edit.shape(x)?.get(1)?;
    let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|index| {
        let values = edit.constant(node.input(index)?)?.to_floats();
        (values.len() == channels).then_some(values)
    });
    let (gamma, beta, mean, variance) = (gamma?, beta?, mean?, variance?);
    let epsilon = f64::from(node.float("epsilon", 1e-5));
    let (mut factors, mut terms) = (Vec::new(), Vec::new());
    for channel in 0..channels {
        let [gamma, beta, mean, variance] =
            [&gamma, &beta, &mean, &variance].map(|values| f64::from(values[channel]));
        let factor = gamma / (variance + epsilon).sqrt();
        factors.push(factor as f32);
        terms.push((beta - mean * factor) as f32);
    }
    let mut shape = vec![1; rank - 1];
    shape[0] = channels;
    let factors = edit.tensor(shape.clone(), factors)?;
    let terms = edit.tensor(shape, terms)?;
    let scaled = edit.make(node, "Mul", &[x, factors]);
    edit.replace(node, "Add", &[scaled, terms]);
    Some(())
}
