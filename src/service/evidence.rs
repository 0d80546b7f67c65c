//! Evidence: gathered when a request is filed, compared when it is decided, shown to those who decide.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use super::{Error, Result};
use crate::access::Call;
use crate::contract::{Permission, v1};
use crate::domain::access::{Object, Snapshot};
use crate::domain::evidence::{Difference, Evidence, EvidenceRuns, EvidenceVersion, KeptEvidence, LeftOut, Room};
use crate::domain::gate::Gate;
use crate::domain::metric_value;
use crate::store::evidence::{self as rows, Kind};
use crate::store::requests::RequestRow;
use crate::store::versions::{self, VersionRow};
use crate::store::{Tx, moves, objects};

/// How much of a record is gathered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// What decides.
    Decisive,
    /// And the rest, as far as a record holds it.
    Seen,
    /// And the digest of what it does not hold.
    Whole,
}

/// For what a key is derived that salts records.
const SALT: &str = "stagegate evidence salt v1";

/// The evidence for a version and a target as it is now.
pub(super) async fn of(tx: &Tx, call: &Call, version: &VersionRow, target: &str, gate: &Gate) -> Result<KeptEvidence> {
    let record = gather(&**tx, version, target, (&gate.gate_id, gate.version), Depth::Whole).await?;
    record.keep(&call.access().master().derive(SALT)).map_err(|error| Error::Internal(error.to_string()))
}

/// What has changed of what decides since a record was filed, in words; empty when nothing has.
pub(super) async fn decisive_changes<C: ConnectionTrait>(
    on: &C,
    filed: &Evidence,
    request: &RequestRow,
    version: &VersionRow,
) -> Result<Vec<String>> {
    let now = gather(on, version, &request.target, (&filed.gate_id, filed.gate_version), Depth::Decisive).await?;
    let changed = filed.differences(&now).into_iter().filter(|difference| difference.decides);
    Ok(changed.map(|difference| difference.text).collect())
}

/// How the sources of a record differ from it now, as far as it holds them.
pub(super) async fn differences<C: ConnectionTrait>(
    on: &C,
    filed: &Evidence,
    request: &RequestRow,
    version: &VersionRow,
) -> Result<Vec<Difference>> {
    let now = gather(on, version, &request.target, (&filed.gate_id, filed.gate_version), Depth::Seen).await?;
    Ok(filed.differences(&now))
}

/// The record that a request rests on.
pub(super) async fn stored<C: ConnectionTrait>(on: &C, request: &RequestRow) -> Result<Evidence> {
    let text = rows::by_digest(on, &request.evidence_digest).await?;
    let text = text.ok_or_else(|| Error::Internal("a request has no evidence".to_owned()))?;
    if Evidence::digest(&text) != request.evidence_digest {
        return Err(Error::Internal(format!("the evidence of request {} does not match its digest", request.uid)));
    }
    serde_json::from_str(&text).map_err(|error| Error::Internal(error.to_string()))
}

async fn gather<C: ConnectionTrait>(on: &C, version: &VersionRow, target: &str, gate: (&str, i32), depth: Depth) -> Result<Evidence> {
    let holder = match moves::holder(on, &version.model_uid, target).await? {
        Some(uid) => versions::by_uid(on, &uid).await?,
        None => None,
    };
    let mut candidate = rows::bare(version);
    let mut held = holder.as_ref().map(rows::bare);
    let mut room = Room::default();
    let whole = depth == Depth::Whole;
    // Kind by kind for both versions, the long kinds last: the two are compared, and room may run out.
    for kind in Kind::ALL.into_iter().filter(|_| depth != Depth::Decisive) {
        rows::fill(on, version, "candidate", kind, &mut candidate, &mut room, whole).await?;
        if let (Some(row), Some(held)) = (&holder, &mut held) {
            rows::fill(on, row, "holder", kind, held, &mut room, whole).await?;
        }
    }
    let left_out = room.left_out();
    Ok(Evidence {
        candidate,
        holder: held,
        target: target.to_owned(),
        gate_id: gate.0.to_owned(),
        gate_version: gate.1,
        left_out,
        salt: String::new(),
    })
}

/// Which of the two versions of a record have a run that somebody may not read, as `may` decides: `candidate`, `holder`.
pub(super) async fn withheld<C: ConnectionTrait>(
    on: &C,
    runs: &EvidenceRuns,
    may: impl Fn(Permission, &Object) -> bool,
) -> Result<Vec<&'static str>> {
    let mut hidden = Vec::new();
    for (whose, run_id) in runs.each() {
        // A run that is not here, such as one that was purged, is a matter of the server.
        let run = objects::run(on, run_id).await?.unwrap_or(Object::SERVER);
        if !may(Permission::ExperimentsRead, &run) {
            hidden.push(whose);
        }
    }
    Ok(hidden)
}

/// The same for the caller.
pub(super) async fn withheld_from<C: ConnectionTrait>(
    on: &C,
    call: &Call,
    snapshot: &Snapshot,
    runs: &EvidenceRuns,
) -> Result<Vec<&'static str>> {
    withheld(on, runs, |permission, object| call.decide(snapshot, permission, object).allowed).await
}

/// A record as the contract has it.
pub(super) fn message(digest: &str, record: Evidence) -> v1::Evidence {
    v1::Evidence {
        digest: digest.to_owned(),
        candidate: Some(version_message(record.candidate)),
        holder: record.holder.map(version_message),
        gate_id: record.gate_id,
        gate_version: record.gate_version,
        left_out: record.left_out.map(left_out_message),
        withheld: Vec::new(),
    }
}

fn left_out_message(left: LeftOut) -> v1::EvidenceLeftOut {
    let entries = left.entries.into_iter().map(|(kind, count)| v1::EvidenceLeftOutKind { kind, entries: count.cast_signed() });
    v1::EvidenceLeftOut { kinds: entries.collect(), bytes: left.bytes.cast_signed(), sha256: left.sha256 }
}

/// Takes out of a record what the runs logged that the caller may not read, and says so.
pub(super) fn withhold(record: &mut Evidence, hidden: &[&str]) -> Vec<String> {
    let mut withheld = Vec::new();
    if !hidden.is_empty() && record.left_out.take().is_some() {
        withheld.push("left_out".to_owned());
    }
    for whose in hidden {
        let version = if *whose == "candidate" { Some(&mut record.candidate) } else { record.holder.as_mut() };
        let Some(version) = version else { continue };
        version.metrics.clear();
        version.params.clear();
        version.run_tags.clear();
        withheld.extend(["metrics", "params", "run_tags"].map(|kind| format!("{whose}.{kind}")));
    }
    withheld
}

fn version_message(version: EvidenceVersion) -> v1::EvidenceVersion {
    let metrics = version.metrics.into_iter().map(|(key, metric)| v1::Metric {
        key,
        value: Some(metric_value::decode(metric.stored)),
        timestamp: Some(metric.timestamp),
        step: metric.step,
        ..v1::Metric::default()
    });
    v1::EvidenceVersion {
        name: version.name,
        version: version.version.to_string(),
        source: version.source,
        source_digest: version.source_digest,
        run_id: version.run_id,
        metrics: metrics.collect(),
        params: version.params.into_iter().map(|(key, value)| v1::Param { key, value }).collect(),
        run_tags: tags(version.run_tags),
        tags: tags(version.tags),
    }
}

fn tags(tags: BTreeMap<String, String>) -> Vec<v1::Tag> {
    tags.into_iter().map(|(key, value)| v1::Tag { key, value }).collect()
}
