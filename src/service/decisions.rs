//! Decisions on promotion requests: approved, with the move that a met quorum brings, or rejected.

use serde_json::json;

use super::access_change::fresh;
use super::moves::{Step, archiving, require};
use super::requests::{gate_left, gate_of, lock, machine, record, reread};
use super::{Error, Result, access_shown, approvers, evidence, write};
use crate::access::{Call, Credential};
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, Snapshot};
use crate::domain::evidence::Evidence;
use crate::domain::field::Check;
use crate::domain::gate::Gate;
use crate::domain::ledger::{DecisionNow, RequestNow, with_now};
use crate::domain::request::{Outcome, Refusal, State};
use crate::domain::stage::Target;
use crate::domain::{ids, limits, text};
use crate::memory;
use crate::store::moves::Authority;
use crate::store::requests::{self as rows, DecisionRow, RequestRow, decision_kind};
use crate::store::versions::VersionRow;
use crate::store::{self, Kept, Recorded, Tx};

/// What came of an approval, once it was committed.
enum Approved {
    Counted(Box<v1::TransitionRequest>),
    /// The evidence was renewed, and nothing was approved.
    Changed(Vec<String>),
}

/// See the proto.
pub async fn approve_transition_request(
    call: &Call,
    request: v1::ApproveTransitionRequestRequest,
) -> Result<Kept<v1::ApproveTransitionRequestResponse>> {
    let mut check = Check::new();
    check.take(ids::uid("request_id", &request.request_id));
    check.take(text::required("evidence_digest", &request.evidence_digest, 64));
    check.take(text::value("comment", &request.comment, limits::COMMENT));
    check.finish()?;
    // Before the transaction: others must not wait while this call waits for room.
    memory::take(limits::EVIDENCE_MEMORY_BYTES).await?;
    let outcome = write(call.store(), (call.clone(), request), |tx, (call, request)| Box::pin(approve(tx, call, request))).await?;
    let (kept, outcome) = outcome.split();
    match outcome {
        Approved::Counted(shown) => Ok(kept.map(|()| v1::ApproveTransitionRequestResponse { request: Some(*shown) })),
        Approved::Changed(differences) => Err(Error::precondition(
            "EVIDENCE_CHANGED",
            format!(
                "what the request rests on has changed since it was filed, and earlier approvals no longer count: {}",
                in_short(&differences)
            ),
        )),
    }
}

/// So many differences, and of each so many characters, are told in an error: errors travel in headers, and
/// clients refuse headers of more than 8 KiB. GetTransitionRequest tells all.
const TOLD: (usize, usize) = (3, 120);

fn in_short(differences: &[String]) -> String {
    let told: Vec<String> = differences.iter().take(TOLD.0).map(|difference| difference.chars().take(TOLD.1).collect()).collect();
    let more = differences.len() - told.len();
    if more == 0 { told.join("; ") } else { format!("{}; and {more} more", told.join("; ")) }
}

/// So many differences are kept in the ledger's row; the evidence record has them all.
const KEPT: usize = 100;

async fn approve(tx: &Tx, call: &Call, request: &v1::ApproveTransitionRequestRequest) -> Result<Recorded<Approved>> {
    let open = lock(tx, call, &request.request_id, Permission::RequestsApprove).await?;
    // Nobody approves what they may not see.
    let model = Object::named(ObjectClass::Model, &open.model_uid, &open.model_name);
    require(tx, call, Permission::ModelsRead, &model, &format!("registered model {:?}", open.model_name)).await?;
    if let Some(left) = gate_left(&**tx, &open).await? {
        let object = Object { target: Some(left.target), ..Object::named(ObjectClass::Model, &open.model_uid, &open.model_name) };
        require(tx, call, Permission::RequestsApprove, &object, &format!("promotion request {:?}", open.uid)).await?;
    }
    let mut machine = machine(tx, &open).await?;
    let actor = call.caller().actor();
    let gate = gate_in_force(tx, &open).await?;
    let version = store::versions::by_uid(&**tx, &open.version_uid).await?;
    let version = version.ok_or_else(|| Error::precondition("REQUEST_NOT_OPEN", "the version was deleted"))?;
    let snapshot = fresh(tx, call).await?;
    let filed = evidence::stored(&**tx, &open).await?;
    may_read_evidence(tx, call, &snapshot, &filed).await?;
    let lapsed = approvers::lapsed(&**tx, &snapshot, &open).await?;
    let own_has_lapsed = lapsed.contains_key(&actor.person);
    if own_has_lapsed {
        // What they gave before does not count; now they may give another.
        machine.approvals.retain(|approval| approval.by.person != actor.person);
    }
    // Asked before sources are compared: who may not decide changes nothing. Approvals that do not count may count again,
    // and still keep those from approving who are bound to them.
    machine.clone().approve(actor.clone(), &open.evidence_digest, tx.now())?;
    let differences = evidence::decisive_changes(&**tx, &filed, &open, &version).await?;
    if !differences.is_empty() {
        let renewed = evidence::of(tx, call, &version, &open.target, &gate).await?;
        store::evidence::insert(tx, &open.uid, &renewed).await?;
        rows::renew_evidence(tx, &open.uid, &renewed.digest).await?;
        let kept = &differences[..differences.len().min(KEPT)];
        let payload = json!({"evidence_changed": kept, "evidence_changes": differences.len(), "evidence_digest": renewed.digest});
        let now = RequestNow { evidence_digest: Some(renewed.digest), ..RequestNow::default() };
        let recorded = record(tx, call, &open, &with_now(payload, &now)).await?;
        return Ok(recorded.map(|()| Approved::Changed(differences)));
    }
    machine.approvals.retain(|approval| !lapsed.contains_key(&approval.by.person));
    let again = machine.has_approved(&actor.person);
    let outcome = machine.approve(actor.clone(), &request.evidence_digest, tx.now())?;
    if own_has_lapsed {
        rows::void_approval(tx, &open.uid, &actor.person).await?;
    }
    let decision = if again { None } else { insert_decision(tx, call, &open, true, &request.comment).await? };
    let mut now = RequestNow { decision, ..RequestNow::default() };
    let makers = access_shown::names(&call.caller().makers);
    let mut payload = json!({"comment": request.comment, "evidence_digest": open.evidence_digest, "gate": open.gate_id, "gate_version": open.gate_version, "makers": makers});
    if outcome == Outcome::Promote {
        rows::end(tx, &open.uid, State::Approved).await?;
        promote(tx, call, &open, &version, &gate, request).await?;
        payload["after"] = State::Approved.as_str().into();
        now.state = Some(State::Approved.as_str().to_owned());
    }
    let recorded = record(tx, call, &open, &with_now(payload, &now)).await?;
    let shown = reread(tx, &open.uid).await?;
    Ok(recorded.map(|()| Approved::Counted(Box::new(shown))))
}

/// Whoever cannot see what a request rests on cannot vouch for it.
async fn may_read_evidence(tx: &Tx, call: &Call, snapshot: &Snapshot, filed: &Evidence) -> Result<()> {
    let hidden = evidence::withheld_from(&**tx, call, snapshot, &filed.runs()).await?;
    let Some(whose) = hidden.first() else { return Ok(()) };
    let permission = Permission::ExperimentsRead;
    let message = format!(
        "you need the permission `{}` on the experiment of the {whose}'s run: whoever may not read the evidence cannot approve it",
        permission.name()
    );
    Err(Error::Denied { permission: Some(permission), reason: "EVIDENCE_WITHHELD", message })
}

/// The gate of a request. Errors when the target has another one by now: what was asked for under an
/// earlier gate, or under the gate of a name that the model had, is not decided under it.
async fn gate_in_force(tx: &Tx, open: &RequestRow) -> Result<Gate> {
    let gate = gate_of(tx, &open.model_uid, &open.target).await?;
    if (gate.gate_id.as_str(), i64::from(gate.version)) == (open.gate_id.as_str(), open.gate_version) {
        return Ok(gate);
    }
    let words = "another gate protects the target since the request was filed; withdraw or reject it, and file it anew";
    Err(Error::precondition("GATE_CHANGED", words))
}

async fn promote(
    tx: &Tx,
    call: &Call,
    open: &RequestRow,
    version: &VersionRow,
    gate: &Gate,
    request: &v1::ApproveTransitionRequestRequest,
) -> Result<()> {
    let target = Target::parse("target", &open.target)?;
    let archive = match target {
        Target::Stage(stage) => archiving(stage, request.archive_existing_versions)?,
        Target::Alias(_) => false,
    };
    let authority = Authority::Request(&open.uid);
    let step = Step { call, version, target: &target, archive, authority, gate: Some(gate), comment: &request.comment };
    // The approval is recorded behind it, in the same transaction.
    let _ = step.take(tx).await?;
    Ok(())
}

/// See the proto.
pub async fn reject_transition_request(
    call: &Call,
    request: v1::RejectTransitionRequestRequest,
) -> Result<Kept<v1::RejectTransitionRequestResponse>> {
    let mut check = Check::new();
    check.take(ids::uid("request_id", &request.request_id));
    check.take(text::required("comment", &request.comment, limits::COMMENT));
    check.finish()?;
    let shown = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let open = lock(tx, call, &request.request_id, Permission::RequestsReject).await?;
            machine(tx, &open).await?.reject(&call.caller().actor(), tx.now())?;
            rows::void_approval(tx, &open.uid, &call.caller().person_uid).await?;
            let decision = insert_decision(tx, call, &open, false, &request.comment).await?;
            rows::end(tx, &open.uid, State::Rejected).await?;
            let makers = access_shown::names(&call.caller().makers);
            let payload = json!({"comment": request.comment, "evidence_digest": open.evidence_digest, "after": State::Rejected.as_str(), "makers": makers});
            let now = RequestNow { state: Some(State::Rejected.as_str().to_owned()), decision, ..RequestNow::default() };
            let recorded = record(tx, call, &open, &with_now(payload, &now)).await?;
            let shown = reread(tx, &open.uid).await?;
            Ok(recorded.map(|()| shown))
        })
    })
    .await?;
    Ok(shown.map(|shown| v1::RejectTransitionRequestResponse { request: Some(shown) }))
}

/// Writes down what the caller decided, and gives what the row says of it.
async fn insert_decision(tx: &Tx, call: &Call, open: &RequestRow, approved: bool, comment: &str) -> Result<Option<DecisionNow>> {
    let caller = call.caller();
    let decision = DecisionRow {
        actor: caller.actor(),
        user: caller.user_uid.clone(),
        approved,
        comment: comment.to_owned(),
        evidence_digest: open.evidence_digest.clone(),
        gate_version: open.gate_version,
        command_line: caller.credential == Credential::CommandLineToken,
        created: tx.now(),
        voided: None,
    };
    rows::insert_decision(tx, &open.uid, &decision).await.map_err(|error| match error {
        store::StoreError::Duplicate(_) => Refusal::ApprovedTwice.into(),
        other => Error::from(other),
    })?;
    Ok(Some(DecisionNow {
        person_id: decision.actor.person,
        user_id: decision.user,
        kind: decision_kind(approved).to_owned(),
        evidence_digest: decision.evidence_digest,
    }))
}
