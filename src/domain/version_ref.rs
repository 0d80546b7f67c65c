//! How a request names a version of a registered model.

use super::field::FieldError;
use super::{ids, stage, text};

/// A version, directly or through what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionRef {
    /// By its number.
    Number(i32),
    /// The newest version in a stage, as in MLflow's `models:/NAME/Production`.
    Stage(&'static str),
    /// The version that an alias points at, as in MLflow's `models:/NAME@champion`.
    Alias(String),
}

impl VersionRef {
    /// Reads a number, a stage in any letter case, or an alias with `@` before it.
    pub fn parse(field: &str, given: &str) -> Result<Self, FieldError> {
        if let Some(alias) = given.strip_prefix('@') {
            text::alias(field, alias)?;
            return Ok(Self::Alias(alias.to_owned()));
        }
        if given.starts_with(|c: char| c.is_ascii_digit()) {
            return ids::version_number(field, given).map(Self::Number);
        }
        stage::stage(field, given).map(Self::Stage).map_err(|error| {
            let message = format!("{}; a version's number or `@` and an alias would do as well", error.message);
            if given.is_empty() { error } else { FieldError::new(field, message) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stages_and_aliases_are_told_apart() {
        let parse = |given| VersionRef::parse("version", given);
        assert_eq!(parse("12"), Ok(VersionRef::Number(12)));
        assert_eq!(parse("production"), Ok(VersionRef::Stage("Production")));
        assert_eq!(parse("@champion"), Ok(VersionRef::Alias("champion".into())));
        for bad in ["", "0", "01", "1x", "-1", "latest", "champion", "@", "@v3", "@@a", "Production "] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
