//! Names of models and aliases that can be taken for others.

use super::access_change::fresh;
use super::{Error, Result};
use crate::access::Call;
use crate::contract::Permission;
use crate::domain::access::{Object, ObjectClass};
use crate::domain::confusable::confusable;
use crate::store::{Tx, gates, models};

/// Refuses a name that can be taken for another model's. That one is named to those who may read it.
pub(super) async fn refuse_model_name(tx: &Tx, call: &Call, uid: &str, (field, name): (&str, &str)) -> Result<()> {
    let Some((other_uid, other)) = models::look_alike(tx, uid, name).await? else { return Ok(()) };
    let snapshot = fresh(tx, call).await?;
    let readable = call.decide(&snapshot, Permission::ModelsRead, &Object::named(ObjectClass::Model, &other_uid, &other)).allowed;
    let whose = if readable { format!("{other:?}") } else { "of another registered model".to_owned() };
    Err(Error::invalid(field, format!("looks like the name {whose}, and would be taken for it; choose another one")))
}

/// Refuses an alias that can be taken for another one.
pub(super) async fn refuse_alias(tx: &Tx, model_uid: &str, alias: &str) -> Result<()> {
    other_alias(tx, model_uid, alias).await?.map_or(Ok(()), |other| Err(Error::invalid("alias", taken_for(&other))))
}

/// What is wrong with an alias that can be taken for another one.
pub(crate) fn taken_for(other: &str) -> String {
    format!("looks like the alias {other:?}, and would be taken for it; choose another one")
}

/// The alias that one can be taken for: another one of its model, or one that a gate protects.
pub(crate) async fn other_alias(tx: &Tx, model_uid: &str, alias: &str) -> Result<Option<String>> {
    let others = models::aliases_of(&**tx, model_uid).await?;
    let active = gates::all(&**tx).await?.into_iter().filter(|(_, active)| *active);
    let gated = active.filter_map(|(gate, _)| gate.target.strip_prefix('@').map(str::to_owned));
    Ok(others.into_iter().chain(gated).find(|other| confusable(alias, other)))
}
