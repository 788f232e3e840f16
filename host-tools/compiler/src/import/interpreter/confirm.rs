//! Whether the integer network computes what a file with rounding says.

use serde::Serialize;
use tadpool_kernels::Fault;

use super::{Interpreter, InterpreterError};
use crate::import::reference;
use crate::network::MetaFormer;
use crate::network::float;
use crate::place::program::{Arena, Program};

/// How far the integer network may be from the file as written: as far as the
/// file's rounding moves its own scores, and this share of the scores besides.
/// Values that the file rounds and the integer network keeps exact move no farther.
const SHARE: f64 = 0.02;

/// How the integer network compares with the file as written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Confirmation {
    /// Images compared.
    pub images: usize,
    /// Root mean square of the scores.
    pub scores: f64,
    /// Root mean square of how far rounding moves the scores of the file.
    pub rounding: f64,
    /// Root mean square of how far the integer network is from the file.
    pub difference: f64,
}

/// Why the integer network is not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// The file has an operator that is not evaluated as written.
    #[error("the file's rounding cannot be confirmed: {0}")]
    Interpreter(#[from] InterpreterError),
    /// The imported network computes something else.
    #[error(
        "the imported network is {difference:.3e} from the file without its rounding, \
         {tolerance:.3e} is allowed"
    )]
    Float {
        /// Largest difference of a score.
        difference: f64,
        /// The largest difference that is allowed.
        tolerance: f64,
    },
    /// The integer network computes something else.
    #[error(
        "the integer network is {difference:.3} from the file with its rounding (root mean square \
         of the scores), {allowed:.3} is allowed; the scales of the file were not understood, \
         please report it"
    )]
    Integer {
        /// How far it is.
        difference: f64,
        /// The largest difference that is allowed.
        allowed: f64,
    },
    /// The integer network does not run.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Compares the float and the integer network with the file on `images`, each
/// normalised and as raw pixels.
///
/// # Errors
/// See [`ConfirmError`].
pub fn confirm(
    file: &Interpreter,
    network: &MetaFormer,
    program: &Program<'_>,
    images: &[(Vec<f32>, Vec<u8>)],
    tolerance: f32,
) -> Result<Confirmation, ConfirmError> {
    let mut arena = Arena::default();
    let (mut scores, mut rounding, mut difference) = (0.0, 0.0, 0.0);
    let mut count = 0.0;
    for (normalised, pixels) in images {
        let rounded = file.run(normalised, true)?;
        let plain = file.run(normalised, false)?;
        let float = float::run(network, normalised, |_| {});
        let apart = plain
            .iter()
            .zip(&float)
            .map(|(a, &b)| (a - f64::from(b)).abs());
        // Not a number is above all others.
        let apart = apart.max_by(f64::total_cmp).unwrap_or(0.0);
        let tolerance = f64::from(reference::allowed(&float, tolerance));
        // A difference that is not a number is refused too.
        if plain.len() != float.len()
            || !matches!(apart.partial_cmp(&tolerance), Some(o) if o.is_le())
        {
            return Err(ConfirmError::Float {
                difference: apart,
                tolerance,
            });
        }
        let integers = program.infer(pixels, &mut arena, &mut ())?;
        for ((written, plain), integer) in rounded.iter().zip(&plain).zip(&integers) {
            scores += written.powi(2);
            rounding += (written - plain).powi(2);
            difference += (written - f64::from(*integer) / 65_536.0).powi(2);
            count += 1.0;
        }
    }
    let mean = |sum: f64| (sum / f64::max(count, 1.0)).sqrt();
    let confirmation = Confirmation {
        images: images.len(),
        scores: mean(scores),
        rounding: mean(rounding),
        difference: mean(difference),
    };
    let allowed = confirmation.rounding + SHARE * confirmation.scores;
    match confirmation.difference <= allowed {
        true => Ok(confirmation),
        false => Err(ConfirmError::Integer {
            difference: confirmation.difference,
            allowed,
        }),
    }
}
