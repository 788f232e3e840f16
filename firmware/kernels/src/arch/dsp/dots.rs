//! The products of [`Rows`](crate::arithmetic::layout::Rows) with the DSP extension, for
//! matrices that [`Layout::Dsp`](crate::arithmetic::layout::Layout::Dsp) does not take.

#![allow(unsafe_code)]

use crate::arch::calls;

assembly!("dots.s");

// SAFETY: signature and contract as in `dots.s`.
unsafe extern "C" {
    fn tadpool_dsp_dots(
        w0: *const i8,
        w1: *const i8,
        x0: *const i16,
        x1: *const i16,
        count: usize,
        sums: *mut [i32; 4],
    );
}

/// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`, of as many inputs as
/// all four have.
pub(crate) fn dots(w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
    // SAFETY: it reads and writes what it says.
    unsafe { calls::dots(tadpool_dsp_dots, w0, w1, x0, x1) }
}
