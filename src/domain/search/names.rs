//! Which names each entity has, under which spellings, and what they compare with: MLflow's tables.

use super::error::{Fault, shown};
use super::lexer::Token;
use super::{Attribute, DatasetField, Entity, Key};

/// What the values of a key are, and so which tests it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// Doubles: metrics.
    Double,
    /// Integers that also compare with fractions: the times of runs.
    Time,
    /// Integers that compare with integers alone.
    Integer,
    /// As `Integer`; a quoted integer will do.
    LooseInteger,
    /// Integers that are written as texts, and are not ordered: experiment ids.
    QuotedId,
    /// Texts, with IN or without, with IS NULL or without.
    Text { list: bool, null: bool },
}

/// What a name is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Filter,
    Order,
}

/// The key that a token names.
pub(super) fn key(entity: Entity, usage: Use, token: Token<'_>) -> Result<Key, Fault> {
    let (prefix, name) = match token {
        Token::Path { prefix, key } => (prefix, key),
        Token::Word(name) | Token::Backticked(name) | Token::DoubleQuoted(name) => ("attribute", name),
        _ => {
            return Err(Fault::new(format!("expected a name such as {}", example(entity))));
        }
    };
    let runs = entity == Entity::Runs;
    // Of logged models MLflow knows the plurals alone.
    if entity == Entity::LoggedModels {
        return match prefix {
            _ if !matches!(token, Token::Path { .. }) => attribute(entity, usage, name),
            "attributes" => attribute(entity, usage, name),
            "metrics" => Ok(Key::Metric(name.to_owned())),
            "params" => Ok(Key::Param(name.to_owned())),
            "tags" => Ok(Key::Tag(name.to_owned())),
            _ => Err(unknown_prefix(entity, usage, prefix)),
        };
    }
    match prefix {
        "attribute" => attribute(entity, usage, name),
        "attributes" | "attr" | "run" if runs => attribute(entity, usage, name),
        "metric" | "metrics" if runs => Ok(Key::Metric(name.to_owned())),
        "parameter" | "parameters" | "param" | "params" if runs => Ok(Key::Param(name.to_owned())),
        "tag" | "tags" if runs || usage == Use::Filter => Ok(Key::Tag(name.to_owned())),
        "dataset" | "datasets" if runs && usage == Use::Filter => dataset(name),
        _ => Err(unknown_prefix(entity, usage, prefix)),
    }
}

fn unknown_prefix(entity: Entity, usage: Use, prefix: &str) -> Fault {
    Fault::new(format!("there is no type of name {} here; there {}", shown(prefix), prefixes(entity, usage)))
}

/// What the values of a key are.
pub(super) fn domain(entity: Entity, key: &Key) -> Domain {
    let runs = entity == Entity::Runs;
    let logged_models = entity == Entity::LoggedModels;
    let text = |list| Domain::Text { list, null: false };
    match key {
        Key::Param(_) | Key::Tag(_) | Key::Attribute(Attribute::Status) if logged_models => text(true),
        Key::Attribute(Attribute::CreationTimestamp | Attribute::LastUpdatedTimestamp) if logged_models => Domain::Time,
        Key::Metric(_) => Domain::Double,
        Key::Param(_) => Domain::Text { list: false, null: true },
        Key::Tag(_) => Domain::Text { list: false, null: runs || entity == Entity::Experiments },
        Key::Dataset(_)
        | Key::Attribute(
            Attribute::RunId | Attribute::ModelId | Attribute::ModelType | Attribute::SourceRunId | Attribute::ArtifactLocation,
        ) => text(true),
        Key::Attribute(Attribute::Name) => text(entity != Entity::Experiments),
        Key::Attribute(Attribute::RunName | Attribute::Status | Attribute::UserId | Attribute::ArtifactUri | Attribute::SourcePath) => {
            text(false)
        }
        Key::Attribute(Attribute::StartTime | Attribute::EndTime) => Domain::Time,
        Key::Attribute(
            Attribute::CreationTime | Attribute::LastUpdateTime | Attribute::CreationTimestamp | Attribute::LastUpdatedTimestamp,
        ) => Domain::Integer,
        Key::Attribute(Attribute::VersionNumber) => Domain::LooseInteger,
        Key::Attribute(Attribute::ExperimentId) => Domain::QuotedId,
    }
}

impl Attribute {
    /// MLflow's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RunId => "run_id",
            Self::RunName => "run_name",
            Self::Status => "status",
            Self::UserId => "user_id",
            Self::ArtifactUri => "artifact_uri",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::ExperimentId => "experiment_id",
            Self::Name => "name",
            Self::CreationTime => "creation_time",
            Self::LastUpdateTime => "last_update_time",
            Self::CreationTimestamp => "creation_timestamp",
            Self::LastUpdatedTimestamp => "last_updated_timestamp",
            Self::SourcePath => "source_path",
            Self::VersionNumber => "version_number",
            Self::ModelId => "model_id",
            Self::ModelType => "model_type",
            Self::SourceRunId => "source_run_id",
            Self::ArtifactLocation => "artifact_location",
        }
    }
}

impl DatasetField {
    /// MLflow's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Digest => "digest",
            Self::Context => "context",
        }
    }
}

pub(super) fn attribute(entity: Entity, usage: Use, name: &str) -> Result<Key, Fault> {
    let canonical = match (entity, usage, name) {
        (Entity::Runs, _, "created" | "Created") => "start_time",
        (Entity::Runs, Use::Filter, "run name" | "Run name" | "Run Name") => "run_name",
        (Entity::RegisteredModels, Use::Order, "timestamp") => "last_updated_timestamp",
        (Entity::LoggedModels, _, "creation_time" | "creation_timestamp_ms") => "creation_timestamp",
        (Entity::LoggedModels, _, "last_updated_timestamp_ms") => "last_updated_timestamp",
        _ => name,
    };
    let legal = attributes(entity, usage);
    match legal.iter().find(|attribute| attribute.name() == canonical) {
        Some(attribute) => Ok(Key::Attribute(*attribute)),
        None => {
            let names: Vec<_> = legal.iter().map(|attribute| attribute.name()).collect();
            let verb = if usage == Use::Filter { "filter by" } else { "order by" };
            Err(Fault::new(format!("there is no attribute {} to {verb}; there are {}", shown(name), names.join(", "))))
        }
    }
}

fn dataset(name: &str) -> Result<Key, Fault> {
    [DatasetField::Name, DatasetField::Digest, DatasetField::Context]
        .into_iter()
        .find(|field| field.name() == name)
        .map(Key::Dataset)
        .ok_or_else(|| Fault::new(format!("a data set has no {}; it has name, digest and context", shown(name))))
}

fn attributes(entity: Entity, usage: Use) -> &'static [Attribute] {
    use Attribute::*;
    match (entity, usage) {
        (Entity::Runs, _) => &[RunId, RunName, Status, UserId, ArtifactUri, StartTime, EndTime],
        (Entity::Experiments, _) => &[Name, ExperimentId, CreationTime, LastUpdateTime],
        (Entity::RegisteredModels, Use::Filter) => &[Name],
        (Entity::RegisteredModels, Use::Order) => &[Name, LastUpdatedTimestamp],
        (Entity::ModelVersions, Use::Filter) => &[Name, VersionNumber, RunId, SourcePath],
        (Entity::ModelVersions, Use::Order) => &[Name, VersionNumber, CreationTimestamp, LastUpdatedTimestamp],
        (Entity::LoggedModels, _) => {
            &[Name, ModelId, ModelType, SourceRunId, ExperimentId, ArtifactLocation, Status, CreationTimestamp, LastUpdatedTimestamp]
        }
    }
}

fn prefixes(entity: Entity, usage: Use) -> &'static str {
    match (entity, usage) {
        (Entity::Runs, Use::Filter) => "are metrics, params, tags, attributes and datasets",
        (Entity::Runs, Use::Order) => "are metrics, params, tags and attributes",
        (Entity::LoggedModels, Use::Filter) => "are metrics, params, tags and attributes",
        (Entity::LoggedModels, Use::Order) => "is metrics",
        (_, Use::Filter) => "are tags and attribute",
        (_, Use::Order) => "is attribute",
    }
}

fn example(entity: Entity) -> &'static str {
    match entity {
        Entity::Runs | Entity::LoggedModels => "metrics.rmse, params.`a key`, tags.team or status",
        Entity::Experiments | Entity::RegisteredModels | Entity::ModelVersions => "tags.team or name",
    }
}
