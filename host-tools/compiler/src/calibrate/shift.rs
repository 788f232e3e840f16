//! Shifts: how many bits of each channel of an int16 stream are rounded away
//! where a matrix product reads it.
//!
//! A product reads eight bits. A channel that uses a small part of the map's range
//! keeps finer ones: a power of two a channel, folded into the weights, so it costs
//! nothing.

use super::Calibration;
use crate::calibrate::ranges::Ranges;
use crate::quantize::precision::Precision;
use crate::quantize::quant_model::Stream;

/// The bits rounded away of a channel that uses the whole range.
const ALL: u8 = 8;
/// The least that is: 64 times finer. The sums of rows stay well inside 32 bits.
const LEAST: u8 = 2;

impl Calibration {
    /// The same precision, with shifts for the layers that read an int16 stream
    /// and have none.
    #[must_use]
    pub fn with_shifts(&self, ranges: &Ranges, precision: &Precision) -> Precision {
        let mut shifted = precision.clone();
        let before = precision.layers.iter().zip(&self.layers);
        let before = before.zip(&ranges.layers);
        let readers = shifted.layers.iter_mut().skip(1);
        for (((before, seen), ranges), reader) in before.zip(readers) {
            if before.stream == Stream::Int16 && reader.shift.is_empty() {
                let map = ranges.output.max.abs().max(ranges.output.min.abs());
                let shifts = seen.channels.iter().map(|&largest| shift(largest, map));
                reader.shift = shifts.collect();
            }
        }
        shifted
    }
}

/// The fewest bits with which a channel whose largest magnitude is `largest` does
/// not leave eight bits, where the map's largest one is `map`.
fn shift(largest: f32, map: f32) -> u8 {
    let stored = f64::from(largest) / f64::from(map) * 127.5 * 256.0;
    (LEAST..ALL)
        .find(|&shift| stored <= 127.0 * f64::from(1 << shift))
        .unwrap_or(ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_channels_keep_fine_steps() {
        assert_eq!(shift(8.0, 8.0), 8);
        assert_eq!(shift(4.1, 8.0), 8);
        assert_eq!(shift(3.9, 8.0), 7);
        assert_eq!(shift(0.9, 8.0), 5);
        assert_eq!(shift(0.0, 8.0), LEAST);
        // Nothing is known of an empty map.
        assert_eq!(shift(0.0, 0.0), ALL);
        assert_eq!(shift(f32::NAN, 1.0), ALL);
    }
}
