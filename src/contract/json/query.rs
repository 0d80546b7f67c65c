//! A query string as a serde source: each parameter is a text, a repeated one is a list.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;

use serde::de::value::{Error, SeqDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;

use crate::domain::field::Invalid;

/// Parameters that a request may have, each value of a list counted.
const PARAMETERS: usize = 2_000;

/// The parameters, each with its values in the order in which they came.
pub struct Query<'a>(BTreeMap<Cow<'a, str>, Vec<String>>);

impl<'a> Query<'a> {
    /// Splits and decodes a query string, once.
    pub fn parse(text: &'a str) -> Result<Self, Invalid> {
        let mut parameters: BTreeMap<Cow<'a, str>, Vec<String>> = BTreeMap::new();
        for (count, part) in text.split('&').filter(|part| !part.is_empty()).enumerate() {
            if count >= PARAMETERS {
                return Err(Invalid::field("query", format!("has more than {PARAMETERS} parameters")));
            }
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let key = decoded(key)?;
            parameters.entry(key).or_default().push(decoded(value)?.into_owned());
        }
        Ok(Self(parameters))
    }
}

/// A key or value with its percent signs and pluses undone.
fn decoded(text: &str) -> Result<Cow<'_, str>, Invalid> {
    let plain = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let bad = |_| Invalid::field("query", "is no valid UTF-8 once its percent signs are decoded");
    match plain {
        Cow::Borrowed(text) => percent_encoding::percent_decode_str(text).decode_utf8().map_err(bad),
        Cow::Owned(text) => {
            percent_encoding::percent_decode_str(&text).decode_utf8().map(|text| Cow::Owned(text.into_owned())).map_err(bad)
        }
    }
}

impl<'de> Deserializer<'de> for Query<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Parameters { rest: self.0.into_iter(), values: Vec::new() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Parameters<'a> {
    rest: IntoIter<Cow<'a, str>, Vec<String>>,
    values: Vec<String>,
}

impl<'de> MapAccess<'de> for Parameters<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, values)) = self.rest.next() else { return Ok(None) };
        self.values = values;
        let key: StringDeserializer<Error> = key.into_owned().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Values(std::mem::take(&mut self.values)))
    }
}

/// The values of one parameter.
struct Values(Vec<String>);

impl Values {
    fn one(mut self) -> Result<String, Error> {
        if self.0.len() > 1 {
            return Err(Error::custom("is given more than once"));
        }
        Ok(self.0.pop().unwrap_or_default())
    }
}

impl<'de> Deserializer<'de> for Values {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Only a parameter that nobody reads may be repeated where no list is expected.
        if self.0.len() > 1 {
            return self.deserialize_seq(visitor).map_err(|_| Error::custom("is given more than once"));
        }
        visitor.visit_string(self.one()?)
    }

    /// Python writes `True`.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.one()?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(Error::custom("must be `true` or `false`")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("is an object, which a query string cannot hold; send it as JSON"))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct tuple tuple_struct struct enum identifier ignored_any
    }
}
