//! Moves of versions to stages and aliases: the direct ones, and what every move does.

use serde_json::json;

use super::access_change::fresh;
use super::{Error, GATE_DEMANDS_REQUEST, OWN_GATE, OWN_REQUEST_OPEN, Result, look_alikes, models, paging, versions, write};
use crate::access::{Call, HOW_TO_ASK, Subject};
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass};
use crate::domain::gate::Gate;
use crate::domain::ledger::{Holders, ModelNow, RequestNow, VersionNow, with_now};
use crate::domain::person::{Actor, tie};
use crate::domain::request::State;
use crate::domain::stage::{self, ARCHIVED, Target};
use crate::domain::{ids, limits, text};
use crate::store::models::ModelRow;
use crate::store::moves::{self as rows, Authority, HoldingFilter, Move};
use crate::store::versions::VersionRow;
use crate::store::{self, Kept, Recorded, Tx, gates, requests};

/// See the proto.
pub async fn transition_model_version_stage(
    call: &Call,
    request: v1::TransitionModelVersionStageRequest,
) -> Result<Kept<v1::TransitionModelVersionStageResponse>> {
    let number = ids::version_number("version", &request.version)?;
    let target = stage::stage("stage", &request.stage)?;
    text::value("comment", &request.comment, limits::COMMENT)?;
    let archive = archiving(target, request.archive_existing_versions)?;
    let version = write(call.store(), (call.clone(), request, number, target, archive), |tx, (call, request, number, target, archive)| {
        Box::pin(async move {
            let (model, version) = versions::lock(tx, &request.name, *number).await?;
            if version.current_stage == *target {
                return Ok(Recorded::nothing(versions::reread(tx, call, &version.uid).await?));
            }
            let target = Target::Stage(target);
            let direct = Direct { call, model: &model, permission: Permission::StagesTransition };
            let gate = direct.allowed(tx, &version, &target, &version.current_stage).await?;
            let authority = Authority::Direct;
            let step = Step {
                call,
                version: &version,
                target: &target,
                archive: *archive,
                authority,
                gate: gate.as_ref(),
                comment: &request.comment,
            };
            let recorded = step.take(tx).await?;
            let answer = versions::reread(tx, call, &version.uid).await?;
            Ok(recorded.map(|()| answer))
        })
    })
    .await?;
    Ok(version.map(|version| v1::TransitionModelVersionStageResponse { model_version: Some(version) }))
}

/// See the proto.
pub async fn set_registered_model_alias(
    call: &Call,
    request: v1::SetRegisteredModelAliasRequest,
) -> Result<Kept<v1::SetRegisteredModelAliasResponse>> {
    let number = ids::version_number("version", &request.version)?;
    text::alias("alias", &request.alias)?;
    let kept = write(call.store(), (call.clone(), request, number), |tx, (call, request, number)| {
        Box::pin(async move {
            let (model, version) = versions::lock(tx, &request.name, *number).await?;
            let target = Target::Alias(request.alias.clone());
            if rows::holder(&**tx, &model.uid, &target.to_string()).await?.as_ref() == Some(&version.uid) {
                return Ok(Recorded::nothing(()));
            }
            let direct = Direct { call, model: &model, permission: Permission::AliasesSet };
            let gate = direct.allowed(tx, &version, &target, "").await?;
            let authority = Authority::Direct;
            Step { call, version: &version, target: &target, archive: false, authority, gate: gate.as_ref(), comment: "" }.take(tx).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::SetRegisteredModelAliasResponse {}))
}

/// See the proto.
pub async fn delete_registered_model_alias(
    call: &Call,
    request: v1::DeleteRegisteredModelAliasRequest,
) -> Result<Kept<v1::DeleteRegisteredModelAliasResponse>> {
    text::required("name", &request.name, limits::MODEL_NAME)?;
    text::required("alias", &request.alias, limits::ALIAS)?;
    let kept = write(call.store(), (call.clone(), request), |tx, (call, request)| {
        Box::pin(async move {
            let model = models::lock(tx, &request.name).await?;
            let Some(version) = store::versions::by_alias(&**tx, &model.uid, &request.alias).await? else {
                return Ok(Recorded::nothing(()));
            };
            let direct = Direct { call, model: &model, permission: Permission::AliasesSet };
            direct.allowed(tx, &version, &Target::Alias(request.alias.clone()), "").await?;
            let holders = release_alias(tx, call, &model.uid, &request.alias).await?;
            let payload = json!({"alias": request.alias, "before": version.version, "after": null});
            models::record(tx, call, &model, &with_now(payload, &ModelNow { holders, ..ModelNow::default() })).await
        })
    })
    .await?;
    Ok(kept.map(|()| v1::DeleteRegisteredModelAliasResponse {}))
}

/// See the proto.
pub async fn get_model_version_by_alias(
    call: &Call,
    request: v1::GetModelVersionByAliasRequest,
) -> Result<v1::GetModelVersionByAliasResponse> {
    text::required("alias", &request.alias, limits::ALIAS)?;
    let model = models::by_name(call, &request.name).await?;
    let on = call.store().reader();
    let found = if request.alias == "latest" {
        store::versions::newest(on, &model.uid).await?
    } else {
        store::versions::by_alias(on, &model.uid, &request.alias).await?
    };
    let version = found.ok_or_else(|| Error::not_found("alias", &request.alias))?;
    Ok(v1::GetModelVersionByAliasResponse { model_version: Some(versions::shown(call, version).await?) })
}

/// See the proto.
pub async fn list_holdings(call: &Call, request: v1::ListHoldingsRequest) -> Result<v1::ListHoldingsResponse> {
    let size = text::page_size("max_results", request.max_results.into(), limits::PAGE_DEFAULT, limits::PAGE)?;
    let target = if request.target.is_empty() { String::new() } else { Target::parse("target", &request.target)?.to_string() };
    if request.at_time.is_some_and(|at| at < 0) {
        return Err(Error::invalid("at_time", "must not be negative"));
    }
    let model = models::by_name(call, &request.name).await?;
    let at = request.at_time.unwrap_or(-1).to_be_bytes();
    let page = paging::query(call, &[model.uid.as_bytes(), target.as_bytes(), &at]);
    let before = paging::cursor(call, &page, &request.page_token)?.unwrap_or((i64::MAX, i64::MAX));
    let filter = HoldingFilter { model_uid: &model.uid, target: &target, at: request.at_time, before };
    let mut found = rows::holdings(call.store().reader(), &filter, size + 1).await?;
    let next_page_token = paging::cut(call, &page, &mut found, size, |row| (row.from_time, row.id))?;
    let show = |row: rows::HoldingRow| v1::Holding {
        name: model.name.clone(),
        target: row.target,
        version: row.version.to_string(),
        from_time: row.from_time,
        until_time: row.until_time,
        authority: row.authority,
        request_id: row.request_uid.unwrap_or_default(),
        moved_by: row.moved_by,
    };
    Ok(v1::ListHoldingsResponse { holdings: found.into_iter().map(show).collect(), next_page_token })
}

/// See the proto.
pub async fn list_gates(call: &Call, request: v1::ListGatesRequest) -> Result<v1::ListGatesResponse> {
    let model = models::by_name(call, &request.name).await?;
    let in_force = gates::all_in_force(call.store().reader(), &model.uid).await?;
    let show = |gate: &Gate| v1::Gate {
        gate_id: gate.gate_id.clone(),
        version: gate.version,
        target: gate.target.clone(),
        model_pattern: gate.model_pattern.clone(),
        approvals_required: gate.approvals_required,
        direct_moves_allowed: gate.direct_moves_allowed,
        expires_after: gate.expires_after_ms,
        common_maker_allowed: gate.common_maker_allowed,
    };
    Ok(v1::ListGatesResponse { gates: in_force.iter().map(show).collect() })
}

/// Whether others are archived: only where versions are in use, and there unless it is said otherwise.
pub(super) fn archiving(target: &str, asked: Option<bool>) -> Result<bool> {
    if asked == Some(true) && !stage::in_use(target) {
        return Err(Error::invalid("archive_existing_versions", format!("cannot be set with the stage {target}")));
    }
    Ok(asked.unwrap_or(true) && stage::in_use(target))
}

/// Asks again inside the transaction, on grants as they are in it.
pub(super) async fn require(tx: &Tx, call: &Call, permission: Permission, object: &Object, on: &str) -> Result<()> {
    let snapshot = fresh(tx, call).await?;
    if call.decide(&snapshot, permission, object).allowed { Ok(()) } else { Err(Error::denied(permission, on, "")) }
}

/// A move by the mover's own permission.
struct Direct<'a> {
    call: &'a Call,
    model: &'a ModelRow,
    permission: Permission,
}

impl Direct<'_> {
    /// Refuses the move unless grants and gate allow it; gives the gate that is in force.
    async fn allowed(&self, tx: &Tx, version: &VersionRow, target: &Target, from: &str) -> Result<Option<Gate>> {
        let written = target.to_string();
        // What people may do stays as it is until this transaction has ended.
        store::access::hold_epoch(tx).await?;
        let snapshot = fresh(tx, self.call).await?;
        let on = format!("registered model {:?}", self.model.name);
        let ask = |permission, target: &str, hint: &str| {
            let object = Object { target: Some(target.to_owned()), ..Object::named(ObjectClass::Model, &self.model.uid, &self.model.name) };
            if self.call.decide(&snapshot, permission, &object).allowed { Ok(()) } else { Err(Error::denied(permission, &on, hint)) }
        };
        ask(self.permission, &written, &format!("; {HOW_TO_ASK}"))?;
        let mover = self.call.caller().actor();
        let entered = gates::in_force(&**tx, &self.model.uid, &written).await?;
        let left = gates::in_force(&**tx, &self.model.uid, from).await?;
        for gate in [&entered, &left].into_iter().flatten() {
            let hint = format!("; a gate protects {}: {HOW_TO_ASK}", gate.target);
            ask(Permission::StagesPromote, &gate.target, &hint)?;
            direct_under(gate, &mover)?;
        }
        for target in [written.as_str(), from] {
            for person in gates::ended_by(&**tx, &self.model.uid, target).await? {
                not_by_who(&mover, person, "gave up a gate there", &format!("a gate protected {target}"))?;
            }
        }
        if let Some(open) = requests::open_of(&**tx, &version.uid, &written).await? {
            let requesters = requests::requesters(&**tx, &open.uid).await?;
            let ties = |asked: &requests::RequesterRow| tie(&mover, &asked.actor, "requested it", true);
            if let Some(tied) = requesters.iter().filter(|asked| asked.withdrawn.is_none()).find_map(ties) {
                let message = format!("there is an open request for {written}, and {tied}: withdraw it, or let someone else decide");
                return Err(Error::precondition(OWN_REQUEST_OPEN, message));
            }
        }
        Ok(entered)
    }
}

/// Whether a gate lets a mover past without a request.
fn direct_under(gate: &Gate, mover: &Actor) -> Result<()> {
    if !gate.direct_moves_allowed {
        let words = format!("the gate on {} allows no direct moves; {HOW_TO_ASK}", gate.target);
        return Err(Error::precondition(GATE_DEMANDS_REQUEST, words));
    }
    let Some(author) = gate.author_person.clone() else { return Ok(()) };
    not_by_who(mover, author, "wrote the gate in force", &format!("a gate protects {}", gate.target))
}

/// Refuses a direct move by a person who loosened what protects the target, or could have.
fn not_by_who(mover: &Actor, person: String, did: &str, about: &str) -> Result<()> {
    // A direct move is one person's deed, so that who made whose login says nothing here.
    let mover = Actor { makers: Vec::new(), ..mover.clone() };
    let name = if person == mover.person { mover.name.clone() } else { String::new() };
    let Some(tied) = tie(&mover, &Actor { person, name, ..Actor::default() }, did, true) else { return Ok(()) };
    let words = format!("{about}, and {tied}; someone else moves a version past it, or: {HOW_TO_ASK}");
    Err(Error::precondition(OWN_GATE, words))
}

/// One move, allowed and on its way.
pub(super) struct Step<'a> {
    pub call: &'a Call,
    pub version: &'a VersionRow,
    pub target: &'a Target,
    pub archive: bool,
    pub authority: Authority<'a>,
    pub gate: Option<&'a Gate>,
    pub comment: &'a str,
}

impl Step<'_> {
    /// Moves the version, archives those that give way, keeps the holdings, ends requests that are moot,
    /// and records it all.
    pub(super) async fn take(&self, tx: &Tx) -> Result<Recorded<()>> {
        let written = self.target.to_string();
        let previous = rows::holder(&**tx, &self.version.model_uid, &written).await?;
        let from = if matches!(self.target, Target::Stage(_)) { self.version.current_stage.as_str() } else { "" };
        let transition = self.transition(tx, &self.version.uid, &written, from, self.authority.clone()).await?;
        let mut archived = Vec::new();
        let mut now = VersionNow::default();
        match self.target {
            Target::Stage(stage) => {
                now.stage = Some((*stage).to_owned());
                if self.archives() {
                    archived = self.archive_others(tx, stage, transition).await?;
                }
                store::moves::set_stage(tx, &self.version.uid, stage, transition).await?;
                store::models::touch(tx, &self.version.model_uid).await?;
                now.holders = leave(tx, self.version, from, transition).await?;
                if stage::in_use(stage) {
                    now.holders.extend(self.hold(tx, &written, transition).await?);
                }
            }
            Target::Alias(alias) => {
                look_alikes::refuse_alias(tx, &self.version.model_uid, alias).await?;
                rows::set_alias(tx, &self.version.model_uid, alias, &self.version.uid, transition).await?;
                now.holders = self.hold(tx, &written, transition).await?;
            }
        }
        let superseded = self.supersede(tx, &written).await?;
        let payload = json!({
            "target": written, "before": from, "after": written, "previous_holder": previous, "archived": archived,
            "superseded_requests": superseded, "comment": self.comment,
        });
        versions::record(tx, self.call, self.version, &with_now(payload, &now)).await
    }

    /// A gated stage holds one version, whatever was asked for.
    fn archives(&self) -> bool {
        self.archive || self.gate.is_some_and(|gate| gate.target == self.target.to_string())
    }

    async fn transition(&self, tx: &Tx, version_uid: &str, target: &str, from: &str, authority: Authority<'_>) -> Result<i64> {
        let caller = self.call.caller();
        let a_move = Move {
            model_uid: &self.version.model_uid,
            version_uid: Some(version_uid),
            target,
            from,
            authority,
            gate: self.gate,
            actor_uid: &caller.user_uid,
            actor_name: &caller.user_name,
        };
        Ok(rows::insert_transition(tx, &a_move).await?)
    }

    async fn archive_others(&self, tx: &Tx, stage: &str, cause: i64) -> Result<Vec<i64>> {
        let mut archived = Vec::new();
        for other in store::versions::in_stage(&**tx, &self.version.model_uid, stage).await? {
            if other.uid == self.version.uid {
                continue;
            }
            let transition = self.transition(tx, &other.uid, ARCHIVED, stage, Authority::Consequence(cause)).await?;
            rows::set_stage(tx, &other.uid, ARCHIVED, transition).await?;
            if let Some(moot) = requests::open_of(&**tx, &other.uid, ARCHIVED).await? {
                end_request(tx, self.call, &moot, State::Superseded).await?;
            }
            let payload = json!({"before": stage, "after": ARCHIVED, "because_of": self.version.version});
            let now = VersionNow { stage: Some(ARCHIVED.to_owned()), ..VersionNow::default() };
            // The move itself is recorded last; these rows go with it.
            let _ = versions::record(tx, self.call, &other, &with_now(payload, &now)).await?;
            archived.push(other.version);
        }
        Ok(archived)
    }

    async fn hold(&self, tx: &Tx, written: &str, transition: i64) -> Result<Holders> {
        rows::end_holding(tx, &self.version.model_uid, written).await?;
        rows::begin_holding(tx, &self.version.model_uid, written, &self.version.uid, transition).await?;
        Ok(Holders::from([(written.to_owned(), Some(self.version.uid.clone()))]))
    }

    /// Requests for a target that has just been taken have nothing left to ask for.
    async fn supersede(&self, tx: &Tx, written: &str) -> Result<Vec<String>> {
        let in_use = match self.target {
            Target::Stage(stage) => stage::in_use(stage),
            Target::Alias(_) => true,
        };
        let mut ended = Vec::new();
        for request in requests::open_in(&**tx, &self.version.model_uid, written).await? {
            if in_use || request.version_uid == self.version.uid {
                end_request(tx, self.call, &request, State::Superseded).await?;
                ended.push(request.uid);
            }
        }
        Ok(ended)
    }
}

/// A version leaves a stage: its holding ends, and the version with the highest number that is still in
/// the stage holds it from now on. Gives what that changed.
async fn leave(tx: &Tx, version: &VersionRow, from: &str, transition: i64) -> Result<Holders> {
    if rows::holder(&**tx, &version.model_uid, from).await?.as_ref() != Some(&version.uid) {
        return Ok(Holders::new());
    }
    rows::end_holding(tx, &version.model_uid, from).await?;
    let next = store::versions::in_stage(&**tx, &version.model_uid, from).await?.into_iter().find(|other| other.uid != version.uid);
    if let Some(next) = &next {
        rows::begin_holding(tx, &version.model_uid, from, &next.uid, transition).await?;
    }
    Ok(Holders::from([(from.to_owned(), next.map(|next| next.uid))]))
}

/// Ends a request as a consequence of something else, with a row of its own.
pub(super) async fn end_request(tx: &Tx, call: &Call, request: &requests::RequestRow, state: State) -> Result<()> {
    requests::end(tx, &request.uid, state).await?;
    let name = format!("{}/{} -> {}", request.model_name, request.version, request.target);
    let subject = Subject { kind: "transition_request", id: &request.uid, name: &name, scope: &request.model_uid };
    let payload = json!({"before": State::Open.as_str(), "after": state.as_str()});
    let now = RequestNow { state: Some(state.as_str().to_owned()), ..RequestNow::default() };
    // The change that caused it is recorded as well.
    let _ = tx.record(&call.entry(tx.now(), &subject, &with_now(payload, &now))).await?;
    Ok(())
}

/// Deletes a version, or with none named all of a model: aliases, holdings and open requests end with it. Gives who holds
/// what from then on.
pub(super) async fn delete_versions(tx: &Tx, call: &Call, model_uid: &str, version_uid: Option<&str>) -> Result<Holders> {
    let mut holders = Holders::new();
    let concerned = |uid: &str| version_uid.is_none_or(|only| only == uid);
    for request in requests::open_in(&**tx, model_uid, "").await? {
        if concerned(&request.version_uid) {
            end_request(tx, call, &request, State::Cancelled).await?;
        }
    }
    let mut stages = Vec::new();
    for target in rows::held_in(&**tx, model_uid).await? {
        let Some(holder) = rows::holder(&**tx, model_uid, &target).await?.filter(|holder| concerned(holder)) else {
            continue;
        };
        match target.strip_prefix('@') {
            Some(alias) => holders.extend(release_alias(tx, call, model_uid, alias).await?),
            None => stages.push((target, holder)),
        }
    }
    match version_uid {
        Some(uid) => store::versions::delete(tx, uid).await?,
        None => store::versions::delete_of_model(tx, model_uid).await?,
    }
    for (target, holder) in stages {
        let transition = release(tx, call, model_uid, &target).await?;
        rows::end_holding(tx, model_uid, &target).await?;
        let others = store::versions::in_stage(&**tx, model_uid, &target).await?;
        let next = others.into_iter().find(|other| other.uid != holder).filter(|_| version_uid.is_some());
        if let Some(next) = &next {
            rows::begin_holding(tx, model_uid, &target, &next.uid, transition).await?;
        }
        holders.insert(target, next.map(|next| next.uid));
    }
    Ok(holders)
}

async fn release_alias(tx: &Tx, call: &Call, model_uid: &str, alias: &str) -> Result<Holders> {
    let target = format!("@{alias}");
    release(tx, call, model_uid, &target).await?;
    rows::delete_alias(tx, model_uid, alias).await?;
    rows::end_holding(tx, model_uid, &target).await?;
    Ok(Holders::from([(target, None)]))
}

async fn release(tx: &Tx, call: &Call, model_uid: &str, target: &str) -> Result<i64> {
    let caller = call.caller();
    let gate = gates::in_force(&**tx, model_uid, target).await?;
    let a_move = Move {
        model_uid,
        version_uid: None,
        target,
        from: "",
        authority: Authority::Direct,
        gate: gate.as_ref(),
        actor_uid: &caller.user_uid,
        actor_name: &caller.user_name,
    };
    Ok(rows::insert_transition(tx, &a_move).await?)
}
