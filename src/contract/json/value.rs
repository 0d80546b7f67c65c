//! Values whose JSON form is not serde's own.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// An integer: a JSON number without a fraction, or a text of one.
pub struct Integer<T>(pub T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(IntegerVisitor(PhantomData))
    }
}

impl<T: Serialize> Serialize for Integer<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

struct IntegerVisitor<T>(PhantomData<T>);

impl<T: TryFrom<i128>> IntegerVisitor<T> {
    fn fit<E: Error>(number: i128) -> Result<Integer<T>, E> {
        T::try_from(number).map(Integer).map_err(|_| E::custom(format_args!("{number} is out of range")))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for IntegerVisitor<T> {
    type Value = Integer<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an integer")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Self::fit(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Self::fit(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // Beyond 2^53 a double no longer says which integer was meant.
        if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
            return Err(E::custom(format_args!("{number} is no integer that can be read exactly")));
        }
        #[allow(clippy::cast_possible_truncation)] // Whole and small, as was just seen.
        Self::fit(number as i128)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let plain = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| plain);
        number.map_or_else(|| Err(E::invalid_value(serde::de::Unexpected::Str(&short(text)), &self)), Self::fit)
    }
}

/// A double: a JSON number, or a text of one, or `NaN`, `Infinity` and `-Infinity` as texts.
pub struct Double(pub f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DoubleVisitor).map(Self)
    }
}

impl Serialize for Double {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => to.serialize_f64(number),
            number if number.is_nan() => to.serialize_str("NaN"),
            number if number > 0.0 => to.serialize_str("Infinity"),
            _ => to.serialize_str("-Infinity"),
        }
    }
}

struct DoubleVisitor;

impl Visitor<'_> for DoubleVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or \"NaN\", \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    #[allow(clippy::cast_precision_loss)] // What JSON means by an integer where a double is wanted.
    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    #[allow(clippy::cast_precision_loss)] // As above.
    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => return Ok(f64::NAN),
            "Infinity" => return Ok(f64::INFINITY),
            "-Infinity" => return Ok(f64::NEG_INFINITY),
            _ => {}
        }
        let digits = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) && text.len() <= 64;
        let number = text.parse::<f64>().ok().filter(|number| digits && number.is_finite());
        number.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(&short(text)), &self))
    }
}

/// An enum whose values have names in JSON.
pub trait Names: TryFrom<i32> + Into<i32> {
    /// The name of a value.
    fn name(self) -> &'static str;
    /// The value of a name; the protobuf name is understood as well.
    fn of_name(name: &str) -> Option<Self>;
}

/// The number of an enum's value: a name, or a number that has one.
pub struct Enumerated<E>(pub i32, PhantomData<E>);

impl<E> Enumerated<E> {
    /// The value of a number.
    pub fn new(number: i32) -> Self {
        Self(number, PhantomData)
    }
}

impl<'de, E: Names> Deserialize<'de> for Enumerated<E> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(EnumVisitor(PhantomData))
    }
}

impl<E: Names> Serialize for Enumerated<E> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match E::try_from(self.0) {
            Ok(value) => to.serialize_str(value.name()),
            Err(_) => to.serialize_i32(self.0),
        }
    }
}

struct EnumVisitor<E>(PhantomData<E>);

impl<E: Names> EnumVisitor<E> {
    fn number<X: Error>(number: i128) -> Result<Enumerated<E>, X> {
        let known = i32::try_from(number).ok().and_then(|number| E::try_from(number).ok());
        known.map(|value| Enumerated::new(value.into())).ok_or_else(|| X::custom(format_args!("{number} is no known value")))
    }
}

impl<E: Names> Visitor<'_> for EnumVisitor<E> {
    type Value = Enumerated<E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a value")
    }

    fn visit_i64<X: Error>(self, number: i64) -> Result<Self::Value, X> {
        Self::number(number.into())
    }

    fn visit_u64<X: Error>(self, number: u64) -> Result<Self::Value, X> {
        Self::number(number.into())
    }

    fn visit_str<X: Error>(self, text: &str) -> Result<Self::Value, X> {
        if let Some(value) = E::of_name(text) {
            return Ok(Enumerated::new(value.into()));
        }
        match text.parse::<i32>() {
            Ok(number) => Self::number(number.into()),
            Err(_) => Err(X::custom(format_args!("{:?} is no known value", short(text)))),
        }
    }
}

/// Enough of a text to tell it by.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
