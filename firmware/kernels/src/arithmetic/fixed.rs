//! Fixed-point arithmetic: the one rounding rule.

/// `value * multiplier / 2^32`, rounded to nearest, ties towards plus infinity.
///
/// `multiplier` is a signed Q32 fraction, so real factors lie in `[-0.5, 0.5)`.
/// On Armv7E-M this is one instruction (`SMMULR`), on Helium `VRMULH`.
#[inline(always)]
pub const fn requantize(value: i32, multiplier: i32) -> i32 {
    ((value as i64 * multiplier as i64 + (1 << 31)) >> 32) as i32
}

/// The nearest `i8`. On Armv7-M this is one instruction (`SSAT`).
#[inline(always)]
pub fn saturate_i8(value: i32) -> i8 {
    value.clamp(i8::MIN.into(), i8::MAX.into()) as i8
}

/// The nearest `i16` to `total / 2^24`, rounded down.
#[inline(always)]
pub(crate) const fn saturate_i16(total: i64) -> i16 {
    // The upper word alone tells whether it fits.
    let whole = (total >> 32) as i32;
    if whole < i8::MIN as i32 {
        i16::MIN
    } else if whole > i8::MAX as i32 {
        i16::MAX
    } else {
        (total >> 24) as i16
    }
}

/// The nearest `u8`.
#[inline(always)]
pub fn saturate_u8(value: i32) -> u8 {
    value.clamp(u8::MIN.into(), u8::MAX.into()) as u8
}

/// The nearest `i32`.
#[inline(always)]
pub const fn saturate_i32(value: i64) -> i32 {
    if value < i32::MIN as i64 {
        i32::MIN
    } else if value > i32::MAX as i64 {
        i32::MAX
    } else {
        value as i32
    }
}

/// The nearest `i32` to `value / 2^shift`, which is rounded down. One copy for what
/// is not done for every value of a map.
#[inline(never)]
pub(crate) const fn narrow(value: i64, shift: u32) -> i32 {
    let whole = value >> shift;
    if whole == whole as i32 as i64 {
        whole as i32
    } else {
        i32::MAX ^ (whole >> 63) as i32
    }
}

/// Half of `2^shift`: with it, what rounds down rounds to nearest, ties towards plus
/// infinity.
pub(crate) const fn half(shift: u32) -> i64 {
    1 << (shift - 1)
}

/// `value / 2^shift`, rounded to nearest, ties towards plus infinity.
#[inline(always)]
pub(crate) const fn round_shift(value: i64, shift: u32) -> i64 {
    value.wrapping_add(half(shift)) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requantize_rounds_half_up() {
        let half = 1 << 30; // a quarter in Q32
        assert_eq!(requantize(2, half), 1); // 0.5
        assert_eq!(requantize(-2, half), 0); // -0.5
        assert_eq!(requantize(1, half), 0); // 0.25
        assert_eq!(requantize(-3, half), -1); // -0.75
        assert_eq!(requantize(i32::MIN, i32::MIN), 1 << 30);
        assert_eq!(requantize(i32::MAX, i32::MIN), -(1 << 30) + 1);
    }

    #[test]
    fn saturation_keeps_what_fits() {
        for value in -400..400 {
            assert_eq!(i32::from(saturate_i8(value)), value.clamp(-128, 127));
            assert_eq!(i32::from(saturate_u8(value)), value.clamp(0, 255));
        }
        for total in [
            -32_769i64,
            -32_768,
            -1,
            0,
            1,
            32_767,
            32_768,
            1 << 38,
            -(1 << 38),
        ] {
            let value = total.clamp(-32_768, 32_767) as i16;
            assert_eq!(saturate_i16(total << 24), value);
            assert_eq!(saturate_i16((total << 24) + (1 << 24) - 1), value);
        }
        for (value, shift) in [(i64::MIN, 0), (i64::MAX, 0), (-1, 1), (1, 1), (5 << 30, 2)] {
            assert_eq!(narrow(value, shift), saturate_i32(value >> shift));
            assert_eq!(
                narrow(-value.max(-5), shift),
                saturate_i32(-value.max(-5) >> shift)
            );
        }
        for value in [1 << 31, (1 << 31) - 1, -(1 << 31), -(1 << 31) - 1] {
            assert_eq!(narrow(value << 20, 20), saturate_i32(value));
        }
        assert_eq!(saturate_i32(i64::MIN), i32::MIN);
        assert_eq!(saturate_i32(i64::MAX), i32::MAX);
    }
}
