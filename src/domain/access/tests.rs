//! Grants decide as the design says.

use super::*;
use crate::contract::Permission::{self, *};

fn snapshot(grants: Vec<Grant>) -> Snapshot {
    let mut snapshot = Snapshot { grants, ..Snapshot::default() };
    for name in ["ann", "bob"] {
        snapshot.users.insert(
            name.into(),
            User {
                uid: name.into(),
                name: name.into(),
                kind: UserKind::Person,
                person_uid: format!("person-{name}"),
                active: true,
                signs_in: true,
            },
        );
    }
    let team = Group { uid: "team".into(), name: "team".into(), members: ["ann".to_owned()].into() };
    snapshot.groups.insert("team".into(), team);
    snapshot
}

fn grant(principal: Principal, persona: &str, scope: Scope, effect: Effect) -> Grant {
    Grant {
        uid: format!("{persona}-{effect:?}"),
        principal,
        persona: persona.into(),
        scope,
        targets: Vec::new(),
        effect,
        created: 0,
        created_by: String::new(),
    }
}

fn ann(persona: &str, scope: Scope) -> Grant {
    grant(Principal::User("ann".into()), persona, scope, Effect::Allow)
}

fn may(snapshot: &Snapshot, permission: Permission, object: &Object) -> bool {
    snapshot.decide("ann", &TokenLimits::default(), permission, object).allowed
}

fn model(name: &str) -> Object {
    Object::named(ObjectClass::Model, &format!("uid-{name}"), name)
}

#[test]
fn nothing_is_allowed_that_was_not_granted() {
    let nobody = snapshot(Vec::new());
    for permission in Permission::every() {
        assert!(!may(&nobody, permission, &Object::SERVER), "{permission:?}");
    }
}

#[test]
fn scopes_bind_ids_and_patterns_bind_names() {
    let by_id = snapshot(vec![ann("viewer", Scope::Model("uid-a".into()))]);
    assert!(may(&by_id, ModelsRead, &model("a")) && !may(&by_id, ModelsRead, &model("b")));
    let recreated = Object::named(ObjectClass::Model, "another", "a");
    assert!(!may(&by_id, ModelsRead, &recreated), "the name is not the object");
    let by_name = snapshot(vec![ann("viewer", Scope::Models("fraud-*".into()))]);
    assert!(may(&by_name, ModelsRead, &model("fraud-eu")) && !may(&by_name, ModelsRead, &model("churn")));
    assert!(!may(&by_name, ExperimentsRead, &Object::named(ObjectClass::Experiment, "1", "fraud-eu")));
    assert!(!may(&by_name, ModelsRead, &Object::SERVER), "what resolves to nothing counts as the server");
}

#[test]
fn deny_wins() {
    let denied = snapshot(vec![
        ann("admin", Scope::Server),
        grant(Principal::Group("team".into()), "viewer", Scope::Models("secret-*".into()), Effect::Deny),
    ]);
    assert!(may(&denied, ModelsRead, &model("open")) && !may(&denied, ModelsRead, &model("secret-1")));
    assert!(may(&denied, RequestsApprove, &model("secret-1")), "the viewer's rights are denied, no others");
}

#[test]
fn data_scientists_edit_what_they_created_and_move_nothing() {
    let science = snapshot(vec![ann("data_scientist", Scope::Server)]);
    let mut own = model("a");
    own.owner = Some("ann".into());
    assert!(may(&science, VersionsEdit, &own) && !may(&science, VersionsEdit, &model("a")));
    for permission in [StagesTransition, StagesPromote, AliasesSet, RequestsApprove, RequestsReject, LedgerRead] {
        assert!(!may(&science, permission, &own), "{permission:?}");
    }
}

#[test]
fn targets_limit_only_permissions_about_targets() {
    let mut limited = ann("manager", Scope::Server);
    limited.targets = vec!["Staging".into()];
    let manager = snapshot(vec![limited]);
    let at = |target: &str| Object { target: Some(target.into()), ..model("a") };
    assert!(may(&manager, RequestsApprove, &at("Staging")) && !may(&manager, RequestsApprove, &at("Production")));
    assert!(may(&manager, ModelsRead, &at("Production")));
}

#[test]
fn tokens_do_no_more_than_their_limits() {
    let admin = snapshot(vec![ann("admin", Scope::Server)]);
    let limits = TokenLimits { permissions: vec![ModelsRead], model_pattern: Some("fraud-*".into()), experiment_pattern: None };
    let may = |permission, object: &Object| admin.decide("ann", &limits, permission, object).allowed;
    assert!(may(ModelsRead, &model("fraud-eu")));
    assert!(!may(ModelsRead, &model("churn")) && !may(ModelsEdit, &model("fraud-eu")));
}

#[test]
fn a_decision_names_its_grant() {
    let viewer = snapshot(vec![ann("viewer", Scope::Server)]);
    let yes = viewer.decide("ann", &TokenLimits::default(), ModelsRead, &model("a"));
    assert_eq!((yes.allowed, yes.grants), (true, vec!["viewer-Allow".to_owned()]));
    let no = viewer.decide("ann", &TokenLimits::default(), RequestsApprove, &model("a"));
    assert_eq!(no.reason, "no grant gives `requests.approve` here");
}

#[test]
fn everybody_minds_their_own_user_only() {
    let nobody = snapshot(Vec::new());
    let user = |owner: &str| Object { class: ObjectClass::User, owner: Some(owner.into()), ..Object::SERVER };
    assert!(may(&nobody, TokensCreate, &user("ann")) && !may(&nobody, TokensCreate, &user("bob")));
}

#[test]
fn admins_are_counted_for_the_last_of_them_to_stay() {
    assert_eq!(snapshot(vec![ann("admin", Scope::Server)]).admins().len(), 1);
    let team = snapshot(vec![grant(Principal::Group("team".into()), "admin", Scope::Server, Effect::Allow)]);
    assert_eq!(team.admins().len(), 1);
    assert_eq!(snapshot(vec![ann("admin", Scope::Models("*".into()))]).admins().len(), 0);
    let mut locked_out = snapshot(vec![ann("admin", Scope::Server)]);
    locked_out.users.values_mut().for_each(|user| user.signs_in = false);
    assert_eq!(locked_out.admins().len(), 0, "who cannot sign in is no admin to count on");
    let deny = |persona: &str| {
        let denied = grant(Principal::Group("team".into()), persona, Scope::Server, Effect::Deny);
        let mut denied = snapshot(vec![ann("admin", Scope::Server), denied]);
        let rights = vec![Right { permission: GrantsManage, own: false }];
        denied.personas.insert("granter".into(), Persona { name: "granter".into(), rights, built_in: false });
        denied.admins().len()
    };
    assert_eq!((deny("admin"), deny("granter"), deny("viewer")), (0, 0, 1));
}

#[test]
fn every_built_in_persona_exists_and_admin_holds_all() {
    for name in BUILT_IN {
        let persona = built_in(name).unwrap();
        for right in &persona.rights {
            assert_eq!(Right::parse(&right.name()), Ok(*right));
        }
    }
    assert_eq!(built_in(ADMIN).unwrap().rights.len(), Permission::every().count());
    let auditor = built_in("auditor").unwrap();
    assert!(
        auditor.rights.iter().all(|right| {
            let name = right.permission.name();
            name.ends_with(".read") || ["versions.download", "ledger.verify", "ledger.export", "ledger.watch"].contains(&name.as_str())
        }),
        "auditors write nothing"
    );
}
