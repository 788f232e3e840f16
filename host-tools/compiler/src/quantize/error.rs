//! Why a network cannot be quantized.

/// Why a network cannot be quantized.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QuantError {
    /// Calibration saw nothing, or saw infinities.
    #[error(
        "layer `{layer}`: the range of its {what} is not finite; check the calibration images, mean and std, and the network's weights for NaN"
    )]
    Range {
        /// Place in the network.
        layer: String,
        /// Which values.
        what: &'static str,
    },
    /// A parameter is not a finite number.
    #[error("layer `{layer}`: {what} holds a value that is not finite; export the model again")]
    NotFinite {
        /// Place in the network.
        layer: String,
        /// Which parameter.
        what: &'static str,
    },
    /// A constant of the integer formula does not fit its width.
    #[error(
        "layer `{layer}`, channel {channel}: {what} is {value:.4e}, the int8 kernel can represent at most {limit:.4e}; a channel this far from the others needs retraining with weight decay or a wider residual stream"
    )]
    Unrepresentable {
        /// Place in the network.
        layer: String,
        /// Output channel.
        channel: usize,
        /// Which constant.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The largest that fits.
        limit: f64,
    },
    /// A step in place cannot change the width of the stream.
    #[error(
        "layer `{layer}` updates the residual stream in place and cannot change its width; choose int8 or int16 for the whole stage"
    )]
    StreamWidth {
        /// Place in the network.
        layer: String,
    },
    /// Shifts that do not fit the map.
    #[error(
        "layer `{layer}`: {count} shifts of at most {largest} bits were chosen for an int16 stream of {channels} channels; choose one of at most 8 bits per channel, or none"
    )]
    Shift {
        /// Place in the network.
        layer: String,
        /// Number of shifts.
        count: usize,
        /// The largest of them.
        largest: u8,
        /// Channels of the map that is read.
        channels: usize,
    },
    /// The precision is that of another network.
    #[error("the precision of {found} layers was chosen for a network of {expected}")]
    Precision {
        /// Layers with a precision.
        found: usize,
        /// Layers of the network.
        expected: usize,
    },
    /// No kernel computes it.
    #[error(
        "layer `{layer}`: {what} has no integer kernel; `Supported networks` in README.md tells what has one"
    )]
    Unsupported {
        /// Place in the network.
        layer: String,
        /// The function that is computed.
        what: &'static str,
    },
    /// A kernel has no integer form for this geometry.
    #[error("layer `{layer}`: {what} is {value}, the kernels support {supported}")]
    Geometry {
        /// Place in the network.
        layer: String,
        /// Which dimension.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The range that is possible.
        supported: &'static str,
    },
}
