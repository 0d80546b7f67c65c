//! What a row says of the state after it: the field `now` of its payload. It names only what the row changed, so that
//! the state can be replayed from the rows alone, whatever operation wrote them. `FORMAT.md` lists the fields.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::access::{Effect, Grant, Principal, Scope};

/// The field of a payload.
pub const NOW: &str = "now";

/// Targets of a model with the ids of the versions that hold them from now on; null for a target that is free.
pub type Holders = BTreeMap<String, Option<String>>;
/// Grants by their ids; null for one that is gone.
pub type Grants = BTreeMap<String, Option<GrantNow>>;

/// Tokens by their ids that were revoked before their time, with when that ends, in Unix milliseconds.
pub type Revoked = BTreeMap<String, i64>;

/// Of a registered model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelNow {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It is deleted, with all its versions.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Who holds its targets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holders: Holders,
}

/// Of a version of a registered model, which is the row's scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VersionNow {
    /// Its number; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// The digest over its files; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_digest: Option<String>,
    /// Its stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// It is deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Its files were removed for good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub purged: bool,
    /// Who holds the targets of its model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub holders: Holders,
}

/// Of a promotion request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestNow {
    /// What it asks for; in the row that files it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filed: Option<Filed>,
    /// Where it stands, as `OPEN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The evidence that it rests on. Decisions on other evidence are void from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence_digest: Option<String>,
    /// Someone asks, or withdrew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<RequesterNow>,
    /// Someone decided. An earlier decision of the same person is void from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionNow>,
}

/// What a request asks for, which never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filed {
    /// The version's id.
    pub version_id: String,
    /// As written.
    pub target: String,
    /// The gate that it was filed under.
    pub gate_id: String,
    /// The gate's version.
    pub gate_version: i64,
    /// When it ends by itself; in Unix milliseconds.
    pub expires: Option<i64>,
}

/// One who asks for a request, or asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequesterNow {
    /// The person's id.
    pub person_id: String,
    /// Whether the person does not ask any more.
    pub withdrawn: bool,
}

/// A decision on a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionNow {
    /// The person's id.
    pub person_id: String,
    /// The user's id.
    pub user_id: String,
    /// `APPROVED` or `REJECTED`.
    pub kind: String,
    /// What the person saw.
    pub evidence_digest: String,
}

/// Of a user or service account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserNow {
    /// Its name; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `PERSON` or `SERVICE_ACCOUNT`; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The person behind it; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person_id: Option<String>,
    /// Whether its credentials work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// What it signs in with, and who stands behind that; in each row that changes any of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsNow>,
    /// Tokens that ended with a change.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: Revoked,
    /// Grants that came with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grants: Grants,
}

/// What a login's credentials are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsNow {
    /// SHA-256, in hexadecimal, of the salted hash that the database keeps of the password; none without a password.
    pub password: Option<String>,
    /// Somebody else set the password.
    pub temporary: bool,
    /// Counts what ended all credentials before it.
    pub generation: i64,
    /// Those who stand behind the login and for whom nobody has vouched, sorted.
    pub makers: Vec<MakerNow>,
}

/// One who stands behind a login.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakerNow {
    /// `LOGIN` or `PASSWORD`: what was done for the login.
    pub deed: String,
    /// The user's id; empty for the command line.
    pub user_id: String,
    /// The person's id; empty for the command line.
    pub person_id: String,
    /// The id of the login behind which the user stood when that one did it; empty for their own deed.
    pub through_id: String,
}

/// Of the row of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenNow {
    /// The token and those that were made with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub revoked: Revoked,
}

/// Of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupNow {
    /// Its name; in the row that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It is deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Users by their ids, and whether they are members.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<String, bool>,
    /// Grants that went with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub grants: Grants,
}

/// Of a custom persona, whose name is the row's object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PersonaNow {
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// It is deleted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// Of the row of a grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrantsNow {
    /// The grant.
    pub grants: Grants,
}

/// A grant, as the database holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantNow {
    /// `USER` or `GROUP`.
    pub principal_kind: String,
    /// Its id.
    pub principal_id: String,
    /// The persona's name.
    pub persona: String,
    /// `SERVER`, `EXPERIMENT`, `MODEL`, `EXPERIMENTS` or `MODELS`.
    pub scope_kind: String,
    /// The object's id, or the pattern; empty for the server.
    pub scope: String,
    /// Only for these targets; empty for all.
    pub targets: Vec<String>,
    /// `ALLOW` or `DENY`.
    pub effect: String,
}

impl From<&Grant> for GrantNow {
    fn from(grant: &Grant) -> Self {
        let (principal_kind, principal_id) = match &grant.principal {
            Principal::User(uid) => ("USER", uid),
            Principal::Group(uid) => ("GROUP", uid),
        };
        let (scope_kind, scope) = match &grant.scope {
            Scope::Server => ("SERVER", ""),
            Scope::Experiment(id) => ("EXPERIMENT", id.as_str()),
            Scope::Model(uid) => ("MODEL", uid.as_str()),
            Scope::Experiments(pattern) => ("EXPERIMENTS", pattern.as_str()),
            Scope::Models(pattern) => ("MODELS", pattern.as_str()),
        };
        Self {
            principal_kind: principal_kind.to_owned(),
            principal_id: principal_id.clone(),
            persona: grant.persona.clone(),
            scope_kind: scope_kind.to_owned(),
            scope: scope.to_owned(),
            targets: grant.targets.clone(),
            effect: if grant.effect == Effect::Allow { "ALLOW" } else { "DENY" }.to_owned(),
        }
    }
}

/// A grant that was made.
pub fn given(grant: &Grant) -> Grants {
    BTreeMap::from([(grant.uid.clone(), Some(grant.into()))])
}

/// Adds to a payload what is now.
#[must_use]
pub fn with_now<T: Serialize>(mut payload: Value, now: &T) -> Value {
    // Plain fields and maps with texts as keys always become JSON.
    if let (Some(fields), Ok(now)) = (payload.as_object_mut(), serde_json::to_value(now)) {
        fields.insert(NOW.to_owned(), now);
    }
    payload
}

/// What a payload says is now; none when it changed nothing that is replayed.
///
/// # Errors
/// When it says it in another way than the server does.
pub fn read_now<T: DeserializeOwned>(payload: &str) -> Result<Option<T>, serde_json::Error> {
    // Few payloads have it; the others need not be parsed.
    if !payload.contains("\"now\"") {
        return Ok(None);
    }
    let mut fields: BTreeMap<String, Value> = serde_json::from_str(payload)?;
    fields.remove(NOW).map(serde_json::from_value).transpose()
}
