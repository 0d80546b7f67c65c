//! From what a request names to the object that scopes can be compared with. What was found is
//! remembered until access changes; what was not found is never remembered.

use std::sync::atomic::{AtomicI64, Ordering};

use moka::sync::Cache;

use super::call::Caller;
use crate::contract::ObjectKind;
use crate::domain::access::{Object, ObjectClass, Snapshot};
use crate::domain::text::canonical_name;
use crate::store::{Store, StoreError, objects};

/// Objects that are remembered.
const REMEMBERED: u64 = 200_000;

/// The memory of resolved objects.
pub struct Resolver {
    /// By the epoch, too: what was read just before a change and comes in just behind it is of the old one.
    found: Cache<(i64, i32, String), Object>,
    epoch: AtomicI64,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { found: Cache::new(REMEMBERED), epoch: AtomicI64::new(0) }
    }

    /// Forgets everything when the epoch is another; tells whether it was. Names and memberships of
    /// objects change only together with the epoch.
    pub(super) fn follow(&self, epoch: i64) -> bool {
        let changed = self.epoch.swap(epoch, Ordering::AcqRel) != epoch;
        if changed {
            self.found.invalidate_all();
        }
        changed
    }

    /// The object of a kind that `names` name. One that does not exist counts as the server, but for
    /// names that could be given: patterns cover those.
    pub(super) async fn resolve(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        caller: &Caller,
        kind: ObjectKind,
        names: &[&str],
    ) -> Result<Object, StoreError> {
        let first = names.first().copied().unwrap_or_default();
        match kind {
            ObjectKind::Unspecified | ObjectKind::Server => return Ok(Object::SERVER),
            ObjectKind::User => return Ok(user(snapshot, caller, first)),
            _ => {}
        }
        // A name may hold any character but NUL.
        let key = (self.epoch.load(Ordering::Acquire), kind as i32, names.join("\0"));
        if let Some(object) = self.found.get(&key) {
            return Ok(object);
        }
        let found = look_up(store, kind, names).await?;
        // A version that is not there yet shows as its model without an owner, and may be made any time.
        let lasting = |object: &&Object| kind != ObjectKind::ModelVersion || object.owner.is_some();
        if let Some(object) = found.as_ref().filter(lasting) {
            self.found.insert(key, object.clone());
        }
        Ok(found.unwrap_or_else(|| absent(kind, first)))
    }
}

async fn look_up(store: &Store, kind: ObjectKind, names: &[&str]) -> Result<Option<Object>, StoreError> {
    let on = store.reader();
    let first = names.first().copied().unwrap_or_default();
    if first.contains('\0') {
        return Ok(None);
    }
    match kind {
        ObjectKind::Experiment => match crate::domain::ids::experiment_id("", first) {
            Ok(id) => objects::experiment(on, id).await,
            Err(_) => Ok(None),
        },
        ObjectKind::ExperimentName => objects::experiment_by_name(on, &canonical_name(first)).await,
        ObjectKind::Run | ObjectKind::RunOfPath => objects::run(on, first).await,
        ObjectKind::LoggedModel | ObjectKind::LoggedModelOfPath => objects::logged_model(on, first).await,
        ObjectKind::VersionOfPath => objects::version_by_uid(on, first).await,
        ObjectKind::RegisteredModel => objects::model(on, &canonical_name(first)).await,
        ObjectKind::ModelVersion => objects::version(on, &canonical_name(first), names.get(1).copied().unwrap_or_default()).await,
        ObjectKind::TransitionRequest => objects::request(on, first).await,
        ObjectKind::Comment => objects::comment(on, first).await,
        ObjectKind::Token => objects::token(on, first).await,
        ObjectKind::Unspecified | ObjectKind::Server | ObjectKind::User => Ok(None),
    }
}

fn absent(kind: ObjectKind, name: &str) -> Object {
    let class = match kind {
        ObjectKind::ExperimentName => ObjectClass::Experiment,
        ObjectKind::RegisteredModel | ObjectKind::ModelVersion => ObjectClass::Model,
        _ => return Object::SERVER,
    };
    Object { class, name: Some(name.to_owned()), ..Object::SERVER }
}

fn user(snapshot: &Snapshot, caller: &Caller, name: &str) -> Object {
    let owner = if name.is_empty() { Some(caller.user_uid.clone()) } else { snapshot.user_by_name(name).map(|user| user.uid.clone()) };
    Object { class: ObjectClass::User, owner, ..Object::SERVER }
}
