//! From what a request names to the object that scopes can be compared with. What was found is
//! remembered until access changes; what was not found is never remembered. Before a refusal a remembered object is
//! looked up all the same, so that a refusal takes one look-up whether there is an object or not.

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
    /// Look-ups in the database, for tests.
    #[cfg(test)]
    pub(super) look_ups: AtomicI64,
}

/// What names lead to.
pub(super) struct Resolved {
    /// The object, if there is one.
    pub(super) object: Option<Object>,
    /// What the names stand for when there is none: the server, but for names that could be given; patterns cover those.
    pub(super) absent: Object,
    remembered: bool,
}

impl Resolved {
    fn certain(object: Object) -> Self {
        Self { absent: object.clone(), object: Some(object), remembered: false }
    }
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self {
            found: Cache::new(REMEMBERED),
            epoch: AtomicI64::new(0),
            #[cfg(test)]
            look_ups: AtomicI64::new(0),
        }
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

    /// The object of a kind that `names` name.
    pub(super) async fn resolve(
        &self,
        store: &Store,
        snapshot: &Snapshot,
        caller: &Caller,
        kind: ObjectKind,
        names: &[&str],
    ) -> Result<Resolved, StoreError> {
        let first = names.first().copied().unwrap_or_default();
        match kind {
            ObjectKind::Unspecified | ObjectKind::Server => return Ok(Resolved::certain(Object::SERVER)),
            ObjectKind::User => return Ok(Resolved::certain(user(snapshot, caller, first))),
            _ => {}
        }
        let absent = absent(kind, first);
        // A name may hold any character but NUL.
        let key = (self.epoch.load(Ordering::Acquire), kind as i32, names.join("\0"));
        if let Some(object) = self.found.get(&key) {
            return Ok(Resolved { object: Some(object), absent, remembered: true });
        }
        let object = self.look_up(store, kind, names).await?;
        // A version that is not there yet shows as its model without an owner, and may be made any time.
        let lasting = |object: &&Object| kind != ObjectKind::ModelVersion || object.owner.is_some();
        if let Some(object) = object.as_ref().filter(lasting) {
            self.found.insert(key, object.clone());
        }
        Ok(Resolved { object, absent, remembered: false })
    }

    /// Looks an object up that was remembered, for nothing but the time it takes: what is missing is never remembered.
    pub(super) async fn take_as_long(
        &self,
        store: &Store,
        kind: ObjectKind,
        names: &[&str],
        resolved: &Resolved,
    ) -> Result<(), StoreError> {
        if resolved.remembered {
            self.look_up(store, kind, names).await?;
        }
        Ok(())
    }

    /// The object of names, never a remembered one.
    pub(super) async fn look_up(&self, store: &Store, kind: ObjectKind, names: &[&str]) -> Result<Option<Object>, StoreError> {
        #[cfg(test)]
        self.look_ups.fetch_add(1, Ordering::Relaxed);
        look_up(store, kind, names).await
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
