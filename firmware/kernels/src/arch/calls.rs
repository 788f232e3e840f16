//! How the assembly for products of [`Rows`](crate::arithmetic::layout::Rows) is called.

#![allow(unsafe_code)]

/// A core's assembly: two outputs' weights, two tokens, how many inputs, and where the four
/// sums go.
type Dots = unsafe extern "C" fn(
    w0: *const i8,
    w1: *const i8,
    x0: *const i16,
    x1: *const i16,
    count: usize,
    sums: *mut [i32; 4],
);

/// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`, of as many inputs as
/// all four have.
///
/// # Safety
/// `dots` reads `count` values of each list, any number, and writes `sums`.
#[inline(always)]
pub(crate) unsafe fn dots(dots: Dots, w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
    let mut sums = [0; 4];
    let count = w0.len().min(w1.len()).min(x0.len()).min(x1.len());
    // SAFETY: all four hold `count` values.
    unsafe {
        dots(
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
