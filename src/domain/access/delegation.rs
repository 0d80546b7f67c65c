//! Who may hand on what: nobody gives a right that they do not hold wherever it would be given.

use super::decision::{ABOUT_TARGETS, Object, ObjectClass};
use super::{Effect, Grant, Right, Scope, Snapshot, TokenLimits};
use crate::contract::Permission;
use crate::domain::glob;

/// Rights that somebody wants to hand on.
#[derive(Debug, Clone, Copy)]
pub struct Delegated<'a> {
    /// The rights.
    pub rights: &'a [Right],
    /// Where they would hold.
    pub scope: &'a Scope,
    /// The present name of the object that the scope binds by id; none when it binds none or is gone.
    pub object_name: Option<&'a str>,
    /// The targets that rights about targets are limited to; none: all.
    pub targets: &'a [String],
}

impl Snapshot {
    /// The first permission that a user would hand on without holding it; none when all are held. A token
    /// counts with its limits. A right that is denied to the user on any part of the scope is not held.
    pub fn lacks(&self, user_uid: &str, limits: &TokenLimits, what: &Delegated<'_>) -> Option<Permission> {
        let holds = |right: &Right| self.holds(user_uid, limits, *right, what) && !self.partly_denied(user_uid, *right, what);
        what.rights.iter().find(|right| !holds(right)).map(|right| right.permission)
    }

    fn holds(&self, user_uid: &str, limits: &TokenLimits, right: Right, what: &Delegated<'_>) -> bool {
        let mut object = object_of(what.scope, what.object_name);
        if right.own {
            object.owner = Some(user_uid.to_owned());
        }
        if what.targets.is_empty() || !ABOUT_TARGETS.contains(&right.permission) {
            return self.decide(user_uid, limits, right.permission, &object).allowed;
        }
        what.targets.iter().all(|target| {
            let object = Object { target: Some(target.clone()), ..object.clone() };
            self.decide(user_uid, limits, right.permission, &object).allowed
        })
    }

    fn partly_denied(&self, user_uid: &str, right: Right, what: &Delegated<'_>) -> bool {
        let takes = |grant: &Grant| {
            let persona = self.persona(&grant.persona);
            persona.is_some_and(|persona| persona.rights.iter().any(|taken| taken.permission == right.permission))
        };
        let same_targets = |grant: &Grant| {
            !ABOUT_TARGETS.contains(&right.permission)
                || grant.targets.is_empty()
                || what.targets.is_empty()
                || grant.targets.iter().any(|target| what.targets.contains(target))
        };
        self.grants_of(user_uid)
            .any(|grant| grant.effect == Effect::Deny && takes(grant) && same_targets(grant) && overlap(&grant.scope, what))
    }
}

/// What a scope is when it is asked about as an object. A pattern stands for its names: another pattern
/// that matches its text, `*` being no character of its own, covers everything that it covers.
fn object_of(scope: &Scope, name: Option<&str>) -> Object {
    let bound = |class, uid: &String| Object { class, uid: Some(uid.clone()), name: name.map(str::to_owned), ..Object::SERVER };
    let pattern = |class, pattern: &String| Object { class, name: Some(pattern.clone()), ..Object::SERVER };
    match scope {
        Scope::Server => Object::SERVER,
        Scope::Experiment(uid) => bound(ObjectClass::Experiment, uid),
        Scope::Model(uid) => bound(ObjectClass::Model, uid),
        Scope::Experiments(text) => pattern(ObjectClass::Experiment, text),
        Scope::Models(text) => pattern(ObjectClass::Model, text),
    }
}

/// Whether a denying grant's scope and the scope of what is handed on have objects in common. Where the
/// name of a bound object is not known, they are taken to.
fn overlap(denied: &Scope, what: &Delegated<'_>) -> bool {
    match (denied, what.scope) {
        (Scope::Server, _) | (_, Scope::Server) => true,
        (Scope::Experiment(one), Scope::Experiment(other)) | (Scope::Model(one), Scope::Model(other)) => one == other,
        (Scope::Experiments(pattern), Scope::Experiment(_)) | (Scope::Models(pattern), Scope::Model(_)) => {
            what.object_name.is_none_or(|name| glob::matches(pattern, name))
        }
        (Scope::Experiment(_), Scope::Experiments(_)) | (Scope::Model(_), Scope::Models(_)) => true,
        (Scope::Experiments(one), Scope::Experiments(other)) | (Scope::Models(one), Scope::Models(other)) => glob::overlap(one, other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Permission::{ModelsRead, RequestsApprove, RunsEdit};
    use crate::domain::access::{Principal, User, UserKind};

    fn snapshot(grants: Vec<(&str, Scope, &[&str], Effect)>) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let (uid, name, person_uid) = ("ann".into(), "ann".into(), "p".into());
        let ann = User { uid, name, kind: UserKind::Person, person_uid, active: true, signs_in: true };
        snapshot.users.insert("ann".into(), ann);
        let grant = |(persona, scope, targets, effect): (&str, Scope, &[&str], Effect)| Grant {
            uid: format!("{persona}-{effect:?}"),
            principal: Principal::User("ann".into()),
            persona: persona.into(),
            scope,
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            effect,
            created: 0,
            created_by: String::new(),
        };
        snapshot.grants = grants.into_iter().map(grant).collect();
        snapshot
    }

    fn lacks(snapshot: &Snapshot, limits: &TokenLimits, permission: Permission, own: bool, scope: &Scope, targets: &[&str]) -> bool {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        let what = Delegated { rights: &[Right { permission, own }], scope, object_name: None, targets: &targets };
        snapshot.lacks("ann", limits, &what) == Some(permission)
    }

    #[test]
    fn only_what_is_held_on_the_whole_scope_is_handed_on() {
        let all = TokenLimits::default();
        let fraud = snapshot(vec![("viewer", Scope::Models("fraud-*".into()), &[], Effect::Allow)]);
        for (scope, lacking) in [
            (Scope::Models("fraud-*".into()), false),
            (Scope::Models("fraud-eu-*".into()), false),
            (Scope::Models("f*".into()), true),
            (Scope::Models("*".into()), true),
            (Scope::Server, true),
            (Scope::Experiments("fraud-*".into()), true),
        ] {
            assert_eq!(lacks(&fraud, &all, ModelsRead, false, &scope, &[]), lacking, "{scope:?}");
        }
        assert!(lacks(&fraud, &all, RequestsApprove, false, &Scope::Models("fraud-*".into()), &[]));
    }

    #[test]
    fn a_denial_on_a_part_counts_for_the_whole() {
        let all = TokenLimits::default();
        let denied = snapshot(vec![
            ("admin", Scope::Server, &[], Effect::Allow),
            ("manager", Scope::Models("secret-*".into()), &["Production"], Effect::Deny),
        ]);
        let models = |text: &str| Scope::Models(text.into());
        assert!(lacks(&denied, &all, RequestsApprove, false, &Scope::Server, &[]));
        assert!(lacks(&denied, &all, RequestsApprove, false, &models("s*"), &[]));
        assert!(!lacks(&denied, &all, RequestsApprove, false, &models("s*"), &["Staging"]));
        assert!(!lacks(&denied, &all, RequestsApprove, false, &models("open-*"), &[]));
        assert!(lacks(&denied, &all, ModelsRead, false, &models("secret-1"), &[]), "reading is denied with it");
    }

    #[test]
    fn targets_and_own_rights_go_no_further() {
        let all = TokenLimits::default();
        let manager =
            snapshot(vec![("manager", Scope::Server, &["Staging"], Effect::Allow), ("data_scientist", Scope::Server, &[], Effect::Allow)]);
        assert!(!lacks(&manager, &all, RequestsApprove, false, &Scope::Server, &["Staging"]));
        assert!(lacks(&manager, &all, RequestsApprove, false, &Scope::Server, &["Staging", "Production"]));
        assert!(lacks(&manager, &all, RequestsApprove, false, &Scope::Server, &[]));
        assert!(!lacks(&manager, &all, RunsEdit, true, &Scope::Server, &[]));
        assert!(lacks(&manager, &all, RunsEdit, false, &Scope::Server, &[]));
    }

    #[test]
    fn a_limited_token_hands_on_within_its_limits() {
        let admin = snapshot(vec![("admin", Scope::Server, &[], Effect::Allow)]);
        let limits = TokenLimits { permissions: vec![ModelsRead], model_pattern: Some("fraud-*".into()), experiment_pattern: None };
        assert!(!lacks(&admin, &limits, ModelsRead, false, &Scope::Models("fraud-eu".into()), &[]));
        assert!(lacks(&admin, &limits, ModelsRead, false, &Scope::Models("*".into()), &[]));
        assert!(lacks(&admin, &limits, ModelsRead, false, &Scope::Server, &[]));
        assert!(lacks(&admin, &limits, RequestsApprove, false, &Scope::Models("fraud-eu".into()), &[]));
    }
}
