//! How the contract's messages are spelled in JSON, in MLflow's manner: field names as in the proto, int64 as
//! numbers (texts are read as well), enum values by their short names, NaN and the infinities as texts. The
//! code for each message is generated over what stands here (`build/json.rs`). Nothing is guessed: a field
//! that is given twice, or with a value of another type, is an error; so is one that nobody declared, except on MLflow's
//! paths (`strict.rs`).

mod query;
mod strict;
mod value;

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

pub use strict::{Unknown, no_such, with};
pub(super) use value::{Double, Enumerated, Integer, Names};

use crate::domain::field::Invalid;

/// Levels of nesting that a body may have.
pub const DEPTH: usize = 100;

/// Reads a message from a JSON text.
///
/// # Errors
/// Names the field, or the line and column when the text is no JSON.
pub fn read<M: DeserializeOwned>(text: &[u8]) -> Result<M, Invalid> {
    // The fast way knows no paths; only an error is worth reading it again for them.
    if let Ok(message) = serde_json::from_slice(text) {
        return Ok(message);
    }
    let mut from = serde_json::Deserializer::from_slice(text);
    let message = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() { explained(&path, &inner) } else { Invalid::field("body", format!("is no valid JSON: {inner}")) }
    })?;
    from.end().map_err(|error| Invalid::field("body", format!("is no valid JSON: {error}")))?;
    Ok(message)
}

/// Reads a message from the parameters of a query string. Lists are given by repeating the parameter.
///
/// # Errors
/// Names the parameter.
pub fn read_query<M: DeserializeOwned>(text: &str) -> Result<M, Invalid> {
    serde_path_to_error::deserialize(query::Query::parse(text)?).map_err(|error| {
        let path = error.path().to_string();
        explained(&path, error.inner())
    })
}

/// The JSON text of a message.
///
/// # Errors
/// None that a message of ours can cause.
pub fn write<M: Serialize>(message: &M) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(message)
}

/// The text of a message that is known to have so many bytes.
///
/// # Errors
/// None that a message of ours can cause.
pub fn write_within<M: Serialize>(message: &M, bytes: usize) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, message)?;
    Ok(text)
}

/// How many bytes the text of a message has.
///
/// # Errors
/// None that a message of ours can cause.
pub fn length<M: Serialize>(message: &M) -> Result<usize, serde_json::Error> {
    let mut counting = Counting(0);
    serde_json::to_writer(&mut counting, message)?;
    Ok(counting.0)
}

struct Counting(usize);

impl std::io::Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn explained(path: &str, error: &impl fmt::Display) -> Invalid {
    let text = error.to_string();
    // The place in the text helps nobody who knows the field.
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
    Invalid::field(if path == "." { "body" } else { path }, text)
}

/// A message that can be read field by field.
pub trait Read: Default {
    /// The names of its fields.
    const FIELDS: &'static [&'static str];
    /// The field of a key, in the proto's spelling or in camel case.
    fn index(key: &str) -> Option<usize>;
    /// Reads the value of a field.
    fn read<'de, A: MapAccess<'de>>(&mut self, index: usize, map: &mut A) -> Result<(), A::Error>;
}

/// Reads a whole message.
pub fn message<'de, M: Read, D: Deserializer<'de>>(from: D) -> Result<M, D::Error> {
    from.deserialize_map(MessageVisitor(PhantomData))
}

struct MessageVisitor<M>(PhantomData<M>);

impl<'de, M: Read> Visitor<'de> for MessageVisitor<M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<M, A::Error> {
        let mut message = M::default();
        let mut seen = 0u128;
        while let Some(key) = map.next_key_seed(Key(M::index))? {
            let index = match key {
                Known::Field(index) => index,
                Known::Not(None) => {
                    map.next_value_seed(Skipped(DEPTH))?;
                    continue;
                }
                Known::Not(Some(key)) => {
                    map.next_value_seed(strict::Refusal { key: &key, known: M::FIELDS })?;
                    continue;
                }
            };
            let bit = 1u128.checked_shl(u32::try_from(index).unwrap_or(u32::MAX)).unwrap_or_default();
            if seen & bit != 0 {
                let name = M::FIELDS.get(index).copied().unwrap_or_default();
                return Err(A::Error::custom(format!("`{name}` is given twice")));
            }
            seen |= bit;
            message.read(index, &mut map)?;
        }
        Ok(message)
    }
}

/// Passes over a value that nests no deeper than so many levels.
struct Skipped(usize);

impl Skipped {
    fn within<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom(format_args!("nests deeper than {DEPTH} levels")))
    }
}

impl<'de> DeserializeSeed<'de> for Skipped {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.within()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key_seed(Key(|_| None))?.is_some() {
            map.next_value_seed(self.within()?)?;
        }
        Ok(())
    }
}

/// What a key stands for.
enum Known {
    Field(usize),
    /// No field. The key is kept where it is refused.
    Not(Option<String>),
}

/// Looks a key up.
struct Key(fn(&str) -> Option<usize>);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Known;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Known;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok((self.0)(key).map_or_else(|| Known::Not(strict::refuses().then(|| key.to_owned())), Known::Field))
    }
}

/// Two fields of one `oneof` are given.
pub struct OneOf(pub &'static str);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only one of the fields of `{}` may be given", self.0)
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
