//! Two servers on one PostgreSQL: what one of them changes, the other knows within a second.

use std::time::{Duration, Instant};

use base64::Engine;
use prost::Message;
use stagegate::contract::v1;
use tonic::{Code, Status};

use crate::house::{Client, Db, Server, declared};

/// How long a change of access may take to be seen everywhere.
const SEEN: Duration = Duration::from_secs(1);

async fn two() -> Option<(Server, Server)> {
    let one = Server::on(Db::Postgres).await?;
    let other = one.replica();
    Some((one, other))
}

async fn reads(client: &Client) -> Result<v1::GetExperimentResponse, Status> {
    client.call("GetExperiment", v1::GetExperimentRequest { experiment_id: "0".to_owned() }).await
}

/// Calls until the answer is as wanted. No call that begins more than a second behind `since` may answer otherwise.
async fn seen(client: &Client, since: Instant, wanted: impl Fn(&Result<v1::GetExperimentResponse, Status>) -> bool) {
    loop {
        let begun = since.elapsed();
        let answer = reads(client).await;
        if wanted(&answer) {
            return;
        }
        assert!(begun < SEEN, "{begun:?} later still {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn code(answer: &Result<v1::GetExperimentResponse, Status>) -> Code {
    answer.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_takes_away_the_other_refuses_within_a_second() {
    let Some((one, other)) = two().await else { return };
    let admin = one.admin().await;
    let here = one.as_("viewer").await;
    let there = other.moved(&here);
    seen(&there, Instant::now(), |answer| code(answer) == Code::Ok).await;
    let who: v1::WhoAmIResponse = here.call("WhoAmI", v1::WhoAmIRequest::default()).await.expect("a user knows itself");
    let token_id = who.token.expect("the call came with a token").token_id;
    let _: v1::RevokeTokenResponse = admin.call("RevokeToken", v1::RevokeTokenRequest { token_id }).await.expect("an admin revokes");
    seen(&there, Instant::now(), |answer| code(answer) == Code::Unauthenticated).await;
    assert_eq!(code(&reads(&here).await), Code::Unauthenticated, "where it was revoked, it is refused at once");

    let stranger = one.as_("").await;
    let there = other.moved(&stranger);
    seen(&there, Instant::now(), |answer| code(answer) == Code::PermissionDenied).await;
    let principal = v1::Principal { principal: Some(v1::principal::Principal::UserName(stranger.user_name.clone())) };
    let request = v1::CreateGrantRequest {
        principal: Some(principal),
        persona: "viewer".to_owned(),
        scope: Some(v1::Scope { scope: Some(v1::scope::Scope::Server(v1::WholeServer {})) }),
        effect: v1::GrantEffect::Allow.into(),
        ..Default::default()
    };
    let made: v1::CreateGrantResponse = admin.call("CreateGrant", request).await.expect("an admin grants");
    seen(&there, Instant::now(), |answer| code(answer) == Code::Ok).await;
    let request = v1::DeleteGrantRequest { grant_id: made.grant.expect("the grant is shown").grant_id };
    let _: v1::DeleteGrantResponse = admin.call("DeleteGrant", request).await.expect("an admin takes it back");
    seen(&there, Instant::now(), |answer| code(answer) == Code::PermissionDenied).await;
}

/// The name of the key that signed a client's token.
fn key_of(client: &Client) -> String {
    let token = client.authorization[0].strip_prefix("Bearer ").expect("a bearer token");
    let header = token.split('.').next().expect("a header");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64");
    let header: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    header["kid"].as_str().expect("a key's name").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_signing_key_is_known_to_both_at_once_and_used_by_both_within_a_second() {
    let Some((one, other)) = two().await else { return };
    let admin = one.admin().await;
    let rotated: v1::RotateSigningKeyResponse =
        admin.call("RotateSigningKey", v1::RotateSigningKeyRequest::default()).await.expect("an admin rotates");
    let since = Instant::now();
    let signed = one.admin().await;
    assert!(key_of(&signed) == rotated.key_id && key_of(&admin) != rotated.key_id);
    assert_eq!(code(&reads(&other.moved(&signed)).await), Code::Ok, "the new key is looked up at the first token of it");
    assert_eq!(code(&reads(&other.moved(&admin)).await), Code::Ok, "tokens of the old key stay good");
    loop {
        let begun = since.elapsed();
        if key_of(&other.admin().await) == rotated.key_id {
            break;
        }
        assert!(begun < SEEN, "the other one still signs with the old key");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn create(client: &Client, name: String) {
    let request = v1::CreateExperimentRequest { name, ..Default::default() };
    let _: v1::CreateExperimentResponse = client.call("CreateExperiment", request).await.expect("an experiment can be made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_of_both_is_one_and_goes_on_when_one_of_them_dies() {
    let Some((mut one, other)) = two().await else { return };
    let (here, there) = (one.admin().await, other.admin().await);
    let watch = declared("WatchLedger");
    let request = v1::WatchLedgerRequest { from_position: Some(0), ..Default::default() };
    let mut watched = there.open(watch.path, request.encode_to_vec()).await.expect("an admin watches").into_inner();
    let writers = (0..8).map(|writer| {
        let client = if writer % 2 == 0 { here.clone() } else { there.clone() };
        tokio::spawn(async move {
            for number in 0..10 {
                create(&client, format!("both-{writer}-{number}")).await;
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("writers do not fail");
    }
    one.kill9();
    create(&there, "both-last".to_owned()).await;
    let (mut names, mut next) = (Vec::new(), 0);
    while names.len() < 81 {
        let message = tokio::time::timeout(Duration::from_secs(20), watched.message()).await.expect("messages come");
        let message = message.expect("the stream goes on").expect("the stream does not end");
        let message = v1::WatchLedgerResponse::decode(message).expect("a message of the stream");
        for entry in message.entries {
            assert_eq!(entry.position, next, "in order, none missing");
            next += 1;
            names.extend(Some(entry.object_name).filter(|name| name.starts_with("both-")));
        }
    }
    assert_eq!(names.last().map(String::as_str), Some("both-last"));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 81, "each once");
    let verdict: v1::VerifyLedgerResponse =
        there.last("VerifyLedger", v1::VerifyLedgerRequest::default()).await.expect("the ledger can be verified");
    assert!(verdict.done && verdict.sound, "{}", verdict.report);
}
