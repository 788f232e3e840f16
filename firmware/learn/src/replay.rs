//! Images that are learned again: their features in eight bits, under a budget of bytes.
//!
//! An entry is the class (two bytes), a shift, and a signed byte a feature; a feature is
//! `byte * 2^shift`, with the smallest shift that all of an entry's features fit.
//!
//! Classes share the entries evenly however many images of each come: an image of a class that
//! has fewer entries than another one takes an entry of that one, and among a class' own images
//! each is kept with the same probability. Source: A. Chrysakis, M.-F. Moens, "Online Continual
//! Learning from Imbalanced Data", ICML 2020.

use crate::learner::ClassState;
use crate::random::Random;

/// Bytes of an entry before the features.
const HEAD_BYTES: usize = 3;

/// Bytes that an image of so many features takes.
pub const fn entry_bytes(features: usize) -> usize {
    features.saturating_add(HEAD_BYTES)
}

/// The entries.
#[derive(Debug)]
pub(crate) struct Replay<'m> {
    bytes: &'m mut [u8],
    entry_bytes: usize,
    used: usize,
}

/// An entry's features.
#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) class: usize,
    shift: u32,
    bytes: &'a [u8],
}

impl Entry<'_> {
    pub(crate) fn features(&self) -> impl Iterator<Item = i16> + Clone {
        let shift = self.shift;
        self.bytes
            .iter()
            .map(move |&byte| i16::from(byte as i8) << shift)
    }
}

impl<'m> Replay<'m> {
    pub(crate) fn new(bytes: &'m mut [u8], features: usize) -> Self {
        Self {
            bytes,
            entry_bytes: entry_bytes(features),
            used: 0,
        }
    }

    /// Entries that are used.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Forgets all entries.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// A random entry, if there is one.
    pub(crate) fn any(&self, random: &mut Random) -> Option<Entry<'_>> {
        let entry = self.entries().nth(random.below(self.used))?;
        let ([low, high, shift], bytes) = entry.split_first_chunk::<HEAD_BYTES>()?;
        Some(Entry {
            class: usize::from(u16::from_le_bytes([*low, *high])),
            shift: u32::from(*shift).min(15),
            bytes,
        })
    }

    /// Takes the features of an image of `class`, or not, so that all classes share the entries
    /// and each image of a class has the same chance.
    pub(crate) fn offer(
        &mut self,
        features: &[i16],
        class: usize,
        classes: &mut [ClassState],
        random: &mut Random,
    ) {
        let free = self.bytes.chunks_exact_mut(self.entry_bytes.max(1));
        let place = match free.len() > self.used {
            true => {
                self.used = self.used.saturating_add(1);
                self.used.checked_sub(1)
            }
            false => self.replaced(class, classes, random),
        };
        let mut entries = self.bytes.chunks_exact_mut(self.entry_bytes.max(1));
        let entry = place.and_then(|place| entries.nth(place));
        let (Some(entry), Some(state)) = (entry, classes.get_mut(class)) else {
            return;
        };
        write(entry, features, class);
        state.replayed = state.replayed.saturating_add(1);
    }

    /// The entry that gives way, which does not count any more; none if the new image does.
    fn replaced(
        &self,
        class: usize,
        classes: &mut [ClassState],
        random: &mut Random,
    ) -> Option<usize> {
        let own = *classes.get(class)?;
        let most = classes.iter().map(|class| class.replayed).max()?;
        let from = match own.replayed < most {
            true => classes.iter().position(|class| class.replayed == most)?,
            // One of `learned` images of the class, of which this is the latest.
            false if random.below(own.learned as usize) < own.replayed as usize => class,
            false => return None,
        };
        let state = classes.get_mut(from)?;
        let which = random.below(state.replayed as usize);
        let mut of_class = self.entries().enumerate().filter(|(_, entry)| {
            let class = entry.first_chunk().map(|class| u16::from_le_bytes(*class));
            class.is_some_and(|class| usize::from(class) == from)
        });
        let (place, _) = of_class.nth(which)?;
        state.replayed = state.replayed.saturating_sub(1);
        Some(place)
    }

    fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes
            .chunks_exact(self.entry_bytes.max(1))
            .take(self.used)
    }
}

fn write(entry: &mut [u8], features: &[i16], class: usize) {
    let Some((head, bytes)) = entry.split_first_chunk_mut::<HEAD_BYTES>() else {
        return;
    };
    // Of magnitudes, with the ones' complement of what is negative: bits behind the sign.
    let bits = |feature: &i16| (*feature ^ (*feature >> 15)) as u16;
    let all = features.iter().map(bits).fold(0, |all, bits| all | bits);
    let shift = 16u32.saturating_sub(all.leading_zeros()).saturating_sub(7);
    let [low, high] = (class as u16).to_le_bytes();
    *head = [low, high, shift as u8];
    // Rounded, but not beyond the largest.
    let half = 1i32 << shift >> 1;
    for (byte, &feature) in bytes.iter_mut().zip(features) {
        let rounded = i32::from(feature).wrapping_add(half) >> shift;
        *byte = rounded.min(i8::MAX.into()) as i8 as u8;
    }
}
