//! The search for logged models.

use super::experiments::behind;
use super::logged_models::shown_all;
use super::run_search::experiments;
use super::{Result, paging};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::ObjectClass;
use crate::domain::field::{Check, FieldError};
use crate::domain::search::{Entity, Key, MAX_ORDER_BY_ITEMS, parse_filter, parse_logged_model_key};
use crate::domain::{limits, text};
use crate::store::logged_models as rows;
use crate::store::search::{Cursor, Dataset, Order, Query};

/// The order behind the caller's own keys, and without any: the newest first, as in MLflow.
const TIES: &[(&str, bool, bool)] = &[("g.created", false, true), ("g.model_id", true, false)];

/// See the proto.
pub async fn search_logged_models(call: &Call, request: v1::SearchLoggedModelsRequest) -> Result<v1::SearchLoggedModelsResponse> {
    let experiments = experiments(&request.experiment_ids)?;
    let (most, default) = (limits::PAGE_LOGGED_MODELS, limits::PAGE_LOGGED_MODELS_DEFAULT);
    let size = text::page_size("max_results", request.max_results.into(), default, most)?;
    let filter = parse_filter(Entity::LoggedModels, &request.filter)?;
    let datasets = datasets(&request.datasets)?;
    let orders = orders(&request.order_by)?;
    let page = pages(call, &request);
    let cursor = paging::cursor::<Vec<Cursor>>(call, &page, &request.page_token)?;
    if experiments.is_empty() {
        return Ok(v1::SearchLoggedModelsResponse::default());
    }
    let mut query = Query::new(call.store().engine());
    query.and("g.active = TRUE");
    let searched = query.one_of("g.experiment", &experiments);
    query.and(searched);
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    // As the check sees a logged model: its experiment, and its own creator.
    let name = "(SELECT x.name FROM experiments x WHERE x.id = g.experiment)";
    query.visible(&visible, "CAST(g.experiment AS TEXT)", name, ("g.created_by", &call.caller().user_uid));
    query.readable_points(&visible, &call.caller().user_uid);
    query.on_datasets(&datasets, &filter);
    query.filter(Entity::LoggedModels, &filter);
    let order = Order::of_logged_models(&mut query, &orders, TIES);
    if let Some(cursor) = cursor {
        behind(&order, &mut query, &cursor)?;
    }
    let search = call.store().search(&call.caller().user_uid).await?;
    let mut found = search.run(rows::search(&*search, query, &order, size + 1)).await?;
    search.done().await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |(_, cursor)| cursor.clone())?;
    let models = shown_all(call, found.into_iter().map(|(row, _)| row).collect()).await?;
    Ok(v1::SearchLoggedModelsResponse { models, next_page_token })
}

fn datasets(given: &[v1::LoggedModelDatasetFilter]) -> Result<Vec<Dataset>> {
    let mut check = Check::new();
    check.take(text::count("datasets", given.len(), limits::SEARCH_DATASETS));
    let read = |(index, dataset): (usize, &v1::LoggedModelDatasetFilter)| {
        check.take(text::required(&format!("datasets[{index}].dataset_name"), &dataset.dataset_name, limits::DATASET_NAME));
        check.take(text::value(&format!("datasets[{index}].dataset_digest"), &dataset.dataset_digest, limits::DATASET_DIGEST));
        Dataset { name: dataset.dataset_name.clone(), digest: dataset.dataset_digest.clone() }
    };
    let datasets = given.iter().take(limits::SEARCH_DATASETS).enumerate().map(read).collect();
    check.finish()?;
    Ok(datasets)
}

/// The keys of the order, each with whether it descends.
fn orders(given: &[v1::LoggedModelOrderBy]) -> Result<Vec<(Key, bool, Option<Dataset>)>> {
    text::count("order_by", given.len(), MAX_ORDER_BY_ITEMS)?;
    let read = |(index, order): (usize, &v1::LoggedModelOrderBy)| {
        let field = |name: &str| format!("order_by[{index}].{name}");
        let key = parse_logged_model_key(&field("field_name"), &order.field_name)?;
        text::value(&field("dataset_name"), &order.dataset_name, limits::DATASET_NAME)?;
        text::value(&field("dataset_digest"), &order.dataset_digest, limits::DATASET_DIGEST)?;
        if order.dataset_name.is_empty() && !order.dataset_digest.is_empty() {
            return Err(FieldError::new(field("dataset_digest"), "needs a `dataset_name`").into());
        }
        let dataset =
            (!order.dataset_name.is_empty()).then(|| Dataset { name: order.dataset_name.clone(), digest: order.dataset_digest.clone() });
        Ok((key, order.ascending == Some(false), dataset))
    };
    given.iter().enumerate().map(read).collect()
}

/// What pages of one search have in common.
fn pages(call: &Call, request: &v1::SearchLoggedModelsRequest) -> crate::domain::page_token::Query {
    let rest = v1::SearchLoggedModelsRequest { page_token: String::new(), max_results: 0, ..request.clone() };
    paging::query(call, &[&prost::Message::encode_to_vec(&rest)])
}
