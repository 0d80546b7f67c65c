//! What a source holds, as it is read: MLflow's terms, nothing checked yet.

use std::sync::Arc;

use crate::store::inputs::Input;

/// A part of a list, and where the next one begins.
pub struct Page<T> {
    /// In the source's order.
    pub items: Vec<T>,
    /// None behind the last part.
    pub next: Option<String>,
}

/// Keys and values.
pub type Pairs = Vec<(String, String)>;

/// An experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiment {
    /// As the source counts.
    pub id: i64,
    pub name: String,
    /// Not deleted.
    pub active: bool,
    /// Unix milliseconds; 0 when the source does not know.
    pub created: i64,
    pub updated: i64,
    pub tags: Pairs,
}

/// A run with all but its metric points.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Run {
    pub run_id: String,
    pub experiment: i64,
    pub name: String,
    pub user_id: String,
    /// MLflow's word.
    pub status: String,
    pub start_time: i64,
    pub end_time: Option<i64>,
    /// Not deleted.
    pub active: bool,
    pub artifact_uri: String,
    pub params: Pairs,
    pub tags: Pairs,
    pub inputs: Vec<Input>,
    /// Logged models that it used or made, where the source tells it with the run.
    pub links: Vec<Link>,
    /// The metrics that it has, where the source must be asked by them.
    pub metric_keys: Vec<String>,
    /// Changes when anything of the run changes.
    pub fingerprint: String,
}

/// One point of a metric of one of the runs that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The run's place in the question.
    pub run: usize,
    pub key: Arc<str>,
    pub value: f64,
    pub time: i64,
    pub step: i64,
}

/// That a run used a logged model, or made it at a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    pub run_id: String,
    pub model_id: String,
    /// None for one that it used.
    pub made_at: Option<i64>,
}

/// A logged model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoggedModel {
    pub model_id: String,
    pub experiment: i64,
    pub name: String,
    pub model_type: String,
    pub source_run_id: String,
    /// The contract's number, which is MLflow's.
    pub status: i32,
    /// Not deleted.
    pub active: bool,
    pub artifact_uri: String,
    pub created: i64,
    pub updated: i64,
    pub params: Pairs,
    pub tags: Pairs,
    pub metrics: Vec<ModelMetric>,
    /// Where the source tells them with the logged model.
    pub links: Vec<Link>,
}

/// A point of a metric about a logged model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelMetric {
    pub key: String,
    pub value: f64,
    pub time: i64,
    pub step: i64,
    /// The run that logged it.
    pub run_id: String,
    /// Empty for none.
    pub dataset_name: String,
    pub dataset_digest: String,
}

/// A registered model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Model {
    pub name: String,
    pub description: String,
    pub created: i64,
    pub updated: i64,
    pub tags: Pairs,
    /// The highest number that any version had, also deleted ones where the source knows them.
    pub last_version: i64,
    /// Aliases and the numbers that they point at.
    pub aliases: Vec<(String, i64)>,
}

/// A version of a registered model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Version {
    pub model: String,
    pub version: i64,
    pub description: String,
    pub user_id: String,
    pub stage: String,
    pub source: String,
    pub run_id: String,
    pub run_link: String,
    pub created: i64,
    pub updated: i64,
    pub tags: Pairs,
}

/// How many there are of everything. None where a source does not tell before it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub experiments: Option<i64>,
    pub runs: Option<i64>,
    pub points: Option<i64>,
    pub versions: Option<i64>,
}

/// A value as MLflow's database has it: NaN is a mark beside it, and an infinity the largest number.
pub fn value(stored: f64, is_nan: bool) -> f64 {
    match stored {
        _ if is_nan => f64::NAN,
        f64::MAX => f64::INFINITY,
        f64::MIN => f64::NEG_INFINITY,
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn what_mlflow_cannot_store_comes_back() {
        assert!(value(0.0, true).is_nan());
        assert_eq!(value(1.797_693_134_862_315_7e308, false), f64::INFINITY);
        assert_eq!(value(-1.797_693_134_862_315_7e308, false), f64::NEG_INFINITY);
        assert_eq!(value(1.5, false), 1.5);
    }
}
