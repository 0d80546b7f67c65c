//! `ledger verify --state`: what the rows say against what the tables hold.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use stagegate::contract::v1;
use tonic::Status;

use crate::house::{Client, Db, Server};
use crate::promotion::{self, NAME, World};

on_both_engines! {
    an_honest_walk_has_no_difference,
    a_change_without_a_row_is_named,
    rows_of_expiry_and_of_changed_evidence_are_replayed,
}

/// Runs the command; gives its exit status and what it said.
fn verified(server: &Server) -> (bool, String) {
    server.command(&["ledger", "verify", "--state"])
}

fn agrees(server: &Server) {
    let (sound, said) = verified(server);
    assert!(sound && said.contains("things in the tables were compared with the rows, no difference"), "{said}");
}

async fn over_the_wire(admin: &Client) -> v1::VerifyLedgerResponse {
    let request = v1::VerifyLedgerRequest { against_note: String::new(), state: true };
    admin.last("VerifyLedger", request).await.expect("the ledger can be verified")
}

/// Numbers that look drawn, the same each time.
struct Draw(u64);

impl Draw {
    fn of(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn name(&mut self, prefix: &str, count: u64) -> String {
        format!("{prefix}-{}", self.of(count))
    }
}

/// One thing that somebody does; most of what is drawn is refused, and that must change nothing.
async fn step(draw: &mut Draw, who: &[Client]) -> Result<(), Status> {
    let who = &who[usize::try_from(draw.of(who.len() as u64)).expect("a small number")];
    let name = draw.name("model", 3);
    let version = (draw.of(6) + 1).to_string();
    let stage = ["None", "Staging", "Production", "Archived"][usize::try_from(draw.of(4)).expect("a small number")].to_owned();
    let alias = draw.name("alias", 2);
    match draw.of(26) {
        0 | 1 => {
            let request = v1::CreateRegisteredModelRequest { name, ..Default::default() };
            who.call::<_, v1::CreateRegisteredModelResponse>("CreateRegisteredModel", request).await.map(drop)
        }
        2..=5 => {
            let request = v1::CreateModelVersionRequest { name, source: "s3://bucket/model".to_owned(), ..Default::default() };
            who.call::<_, v1::CreateModelVersionResponse>("CreateModelVersion", request).await.map(drop)
        }
        6..=9 => {
            let archive_existing_versions = [None, Some(false), Some(true)][usize::try_from(draw.of(3)).expect("a small number")];
            let request = v1::TransitionModelVersionStageRequest { name, version, stage, archive_existing_versions, ..Default::default() };
            who.call::<_, v1::TransitionModelVersionStageResponse>("TransitionModelVersionStage", request).await.map(drop)
        }
        10 | 11 => {
            let request = v1::SetRegisteredModelAliasRequest { name, alias, version };
            who.call::<_, v1::SetRegisteredModelAliasResponse>("SetRegisteredModelAlias", request).await.map(drop)
        }
        12 => {
            let request = v1::DeleteRegisteredModelAliasRequest { name, alias };
            who.call::<_, v1::DeleteRegisteredModelAliasResponse>("DeleteRegisteredModelAlias", request).await.map(drop)
        }
        13 => {
            let request = v1::DeleteModelVersionRequest { name, version };
            who.call::<_, v1::DeleteModelVersionResponse>("DeleteModelVersion", request).await.map(drop)
        }
        14 => {
            let request = v1::DeleteRegisteredModelRequest { name };
            who.call::<_, v1::DeleteRegisteredModelResponse>("DeleteRegisteredModel", request).await.map(drop)
        }
        15 => {
            let request = v1::RenameRegisteredModelRequest { name, new_name: draw.name("model", 3) };
            who.call::<_, v1::RenameRegisteredModelResponse>("RenameRegisteredModel", request).await.map(drop)
        }
        16 | 17 => {
            let (stage, alias) = if draw.of(3) == 0 { (String::new(), alias) } else { (stage, String::new()) };
            let request = v1::CreateTransitionRequestRequest { name, version, stage, alias, ..Default::default() };
            who.call::<_, v1::CreateTransitionRequestResponse>("CreateTransitionRequest", request).await.map(drop)
        }
        18..=20 => decide(draw, who).await,
        _ => access(draw, who).await,
    }
}

async fn decide(draw: &mut Draw, who: &Client) -> Result<(), Status> {
    let request = v1::ListTransitionRequestsRequest { states: vec![v1::TransitionRequestState::Open.into()], ..Default::default() };
    let open: v1::ListTransitionRequestsResponse = who.call("ListTransitionRequests", request).await?;
    let Some(open) = open.requests.first().cloned() else { return Ok(()) };
    let request_id = open.request_id.clone();
    match draw.of(6) {
        0 => {
            let request = v1::RejectTransitionRequestRequest { request_id, comment: "no".to_owned() };
            who.call::<_, v1::RejectTransitionRequestResponse>("RejectTransitionRequest", request).await.map(drop)
        }
        1 => {
            let request = v1::WithdrawTransitionRequestRequest { request_id, ..Default::default() };
            who.call::<_, v1::WithdrawTransitionRequestResponse>("WithdrawTransitionRequest", request).await.map(drop)
        }
        2 => {
            let request = v1::JoinTransitionRequestRequest { request_id, ..Default::default() };
            who.call::<_, v1::JoinTransitionRequestResponse>("JoinTransitionRequest", request).await.map(drop)
        }
        _ => promotion::approve(who, &open).await.map(drop),
    }
}

async fn access(draw: &mut Draw, who: &Client) -> Result<(), Status> {
    let (group_name, user_name) = (draw.name("group", 2), draw.name("user", 3));
    match draw.of(9) {
        0 => {
            let request = v1::CreateUserRequest { user_name, persona: "viewer".to_owned(), ..Default::default() };
            who.call::<_, v1::CreateUserResponse>("CreateUser", request).await.map(drop)
        }
        1 => {
            let request = v1::UpdateUserRequest { user_name, active: Some(draw.of(2) == 0), ..Default::default() };
            who.call::<_, v1::UpdateUserResponse>("UpdateUser", request).await.map(drop)
        }
        2 => {
            let request = v1::CreateGroupRequest { group_name, ..Default::default() };
            who.call::<_, v1::CreateGroupResponse>("CreateGroup", request).await.map(drop)
        }
        3 => {
            let request = v1::AddGroupMemberRequest { group_name, user_name };
            who.call::<_, v1::AddGroupMemberResponse>("AddGroupMember", request).await.map(drop)
        }
        4 => {
            let request = v1::RemoveGroupMemberRequest { group_name, user_name };
            who.call::<_, v1::RemoveGroupMemberResponse>("RemoveGroupMember", request).await.map(drop)
        }
        5 => {
            let request = v1::DeleteGroupRequest { group_name };
            who.call::<_, v1::DeleteGroupResponse>("DeleteGroup", request).await.map(drop)
        }
        6 if draw.of(2) == 0 => {
            let request = v1::CreatePersonaRequest {
                name: draw.name("persona", 2),
                permissions: vec!["runs.edit (own)".to_owned(), "models.read".to_owned()],
                ..Default::default()
            };
            who.call::<_, v1::CreatePersonaResponse>("CreatePersona", request).await.map(drop)
        }
        6 => {
            let request = v1::DeletePersonaRequest { name: draw.name("persona", 2) };
            who.call::<_, v1::DeletePersonaResponse>("DeletePersona", request).await.map(drop)
        }
        7 => {
            let principal = if draw.of(2) == 0 {
                v1::principal::Principal::GroupName(group_name)
            } else {
                v1::principal::Principal::UserName(user_name)
            };
            let on = [
                v1::scope::Scope::Server(v1::WholeServer {}),
                v1::scope::Scope::RegisteredModel(draw.name("model", 3)),
                v1::scope::Scope::ExperimentId("0".to_owned()),
            ];
            let request = v1::CreateGrantRequest {
                principal: Some(v1::Principal { principal: Some(principal) }),
                persona: ["manager".to_owned(), draw.name("persona", 2)][usize::try_from(draw.of(2)).expect("a small number")].clone(),
                scope: Some(v1::Scope { scope: Some(on[usize::try_from(draw.of(3)).expect("a small number")].clone()) }),
                targets: if draw.of(2) == 0 { vec!["Staging".to_owned(), "@alias-0".to_owned()] } else { Vec::new() },
                effect: v1::GrantEffect::Allow.into(),
                ..Default::default()
            };
            who.call::<_, v1::CreateGrantResponse>("CreateGrant", request).await.map(drop)
        }
        _ => {
            let all: v1::ListGrantsResponse = who.call("ListGrants", v1::ListGrantsRequest { user_name, ..Default::default() }).await?;
            let Some(grant) = all.grants.first() else { return Ok(()) };
            let request = v1::DeleteGrantRequest { grant_id: grant.grant_id.clone() };
            who.call::<_, v1::DeleteGrantResponse>("DeleteGrant", request).await.map(drop)
        }
    }
}

/// Four walk at once, on PostgreSQL through two replicas; whenever it is asked, rows and tables agree.
async fn an_honest_walk_has_no_difference(server: Server) {
    let people: Vec<Client> = ["ann", "max", "eve"].map(|name| server.made_by_hand(name, "admin")).into();
    let replica = (server.db == Db::Postgres).then(|| server.replica());
    let mut walks = Vec::new();
    for seed in 1..=4 {
        let people = match &replica {
            Some(replica) if seed % 2 == 0 => people.iter().map(|who| replica.moved(who)).collect(),
            _ => people.clone(),
        };
        walks.push(tokio::spawn(async move {
            let mut draw = Draw(seed);
            let mut done = 0;
            for _ in 0..90 {
                done += u32::from(step(&mut draw, &people).await.is_ok());
            }
            done
        }));
    }
    let mut asked = 0;
    while !walks.iter().all(tokio::task::JoinHandle::is_finished) {
        let verdict = over_the_wire(&people[0]).await;
        assert!(verdict.sound && verdict.state_differences == 0 && verdict.compared_things > 0, "{}", verdict.report);
        asked += 1;
    }
    for walk in walks {
        let done = walk.await.expect("a walk ends well");
        assert!(done > 20, "a walk that comes nowhere shows nothing: {done} steps");
    }
    assert!(asked > 1, "it was asked while they walked");
    agrees(&server);
}

/// A story after which there is one of everything that can be changed.
async fn story(server: Server) -> (World, v1::TransitionRequest) {
    let world = promotion::world(server).await;
    let admin = world.server.admin().await;
    promotion::shift(&world.max, 1, "Production").await.expect("may be moved");
    promotion::shift(&world.eve, 2, "Staging").await.expect("may be moved");
    for version in ["2", "3"] {
        let request =
            v1::SetRegisteredModelAliasRequest { name: NAME.to_owned(), alias: "champion".to_owned(), version: version.to_owned() };
        let _: v1::SetRegisteredModelAliasResponse = world.eve.call("SetRegisteredModelAlias", request).await.expect("may be set");
    }
    let request = v1::CreatePersonaRequest { name: "reader".to_owned(), permissions: vec!["models.read".to_owned()], ..Default::default() };
    let _: v1::CreatePersonaResponse = admin.call("CreatePersona", request).await.expect("a persona");
    let request = v1::CreateGroupRequest { group_name: "team".to_owned(), ..Default::default() };
    let _: v1::CreateGroupResponse = admin.call("CreateGroup", request).await.expect("a group");
    let request = v1::CreateUserRequest { user_name: "gone".to_owned(), persona: "viewer".to_owned(), ..Default::default() };
    let _: v1::CreateUserResponse = admin.call("CreateUser", request).await.expect("a user");
    let request = v1::UpdateUserRequest { user_name: "gone".to_owned(), active: Some(false), ..Default::default() };
    let _: v1::UpdateUserResponse = admin.call("UpdateUser", request).await.expect("is deactivated");
    for (description, revoked) in [("kept", false), ("lost", true)] {
        let request = v1::CreateTokenRequest { description: description.to_owned(), ..Default::default() };
        let made: v1::CreateTokenResponse = admin.call("CreateToken", request).await.expect("a token");
        if revoked {
            let token_id = made.token.expect("is answered").token_id;
            let _: v1::RevokeTokenResponse = admin.call("RevokeToken", v1::RevokeTokenRequest { token_id }).await.expect("is revoked");
        }
    }
    let asked = promotion::asked(&world.ann, 2, "Production").await;
    (world, asked)
}

/// SQL of one who owns the database: no trigger, no foreign key and no check is in the way.
pub(super) async fn as_owner(sql: &DatabaseConnection, db: Db, statement: &str) {
    let (free, bound) = if db == Db::Sqlite {
        let pragmas = |keys: &str, checks: &str| format!("PRAGMA foreign_keys = {keys}; PRAGMA ignore_check_constraints = {checks}");
        (pragmas("OFF", "ON"), pragmas("ON", "OFF"))
    } else {
        let uncheck = "ALTER TABLE registered_models DROP CONSTRAINT IF EXISTS registered_models_shown";
        (format!("SET session_replication_role = replica; {uncheck}"), "SET session_replication_role = DEFAULT".to_owned())
    };
    let all = format!("{free}; {statement}; {bound}");
    sql.execute_unprepared(&all).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
}

pub(super) async fn drop_triggers(sql: &DatabaseConnection) {
    let query = Statement::from_string(sql.get_database_backend(), "SELECT name FROM sqlite_master WHERE type = 'trigger'");
    for row in sql.query_all_raw(query).await.expect("the schema is told") {
        let name: String = row.try_get_by_index(0).expect("a name");
        sql.execute_unprepared(&format!("DROP TRIGGER {name}")).await.expect("an owner drops triggers");
    }
}

/// A change by the owner of the database, how it is undone, and what must be told of it.
type Attack = (&'static str, &'static str, &'static str);

const ATTACKS: &[Attack] = &[
    (
        "UPDATE model_versions SET current_stage = 'Production' WHERE version = 2",
        "UPDATE model_versions SET current_stage = 'Staging' WHERE version = 2",
        "model \"enet\" version 2: the stage is Production, the rows say Staging (last set by row ",
    ),
    (
        "UPDATE model_versions SET source_digest = 'abc' WHERE version = 1",
        "UPDATE model_versions SET source_digest = 'unverified' WHERE version = 1",
        "model \"enet\" version 1: the digest of its files is abc, the rows say unverified",
    ),
    (
        "UPDATE model_aliases SET version_uid = (SELECT uid FROM model_versions WHERE version = 1)",
        "UPDATE model_aliases SET version_uid = (SELECT uid FROM model_versions WHERE version = 3)",
        "model \"enet\" alias \"champion\": the version is version 1, the rows say version 3",
    ),
    (
        "UPDATE holdings SET version_uid = (SELECT uid FROM model_versions WHERE version = 3) WHERE target = 'Production'",
        "UPDATE holdings SET version_uid = (SELECT uid FROM model_versions WHERE version = 1) WHERE target = 'Production'",
        "model \"enet\", who holds Production: the version is version 3, the rows say version 1",
    ),
    (
        "UPDATE holdings SET from_time = from_time - 1, until_time = until_time - 1 WHERE until_time IS NOT NULL",
        "UPDATE holdings SET from_time = from_time + 1, until_time = until_time + 1 WHERE until_time IS NOT NULL",
        "model \"enet\", who holds @champion: the digest of the earlier holdings is ",
    ),
    (
        "UPDATE gates SET approvals_required = 7 WHERE gate_id = 'default-production'",
        "UPDATE gates SET approvals_required = 1 WHERE gate_id = 'default-production'",
        "gate \"default-production\" version 1: the number of approvals is 7, the rows say 1 (as it is built in)",
    ),
    (
        "UPDATE gates SET active = FALSE WHERE gate_id = 'default-production'",
        "UPDATE gates SET active = TRUE WHERE gate_id = 'default-production'",
        "gate \"default-production\" version 1: the force is no, the rows say yes",
    ),
    (
        "UPDATE grants SET persona = 'admin' WHERE persona = 'data_scientist'",
        "UPDATE grants SET persona = 'data_scientist' WHERE persona = 'admin' AND principal_uid <> (SELECT uid FROM users WHERE name = 'admin')",
        "to user \"data_scientist-",
    ),
    (
        "UPDATE grants SET principal_uid = principal_uid || '.gone' WHERE persona = 'manager'",
        "UPDATE grants SET principal_uid = REPLACE(principal_uid, '.gone', '') WHERE persona = 'manager'",
        "to user \"manager-",
    ),
    (
        "CREATE TABLE kept AS SELECT * FROM grants WHERE persona = 'manager'; DELETE FROM grants WHERE persona = 'manager'",
        "INSERT INTO grants SELECT * FROM kept; DROP TABLE kept",
        ": it is not in the tables, and the rows say that it is (effect ALLOW, persona manager, ",
    ),
    (
        "UPDATE personas SET permissions = '[\"models.read\",\"stages.promote\"]' WHERE name = 'reader'",
        "UPDATE personas SET permissions = '[\"models.read\"]' WHERE name = 'reader'",
        "persona \"reader\": the list of permissions is models.read, stages.promote, the rows say models.read",
    ),
    (
        "INSERT INTO personas (name, permissions, created) VALUES ('lord', '[\"users.manage\"]', 1)",
        "DELETE FROM personas WHERE name = 'lord'",
        "persona \"lord\": it is in the tables (list of permissions users.manage), and by the rows there is none",
    ),
    (
        "UPDATE users SET active = TRUE WHERE name = 'gone'",
        "UPDATE users SET active = FALSE WHERE name = 'gone'",
        "user \"gone\": the state is active, the rows say deactivated",
    ),
    (
        "UPDATE users SET canonical_name = 'xdmin' WHERE name = 'admin'",
        "UPDATE users SET canonical_name = 'admin' WHERE name = 'admin'",
        "user \"admin\": the name that it is found by is xdmin, the rows say admin (last set by row 0)",
    ),
    (
        "CREATE TABLE kept AS SELECT password_hash FROM users WHERE name = 'admin'; UPDATE users SET password_hash = 'planted' WHERE name = 'admin'",
        "UPDATE users SET password_hash = (SELECT k.password_hash FROM kept k) WHERE name = 'admin'; DROP TABLE kept",
        "user \"admin\": the digest of the password's hash is ",
    ),
    (
        "UPDATE users SET password_temporary = TRUE WHERE name = 'admin'",
        "UPDATE users SET password_temporary = FALSE WHERE name = 'admin'",
        "user \"admin\": the need of another password is yes, the rows say no",
    ),
    (
        "UPDATE users SET generation = 0 WHERE name = 'gone'",
        "UPDATE users SET generation = 1 WHERE name = 'gone'",
        "user \"gone\": the generation of the credentials is 0, the rows say 1",
    ),
    (
        "UPDATE user_makers SET vouched = 1 WHERE user_uid = (SELECT uid FROM users WHERE name = 'gone')",
        "UPDATE user_makers SET vouched = NULL",
        "user \"gone\": the list of those who stand behind it is empty, the rows say LOGIN by ",
    ),
    (
        "UPDATE user_makers SET maker_person_uid = 'other' WHERE user_uid = (SELECT uid FROM users WHERE name = 'gone')",
        "UPDATE user_makers SET maker_person_uid = (SELECT person_uid FROM users WHERE name = 'admin') WHERE maker_person_uid = 'other'",
        "user \"gone\": the list of those who stand behind it is LOGIN by ",
    ),
    (
        "UPDATE tokens SET revoked = NULL WHERE description = 'lost'",
        "UPDATE tokens SET revoked = 1 WHERE description = 'lost'",
        ": it is not in the tables, and the rows say that it is",
    ),
    (
        "UPDATE tokens SET revoked = 1 WHERE description = 'kept'",
        "UPDATE tokens SET revoked = NULL WHERE description = 'kept'",
        "revocation of the token ",
    ),
    (
        "INSERT INTO group_members (group_uid, user_uid) SELECT g.uid, u.uid FROM user_groups g, users u WHERE u.name = 'gone'",
        "DELETE FROM group_members",
        "group \"team\", member user \"gone\": it is in the tables, and by the rows there is none",
    ),
    (
        "UPDATE transition_requests SET state = 'APPROVED'",
        "UPDATE transition_requests SET state = 'OPEN'",
        "version 2 to Production): the state is APPROVED, the rows say OPEN",
    ),
    (
        "UPDATE transition_requests SET target = 'Staging'",
        "UPDATE transition_requests SET target = 'Production'",
        "version 2 to Production): the target is Staging, the rows say Production",
    ),
    (
        "INSERT INTO request_decisions (uid, request_uid, person_uid, user_uid, kind, comment, evidence_digest, gate_version, command_line, created) \
         SELECT 'd', r.uid, u.person_uid, u.uid, 'APPROVED', '', r.evidence_digest, 1, FALSE, 1 FROM transition_requests r, users u WHERE u.name LIKE 'manager-%'",
        "DELETE FROM request_decisions WHERE uid = 'd'",
        ": it is in the tables (decision APPROVED on the evidence ",
    ),
    (
        "UPDATE request_requesters SET withdrawn = 1",
        "UPDATE request_requesters SET withdrawn = NULL",
        ": the state is withdrawn, the rows say asks",
    ),
    (
        "UPDATE registered_models SET deleted = 1",
        "UPDATE registered_models SET deleted = NULL",
        "model \"enet\": the life is deleted, the rows say not deleted",
    ),
    ("UPDATE registered_models SET uid = uid || 'x'", "UPDATE registered_models SET uid = REPLACE(uid, 'x', '')", "and 1 more differences"),
    (
        "UPDATE registered_models SET name = 'fraud', canonical_name = 'fraud'",
        "UPDATE registered_models SET name = 'enet', canonical_name = 'enet'",
        "model \"enet\": the name is \"fraud\", the rows say \"enet\" (last set by row ",
    ),
    (
        "UPDATE registered_models SET canonical_name = 'fraud'",
        "UPDATE registered_models SET canonical_name = 'enet'",
        "model \"enet\": the name that it is found by is fraud, the rows say enet",
    ),
];

async fn a_change_without_a_row_is_named(server: Server) {
    let (mut world, _) = story(server).await;
    agrees(&world.server);
    world.server.stop();
    let (sql, db) = (world.sql.clone(), world.server.db);
    if db == Db::Sqlite {
        drop_triggers(&sql).await;
    }
    let mut passed = Vec::new();
    for (attack, undo, told) in ATTACKS {
        as_owner(&sql, db, attack).await;
        let (sound, said) = verified(&world.server);
        if sound || !said.contains("the ledger is NOT sound: its rows are, but the tables are not what they say") || !said.contains(told) {
            passed.push(format!("{attack}: {said}"));
        }
        as_owner(&sql, db, undo).await;
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
    agrees(&world.server);
}

/// Gates cannot be made by a call yet, so that one made by SQL is the only difference.
async fn rows_of_expiry_and_of_changed_evidence_are_replayed(server: Server) {
    let (world, asked) = story(server).await;
    let request =
        v1::SetModelVersionTagRequest { name: NAME.to_owned(), version: "2".to_owned(), key: "checked".to_owned(), value: "no".to_owned() };
    let _: v1::SetModelVersionTagResponse = world.ann.call("SetModelVersionTag", request).await.expect("a tag");
    // Either the tag is nothing that the request rests on, or the evidence is renewed; both have their rows.
    let _ = promotion::approve(&world.max, &asked).await;
    agrees(&world.server);
    world.gate(("quick", 1), "Staging", NAME, 1, true, "300").await;
    let brief = promotion::asked(&world.ann, 3, "Staging").await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(promotion::get(&world.ann, &brief.request_id).await.state(), v1::TransitionRequestState::Expired);
    let verdict = over_the_wire(&world.server.admin().await).await;
    assert!(
        verdict.state_differences == 1 && verdict.report.contains("gate \"quick\" version 1: it is in the tables"),
        "{}",
        verdict.report
    );
}
