//! Promotion attacked through the API: what a hostile colleague, an unlucky moment or a changed gate must
//! not achieve. Gates that the API cannot make yet are made beside the server.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};

on_both_engines! {
    a_changed_gate_decides_nothing_under_its_old_version,
    a_model_keeps_its_name_while_it_is_asked_for_or_served,
    the_name_of_what_was_promoted_is_given_by_those_who_manage_gates,
    a_gated_stage_holds_one_version_whatever_the_flag_says,
    a_stage_gives_the_version_that_its_holding_names,
    who_wrote_a_gate_does_not_move_directly_under_it,
    leaving_a_gated_stage_takes_what_its_gate_demands,
    asking_again_through_anothers_token_is_no_way_round_four_eyes,
    the_person_behind_a_requesters_token_does_not_move_it_directly,
    a_token_revoked_a_moment_ago_decides_nothing,
    who_approved_can_still_reject,
    requests_end_when_their_time_is_up,
    an_expired_request_does_not_stand_in_the_way,
    what_was_archived_needs_no_request_to_be_archived,
}

pub(super) const NAME: &str = "enet";

pub(super) struct World {
    pub(super) server: Server,
    pub(super) sql: DatabaseConnection,
    pub(super) ann: Client,
    pub(super) eve: Client,
    pub(super) max: Client,
}

/// Ann asks, eve engineers, max manages; a model with versions 1 to 3 of unverified sources.
pub(super) async fn world(server: Server) -> World {
    let (ann, eve, max) =
        (server.signed_in("data_scientist").await, server.signed_in("ml_engineer").await, server.signed_in("manager").await);
    let world = World { sql: server.sql().await, server, ann, eve, max };
    let request = v1::CreateRegisteredModelRequest { name: NAME.to_owned(), ..Default::default() };
    let _: v1::CreateRegisteredModelResponse = world.ann.call("CreateRegisteredModel", request).await.expect("a model");
    for _ in 1..=3 {
        version(&world.ann, NAME, "s3://bucket/model", "").await;
    }
    world
}

pub(super) async fn version(who: &Client, name: &str, source: &str, run_id: &str) -> v1::ModelVersion {
    let (name, source, run_id) = (name.to_owned(), source.to_owned(), run_id.to_owned());
    let request = v1::CreateModelVersionRequest { name, source, run_id, ..Default::default() };
    let answer: v1::CreateModelVersionResponse = who.call("CreateModelVersion", request).await.expect("a version");
    answer.model_version.expect("is answered")
}

async fn ask(who: &Client, number: u32, stage: &str) -> Result<v1::TransitionRequest, Status> {
    let (name, version, stage) = (NAME.to_owned(), number.to_string(), stage.to_owned());
    let request = v1::CreateTransitionRequestRequest { name, version, stage, ..Default::default() };
    let answer: v1::CreateTransitionRequestResponse = who.call("CreateTransitionRequest", request).await?;
    Ok(answer.request.expect("is answered"))
}

pub(super) async fn asked(who: &Client, number: u32, stage: &str) -> v1::TransitionRequest {
    ask(who, number, stage).await.expect("may be asked for")
}

pub(super) async fn approve(who: &Client, asked: &v1::TransitionRequest) -> Result<v1::TransitionRequest, Status> {
    let (request_id, evidence_digest) = (asked.request_id.clone(), asked.evidence_digest.clone());
    let request = v1::ApproveTransitionRequestRequest { request_id, evidence_digest, ..Default::default() };
    let answer: v1::ApproveTransitionRequestResponse = who.call("ApproveTransitionRequest", request).await?;
    Ok(answer.request.expect("is answered"))
}

pub(super) async fn shift(who: &Client, number: u32, stage: &str) -> Result<(), Status> {
    let (name, version, stage) = (NAME.to_owned(), number.to_string(), stage.to_owned());
    let request = v1::TransitionModelVersionStageRequest { name, version, stage, ..Default::default() };
    who.call::<_, v1::TransitionModelVersionStageResponse>("TransitionModelVersionStage", request).await.map(drop)
}

pub(super) async fn get(who: &Client, request_id: &str) -> v1::TransitionRequest {
    let request = v1::GetTransitionRequestRequest { request_id: request_id.to_owned() };
    let answer: v1::GetTransitionRequestResponse = who.call("GetTransitionRequest", request).await.expect("is there");
    answer.request.expect("is answered")
}

pub(super) async fn stage_of(who: &Client, number: u32) -> String {
    let request = v1::GetModelVersionRequest { name: NAME.to_owned(), version: number.to_string() };
    let answer: v1::GetModelVersionResponse = who.call("GetModelVersion", request).await.expect("is there");
    answer.model_version.expect("is answered").current_stage
}

pub(super) async fn run_of(who: &Client) -> String {
    let request = v1::CreateRunRequest { experiment_id: "0".to_owned(), ..Default::default() };
    let answer: v1::CreateRunResponse = who.call("CreateRun", request).await.expect("a run");
    answer.run.and_then(|run| run.info).expect("is answered").run_id
}

pub(super) fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>, code: Code, words: &str) {
    let status = outcome.expect_err("must be refused");
    assert!(status.code() == code && status.message().contains(words), "{words:?} expected: {status:?}");
}

impl World {
    pub(super) async fn execute(&self, text: &str) {
        self.sql.execute_unprepared(text).await.unwrap_or_else(|error| panic!("{error}: {text}"));
    }

    /// A gate beside those that the server has; `extra` follows `expires_after`.
    pub(super) async fn gate(
        &self,
        (gate, number): (&str, u32),
        target: &str,
        pattern: &str,
        approvals: u32,
        direct: bool,
        expires_after: &str,
    ) {
        self.execute(&format!(
            "INSERT INTO gates (gate_id, version, workspace_id, target, model_pattern, approvals_required, direct_moves_allowed, expires_after, \
             active, created, created_by) VALUES ('{gate}', {number}, 'default', '{target}', '{pattern}', {approvals}, {direct}, {expires_after}, TRUE, 1, \
             (SELECT uid FROM users WHERE name = 'admin'))"
        ))
        .await;
    }

    pub(super) async fn count(&self, query: &str) -> i64 {
        let row =
            self.sql.query_one_raw(Statement::from_string(self.sql.get_database_backend(), query)).await.expect("SQL beside the server");
        row.expect("a row").try_get_by_index(0).expect("a number")
    }

    async fn token_for(&self, maker: &Client, user: &Client) -> Client {
        let request = v1::CreateTokenRequest { user_name: user.user_name.clone(), ..Default::default() };
        let answer: v1::CreateTokenResponse = maker.call("CreateToken", request).await.expect("a token can be made");
        self.server.with_token(&user.user_name, answer.token_text)
    }
}

async fn a_changed_gate_decides_nothing_under_its_old_version(server: Server) {
    let world = world(server).await;
    let open = asked(&world.ann, 1, "Production").await;
    let free = asked(&world.ann, 1, "Staging").await;
    world.gate(("default-production", 2), "Production", "*", 2, false, "NULL").await;
    world.gate(("staging", 1), "Staging", "*", 2, false, "NULL").await;
    refused(approve(&world.max, &open).await, Code::FailedPrecondition, "gate");
    refused(approve(&world.max, &free).await, Code::FailedPrecondition, "gate");
    assert_eq!(stage_of(&world.ann, 1).await, "None");
    // Filed anew it is decided under the gate as it is.
    let request = v1::WithdrawTransitionRequestRequest { request_id: open.request_id, ..Default::default() };
    let _: v1::WithdrawTransitionRequestResponse = world.ann.call("WithdrawTransitionRequest", request).await.expect("is withdrawn");
    let anew = asked(&world.ann, 1, "Production").await;
    assert_eq!((anew.gate_version, anew.approvals_required), (2, 2));
    let half = approve(&world.max, &anew).await.expect("the first of two");
    assert_eq!((half.state(), half.approvals_given), (v1::TransitionRequestState::Open, 1));
    let other = world.server.signed_in("manager").await;
    assert_eq!(approve(&other, &anew).await.expect("the second").state(), v1::TransitionRequestState::Approved);
    assert_eq!(stage_of(&world.ann, 1).await, "Production");
}

async fn rename(by: &Client, name: &str, new_name: &str) -> Result<v1::RenameRegisteredModelResponse, Status> {
    by.call("RenameRegisteredModel", v1::RenameRegisteredModelRequest { name: name.to_owned(), new_name: new_name.to_owned() }).await
}

async fn create(by: &Client, name: &str) -> Result<v1::CreateRegisteredModelResponse, Status> {
    by.call("CreateRegisteredModel", v1::CreateRegisteredModelRequest { name: name.to_owned(), ..Default::default() }).await
}

/// The attack: while a manager looks at a request for `toy`, its maker gives `toy` the name of what everybody is served.
async fn a_model_keeps_its_name_while_it_is_asked_for_or_served(server: Server) {
    let world = world(server).await;
    let open = asked(&world.ann, 1, "Staging").await;
    refused(rename(&world.ann, NAME, "other").await, Code::FailedPrecondition, "is open under this name");
    approve(&world.max, &open).await.expect("nothing has changed");
    rename(&world.ann, NAME, "other").await.expect("no gate protects Staging");
    rename(&world.ann, "other", NAME).await.expect("and back");
    shift(&world.max, 1, "Production").await.expect("the gate allows direct moves");
    refused(rename(&world.ann, NAME, "other").await, Code::FailedPrecondition, "holds Production, which a gate protects");
    // A name under which a gate would protect what it holds.
    shift(&world.max, 1, "Staging").await.expect("out of Production");
    world.gate(("strict", 1), "Staging", "strict-*", 2, false, "NULL").await;
    refused(rename(&world.ann, NAME, "strict-enet").await, Code::FailedPrecondition, "under the new name a gate would protect");
    rename(&world.ann, NAME, "lenient-enet").await.expect("no gate there");
}

async fn the_name_of_what_was_promoted_is_given_by_those_who_manage_gates(server: Server) {
    let world = world(server).await;
    shift(&world.max, 1, "Production").await.expect("the gate allows direct moves");
    shift(&world.max, 1, "Archived").await.expect("and out");
    rename(&world.ann, NAME, "old").await.expect("nothing is held");
    create(&world.ann, "toy").await.expect("a model");
    refused(rename(&world.ann, "toy", NAME).await, Code::PermissionDenied, "gates.manage");
    refused(create(&world.ann, NAME).await, Code::PermissionDenied, "gates.manage");
    refused(create(&world.max, NAME).await, Code::PermissionDenied, "");
    // The model itself may have it back.
    rename(&world.ann, "old", NAME).await.expect("its own name");
    rename(&world.ann, NAME, "old").await.expect("and away");
    let admin = world.server.admin().await;
    create(&admin, NAME).await.expect("the admin manages gates");
    let request = v1::ListLedgerEntriesRequest {
        filter: Some(v1::LedgerFilter { action: "CreateRegisteredModel".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    // On PostgreSQL rows get their places a moment later.
    let since = Instant::now();
    loop {
        let answer: v1::ListLedgerEntriesResponse = admin.call("ListLedgerEntries", request.clone()).await.expect("a list");
        let told = answer.entries.iter().filter(|entry| entry.payload.contains("\"takes_promoted_name\":true")).count();
        if told == 1 {
            break;
        }
        assert!(told == 0 && since.elapsed() < Duration::from_secs(20), "one row says so, and no other: {:?}", answer.entries);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn a_gated_stage_holds_one_version_whatever_the_flag_says(server: Server) {
    let world = world(server).await;
    let keep = |number: i32, stage: &str| v1::TransitionModelVersionStageRequest {
        name: NAME.to_owned(),
        version: number.to_string(),
        stage: stage.to_owned(),
        archive_existing_versions: Some(false),
        ..Default::default()
    };
    let moves = async |number, stage| {
        let _: v1::TransitionModelVersionStageResponse =
            world.max.call("TransitionModelVersionStage", keep(number, stage)).await.expect("the gate allows direct moves");
    };
    moves(2, "Production").await;
    moves(1, "Production").await;
    assert_eq!((stage_of(&world.ann, 1).await.as_str(), stage_of(&world.ann, 2).await.as_str()), ("Production", "Archived"));
    // By an approved request as well.
    let open = asked(&world.ann, 2, "Production").await;
    let request = v1::ApproveTransitionRequestRequest {
        request_id: open.request_id.clone(),
        evidence_digest: open.evidence_digest.clone(),
        archive_existing_versions: Some(false),
        ..Default::default()
    };
    let _: v1::ApproveTransitionRequestResponse = world.max.call("ApproveTransitionRequest", request).await.expect("max decides");
    assert_eq!((stage_of(&world.ann, 1).await.as_str(), stage_of(&world.ann, 2).await.as_str()), ("Archived", "Production"));
}

async fn a_stage_gives_the_version_that_its_holding_names(server: Server) {
    let world = world(server).await;
    for number in [2, 1] {
        let request = v1::TransitionModelVersionStageRequest {
            name: NAME.to_owned(),
            version: number.to_string(),
            stage: "Staging".to_owned(),
            archive_existing_versions: Some(false),
            ..Default::default()
        };
        let _: v1::TransitionModelVersionStageResponse =
            world.eve.call("TransitionModelVersionStage", request).await.expect("no gate protects Staging");
    }
    let request = v1::GetLatestVersionsRequest { name: NAME.to_owned(), stages: vec!["Staging".to_owned()] };
    let latest: v1::GetLatestVersionsResponse = world.ann.call("GetLatestVersions", request).await.expect("versions");
    let request = v1::ListHoldingsRequest { name: NAME.to_owned(), target: "Staging".to_owned(), ..Default::default() };
    let holdings: v1::ListHoldingsResponse = world.ann.call("ListHoldings", request).await.expect("holdings");
    assert_eq!(holdings.holdings[0].version, "1", "the one that was moved there last");
    assert_eq!(latest.model_versions.iter().map(|version| version.version.as_str()).collect::<Vec<_>>(), ["1"]);
    let request = v1::GetRegisteredModelRequest { name: NAME.to_owned() };
    let model: v1::GetRegisteredModelResponse = world.ann.call("GetRegisteredModel", request).await.expect("the model");
    let shown = model.registered_model.expect("is there").latest_versions;
    assert!(shown.iter().any(|version| version.version == "1") && !shown.iter().any(|version| version.version == "2"), "{shown:?}");
}

async fn who_wrote_a_gate_does_not_move_directly_under_it(server: Server) {
    let world = world(server).await;
    world.gate(("default-production", 2), "Production", "*", 1, true, "NULL").await;
    let admin = world.server.admin().await;
    refused(shift(&admin, 1, "Production").await, Code::FailedPrecondition, "you wrote the gate in force");
    shift(&world.max, 1, "Production").await.expect("someone else may");
    refused(shift(&admin, 1, "Archived").await, Code::FailedPrecondition, "you wrote the gate in force");
}

async fn leaving_a_gated_stage_takes_what_its_gate_demands(server: Server) {
    let world = world(server).await;
    shift(&world.max, 1, "Production").await.expect("the gate allows direct moves");
    world.gate(("default-production", 2), "Production", "*", 2, false, "NULL").await;
    // No gate protects Archived, but the version would leave Production by it.
    let open = asked(&world.ann, 1, "Archived").await;
    assert_eq!(open.approvals_required, 2);
    let half = approve(&world.max, &open).await.expect("the first of two");
    assert_eq!(half.state(), v1::TransitionRequestState::Open);
    assert_eq!(stage_of(&world.ann, 1).await, "Production");
    // Who may decide about Archived alone does not decide about Production.
    let narrow = world.server.signed_in("viewer").await;
    let request = v1::CreateGrantRequest {
        principal: Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(narrow.user_name.clone())) }),
        persona: "manager".to_owned(),
        targets: vec!["Archived".to_owned()],
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::Server(v1::WholeServer {})) }),
        effect: v1::GrantEffect::Allow.into(),
        ..Default::default()
    };
    let _: v1::CreateGrantResponse = world.server.admin().await.call("CreateGrant", request).await.expect("a grant");
    refused(approve(&narrow, &open).await, Code::PermissionDenied, "requests.approve");
    let other = world.server.signed_in("manager").await;
    assert_eq!(approve(&other, &open).await.expect("the second").state(), v1::TransitionRequestState::Approved);
    assert_eq!(stage_of(&world.ann, 1).await, "Archived");
}

async fn asking_again_through_anothers_token_is_no_way_round_four_eyes(server: Server) {
    let world = world(server).await;
    let root = world.server.admin().await;
    let open = asked(&world.ann, 1, "Production").await;
    let join = |who: Client| {
        let request = v1::JoinTransitionRequestRequest { request_id: open.request_id.clone(), ..Default::default() };
        async move { who.call::<_, v1::JoinTransitionRequestResponse>("JoinTransitionRequest", request).await }
    };
    join(world.eve.clone()).await.expect("eve joins");
    let request = v1::WithdrawTransitionRequestRequest { request_id: open.request_id.clone(), ..Default::default() };
    let _: v1::WithdrawTransitionRequestResponse = world.ann.call("WithdrawTransitionRequest", request).await.expect("ann withdraws");
    // The admin asks in ann's name, and would then decide in the admin's own.
    let puppet = world.token_for(&root, &world.ann).await;
    refused(join(puppet).await, Code::FailedPrecondition, "token");
    join(world.ann.clone()).await.expect("ann herself asks again");
    assert_eq!(approve(&world.max, &open).await.expect("max decides").state(), v1::TransitionRequestState::Approved);
}

async fn the_person_behind_a_requesters_token_does_not_move_it_directly(server: Server) {
    let world = world(server).await;
    let root = world.server.admin().await;
    let puppet = world.token_for(&root, &world.ann).await;
    asked(&puppet, 1, "Production").await;
    refused(shift(&root, 1, "Production").await, Code::FailedPrecondition, "open request");
    let other = world.token_for(&root, &world.max).await;
    refused(shift(&other, 1, "Production").await, Code::FailedPrecondition, "open request");
    refused(shift(&world.max, 1, "Production").await, Code::FailedPrecondition, "made your login");
    let free = world.server.made_by_hand("free", "manager");
    shift(&free, 1, "Production").await.expect("who has asked for nothing, and was not made by one who has");
}

async fn a_token_revoked_a_moment_ago_decides_nothing(server: Server) {
    let world = world(server).await;
    let open = asked(&world.ann, 1, "Production").await;
    // Beside the epoch, so that no snapshot knows: only the question inside the transaction can.
    world
        .execute(&format!("UPDATE tokens SET revoked = 1 WHERE user_uid = (SELECT uid FROM users WHERE name = '{}')", world.max.user_name))
        .await;
    refused(approve(&world.max, &open).await, Code::Unauthenticated, "sign in");
    refused(shift(&world.max, 2, "Staging").await, Code::Unauthenticated, "sign in");
    assert_eq!(get(&world.ann, &open.request_id).await.state(), v1::TransitionRequestState::Open);
}

async fn who_approved_can_still_reject(server: Server) {
    let world = world(server).await;
    world.gate(("two", 1), "Staging", "*", 2, true, "NULL").await;
    let open = asked(&world.ann, 1, "Staging").await;
    approve(&world.max, &open).await.expect("the first of two");
    let request = v1::RejectTransitionRequestRequest { request_id: open.request_id.clone(), comment: "a second look".to_owned() };
    let answer: v1::RejectTransitionRequestResponse =
        world.max.call("RejectTransitionRequest", request).await.expect("max may think again");
    let ended = answer.request.expect("is answered");
    assert_eq!((ended.state(), ended.approvals_given), (v1::TransitionRequestState::Rejected, 0));
    let told: Vec<_> = ended.decisions.iter().map(|decision| (decision.kind(), decision.voided)).collect();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(v1::DecisionKind::Approved, true)) && told.contains(&(v1::DecisionKind::Rejected, false)), "{told:?}");
}

async fn until_expired(world: &World, request_id: &str) -> v1::TransitionRequest {
    let since = Instant::now();
    loop {
        let now = get(&world.ann, request_id).await;
        if now.state() == v1::TransitionRequestState::Expired {
            return now;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "still {now:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn requests_end_when_their_time_is_up(server: Server) {
    let world = world(server).await;
    world.gate(("hasty", 1), "Staging", "*", 1, true, "1500").await;
    let lasting = asked(&world.ann, 1, "Production").await;
    let hasty = [asked(&world.ann, 1, "Staging").await, asked(&world.ann, 2, "Staging").await];
    for request in &hasty {
        assert_eq!(request.expiry_time, Some(request.creation_timestamp + 1_500));
        let ended = until_expired(&world, &request.request_id).await;
        assert!(ended.last_updated_timestamp >= ended.expiry_time.expect("it expires"));
        refused(approve(&world.max, request).await, Code::FailedPrecondition, "EXPIRED");
    }
    assert_eq!(get(&world.ann, &lasting.request_id).await.state(), v1::TransitionRequestState::Open);
    let request = v1::ListLedgerEntriesRequest {
        filter: Some(v1::LedgerFilter {
            registered_model: NAME.to_owned(),
            action: "ExpireTransitionRequest".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer: v1::ListLedgerEntriesResponse = world.server.admin().await.call("ListLedgerEntries", request).await.expect("a list");
    let mut told: Vec<_> = answer.entries.iter().map(|entry| entry.object_id.clone()).collect();
    told.sort();
    let mut expected: Vec<_> = hasty.iter().map(|request| request.request_id.clone()).collect();
    expected.sort();
    assert_eq!(told, expected, "each has one row: {:?}", answer.entries);
    assert!(answer.entries.iter().all(|entry| entry.actor_name.is_empty() && entry.object_kind == "transition_request"));
}

async fn an_expired_request_does_not_stand_in_the_way(server: Server) {
    let world = world(server).await;
    world.gate(("hasty", 1), "Staging", "*", 1, true, "50").await;
    // Whether the server has closed it by now or not: asking again is asking anew.
    for _ in 0..5 {
        let first = asked(&world.ann, 1, "Staging").await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        let second = asked(&world.ann, 1, "Staging").await;
        assert_ne!(first.request_id, second.request_id);
        assert_eq!(get(&world.ann, &first.request_id).await.state(), v1::TransitionRequestState::Expired);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    shift(&world.eve, 1, "Archived").await.expect("nothing is in the way");
}

async fn what_was_archived_needs_no_request_to_be_archived(server: Server) {
    let world = world(server).await;
    shift(&world.eve, 1, "Staging").await.expect("no gate");
    let open = asked(&world.ann, 1, "Archived").await;
    shift(&world.eve, 2, "Staging").await.expect("no gate");
    assert_eq!(stage_of(&world.ann, 1).await, "Archived");
    assert_eq!(get(&world.ann, &open.request_id).await.state(), v1::TransitionRequestState::Superseded);
}
