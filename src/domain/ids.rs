//! Ids as clients send them.

use super::field::FieldError;
use super::text::missing;

/// The id of the experiment that always exists, `Default`.
pub const DEFAULT_EXPERIMENT: i64 = 0;

/// A run's id: 32 lower-case hexadecimal digits. Anything else cannot exist, so it is looked up like an
/// unknown id; only what no id can hold at all is refused here.
pub fn run_id(field: &str, text: &str) -> Result<(), FieldError> {
    opaque(field, text, "run id")
}

/// A logged model's id: `m-` and 32 lower-case hexadecimal digits. Anything else is looked up like an unknown
/// one, as with runs.
pub fn logged_model_id(field: &str, text: &str) -> Result<(), FieldError> {
    opaque(field, text, "id of a logged model")
}

fn opaque(field: &str, text: &str, what: &str) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if text.len() > 256 || !text.chars().all(legal) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        let rule = "1 to 256 ASCII letters, digits, `_` and `-` that start with a letter or digit";
        return Err(FieldError::new(field, format!("is no {what}: {rule}")));
    }
    Ok(())
}

/// An experiment's id: a decimal integer that is not negative. It has one spelling: with leading zeros it
/// would be another text to a rule and the same row to the database.
pub fn experiment_id(field: &str, text: &str) -> Result<i64, FieldError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    digits(text).ok_or_else(|| FieldError::new(field, "is no experiment id: must be a decimal integer without sign or leading zeros"))
}

/// A version's number: ASCII digits, from 1, without leading zeros.
pub fn version_number(field: &str, text: &str) -> Result<i32, FieldError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    digits(text).and_then(|number| i32::try_from(number).ok()).filter(|number| *number > 0).ok_or_else(|| {
        FieldError::new(field, format!("is no version: must be an integer between 1 and {}, without leading zeros", i32::MAX))
    })
}

/// An opaque id that the server gave out: 32 lower-case hexadecimal digits.
pub fn uid(field: &str, text: &str) -> Result<(), FieldError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(())
    } else {
        Err(FieldError::new(field, "is no id: must be 32 lower-case hexadecimal digits"))
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    // What does not fit is none as well.
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ascii_digits_in_range() {
        assert_eq!(version_number("version", "3"), Ok(3));
        for bad in ["", "0", "-1", "+1", "1.0", " 1", "٣", "2147483648", "99999999999999999999", "1e3", "01"] {
            assert!(version_number("version", bad).is_err(), "{bad}");
        }
        assert_eq!(experiment_id("experiment_id", "9223372036854775807"), Ok(i64::MAX));
        assert_eq!(version_number("version", "2147483647"), Ok(i32::MAX));
        assert_eq!(experiment_id("experiment_id", "0"), Ok(DEFAULT_EXPERIMENT));
        for bad in ["", "9223372036854775808", "-1", "+1", "007", "00", "1 ", "0x1", "1٣"] {
            assert!(experiment_id("experiment_id", bad).is_err(), "{bad}");
        }
        for bad in ["", "../etc", "_a", "a b", "a\0", "é", &"a".repeat(257)] {
            assert!(run_id("run_id", bad).is_err(), "{bad:?}");
        }
        assert_eq!(run_id("run_id", &"a".repeat(256)), Ok(()));
        assert!(uid("request_id", &"g".repeat(32)).is_err() && uid("request_id", &"a".repeat(32)).is_ok());
    }
}
