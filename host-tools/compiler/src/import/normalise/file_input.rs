//! How a file takes an image.

use std::fmt;

use crate::import::graph::Element;
use crate::network::Shape;

/// How a file takes an image, and what it makes of it before its first convolution reads
/// it: for each channel `scale * x + offset`, in the order of the file's channels.
#[derive(Debug, Clone, PartialEq)]
pub struct FileInput {
    /// Order of the axes.
    pub order: Order,
    /// Type of the elements.
    pub element: Element,
    /// Images at a time.
    pub batch: usize,
    /// One factor per channel, above zero.
    pub scale: Vec<f32>,
    /// One term per channel.
    pub offset: Vec<f32>,
    /// Whether the file takes pixels from 0 to 255 and not from 0 to 1.
    pub of_bytes: bool,
    /// Whether its first convolution reads the channels in another order.
    pub reorders: bool,
}

/// Order of the axes of an image or a map, and so of its elements in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Batch, channels, height, width.
    ChannelsFirst,
    /// Batch, height, width, channels.
    ChannelsLast,
}

impl FileInput {
    /// Images of so many channels, one at a time, as they are.
    pub fn plain(channels: usize) -> Self {
        Self {
            order: Order::ChannelsFirst,
            element: Element::Float,
            batch: 1,
            scale: vec![1.0; channels],
            offset: vec![0.0; channels],
            of_bytes: false,
            reorders: false,
        }
    }

    /// The sizes of a batch of images of shape `image` in the file's order.
    pub fn shape(&self, image: Shape, batch: usize) -> [usize; 4] {
        let Shape {
            height,
            width,
            channels,
        } = image;
        match self.order {
            Order::ChannelsFirst => [batch, channels, height, width],
            Order::ChannelsLast => [batch, height, width, channels],
        }
    }

    /// Mean and standard deviation of pixels from 0 to 1 that say the same as the file.
    pub fn statistics(&self) -> (Vec<f32>, Vec<f32>) {
        let unit = if self.of_bytes { 255.0 } else { 1.0 };
        let each = self
            .scale
            .iter()
            .zip(&self.offset)
            .map(|(&scale, &offset)| {
                let std = 1.0 / (f64::from(scale) * unit);
                let mean = -f64::from(offset) * std;
                // A mean of nothing has no sign.
                ((mean + 0.0) as f32, std as f32)
            });
        each.unzip()
    }

    /// Whether the file changes the values that it is given.
    pub fn normalises(&self) -> bool {
        self.scale.iter().any(|&scale| scale != 1.0)
            || self.offset.iter().any(|&offset| offset != 0.0)
    }

    /// The file's input for which its first convolution reads `image`, which is
    /// `height x width x channels`: elements in the file's order, for one image.
    pub fn of_image(&self, image: &[f32]) -> Vec<f32> {
        let channels = self.scale.len().max(1);
        let back = |(index, &value): (usize, &f32)| {
            let channel = index % channels;
            let (scale, offset) = (self.scale[channel], self.offset[channel]);
            let x = (f64::from(value) - f64::from(offset)) / f64::from(scale);
            match self.element {
                Element::Float => x as f32,
                Element::Byte => x.round().clamp(0.0, 255.0) as f32,
            }
        };
        let values: Vec<f32> = image.iter().enumerate().map(back).collect();
        match self.order {
            Order::ChannelsLast => values,
            Order::ChannelsFirst => (0..channels)
                .flat_map(|channel| values.iter().skip(channel).step_by(channels).copied())
                .collect(),
        }
    }

    /// The note for people: none if the file takes an image as it is.
    pub fn note(&self) -> Option<String> {
        let is_plain = !self.normalises()
            && !self.reorders
            && self.order == Order::ChannelsFirst
            && self.element == Element::Float;
        (!is_plain).then(|| self.to_string())
    }
}

impl fmt::Display for FileInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, std) = self.statistics();
        let list = |values: &[f32]| -> String {
            let values: Vec<_> = values.iter().map(|value| format!("{value:.4}")).collect();
            values.join(", ")
        };
        write!(
            f,
            "the file prepares its image itself, which went into the first convolution: "
        )?;
        match self.normalises() {
            true => write!(
                f,
                "pixels from 0 to 1 minus [{}], divided by [{}]",
                list(&mean),
                list(&std)
            )?,
            false => write!(
                f,
                "pixels from 0 to {}",
                if self.of_bytes { 255 } else { 1 }
            )?,
        }
        if self.reorders {
            write!(f, ", channels in another order")?;
        }
        match self.order {
            Order::ChannelsFirst => Ok(()),
            Order::ChannelsLast => write!(f, ", channels innermost"),
        }
    }
}
