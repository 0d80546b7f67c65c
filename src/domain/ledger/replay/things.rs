//! What is compared: things, and the fields of each. The rows and the tables give both in the same form.

use std::collections::BTreeMap;

use super::{Decided, Row};
use crate::domain::gate::Gate;
use crate::domain::ledger::{CredentialsNow, Filed, GrantNow, MakerNow};

/// Something that rows make, change and take away. The order is that in which differences are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// A gate in one of its versions.
    Gate { id: String, version: i64 },
    /// A registered model.
    Model { id: String },
    /// A version of a model.
    Version { model: String, id: String },
    /// An alias of a model.
    Alias { model: String, alias: String },
    /// Who holds and held a target of a model.
    Target { model: String, target: String },
    /// A promotion request.
    Request { id: String },
    /// Someone who asks for a request, or asked.
    Requester { request: String, person: String },
    /// What a person decided on a request.
    Decisions { request: String, person: String },
    /// A user or service account.
    User { id: String },
    /// A group.
    Group { id: String },
    /// That a user is in a group.
    Member { group: String, user: String },
    /// A custom persona.
    Persona { name: String },
    /// A grant.
    Grant { id: String },
    /// That a token was revoked before its time.
    Revocation { token: String },
}

impl Thing {
    /// The ids that a row about it has as its object or scope.
    pub(super) fn ids(&self) -> [&str; 2] {
        match self {
            Self::Gate { id, .. }
            | Self::Model { id }
            | Self::Request { id }
            | Self::User { id }
            | Self::Group { id }
            | Self::Grant { id } => [id, id],
            Self::Version { model, id } => [model, id],
            Self::Alias { model, .. } | Self::Target { model, .. } => [model, model],
            Self::Requester { request, .. } | Self::Decisions { request, .. } => [request, request],
            Self::Member { group, user } => [group, user],
            Self::Persona { name } => [name, name],
            Self::Revocation { token } => [token, token],
        }
    }
}

/// Fields of a thing by their names in words.
pub type Fields = BTreeMap<&'static str, String>;

pub(super) const NAME: &str = "name";
const FOUND_AS: &str = "name that it is found by";
const LIFE: &str = "life";
pub(super) const STAGE: &str = "stage";
pub(super) const NUMBER: &str = "number";
const DIGEST: &str = "digest of its files";
pub(super) const PURGED: &str = "end for good";
pub(super) const FILES: &str = "digest of the files that are stored for it";
pub(super) const VERSION: &str = "version";
pub(super) const SINCE: &str = "time since when";
pub(super) const ENDED: &str = "number of earlier holdings";
pub(super) const ENDED_DIGEST: &str = "digest of the earlier holdings";
pub(super) const STATE: &str = "state";
pub(super) const EVIDENCE: &str = "evidence digest";
pub(super) const MODEL: &str = "model";
pub(super) const TARGET: &str = "target";
pub(super) const PRINCIPAL: &str = "principal";

/// Fields from pairs.
pub(super) fn fields<const N: usize>(pairs: [(&'static str, String); N]) -> Fields {
    Fields::from(pairs)
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

pub(super) fn life(deleted: bool) -> (&'static str, String) {
    (LIFE, if deleted { "deleted" } else { "not deleted" }.to_owned())
}

pub(super) fn asks(asks: bool) -> (&'static str, String) {
    (STATE, if asks { "asks" } else { "withdrawn" }.to_owned())
}

pub(super) fn active(active: bool) -> (&'static str, String) {
    (STATE, if active { "active" } else { "deactivated" }.to_owned())
}

/// Of a model.
pub fn model_fields(name: &str, canonical: &str, deleted: bool) -> Fields {
    fields([(NAME, name.to_owned()), (FOUND_AS, canonical.to_owned()), life(deleted)])
}

/// Whether what a version was is removed for good.
pub(super) fn purged(purged: bool) -> (&'static str, String) {
    (PURGED, yes(purged))
}

/// Of a version, with the digest that it has and that of the files which are there, whether it is deleted, and purged.
pub fn version_fields(number: i64, (digest, files): (&str, &str), stage: &str, (deleted, is_purged): (bool, bool)) -> Fields {
    let digests = [(DIGEST, digest.to_owned()), (FILES, files.to_owned())];
    let mut fields = fields([(NUMBER, number.to_string()), (STAGE, stage.to_owned()), life(deleted)]);
    fields.extend(digests);
    fields.extend([purged(is_purged)]);
    fields
}

/// Of an alias.
pub fn alias_fields(version: String) -> Fields {
    fields([(VERSION, version)])
}

/// Of what a request asks for, on a model.
pub fn filed_fields(filed: &Filed, model: &str) -> Fields {
    fields([
        (MODEL, model.to_owned()),
        (VERSION, filed.version_id.clone()),
        (TARGET, filed.target.clone()),
        ("gate", format!("{} version {}", filed.gate_id, filed.gate_version)),
        ("expiry", filed.expires.map_or_else(|| "none".to_owned(), |at| at.to_string())),
    ])
}

/// Of a request.
pub fn request_fields(filed: &Filed, model: &str, state: String, evidence_digest: String) -> Fields {
    let mut all = filed_fields(filed, model);
    all.extend(fields([(STATE, state), (EVIDENCE, evidence_digest)]));
    all
}

/// Of one who asks.
pub fn requester_fields(withdrawn: bool) -> Fields {
    fields([asks(!withdrawn)])
}

/// Of the decisions of a person, each with whether it is void. Their order does not matter.
pub fn decision_fields(decisions: &[Decided]) -> Fields {
    let word = |(decision, void): &Decided| {
        let void = if *void { " (void)" } else { "" };
        format!("{}{void} on the evidence {:.12} as the user {}", decision.kind, decision.evidence_digest, decision.user_id)
    };
    let mut words: Vec<String> = decisions.iter().map(word).collect();
    words.sort();
    fields([("decision", words.join(", "))])
}

/// Of a user.
pub fn user_fields(name: &str, canonical: &str, kind: &str, person: &str, is_active: bool) -> Fields {
    fields([
        (NAME, name.to_owned()),
        (FOUND_AS, canonical.to_owned()),
        ("kind", kind.to_owned()),
        ("person", person.to_owned()),
        active(is_active),
    ])
}

/// Of what a user signs in with.
pub fn credential_fields(now: &CredentialsNow) -> Fields {
    let maker = |maker: &MakerNow| {
        let who = if maker.user_id.is_empty() { "command line" } else { maker.user_id.as_str() };
        let through = if maker.through_id.is_empty() { String::new() } else { format!(" through {}", maker.through_id) };
        format!("{} by {who} of {}{through}", maker.deed, maker.person_id)
    };
    let makers: Vec<String> = now.makers.iter().map(maker).collect();
    fields([
        ("digest of the password's hash", now.password.clone().unwrap_or_else(|| "none".to_owned())),
        ("need of another password", yes(now.temporary)),
        ("generation of the credentials", now.generation.to_string()),
        ("list of those who stand behind it", makers.join(", ")),
    ])
}

/// Of a group.
pub fn group_fields(name: &str, canonical: &str) -> Fields {
    fields([(NAME, name.to_owned()), (FOUND_AS, canonical.to_owned())])
}

/// Of a persona.
pub fn persona_fields(permissions: &[String]) -> Fields {
    fields([("list of permissions", permissions.join(", "))])
}

/// Of a grant.
pub fn grant_fields(grant: &GrantNow) -> Fields {
    let scope = if grant.scope.is_empty() { grant.scope_kind.clone() } else { format!("{} {}", grant.scope_kind, grant.scope) };
    fields([
        (PRINCIPAL, format!("{} {}", grant.principal_kind, grant.principal_id)),
        ("persona", grant.persona.clone()),
        ("scope", scope),
        ("list of targets", grant.targets.join(", ")),
        ("effect", grant.effect.clone()),
    ])
}

/// Of a gate.
pub fn gate_fields(gate: &Gate, in_force: bool) -> Fields {
    fields([
        (TARGET, gate.target.clone()),
        ("pattern of models", gate.model_pattern.clone()),
        ("number of approvals", gate.approvals_required.to_string()),
        ("leave for direct moves", yes(gate.direct_moves_allowed)),
        ("leave for a common maker", yes(gate.common_maker_allowed)),
        ("time until expiry", gate.expires_after_ms.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"))),
        ("force", yes(in_force)),
    ])
}

/// What the rows say of a thing: each field with the row that said so last.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub told: BTreeMap<&'static str, (String, Row)>,
    /// The row that was last about it.
    pub row: Row,
    /// It was there before the first row.
    pub built_in: bool,
    /// It was found in the tables.
    pub seen: bool,
}

impl Object {
    pub fn begun_with(told: Fields) -> Self {
        let mut object = Self { built_in: true, ..Self::default() };
        object.set(told, None);
        object
    }

    pub fn set(&mut self, told: Fields, row: Row) {
        self.row = row;
        self.told.extend(told.into_iter().map(|(field, value)| (field, (value, row))));
    }

    pub fn is(&self, (field, value): &(&'static str, String)) -> bool {
        self.told.get(field).is_some_and(|(told, _)| told == value)
    }

    pub fn value(&self, field: &str) -> Option<&str> {
        self.told.get(field).map(|(value, _)| value.as_str())
    }
}
