//! The products of [`Rows`](crate::arithmetic::layout::Rows).

/// Two output channels times two tokens: `[w0 x0, w0 x1, w1 x0, w1 x1]`. A
/// function of its own, so that it has all registers wherever it is used.
#[inline(never)]
pub(crate) fn dots(w0: &[i8], w1: &[i8], x0: &[i16], x1: &[i16]) -> [i32; 4] {
    let mut sums = [0i32; 4];
    for (((&w0, &w1), &x0), &x1) in w0.iter().zip(w1).zip(x0).zip(x1) {
        let [w0, w1, x0, x1] = [i32::from(w0), i32::from(w1), x0.into(), x1.into()];
        let products = [w0 * x0, w0 * x1, w1 * x0, w1 * x1];
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum = sum.wrapping_add(product);
        }
    }
    sums
}
