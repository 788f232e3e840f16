//! Activation: a table over the whole values of the map that is read.

use super::QuantActivation;
use crate::network::Activation;
use crate::quantize::QuantError;
use crate::quantize::context::Context;
use crate::quantize::quant_model::Quant;

pub(crate) fn quantize(
    context: &Context<'_>,
    activation: Activation,
    output: Quant,
) -> Result<QuantActivation, QuantError> {
    let stream = context.stream()?;
    let mut table = Box::new([0; 257]);
    for (place, entry) in table.iter_mut().enumerate() {
        let real = activation.apply(stream.real(place as i32 - 128));
        let written = real / output.scale + f64::from(output.zero_point);
        let steps = (written * 65_536.0 + context.half_step()).round();
        if !steps.is_finite() {
            return Err(context.unsupported("an activation that is no number for some value"));
        }
        // What lies beyond all values that can be written may be cut off.
        *entry = steps.clamp(-2f64.powi(30), 2f64.powi(30)) as i32;
    }
    Ok(QuantActivation { table })
}
