//! Signal to noise behind every step, over a few images in memory.

use rayon::prelude::*;
use tadpool_kernels::Fault;

use super::step_error::{Stored, Sums, Written};
use crate::network::MetaFormer;
use crate::network::float::{self, View};
use crate::place::program::{Arena, Program};
use crate::quantize::quant_model::QuantModel;

/// Decibels of the float network's values over how far the integer ones are from
/// them, behind every step of `quantized`; none where there is no noise. Images are
/// raw pixels, and the same normalised.
///
/// # Errors
/// A [`Fault`] if an image has another size than the network's input.
pub fn sqnr(
    network: &MetaFormer,
    quantized: &QuantModel,
    program: &Program<'_>,
    images: &[(Vec<u8>, Vec<f32>)],
) -> Result<Vec<Option<f64>>, Fault> {
    let stored: Vec<Stored> = quantized.layers.iter().map(Stored::new).collect();
    let seen = images
        .par_iter()
        .map_init(Arena::default, |arena, (pixels, normalised)| {
            let mut written = Written::default();
            program.infer(pixels, arena, &mut written)?;
            let mut sums = vec![Sums::default(); stored.len()];
            float::run(network, normalised, |view| {
                if view.kind == View::Output {
                    let stored = stored[view.index];
                    let integer = stored.values(&written.0[view.index]);
                    sums[view.index] = Sums::of(stored, view.values, &integer);
                }
            });
            Ok(sums)
        })
        .collect::<Result<Vec<_>, Fault>>()?;
    let mut total = vec![Sums::default(); stored.len()];
    for sums in &seen {
        total.iter_mut().zip(sums).for_each(|(a, b)| a.add(b));
    }
    let errors = total.iter().zip(&stored);
    Ok(errors
        .map(|(sums, &stored)| sums.error(stored).sqnr_db)
        .collect())
}
