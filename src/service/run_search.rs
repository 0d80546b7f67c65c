//! The search for runs.

use super::experiments::{behind, view};
use super::runs::shown;
use super::{Result, paging};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::ObjectClass;
use crate::domain::field::Check;
use crate::domain::search::{Entity, parse_filter, parse_order_by};
use crate::domain::{ids, limits, text};
use crate::memory;
use crate::store::search::{Cursor, Order, Query};
use crate::store::{run_search as rows, run_values};

/// The order behind the caller's own keys, and without any: the newest first, as in MLflow.
const TIES: &[(&str, bool, bool)] = &[("r.start_time", false, true), ("r.run_id", true, false)];

/// What a page takes for each byte that its runs logged, with room to spare for the runs themselves.
const PAGE_TAKES: usize = 6;

/// See the proto.
pub async fn search_runs(call: &Call, request: v1::SearchRunsRequest) -> Result<v1::SearchRunsResponse> {
    let experiments = experiments(&request.experiment_ids)?;
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_RUNS_DEFAULT, limits::PAGE_RUNS)?;
    let filter = parse_filter(Entity::Runs, &request.filter)?;
    let orders = parse_order_by(Entity::Runs, &request.order_by)?;
    let mut query = Query::new(call.store().engine());
    view(&mut query, "run_view_type", request.run_view_type, "r.active = TRUE")?;
    let page = pages(call, &request);
    let cursor = paging::cursor::<Vec<Cursor>>(call, &page, &request.page_token)?;
    if experiments.is_empty() {
        return Ok(v1::SearchRunsResponse::default());
    }
    let searched = query.one_of("r.experiment", &experiments);
    query.and(searched);
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ExperimentsRead, ObjectClass::Experiment);
    // As the check sees a run: its experiment, and its own creator.
    query.visible_runs(&visible, &call.caller().user_uid);
    query.filter(Entity::Runs, &filter);
    let order = Order::new(&mut query, Entity::Runs, &orders, TIES);
    if let Some(cursor) = &cursor {
        behind(&order, &mut query, cursor)?;
    }
    let search = call.store().search(&call.caller().user_uid).await?;
    let reader = &*search;
    let experiment = if let [only] = experiments.as_slice() { Some(*only) } else { None };
    let about = rows::About { experiment, filter: &filter, cursor: cursor.as_deref() };
    let (found, mut values, next_page_token) = search
        .run(async {
            let mut found = rows::search(reader, query, &order, about, size + 1).await?;
            let mut ids: Vec<i64> = found.iter().map(|(row, _)| row.id).collect();
            let size = size.min(run_values::within(reader, &ids, most_of_a_page()).await? as u64);
            let next_page_token = paging::cut(call, &page, &mut found, size, |(_, cursor)| cursor.clone())?;
            ids.truncate(found.len());
            let values = run_values::of_runs(reader, &ids).await?;
            Ok::<_, super::Error>((found, values, next_page_token))
        })
        .await?;
    search.done().await?;
    let runs = found.into_iter().map(|(row, _)| {
        let values = values.remove(&row.id).unwrap_or_default();
        shown(row, values)
    });
    Ok(v1::SearchRunsResponse { runs: runs.collect(), next_page_token })
}

/// What the runs of one page may have logged, in bytes: a small budget of memory makes for small pages.
fn most_of_a_page() -> i64 {
    let room = memory::current().map_or(usize::MAX, |held| held.most() / PAGE_TAKES);
    i64::try_from(room).unwrap_or(i64::MAX).min(limits::PAGE_RUN_BYTES)
}

/// The experiments to search, each once.
pub(super) fn experiments(texts: &[String]) -> Result<Vec<i64>> {
    let mut check = Check::new();
    check.take(text::count("experiment_ids", texts.len(), limits::SEARCH_EXPERIMENTS));
    let id = |(index, text): (usize, &String)| check.take(ids::experiment_id(&format!("experiment_ids[{index}]"), text));
    let mut found: Vec<i64> = texts.iter().take(limits::SEARCH_EXPERIMENTS).enumerate().filter_map(id).collect();
    check.finish()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// What pages of one search have in common.
fn pages(call: &Call, request: &v1::SearchRunsRequest) -> crate::domain::page_token::Query {
    let (experiments, order) = (request.experiment_ids.join(","), request.order_by.join("\n"));
    paging::query(call, &[experiments.as_bytes(), request.filter.as_bytes(), order.as_bytes(), &request.run_view_type.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experiments_are_searched_once_each() {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(experiments(&texts(&["3", "1", "3"])).unwrap(), [1, 3]);
        assert!(experiments(&texts(&["1", "x"])).is_err());
        assert!(experiments(&vec!["1".to_owned(); 50_001]).is_err());
    }
}
