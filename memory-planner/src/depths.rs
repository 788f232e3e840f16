//! A set of depths of the search tree.

use alloc::vec::Vec;

/// A set of small numbers, as bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depths(Vec<u64>);

impl Depths {
    pub(crate) fn add(&mut self, depth: u32) {
        let word = depth as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (depth % 64);
    }

    pub(crate) fn remove(&mut self, depth: u32) {
        if let Some(word) = self.0.get_mut(depth as usize / 64) {
            *word &= !(1 << (depth % 64));
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// The largest depth in the set.
    pub(crate) fn last(&self) -> Option<u32> {
        let (index, word) = (0_u32..)
            .zip(&self.0)
            .filter(|entry| *entry.1 != 0)
            .last()?;
        Some(index * 64 + 63 - word.leading_zeros())
    }
}
