//! Where the channels and the tokens of a map lie among a tensor's axes.

use std::ops::Range;

use super::Problem;
use super::form::{Order, Sum};
use crate::import::graph::Tensor;
use crate::network::Shape;

/// Axes of a tensor that holds a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axes {
    pub(crate) channels: Range<usize>,
    pub(crate) tokens: Range<usize>,
}

/// Finds the axes of a map of `channels x tokens` in a tensor of sizes `shape`;
/// none if an axis holds both.
///
/// Where a size of 1 leaves a choice, the usual place is preferred: the second
/// axis, or the last if channels are innermost.
pub(crate) fn find(shape: &[usize], channels: usize, tokens: usize, order: Order) -> Option<Axes> {
    let (outer, inner, usual) = match order {
        Order::ChannelsFirst => (channels, tokens, 2),
        Order::ChannelsLast => (tokens, channels, shape.len().saturating_sub(1)),
    };
    let fits = |&at: &usize| {
        at <= shape.len()
            && shape[..at].iter().product::<usize>() == outer
            && shape[at..].iter().product::<usize>() == inner
    };
    let at = Some(usual)
        .filter(fits)
        .or_else(|| (0..=shape.len()).find(fits))?;
    Some(match order {
        Order::ChannelsFirst => Axes {
            channels: 0..at,
            tokens: at..shape.len(),
        },
        Order::ChannelsLast => Axes {
            channels: at..shape.len(),
            tokens: 0..at,
        },
    })
}

/// Whether an axis holds all channels of a map (channels last) or all tokens
/// (channels first), and nothing else does; channels if there is one token.
pub(crate) fn alone(shape: &[usize], sum: &Sum, axis: usize) -> Option<Order> {
    let places = find(shape, sum.shape.channels, sum.shape.tokens(), sum.order)?;
    let holds = |range: Range<usize>, count: usize| {
        shape.get(axis) == Some(&count) && (range.contains(&axis) || count == 1)
    };
    match () {
        () if holds(places.channels, sum.shape.channels) => Some(Order::ChannelsLast),
        () if holds(places.tokens, sum.shape.tokens()) => Some(Order::ChannelsFirst),
        () => None,
    }
}

/// Which axes a reduction covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduced {
    /// All tokens of all channels.
    Everything,
    /// All tokens, each channel for itself.
    Tokens,
    /// All channels, each token for itself.
    Channels,
    /// Anything else.
    Other,
}

/// The part of a map that a reduction over the axes `reduced` covers.
pub(crate) fn reduced(shape: &[usize], axes: Option<Axes>, reduced: &[usize]) -> Reduced {
    let Some(axes) = axes else {
        return match (0..shape.len()).all(|a| shape[a] == 1 || reduced.contains(&a)) {
            true => Reduced::Everything,
            false => Reduced::Other,
        };
    };
    // None: some of the axes, but not all.
    let covers = |range: Range<usize>| {
        let wide: Vec<usize> = range.clone().filter(|&a| shape[a] != 1).collect();
        let hit = |a: &usize| reduced.contains(a);
        match wide.is_empty() {
            true => Some(range.into_iter().any(|a| hit(&a))),
            false if wide.iter().all(hit) => Some(true),
            false if wide.iter().any(hit) => None,
            false => Some(false),
        }
    };
    match (covers(axes.channels), covers(axes.tokens)) {
        (Some(true), Some(true)) => Reduced::Everything,
        (Some(false), Some(true)) => Reduced::Tokens,
        (Some(true), Some(false)) => Reduced::Channels,
        _ => Reduced::Other,
    }
}

/// The element of a constant that meets each channel when it is broadcast
/// against a tensor of sizes `shape`.
pub(crate) fn per_channel(
    constant: &Tensor,
    shape: &[usize],
    channels: usize,
    tokens: usize,
    order: Order,
) -> Result<Vec<f32>, Problem> {
    let values = constant.as_floats().ok_or_else(|| {
        Problem::new(
            "the constant holds integers",
            "export in float32".to_owned(),
        )
    })?;
    if let &[value] = values {
        return Ok(vec![value; channels]);
    }
    let odd = |what: &str| {
        Err(Problem::new(
            format!("a constant of sizes {:?} {what}", constant.shape),
            "use one value per channel, or add one per token and channel to the feature map",
        ))
    };
    if constant.shape.len() > shape.len() {
        return odd("has more axes than the feature map");
    }
    let Some(axes) = find(shape, channels, tokens, order) else {
        return odd("meets an axis that mixes channels and tokens");
    };
    let skipped = shape.len() - constant.shape.len();
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for axis in (skipped..shape.len()).rev() {
        let size = constant.shape[axis - skipped];
        if size != 1 {
            if size != shape[axis] {
                return odd("enlarges the feature map");
            }
            strides[axis] = stride;
        }
        stride *= size;
    }
    let differs = values.iter().enumerate().any(|(index, value)| {
        let along = |axis: usize| match strides[axis] {
            0 => 0,
            stride => index / stride % shape[axis] * stride,
        };
        let first = index - axes.tokens.clone().map(along).sum::<usize>();
        values[first].to_bits() != value.to_bits()
    });
    if differs {
        return odd("differs between tokens");
    }
    Ok((0..channels)
        .map(|channel| {
            let (mut rest, mut at) = (channel, 0);
            for axis in axes.channels.clone().rev() {
                at += rest % shape[axis] * strides[axis];
                rest /= shape[axis];
            }
            values[at]
        })
        .collect())
}

/// The elements of a constant that meet each value of a map, `tokens x channels`, when it is
/// broadcast against a tensor of sizes `shape`; none unless they differ between tokens.
pub(crate) fn per_token(
    constant: &Tensor,
    shape: &[usize],
    map: Shape,
    order: Order,
) -> Option<Vec<f32>> {
    let values = constant.as_floats()?;
    let axes = find(shape, map.channels, map.tokens(), order)?;
    let skipped = shape.len().checked_sub(constant.shape.len())?;
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    let mut differs = false;
    for axis in (skipped..shape.len()).rev() {
        let size = constant.shape[axis - skipped];
        if size != 1 {
            if size != shape[axis] {
                return None;
            }
            strides[axis] = stride;
            differs |= axes.tokens.contains(&axis);
        }
        stride *= size;
    }
    let place = |range: &Range<usize>, mut rest: usize| {
        let each = range.clone().rev().map(|axis| {
            let index = rest % shape[axis];
            rest /= shape[axis];
            index * strides[axis]
        });
        each.sum::<usize>()
    };
    let spread = |token: usize| {
        let token = place(&axes.tokens, token);
        (0..map.channels).map(move |channel| (token, channel))
    };
    let places = (0..map.tokens()).flat_map(spread);
    let each = places.map(|(token, channel)| values[token + place(&axes.channels, channel)]);
    differs.then(|| each.collect())
}

/// Order of a map's elements after its axes were permuted; none if channels and
/// tokens are torn apart.
pub(crate) fn permuted(
    shape: &[usize],
    axes: &Axes,
    order: Order,
    permutation: &[usize],
) -> Option<Order> {
    let wide = |axes: Vec<usize>| {
        axes.into_iter()
            .filter(|&a| shape[a] != 1)
            .collect::<Vec<_>>()
    };
    let result = wide(permutation.to_vec());
    let joined = |first: &Range<usize>, second: &Range<usize>| {
        wide(first.clone().chain(second.clone()).collect())
    };
    let (first, last) = (
        joined(&axes.channels, &axes.tokens),
        joined(&axes.tokens, &axes.channels),
    );
    match () {
        () if first == last && result == first => Some(order),
        () if result == first => Some(Order::ChannelsFirst),
        () if result == last => Some(Order::ChannelsLast),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::graph::Data;
    use Order::{ChannelsFirst, ChannelsLast};

    fn find(shape: &[usize], order: Order) -> Option<Axes> {
        super::find(shape, 4, 6, order)
    }

    #[test]
    fn axes_are_found_in_any_view() {
        assert_eq!(
            find(&[1, 4, 2, 3], ChannelsFirst),
            Some(Axes {
                channels: 0..2,
                tokens: 2..4
            })
        );
        assert_eq!(
            find(&[1, 4, 6], ChannelsFirst),
            Some(Axes {
                channels: 0..2,
                tokens: 2..3
            })
        );
        assert_eq!(
            find(&[1, 2, 3, 4], ChannelsLast),
            Some(Axes {
                channels: 3..4,
                tokens: 0..3
            })
        );
        assert_eq!(find(&[1, 1, 24], ChannelsFirst), None);
    }

    #[test]
    fn reductions_are_told_apart() {
        let shape = [1, 4, 2, 3];
        let kind = |axes: &[usize]| reduced(&shape, find(&shape, ChannelsFirst), axes);
        assert_eq!(kind(&[1, 2, 3]), Reduced::Everything);
        assert_eq!(kind(&[2, 3]), Reduced::Tokens);
        assert_eq!(kind(&[1]), Reduced::Channels);
        assert_eq!(kind(&[3]), Reduced::Other);
        assert_eq!(reduced(&[1, 1, 24], None, &[2]), Reduced::Everything);
        // One token, or one channel: the place of the axis decides.
        let one = [1, 4, 1, 1];
        let found = super::find(&one, 4, 1, ChannelsFirst);
        assert_eq!(reduced(&one, found.clone(), &[2, 3]), Reduced::Tokens);
        assert_eq!(reduced(&one, found, &[1, 2, 3]), Reduced::Everything);
        let gray = [1, 1, 2, 3];
        let found = super::find(&gray, 1, 6, ChannelsFirst);
        assert_eq!(reduced(&gray, found, &[2, 3]), Reduced::Tokens);
    }

    #[test]
    fn constants_meet_tokens() {
        let map = Shape {
            height: 2,
            width: 3,
            channels: 4,
        };
        let spread = |shape: &[usize], sizes: &[usize], order| {
            let count = shape.iter().product::<usize>();
            let data = Data::Float((0..count).map(|v| v as f32).collect());
            let shape = shape.to_vec();
            per_token(&Tensor { shape, data }, sizes, map, order)
        };
        let first = spread(&[1, 4, 2, 3], &[1, 4, 2, 3], ChannelsFirst).unwrap();
        assert_eq!(first[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
        let last = spread(&[6, 4], &[1, 6, 4], ChannelsLast).unwrap();
        assert!(last.iter().zip(0..).all(|(&value, at)| value == at as f32));
        let rows = spread(&[2, 1], &[1, 4, 2, 3], ChannelsFirst).unwrap();
        assert_eq!(rows[..13], [[0.0; 12].as_slice(), &[1.0]].concat());
        assert_eq!(spread(&[4, 1, 1], &[1, 4, 2, 3], ChannelsFirst), None);
        assert_eq!(spread(&[5], &[1, 4, 2, 3], ChannelsFirst), None);
    }

    #[test]
    fn constants_meet_channels() {
        let tensor = |shape: &[usize]| {
            let count = shape.iter().product::<usize>();
            let data = Data::Float((0..count).map(|v| v as f32).collect());
            Tensor {
                shape: shape.to_vec(),
                data,
            }
        };
        let spread = |shape: &[usize], map: &[usize], order| {
            per_channel(&tensor(shape), map, 4, 6, order).ok()
        };
        let counted = Some(vec![0.0, 1.0, 2.0, 3.0]);
        assert_eq!(spread(&[4, 1, 1], &[1, 4, 2, 3], ChannelsFirst), counted);
        assert_eq!(spread(&[1, 4, 1, 1], &[1, 4, 2, 3], ChannelsFirst), counted);
        assert_eq!(spread(&[4], &[1, 6, 4], ChannelsLast), counted);
        assert_eq!(
            spread(&[2, 1, 1], &[1, 2, 2, 6], ChannelsFirst),
            Some(vec![0.0, 0.0, 1.0, 1.0])
        );
        assert_eq!(spread(&[], &[1, 1, 24], ChannelsFirst), Some(vec![0.0; 4]));
        for shape in [
            &[4][..],
            &[3],
            &[2, 1],
            &[4, 2, 3],
            &[2, 4, 1, 1],
            &[1, 1, 4, 1, 1],
        ] {
            assert_eq!(
                spread(shape, &[1, 4, 2, 3], ChannelsFirst),
                None,
                "{shape:?}"
            );
        }
    }
}
