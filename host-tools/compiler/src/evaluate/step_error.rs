//! How far one step's integers are from the float network's values.

use serde::Serialize;
use tadpool_kernels::Observer;
use tadpool_kernels::norm::Stats;

use crate::quantize::quant_model::{Quant, QuantLayer, Stream};

/// How a step's output is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    quant: Quant,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bytes,
    Halves,
    Words,
}

impl Stored {
    /// How `layer` stores what it writes.
    pub(crate) fn new(layer: &QuantLayer) -> Self {
        Self {
            quant: layer.output_quant,
            kind: match (layer.op.is_head(), layer.stream) {
                (true, _) => Kind::Words,
                (_, Stream::Int8) => Kind::Bytes,
                (_, Stream::Int16) => Kind::Halves,
            },
        }
    }

    /// Size of one of the 256 steps over the range.
    fn step(&self) -> f64 {
        self.quant.scale
    }

    /// Smallest and largest real value that has an integer; none for the logits.
    fn limits(&self) -> Option<(f64, f64)> {
        let part = match self.kind {
            Kind::Bytes => 1.0,
            Kind::Halves => 1.0 / 256.0,
            Kind::Words => return None,
        };
        let zero = f64::from(self.quant.zero_point);
        let real = |q: f64| self.quant.scale * (q - zero);
        // Half a stored step beyond the first and the last.
        Some((real(-128.0 - part / 2.0), real(128.0 - part / 2.0)))
    }

    /// The sums that the step which reads `bytes` is given.
    pub(crate) fn stats(self, bytes: &[u8]) -> Stats {
        match self.kind {
            Kind::Bytes => Stats::of(bytemuck::cast_slice(bytes)),
            Kind::Halves => {
                let (halves, _) = bytes.as_chunks::<2>();
                Stats::of_int16(halves.iter().map(|&bytes| i16::from_le_bytes(bytes)))
            }
            // No step reads the logits.
            Kind::Words => Stats::default(),
        }
    }

    /// The real values of `bytes`.
    pub(crate) fn values(self, bytes: &[u8]) -> Vec<f32> {
        let zero = f64::from(self.quant.zero_point);
        let real = |q: f64| (self.quant.scale * (q - zero)) as f32;
        match self.kind {
            Kind::Bytes => bytes.iter().map(|&b| real(f64::from(b as i8))).collect(),
            Kind::Halves => {
                let (halves, _) = bytes.as_chunks::<2>();
                let q = |bytes: &[u8; 2]| f64::from(i16::from_le_bytes(*bytes)) / 256.0;
                halves.iter().map(|bytes| real(q(bytes))).collect()
            }
            Kind::Words => {
                let (words, _) = bytes.as_chunks::<4>();
                let q = |bytes: &[u8; 4]| f64::from(i32::from_le_bytes(*bytes));
                words.iter().map(|bytes| real(q(bytes))).collect()
            }
        }
    }

    /// The bytes that stand for `values`, each rounded to the nearest integer.
    pub(crate) fn bytes(self, values: &[f32]) -> Vec<u8> {
        let q = |value: f32| f64::from(value) / self.quant.scale + f64::from(self.quant.zero_point);
        match self.kind {
            Kind::Bytes => values
                .iter()
                .map(|&value| q(value).round().clamp(-128.0, 127.0) as i8 as u8)
                .collect(),
            Kind::Halves => values
                .iter()
                .flat_map(|&value| ((256.0 * q(value)).round() as i16).to_le_bytes())
                .collect(),
            Kind::Words => values
                .iter()
                .flat_map(|&value| (q(value).round() as i32).to_le_bytes())
                .collect(),
        }
    }
}

/// Sums over the values of one step, for any number of images.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    values: u64,
    float_squares: f64,
    integer_squares: f64,
    products: f64,
    noise: f64,
    largest: f64,
    clipped: u64,
    lowest: f64,
    highest: f64,
}

impl Sums {
    /// Sums over one image.
    pub(crate) fn of(stored: Stored, float: &[f32], integer: &[f32]) -> Self {
        let mut sums = Self {
            lowest: f64::INFINITY,
            highest: f64::NEG_INFINITY,
            ..Self::default()
        };
        let limits = stored.limits();
        for (&float, &integer) in float.iter().zip(integer) {
            let (float, integer) = (f64::from(float), f64::from(integer));
            let error = (float - integer).abs();
            sums.values += 1;
            sums.float_squares += float * float;
            sums.integer_squares += integer * integer;
            sums.products += float * integer;
            sums.noise += error * error;
            sums.largest = sums.largest.max(error);
            sums.clipped +=
                u64::from(limits.is_some_and(|(low, high)| float < low || float > high));
            sums.lowest = sums.lowest.min(integer);
            sums.highest = sums.highest.max(integer);
        }
        sums
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if self.values == 0 {
            *self = *other;
            return;
        }
        self.values += other.values;
        self.float_squares += other.float_squares;
        self.integer_squares += other.integer_squares;
        self.products += other.products;
        self.noise += other.noise;
        self.largest = self.largest.max(other.largest);
        self.clipped += other.clipped;
        self.lowest = self.lowest.min(other.lowest);
        self.highest = self.highest.max(other.highest);
    }

    pub(crate) fn error(&self, stored: Stored) -> StepError {
        let lengths = (self.float_squares * self.integer_squares).sqrt();
        let range = stored.limits().map(|(low, high)| high - low);
        StepError {
            sqnr_db: decibels(self.float_squares, self.noise),
            largest_error: self.largest,
            largest_error_steps: range.map(|_| self.largest / stored.step()),
            clipped: range.map(|_| self.clipped as f64 / (self.values as f64).max(1.0)),
            range_used: range.map(|range| {
                let used = self.highest - self.lowest + stored.step();
                (used / range).clamp(0.0, 1.0)
            }),
            cosine: if lengths > 0.0 {
                self.products / lengths
            } else {
                1.0
            },
        }
    }
}

/// Decibels of `signal` over `noise`; none without noise.
pub(crate) fn decibels(signal: f64, noise: f64) -> Option<f64> {
    (noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

/// How far a step's integers are from the float network, errors of earlier steps
/// included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepError {
    /// Signal to quantization noise; none if there is no noise.
    pub sqnr_db: Option<f64>,
    /// Largest absolute error of a value.
    pub largest_error: f64,
    /// The same in steps of the integers; none for the logits, which have 32 bits.
    pub largest_error_steps: Option<f64>,
    /// Share of the float values outside of the range of the integers.
    pub clipped: Option<f64>,
    /// Share of that range between the smallest and the largest integer seen.
    pub range_used: Option<f64>,
    /// Cosine similarity of all values.
    pub cosine: f64,
}

/// The bytes that every step wrote.
#[derive(Default)]
pub(crate) struct Written(pub(crate) Vec<Vec<u8>>);

impl Observer for Written {
    fn step(&mut self, _step: usize, output: &[u8]) {
        self.0.push(output.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(kind: Kind) -> Stored {
        Stored {
            quant: Quant {
                scale: 0.5,
                zero_point: -28,
            },
            kind,
        }
    }

    #[test]
    fn what_is_stored_comes_back() {
        let values = [-50.0, 0.0, 0.5, 77.5];
        for kind in [Kind::Bytes, Kind::Halves, Kind::Words] {
            let bytes = stored(kind).bytes(&values);
            assert_eq!(stored(kind).values(&bytes), values, "{kind:?}");
        }
        // Out of range, and between two steps.
        let bytes = stored(Kind::Bytes).bytes(&[-1000.0, 1000.0, 0.26]);
        assert_eq!(stored(Kind::Bytes).values(&bytes), [-50.0, 77.5, 0.5]);
        let bytes = stored(Kind::Halves).bytes(&[0.25]);
        assert_eq!(stored(Kind::Halves).values(&bytes), [0.25]);
    }

    #[test]
    fn the_next_step_is_given_the_sums_of_what_is_stored() {
        // -22, 28 and 1.5 in steps of the integers.
        let values = [3.0, 28.0, 14.75];
        let bytes = stored(Kind::Bytes).bytes(&values[..2]);
        let stats = stored(Kind::Bytes).stats(&bytes);
        assert_eq!((stats.sum, stats.sum_of_squares), (6, 22 * 22 + 28 * 28));
        let bytes = stored(Kind::Halves).bytes(&values);
        let stats = stored(Kind::Halves).stats(&bytes);
        let squares = (22 * 22 + 28 * 28) * 65_536 + 384 * 384;
        assert_eq!((stats.sum, stats.sum_of_squares), (6 * 256 + 384, squares));
    }

    #[test]
    fn limits_are_half_a_stored_step_beyond_the_integers() {
        assert_eq!(stored(Kind::Bytes).limits(), Some((-50.25, 77.75)));
        let fine = 0.25 / 256.0;
        let limits = Some((-50.0 - fine, 78.0 - fine));
        assert_eq!(stored(Kind::Halves).limits(), limits);
        assert_eq!(stored(Kind::Words).limits(), None);
    }

    #[test]
    fn errors_are_counted_by_hand() {
        let stored = stored(Kind::Bytes);
        let mut sums = Sums::of(stored, &[3.0, -60.0], &[3.5, -50.0]);
        sums.add(&Sums::of(stored, &[0.0, 4.0], &[0.0, 4.0]));
        let error = sums.error(stored);
        let expected = 10.0 * ((9.0 + 3600.0 + 16.0) / 100.25f64).log10();
        assert!((error.sqnr_db.unwrap() - expected).abs() < 1e-9);
        assert_eq!(error.largest_error, 10.0);
        assert_eq!(error.largest_error_steps, Some(20.0));
        assert_eq!(error.clipped, Some(0.25));
        // From -50 to 4 in steps of 0.5, of 256 steps.
        assert_eq!(error.range_used, Some(109.0 / 256.0));
        assert_eq!(Sums::default().error(stored).sqnr_db, None);
    }
}
