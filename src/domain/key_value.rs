//! Entries of a key and a value: params, tags, metrics. An error in one of them names its key, because a client that splits
//! what it was given into batches makes places in a list useless to whoever reads the error.

use std::collections::HashSet;

use super::field::{Check, FieldError};
use super::text;

/// Of a key in an error, at most so many characters are shown.
const KEY_SHOWN: usize = 60;

/// Checks the fields `key` and `value` of one entry.
///
/// # Errors
/// When the key is none by `text::key`, or the value has more than `most` characters.
pub fn check(key: &str, value: &str, most: usize) -> Result<(), FieldError> {
    text::key("key", key).and_then(|()| text::value("value", value, most)).map_err(|error| of_key(key, error))
}

/// Checks a list of at most `many` entries.
pub fn check_list<'a>(check: &mut Check, list: &str, entries: impl ExactSizeIterator<Item = (&'a str, &'a str)>, many: usize, most: usize) {
    check.take(text::count(list, entries.len(), many));
    for (index, (key, value)) in entries.take(many).enumerate() {
        check.take(self::check(key, value, most).map_err(|error| in_list(list, index, error)));
    }
}

/// Checks that each key stands in a list once, among its first `many` entries.
pub fn check_once<'a>(check: &mut Check, list: &str, keys: impl Iterator<Item = &'a str>, many: usize) {
    let mut seen = HashSet::new();
    for (index, key) in keys.take(many).enumerate() {
        if !seen.insert(key) {
            let twice = FieldError::new("key", "stands in the list already; give each key once");
            check.fail(in_list(list, index, of_key(key, twice)));
        }
    }
}

/// Puts the place in a list before the field of an error.
pub fn in_list(list: &str, index: usize, error: FieldError) -> FieldError {
    FieldError::new(format!("{list}[{index}].{}", error.field), error.message)
}

/// Adds the key of the entry that an error is about; of a long one its beginning.
pub fn of_key(key: &str, error: FieldError) -> FieldError {
    if key.is_empty() {
        return error;
    }
    FieldError::new(error.field, format!("{} (key {})", error.message, shown(key)))
}

/// A key between quotes, cut after 60 characters.
pub fn shown(key: &str) -> String {
    match key.char_indices().nth(KEY_SHOWN) {
        None => format!("{key:?}"),
        Some((end, _)) => format!("{:?}…", &key[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits;

    #[test]
    fn an_error_names_the_key_of_its_entry() {
        let long = "é".repeat(limits::KEY + 1);
        let entries = [("a b", "x"), ("lr", "toolong"), ("", "x"), (long.as_str(), "x"), ("bad\n", "x")];
        let mut check = Check::new();
        check_list(&mut check, "tags", entries.into_iter(), 5, 3);
        check_once(&mut check, "tags", ["a", "b", "a"].into_iter(), 3);
        let told: Vec<String> = check.finish().unwrap_err().violations().iter().map(ToString::to_string).collect();
        let start = "é".repeat(60);
        assert_eq!(
            told,
            [
                r#"tags[1].value: has 7 characters; at most 3 are allowed (key "lr")"#.to_owned(),
                "tags[2].key: is required".to_owned(),
                format!(r#"tags[3].key: has 251 characters; at most 250 are allowed (key "{start}"…)"#),
                r#"tags[4].key: may only contain letters, digits, `_`, `-`, `.`, `:`, `/` and blanks (key "bad\n")"#.to_owned(),
                r#"tags[2].key: stands in the list already; give each key once (key "a")"#.to_owned(),
            ]
        );
    }

    #[test]
    fn lists_are_looked_at_up_to_their_limit() {
        let mut check = Check::new();
        check_list(&mut check, "params", [("a", "x"), ("b", "toolong")].into_iter(), 1, 3);
        let told: Vec<String> = check.finish().unwrap_err().violations().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["params: has 2 items; at most 1 are allowed"]);
    }
}
