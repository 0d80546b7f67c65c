//! What runs log, checked and stored: metrics, params and tags, all of them or none.

use std::collections::BTreeMap;

use super::runs::{NAME_TAG, live, refused};
use super::{Error, Result, logged_models as models};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::field::{Check, FieldError};
use crate::domain::{ids, key_value, limits, metric_value, text};
use crate::store::logged_model_values::{self, ModelPoint};
use crate::store::metrics::{self, Point, Points};
use crate::store::{Store, Tx, Unrecorded, logged_models, run_values, runs as rows};

/// What one request logs to one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Batch {
    pub metrics: Vec<v1::Metric>,
    pub params: Vec<v1::Param>,
    pub tags: Vec<v1::Tag>,
}

impl Batch {
    /// Checks everything; `path` stands before the fields in errors.
    pub fn check(&self, check: &mut Check, path: &str) {
        let list = |name: &str| format!("{path}{name}");
        let (metrics, params, tags) = (list("metrics"), list("params"), list("tags"));
        check.take(text::count(&metrics, self.metrics.len(), limits::BATCH_METRICS));
        let (entries, most) = (self.metrics.len() + self.params.len() + self.tags.len(), limits::BATCH_ENTRIES);
        if entries > most && self.metrics.len() <= limits::BATCH_METRICS {
            let many = format!("have {entries} items together with params and tags; at most {most} are allowed in one batch");
            check.fail(FieldError::new(&metrics, many));
        }
        for (index, item) in self.metrics.iter().take(limits::BATCH_METRICS).enumerate() {
            check.take(metric(item).map_err(|error| key_value::in_list(&metrics, index, error)));
        }
        let pairs = self.params.iter().map(|param| (param.key.as_str(), param.value.as_str()));
        key_value::check_list(check, &params, pairs, limits::BATCH_PARAMS, limits::PARAM_VALUE);
        key_value::check_once(check, &params, self.params.iter().map(|param| param.key.as_str()), limits::BATCH_PARAMS);
        check.take(text::count(&tags, self.tags.len(), limits::BATCH_TAGS));
        for (index, item) in self.tags.iter().take(limits::BATCH_TAGS).enumerate() {
            check.take(tag(item).map_err(|error| key_value::in_list(&tags, index, error)));
        }
    }
}

/// Checks one point. Costs little when nothing is wrong: batches are large and nearly always right.
pub(super) fn metric(metric: &v1::Metric) -> std::result::Result<(), FieldError> {
    point(metric).map_err(|error| key_value::of_key(&metric.key, error))
}

fn point(metric: &v1::Metric) -> std::result::Result<(), FieldError> {
    text::key("key", &metric.key)?;
    if metric.value.is_none() {
        return Err(text::missing("value"));
    }
    if !metric.model_id.is_empty() {
        ids::logged_model_id("model_id", &metric.model_id)?;
        text::value("dataset_name", &metric.dataset_name, limits::DATASET_NAME)?;
        text::value("dataset_digest", &metric.dataset_digest, limits::DATASET_DIGEST)?;
    }
    time("timestamp", metric.timestamp.ok_or_else(|| text::missing("timestamp"))?)
}

/// Checks one param.
pub(super) fn param(param: &v1::Param) -> std::result::Result<(), FieldError> {
    key_value::check(&param.key, &param.value, limits::PARAM_VALUE)
}

/// Checks one tag. The tag that names the run has to be a name.
pub(super) fn tag(tag: &v1::Tag) -> std::result::Result<(), FieldError> {
    if tag.key == NAME_TAG {
        let name = text::required("value", &tag.value, limits::RUN_NAME);
        let name = name.and_then(|()| text::label("value", &tag.value, limits::RUN_NAME));
        return name.map_err(|error| key_value::of_key(&tag.key, error));
    }
    key_value::check(&tag.key, &tag.value, limits::RUN_TAG_VALUE)
}

/// Checks a time in Unix milliseconds.
pub(super) fn time(field: &str, time: i64) -> std::result::Result<(), FieldError> {
    if time < 0 {
        return Err(FieldError::new(field, format!("is {time}; must be in Unix milliseconds and not negative")));
    }
    Ok(())
}

/// Says an error about the only item of a batch in the terms of a request that has just one; `path` leads to it.
pub(super) fn of_one(error: Error, path: &str) -> Error {
    let Error::Invalid(invalid) = error else { return error };
    let mut check = Check::new();
    for violation in invalid.violations() {
        check.fail(FieldError::new(violation.field.trim_start_matches(path), violation.message.clone()));
    }
    check.finish().map_or_else(Error::from, |()| Error::Invalid(invalid))
}

/// What is stored in one transaction of its own.
struct Mixed {
    points: Points,
    /// Those of the points that are about logged models too.
    about: Vec<AboutModel>,
    /// The uid of who logs them.
    user: String,
    params: Vec<(String, String)>,
    tags: Vec<(String, String)>,
}

/// A point about a logged model.
struct AboutModel {
    /// Its place in the batch.
    index: usize,
    model_id: String,
    /// All but the model's internal id.
    point: ModelPoint,
}

/// Stores a checked batch durably. Metrics alone share statements with what others log at the same time.
pub(super) async fn store(call: &Call, run_id: &str, batch: Batch) -> Result<()> {
    let points = Points { run_id: run_id.to_owned(), points: points(call.store(), &batch.metrics).await? };
    let about = about_models(&batch.metrics, &points.points);
    if batch.params.is_empty() && batch.tags.is_empty() && about.is_empty() {
        return call.store().log_metrics(points).await.map_err(|error| refused(run_id, error));
    }
    // A point belongs to its run: about a model it says no more than that somebody logged it.
    models::require(call, Permission::ExperimentsRead, about.iter().map(|about| about.model_id.as_str()).collect()).await?;
    let params = batch.params.into_iter().map(|param| (param.key, param.value)).collect();
    // Of equal keys the last one counts.
    let tags: BTreeMap<_, _> = batch.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    let user = call.caller().user_uid.clone();
    let mixed = Mixed { points, about, user, params, tags: tags.into_iter().collect() };
    call.store().write_unrecorded(Unrecorded::Tracking, mixed, |tx, mixed| Box::pin(store_mixed(tx, mixed))).await
}

/// The points that are about logged models.
fn about_models(metrics: &[v1::Metric], points: &[Point]) -> Vec<AboutModel> {
    let about = |(index, (metric, point)): (usize, (&v1::Metric, &Point))| AboutModel {
        index,
        model_id: metric.model_id.clone(),
        point: ModelPoint {
            model: 0,
            metric: point.metric,
            dataset_name: metric.dataset_name.clone(),
            dataset_digest: metric.dataset_digest.clone(),
            step: point.step,
            time: point.time,
            value: point.value,
        },
    };
    metrics.iter().zip(points).enumerate().filter(|(_, (metric, _))| !metric.model_id.is_empty()).map(about).collect()
}

async fn store_mixed(tx: &Tx, Mixed { points, about, user, params, tags }: &Mixed) -> Result<()> {
    let run = live(tx, &points.run_id).await?;
    if !points.points.is_empty() {
        for outcome in metrics::log(&**tx, &[points]).await? {
            outcome.map_err(|error| refused(&points.run_id, error))?;
        }
    }
    if !about.is_empty() {
        store_about(tx, run.id, user, about).await?;
    }
    if let Some((index, stored)) = run_values::insert_params(tx, run.id, params).await? {
        let message = format!(
            "the param {:?} of the run {} has the value {stored:?} already, and params never change; log it under another key or in another run",
            params[index].0, run.run_id
        );
        return Err(Error::invalid(&format!("params[{index}].value"), message));
    }
    set_tags(tx, run.id, tags).await
}

async fn store_about(tx: &Tx, run: i64, user: &str, about: &[AboutModel]) -> Result<()> {
    let mut ids: Vec<&str> = about.iter().map(|about| about.model_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let live = logged_models::live(&**tx, &ids).await?;
    let mut points = Vec::with_capacity(about.len());
    for AboutModel { index, model_id, point } in about {
        let missing = || Error::invalid(&format!("metrics[{index}].model_id"), format!("there is no logged model {model_id}"));
        points.push(ModelPoint { model: *live.get(model_id).ok_or_else(missing)?, ..point.clone() });
    }
    Ok(logged_model_values::log_metrics(tx, run, user, &points).await?)
}

/// Sets tags; the one that names the run renames it.
pub(super) async fn set_tags(tx: &Tx, run: i64, tags: &[(String, String)]) -> Result<()> {
    run_values::set_tags(tx, run, tags).await?;
    if let Some((_, name)) = tags.iter().find(|(key, _)| key == NAME_TAG) {
        rows::rename(tx, run, name).await?;
    }
    Ok(())
}

/// Checked points in the form in which they are stored.
async fn points(store: &Store, metrics: &[v1::Metric]) -> Result<Vec<Point>> {
    let names: Vec<&str> = metrics.iter().map(|metric| metric.key.as_str()).collect();
    let ids = store.metric_ids(&names).await?;
    let point = |(metric, id): (&v1::Metric, i64)| Point {
        metric: id,
        time: metric.timestamp(),
        step: metric.step,
        value: metric_value::encode(metric.value()),
    };
    Ok(metrics.iter().zip(ids).map(point).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(batch: &Batch) -> Vec<String> {
        let mut check = Check::new();
        batch.check(&mut check, "");
        check.finish().map_or_else(|invalid| invalid.violations().iter().map(ToString::to_string).collect(), |()| Vec::new())
    }

    fn point(key: &str, value: Option<f64>, timestamp: Option<i64>) -> v1::Metric {
        v1::Metric { key: key.to_owned(), value, timestamp, step: i64::MIN, ..v1::Metric::default() }
    }

    #[test]
    fn every_legal_value_passes() {
        let legal = |value| point("loss/train", Some(value), Some(0));
        let batch = Batch {
            metrics: [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN, -0.0].map(legal).into(),
            params: vec![v1::Param { key: "a".to_owned(), value: String::new() }],
            tags: vec![v1::Tag { key: NAME_TAG.to_owned(), value: "x".repeat(250) }],
        };
        assert_eq!(violations(&batch), Vec::<String>::new());
    }

    #[test]
    fn an_error_names_the_item_and_its_field() {
        let batch = Batch {
            metrics: vec![
                point("a", Some(1.0), Some(1)),
                point("", None, None),
                point("a", None, Some(1)),
                point("a", Some(1.0), Some(-1)),
            ],
            params: ["p", "p"].map(|key| v1::Param { key: key.to_owned(), value: "v".repeat(65_536) }).into(),
            tags: vec![v1::Tag { key: NAME_TAG.to_owned(), value: " ".to_owned() }],
        };
        let found = violations(&batch);
        let fields: Vec<&str> = found.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(
            fields,
            [
                "metrics[1].key",
                "metrics[2].value",
                "metrics[3].timestamp",
                "params[0].value",
                "params[1].value",
                "params[1].key",
                "tags[0].value"
            ]
        );
    }

    #[test]
    fn lists_have_limits() {
        let most = Batch { metrics: vec![point("a", Some(0.0), Some(0)); 1_000], ..Batch::default() };
        assert_eq!(violations(&most), Vec::<String>::new());
        let more = Batch { metrics: vec![point("a", Some(0.0), Some(0)); 1_001], ..Batch::default() };
        assert_eq!(violations(&more), ["metrics: has 1001 items; at most 1000 are allowed"]);
        let tags = vec![v1::Tag { key: "t".to_owned(), value: String::new() }];
        let together = Batch { metrics: most.metrics, tags, ..Batch::default() };
        let told = "metrics: have 1001 items together with params and tags; at most 1000 are allowed in one batch";
        assert_eq!(violations(&together), [told]);
    }
}
