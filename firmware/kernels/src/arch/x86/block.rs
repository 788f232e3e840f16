//! The sums of a few outputs, in a vector of any size.

/// The sums of up to as many outputs for two tokens as half a vector holds: in the lower half
/// those of the first token, in the upper half those of the second.
#[derive(Clone, Copy)]
pub(super) struct Block<V> {
    /// The first output, and how many of those that there may be there are.
    pub(super) output: usize,
    pub(super) count: usize,
    pub(super) sums: V,
    pub(super) multipliers: V,
}

impl<V> Block<V> {
    /// Writes a value for each output to a token, if there is one.
    #[inline(always)]
    pub(super) fn put<T: Copy, const N: usize>(&self, token: &mut [T], values: [T; N]) {
        let Some(places) = token.get_mut(self.output..) else {
            return;
        };
        match places.first_chunk_mut::<N>() {
            Some(places) if self.count == N => *places = values,
            _ => {
                for (place, value) in places.iter_mut().zip(values).take(self.count) {
                    *place = value;
                }
            }
        }
    }
}
