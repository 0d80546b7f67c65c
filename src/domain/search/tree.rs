//! The trees that filters and orders parse into.

/// What is searched. It decides which names exist and what they compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Runs.
    Runs,
    /// Experiments.
    Experiments,
    /// Registered models.
    RegisteredModels,
    /// Versions of registered models.
    ModelVersions,
    /// Logged models.
    LoggedModels,
}

/// Comparisons that must all hold; none for an empty text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// In the order of the text.
    pub clauses: Vec<Comparison>,
}

/// A key and what its value must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub key: Key,
    /// What must hold.
    pub test: Test,
}

/// What a comparison or an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A property of the object itself.
    Attribute(Attribute),
    /// The latest value of a metric of a run or logged model.
    Metric(String),
    /// A param of a run or logged model.
    Param(String),
    /// A tag.
    Tag(String),
    /// A property of a data set that is an input of a run; one such data set is enough.
    Dataset(DatasetField),
}

/// A property of an object, under the one name that MLflow gives it; aliases such as `created` are
/// resolved. Which entity has which is decided when a text is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// `run_id` of a run, or of the run that a model version comes from.
    RunId,
    /// `run_name` of a run.
    RunName,
    /// `status` of a run, such as `FINISHED`, or of a logged model, such as `READY`.
    Status,
    /// `user_id` of a run.
    UserId,
    /// `artifact_uri` of a run.
    ArtifactUri,
    /// `start_time` of a run, in Unix milliseconds.
    StartTime,
    /// `end_time` of a run, in Unix milliseconds.
    EndTime,
    /// `experiment_id` of an experiment or logged model; its tests are `Number` (`=` and `!=` alone) and `NumberIn`.
    ExperimentId,
    /// `name` of an experiment, a registered or a logged model, or of the model of a version.
    Name,
    /// `creation_time` of an experiment, in Unix milliseconds.
    CreationTime,
    /// `last_update_time` of an experiment, in Unix milliseconds.
    LastUpdateTime,
    /// `creation_timestamp` of a model version (only ordered by) or a logged model, in Unix milliseconds.
    CreationTimestamp,
    /// `last_updated_timestamp` of a registered model or version (only ordered by) or a logged model, in Unix
    /// milliseconds.
    LastUpdatedTimestamp,
    /// `source_path` of a model version: its source.
    SourcePath,
    /// `version_number` of a model version.
    VersionNumber,
    /// `model_id` of a logged model.
    ModelId,
    /// `model_type` of a logged model.
    ModelType,
    /// `source_run_id` of a logged model.
    SourceRunId,
    /// `artifact_location` of a logged model.
    ArtifactLocation,
}

/// A property of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// What it served for: the input's tag `mlflow.data.context`.
    Context,
}

/// What must hold of a value. An object that lacks the key passes `IS NULL` and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// A comparison of numbers. Of NaN only `!=` holds.
    Number {
        /// How.
        op: NumberOp,
        /// A `Float` for metrics; else as it was written.
        value: Number,
    },
    /// A comparison of texts.
    Text {
        /// How.
        op: TextOp,
        /// The text, or the pattern of LIKE and ILIKE.
        value: String,
    },
    /// `IN` and `NOT IN`.
    In {
        /// `NOT IN`.
        negated: bool,
        /// 1 to `MAX_LIST_VALUES` texts, as they were written.
        values: Vec<String>,
    },
    /// `IN` and `NOT IN` of an experiment's id, whose values are quoted decimals.
    NumberIn {
        /// `NOT IN`.
        negated: bool,
        /// 1 to `MAX_LIST_VALUES` numbers, as they were written.
        values: Vec<i64>,
    },
    /// `IS NULL` and `IS NOT NULL`: whether the key is missing.
    Null {
        /// `IS NOT NULL`.
        negated: bool,
    },
}

/// How numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NumberOp {
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
}

/// How texts compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextOp {
    /// `=`: the same characters, letter case included.
    Eq,
    /// `!=`
    Ne,
    /// `LIKE`: see [`like`](super::like).
    Like,
    /// `ILIKE`: as `LIKE`, without regard to the case of ASCII letters.
    Ilike,
}

/// A number of a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// Exact, for int64 columns.
    Int(i64),
    /// Never NaN. Infinite when the text exceeds the range of a double, as in MLflow.
    Float(f64),
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderBy {
    /// What is ordered by; never a data set.
    pub key: Key,
    /// DESC.
    pub descending: bool,
}
