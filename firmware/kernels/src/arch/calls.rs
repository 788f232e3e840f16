//! The call of the assembly for products of [`Rows`](crate::arithmetic::layout::Rows), which
//! cores of Armv7-M and those with DSP have one each of, by the same name.

#![allow(unsafe_code)]

// SAFETY: signature and contract as in `armv7m/dots.rs` and `dsp/dots.s`.
unsafe extern "C" {
    fn tadpool_dots(
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
    let mut sums = [0; 4];
    let count = w0.len().min(w1.len()).min(x0.len()).min(x1.len());
    // SAFETY: all four hold `count` values, which may be none.
    unsafe {
        tadpool_dots(
            w0.as_ptr(),
            w1.as_ptr(),
            x0.as_ptr(),
            x1.as_ptr(),
            count,
            &mut sums,
        );
    }
    sums
}
