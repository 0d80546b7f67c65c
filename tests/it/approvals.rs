//! Approvals: what makes them void, whose still count when a version is promoted, and who sees the evidence.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::{ConnectionTrait, TransactionTrait};
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Server};
use crate::promotion::{NAME, World, approve, asked, get, refused, run_of, shift, stage_of, version, world};

on_both_engines! {
    what_is_logged_after_filing_blocks_no_approval,
    another_holder_voids_what_was_approved,
    a_large_record_is_bounded_and_stored_once,
    who_may_not_approve_any_more_is_not_counted,
    an_approval_through_a_token_counts_while_its_maker_may_approve,
    a_quorum_that_is_met_again_promotes_by_whom_has_approved,
    an_approval_waits_for_a_change_of_access_that_has_begun,
    nobody_approves_what_they_may_not_see,
    what_a_denied_run_logged_is_withheld,
}

async fn log(who: &Client, run_id: &str, value: f64, step: i64) {
    let request = v1::LogMetricRequest {
        run_id: run_id.to_owned(),
        key: "rmse".into(),
        value: Some(value),
        step,
        timestamp: Some(1),
        ..Default::default()
    };
    let _: v1::LogMetricResponse = who.call("LogMetric", request).await.expect("a metric");
}

async fn full(who: &Client, request_id: &str) -> v1::GetTransitionRequestResponse {
    let request = v1::GetTransitionRequestRequest { request_id: request_id.to_owned() };
    who.call("GetTransitionRequest", request).await.expect("is there")
}

/// The number of a new version with a run of ann's, which logged one metric.
async fn with_run(world: &World) -> (u32, String) {
    let run_id = run_of(&world.ann).await;
    log(&world.ann, &run_id, 1.0, 0).await;
    let number = version(&world.ann, NAME, "s3://bucket/model", &run_id).await.version;
    (number.parse().expect("a number"), run_id)
}

/// One metric logged to the holder's run voided 30 of 30 approvals, and kept 31 records.
async fn what_is_logged_after_filing_blocks_no_approval(server: Server) {
    let world = world(server).await;
    let (holder, holders_run) = with_run(&world).await;
    let (candidate, run) = with_run(&world).await;
    shift(&world.max, holder, "Production").await.expect("a manager may");
    let open = asked(&world.ann, candidate, "Production").await;
    for round in 1..=5 {
        log(&world.ann, &holders_run, 2.0, round).await;
        log(&world.ann, &run, 2.0, round).await;
        let now = full(&world.max, &open.request_id).await;
        assert!(now.differences.iter().any(|told| told.starts_with("the holder's metric rmse")), "{:?}", now.differences);
        assert!(now.decisive_differences.is_empty(), "{:?}", now.decisive_differences);
    }
    let approved = approve(&world.max, &open).await.expect("what was seen at filing is approved");
    assert_eq!(approved.state(), v1::TransitionRequestState::Approved);
    let shown = full(&world.max, &open.request_id).await.evidence.expect("is kept");
    assert_eq!(shown.candidate.expect("a candidate").metrics[0].value, Some(1.0), "as it was at filing");
    assert_eq!(world.count("SELECT COUNT(*) FROM evidence").await, 1);
}

async fn another_holder_voids_what_was_approved(server: Server) {
    let world = world(server).await;
    world.gate(("two", 1), "Production", "*", 2, true, "NULL").await;
    let (holder, _) = with_run(&world).await;
    let (candidate, _) = with_run(&world).await;
    shift(&world.max, holder, "Production").await.expect("a manager may");
    let open = asked(&world.ann, candidate, "Production").await;
    let second = world.server.signed_in("manager").await;
    assert_eq!(approve(&world.max, &open).await.expect("one of two").approvals_given, 1);
    shift(&world.max, holder, "Archived").await.expect("a manager may");
    assert_eq!(full(&second, &open.request_id).await.decisive_differences.len(), 1);
    let told = approve(&second, &open).await.expect_err("nobody holds it now");
    assert!(told.code() == Code::FailedPrecondition && told.message().contains("the holder: version"), "{told:?}");
    let now = get(&second, &open.request_id).await;
    assert!(now.approvals_given == 0 && now.decisions[0].voided && now.evidence_digest != open.evidence_digest, "{now:?}");
    approve(&world.max, &now).await.expect("one of two");
    assert_eq!(approve(&second, &now).await.expect("two of two").state(), v1::TransitionRequestState::Approved);
}

/// 10,000 params made 57 MB for each filing.
async fn a_large_record_is_bounded_and_stored_once(server: Server) {
    let world = world(server).await;
    let (candidate, run_id) = with_run(&world).await;
    for batch in 0..4 {
        let params = (0..100).map(|n| v1::Param { key: format!("p{batch}{n:0>3}"), value: "ü".repeat(3_000) }).collect();
        let request = v1::LogBatchRequest { run_id: run_id.clone(), params, ..Default::default() };
        let _: v1::LogBatchResponse = world.ann.call("LogBatch", request).await.expect("a batch");
    }
    let first = asked(&world.ann, candidate, "Production").await;
    let shown = full(&world.max, &first.request_id).await.evidence.expect("is kept");
    let kept = shown.candidate.expect("a candidate");
    let left = shown.left_out.expect("400 params of 6,000 bytes are too large");
    assert_eq!(kept.metrics.len(), 1, "metrics come first");
    let [of_params] = left.kinds.as_slice() else { panic!("{left:?}") };
    assert_eq!(of_params.kind, "candidate.params");
    assert_eq!(of_params.entries + i64::try_from(kept.params.len()).expect("few"), 400);
    assert!(left.bytes > 1_300_000 && left.sha256.len() == 64, "{left:?}");
    let length = world.count("SELECT CAST(MAX(LENGTH(record)) AS BIGINT) FROM evidence").await;
    assert!((500_000..1_100_000).contains(&length), "{length}");
    let withdraw = v1::WithdrawTransitionRequestRequest { request_id: first.request_id.clone(), ..Default::default() };
    let _: v1::WithdrawTransitionRequestResponse = world.ann.call("WithdrawTransitionRequest", withdraw).await.expect("hers");
    let second = asked(&world.ann, candidate, "Production").await;
    assert_eq!(second.evidence_digest, first.evidence_digest);
    assert_eq!(world.count("SELECT COUNT(*) FROM evidence").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM request_evidence").await, 2);
    approve(&world.max, &second).await.expect("approved");
}

async fn grant(admin: &Client, request: v1::CreateGrantRequest) -> String {
    let answer: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("a grant");
    answer.grant.expect("is answered").grant_id
}

fn to_user(user_name: &str) -> Option<v1::Principal> {
    Some(v1::Principal { principal: Some(v1::principal::Principal::UserName(user_name.to_owned())) })
}

fn on_experiment(experiment_id: &str) -> Option<v1::Scope> {
    Some(v1::Scope { scope: Some(v1::scope::Scope::ExperimentId(experiment_id.to_owned())) })
}

fn on_model() -> Option<v1::Scope> {
    Some(v1::Scope { scope: Some(v1::scope::Scope::RegisteredModel(NAME.to_owned())) })
}

async fn deactivate(admin: &Client, user_name: &str) {
    let request = v1::UpdateUserRequest { user_name: user_name.to_owned(), active: Some(false), ..Default::default() };
    let _: v1::UpdateUserResponse = admin.call("UpdateUser", request).await.expect("a user");
}

async fn who_may_not_approve_any_more_is_not_counted(server: Server) {
    let world = world(server).await;
    let admin = world.server.admin().await;
    world.gate(("two", 1), "Production", "*", 2, true, "NULL").await;
    let (second, third) = (world.server.signed_in("manager").await, world.server.signed_in("manager").await);
    let group = v1::CreateGroupRequest { group_name: "managers".into(), ..Default::default() };
    let _: v1::CreateGroupResponse = admin.call("CreateGroup", group).await.expect("a group");
    let principal = Some(v1::Principal { principal: Some(v1::principal::Principal::GroupName("managers".into())) });
    let effect = v1::GrantEffect::Allow.into();
    grant(&admin, v1::CreateGrantRequest { principal, persona: "manager".into(), scope: on_model(), effect, ..Default::default() }).await;
    let request = v1::CreateExperimentRequest { name: "behind the versions".into(), ..Default::default() };
    let experiment: v1::CreateExperimentResponse = world.ann.call("CreateExperiment", request).await.expect("an experiment");
    let request = v1::CreateRunRequest { experiment_id: experiment.experiment_id.clone(), ..Default::default() };
    let run: v1::CreateRunResponse = world.ann.call("CreateRun", request).await.expect("a run");
    let run_id = run.run.and_then(|run| run.info).expect("is answered").run_id;
    for way in ["deactivated", "denied", "denied the run", "grant removed", "out of the group"] {
        let number: u32 = version(&world.ann, NAME, "s3://bucket/model", &run_id).await.version.parse().expect("a number");
        let open = asked(&world.ann, number, "Production").await;
        let mut allowed = String::new();
        let first = if matches!(way, "deactivated" | "denied" | "denied the run") {
            world.server.signed_in("manager").await
        } else {
            let first = world.server.signed_in("viewer").await;
            if way == "grant removed" {
                let principal = to_user(&first.user_name);
                let request =
                    v1::CreateGrantRequest { principal, persona: "manager".into(), scope: on_model(), effect, ..Default::default() };
                allowed = grant(&admin, request).await;
            } else {
                let request = v1::AddGroupMemberRequest { group_name: "managers".into(), user_name: first.user_name.clone() };
                let _: v1::AddGroupMemberResponse = admin.call("AddGroupMember", request).await.expect("a member");
            }
            first
        };
        assert_eq!(approve(&first, &open).await.expect("may approve now").approvals_given, 1, "{way}");
        match way {
            "deactivated" => deactivate(&admin, &first.user_name).await,
            "denied" => {
                let (principal, effect) = (to_user(&first.user_name), v1::GrantEffect::Deny.into());
                let request =
                    v1::CreateGrantRequest { principal, persona: "manager".into(), scope: on_model(), effect, ..Default::default() };
                grant(&admin, request).await;
            }
            "denied the run" => {
                let (principal, effect) = (to_user(&first.user_name), v1::GrantEffect::Deny.into());
                let scope = on_experiment(&experiment.experiment_id);
                grant(&admin, v1::CreateGrantRequest { principal, persona: "viewer".into(), scope, effect, ..Default::default() }).await;
            }
            "grant removed" => {
                let request = v1::DeleteGrantRequest { grant_id: allowed };
                let _: v1::DeleteGrantResponse = admin.call("DeleteGrant", request).await.expect("removed");
            }
            _ => {
                let request = v1::RemoveGroupMemberRequest { group_name: "managers".into(), user_name: first.user_name.clone() };
                let _: v1::RemoveGroupMemberResponse = admin.call("RemoveGroupMember", request).await.expect("removed");
            }
        }
        let now = approve(&second, &open).await.expect("counts itself");
        assert_eq!((now.state(), now.approvals_given), (v1::TransitionRequestState::Open, 1), "{way}");
        assert!(!now.decisions[0].not_counted_reason.is_empty() && now.decisions[1].not_counted_reason.is_empty(), "{way}: {now:?}");
        assert_eq!(stage_of(&world.ann, number).await, "None", "{way}");
        assert_eq!(approve(&third, &open).await.expect("two that count").state(), v1::TransitionRequestState::Approved, "{way}");
        assert_eq!(stage_of(&world.ann, number).await, "Production", "{way}");
    }
}

/// A token that somebody else made for the caller.
async fn token_for(maker: &Client, server: &Server, user_name: &str) -> Client {
    let request = v1::CreateTokenRequest { user_name: user_name.to_owned(), ..Default::default() };
    let answer: v1::CreateTokenResponse = maker.call("CreateToken", request).await.expect("a token");
    server.with_token(user_name, answer.token_text)
}

async fn an_approval_through_a_token_counts_while_its_maker_may_approve(server: Server) {
    let world = world(server).await;
    let admin = world.server.admin().await;
    world.gate(("two", 1), "Production", "*", 2, true, "NULL").await;
    let (second, third) = (world.server.signed_in("manager").await, world.server.signed_in("manager").await);
    for way in ["deactivated", "denied"] {
        let number: u32 = version(&world.ann, NAME, "s3://bucket/model", "").await.version.parse().expect("a number");
        let open = asked(&world.ann, number, "Production").await;
        let (maker, first) = (world.server.signed_in("admin").await, world.server.signed_in("manager").await);
        let through = token_for(&maker, &world.server, &first.user_name).await;
        assert_eq!(approve(&through, &open).await.expect("may approve now").approvals_given, 1, "{way}");
        if way == "deactivated" {
            deactivate(&admin, &maker.user_name).await;
        } else {
            let (principal, effect) = (to_user(&maker.user_name), v1::GrantEffect::Deny.into());
            let request = v1::CreateGrantRequest { principal, persona: "manager".into(), scope: on_model(), effect, ..Default::default() };
            grant(&admin, request).await;
        }
        let now = approve(&second, &open).await.expect("counts itself");
        assert_eq!((now.state(), now.approvals_given), (v1::TransitionRequestState::Open, 1), "{way}");
        assert!(now.decisions[0].not_counted_reason.contains("made the approver's token"), "{way}: {now:?}");
        if way == "denied" {
            // What does not count can be given anew, by the approver's own right.
            assert_eq!(approve(&first, &open).await.expect("for themselves").state(), v1::TransitionRequestState::Approved);
        } else {
            assert_eq!(approve(&third, &open).await.expect("two that count").state(), v1::TransitionRequestState::Approved);
        }
        assert_eq!(stage_of(&world.ann, number).await, "Production", "{way}");
    }
}

async fn a_quorum_that_is_met_again_promotes_by_whom_has_approved(server: Server) {
    let world = world(server).await;
    let admin = world.server.admin().await;
    world.gate(("two", 1), "Production", "*", 2, true, "NULL").await;
    let (first, second) = (world.server.signed_in("manager").await, world.server.signed_in("manager").await);
    let open = asked(&world.ann, 1, "Production").await;
    approve(&first, &open).await.expect("may approve");
    let twice = approve(&first, &open).await.expect_err("one person counts once");
    assert_eq!((twice.code(), twice.message()), (Code::AlreadyExists, "you have approved the request already, and one person counts once"));
    deactivate(&admin, &first.user_name).await;
    assert_eq!(approve(&second, &open).await.expect("counts itself").state(), v1::TransitionRequestState::Open);
    let request = v1::UpdateUserRequest { user_name: first.user_name.clone(), active: Some(true), ..Default::default() };
    let _: v1::UpdateUserResponse = admin.call("UpdateUser", request).await.expect("is back");
    let seen = get(&second, &open.request_id).await;
    assert_eq!((seen.approvals_given, seen.state()), (2, v1::TransitionRequestState::Open), "nobody has said so since");
    assert_eq!(approve(&second, &open).await.expect("once more").state(), v1::TransitionRequestState::Approved);
    assert_eq!(stage_of(&world.ann, 1).await, "Production");
    assert_eq!(get(&second, &open.request_id).await.decisions.len(), 2, "nobody counts twice");
    let (sound, said) = world.server.command(&["ledger", "verify", "--state"]);
    assert!(said.contains("gate \"two\" version 1") && !sound && !said.contains("request"), "{said}");
}

/// What people may do is read again within the approval, and what has begun to change it is waited for.
async fn an_approval_waits_for_a_change_of_access_that_has_begun(server: Server) {
    let world = world(server).await;
    world.gate(("two", 1), "Production", "*", 2, true, "NULL").await;
    let (first, second) = (world.server.signed_in("manager").await, world.server.signed_in("manager").await);
    let open = asked(&world.ann, 1, "Production").await;
    approve(&first, &open).await.expect("may approve");
    let change = world.sql.begin().await.expect("a transaction");
    let deactivation = format!("UPDATE users SET active = FALSE WHERE name = '{}'", first.user_name);
    for statement in ["UPDATE access_epoch SET epoch = epoch + 1", &deactivation] {
        change.execute_unprepared(statement).await.expect("is lawful");
    }
    let mut approval = std::pin::pin!(approve(&second, &open));
    let early = tokio::time::timeout(Duration::from_millis(700), &mut approval).await;
    assert!(early.is_err(), "{early:?}");
    change.commit().await.expect("is committed");
    let now = approval.await.expect("counts itself");
    assert_eq!((now.state(), now.approvals_given), (v1::TransitionRequestState::Open, 1), "{now:?}");
    assert_eq!(stage_of(&world.ann, 1).await, "None");
}

async fn nobody_approves_what_they_may_not_see(server: Server) {
    let world = world(server).await;
    let admin = world.server.admin().await;
    let blind = world.server.signed_in("manager").await;
    let (principal, effect) = (to_user(&blind.user_name), v1::GrantEffect::Deny.into());
    let persona = v1::CreatePersonaRequest { name: "reader".into(), permissions: vec!["models.read".into()], ..Default::default() };
    let _: v1::CreatePersonaResponse = admin.call("CreatePersona", persona).await.expect("a persona");
    grant(&admin, v1::CreateGrantRequest { principal, persona: "reader".into(), scope: on_model(), effect, ..Default::default() }).await;
    let open = asked(&world.ann, 1, "Production").await;
    let refusal = approve(&blind, &open).await.expect_err("they may not read the model");
    assert!(matches!(refusal.code(), Code::PermissionDenied | Code::NotFound), "{refusal}");
    assert_eq!(get(&world.ann, &open.request_id).await.approvals_given, 0);
}

async fn what_a_denied_run_logged_is_withheld(server: Server) {
    let world = world(server).await;
    let admin = world.server.admin().await;
    let request = v1::CreateExperimentRequest { name: "secret".into(), ..Default::default() };
    let made: v1::CreateExperimentResponse = world.eve.call("CreateExperiment", request).await.expect("an experiment");
    let request = v1::CreateRunRequest { experiment_id: made.experiment_id.clone(), ..Default::default() };
    let run: v1::CreateRunResponse = world.eve.call("CreateRun", request).await.expect("a run");
    let run_id = run.run.and_then(|run| run.info).expect("is answered").run_id;
    log(&world.eve, &run_id, 0.5, 0).await;
    let params = vec![v1::Param { key: "recipe".into(), value: "hidden".into() }];
    let request = v1::LogBatchRequest { run_id: run_id.clone(), params, ..Default::default() };
    let _: v1::LogBatchResponse = world.eve.call("LogBatch", request).await.expect("a batch");
    let number: u32 = version(&world.eve, NAME, "s3://bucket/model", &run_id).await.version.parse().expect("a number");
    for denied in [&world.ann, &world.max] {
        let (principal, scope, effect) = (to_user(&denied.user_name), on_experiment(&made.experiment_id), v1::GrantEffect::Deny.into());
        grant(&admin, v1::CreateGrantRequest { principal, persona: "viewer".into(), scope, effect, ..Default::default() }).await;
    }
    let run = v1::GetRunRequest { run_id: run_id.clone(), ..Default::default() };
    world.ann.call::<_, v1::GetRunResponse>("GetRun", run).await.expect_err("she is denied it");
    let open = asked(&world.ann, number, "Production").await;
    log(&world.eve, &run_id, 0.4, 1).await;
    let seen = full(&world.ann, &open.request_id).await;
    let told = format!("{seen:?}");
    let evidence = seen.evidence.expect("is there");
    let candidate = evidence.candidate.expect("a candidate");
    assert!(candidate.metrics.is_empty() && candidate.params.is_empty() && candidate.run_tags.is_empty(), "{candidate:?}");
    let withheld: BTreeSet<&str> = evidence.withheld.iter().map(String::as_str).collect();
    assert_eq!(withheld, ["candidate.metrics", "candidate.params", "candidate.run_tags"].into());
    assert!(!told.contains("hidden") && !told.contains("rmse"), "{told}");
    refused(approve(&world.max, &open).await, Code::PermissionDenied, "evidence");
    let request = v1::ListTransitionRequestsRequest { approvable_by_me: true, ..Default::default() };
    let mine: v1::ListTransitionRequestsResponse = world.max.call("ListTransitionRequests", request).await.expect("a list");
    assert!(mine.requests.is_empty());
    let other = world.server.signed_in("manager").await;
    assert!(full(&other, &open.request_id).await.evidence.expect("is there").withheld.is_empty());
    let approved: Result<v1::TransitionRequest, Status> = approve(&other, &open).await;
    assert_eq!(approved.expect("sees it").state(), v1::TransitionRequestState::Approved);
}
