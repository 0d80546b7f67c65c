//! The check: every call passes here, and only here a `Call` is made. What the request names is resolved first and
//! decided after, in one way whether there is such an object or not.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::uri::Authority;
use tokio::time::{Instant, sleep_until};

use super::Access;
use super::ClientAddress;
use super::call::{Call, Caller, Subject};
use super::refusal::{Refused, hint};
use crate::clock;
use crate::contract::{Clause, ObjectKind, Operation, Permission, Record, Subject as Fields};
use crate::domain::access::{Object, Snapshot, Verdict};
use crate::domain::artifact_owner::{self, PathOwner};
use crate::domain::field::Invalid;
use crate::domain::ledger::Outcome;
use crate::domain::{stage, text};
use crate::store::{Kept, StoreError};

/// Refusals are answered after a whole number of these. What differs between a hidden object and a missing one, such as a
/// row that the database reads, takes some microseconds; it does not show in steps of this length.
const STEP: Duration = Duration::from_millis(2);

/// A request as the wire hands it to the check.
pub struct Arrival<'a> {
    /// The operation that was called.
    pub operation: &'static Operation,
    /// The request's headers or metadata.
    pub headers: &'a HeaderMap,
    /// The id that the client sees in the response metadata.
    pub request_id: &'a str,
    /// The network address of the caller.
    pub source: ClientAddress,
}

impl Access {
    /// Who calls an operation: whoever the headers prove, and nobody where it is public. Asked before a request's
    /// message is read, so that nobody can make the server keep what strangers send.
    pub async fn caller(&self, operation: &Operation, headers: &HeaderMap, source: ClientAddress) -> Result<Caller, Refused> {
        if operation.rule.public {
            return Ok(Caller::nobody());
        }
        self.authenticate(headers, source).await?.ok_or(Refused::Unauthenticated)
    }

    /// Admits a caller's call, or refuses it.
    pub async fn admit(self: &Arc<Self>, arrival: &Arrival<'_>, caller: Caller, fields: &dyn Fields) -> Result<Call, Refused> {
        let rule = &arrival.operation.rule;
        let call = |caller| {
            let request_id = arrival.request_id.to_owned();
            let on = first_object(arrival.operation, fields);
            let origin = self.base_url.get().cloned().or_else(|| origin(arrival.headers));
            Call::new(self.clone(), arrival.operation, caller, request_id, arrival.source, origin, on)
        };
        if caller.password_due && !rule.password_due {
            return Err(Refused::PasswordDue);
        }
        if rule.clauses.is_empty() {
            return Ok(call(caller));
        }
        if arrival.operation.keeps_something() && !rule.beyond_quota {
            self.usage.check(&self.store, &caller.user_uid).await?;
        }
        let begun = Instant::now();
        let snapshot = self.snapshot().await?;
        for clause in rule.clauses {
            if let Err(refused) = self.clause(&snapshot, &caller, clause, fields).await {
                self.keep_refusal(&call(caller), &refused).await?;
                end_of_step(begun).await;
                return Err(refused);
            }
        }
        Ok(call(caller))
    }

    /// A call of the server's own or of the command line, which no rule holds back.
    pub fn own_call(self: &Arc<Self>, operation: &'static Operation, caller: Caller) -> Call {
        Call::new(self.clone(), operation, caller, clock::new_uid(), ClientAddress::NONE, None, String::new())
    }

    async fn clause(&self, snapshot: &Snapshot, caller: &Caller, clause: &Clause, fields: &dyn Fields) -> Result<(), Refused> {
        if clause.filtered {
            return Ok(());
        }
        let Some(names) = names(clause, fields)? else { return Ok(()) };
        self.judge(snapshot, caller, clause.permission, (clause.kind, &names), target(clause, fields)).await
    }

    /// Decides about what `named` names, with the target of a promotion if there is one. A refusal takes the same steps
    /// and says the same whether there is an object or not.
    async fn judge(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        permission: Permission,
        (kind, names): (ObjectKind, &[&str]),
        target: Option<String>,
    ) -> Result<(), Refused> {
        let mut resolved = self.resolver.resolve(&self.store, snapshot, caller, kind, names).await?;
        if target.is_some() {
            resolved.absent.target.clone_from(&target);
            if let Some(object) = &mut resolved.object {
                object.target = target;
            }
        }
        let verdict = snapshot.judge(&caller.user_uid, &caller.limits, permission, resolved.object.as_ref(), &resolved.absent);
        if verdict == Verdict::Admitted {
            return Ok(());
        }
        self.resolver.take_as_long(&self.store, kind, names, &resolved).await?;
        let name = names.first().copied().unwrap_or_default();
        match verdict {
            // A name that nothing can have: the operation says which field is missing.
            Verdict::Absent if name.is_empty() => Ok(()),
            Verdict::Absent => Err(Refused::Absent { kind: word(kind), name: name.to_owned() }),
            _ => Err(Refused::Denied { permission, on: described(kind, names), hint: hint(permission) }),
        }
    }

    /// Asks as a clause would about a further object that a request names where no rule can read it: in a list.
    pub async fn require(&self, call: &Call, permission: Permission, kind: ObjectKind, name: &str) -> Result<(), Refused> {
        let begun = Instant::now();
        let snapshot = self.snapshot().await?;
        let outcome = self.judge(&snapshot, call.caller(), permission, (kind, &[name]), None).await;
        if let Err(refused) = &outcome {
            self.keep_refusal(call, refused).await?;
            end_of_step(begun).await;
        }
        outcome
    }

    /// Writes or counts a refusal, as the operation's rule says.
    pub async fn keep_refusal(&self, call: &Call, refused: &Refused) -> Result<(), StoreError> {
        match refused {
            Refused::Denied { on, .. } => self.keep_denial(call, on, &refused.to_string()).await,
            // Counted whether it is missing or hidden: who looks for what is hidden is seen.
            Refused::Absent { kind, name } => {
                self.refusals.count(call, &quoted(kind, name));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes or counts a refusal in other words.
    pub async fn keep_denial(&self, call: &Call, on: &str, reason: &str) -> Result<(), StoreError> {
        let operation = call.operation();
        if operation.rule.record != Record::Decision || !self.refusals.may_write(call.caller()) {
            self.refusals.count(call, on);
            return Ok(());
        }
        let (kind, name) = on.split_once(" \"").map_or((on, ""), |(kind, name)| (kind, name.strip_suffix('"').unwrap_or(name)));
        let object = self.object_of_text(kind, name).await?;
        let id = object.uid.clone().unwrap_or_default();
        // Rows about one kind of object bear one word for it.
        let kind = if kind == "promotion request" { "transition_request".to_owned() } else { kind.replace(' ', "_") };
        let subject = Subject { kind: &kind, id: &id, name, scope: &id };
        let mut row = call.entry(clock::now_ms(), &subject, &serde_json::json!({}));
        row.outcome = Outcome::Denied;
        reason.clone_into(&mut row.reason);
        self.store.write(row, |tx, row| Box::pin(async move { tx.record(row).await })).await.map(Kept::into_value)
    }

    async fn object_of_text(&self, kind: &str, name: &str) -> Result<Object, StoreError> {
        let kind = match kind {
            "registered model" => ObjectKind::RegisteredModel,
            "promotion request" => ObjectKind::TransitionRequest,
            _ => return Ok(Object::SERVER),
        };
        Ok(self.resolver.look_up(&self.store, kind, &[name]).await?.unwrap_or(Object::SERVER))
    }
}

/// Waits until a whole number of steps has passed.
async fn end_of_step(begun: Instant) {
    let steps = begun.elapsed().as_nanos() / STEP.as_nanos() + 1;
    sleep_until(begun + STEP * u32::try_from(steps).unwrap_or(u32::MAX)).await;
}

/// Scheme, host and path before ours as the client wrote them; a trusted proxy in front of the server may have noted them.
fn origin(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.split(',').next()).map(str::trim);
    let host: Authority = text("x-forwarded-host").or_else(|| text("host"))?.parse().ok()?;
    if host.as_str().contains('@') {
        return None;
    }
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let prefix = text("x-forwarded-prefix").unwrap_or_default().trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '_' | '~' | '%');
    let usable = prefix.is_empty() || (prefix.starts_with('/') && !prefix.starts_with("//") && prefix.chars().all(plain));
    usable.then(|| format!("{scheme}://{host}{prefix}"))
}

/// The object of the rule's first clause, in the words of refusals.
fn first_object(operation: &Operation, fields: &dyn Fields) -> String {
    let clause = operation.rule.clauses.first();
    let named = clause.and_then(|clause| Some(described(clause.kind, &names(clause, fields).ok()??)));
    named.unwrap_or_else(|| "the server".to_owned())
}

/// The texts that name the clause's object; none when the clause holds by itself. A call that does not say what it is
/// about is refused for that, whoever sent it.
fn names<'a>(clause: &Clause, fields: &'a dyn Fields) -> Result<Option<Vec<&'a str>>, Refused> {
    if clause.kind == ObjectKind::ModelVersion {
        let given: Vec<&str> = clause.fields.iter().map(|field| fields.subject(field).unwrap_or_default()).collect();
        if clause.optional && given.first().is_none_or(|name| name.is_empty()) {
            return Ok(None);
        }
        return match clause.fields.iter().zip(&given).find(|(_, text)| text.is_empty()) {
            Some((field, _)) => Err(Invalid::from(text::missing(field)).into()),
            None => Ok(Some(given)),
        };
    }
    if matches!(clause.kind, ObjectKind::RunOfPath | ObjectKind::LoggedModelOfPath | ObjectKind::VersionOfPath) {
        return Ok(path_owner(clause, fields)?.map(|owner| vec![owner.id()]));
    }
    let mut given = clause.fields.iter().filter_map(|field| fields.subject(field).map(|text| (*field, text)));
    let Some((first, text)) = given.next() else {
        return match clause.fields.first() {
            _ if clause.optional => Ok(None),
            // No name stands for the caller.
            _ if clause.kind == ObjectKind::User => Ok(Some(vec![""])),
            Some(field) => Err(Invalid::from(text::missing(field)).into()),
            None => Ok(Some(vec![""])),
        };
    };
    if let Some((other, _)) = given.find(|(_, other)| *other != text) {
        return Err(Invalid::field(other, format!("differs from `{first}`; give one of them, or both alike")).into());
    }
    Ok(Some(vec![text]))
}

/// The owner of the artifact path that a clause names; none when it is not of the clause's kind, or there is none.
fn path_owner<'a>(clause: &Clause, fields: &'a dyn Fields) -> Result<Option<PathOwner<'a>>, Refused> {
    let field = clause.fields.first().copied().unwrap_or_default();
    let owned = artifact_owner::owned(field, fields.subject(field).unwrap_or_default()).map_err(Invalid::from)?;
    let speaks_of = |owner: &PathOwner<'_>| match owner {
        PathOwner::Run { .. } => clause.kind == ObjectKind::RunOfPath,
        PathOwner::LoggedModel { .. } => clause.kind == ObjectKind::LoggedModelOfPath,
        PathOwner::Version { .. } => clause.kind == ObjectKind::VersionOfPath,
    };
    Ok(owned.map(|owned| owned.owner).filter(speaks_of))
}

/// The target of a promotion as grants write it. A text that is no stage stays as it is: it is refused later.
fn target(clause: &Clause, fields: &dyn Fields) -> Option<String> {
    let field = |name: &str| if name.is_empty() { None } else { fields.subject(name) };
    if let Some(text) = field(clause.stage_field) {
        return Some(stage::stage("stage", text).map_or_else(|_| text.to_owned(), str::to_owned));
    }
    field(clause.alias_field).map(|alias| format!("@{alias}"))
}

/// How a refusal speaks of an object, from the words of the request alone.
fn described(kind: ObjectKind, names: &[&str]) -> String {
    let first = names.first().copied().unwrap_or_default();
    match kind {
        ObjectKind::Unspecified | ObjectKind::Server => word(kind).to_owned(),
        ObjectKind::User if first.is_empty() => "your own user".to_owned(),
        _ => quoted(word(kind), first),
    }
}

fn word(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Unspecified | ObjectKind::Server => "the server",
        ObjectKind::Experiment | ObjectKind::ExperimentName => "experiment",
        ObjectKind::Run | ObjectKind::RunOfPath => "run",
        ObjectKind::LoggedModel | ObjectKind::LoggedModelOfPath => "logged model",
        ObjectKind::VersionOfPath => "model version",
        ObjectKind::RegisteredModel | ObjectKind::ModelVersion => "registered model",
        ObjectKind::TransitionRequest => "promotion request",
        ObjectKind::Comment => "comment",
        ObjectKind::User => "user",
        ObjectKind::Token => "token",
    }
}

fn quoted(what: &str, name: &str) -> String {
    let shown: String = name.chars().take(300).filter(|c| !c.is_control()).collect();
    format!("{what} \"{shown}\"")
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
