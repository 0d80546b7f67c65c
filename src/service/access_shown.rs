//! Users, tokens, personas and grants as the contract shows them.

use super::Result;
use crate::access::Call;
use crate::contract::v1;
use crate::domain::access::{Effect, Grant, Persona, Principal, Scope, Snapshot, UserKind};
use crate::store::access::{TokenRow, UserRow};
use crate::store::scope_names;

/// A user.
pub(super) fn user(row: UserRow) -> v1::User {
    let kind = match row.kind {
        UserKind::Person => v1::UserKind::Person,
        UserKind::ServiceAccount => v1::UserKind::ServiceAccount,
    };
    v1::User {
        id: row.uid,
        user_name: row.name,
        display_name: row.display_name,
        kind: kind.into(),
        person_id: row.person_uid,
        active: row.active,
        creation_timestamp: row.created,
    }
}

/// A token, without its text.
pub(super) fn token(snapshot: &Snapshot, row: TokenRow) -> v1::Token {
    let origin = match row.origin.as_str() {
        "SIGN_IN" => v1::TokenOrigin::SignIn,
        "COMMAND_LINE" => v1::TokenOrigin::CommandLine,
        _ => v1::TokenOrigin::Api,
    };
    v1::Token {
        token_id: row.token_id,
        user_name: user_name(snapshot, &row.user_uid),
        description: row.description,
        origin: origin.into(),
        issued_by: row.issued_by.map(|uid| user_name(snapshot, &uid)).unwrap_or_default(),
        creation_timestamp: row.created,
        expiry_time: row.expires,
        last_used_time: row.last_used,
        revoked: row.revoked.is_some(),
        permissions: row.permissions,
        model_pattern: row.model_pattern.unwrap_or_default(),
        experiment_pattern: row.experiment_pattern.unwrap_or_default(),
    }
}

/// A persona.
pub(super) fn persona(persona: &Persona) -> v1::Persona {
    let permissions = persona.rights.iter().map(|right| right.name()).collect();
    v1::Persona { name: persona.name.clone(), permissions, built_in: persona.built_in }
}

/// The names of a user's groups, in their order.
pub(super) fn groups_of(snapshot: &Snapshot, user_uid: &str) -> Vec<String> {
    let mut names: Vec<String> = snapshot.groups_of(user_uid).map(|group| group.name.clone()).collect();
    names.sort();
    names
}

/// Grants, with the names that their objects have now.
pub(super) async fn grants(call: &Call, snapshot: &Snapshot, grants: &[&Grant]) -> Result<Vec<v1::Grant>> {
    let bound = |grant: &&Grant| match &grant.scope {
        Scope::Model(uid) => Some(uid.clone()),
        _ => None,
    };
    let uids: Vec<String> = grants.iter().filter_map(bound).collect();
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    let names = scope_names::models(call.store().reader(), &uids).await?;
    let model = |uid: &String| names.get(uid).unwrap_or(uid).clone();
    Ok(grants.iter().map(|grant| shown_grant(snapshot, grant, model)).collect())
}

fn shown_grant(snapshot: &Snapshot, grant: &Grant, model: impl Fn(&String) -> String) -> v1::Grant {
    use v1::name_pattern::Pattern;
    use v1::principal::Principal as To;
    use v1::scope::Scope as On;
    let pattern = |pattern| Some(On::Pattern(v1::NamePattern { pattern: Some(pattern) }));
    let principal = match &grant.principal {
        Principal::User(uid) => To::UserName(user_name(snapshot, uid)),
        Principal::Group(uid) => To::GroupName(snapshot.groups.get(uid).map(|group| group.name.clone()).unwrap_or_default()),
    };
    let scope = match &grant.scope {
        Scope::Server => Some(On::Server(v1::WholeServer {})),
        Scope::Experiment(id) => Some(On::ExperimentId(id.clone())),
        Scope::Model(uid) => Some(On::RegisteredModel(model(uid))),
        Scope::Experiments(text) => pattern(Pattern::Experiments(text.clone())),
        Scope::Models(text) => pattern(Pattern::RegisteredModels(text.clone())),
    };
    let effect = if grant.effect == Effect::Allow { v1::GrantEffect::Allow } else { v1::GrantEffect::Deny };
    v1::Grant {
        grant_id: grant.uid.clone(),
        principal: Some(v1::Principal { principal: Some(principal) }),
        persona: grant.persona.clone(),
        scope: Some(v1::Scope { scope }),
        targets: grant.targets.clone(),
        effect: effect.into(),
        creation_timestamp: grant.created,
        created_by: user_name(snapshot, &grant.created_by),
    }
}

fn user_name(snapshot: &Snapshot, uid: &str) -> String {
    snapshot.users.get(uid).map(|user| user.name.clone()).unwrap_or_default()
}
