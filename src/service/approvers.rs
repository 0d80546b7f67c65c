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
use crate::store::requests::{self as rows, Approver, RequestRow};

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
    for approver in approvers {
        let mut targets = std::iter::once(&row.target).chain(&left);
        let mut reason = targets.find_map(|target| missing(snapshot, row, target, &approver));
        if reason.is_none() {
            let limits = limits(&approver);
            let may = |permission, object: &Object| snapshot.decide(&approver.user, &limits, permission, object).allowed;
            let closed = evidence::withheld(on, &runs, may).await?;
            reason =
                closed.first().map(|whose| format!("the approver may no longer read the {whose}'s run, which is part of the evidence"));
        }
        if let Some(reason) = reason {
            lapsed.insert(approver.person, reason);
        }
    }
    Ok(lapsed)
}

/// An approval through a token that somebody else made rests on that one's rights as well.
fn limits(approver: &Approver) -> TokenLimits {
    TokenLimits { maker: approver.token_maker.clone(), ..TokenLimits::default() }
}

/// Why an approver may not approve for a target now; none when they may.
fn missing(snapshot: &Snapshot, row: &RequestRow, target: &str, approver: &Approver) -> Option<String> {
    let is_active = |uid: &str| snapshot.users.get(uid).is_some_and(|user| user.active);
    if !is_active(&approver.user) {
        return Some("the approver's login was deactivated".to_owned());
    }
    if approver.token_maker.as_deref().is_some_and(|maker| !is_active(maker)) {
        return Some("the login of who made the approver's token was deactivated".to_owned());
    }
    let object = Object { target: Some(target.to_owned()), ..Object::named(ObjectClass::Model, &row.model_uid, &row.model_name) };
    // Nobody vouches for what they may not see.
    [Permission::ModelsRead, Permission::RequestsApprove].into_iter().find_map(|permission| {
        let may = |limits: &TokenLimits| snapshot.decide(&approver.user, limits, permission, &object).allowed;
        let who = match (may(&TokenLimits::default()), may(&limits(approver))) {
            (false, _) => "the approver",
            (true, false) => "whoever made the approver's token",
            (true, true) => return None,
        };
        Some(format!("{who} no longer has the permission `{}` for {target}", permission.name()))
    })
}
