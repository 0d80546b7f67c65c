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
                generation: 0,
                password_temporary: false,
                makers: Vec::new(),
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
    // A denial of a target takes away what is about that target, and nothing else.
    let denied = Grant { uid: "deny".into(), effect: Effect::Deny, targets: vec!["Production".into()], ..ann("manager", Scope::Server) };
    let manager = snapshot(vec![ann("manager", Scope::Server), denied]);
    assert!(may(&manager, RequestsApprove, &at("Staging")) && !may(&manager, RequestsApprove, &at("Production")));
    assert!(may(&manager, ModelsRead, &at("Production")) && may(&manager, ModelsRead, &model("a")));
    assert!(manager.visibility("ann", &TokenLimits::default(), ModelsRead, ObjectClass::Model).all);
}

#[test]
fn tokens_do_no_more_than_their_limits() {
    let admin = snapshot(vec![ann("admin", Scope::Server)]);
    let limits = TokenLimits { permissions: vec![ModelsRead], model_pattern: Some("fraud-*".into()), ..TokenLimits::default() };
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

#[test]
fn a_token_made_by_another_gives_what_both_hold() {
    let admin = grant(Principal::User("ann".into()), "admin", Scope::Server, Effect::Allow);
    let desk = grant(Principal::User("bob".into()), "ml_engineer", Scope::Models("fraud-*".into()), Effect::Allow);
    let own = grant(Principal::User("bob".into()), "data_scientist", Scope::Server, Effect::Allow);
    let both = snapshot(vec![admin, desk, own]);
    let limits = TokenLimits { maker: Some("bob".into()), ..TokenLimits::default() };
    let may = |permission, object: &Object| both.decide("ann", &limits, permission, object).allowed;
    assert!(may(ModelsEdit, &model("fraud-eu")) && !may(ModelsEdit, &model("churn")));
    assert!(!may(KeysRotate, &Object::SERVER) && !may(RequestsApprove, &model("fraud-eu")));
    let anns = Object { owner: Some("ann".into()), ..model("churn") };
    assert!(may(ModelsEdit, &anns), "bob may edit what is his own, and so ann's token what is ann's own");
    assert!(both.decide("ann", &limits, KeysRotate, &Object::SERVER).reason.contains("bob"));
    let visible = both.visibility("ann", &limits, ModelsRead, ObjectClass::Model);
    assert!(visible.all && visible.within.is_some_and(|within| within.all));
    let what =
        Delegated { rights: &[Right { permission: KeysRotate, own: false }], scope: &Scope::Server, object_name: None, targets: &[] };
    assert_eq!(both.lacks("ann", &limits, &what), Some(KeysRotate), "nor does it hand on more");
    assert_eq!(both.lacks("ann", &TokenLimits::default(), &what), None);
}

#[test]
fn a_credential_stands_on_its_user_its_parents_and_its_maker() {
    let desk = grant(Principal::User("bob".into()), "admin", Scope::Server, Effect::Allow);
    let mut world = snapshot(vec![desk]);
    let plain = Standing::default();
    let child = Standing { ancestors: vec!["parent".into(), "grandparent".into()], ..Standing::default() };
    let made = Standing { maker: Some(("bob".into(), 0)), ..Standing::default() };
    let stand = |world: &Snapshot| [&plain, &child, &made].map(|on| world.stands("ann", Some("token"), on));
    assert_eq!(stand(&world), [true; 3]);
    let changed = |change: fn(&mut Snapshot)| {
        let mut world = world.clone();
        change(&mut world);
        stand(&world)
    };
    assert_eq!(changed(|world| assert!(world.revoked.insert("token".into()))), [false; 3]);
    assert_eq!(changed(|world| assert!(world.revoked.insert("grandparent".into()))), [true, false, true]);
    assert_eq!(changed(|world| world.grants.clear()), [true, true, false]);
    assert_eq!(changed(|world| world.users.get_mut("bob").unwrap().generation += 1), [true, true, false]);
    assert_eq!(changed(|world| world.users.get_mut("bob").unwrap().active = false), [true, true, false]);
    assert_eq!(changed(|world| world.users.get_mut("ann").unwrap().generation += 1), [false; 3]);
    world.users.get_mut("ann").unwrap().active = false;
    assert_eq!(stand(&world), [false; 3]);
}
