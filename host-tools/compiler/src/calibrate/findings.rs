//! Finds odd calibration images: too few, all alike, or read in another
//! way than the network was trained on.
//!
//! A wrong normalisation or order of channels shows in the labels: the float
//! network is right more often when the same pixels are read in another way. The
//! two counts are of the same images, so what tells is those on which only one
//! of the two ways is right (McNemar's test, three deviations).

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use rayon::prelude::*;
use serde::Serialize;

use crate::evaluate::predicted;
use crate::given::images;
use crate::given::model_toml::{Channels, InputDescription};
use crate::network::MetaFormer;
use crate::network::float;

/// Most images that are looked at.
pub const MAX_IMAGES: usize = 256;
/// Fewer images than this leave ranges to chance.
const FEW: usize = 50;
/// Multiply-accumulates that go into reading images in other ways; of large networks
/// only so many images are read.
const MAX_MACS: u64 = 400_000_000_000;
/// Deviation of each channel's pixels below which an image shows nothing.
const FLAT: f64 = 2.0;

/// An image as it was read, and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledPixels {
    /// Raw pixels, see [`images::load`].
    pub pixels: Vec<u8>,
    /// Its class, if it is known.
    pub label: Option<usize>,
}

/// Something odd about calibration images.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
pub enum Finding {
    /// Too few to tell how large values become.
    TooFew {
        /// Images.
        images: usize,
    },
    /// Images of one colour.
    Flat {
        /// How many.
        flat: usize,
        /// Of how many.
        images: usize,
    },
    /// The same pixels again.
    Repeated {
        /// Images that repeat another one.
        repeated: usize,
        /// Of how many.
        images: usize,
    },
    /// Most classes do not occur.
    FewClasses {
        /// Classes that occur.
        seen: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// The network is right more often if images are read in another way.
    OtherReading {
        /// Which way, such as `channels = "bgr"`.
        reading: String,
        /// Images that it is right on as the description says.
        described: usize,
        /// Images that it is right on when they are read in this way.
        other: usize,
        /// Of how many.
        images: usize,
    },
    /// The network is sure of itself, and right no more often than by chance.
    LabelsDoNotMatch {
        /// Images that it is right on.
        correct: usize,
        /// Of how many.
        images: usize,
        /// Its mean probability of the class that it names.
        confidence: f64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { images } => write!(
                f,
                "only {images} calibration images: ranges are left to chance below {FEW}, \
                 take about 200 training images"
            ),
            Self::Flat { flat, images } => write!(
                f,
                "{flat} of {images} calibration images are blank (one colour all over) and show \
                 nothing; remove them"
            ),
            Self::Repeated { repeated, images } => write!(
                f,
                "{repeated} of {images} calibration images have the pixels of another one"
            ),
            Self::FewClasses { seen, classes } => write!(
                f,
                "the calibration images show {seen} of {classes} classes; take some of each"
            ),
            Self::OtherReading {
                reading,
                described,
                other,
                images,
            } => write!(
                f,
                "with {reading} the float network is right on {other} of {images} calibration \
                 images, as described on {described}: was it trained so?"
            ),
            Self::LabelsDoNotMatch {
                correct,
                images,
                confidence,
            } => write!(
                f,
                "the float network is right on {correct} of {images} calibration images, as by \
                 chance, but sure of itself ({:.0} %): the labels are shuffled, or in another \
                 order than the network's",
                100.0 * confidence
            ),
        }
    }
}

/// Findings about `sample`, which stands for `images` calibration images of a
/// network that is given them as `input` says.
pub fn findings(
    network: &MetaFormer,
    input: &InputDescription,
    sample: &[LabelledPixels],
    images: usize,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if images < FEW {
        findings.push(Finding::TooFew { images });
    }
    let count = sample.len();
    let channels = input.channels.count();
    let flat = sample
        .iter()
        .filter(|image| is_blank(&image.pixels, channels));
    let flat = flat.count();
    if flat > 0 {
        findings.push(Finding::Flat {
            flat,
            images: count,
        });
    }
    let mut copies: HashMap<&[u8], usize> = HashMap::new();
    for image in sample {
        *copies.entry(&image.pixels).or_default() += 1;
    }
    let repeated = count - copies.len();
    if 10 * repeated > count {
        findings.push(Finding::Repeated {
            repeated,
            images: count,
        });
    }
    findings.extend(of_labels(network, input, sample));
    findings
}

/// Findings from the labels.
fn of_labels(
    network: &MetaFormer,
    input: &InputDescription,
    sample: &[LabelledPixels],
) -> Vec<Finding> {
    let mut labelled: Vec<(&[u8], usize)> = sample
        .iter()
        .filter_map(|image| Some((&image.pixels[..], image.label?)))
        .collect();
    let (count, classes) = (labelled.len(), network.told_apart());
    if count == 0 || classes < 2 {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let seen: BTreeSet<usize> = labelled.iter().map(|&(_, label)| label).collect();
    if 2 * seen.len() < classes.min(count) {
        findings.push(Finding::FewClasses {
            seen: seen.len(),
            classes,
        });
    }

    let other_readings = other_readings(input);
    let macs: u64 = network.layers.iter().map(|layer| layer.macs()).sum();
    let readings = 1 + other_readings.len() as u64;
    let most = (MAX_MACS / macs.saturating_mul(readings).max(1)).max(1);
    let every = labelled
        .len()
        .div_ceil(usize::try_from(most).unwrap_or(usize::MAX));
    labelled = labelled.into_iter().step_by(every.max(1)).collect();
    let count = labelled.len();

    let described = outcomes(network, input, &labelled);
    let correct = described.iter().filter(|outcome| outcome.correct).count();
    let mut best: Option<(String, usize)> = None;
    for (reading, other) in other_readings {
        let others = outcomes(network, &other, &labelled);
        let gained = |a: &[Outcome], b: &[Outcome]| {
            let pairs = a.iter().zip(b);
            pairs.filter(|(a, b)| !a.correct && b.correct).count()
        };
        let (gain, loss) = (gained(&described, &others), gained(&others, &described));
        let other = correct + gain - loss;
        let clear = gain > loss && (gain - loss).pow(2) > 9 * (gain + loss);
        if clear && best.as_ref().is_none_or(|&(_, best)| other > best) {
            best = Some((reading, other));
        }
    }
    let chance = count as f64 / classes as f64;
    let confidence = described.iter().map(|o| o.confidence).sum::<f64>() / count as f64;
    if let Some((reading, other)) = best {
        findings.push(Finding::OtherReading {
            reading,
            described: correct,
            other,
            images: count,
        });
    } else if count >= FEW
        && (correct as f64) < chance + 3.0 * chance.sqrt()
        && confidence > 0.5f64.max(2.0 / classes as f64)
    {
        findings.push(Finding::LabelsDoNotMatch {
            correct,
            images: count,
            confidence,
        });
    }
    findings
}

/// The network's scores for one image.
struct Outcome {
    correct: bool,
    /// Probability of the class that it names.
    confidence: f64,
}

fn outcomes(
    network: &MetaFormer,
    input: &InputDescription,
    labelled: &[(&[u8], usize)],
) -> Vec<Outcome> {
    labelled
        .par_iter()
        .map(|&(pixels, label)| {
            let logits = float::run(network, &images::normalise(pixels, input), |_| {});
            let class = predicted(&logits);
            let sum: f64 = match logits[..] {
                [score] => 1.0 + (-f64::from(score.abs())).exp(),
                _ => {
                    let above = |&l: &f32| f64::from(l) - f64::from(logits[class]);
                    logits.iter().map(|l| above(l).exp()).sum()
                }
            };
            Outcome {
                correct: class == label,
                confidence: 1.0 / sum,
            }
        })
        .collect()
}

/// Other ways to read images that are common, with their names.
fn other_readings(input: &InputDescription) -> Vec<(String, InputDescription)> {
    let mut readings = Vec::new();
    let swapped = match input.channels {
        Channels::Rgb => Some((Channels::Bgr, "bgr")),
        Channels::Bgr => Some((Channels::Rgb, "rgb")),
        Channels::Gray | Channels::Rgba => None,
    };
    if let Some((channels, name)) = swapped {
        let mut mirrored = input.clone();
        mirrored.channels = channels;
        mirrored.mean.reverse();
        mirrored.std.reverse();
        readings.push((
            format!("channels = \"{name}\" (mean and std with them)"),
            mirrored,
        ));
    }
    let count = input.channels.count();
    let normalisations: [(&str, &[f32], &[f32]); 4] = [
        ("pixels from 0 to 1 (mean 0, std 1)", &[0.0; 3], &[1.0; 3]),
        (
            "pixels from 0 to 255 (mean 0, std 1/255)",
            &[0.0; 3],
            &[1.0 / 255.0; 3],
        ),
        (
            "pixels from -1 to 1 (mean 0.5, std 0.5)",
            &[0.5; 3],
            &[0.5; 3],
        ),
        (
            "ImageNet's mean and std",
            &[0.485, 0.456, 0.406],
            &[0.229, 0.224, 0.225],
        ),
    ];
    for (name, mean, std) in normalisations {
        let other = InputDescription {
            mean: mean[..count].to_vec(),
            std: std[..count].to_vec(),
            feed: crate::given::model_toml::Feed::Image,
            ..input.clone()
        };
        if other != *input {
            readings.push((name.to_owned(), other));
        }
    }
    readings
}

/// Whether no channel varies, whatever the colour is.
fn is_blank(pixels: &[u8], channels: usize) -> bool {
    (0..channels).all(|channel| {
        let values = || {
            let channel = pixels.iter().skip(channel).step_by(channels);
            channel.map(|&pixel| f64::from(pixel))
        };
        let count = values().count().max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|value| (value - mean).powi(2));
        (squares.sum::<f64>() / count).sqrt() < FLAT
    })
}
