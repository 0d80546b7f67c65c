//! Stages and targets.

use std::fmt;

use super::field::FieldError;
use super::text;

/// The stages, in MLflow's order and spelling.
pub const STAGES: [&str; 4] = [NONE, "Staging", "Production", ARCHIVED];
/// The stage of a new version.
pub const NONE: &str = "None";
/// The stage of those that gave way.
pub const ARCHIVED: &str = "Archived";

/// The stage of a text in any letter case, in its own spelling.
pub fn stage(field: &str, given: &str) -> Result<&'static str, FieldError> {
    if given.is_empty() {
        return Err(text::missing(field));
    }
    STAGES
        .into_iter()
        .find(|stage| stage.eq_ignore_ascii_case(given))
        .ok_or_else(|| FieldError::new(field, format!("is no stage; the stages are {}", STAGES.join(", "))))
}

/// Whether versions in a stage are in use, so that others can be archived for a new one.
pub fn in_use(stage: &str) -> bool {
    stage != NONE && stage != ARCHIVED
}

/// What a version can be promoted to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A stage in its own spelling.
    Stage(&'static str),
    /// An alias.
    Alias(String),
}

impl Target {
    /// The target that a request names: exactly one of a stage and an alias.
    pub fn of_request(stage_text: &str, alias_text: &str) -> Result<Self, FieldError> {
        match (stage_text, alias_text) {
            ("", "") => Err(FieldError::new("stage", "is required, or else `alias`")),
            (given, "") => stage("stage", given).map(Self::Stage),
            ("", given) => text::alias("alias", given).map(|()| Self::Alias(given.to_owned())),
            _ => Err(FieldError::new("alias", "cannot be given together with `stage`")),
        }
    }

    /// The target of its written form: `Production`, `@champion`.
    pub fn parse(field: &str, written: &str) -> Result<Self, FieldError> {
        match written.strip_prefix('@') {
            Some(alias) => text::alias(field, alias).map(|()| Self::Alias(alias.to_owned())),
            None => stage(field, written).map(Self::Stage),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(stage) => f.write_str(stage),
            Self::Alias(alias) => write!(f, "@{alias}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_they_are_written() {
        for target in [Target::Stage("Production"), Target::Alias("champion".into())] {
            assert_eq!(Target::parse("target", &target.to_string()), Ok(target));
        }
        assert_eq!(stage("stage", "pRODUCTION"), Ok("Production"));
        let error = stage("stage", "Prod").unwrap_err();
        assert_eq!(error.message, "is no stage; the stages are None, Staging, Production, Archived");
        assert!(stage("stage", "").is_err() && Target::parse("target", "@").is_err());
        assert!(Target::parse("target", "@latest").is_err() && Target::parse("target", "@v3").is_err());
        assert!(Target::of_request("Staging", "champion").is_err());
        assert!(Target::of_request("", "").is_err());
    }
}
