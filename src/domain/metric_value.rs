//! A metric's value as an integer that sorts like the value. It keeps NaN and the infinities on every
//! engine (SQLite would turn NaN into NULL) and gives their order at once.

/// The stored form of NaN: above positive infinity.
pub const NAN: i64 = i64::MAX;

/// The stored form. `-0.0` becomes `0.0`, and every NaN the same one.
pub fn encode(value: f64) -> i64 {
    if value.is_nan() {
        return NAN;
    }
    let bits = (value + 0.0).to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The value of a stored form.
pub fn decode(stored: i64) -> f64 {
    if stored == NAN {
        return f64::NAN;
    }
    f64::from_bits(if stored < 0 { stored ^ i64::MAX } else { stored }.cast_unsigned())
}

/// How points of one metric compare when the latest is sought: by step, then timestamp, then value,
/// where NaN counts as 0, as in MLflow. The stored form of 0 is 0.
pub fn latest_key(step: i64, timestamp: i64, stored: i64) -> (i64, i64, i64) {
    (step, timestamp, if stored == NAN { 0 } else { stored })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn special_values_survive() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, 0.0, f64::MIN_POSITIVE, 5e-324, -5e-324, f64::MAX, f64::MIN] {
            assert_eq!(decode(encode(value)).to_bits(), value.to_bits());
        }
        assert_eq!(encode(-0.0), encode(0.0));
        assert_eq!(encode(0.0), 0);
        assert!(decode(encode(f64::NAN)).is_nan() && decode(encode(-f64::NAN)).is_nan());
        assert!(encode(f64::NAN) > encode(f64::INFINITY));
    }

    #[test]
    fn the_latest_is_by_step_then_time_then_value_with_nan_as_zero() {
        let key = |step, timestamp, value| latest_key(step, timestamp, encode(value));
        assert!(key(2, 1, -5.0) > key(1, 9, 5.0));
        assert!(key(1, 2, -5.0) > key(1, 1, 5.0));
        assert!(key(1, 1, 0.1) > key(1, 1, f64::NAN) && key(1, 1, f64::NAN) > key(1, 1, -0.1));
        assert!(key(-1, 0, 0.0) < key(0, 0, f64::NEG_INFINITY));
    }

    proptest! {
        #[test]
        fn stored_forms_sort_like_the_values(a in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::INFINITE | proptest::num::f64::ZERO,
                                             b in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::INFINITE | proptest::num::f64::ZERO) {
            prop_assert_eq!(encode(a).cmp(&encode(b)), a.partial_cmp(&b).unwrap());
            prop_assert_eq!(decode(encode(a)), a);
        }
    }
}
