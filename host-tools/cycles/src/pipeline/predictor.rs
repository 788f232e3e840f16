//! Predictions of where branches go.

/// Entries of a table; of branches that have an entry in common the last one counts.
const ENTRIES: usize = 4096;

/// For each branch a counter up to three, which says that it is taken from two on, and where
/// it went the last time.
#[derive(Debug)]
pub(super) struct Predictor {
    taken: Vec<u8>,
    targets: Vec<Option<u32>>,
}

impl Default for Predictor {
    fn default() -> Self {
        Self {
            taken: vec![0; ENTRIES],
            targets: vec![None; ENTRIES],
        }
    }
}

impl Predictor {
    /// Notes whether the branch at an address was taken, and tells whether that was predicted
    /// wrongly.
    pub(super) fn is_missed(&mut self, address: u32, is_taken: bool) -> bool {
        let count = &mut self.taken[entry(address)];
        let prediction = *count >= 2;
        *count = match is_taken {
            true => (*count + 1).min(3),
            false => count.saturating_sub(1),
        };
        prediction != is_taken
    }

    /// Notes where the branch at an address went, and tells whether it went elsewhere the
    /// time before.
    pub(super) fn is_changed(&mut self, address: u32, target: u32) -> bool {
        self.targets[entry(address)].replace(target) != Some(target)
    }
}

fn entry(address: u32) -> usize {
    (address >> 1) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    use super::Predictor;

    #[test]
    fn predicts_what_was_done_before() {
        let mut predictor = Predictor::default();
        let taken = [true, true, true, false, true, true, false, false, false];
        let missed = taken.map(|is_taken| predictor.is_missed(0x100, is_taken));
        let expected = [true, true, false, true, false, false, true, true, false];
        assert_eq!(missed, expected);
    }

    #[test]
    fn predicts_where_it_went() {
        let mut predictor = Predictor::default();
        let changed = [1, 1, 2, 1].map(|target| predictor.is_changed(0x100, target));
        assert_eq!(changed, [true, false, true, true]);
    }
}
