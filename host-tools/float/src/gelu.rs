//! GELU in single precision, the same on every machine.

use fearless_simd::{Level, Simd, dispatch};

/// Replaces every value by its GELU, `x / 2 * (1 + erf(x / sqrt(2)))`.
pub fn gelu(values: &mut [f32]) {
    let level = Level::new();
    dispatch!(level, simd => gelu_with(simd, values));
}

/// The loop in the instructions of `simd`.
#[inline(always)]
fn gelu_with<S: Simd>(_simd: S, values: &mut [f32]) {
    for value in values {
        *value = gelu_of(*value);
    }
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`, within a few units in the last place of 1.
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function as a quotient of polynomials, fitted between -4 and 4; it
/// is 1 in single precision beyond. Sums and products only, so that a loop over
/// it is computed several values at a time.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_3e-10f32;
    for c in [
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_5e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ] {
        p = p * s + c;
    }
    let mut q = -1.456_607_2e-5f32;
    for c in [
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329e-3,
        -1.426_473_9e-2,
    ] {
        q = q * s + c;
    }
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        for i in -80_000..=80_000 {
            let x = i as f32 / 10_000.0;
            let exact = libm::erf(f64::from(x));
            let error = (f64::from(erf(x)) - exact).abs();
            assert!(error < 6e-7, "erf({x}) is off by {error:e}");
            let exact = 0.5 * f64::from(x) * (1.0 + libm::erf(f64::from(x) / 2f64.sqrt()));
            let error = (f64::from(gelu_of(x)) - exact).abs();
            assert!(error < 2e-6, "gelu({x}) is off by {error:e}");
        }
    }
}
