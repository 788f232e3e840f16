//! The head.

use super::*;

#[derive(Debug, Clone)]
pub(crate) struct HeadCase {
    tokens: usize,
    channels: usize,
    classes: usize,
    normed: bool,
    fill: Fill,
    full_range: bool,
    int4: bool,
    zero_point: i8,
    seed: u64,
}

impl HeadCase {
    fn data(&self) -> (Classifier, Vec<i8>) {
        let mut source = Source::new(self.seed, self.fill);
        let map = source.map(self.tokens * self.channels);
        let mut linear = source.linear(self.classes, self.channels, self.full_range);
        narrow(&mut linear.weights, self.int4);
        let classifier = Classifier {
            channels: self.channels,
            epsilon: self.normed.then_some(self.seed % 1_000_000),
            map_zero: self.zero_point,
            linear,
        };
        (classifier, map)
    }
}

impl Case for HeadCase {
    fn kernel<K: Kernel>(&self) -> Result<Vec<u8>, Fault> {
        let (classifier, map) = self.data();
        let mut arena = Arena::new(&map, Head::scratch_size(self.channels) + 4 * self.classes);
        let scratch = Buffer {
            size: Head::scratch_size(self.channels),
            ..arena.scratch
        };
        let output = Buffer {
            offset: scratch.offset + scratch.size,
            size: 4 * self.classes,
        };
        let weights = &classifier.linear.weights;
        let weights = Packed::new(Layout::Rows, weights, self.channels, self.int4);
        let step = Head {
            map: arena.map,
            output,
            scratch,
            tokens: self.tokens,
            channels: self.channels,
            norm: classifier.epsilon.map(|epsilon| norm(map.len(), epsilon)),
            zero_point: self.zero_point,
            weights: weights.weights(),
            row_sums: &oracle::row_sums(&classifier.linear.weights, self.channels),
            multiplier: &classifier.linear.multiplier,
            bias: &classifier.linear.bias,
        };
        let run = match self.int4 {
            true => head::run_int4,
            false => head::run,
        };
        run(&step, &Stats::of(&map), arena.bytes())?;
        let logits = output.of(arena.bytes())?.to_vec();
        // Multipliers of the full range are cut in the head, by how much its norm says.
        if !self.full_range {
            trained_head::check(TrainedHead::of_head(&step), arena.bytes(), &logits);
        }
        Ok(logits)
    }

    fn naive(&self) -> Vec<u8> {
        let (classifier, map) = self.data();
        let logits = oracle::head(&classifier, &map);
        logits.into_iter().flat_map(i32::to_le_bytes).collect()
    }

    fn edges() -> Vec<Self> {
        let mut cases = Vec::new();
        for (tokens, channels, classes) in [(1, 1, 1), (16, 128, 10), (3, 5, 2), (49, 33, 7)] {
            for fill in FILLS {
                for zero_point in [-128, 0, 127] {
                    cases.push(Self {
                        tokens,
                        channels,
                        classes,
                        normed: zero_point == 0,
                        fill,
                        full_range: tokens == 3,
                        int4: zero_point == 127,
                        zero_point,
                        seed: 5,
                    });
                }
            }
        }
        cases
    }

    fn any() -> BoxedStrategy<Self> {
        let shape = (1usize..60, 1usize..60, 1usize..12);
        (
            shape,
            any::<[bool; 3]>(),
            fills(),
            any::<i8>(),
            any::<u64>(),
        )
            .prop_map(|(shape, flags, fill, zero_point, seed)| Self {
                tokens: shape.0,
                channels: shape.1,
                classes: shape.2,
                normed: flags[0],
                full_range: flags[1],
                int4: flags[2],
                fill,
                zero_point,
                seed,
            })
            .boxed()
    }
}
