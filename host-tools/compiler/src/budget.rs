//! Budgets: what is given up so that a model fits a board, by what it costs.

mod sensitivity;

use std::str::FromStr;

use serde::Serialize;

use crate::place::schedule::ScheduleConfig;
use crate::quantize::precision::{Choice, Widened};
use crate::quantize::quant_model::Stream;

pub use sensitivity::{Probe, Sensitivity, choose, int4_saving_bytes, narrowed, sensitivities};

/// The limits of an image on a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Budget {
    /// Bytes of flash.
    pub flash_bytes: Option<u64>,
    /// Bytes of RAM.
    pub ram_bytes: Option<u64>,
    /// Microseconds of an inference. [`fit`] cannot keep it: whoever predicts latency compares.
    pub latency_us: Option<u64>,
}

/// Most microseconds of a budget: an hour.
const MOST_US: f64 = 3.6e9;

/// A budget that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write flash=256K, ram=32K, ms=150 or several with commas between (K and M are 1024 and 1048576 bytes)"
)]
pub struct BudgetError(String);

/// Bytes that an image takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Of flash.
    pub flash_bytes: u64,
    /// Of RAM.
    pub ram_bytes: u64,
}

/// One way to build a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Bits of each layer.
    pub choice: Choice,
    /// Choices of the schedule.
    pub schedule: ScheduleConfig,
}

/// The precision that was given up for a budget.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Traded {
    /// Matrices that are kept in four bits.
    pub weights: Vec<Sensitivity>,
    /// Stages that have an int8 stream again, though more was measured to be needed.
    pub stages: Vec<Widened>,
    /// Tokens that a matrix product takes at a time now, if these were more.
    pub tile_tokens: Option<usize>,
}

/// A budget that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Of flash.
    #[error(
        "the smallest image that can be had takes {smallest} bytes of flash, {} more than the budget of {budget}: all weights are int4 but those of the first and the last layer{}; take a smaller network",
        smallest - budget, pinned(pins)
    )]
    Flash {
        /// Bytes of the smallest image.
        smallest: u64,
        /// Bytes that it may take.
        budget: u64,
        /// Names that are pinned.
        pins: Vec<String>,
    },
    /// Of RAM.
    #[error(
        "the smallest image that can be had takes {smallest} bytes of RAM, {} more than the budget of {budget}: one token at a time, and an int8 residual stream{}; take a smaller network or smaller images",
        smallest - budget, pinned(pins)
    )]
    Ram {
        /// Bytes of the smallest image.
        smallest: u64,
        /// Bytes that it may take.
        budget: u64,
        /// Names that are pinned.
        pins: Vec<String>,
    },
}

/// Builds the model so that it keeps `budget`: `base` as it is if that fits, else
/// with as little given up as possible. What `pins` names stays.
///
/// `build` builds an attempt and tells what its image takes; `measure` tells what
/// narrowing each matrix of a precision costs, which is asked for only if flash is
/// short.
///
/// # Errors
/// A [`FitError`], or what `build` and `measure` return.
pub fn fit<T, E: From<FitError>>(
    budget: Budget,
    base: Attempt,
    pins: &[String],
    mut build: impl FnMut(&Attempt) -> Result<(T, Taken), E>,
    measure: impl FnOnce(&Attempt) -> Result<Vec<Sensitivity>, E>,
) -> Result<(Attempt, T, Traded), E> {
    let flash_limit = budget.flash_bytes.unwrap_or(u64::MAX);
    let ram_limit = budget.ram_bytes.unwrap_or(u64::MAX);
    let mut attempt = base;
    let mut traded = Traded::default();
    let (mut built, mut taken) = build(&attempt)?;

    while taken.ram_bytes > ram_limit {
        save_ram(&mut attempt, &mut traded, ram_limit, taken, pins)?;
        (built, taken) = build(&attempt)?;
    }
    if taken.flash_bytes > flash_limit {
        let all = measure(&attempt)?;
        let wide = attempt.choice.precision.clone();
        // Packing pads matrices, so what is saved is known from the image.
        let mut wanted = 0;
        while taken.flash_bytes > flash_limit {
            if traded.weights.len() == all.len() {
                let error = FitError::Flash {
                    smallest: taken.flash_bytes,
                    budget: flash_limit,
                    pins: pins.to_vec(),
                };
                return Err(error.into());
            }
            wanted += taken.flash_bytes - flash_limit;
            let chosen = choose(&all, wanted);
            attempt.choice.precision = narrowed(&wide, chosen.iter().copied());
            traded.weights = chosen.into_iter().cloned().collect();
            (built, taken) = build(&attempt)?;
        }
        // Unpacking four bits takes a little RAM.
        while taken.ram_bytes > ram_limit {
            save_ram(&mut attempt, &mut traded, ram_limit, taken, pins)?;
            (built, taken) = build(&attempt)?;
        }
    }
    Ok((attempt, built, traded))
}

/// Gives up what is left that takes RAM: first speed, then precision, from the
/// largest maps on.
fn save_ram(
    attempt: &mut Attempt,
    traded: &mut Traded,
    budget: u64,
    taken: Taken,
    pins: &[String],
) -> Result<(), FitError> {
    if attempt.schedule.tile_tokens > 1 {
        attempt.schedule.tile_tokens = 1;
        traded.tile_tokens = Some(1);
        return Ok(());
    }
    if attempt.choice.widened.is_empty() {
        return Err(FitError::Ram {
            smallest: taken.ram_bytes,
            budget,
            pins: pins.to_vec(),
        });
    }
    let stage = attempt.choice.widened.remove(0);
    attempt.choice.precision.set_stream(&stage, Stream::Int8);
    traded.stages.push(stage);
    Ok(())
}

fn pinned(pins: &[String]) -> String {
    match pins {
        [] => String::new(),
        pins => format!(", and what is pinned ({})", pins.join(", ")),
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        const SHOWN: usize = 60;
        let shown = |text: &str| -> String {
            let start: String = text.chars().take(SHOWN).collect();
            format!("`{}`", start.escape_debug())
        };
        let mut budget = Self::default();
        for part in text.split(',') {
            let wrong = |problem: &str| BudgetError(format!("{} {problem}", shown(part)));
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| wrong("has no `=` between what is limited and its limit"))?;
            let (place, limit) = match name {
                "flash" => (&mut budget.flash_bytes, bytes(value)),
                "ram" => (&mut budget.ram_bytes, bytes(value)),
                "ms" => (&mut budget.latency_us, microseconds(value)),
                _ => return Err(wrong("limits none of `flash`, `ram` and `ms`")),
            };
            let limit = limit.map_err(wrong)?;
            if place.replace(limit).is_some() {
                return Err(wrong("is the second limit of the same"));
            }
        }
        Ok(budget)
    }
}

/// Bytes, in K or M if that follows.
///
/// # Errors
/// What is wrong with `text`.
pub fn bytes(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1u64),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = digits.parse().ok().and_then(|n: u64| n.checked_mul(unit));
    match bytes {
        Some(0) => Err("leaves nothing"),
        Some(bytes) => Ok(bytes),
        None if is_number => Err("is more than any memory has"),
        None => Err("is no whole number of bytes, with K or M behind it or nothing"),
    }
}

/// Microseconds of a number of milliseconds; or what is wrong with it.
fn microseconds(text: &str) -> Result<u64, &'static str> {
    match text.parse().map(|ms: f64| 1e3 * ms) {
        Ok(us) if (1.0..=MOST_US).contains(&us) => Ok(us.round() as u64),
        Ok(us) if us.is_finite() => Err("is not between 0.001 ms and an hour"),
        _ => Err("is no number of milliseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{LayerName, StageName};
    use crate::quantize::precision::{LayerPrecision, Precision};
    use crate::quantize::quant_model::WeightBits;

    #[test]
    fn budgets_are_read() {
        let budget: Budget = "flash=256K,ram=32768".parse().unwrap();
        assert_eq!(budget.flash_bytes, Some(262_144));
        assert_eq!(budget.ram_bytes, Some(32_768));
        assert_eq!("flash=1M".parse::<Budget>().unwrap().ram_bytes, None);
        assert_eq!("ms=1.5".parse::<Budget>().unwrap().latency_us, Some(1500));
        for (text, problem) in [
            ("", "`` has no `=`"),
            ("flash", "`flash` has no `=`"),
            ("flash=", "`flash=` is no whole number"),
            ("flash=K", "no whole number"),
            ("flash=256KB", "`flash=256KB` is no whole number"),
            ("flash=1.5M", "no whole number"),
            ("flash=0", "leaves nothing"),
            ("flash=-1", "no whole number"),
            ("rom=1K", "`rom=1K` limits none of"),
            ("flash=1K, ram=2K", "` ram=2K` limits none of"),
            ("flash=1K,flash=2K", "`flash=2K` is the second"),
            ("flash=99999999999999999999", "more than any memory"),
            ("flash=18014398509481984K", "more than any memory"),
            ("ms=0", "not between"),
            ("ms=1e9", "not between"),
            ("ms=fast", "no number of milliseconds"),
            ("ms=NaN", "no number of milliseconds"),
        ] {
            let error = text.parse::<Budget>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    const LIMITS: Budget = Budget {
        flash_bytes: Some(1000),
        ram_bytes: Some(98),
        latency_us: None,
    };

    /// Three matrices of 400 weights and a stage that was widened.
    fn base() -> Attempt {
        let layer = LayerPrecision {
            stream: Stream::Int16,
            ..LayerPrecision::default()
        };
        let widened = Widened {
            stage: StageName(1),
            layers: vec![0, 1, 2],
            step: LayerName::Embedding { stage: 1 },
            sqnr_db: 12.0,
        };
        Attempt {
            choice: Choice {
                precision: Precision {
                    layers: vec![layer; 3],
                },
                widened: vec![widened],
            },
            schedule: ScheduleConfig {
                tile_tokens: 4,
                ..ScheduleConfig::default()
            },
        }
    }

    /// The size of an attempt: bytes beside the weights, and of the stream.
    fn taken(attempt: &Attempt, other: u64, stream: u64) -> Taken {
        let (mut flash_bytes, mut ram_bytes) = (other, attempt.schedule.tile_tokens as u64);
        for layer in &attempt.choice.precision.layers {
            flash_bytes += match layer.weights[0] {
                WeightBits::Int8 => 400,
                WeightBits::Int4 => 210,
            };
            ram_bytes += stream * layer.stream.value_bytes() as u64;
        }
        Taken {
            flash_bytes,
            ram_bytes,
        }
    }

    fn sensitivities(_: &Attempt) -> Result<Vec<Sensitivity>, FitError> {
        let sensitivity = |layer, error| Sensitivity {
            name: format!("layer{layer}"),
            layer,
            slot: 0,
            saved_bytes: 200,
            error,
        };
        Ok(vec![
            sensitivity(0, 0.5),
            sensitivity(1, 0.1),
            sensitivity(2, 0.3),
        ])
    }

    fn fitted(other: u64, stream: u64) -> Result<(Attempt, Taken, Traded), FitError> {
        let build = |attempt: &Attempt| {
            let taken = taken(attempt, other, stream);
            Ok::<_, FitError>((taken, taken))
        };
        fit(LIMITS, base(), &[], build, sensitivities)
    }

    #[test]
    fn nothing_is_given_up_in_vain() {
        let (attempt, _, traded) = fitted(0, 10).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(traded.tile_tokens, None);
        assert_eq!(attempt.choice.widened.len(), 1);
        // 1200 bytes of weights are 200 too many: one matrix saves 190, two do.
        let names = traded.weights.iter().map(|weights| &weights.name[..]);
        assert_eq!(names.collect::<Vec<_>>(), ["layer1", "layer2"]);
    }

    #[test]
    fn speed_goes_before_precision() {
        let (attempt, taken, traded) = fitted(0, 16).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((taken.ram_bytes, traded.tile_tokens), (97, Some(1)));
        assert!(traded.stages.is_empty());
        assert_eq!(attempt.choice.precision.layers[0].stream, Stream::Int16);
        let (attempt, taken, traded) = fitted(0, 30).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((taken.ram_bytes, traded.stages.len()), (91, 1));
        assert_eq!(attempt.choice.precision.layers[2].stream, Stream::Int8);
    }

    #[test]
    fn the_smallest_that_can_be_had_is_named() {
        let error = fitted(500, 1).unwrap_err();
        let smallest = 500 + 3 * 210;
        assert!(
            matches!(&error, FitError::Flash { smallest: found, .. } if *found == smallest),
            "{error}"
        );
        assert!(error.to_string().contains("1130 bytes of flash, 130 more"));
        let error = fitted(0, 50).unwrap_err();
        assert!(
            error.to_string().contains("151 bytes of RAM, 53 more"),
            "{error}"
        );
    }
}
