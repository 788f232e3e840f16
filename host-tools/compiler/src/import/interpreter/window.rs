//! Operators that move a window over height and width.

use std::sync::Arc;

use super::Array;
use super::Unevaluated;
use crate::import::constant_folding::Window;
use crate::import::graph::Node;

/// A convolution in any number of groups.
pub(super) fn conv(
    node: &Node,
    input: &Array,
    weight: &Array,
    bias: &Array,
) -> Result<Array, Unevaluated> {
    let (&[_, channels, height, width], &[outputs, inputs, rows, columns]) =
        (&input.shape[..], &weight.shape[..])
    else {
        return Err(Unevaluated::Convolution);
    };
    let places = Places::new(node, [rows, columns], [height, width])?;
    let groups = channels / inputs.max(1);
    let per_group = (outputs / groups.max(1)).max(1);
    let mut values = Vec::with_capacity(outputs * places.count());
    for output in 0..outputs {
        let first = output / per_group * inputs;
        let start = bias.values.get(output).copied().unwrap_or(0.0);
        places.each(|window| {
            let mut sum = start;
            for (dy, dx, y, x) in window {
                for channel in 0..inputs {
                    let value = input.values[((first + channel) * height + y) * width + x];
                    let place = ((output * inputs + channel) * rows + dy) * columns + dx;
                    sum += value * weight.values[place];
                }
            }
            values.push(sum);
        });
    }
    Ok(Array {
        shape: vec![1, outputs, places.output[0], places.output[1]],
        values: Arc::new(values),
    })
}

pub(super) fn average(node: &Node, input: &Array) -> Result<Array, Unevaluated> {
    let kernel_shape = node.ints("kernel_shape").unwrap_or(&[]);
    let (&[rows, columns], &[_, channels, height, width]) = (kernel_shape, &input.shape[..]) else {
        return Err(Unevaluated::Pooling);
    };
    let places = Places::new(node, [rows as usize, columns as usize], [height, width])?;
    let all = (rows * columns) as f64;
    let mut values = Vec::with_capacity(channels * places.count());
    for channel in 0..channels {
        places.each(|window| {
            let (mut sum, mut count) = (0.0, 0.0);
            for (_, _, y, x) in window {
                sum += input.values[(channel * height + y) * width + x];
                count += 1.0;
            }
            let padding_counts = node.int("count_include_pad", 0) != 0;
            values.push(sum / if padding_counts { all } else { count });
        });
    }
    Ok(Array {
        shape: vec![1, channels, places.output[0], places.output[1]],
        values: Arc::new(values),
    })
}

pub(super) fn largest(node: &Node, input: &Array) -> Result<Array, Unevaluated> {
    let kernel_shape = node.ints("kernel_shape").unwrap_or(&[]);
    let (&[rows, columns], &[_, channels, height, width]) = (kernel_shape, &input.shape[..]) else {
        return Err(Unevaluated::Pooling);
    };
    let places = Places::new(node, [rows as usize, columns as usize], [height, width])?;
    let mut values = Vec::with_capacity(channels * places.count());
    for channel in 0..channels {
        places.each(|window| {
            let covered = window.into_iter();
            let each = covered.map(|(_, _, y, x)| input.values[(channel * height + y) * width + x]);
            values.push(each.fold(f64::NEG_INFINITY, f64::max));
        });
    }
    Ok(Array {
        shape: vec![1, channels, places.output[0], places.output[1]],
        values: Arc::new(values),
    })
}

pub(super) fn global_average(input: &Array) -> Result<Array, Unevaluated> {
    let &[_, channels, height, width] = &input.shape[..] else {
        return Err(Unevaluated::Pooling);
    };
    let plane = height * width;
    let means = input.values.chunks(plane.max(1));
    Ok(Array {
        shape: vec![1, channels, 1, 1],
        values: Arc::new(
            means
                .map(|p| p.iter().sum::<f64>() / plane as f64)
                .collect(),
        ),
    })
}

/// Where a window goes.
struct Places {
    window: Window,
    kernel_shape: [usize; 2],
    input: [usize; 2],
    output: [usize; 2],
}

impl Places {
    fn new(node: &Node, kernel_shape: [usize; 2], input: [usize; 2]) -> Result<Self, Unevaluated> {
        if node.int("ceil_mode", 0) != 0 {
            return Err(Unevaluated::Border);
        }
        let window = Window::of(node, &kernel_shape, &input)?;
        let output = [0, 1].map(|axis| {
            let reach = (kernel_shape[axis] - 1) * window.dilations[axis] + 1;
            let padded = input[axis] + window.padding[axis] + window.padding[axis + 2];
            (padded - reach) / window.strides[axis] + 1
        });
        Ok(Self {
            window,
            kernel_shape,
            input,
            output,
        })
    }

    fn count(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Calls `visit` for every place with the elements that the window covers
    /// there: row and column of the window, then of the map.
    fn each(&self, mut visit: impl FnMut(Vec<(usize, usize, usize, usize)>)) {
        let along = |axis: usize, at: usize| {
            let start = at * self.window.strides[axis];
            (0..self.kernel_shape[axis]).filter_map(move |step| {
                let place = (start + step * self.window.dilations[axis])
                    .checked_sub(self.window.padding[axis])?;
                (place < self.input[axis]).then_some((step, place))
            })
        };
        for row in 0..self.output[0] {
            for column in 0..self.output[1] {
                let covered = along(0, row)
                    .flat_map(|(dy, y)| along(1, column).map(move |(dx, x)| (dy, dx, y, x)));
                visit(covered.collect());
            }
        }
    }
}
