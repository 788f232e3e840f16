//! Intervals of real values.

/// A closed interval of real values; empty until a value was seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

impl Default for Range {
    fn default() -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Range {
    /// The interval that holds all of `values`.
    pub fn of(values: &[f32]) -> Self {
        // Eight at a time, so that no value waits for the one before.
        let (eights, rest) = values.as_chunks::<8>();
        let mut lanes = [Self::default(); 8];
        for eight in eights {
            for (lane, &value) in lanes.iter_mut().zip(eight) {
                lane.add(value);
            }
        }
        let mut range = lanes.into_iter().fold(Self::default(), Self::union);
        rest.iter().for_each(|&value| range.add(value));
        range
    }

    /// Widens the interval to a value, unless that is none.
    #[inline(always)]
    fn add(&mut self, value: f32) {
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }

    /// The smallest interval that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// Whether a value was seen and all were finite.
    pub fn is_finite(self) -> bool {
        self.min.is_finite() && self.max.is_finite() && self.min <= self.max
    }
}
