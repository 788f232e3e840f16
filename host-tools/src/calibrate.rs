//! Calibration: the activation ranges of a network over a set of images.

use rayon::prelude::*;

use crate::float::{self, View};
use crate::ir::MetaFormer;
use crate::ranges::{Range, Ranges};

/// Ranges from the smallest to the largest value that any image gives.
///
/// `load` reads image `i` of `count`, normalised; images are taken in parallel,
/// one at a time per thread, and the result does not depend on the order.
///
/// # Errors
/// The first error of `load`.
pub fn min_max<E: Send>(
    network: &MetaFormer,
    count: usize,
    load: impl Fn(usize) -> Result<Vec<f32>, E> + Sync,
) -> Result<Ranges, E> {
    (0..count)
        .into_par_iter()
        .map(|index| Ok(of_image(network, &load(index)?)))
        .try_reduce(|| Ranges::empty(network), |a, b| Ok(a.union(b)))
}

/// Ranges over one normalised image.
fn of_image(network: &MetaFormer, image: &[f32]) -> Ranges {
    let mut ranges = Ranges::empty(network);
    float::run(network, image, |view| {
        let layer = &mut ranges.layers[view.index];
        let range = match view.kind {
            View::Preactivation => &mut layer.pre_activation,
            View::Hidden => &mut layer.hidden,
            View::Output => &mut layer.output,
        };
        *range = Range::of(view.values);
    });
    ranges
}
