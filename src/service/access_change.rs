//! What every change of access has in common: one at a time, checked again inside its transaction, nothing
//! handed on that the caller does not hold, and an admin left at the end.

use super::{Error, Result};
use crate::access::{Call, Credential};
use crate::contract::Permission;
use crate::domain::access::{Delegated, Effect, Grant, Object, ObjectClass, Persona, Right, Scope, Snapshot, User};
use crate::store::{Tx, access as rows, scope_names};

/// Begins a change of access and gives the state that it starts from. Raising the epoch comes first: it
/// locks the row, so that changes follow one another on every replica, and lets all snapshots know.
pub(super) async fn begin(tx: &Tx, call: &Call, object: &Object) -> Result<Snapshot> {
    rows::raise_epoch(tx).await?;
    current(tx, call, object).await
}

/// The state of access inside a transaction. Errors when the caller's credential has ended.
pub(super) async fn fresh(tx: &Tx, call: &Call) -> Result<Snapshot> {
    let snapshot = rows::snapshot(&**tx, tx.now()).await?;
    if !call.caller().stands(&snapshot) {
        return Err(Error::Unauthenticated);
    }
    Ok(snapshot)
}

/// The state of access inside a transaction, in which the caller still may do what the rule asks for.
pub(super) async fn current(tx: &Tx, call: &Call, object: &Object) -> Result<Snapshot> {
    let snapshot = fresh(tx, call).await?;
    if unbound(call) {
        return Ok(snapshot);
    }
    for clause in call.operation().rule.clauses {
        if !call.decide(&snapshot, clause.permission, object).allowed {
            return Err(Error::denied(clause.permission, call.subject(), ""));
        }
    }
    Ok(snapshot)
}

/// Whether no rule holds the caller back: who runs the command line holds the database anyway.
fn unbound(call: &Call) -> bool {
    call.caller().credential == Credential::CommandLine
}

/// A user as an object of rules.
pub(super) fn user_object(uid: &str) -> Object {
    Object { class: ObjectClass::User, owner: Some(uid.to_owned()), ..Object::SERVER }
}

/// Refuses to hand on rights that the caller does not hold on all of the scope and targets.
pub(super) async fn must_hold(
    tx: &Tx,
    call: &Call,
    snapshot: &Snapshot,
    rights: &[Right],
    scope: &Scope,
    targets: &[String],
) -> Result<()> {
    if unbound(call) {
        return Ok(());
    }
    let name = scope_names::bound(&**tx, scope).await?;
    let what = Delegated { rights, scope, object_name: name.as_deref(), targets };
    let caller = call.caller();
    match snapshot.lacks(&caller.user_uid, &caller.limits, &what) {
        None => Ok(()),
        Some(missing) => Err(beyond(missing)),
    }
}

/// Refuses to hand on what grants give, or with `Effect::Deny` what they hold back.
pub(super) async fn must_hold_grants<'a>(
    tx: &Tx,
    call: &Call,
    snapshot: &Snapshot,
    grants: impl Iterator<Item = &'a Grant>,
    effect: Effect,
) -> Result<()> {
    for grant in grants.filter(|grant| grant.effect == effect) {
        let rights = snapshot.persona(&grant.persona).map(|persona| persona.rights).unwrap_or_default();
        must_hold(tx, call, snapshot, &rights, &grant.scope, &grant.targets).await?;
    }
    Ok(())
}

/// Refuses to take another user's place, by a password or a token, where that user may do more than the
/// caller. With `only`, no more than these permissions would be taken.
pub(super) async fn must_hold_all_of(tx: &Tx, call: &Call, snapshot: &Snapshot, user: &str, only: &[Permission]) -> Result<()> {
    if user == call.caller().user_uid {
        return Ok(());
    }
    for grant in snapshot.grants_of(user).filter(|grant| grant.effect == Effect::Allow) {
        let mut rights = snapshot.persona(&grant.persona).map(|persona| persona.rights).unwrap_or_default();
        rights.retain(|right| only.is_empty() || only.contains(&right.permission));
        must_hold(tx, call, snapshot, &rights, &grant.scope, &grant.targets).await?;
    }
    Ok(())
}

fn beyond(missing: Permission) -> Error {
    let message = format!("you cannot hand on `{}`: you do not hold it on all of what this would give", missing.name());
    Error::Denied { permission: Some(missing), reason: super::PERMISSION_MISSING, message }
}

/// Refuses a change after which nobody who can sign in could manage access. Called after the change, before its end; `before` is
/// the state that it started from. Where there was nobody to begin with, nobody is lost, and a stolen account can still
/// be deactivated.
pub(super) async fn keep_an_admin(tx: &Tx, before: &Snapshot) -> Result<()> {
    if !before.admins().is_empty() && rows::snapshot(&**tx, tx.now()).await?.admins().is_empty() {
        return Err(Error::precondition(
            "LAST_ADMIN",
            "no active admin who can sign in with a password would remain; make another one first",
        ));
    }
    Ok(())
}

/// A user by name.
pub(super) fn user<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a User> {
    snapshot.user_by_name(name).ok_or_else(|| Error::not_found("user", name))
}

/// A persona by name.
pub(super) fn persona(snapshot: &Snapshot, name: &str) -> Result<Persona> {
    snapshot.persona(name).ok_or_else(|| Error::not_found("persona", name))
}
