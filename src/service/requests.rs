//! Promotion requests: filed, joined, withdrawn, and what all that is done with them has in common.

use sea_orm::ConnectionTrait;
use serde_json::json;

use super::moves::{self, require};
use super::{Error, Result, access_shown, approvers, evidence, idempotency, look_alikes, versions, write};
use crate::access::{Call, Subject};
use crate::clock;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, Snapshot};
use crate::domain::field::Check;
use crate::domain::gate::Gate;
use crate::domain::ledger::{Filed, RequestNow, RequesterNow, with_now};
use crate::domain::request::{self, Approval, State};
use crate::domain::stage::Target;
use crate::domain::{ids, limits, text};
use crate::memory;
use crate::store::requests::{self as rows, DecisionRow, RequestRow};
use crate::store::versions::VersionRow;
use crate::store::{self, Kept, Recorded, Tx};

/// The gate under which requests for targets are decided that no gate protects.
const NO_GATE: (&str, i32) = ("no-gate", 1);

/// See the proto.
pub async fn create_transition_request(
    call: &Call,
    request: v1::CreateTransitionRequestRequest,
) -> Result<Kept<v1::CreateTransitionRequestResponse>> {
    let mut check = Check::new();
    let number = check.take(ids::version_number("version", &request.version));
    let target = check.take(Target::of_request(&request.stage, &request.alias));
    check.take(text::value("comment", &request.comment, limits::COMMENT));
    check.take(text::idempotency_key(request.idempotency_key.as_deref()));
    check.finish()?;
    let (Some(number), Some(target)) = (number, target) else {
        return Err(Error::Internal("fields that were not refused are missing".to_owned()));
    };
    // Before the transaction: others must not wait while this call waits for room.
    memory::take(limits::EVIDENCE_MEMORY_BYTES).await?;
    write(call.store(), (call.clone(), request, number, target), |tx, (call, request, number, target)| {
        Box::pin(async move {
            let key = request.idempotency_key.as_deref();
            if let Some(answer) = idempotency::earlier(tx, call, key, request).await? {
                return Ok(Recorded::nothing(answer));
            }
            let (model, version) = versions::lock(tx, &request.name, *number).await?;
            let object = target_object(&model.uid, &model.name, target);
            require(tx, call, Permission::RequestsCreate, &object, &format!("registered model {:?}", model.name)).await?;
            let answer = match open_now(tx, call, &version.uid, &target.to_string()).await? {
                // Their own: a call that was repeated gets the same answer.
                Some(open) if machine(tx, &open).await?.requesters.iter().any(|asks| asks.person == call.caller().person_uid) => {
                    let shown = reread(tx, &open.uid).await?;
                    Recorded::nothing(v1::CreateTransitionRequestResponse { request: Some(shown), joined: true })
                }
                Some(open) => {
                    let recorded = join(tx, call, &open, &request.comment).await?;
                    let shown = reread(tx, &open.uid).await?;
                    recorded.map(|()| v1::CreateTransitionRequestResponse { request: Some(shown), joined: true })
                }
                None => {
                    let (uid, recorded) = file(tx, call, &version, target, &request.comment).await?;
                    let shown = reread(tx, &uid).await?;
                    recorded.map(|()| v1::CreateTransitionRequestResponse { request: Some(shown), joined: false })
                }
            };
            idempotency::keep(tx, call, key, request, answer).await
        })
    })
    .await
}

/// The open request of a version for a target. One whose time is up ends here and does not stand in the way.
async fn open_now(tx: &Tx, call: &Call, version_uid: &str, target: &str) -> Result<Option<RequestRow>> {
    let Some(open) = rows::open_of(&**tx, version_uid, target).await? else { return Ok(None) };
    if machine(tx, &open).await?.expire(tx.now()) {
        moves::end_request(tx, call, &open, State::Expired).await?;
        return Ok(None);
    }
    Ok(Some(open))
}

async fn file(tx: &Tx, call: &Call, version: &VersionRow, target: &Target, comment: &str) -> Result<(String, Recorded<()>)> {
    let written = target.to_string();
    let there = match target {
        Target::Stage(stage) => version.current_stage == *stage,
        Target::Alias(_) => store::moves::holder(&**tx, &version.model_uid, &written).await?.as_ref() == Some(&version.uid),
    };
    if there {
        return Err(Error::precondition("ALREADY_THERE", format!("the version holds {written} already")));
    }
    if let Target::Alias(alias) = target {
        look_alikes::refuse_alias(tx, &version.model_uid, alias).await?;
    }
    let gate = gate_of(tx, &version.model_uid, &written).await?;
    let rests_on = evidence::of(tx, call, version, &written, &gate).await?;
    let filed = RequestRow {
        uid: clock::new_uid(),
        model_uid: version.model_uid.clone(),
        model_name: version.model_name.clone(),
        version_uid: version.uid.clone(),
        version: version.version,
        current_stage: version.current_stage.clone(),
        target: written,
        state: State::Open,
        gate_id: gate.gate_id.clone(),
        gate_version: gate.version.into(),
        approvals_required: gate.approvals_required.into(),
        evidence_digest: rests_on.digest.clone(),
        created: tx.now(),
        updated: tx.now(),
        expires: gate.expires_after_ms.map(|ms| tx.now().saturating_add(ms)),
    };
    rows::insert(tx, &filed, &rests_on).await?;
    let caller = call.caller();
    rows::insert_requester(tx, &filed.uid, &caller.actor(), &caller.user_uid, comment).await?;
    let payload = json!({"comment": comment, "evidence_digest": filed.evidence_digest, "gate": filed.gate_id, "gate_version": filed.gate_version, "makers": access_shown::names(&caller.makers)});
    let now = RequestNow {
        filed: Some(Filed {
            version_id: filed.version_uid.clone(),
            target: filed.target.clone(),
            gate_id: filed.gate_id.clone(),
            gate_version: filed.gate_version,
            expires: filed.expires,
        }),
        state: Some(filed.state.as_str().to_owned()),
        evidence_digest: Some(filed.evidence_digest.clone()),
        requester: asks(call, false),
        decision: None,
    };
    let recorded = record(tx, call, &filed, &with_now(payload, &now)).await?;
    Ok((filed.uid, recorded))
}

/// That the caller asks for a request, or does not any more.
fn asks(call: &Call, withdrawn: bool) -> Option<RequesterNow> {
    Some(RequesterNow { person_id: call.caller().person_uid.clone(), withdrawn })
}

/// The gate in force under which requests of a model for a target are decided.
pub(super) async fn gate_of(tx: &Tx, model_uid: &str, target: &str) -> Result<Gate> {
    if let Some(gate) = store::gates::in_force(&**tx, model_uid, target).await? {
        return Ok(gate);
    }
    let none = store::gates::in_version(&**tx, NO_GATE.0, NO_GATE.1).await?;
    none.ok_or_else(|| Error::Internal("the gate for what no gate protects is missing".to_owned()))
}

/// See the proto.
pub async fn join_transition_request(
    call: &Call,
    request: v1::JoinTransitionRequestRequest,
) -> Result<Kept<v1::JoinTransitionRequestResponse>> {
    ids::uid("request_id", &request.request_id)?;
    text::value("comment", &request.comment, limits::COMMENT)?;
    let shown = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let open = lock(tx, call, &request.request_id, Permission::RequestsCreate).await?;
            let recorded = join(tx, call, &open, &request.comment).await?;
            let shown = reread(tx, &open.uid).await?;
            Ok(recorded.map(|()| shown))
        })
    })
    .await?;
    Ok(shown.map(|shown| v1::JoinTransitionRequestResponse { request: Some(shown) }))
}

async fn join(tx: &Tx, call: &Call, open: &RequestRow, comment: &str) -> Result<Recorded<()>> {
    let caller = call.caller();
    machine(tx, open).await?.join(caller.actor(), tx.now())?;
    rows::insert_requester(tx, &open.uid, &caller.actor(), &caller.user_uid, comment).await?;
    let payload = json!({"comment": comment, "joined": true, "makers": access_shown::names(&caller.makers)});
    record(tx, call, open, &with_now(payload, &RequestNow { requester: asks(call, false), ..RequestNow::default() })).await
}

/// See the proto.
pub async fn withdraw_transition_request(
    call: &Call,
    request: v1::WithdrawTransitionRequestRequest,
) -> Result<Kept<v1::WithdrawTransitionRequestResponse>> {
    ids::uid("request_id", &request.request_id)?;
    text::value("comment", &request.comment, limits::COMMENT)?;
    let shown = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let open = lock(tx, call, &request.request_id, Permission::RequestsWithdraw).await?;
            let mut machine = machine(tx, &open).await?;
            let actor = call.caller().actor();
            machine.withdraw(&actor, tx.now())?;
            rows::withdraw(tx, &open.uid, &actor.person).await?;
            if machine.state == State::Cancelled {
                rows::end(tx, &open.uid, State::Cancelled).await?;
            }
            let payload = json!({"comment": request.comment, "before": open.state.as_str(), "after": machine.state.as_str()});
            let state = Some(machine.state.as_str().to_owned());
            let now = RequestNow { state, requester: asks(call, true), ..RequestNow::default() };
            let recorded = record(tx, call, &open, &with_now(payload, &now)).await?;
            let shown = reread(tx, &open.uid).await?;
            Ok(recorded.map(|()| shown))
        })
    })
    .await?;
    Ok(shown.map(|shown| v1::WithdrawTransitionRequestResponse { request: Some(shown) }))
}

/// A request for writing: its model is locked, and the caller may do this to it now.
pub(super) async fn lock(tx: &Tx, call: &Call, uid: &str, permission: Permission) -> Result<RequestRow> {
    let found = rows::by_uid(&**tx, uid).await?.ok_or_else(|| absent(uid))?;
    // A deleted model has no open requests; a model that is renamed meanwhile is found again.
    let locked = store::models::lock_by_name(tx, &found.model_name).await?;
    // What people may do stays as it is until this transaction has ended.
    store::access::hold_epoch(tx).await?;
    let found = rows::by_uid(&**tx, uid).await?.ok_or_else(|| absent(uid))?;
    if locked.is_none_or(|model| model.uid != found.model_uid) && found.state == State::Open {
        return Err(Error::Conflict);
    }
    let object = Object { target: Some(found.target.clone()), ..Object::named(ObjectClass::Model, &found.model_uid, &found.model_name) };
    moves::require(tx, call, permission, &object, &format!("promotion request {uid:?}")).await?;
    Ok(found)
}

fn target_object(uid: &str, name: &str, target: &Target) -> Object {
    Object { target: Some(target.to_string()), ..Object::named(ObjectClass::Model, uid, name) }
}

pub(super) async fn machine(tx: &Tx, row: &RequestRow) -> Result<request::Request> {
    machine_of(&**tx, row).await
}

/// The gate of a stage that the version of an open request would leave by it. What it demands is demanded
/// as well: else a target with an easier gate would be the way out.
pub(super) async fn gate_left<C: ConnectionTrait>(on: &C, row: &RequestRow) -> Result<Option<Gate>> {
    if row.state != State::Open || row.target.starts_with('@') || row.target == row.current_stage {
        return Ok(None);
    }
    Ok(store::gates::in_force(on, &row.model_uid, &row.current_stage).await?)
}

async fn approvals_required<C: ConnectionTrait>(on: &C, row: &RequestRow) -> Result<i64> {
    let left = gate_left(on, row).await?.map_or(0, |gate| gate.approvals_required.into());
    Ok(row.approvals_required.max(left))
}

/// Whether the gate of a request, and that of a stage that the version would leave, allow logins of one maker.
async fn common_maker_allowed<C: ConnectionTrait>(on: &C, row: &RequestRow) -> Result<bool> {
    let version = i32::try_from(row.gate_version).unwrap_or_default();
    let filed = store::gates::in_version(on, &row.gate_id, version).await?;
    let left = gate_left(on, row).await?;
    Ok(filed.into_iter().chain(left).all(|gate| gate.common_maker_allowed))
}

/// The state machine of a stored request.
pub(super) async fn machine_of<C: ConnectionTrait>(on: &C, row: &RequestRow) -> Result<request::Request> {
    let requesters = rows::requesters(on, &row.uid).await?;
    let decisions = rows::decisions(on, &row.uid).await?;
    let counted = |decision: &DecisionRow| decision.approved && decision.voided.is_none();
    Ok(request::Request {
        state: row.state,
        ever_requested: requesters.iter().map(|requester| requester.actor.clone()).collect(),
        requesters: requesters.into_iter().filter(|requester| requester.withdrawn.is_none()).map(|requester| requester.actor).collect(),
        approvals: decisions
            .into_iter()
            .filter(counted)
            .map(|decision| Approval { by: decision.actor, evidence_digest: decision.evidence_digest })
            .collect(),
        evidence_digest: row.evidence_digest.clone(),
        common_maker_allowed: common_maker_allowed(on, row).await?,
        approvals_required: usize::try_from(approvals_required(on, row).await?).unwrap_or(usize::MAX),
        expires_at: row.expires,
    })
}

pub(super) async fn record(tx: &Tx, call: &Call, row: &RequestRow, payload: &serde_json::Value) -> Result<Recorded<()>> {
    let name = format!("{}/{} -> {}", row.model_name, row.version, row.target);
    let subject = Subject { kind: "transition_request", id: &row.uid, name: &name, scope: &row.model_uid };
    Ok(tx.record(&call.entry(tx.now(), &subject, payload)).await?)
}

pub(super) async fn reread(tx: &Tx, uid: &str) -> Result<v1::TransitionRequest> {
    let row = rows::by_uid(&**tx, uid).await?.ok_or_else(|| Error::Internal("a locked request is gone".to_owned()))?;
    let snapshot = store::access::snapshot(&**tx, tx.now()).await?;
    shown(&**tx, &snapshot, row).await
}

pub(super) async fn shown<C: ConnectionTrait>(on: &C, snapshot: &Snapshot, row: RequestRow) -> Result<v1::TransitionRequest> {
    let approvals_required = approvals_required(on, &row).await?;
    let requesters = rows::requesters(on, &row.uid).await?;
    let decisions = rows::decisions(on, &row.uid).await?;
    let lapsed = approvers::lapsed(on, snapshot, &row).await?;
    let stands = |decision: &DecisionRow| decision.approved && decision.voided.is_none();
    let why_not = |decision: &DecisionRow| lapsed.get(&decision.actor.person).filter(|_| stands(decision));
    let given = decisions.iter().filter(|decision| stands(decision) && why_not(decision).is_none()).count();
    let narrow = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let requester = |requester: rows::RequesterRow| v1::Requester {
        user_name: requester.user_name,
        comment: requester.comment,
        timestamp: requester.created,
        withdrawal_time: requester.withdrawn,
        makers: requester.actor.makers.iter().map(access_shown::maker).collect(),
    };
    let decision = |decision: DecisionRow| v1::Decision {
        not_counted_reason: why_not(&decision).cloned().unwrap_or_default(),
        user_name: decision.user,
        kind: if decision.approved { v1::DecisionKind::Approved } else { v1::DecisionKind::Rejected }.into(),
        comment: decision.comment,
        timestamp: decision.created,
        evidence_digest: decision.evidence_digest,
        gate_version: narrow(decision.gate_version),
        command_line_token: decision.command_line,
        voided: decision.voided.is_some(),
        makers: decision.actor.makers.iter().map(access_shown::maker).collect(),
    };
    Ok(v1::TransitionRequest {
        request_id: row.uid,
        name: row.model_name,
        version: row.version.to_string(),
        target: row.target,
        state: state(row.state).into(),
        creation_timestamp: row.created,
        last_updated_timestamp: row.updated,
        requesters: requesters.into_iter().map(requester).collect(),
        decisions: decisions.into_iter().map(decision).collect(),
        evidence_digest: row.evidence_digest,
        gate_id: row.gate_id,
        gate_version: narrow(row.gate_version),
        approvals_required: narrow(approvals_required),
        approvals_given: i32::try_from(given).unwrap_or(i32::MAX),
        expiry_time: row.expires,
    })
}

fn state(state: State) -> v1::TransitionRequestState {
    match state {
        State::Open => v1::TransitionRequestState::Open,
        State::Approved => v1::TransitionRequestState::Approved,
        State::Rejected => v1::TransitionRequestState::Rejected,
        State::Cancelled => v1::TransitionRequestState::Cancelled,
        State::Expired => v1::TransitionRequestState::Expired,
        State::Superseded => v1::TransitionRequestState::Superseded,
    }
}

pub(super) fn absent(uid: &str) -> Error {
    Error::not_found("promotion request", uid)
}
