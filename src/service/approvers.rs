//! Whether those who approved a request may still do so. An approval counts at the moment of promotion, and whoever lost
//! the right to give it by then has no say.

use std::collections::HashMap;

use sea_orm::ConnectionTrait;

use super::Result;
use super::evidence;
use super::requests::gate_left;
use crate::contract::Permission;
use crate::domain::access::{Object, ObjectClass, Snapshot, TokenLimits};
use crate::domain::request::State;
use crate::store;
use crate::store::requests::{self as rows, RequestRow};

/// The persons whose approvals of an open request do not count now, each with the reason.
pub(super) async fn lapsed<C: ConnectionTrait>(on: &C, snapshot: &Snapshot, row: &RequestRow) -> Result<HashMap<String, String>> {
    let mut lapsed = HashMap::new();
    if row.state != State::Open {
        return Ok(lapsed);
    }
    let approvers = rows::approvers(on, &row.uid).await?;
    if approvers.is_empty() {
        return Ok(lapsed);
    }
    let left = gate_left(on, row).await?.map(|gate| gate.target);
    let runs = store::evidence::runs(on, &row.evidence_digest).await?;
    for (user_uid, person_uid) in approvers {
        let mut targets = std::iter::once(&row.target).chain(&left);
        let mut reason = targets.find_map(|target| missing(snapshot, row, target, &user_uid));
        if reason.is_none() {
            let may = |permission, object: &Object| snapshot.decide(&user_uid, &TokenLimits::default(), permission, object).allowed;
            let closed = evidence::withheld(on, &runs, may).await?;
            reason =
                closed.first().map(|whose| format!("the approver may no longer read the {whose}'s run, which is part of the evidence"));
        }
        if let Some(reason) = reason {
            lapsed.insert(person_uid, reason);
        }
    }
    Ok(lapsed)
}

/// Why a user may not approve for a target now; none when they may.
fn missing(snapshot: &Snapshot, row: &RequestRow, target: &str, user_uid: &str) -> Option<String> {
    if !snapshot.users.get(user_uid).is_some_and(|user| user.active) {
        return Some("the approver's login was deactivated".to_owned());
    }
    let object = Object { target: Some(target.to_owned()), ..Object::named(ObjectClass::Model, &row.model_uid, &row.model_name) };
    let allowed = snapshot.decide(user_uid, &TokenLimits::default(), Permission::RequestsApprove, &object).allowed;
    (!allowed).then(|| format!("the approver no longer has the permission `{}` for {target}", Permission::RequestsApprove.name()))
}
