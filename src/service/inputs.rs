//! What runs used: data sets and logged models.

use super::experiments::messages;
use super::logged_models::require;
use super::model_links::{check_models, internal_ids};
use super::runs::live;
use super::{Error, Result};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::ObjectClass;
use crate::domain::field::Check;
use crate::domain::{ids, key_value, limits, text};
use crate::store::inputs::{self as rows, Dataset, Input};
use crate::store::search::Query;
use crate::store::{Unrecorded, model_links};

/// See the proto.
pub async fn log_inputs(call: &Call, request: v1::LogInputsRequest) -> Result<v1::LogInputsResponse> {
    let mut check = Check::new();
    check.take(ids::run_id("run_id", &request.run_id));
    check.take(text::count("datasets", request.datasets.len(), limits::DATASETS));
    for (index, input) in request.datasets.iter().take(limits::DATASETS).enumerate() {
        check_input(&mut check, &format!("datasets[{index}]"), input);
    }
    let models: Vec<String> = request.models.into_iter().map(|model| model.model_id).collect();
    check_models(&mut check, &models.iter().map(String::as_str).collect::<Vec<_>>());
    check.finish()?;
    require(call, Permission::ExperimentsRead, models.iter().map(String::as_str).collect()).await?;
    let inputs: Vec<Input> = request.datasets.into_iter().filter_map(stored).collect();
    call.store()
        .write_unrecorded(Unrecorded::Tracking, (request.run_id, inputs, models), |tx, (run_id, inputs, models)| {
            Box::pin(async move {
                let run = live(tx, run_id).await?;
                rows::insert(tx, run.id, run.experiment, inputs).await?;
                let models: Vec<&str> = models.iter().map(String::as_str).collect();
                model_links::insert_inputs(tx, run.id, &internal_ids(tx, &models).await?).await?;
                Ok::<_, Error>(())
            })
        })
        .await?;
    Ok(v1::LogInputsResponse {})
}

/// See the proto.
pub async fn search_datasets(call: &Call, request: v1::SearchDatasetsRequest) -> Result<v1::SearchDatasetsResponse> {
    let mut check = Check::new();
    check.require(!request.experiment_ids.is_empty(), "experiment_ids", "is required");
    check.take(text::count("experiment_ids", request.experiment_ids.len(), limits::DATASET_EXPERIMENTS));
    let id = |(index, text): (usize, &String)| check.take(ids::experiment_id(&format!("experiment_ids[{index}]"), text));
    let experiments: Vec<i64> = request.experiment_ids.iter().take(limits::DATASET_EXPERIMENTS).enumerate().filter_map(id).collect();
    check.finish()?;
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    let mut query = Query::new(call.store().engine());
    let places: Vec<String> = experiments.into_iter().map(|id| query.bind(id)).collect();
    query.and(format!("x.id IN ({})", places.join(", ")));
    query.visible(&visible, "CAST(x.id AS TEXT)", "x.name", ("x.created_by", &call.caller().user_uid));
    let found = rows::summaries(call.store().reader(), query, limits::DATASET_SUMMARIES).await?;
    let shown = |summary: rows::Summary| v1::DatasetSummary {
        experiment_id: summary.experiment.to_string(),
        name: summary.name,
        digest: summary.digest,
        context: summary.context,
    };
    Ok(v1::SearchDatasetsResponse { dataset_summaries: found.into_iter().map(shown).collect() })
}

fn check_input(check: &mut Check, path: &str, input: &v1::DatasetInput) {
    let tags = format!("{path}.tags");
    check.take(text::count(&tags, input.tags.len(), limits::BATCH_TAGS));
    for (index, tag) in input.tags.iter().take(limits::BATCH_TAGS).enumerate() {
        let valid = text::required("key", &tag.key, limits::INPUT_TAG_KEY);
        let valid = valid.and_then(|()| text::value("value", &tag.value, limits::INPUT_TAG_VALUE));
        check.take(valid.map_err(|error| key_value::in_list(&tags, index, key_value::of_key(&tag.key, error))));
    }
    key_value::check_once(check, &tags, input.tags.iter().map(|tag| tag.key.as_str()), limits::BATCH_TAGS);
    let Some(dataset) = &input.dataset else {
        check.fail(text::missing(&format!("{path}.dataset")));
        return;
    };
    let field = |name: &str| format!("{path}.dataset.{name}");
    check.take(text::required(&field("name"), &dataset.name, limits::DATASET_NAME));
    check.take(text::required(&field("digest"), &dataset.digest, limits::DATASET_DIGEST));
    check.take(text::required(&field("source_type"), &dataset.source_type, limits::DATASET_SOURCE));
    check.take(text::required(&field("source"), &dataset.source, limits::DATASET_SOURCE));
    check.take(text::value(&field("schema"), dataset.schema(), limits::DATASET_SCHEMA));
    check.take(text::value(&field("profile"), dataset.profile(), limits::DATASET_PROFILE));
}

/// None for an input without a data set, which the check refuses.
fn stored(input: v1::DatasetInput) -> Option<Input> {
    let dataset = input.dataset?;
    let dataset = Dataset {
        name: dataset.name,
        digest: dataset.digest,
        source_type: dataset.source_type,
        source: dataset.source,
        schema: dataset.schema,
        profile: dataset.profile,
    };
    Some(Input { dataset, tags: input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect() })
}

/// An input as the contract has it.
pub(super) fn shown(input: Input) -> v1::DatasetInput {
    let dataset = v1::Dataset {
        name: input.dataset.name,
        digest: input.dataset.digest,
        source_type: input.dataset.source_type,
        source: input.dataset.source,
        schema: input.dataset.schema,
        profile: input.dataset.profile,
    };
    v1::DatasetInput { tags: messages(input.tags), dataset: Some(dataset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_is_checked_as_a_whole() {
        let violations = |input: &v1::DatasetInput| {
            let mut check = Check::new();
            check_input(&mut check, "datasets[0]", input);
            check
                .finish()
                .map_or_else(|invalid| invalid.violations().iter().map(|violation| violation.field.clone()).collect(), |()| Vec::new())
        };
        assert_eq!(violations(&v1::DatasetInput::default()), ["datasets[0].dataset"]);
        let tag = |value: &str| v1::Tag { key: "k".to_owned(), value: value.to_owned() };
        let dataset = v1::Dataset {
            name: "n".to_owned(),
            digest: "d".repeat(37),
            source_type: "local".to_owned(),
            source: "s".to_owned(),
            ..v1::Dataset::default()
        };
        let mut input = v1::DatasetInput { tags: vec![tag("1"), tag(&"v".repeat(501))], dataset: Some(dataset) };
        assert_eq!(violations(&input), ["datasets[0].tags[1].value", "datasets[0].tags[1].key", "datasets[0].dataset.digest"]);
        input.tags.truncate(1);
        if let Some(dataset) = &mut input.dataset {
            dataset.digest.pop();
        }
        assert_eq!(violations(&input), Vec::<String>::new());
    }
}
