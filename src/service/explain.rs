//! Why somebody may or may not do a thing.

use super::{Error, Result, access_change, access_shown, grants};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, ObjectClass, TokenLimits};
use crate::domain::field::Check;
use crate::domain::ids;
use crate::domain::stage::Target;
use crate::domain::text::{self, canonical_name};
use crate::store::objects;

/// See the proto.
pub async fn explain_access(call: &Call, request: v1::ExplainAccessRequest) -> Result<v1::ExplainAccessResponse> {
    let mut check = Check::new();
    if !request.user_name.is_empty() {
        check.take(text::principal_name("user_name", &request.user_name));
    }
    let scope = check.take(grants::scope("scope", request.scope.as_ref())).flatten();
    let target = match request.target.as_str() {
        "" => None,
        written => check.take(Target::parse("target", written)).map(|target| target.to_string()),
    };
    let permission = Permission::from_name(&request.permission);
    if let Err(error) = &permission {
        check.require(false, "permission", &error.to_string());
    }
    check.finish()?;
    let permission = permission.map_err(|error| Error::invalid("permission", error.to_string()))?;
    let snapshot = call.access().snapshot().await?;
    let caller = call.caller();
    let own = request.user_name.is_empty() || snapshot.user_by_name(&request.user_name).is_some_and(|user| user.uid == caller.user_uid);
    let (user_uid, limits) = if own {
        (caller.user_uid.clone(), caller.limits.clone())
    } else {
        (access_change::user(&snapshot, &request.user_name)?.uid.clone(), TokenLimits::default())
    };
    let object = Object { target, ..object(call, scope.as_ref()).await? };
    let decision = snapshot.decide(&user_uid, &limits, permission, &object);
    let bearing: Vec<_> = decision.grants.iter().filter_map(|uid| snapshot.grants.iter().find(|grant| grant.uid == *uid)).collect();
    let grants = access_shown::grants(call, &snapshot, &bearing).await?;
    Ok(v1::ExplainAccessResponse { allowed: decision.allowed, reason: decision.reason, grants })
}

/// The object as the check sees it: what does not exist is not told apart from what is not granted. A
/// pattern is asked about as a whole.
async fn object(call: &Call, scope: Option<&v1::scope::Scope>) -> Result<Object> {
    use v1::name_pattern::Pattern;
    use v1::scope::Scope as On;
    let on = call.store().reader();
    let named = |class, name: &str| Object { class, name: Some(name.to_owned()), ..Object::SERVER };
    Ok(match scope {
        Some(On::ExperimentId(text)) => {
            let id = ids::experiment_id("scope.experiment_id", text)?;
            objects::experiment(on, id).await?.unwrap_or(Object::SERVER)
        }
        Some(On::RegisteredModel(name)) => {
            let found = objects::model(on, &canonical_name(name)).await?;
            found.unwrap_or_else(|| named(ObjectClass::Model, name))
        }
        Some(On::Pattern(v1::NamePattern { pattern: Some(Pattern::Experiments(text)) })) => named(ObjectClass::Experiment, text),
        Some(On::Pattern(v1::NamePattern { pattern: Some(Pattern::RegisteredModels(text)) })) => named(ObjectClass::Model, text),
        Some(On::Pattern(v1::NamePattern { pattern: None }) | On::Server(_)) | None => Object::SERVER,
    })
}
