//! Rows against tables, both made up.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::*;
use crate::domain::gate::built_in;
use crate::domain::ledger::{CredentialsNow, Filed, GrantNow, MakerNow, RequesterNow, with_now};

fn row<T: Serialize>(kind: &str, id: &str, scope: &str, time: i64, now: &T) -> Entry {
    Entry {
        entry_id: "e".to_owned(),
        workspace_id: "default".to_owned(),
        time,
        actor_id: String::new(),
        actor_name: String::new(),
        person_id: String::new(),
        on_behalf_of: String::new(),
        token_id: String::new(),
        credential: "system".to_owned(),
        request_id: String::new(),
        source_address: String::new(),
        action: "any".to_owned(),
        object_kind: kind.to_owned(),
        object_id: id.to_owned(),
        object_name: String::new(),
        scope_id: scope.to_owned(),
        outcome: Outcome::Ok,
        reason: String::new(),
        salt: "00".to_owned(),
        payload: Some(with_now(json!({"comment": "x"}), now).to_string()),
        payload_digest: String::new(),
        texts: Vec::new(),
    }
}

fn named(name: &str) -> ModelNow {
    ModelNow { name: Some(name.to_owned()), ..ModelNow::default() }
}

fn made(number: i64) -> VersionNow {
    VersionNow { number: Some(number), source_digest: Some("d".to_owned()), stage: Some("None".to_owned()), ..VersionNow::default() }
}

fn moved(stage: &str, holders: &[(&str, Option<&str>)]) -> VersionNow {
    let holders = holders.iter().map(|(target, version)| ((*target).to_owned(), version.map(str::to_owned))).collect();
    VersionNow { stage: Some(stage.to_owned()), holders, ..VersionNow::default() }
}

/// What is the same as in the story of [`story`], or is not.
struct Tables {
    model: Option<&'static str>,
    stage: &'static str,
    held: Held,
    admin: Option<&'static str>,
    state: &'static str,
    approved_by: Option<&'static str>,
    active: bool,
    generation: i64,
}

fn tables() -> Tables {
    let mut held = Held::default();
    held.stored("v1".to_owned(), 3, None);
    Tables {
        model: Some("credit-default"),
        stage: "Staging",
        held,
        admin: Some("viewer"),
        state: "OPEN",
        approved_by: None,
        active: true,
        generation: 0,
    }
}

fn granted(persona: &str) -> GrantNow {
    GrantNow {
        principal_kind: "USER".to_owned(),
        principal_id: "u".to_owned(),
        persona: persona.to_owned(),
        scope_kind: "SERVER".to_owned(),
        effect: "ALLOW".to_owned(),
        ..GrantNow::default()
    }
}

fn filed() -> Filed {
    Filed {
        version_id: "v1".to_owned(),
        target: "Production".to_owned(),
        gate_id: "default-production".to_owned(),
        gate_version: 1,
        expires: None,
    }
}

fn credentials(generation: i64) -> CredentialsNow {
    let maker = MakerNow { deed: "LOGIN".to_owned(), user_id: "u0".to_owned(), person_id: "p0".to_owned(), through_id: String::new() };
    CredentialsNow { password: Some("hash".to_owned()), temporary: true, generation, makers: vec![maker] }
}

fn story() -> Vec<Entry> {
    let user = UserNow {
        name: Some("ann".to_owned()),
        kind: Some("PERSON".to_owned()),
        person_id: Some("p".to_owned()),
        active: Some(true),
        credentials: Some(credentials(0)),
        revoked: Revoked::new(),
        grants: [("g".to_owned(), Some(granted("viewer")))].into(),
    };
    let request = RequestNow {
        filed: Some(filed()),
        state: Some("OPEN".to_owned()),
        evidence_digest: Some("ev".to_owned()),
        requester: Some(RequesterNow { person_id: "p".to_owned(), withdrawn: false }),
        decision: None,
    };
    vec![
        row("registered_model", "m", "m", 1, &named("credit-default")),
        row("model_version", "v1", "m", 2, &made(1)),
        row("model_version", "v1", "m", 3, &moved("Staging", &[("Staging", Some("v1"))])),
        row("user", "u", "", 4, &user),
        row("transition_request", "r", "m", 5, &request),
    ]
}

fn replayed(rows: &[Entry]) -> Replay {
    let mut replay = Replay::new(&built_in(), 0);
    for (position, row) in (0..).zip(rows) {
        replay.row(Some(position), row);
    }
    replay
}

fn compared(rows: &[Entry], with: &Tables) -> StateReport {
    let mut comparison = replayed(rows).compare();
    for gate in built_in() {
        comparison.seen(&Thing::Gate { id: gate.gate_id.clone(), version: 1 }, &gate_fields(&gate, true));
    }
    if let Some(name) = with.model {
        comparison.seen(&Thing::Model { id: "m".to_owned() }, &model_fields(name, &canonical_name(name), false));
    }
    comparison
        .seen(&Thing::Version { model: "m".to_owned(), id: "v1".to_owned() }, &version_fields(1, ("d", "d"), with.stage, (false, false)));
    comparison.seen(&Thing::Target { model: "m".to_owned(), target: "Staging".to_owned() }, &with.held.fields());
    comparison.seen(&Thing::Request { id: "r".to_owned() }, &request_fields(&filed(), "m", with.state.to_owned(), "ev".to_owned()));
    comparison.seen(&Thing::Requester { request: "r".to_owned(), person: "p".to_owned() }, &requester_fields(false));
    if let Some(person_id) = with.approved_by {
        let decision = DecisionNow {
            person_id: person_id.to_owned(),
            user_id: "u".to_owned(),
            kind: "APPROVED".to_owned(),
            evidence_digest: "ev".to_owned(),
        };
        comparison
            .seen(&Thing::Decisions { request: "r".to_owned(), person: person_id.to_owned() }, &decision_fields(&[(decision, false)]));
    }
    let mut user = user_fields("ann", "ann", "PERSON", "p", with.active);
    user.extend(credential_fields(&credentials(with.generation)));
    comparison.seen(&Thing::User { id: "u".to_owned() }, &user);
    if let Some(persona) = with.admin {
        comparison.seen(&Thing::Grant { id: "g".to_owned() }, &grant_fields(&granted(persona)));
    }
    comparison.finish()
}

#[test]
fn an_honest_story_has_no_difference() {
    let report = compared(&story(), &tables());
    assert_eq!((report.differences, report.first, report.unknown, report.compared), (0, None, 0, 9));
}

#[test]
fn a_difference_is_told_with_the_row_that_said_otherwise() {
    let first = |change: &dyn Fn(&mut Tables)| {
        let mut changed = tables();
        change(&mut changed);
        let report = compared(&story(), &changed);
        assert_eq!(report.differences, if changed.model.is_some_and(|name| name != "credit-default") { 2 } else { 1 });
        report.first.unwrap()
    };
    let past = |tables: &mut Tables| {
        tables.held = Held::default();
        tables.held.stored("v1".to_owned(), 2, None);
    };
    for (said, told) in [
        (
            first(&|tables| tables.stage = "Production"),
            "model \"credit-default\" version 1: the stage is Production, the rows say Staging (last set by row 2)",
        ),
        (
            first(&|tables| tables.model = None),
            "model \"credit-default\": it is not in the tables, and the rows say that it is (life not deleted, name credit-default, \
             name that it is found by credit-default) (last changed by row 0)",
        ),
        (
            first(&|tables| tables.model = Some("fraud")),
            "model \"credit-default\": the name is \"fraud\", the rows say \"credit-default\" (last set by row 0)",
        ),
        (first(&past), "model \"credit-default\", who holds Staging: the time since when is 2, the rows say 3 (last set by row 2)"),
        (
            first(&|tables| tables.state = "APPROVED"),
            "request r (model \"credit-default\" version 1 to Production): the state is APPROVED, the rows say OPEN (last set by row 4)",
        ),
        (
            first(&|tables| tables.approved_by = Some("q")),
            "request r (model \"credit-default\" version 1 to Production), decided on by the person q: it is in the tables (decision \
             APPROVED on the evidence ev as the user u), and by the rows there is none",
        ),
        (
            first(&|tables| tables.generation = 1),
            "user \"ann\": the generation of the credentials is 1, the rows say 0 (last set by row 3)",
        ),
        (first(&|tables| tables.active = false), "user \"ann\": the state is deactivated, the rows say active (last set by row 3)"),
        (
            first(&|tables| tables.admin = Some("admin")),
            "grant g to user \"ann\": the persona is admin, the rows say viewer (last set by row 3)",
        ),
        (
            first(&|tables| tables.admin = None),
            "grant g to user \"ann\": it is not in the tables, and the rows say that it is (effect ALLOW, persona viewer, principal \
             USER u, scope SERVER) (last changed by row 3)",
        ),
    ] {
        assert_eq!(said, told);
    }
}

#[test]
fn what_lost_its_payload_is_not_known_and_no_difference() {
    let mut rows = story();
    rows[2].payload = None;
    let mut changed = tables();
    changed.stage = "Production";
    let report = compared(&rows, &changed);
    // The model, its version, and who holds its target: the row may have moved any of them.
    assert_eq!((report.differences, report.unknown, report.first_lost), (0, 3, Some(2)));
    assert!(report.to_string().contains("of 3 things nothing is known for sure"), "{report}");
    changed.active = false;
    assert_eq!(compared(&rows, &changed).differences, 1, "other things are compared as before");
    let mut rows = story();
    rows[3].payload = None;
    let report = compared(&rows, &tables());
    assert_eq!((report.differences, report.unknown), (0, 2), "a grant may have come with the user");
}

#[test]
fn what_is_not_understood_is_told() {
    let mut rows = story();
    rows[1].payload = Some(r#"{"now":{"stagge":"Production"}}"#.to_owned());
    let report = compared(&rows, &tables());
    assert!(
        report.first.as_deref().unwrap().starts_with("what row 1 says of the state is not understood: unknown field `stagge`"),
        "{report}"
    );
}

#[test]
fn refused_calls_change_nothing() {
    let mut rows = story();
    rows.push(row("model_version", "v1", "m", 9, &moved("Production", &[])));
    rows[5].outcome = Outcome::Denied;
    assert_eq!(compared(&rows, &tables()).differences, 0);
}

/// The tables of a small registry with one model, kept by another rule than the replay's.
#[derive(Debug, Clone, Default)]
struct Registry {
    stages: BTreeMap<String, (String, bool)>,
    holdings: Vec<(String, String, i64, Option<i64>)>,
}

impl Registry {
    fn holder(&self, target: &str) -> Option<String> {
        self.holdings.iter().find(|(of, _, _, until)| of == target && until.is_none()).map(|(_, version, ..)| version.clone())
    }

    fn hold(&mut self, target: &str, version: Option<&str>, now: i64) {
        for (of, _, from, until) in &mut self.holdings {
            if of == target && until.is_none() {
                *until = Some(now.max(*from));
            }
        }
        let ended = self.holdings.iter().filter(|(of, ..)| of == target).filter_map(|(.., until)| *until).max().unwrap_or(0);
        if let Some(version) = version {
            self.holdings.push((target.to_owned(), version.to_owned(), now.max(ended), None));
        }
    }

    fn compare(&self, replay: Replay) -> StateReport {
        let mut comparison = replay.compare();
        comparison.seen(&Thing::Model { id: "m".to_owned() }, &model_fields("a", "a", false));
        for (number, (id, (stage, deleted))) in (1..).zip(&self.stages) {
            comparison.seen(
                &Thing::Version { model: "m".to_owned(), id: id.clone() },
                &version_fields(number, ("d", "d"), stage, (*deleted, false)),
            );
        }
        let mut held: BTreeMap<&str, Held> = BTreeMap::new();
        for (target, version, from, until) in &self.holdings {
            held.entry(target).or_default().stored(version.clone(), *from, *until);
            if let (Some(alias), None) = (target.strip_prefix('@'), until) {
                comparison.seen(&Thing::Alias { model: "m".to_owned(), alias: alias.to_owned() }, &alias_fields(version.clone()));
            }
        }
        for (target, held) in held {
            comparison.seen(&Thing::Target { model: "m".to_owned(), target: target.to_owned() }, &held.fields());
        }
        comparison.finish()
    }
}

proptest! {
    /// Whatever is done, with a clock that runs backwards at times: rows and tables agree, and one changed cell is seen.
    #[test]
    fn rows_and_tables_agree_until_a_cell_is_changed(
        steps in proptest::collection::vec((0..4_usize, 0..5_usize, 0..100_i64), 1..40),
        changed in any::<proptest::sample::Index>(),
    ) {
        let mut tables = Registry::default();
        let mut rows = vec![row("registered_model", "m", "m", 0, &named("a"))];
        for number in 1..=4 {
            tables.stages.insert(format!("v{number}"), ("None".to_owned(), false));
            rows.push(row("model_version", &format!("v{number}"), "m", 0, &made(number)));
        }
        for (version, what, time) in steps {
            let version = format!("v{}", version + 1);
            let (stage, deleted) = tables.stages[&version].clone();
            if deleted {
                continue;
            }
            let target = ["Staging", "Production", "@champion", "@old", ""][what];
            let mut now = VersionNow::default();
            let mut hold = |tables: &mut Registry, target: &str, holder: Option<&str>| {
                tables.hold(target, holder, time);
                now.holders.insert(target.to_owned(), holder.map(str::to_owned));
            };
            if target.is_empty() {
                for target in ["Staging", "Production", "@champion", "@old"] {
                    if tables.holder(target).as_ref() == Some(&version) {
                        hold(&mut tables, target, None);
                    }
                }
                now.deleted = true;
                tables.stages.insert(version.clone(), (stage, true));
            } else if target.starts_with('@') {
                let holder = Some(version.as_str()).filter(|_| tables.holder(target).as_ref() != Some(&version));
                hold(&mut tables, target, holder);
            } else if stage != target {
                if tables.holder(&stage).as_ref() == Some(&version) {
                    hold(&mut tables, &stage, None);
                }
                hold(&mut tables, target, Some(&version));
                now.stage = Some(target.to_owned());
                tables.stages.insert(version.clone(), (target.to_owned(), false));
            }
            rows.push(row("model_version", &version, "m", time, &now));
        }
        let folded = || {
            let mut replay = Replay::default();
            (0..).zip(&rows).for_each(|(position, row)| replay.row(Some(position), row));
            replay
        };
        let report = tables.compare(folded());
        prop_assert_eq!(report.first, None);
        let mut cells = Vec::new();
        for id in tables.stages.keys() {
            let mut other = tables.clone();
            let cell = other.stages.get_mut(id).unwrap();
            cell.0 = if cell.0 == "Archived" { "None" } else { "Archived" }.to_owned();
            cells.push(other);
        }
        for index in 0..tables.holdings.len() {
            let mut other = tables.clone();
            other.holdings[index].2 += 1;
            cells.push(other);
            let mut other = tables.clone();
            other.holdings.remove(index);
            cells.push(other);
        }
        let other = &cells[changed.index(cells.len())];
        prop_assert!(other.compare(folded()).differences > 0, "{:?}", other);
    }
}
