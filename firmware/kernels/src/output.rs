//! Maps that an inference leaves in the arena for whoever reads them.

use crate::Buffer;

/// A feature map, and what its values mean.
///
/// `real = (value - zero_point) * multiplier / 2^shift`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Output {
    /// Its name in the model's description.
    pub name: &'static str,
    /// Where it lies: token after token, channels fastest.
    pub map: Buffer,
    /// Rows, columns and channels.
    pub shape: [usize; 3],
    /// Bytes of a value, signed, little-endian: one or two.
    pub value_bytes: usize,
    /// Value that stands for zero.
    pub zero_point: i32,
    /// Below `2^31`.
    pub multiplier: u32,
    /// At most 62.
    pub shift: u32,
}
