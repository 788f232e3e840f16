//! Images as a head sees them, and the order in which they come.

use rayon::prelude::*;
use tadpool_compiler::evaluate::{agreement, argmax};
use tadpool_compiler::given::images::ImageFile;
use tadpool_compiler::given::model_toml::InputDescription;
use tadpool_compiler::place::program::{Arena, Program};
use tadpool_compiler::progress::Progress as _;

use super::Order;
use crate::commands::progress::Bars;

/// An image whose class is known.
#[derive(Debug, Clone)]
pub(super) struct Example {
    /// What the head reads.
    pub(super) features: Vec<i16>,
    /// The number of its label.
    pub(super) class: usize,
    /// What the trained head takes it for.
    pub(super) predicted: usize,
}

/// Runs the network on all images, by all cores of the host.
pub(super) fn examples(
    what: &'static str,
    program: &Program<'_>,
    input: &InputDescription,
    files: &[ImageFile],
) -> anyhow::Result<Vec<Example>> {
    let bars = Bars::default();
    bars.begin(what, files.len());
    let of_file = |arena: &mut Arena, file: &ImageFile| {
        let pixels = file.load(input)?;
        let logits = program.infer(&pixels, arena, &mut ())?;
        bars.advance();
        Ok(Example {
            features: program.features(arena)?,
            class: file.label.unwrap_or_default(),
            predicted: argmax(&logits),
        })
    };
    let examples = files.par_iter().map_init(Arena::default, of_file).collect();
    bars.end();
    examples
}

/// Share of the examples that the trained head takes for what they are; zero without any.
pub(super) fn trained_top1<'a>(examples: impl IntoIterator<Item = &'a Example>) -> f64 {
    let classes = |example: &Example| (example.class, example.predicted);
    let (known, predicted): (Vec<_>, Vec<_>) = examples.into_iter().map(classes).unzip();
    agreement(&known, &predicted)
}

/// At most so many images of each class, drawn by `seed`, class after class.
pub(super) fn choose(
    files: Vec<ImageFile>,
    classes: usize,
    most: usize,
    seed: u32,
) -> Vec<ImageFile> {
    let mut of_class = vec![Vec::new(); classes];
    for file in files {
        if let Some(class) = file.label.and_then(|label| of_class.get_mut(label)) {
            class.push(file);
        }
    }
    for class in &mut of_class {
        shuffle(class, seed);
        class.truncate(most);
    }
    of_class.concat()
}

/// The examples, which come class after class, in another order.
pub(super) fn ordered(examples: &[Example], order: Order, seed: u32) -> Vec<&Example> {
    let mut ordered: Vec<&Example> = examples.iter().collect();
    match order {
        Order::Classes => {}
        Order::Shuffled => shuffle(&mut ordered, seed),
        Order::Alternating => {
            let mut seen = std::collections::BTreeMap::<usize, usize>::new();
            // By its place within its class; the sort is stable.
            ordered.sort_by_cached_key(|example| {
                let count = seen.entry(example.class).or_default();
                *count += 1;
                *count
            });
        }
    }
    ordered
}

/// Puts items into an order that `seed` draws. Source: R. Durstenfeld, Algorithm 235, 1964.
fn shuffle<T>(items: &mut [T], seed: u32) {
    let mut state = u64::from(seed);
    for last in (1..items.len()).rev() {
        // S. Vigna's SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        items.swap(last, (mixed % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(classes: &[usize]) -> Vec<Example> {
        let example = |(at, &class): (usize, &usize)| Example {
            features: vec![at as i16],
            class,
            predicted: 0,
        };
        classes.iter().enumerate().map(example).collect()
    }

    fn places(ordered: &[&Example]) -> Vec<i16> {
        ordered.iter().map(|example| example.features[0]).collect()
    }

    #[test]
    fn orders_are_what_they_say() {
        let examples = examples(&[0, 0, 0, 1, 1, 2]);
        let in_order = |order, seed| places(&ordered(&examples, order, seed));
        assert_eq!(in_order(Order::Classes, 1), [0, 1, 2, 3, 4, 5]);
        assert_eq!(in_order(Order::Alternating, 1), [0, 3, 5, 1, 4, 2]);
        let mut shuffled = in_order(Order::Shuffled, 1);
        assert_eq!(shuffled, in_order(Order::Shuffled, 1));
        assert_ne!(shuffled, in_order(Order::Shuffled, 2));
        shuffled.sort_unstable();
        assert_eq!(shuffled, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn as_many_of_each_class_are_chosen() {
        let file = |at| ImageFile::new(format!("{at}.png").into(), Some(usize::from(at > 4)));
        let files = (0..20).map(file);
        let chosen = choose(files.collect(), 2, 7, 3);
        let labels: Vec<_> = chosen.iter().filter_map(|file| file.label).collect();
        assert_eq!(labels, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_share_of_what_is_right_is_counted() {
        let mut examples = examples(&[0, 1, 1, 2]);
        examples
            .iter_mut()
            .for_each(|example| example.predicted = 1);
        assert_eq!(trained_top1(&examples), 0.5);
        assert_eq!(trained_top1(&[]), 0.0);
    }
}
