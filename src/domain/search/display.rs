//! Trees as canonical text: what parses to the same tree. A tree whose key or text holds every kind of
//! quote that could enclose it was not parsed, and its text cannot be.

use std::fmt::{self, Display, Formatter};

use super::{Attribute, Comparison, Filter, Key, Number, NumberOp, OrderBy, Test, TextOp};

impl Display for Filter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, clause) in self.clauses.iter().enumerate() {
            if index > 0 {
                f.write_str(" AND ")?;
            }
            clause.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let quoted = self.key == Key::Attribute(Attribute::ExperimentId);
        write!(f, "{} ", self.key)?;
        match &self.test {
            Test::Number { op, value: Number::Int(value) } if quoted => write!(f, "{op} '{value}'"),
            Test::Number { op, value } => write!(f, "{op} {value}"),
            Test::Text { op, value } => write!(f, "{op} {}", Quoted(value)),
            Test::In { negated, values } => write_list(f, *negated, values.iter().map(|value| Quoted(value))),
            Test::NumberIn { negated, values } => write_list(f, *negated, values.iter().map(|value| format!("'{value}'"))),
            Test::Null { negated: false } => f.write_str("IS NULL"),
            Test::Null { negated: true } => f.write_str("IS NOT NULL"),
        }
    }
}

impl Display for OrderBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, if self.descending { "DESC" } else { "ASC" })
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (prefix, key) = match self {
            Self::Attribute(attribute) => return f.write_str(attribute.name()),
            Self::Dataset(field) => return write!(f, "datasets.{}", field.name()),
            Self::Metric(key) => ("metrics", key),
            Self::Param(key) => ("params", key),
            Self::Tag(key) => ("tags", key),
        };
        if key.contains('`') { write!(f, "{prefix}.{}", Quoted(key)) } else { write!(f, "{prefix}.`{key}`") }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => value.fmt(f),
            // A literal beyond the range of a double is how an infinity is written.
            Self::Float(value) if value.is_infinite() => {
                write!(f, "{}1e999", if *value < 0.0 { "-" } else { "" })
            }
            // Always with a fraction or an exponent, so that it stays a float.
            Self::Float(value) => write!(f, "{value:?}"),
        }
    }
}

impl Display for NumberOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
        })
    }
}

impl Display for TextOp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Like => "LIKE",
            Self::Ilike => "ILIKE",
        })
    }
}

/// A text in the quotes that it does not contain.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('\'') { '"' } else { '\'' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

fn write_list<T: Display>(f: &mut Formatter<'_>, negated: bool, values: impl Iterator<Item = T>) -> fmt::Result {
    f.write_str(if negated { "NOT IN (" } else { "IN (" })?;
    for (index, value) in values.enumerate() {
        write!(f, "{}{value}", if index > 0 { ", " } else { "" })?;
    }
    f.write_str(")")
}
