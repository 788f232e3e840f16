//! A part of a map whose axes are neither channels first nor channels last: how
//! queries, keys and values of the heads lie among the outputs of a linear layer.

use std::rc::Rc;

use super::axes;
use super::form::{Form, Order, Sum, Term};
use crate::network::Shape;

/// Elements of a map at `offset` plus a stride per axis; element
/// `(token, channel)` of the map has the index `token * channels + channel`.
#[derive(Debug, Clone)]
pub(crate) struct Strided {
    /// A linear layer's output, or what attention makes of the values.
    pub(crate) term: Term,
    /// Of the whole map.
    pub(crate) shape: Shape,
    /// Factor of every element.
    pub(crate) scale: f32,
    pub(crate) offset: usize,
    /// Size and stride of each axis of the tensor, outermost first.
    pub(crate) axes: Vec<(usize, usize)>,
}

impl Strided {
    /// A map of one plain term that is seen as a tensor of sizes `shape`.
    pub(crate) fn of(sum: &Sum, shape: &[usize]) -> Option<Self> {
        let term = sum.absorbed()?;
        if !matches!(term, Term::Linear(_) | Term::Attended(_)) {
            return None;
        }
        let (channels, tokens) = (sum.shape.channels, sum.shape.tokens());
        let places = axes::find(shape, channels, tokens, sum.order)?;
        let mut axes: Vec<_> = shape.iter().map(|&size| (size, 0)).collect();
        for (range, unit) in [(places.channels, 1), (places.tokens, channels)] {
            let mut stride = unit;
            for axis in range.rev() {
                axes[axis].1 = stride;
                stride *= shape[axis];
            }
        }
        Some(Self {
            term,
            shape: sum.shape,
            scale: 1.0,
            offset: 0,
            axes,
        })
    }

    /// The same as a form: a map again, if it is all of one in a map's order.
    pub(crate) fn form(self) -> Form {
        let (channels, tokens) = (self.shape.channels, self.shape.tokens());
        let runs = runs(&self.axes);
        let order = match (self.offset, &runs[..]) {
            (0, &[(count, 1)]) if count == channels * tokens => Some(Order::ChannelsLast),
            (0, &[(count, 1), (rows, stride)])
                if (count, rows, stride) == (channels, tokens, channels) =>
            {
                Some(Order::ChannelsFirst)
            }
            _ => None,
        };
        match order {
            Some(order) => {
                let sum = Sum::of(self.term, self.shape, order);
                Form::Map(Rc::new(sum.scaled(|v, _| v * self.scale)))
            }
            None => Form::Strided(self),
        }
    }

    /// With the axes in another order.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        let axes = order.iter().map(|&axis| self.axes[axis]).collect();
        Self {
            axes,
            ..self.clone()
        }
    }

    /// With other axes over the same elements in the same order, if strides can
    /// say it; `shape` has as many elements.
    pub(crate) fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        let mut runs = runs(&self.axes);
        let mut axes = Vec::with_capacity(shape.len());
        for &size in shape.iter().rev() {
            if size == 1 {
                axes.push((1, 0));
                continue;
            }
            let (left, stride) = runs.pop()?;
            if !left.is_multiple_of(size) {
                return None;
            }
            axes.push((size, stride));
            if left > size {
                runs.push((left / size, stride * size));
            }
        }
        axes.reverse();
        runs.is_empty().then(|| Self {
            axes,
            ..self.clone()
        })
    }

    /// Places `start` to `start + count` of one axis.
    pub(crate) fn narrowed(&self, axis: usize, start: usize, count: usize) -> Self {
        let mut narrow = self.clone();
        narrow.offset += start * self.axes[axis].1;
        narrow.axes[axis].0 = count;
        narrow
    }

    /// Without an axis of size 1.
    pub(crate) fn without(&self, axis: usize) -> Self {
        let mut less = self.clone();
        less.axes.remove(axis);
        less
    }
}

/// Axes of size 1 dropped, and neighbours joined where one stride serves both.
fn runs(axes: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &(size, stride) in axes.iter().filter(|(size, _)| *size != 1) {
        match runs.last_mut() {
            Some(last) if last.1 == size * stride => *last = (last.0 * size, stride),
            _ => runs.push((size, stride)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::super::form::{LinearTerm, Shared, StreamId};
    use super::*;
    use crate::network::Linear;

    /// The output of a linear layer: 2x3 tokens of 3 blocks of 2 heads of size 4.
    fn qkv() -> Sum {
        let linear = Linear {
            outputs: 24,
            inputs: 1,
            weight: vec![1.0; 24],
            bias: vec![0.0; 24],
        };
        let input = Term::Stream(StreamId(0));
        let term = Term::Linear(Shared::new(LinearTerm { input, linear }));
        let shape = Shape {
            height: 2,
            width: 3,
            channels: 24,
        };
        Sum::of(term, shape, Order::ChannelsLast)
    }

    #[test]
    fn heads_are_found_behind_reshape_and_permutation() {
        let split = Strided::of(&qkv(), &[1, 6, 3, 2, 4]).unwrap();
        let keys = split
            .permuted(&[2, 0, 3, 1, 4])
            .narrowed(0, 1, 1)
            .without(0);
        assert_eq!(keys.offset, 8);
        assert_eq!(keys.axes, [(1, 144), (2, 4), (6, 24), (4, 1)]);
        assert!(matches!(keys.clone().form(), Form::Strided(_)));
        // Tokens and heads cannot be one axis, tokens can be two.
        assert!(keys.reshaped(&[12, 4]).is_none());
        assert_eq!(keys.reshaped(&[2, 2, 3, 4]).unwrap().axes[1], (2, 72));
        assert!(keys.reshaped(&[2, 5, 4]).is_none());
    }

    #[test]
    fn a_whole_map_is_a_map_again() {
        let split = Strided::of(&qkv(), &[1, 6, 3, 8]).unwrap();
        let there = split.permuted(&[0, 2, 3, 1]);
        let Form::Map(first) = there.clone().form() else {
            panic!("{there:?}");
        };
        assert_eq!(first.order, Order::ChannelsFirst);
        let Form::Map(last) = there.permuted(&[0, 3, 1, 2]).form() else {
            panic!("{there:?}");
        };
        assert_eq!(*last, qkv());
    }
}
