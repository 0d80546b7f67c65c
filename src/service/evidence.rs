//! Evidence: gathered when a request is filed, compared when it is decided, shown to those who decide.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use super::{Error, Result};
use crate::contract::v1;
use crate::domain::evidence::{Evidence, EvidenceVersion};
use crate::domain::gate::Gate;
use crate::domain::metric_value;
use crate::store::requests::{self, RequestRow};
use crate::store::versions::{self, VersionRow};
use crate::store::{evidence as rows, moves};

/// The evidence for a version and a target as it is now: its digest and its canonical text.
pub(super) async fn of<C: ConnectionTrait>(on: &C, version: &VersionRow, target: &str, gate: &Gate) -> Result<(String, String)> {
    let record = gather(on, version, target, (&gate.gate_id, gate.version)).await?;
    canonical(&record)
}

/// How what a request rests on differs from what it is now, in words, and the digest and text of it now.
pub(super) async fn compare<C: ConnectionTrait>(
    on: &C,
    request: &RequestRow,
    version: &VersionRow,
) -> Result<(Vec<String>, String, String)> {
    let filed = stored(on, request).await?;
    let now = gather(on, version, &request.target, (&filed.gate_id, filed.gate_version)).await?;
    let (digest, text) = canonical(&now)?;
    Ok((filed.differences(&now), digest, text))
}

/// The record that a request rests on.
pub(super) async fn stored<C: ConnectionTrait>(on: &C, request: &RequestRow) -> Result<Evidence> {
    let text = requests::evidence(on, &request.uid, &request.evidence_digest).await?;
    let text = text.ok_or_else(|| Error::Internal("a request has no evidence".to_owned()))?;
    if Evidence::digest(&text) != request.evidence_digest {
        return Err(Error::Internal(format!("the evidence of request {} does not match its digest", request.uid)));
    }
    serde_json::from_str(&text).map_err(|error| Error::Internal(error.to_string()))
}

async fn gather<C: ConnectionTrait>(on: &C, version: &VersionRow, target: &str, gate: (&str, i32)) -> Result<Evidence> {
    let holder = match moves::holder(on, &version.model_uid, target).await? {
        Some(uid) => versions::by_uid(on, &uid).await?,
        None => None,
    };
    Ok(Evidence {
        candidate: rows::of_version(on, version).await?,
        holder: match holder {
            Some(holder) => Some(rows::of_version(on, &holder).await?),
            None => None,
        },
        target: target.to_owned(),
        gate_id: gate.0.to_owned(),
        gate_version: gate.1,
    })
}

fn canonical(record: &Evidence) -> Result<(String, String)> {
    let text = record.to_json().map_err(|error| Error::Internal(error.to_string()))?;
    Ok((Evidence::digest(&text), text))
}

/// A record as the contract has it.
pub(super) fn message(digest: &str, record: Evidence) -> v1::Evidence {
    v1::Evidence {
        digest: digest.to_owned(),
        candidate: Some(version_message(record.candidate)),
        holder: record.holder.map(version_message),
        gate_id: record.gate_id,
        gate_version: record.gate_version,
    }
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
