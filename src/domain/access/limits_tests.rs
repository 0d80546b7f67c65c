//! The whole set of permissions, kinds of objects and kinds of limits.

use super::*;
use crate::contract::{OPERATIONS, ObjectKind};
use crate::domain::access::{ADMIN, Effect, Grant, Principal, Scope, Snapshot, User, UserKind};

const CLASSES: [ObjectClass; 4] = [ObjectClass::Server, ObjectClass::Experiment, ObjectClass::Model, ObjectClass::User];

fn limits(permissions: &[Permission], models: Option<&str>, experiments: Option<&str>) -> TokenLimits {
    let pattern = |text: Option<&str>| text.map(str::to_owned);
    TokenLimits { permissions: permissions.to_vec(), model_pattern: pattern(models), experiment_pattern: pattern(experiments) }
}

/// Ann, who has a grant.
fn ann(persona: &str, scope: Scope) -> Snapshot {
    let (uid, name, person_uid) = ("ann".to_owned(), "ann".to_owned(), "p".to_owned());
    let user = User { uid, name, kind: UserKind::Person, person_uid, active: true, signs_in: true };
    let grant = Grant {
        uid: "grant".into(),
        principal: Principal::User("ann".into()),
        persona: persona.into(),
        scope,
        targets: Vec::new(),
        effect: Effect::Allow,
        created: 0,
        created_by: String::new(),
    };
    Snapshot { users: [("ann".into(), user)].into(), grants: vec![grant], ..Snapshot::default() }
}

fn object(class: ObjectClass) -> Object {
    let owner = Some("ann".to_owned());
    match class {
        ObjectClass::Model | ObjectClass::Experiment => Object { owner, ..Object::named(class, "1", "credit-1") },
        ObjectClass::Server | ObjectClass::User => Object { class, owner, ..Object::SERVER },
    }
}

#[test]
fn each_permission_is_about_the_kind_that_its_rules_name() {
    for operation in OPERATIONS {
        for clause in operation.rule.clauses {
            let class = match clause.kind {
                ObjectKind::Unspecified | ObjectKind::Server | ObjectKind::User | ObjectKind::Token => ObjectClass::Server,
                ObjectKind::Experiment
                | ObjectKind::ExperimentName
                | ObjectKind::Run
                | ObjectKind::RunOfPath
                | ObjectKind::LoggedModel
                | ObjectKind::LoggedModelOfPath => ObjectClass::Experiment,
                _ => ObjectClass::Model,
            };
            assert_eq!(about(clause.permission), class, "{} of {}", clause.permission.name(), operation.full_name);
        }
    }
}

#[test]
fn a_pattern_of_one_kind_leaves_out_every_other_kind() {
    let admin = ann(ADMIN, Scope::Server);
    for (models, experiments) in [(Some("credit-*"), None), (None, Some("credit-*")), (Some("credit-*"), Some("credit-*"))] {
        for class in CLASSES {
            for permission in Permission::every() {
                let named = match class {
                    ObjectClass::Model => models.is_some(),
                    ObjectClass::Experiment => experiments.is_some(),
                    ObjectClass::Server | ObjectClass::User => false,
                };
                let unnamed = limits(&[], models, experiments);
                let may = admin.decide("ann", &unnamed, permission, &object(class)).allowed;
                assert_eq!(may, named, "{unnamed:?} {permission:?} on {class:?}");
                // Named by itself: what is about the server or users works there, and no model's permission does.
                let on_its_own = limits(&[permission], models, experiments);
                let may = admin.decide("ann", &on_its_own, permission, &object(class)).allowed;
                let server = matches!(class, ObjectClass::Server | ObjectClass::User) && about(permission) == ObjectClass::Server;
                assert_eq!(may, named || server, "{on_its_own:?} {permission:?} on {class:?}");
                // Another one is named.
                let other = Permission::every().find(|other| *other != permission).expect("there are several");
                assert!(!admin.decide("ann", &limits(&[other], models, experiments), permission, &object(class)).allowed);
                let visible = admin.visibility("ann", &unnamed, permission, class);
                assert_eq!(visible.all && !visible.none, named, "{unnamed:?} {permission:?} among {class:?}");
                assert_eq!(visible.only_pattern.is_some(), named);
            }
        }
    }
}

#[test]
fn other_names_and_missing_objects_are_left_out() {
    let admin = ann(ADMIN, Scope::Server);
    let both = limits(&[], Some("credit-*"), Some("credit-*"));
    for class in [ObjectClass::Model, ObjectClass::Experiment] {
        for permission in Permission::every() {
            for object in [Object::named(class, "2", "fraud-1"), Object { name: None, ..object(class) }, Object::SERVER] {
                assert!(!admin.decide("ann", &both, permission, &object).allowed, "{permission:?} on {object:?}");
            }
        }
    }
}

/// The same kind of hole is in no grant: one on a kind of object gives nothing on another.
#[test]
fn a_grant_on_one_kind_gives_nothing_on_another() {
    for (scope, own) in [
        (Scope::Model("1".into()), ObjectClass::Model),
        (Scope::Models("*".into()), ObjectClass::Model),
        (Scope::Experiment("1".into()), ObjectClass::Experiment),
        (Scope::Experiments("*".into()), ObjectClass::Experiment),
    ] {
        let granted = ann(ADMIN, scope.clone());
        for class in CLASSES {
            for permission in Permission::every() {
                let stranger = Object { owner: Some("bob".into()), ..object(class) };
                let may = granted.decide("ann", &TokenLimits::default(), permission, &stranger).allowed;
                assert_eq!(may, class == own, "{scope:?}: {permission:?} on {class:?}");
                let visible = granted.visibility("ann", &TokenLimits::default(), permission, class);
                assert!(
                    !visible.all && (class == own) == (!visible.uids.is_empty() || !visible.patterns.is_empty()),
                    "{scope:?} {class:?}"
                );
            }
        }
    }
}

/// Whatever limits a token may hand on let nothing through that its own hold back.
#[test]
fn covered_limits_let_nothing_more_through() {
    let admin = ann(ADMIN, Scope::Server);
    let patterns = [None, Some("*"), Some("credit-*"), Some("credit-1"), Some("fraud-*")];
    let lists: [&[Permission]; 4] = [&[], &[ModelsRead], &[ModelsRead, RunsEdit], &[ModelsRead, KeysRotate, TokensCreate]];
    let mut all = Vec::new();
    for list in lists {
        for models in patterns {
            all.extend(patterns.map(|experiments| limits(list, models, experiments)));
        }
    }
    let mut handed_on = 0;
    for (own, other) in all.iter().flat_map(|own| all.iter().map(move |other| (own, other))).filter(|(own, other)| own.cover(other)) {
        handed_on += 1;
        for permission in Permission::every() {
            for class in CLASSES {
                for name in ["credit-1", "credit-2", "fraud-1", "x"] {
                    let mut object = object(class);
                    object.name = object.name.map(|_| name.to_owned());
                    let may = |limits: &TokenLimits| admin.decide("ann", limits, permission, &object).allowed;
                    assert!(!may(other) || may(own), "{own:?} hands on {other:?}: {permission:?} on {object:?}");
                }
            }
        }
    }
    assert!(handed_on > all.len(), "more than each to itself");
}

#[test]
fn a_permission_that_the_patterns_leave_nothing_of_is_found() {
    assert_eq!(limits(&[ModelsRead, RunsEdit], Some("a"), None).useless(), Some(RunsEdit));
    assert_eq!(limits(&[ModelsRead], None, Some("a")).useless(), Some(ModelsRead));
    assert_eq!(limits(&[ModelsRead, RunsEdit, LedgerWatch], Some("a"), Some("b")).useless(), None);
    assert_eq!(limits(&[ModelsRead, RunsEdit], None, None).useless(), None);
}
