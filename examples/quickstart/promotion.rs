//! The governed part: moves, requests, decisions, and the deployer who watches.

use std::time::Duration;

use futures::StreamExt;
use stagegate::contract::v1::{self, TransitionRequestState};
use tokio::task::JoinHandle;

use crate::clients::Clients;
use crate::tracking::download;
use crate::{MODEL, People, Result, say};

/// The reason of the first rejection; the audit looks for it.
pub const REASON: &str = "Say first how it does on patients above sixty.";

/// From Staging to Production, with a refusal, a rejection and an approval on the way.
pub async fn tell(people: &mut People) -> Result<()> {
    move_to(&mut people.max, "2", "Production").await?;
    move_to(&mut people.eve, "1", "Staging").await?;
    say(
        "Direct moves",
        "max, a manager, moves version 2 to Production, as the gate still allows; eve, an ML engineer, moves\n\
         version 1 to Staging, which no gate protects.",
    );
    let refused = move_to(&mut people.ann, "1", "Production").await;
    let status = refused.err().ok_or("a data scientist must not move versions")?;
    say("A refusal", &format!("ann tries to move version 1 to Production:\n  {}: {}", status.code(), status.message()));

    let deployment = deployer_waits(&people.deployer).await?;
    let request = file(&mut people.ann, "It beats version 2 on held-out rows.").await?;
    review(&mut people.max).await?;
    let rejection = v1::RejectTransitionRequestRequest { request_id: request.request_id, comment: REASON.into() };
    people.max.registry.reject_transition_request(rejection).await?;
    println!("  max rejects it: {REASON}");

    let request = file(&mut people.ann, "Above sixty its rmse is lower by two points.").await?;
    let digest = review(&mut people.max).await?;
    let approval = v1::ApproveTransitionRequestRequest {
        request_id: request.request_id,
        evidence_digest: digest,
        comment: "Thank you.".into(),
        archive_existing_versions: None,
    };
    let answer = people.max.registry.approve_transition_request(approval).await?.into_inner();
    let approved = answer.request.is_some_and(|request| request.state() == TransitionRequestState::Approved);
    if !approved {
        return Err("one approval meets the quorum".into());
    }
    println!("  max approves the evidence that he saw.");
    show_stages(&mut people.max).await?;
    let (version, size) = tokio::time::timeout(Duration::from_secs(20), deployment).await???;
    say(
        "Deployment",
        &format!(
            "The deployer, which was watching, heard of it and downloaded models:/{MODEL}/Production:\nversion {version}, model.json, {size} bytes."
        ),
    );
    Ok(())
}

async fn move_to(who: &mut Clients, version: &str, stage: &str) -> std::result::Result<(), tonic::Status> {
    let request = v1::TransitionModelVersionStageRequest {
        name: MODEL.into(),
        version: version.into(),
        stage: stage.into(),
        ..v1::TransitionModelVersionStageRequest::default()
    };
    who.registry.transition_model_version_stage(request).await.map(|_| ())
}

async fn file(ann: &mut Clients, comment: &str) -> Result<v1::TransitionRequest> {
    let request = v1::CreateTransitionRequestRequest {
        name: MODEL.into(),
        version: "1".into(),
        stage: "Production".into(),
        comment: comment.into(),
        ..v1::CreateTransitionRequestRequest::default()
    };
    let filed = ann.registry.create_transition_request(request).await?.into_inner().request.ok_or("a request was filed")?;
    say("A request", &format!("ann files request {}: {comment}", &filed.request_id[..8]));
    Ok(filed)
}

/// The manager's list, and what he approves.
async fn review(max: &mut Clients) -> Result<String> {
    let request = v1::ListTransitionRequestsRequest { approvable_by_me: true, ..v1::ListTransitionRequestsRequest::default() };
    let open = max.registry.list_transition_requests(request).await?.into_inner().requests;
    let [one] = open.as_slice() else { return Err(format!("one request is open, not {}", open.len()).into()) };
    let request = v1::GetTransitionRequestRequest { request_id: one.request_id.clone() };
    let shown = max.registry.get_transition_request(request).await?.into_inner();
    let evidence = shown.evidence.ok_or("a request has evidence")?;
    println!("  max finds it in his list and looks at the evidence {}:", &evidence.digest[..12]);
    for (whose, version) in [("candidate", evidence.candidate), ("holder now", evidence.holder)] {
        let Some(version) = version else { continue };
        let metrics: Vec<String> = version
            .metrics
            .iter()
            .filter(|metric| metric.key != "path_rmse")
            .map(|metric| format!("{} {:.3}", metric.key, metric.value.unwrap_or(f64::NAN)))
            .collect();
        let tags: Vec<String> = version.tags.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect();
        println!(
            "    {whose:<10}  version {}  run {}  {}  [{}]  files {}",
            version.version,
            &version.run_id[..8],
            metrics.join("  "),
            tags.join(", "),
            &version.source_digest[..12]
        );
    }
    Ok(evidence.digest)
}

async fn show_stages(max: &mut Clients) -> Result<()> {
    let request = v1::SearchModelVersionsRequest {
        filter: format!("name = '{MODEL}'"),
        order_by: vec!["version_number ASC".into()],
        ..v1::SearchModelVersionsRequest::default()
    };
    let versions = max.registry.search_model_versions(request).await?.into_inner().model_versions;
    let shown: Vec<String> =
        versions.iter().map(|version| format!("version {} is in {}", version.version, version.current_stage)).collect();
    println!("  In one transaction: {}.", shown.join(", "));
    Ok(())
}

/// Watches from now on, and downloads the model file when a version has been promoted.
async fn deployer_waits(deployer: &Clients) -> Result<JoinHandle<Result<(String, usize)>>> {
    let mut deployer = deployer.clone();
    let filter = v1::LedgerFilter { registered_model: MODEL.into(), ..v1::LedgerFilter::default() };
    let request = v1::WatchLedgerRequest { from_position: None, filter: Some(filter) };
    let mut events = deployer.ledger.watch_ledger(request).await?.into_inner();
    Ok(tokio::spawn(async move {
        while let Some(event) = events.next().await {
            let promoted =
                |entry: &v1::LedgerEntry| entry.object_kind == "model_version" && entry.action.ends_with("/ApproveTransitionRequest");
            if event?.entries.iter().any(promoted) {
                let (version, bytes) = download(&mut deployer, "Production", "model.json").await?;
                return Ok((version, bytes.len()));
            }
        }
        Err("the watch ended early".into())
    }))
}
