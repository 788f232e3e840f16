//! The sizes of a map.

use std::fmt;

/// Height, width and channels of a feature map; element `(y, x, c)` lies at
/// `(y * width + x) * channels + c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Values per token.
    pub channels: usize,
}

impl Shape {
    /// Positions of the map.
    pub fn tokens(&self) -> usize {
        self.height * self.width
    }

    /// Values of the map.
    pub fn elements(&self) -> usize {
        self.tokens() * self.channels
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}
