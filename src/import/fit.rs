//! Names that our rules refuse are mended so that each stays different from every other and is the same at the
//! next import. Values are kept whole: only NUL cannot be stored.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::domain::field::FieldError;
use crate::domain::{limits, text};

/// An experiment's name.
pub fn experiment_name(name: &str) -> Cow<'_, str> {
    mended(name, text::experiment_name("name", name), limits::EXPERIMENT_NAME, plain)
}

/// A registered model's name.
pub fn model_name(name: &str) -> Cow<'_, str> {
    mended(name, text::model_name("name", name), limits::MODEL_NAME, plain)
}

/// A logged model's name, which several may have.
pub fn logged_model_name(name: &str) -> Cow<'_, str> {
    mended(name, text::logged_model_name("name", name), limits::LOGGED_MODEL_NAME, |c| plain(c) && c != '.')
}

/// A key of a metric, param or tag.
pub fn key(key: &str) -> Cow<'_, str> {
    mended(key, text::key("key", key), limits::KEY, plain)
}

/// A run's name or its user's: at most `limit` characters in one line.
pub fn label(label: &str, limit: usize) -> Cow<'_, str> {
    if text::label("label", label, limit).is_ok() {
        return Cow::Borrowed(label);
    }
    let line = |c: char| if c.is_control() || text::label("label", c.encode_utf8(&mut [0; 4]), 1).is_err() { '_' } else { c };
    Cow::Owned(label.chars().map(line).take(limit).collect())
}

/// A value: NUL becomes the replacement character.
pub fn value(value: &str) -> Cow<'_, str> {
    if value.contains('\0') { Cow::Owned(value.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(value) }
}

/// A name for something whose own is taken here, another one for each source.
pub fn with_suffix(name: &str, source: &str, limit: usize) -> String {
    let digest = hex::encode(Sha256::digest(format!("{source}\n{name}")));
    let suffix = format!("-{}", &digest[..8]);
    let kept: String = name.chars().take(limit - suffix.len()).collect();
    format!("{kept}{suffix}")
}

fn mended(name: &str, judged: Result<(), FieldError>, limit: usize, plain: fn(char) -> bool) -> Cow<'_, str> {
    if judged.is_ok() {
        return Cow::Borrowed(name);
    }
    let plain: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    // The digest is that of the name as it was.
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    let kept: String = plain.chars().take(limit - 9).collect();
    Cow::Owned(format!("{}-{}", kept.trim_start_matches('.'), &digest[..8]))
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_stay() {
        for good in ["Default", "a/b: c", "модель", "日本"] {
            assert_eq!(experiment_name(good), good);
        }
        assert_eq!(model_name("my model"), "my model");
        assert_eq!(key("loss/train"), "loss/train");
        assert_eq!(label("a b ü", 250), "a b ü");
        assert_eq!(value("a\nb"), "a\nb");
    }

    #[test]
    fn bad_names_become_good_ones_that_differ() {
        // Cyrillic among Latin, invisible, bidirectional, too long, blank, path-like.
        let long = "x".repeat(600);
        for bad in ["fr\u{430}ud", "a\u{200b}b", "a\u{202e}b", &long, " ", "a/../b", "a\0b", "", "../x", "a:b\u{200b}", "."] {
            for (mended, judged) in [
                (experiment_name(bad), text::experiment_name("name", &experiment_name(bad))),
                (model_name(bad), text::model_name("name", &model_name(bad))),
                (key(bad), text::key("key", &key(bad))),
                (logged_model_name(bad), text::logged_model_name("name", &logged_model_name(bad))),
            ] {
                assert_eq!(judged, Ok(()), "{bad:?} became {mended:?}");
            }
            assert_eq!(text::label("l", &label(bad, 250), 250), Ok(()), "{bad:?}");
        }
        assert_ne!(model_name("fr\u{430}ud"), model_name("fra\u{443}d"));
        assert_eq!(model_name("fr\u{430}ud"), model_name("fr\u{430}ud"));
        assert_eq!(value("a\0b"), "a\u{FFFD}b");
        assert_eq!(text::model_name("n", &with_suffix(&"y".repeat(256), "s", 256)), Ok(()));
    }
}
