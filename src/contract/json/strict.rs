//! Fields that nobody declared. A misspelt limit must not be passed over: `efect` would allow what was to be denied.
//! MLflow's clients send fields that this server does not know, so the caller of the reader says which it is.

use std::cell::Cell;

use serde::de::{DeserializeSeed, Deserializer, Error};

/// How far apart two names may be for one to be called a misspelling of the other.
const ALIKE: f64 = 0.75;
/// Characters of an unknown name that are repeated in the error.
const SHOWN: usize = 100;

/// What becomes of fields that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Passed over.
    Ignored,
    /// An error that names the field, and the nearest known one.
    Refused,
}

thread_local! {
    /// Reading is one call without a pause, deep in which serde hands nothing down but the text.
    static NOW: Cell<Unknown> = const { Cell::new(Unknown::Ignored) };
}

/// Reads with unknown fields treated so; without it they are passed over.
pub fn with<T>(unknown: Unknown, read: impl FnOnce() -> T) -> T {
    struct Restored(Unknown);
    impl Drop for Restored {
        fn drop(&mut self) {
            NOW.set(self.0);
        }
    }
    let _restored = Restored(NOW.replace(unknown));
    read()
}

/// Whether unknown fields are errors in what is being read.
pub(super) fn refuses() -> bool {
    NOW.get() == Unknown::Refused
}

/// The error for an unknown field, in place of its value, so that the error's path names it.
pub(super) struct Refusal<'a> {
    pub key: &'a str,
    pub known: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for Refusal<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(no_such("field", self.key, self.known)))
    }
}

/// Says that there is no such name, and which one may be meant.
pub fn no_such(what: &str, given: &str, known: &[&str]) -> String {
    let shown: String = given.chars().take(SHOWN).filter(|c| !c.is_control()).collect();
    let distance = |name: &&&str| strsim::jaro_winkler(&shown.to_ascii_lowercase(), &name.to_ascii_lowercase());
    let nearest = known.iter().max_by(|one, other| distance(one).total_cmp(&distance(other)));
    match nearest.filter(|name| distance(name) >= ALIKE) {
        Some(name) => format!("there is no {what} `{shown}`; did you mean `{name}`?"),
        None if known.is_empty() => format!("there is no {what} `{shown}`; there are none here"),
        None => format!("there is no {what} `{shown}`; there are `{}`", known.join("`, `")),
    }
}
