//! Promotion requests as they are read: one with its evidence, or those that one may see or decide.

use super::experiments::unknown_enum;
use super::requests::{absent, gate_left, machine_of, shown};
use super::{Error, Result, evidence, paging};
use crate::access::Call;
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass};
use crate::domain::request::State;
use crate::domain::{ids, limits, text};
use crate::store;
use crate::store::requests::{self as rows, RequestRow};
use crate::store::search::Query;

/// See the proto.
pub async fn get_transition_request(call: &Call, request: v1::GetTransitionRequestRequest) -> Result<v1::GetTransitionRequestResponse> {
    ids::uid("request_id", &request.request_id)?;
    let on = call.store().reader();
    let row = rows::by_uid(on, &request.request_id).await?.ok_or_else(|| absent(&request.request_id))?;
    let mut record = evidence::stored(on, &row).await?;
    let mut differences = Vec::new();
    if row.state == State::Open
        && let Some(version) = store::versions::by_uid(on, &row.version_uid).await?
    {
        differences = evidence::differences(on, &record, &row, &version).await?;
    }
    let snapshot = call.access().snapshot().await?;
    let hidden = evidence::withheld_from(on, call, &snapshot, &record.runs()).await?;
    let withheld = evidence::withhold(&mut record, &hidden);
    differences.retain(|difference| hidden.is_empty() || !difference.of_run);
    let difference_count = i32::try_from(differences.len()).unwrap_or(i32::MAX);
    differences.sort_by_key(|difference| !difference.decides);
    differences.truncate(limits::DIFFERENCES_TOLD);
    let decisive_differences =
        differences.iter().filter(|difference| difference.decides).map(|difference| difference.text.clone()).collect();
    let shown = shown(on, &snapshot, row).await?;
    let evidence = v1::Evidence { withheld, ..evidence::message(&shown.evidence_digest, record) };
    Ok(v1::GetTransitionRequestResponse {
        request: Some(shown),
        evidence: Some(evidence),
        differences: differences.into_iter().map(|difference| difference.text).collect(),
        decisive_differences,
        difference_count,
    })
}

/// See the proto.
pub async fn list_transition_requests(
    call: &Call,
    request: v1::ListTransitionRequestsRequest,
) -> Result<v1::ListTransitionRequestsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    text::value("name", &request.name, limits::MODEL_NAME)?;
    let states = states(&request)?;
    if request.name.is_empty() && !request.version.is_empty() {
        return Err(Error::invalid("version", "needs `name`: it is the number of a version of that model"));
    }
    let number = if request.version.is_empty() { None } else { Some(ids::version_number("version", &request.version)?) };
    let parts: [&[u8]; 4] = [request.name.as_bytes(), request.version.as_bytes(), states.as_bytes(), &[request.approvable_by_me.into()]];
    let page = paging::query(call, &parts);
    let mut before: (i64, String) = paging::cursor(call, &page, &request.page_token)?.unwrap_or((i64::MAX, String::new()));
    let mut found: Vec<RequestRow> = Vec::new();
    let mut left_out = Vec::new();
    let shown_at_most = usize::try_from(size).unwrap_or(usize::MAX);
    // What one may decide depends on four eyes and on targets, too; pages are filled all the same.
    loop {
        let batch = search(call, &request, number, &states, &before, size + 1).await?;
        let last = batch.len() <= shown_at_most;
        if let Some(row) = batch.last() {
            before = (row.created, row.uid.clone());
        }
        for row in batch {
            if found.len() > shown_at_most {
                break;
            }
            match if request.approvable_by_me { in_the_way(call, &row).await? } else { None } {
                Some(reason) => left_out.push((found.len(), v1::LeftOutRequest { request_id: row.uid, reason })),
                None => found.push(row),
            }
        }
        if last || found.len() > shown_at_most {
            break;
        }
    }
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| (row.created, row.uid.clone()))?;
    let mut requests = Vec::with_capacity(found.len());
    let snapshot = call.access().snapshot().await?;
    for row in found {
        requests.push(shown(call.store().reader(), &snapshot, row).await?);
    }
    if !next_page_token.is_empty() {
        // What comes after the last one shown is told of with the next page.
        left_out.retain(|(before, _)| *before < shown_at_most);
    }
    let left_out_count = i32::try_from(left_out.len()).unwrap_or(i32::MAX);
    let left_out = left_out.into_iter().map(|(_, told)| told).take(limits::LEFT_OUT_TOLD).collect();
    Ok(v1::ListTransitionRequestsResponse { requests, next_page_token, left_out_count, left_out })
}

fn states(request: &v1::ListTransitionRequestsRequest) -> Result<String> {
    text::count("states", request.states.len(), limits::GRANT_ITEMS)?;
    let mut names = Vec::new();
    for (index, number) in request.states.iter().enumerate() {
        let field = format!("states[{index}]");
        let known = v1::TransitionRequestState::try_from(*number).map_err(|_| unknown_enum(&field, *number))?;
        if known == v1::TransitionRequestState::Unspecified {
            return Err(Error::invalid(&field, "must be a state"));
        }
        names.push(known.as_str_name().trim_start_matches("TRANSITION_REQUEST_STATE_"));
    }
    Ok(names.join(","))
}

async fn search(
    call: &Call,
    request: &v1::ListTransitionRequestsRequest,
    number: Option<i32>,
    states: &str,
    before: &(i64, String),
    limit: u64,
) -> Result<Vec<RequestRow>> {
    let snapshot = call.access().snapshot().await?;
    let visible = call.visibility(&snapshot, Permission::ModelsRead, ObjectClass::Model);
    let mut query = Query::new(call.store().engine());
    query.visible(&visible, "m.uid", "m.name", ("m.created_by", &call.caller().user_uid));
    if !request.name.is_empty() {
        let name = query.bind(text::canonical_name(&request.name));
        query.and(format!("m.canonical_name = {name} AND m.deleted IS NULL"));
    }
    if let Some(number) = number {
        let number = query.bind(i64::from(number));
        query.and(format!("v.version = {number}"));
    }
    let states = if request.approvable_by_me { "OPEN" } else { states };
    if !states.is_empty() {
        let list: Vec<String> = states.split(',').map(|state| query.bind(state)).collect();
        query.and(format!("q.state IN ({})", list.join(", ")));
    }
    let (time, uid) = (query.bind(before.0), query.bind(before.1.as_str()));
    query.and(format!("(q.created < {time} OR q.created = {time} AND q.uid < {uid})"));
    Ok(rows::search(call.store().reader(), query, limit).await?)
}

/// Why the caller cannot approve an open request; none when nothing is in the way.
async fn in_the_way(call: &Call, row: &RequestRow) -> Result<Option<String>> {
    let snapshot = call.access().snapshot().await?;
    let left = gate_left(call.store().reader(), row).await?.map(|gate| gate.target);
    for target in [Some(row.target.clone()), left].into_iter().flatten() {
        let missing = format!("you need the permission `{}` for {target}", Permission::RequestsApprove.name());
        let object = Object { target: Some(target), ..Object::named(ObjectClass::Model, &row.model_uid, &row.model_name) };
        if !call.decide(&snapshot, Permission::RequestsApprove, &object).allowed {
            return Ok(Some(missing));
        }
    }
    let on = call.store().reader();
    let runs = store::evidence::runs(on, &row.evidence_digest).await?;
    if !evidence::withheld_from(on, call, &snapshot, &runs).await?.is_empty() {
        let words = "you may not read all of its evidence: it rests on a run of an experiment that is closed to you";
        return Ok(Some(words.to_owned()));
    }
    let mut machine = machine_of(on, row).await?;
    let refused = machine.approve(call.caller().actor(), &row.evidence_digest, clock::now_ms()).err();
    Ok(refused.map(|refusal| refusal.to_string()))
}
