//! What a promotion rests on, gathered from a version, its run and their tags, and the records of it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, Value};

use super::versions::VersionRow;
use super::{StoreError, Tx, sql};
use crate::bind;
use crate::domain::evidence::{EvidenceMetric, EvidenceRuns, EvidenceVersion, KeptEvidence, Room};
use crate::domain::metric_value;

type Result<T> = std::result::Result<T, StoreError>;

/// Entries that are read at a time: metrics; params and tags of a run, of thousands of characters each; tags of a version,
/// of a hundred thousand. There may be any number of them.
const METRICS: i64 = 500;
const RUN_TEXTS: i64 = 100;
const VERSION_TAGS: i64 = 8;

/// What is known of a version besides what decides, in the order in which records are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Latest values of the run.
    Metrics,
    /// The version's own tags.
    Tags,
    /// The run's.
    Params,
    /// The run's.
    RunTags,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Metrics, Self::Tags, Self::Params, Self::RunTags];

    /// As a record names it.
    fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Tags => "tags",
            Self::Params => "params",
            Self::RunTags => "run_tags",
        }
    }
}

/// A version as it is now, without what [`fill`] adds.
pub fn bare(version: &VersionRow) -> EvidenceVersion {
    EvidenceVersion {
        model_uid: version.model_uid.clone(),
        name: version.model_name.clone(),
        version: i32::try_from(version.version).unwrap_or(i32::MAX),
        source: version.source.clone(),
        source_digest: version.source_digest.clone(),
        run_id: version.run_id.clone(),
        metrics: BTreeMap::new(),
        params: BTreeMap::new(),
        run_tags: BTreeMap::new(),
        tags: BTreeMap::new(),
    }
}

/// Adds one kind of what is known of a version, as far as there is room. `whole` reads also what there is no room for,
/// so that it is counted and hashed.
pub async fn fill<C: ConnectionTrait>(
    on: &C,
    version: &VersionRow,
    whose: &str,
    kind: Kind,
    evidence: &mut EvidenceVersion,
    room: &mut Room,
    whole: bool,
) -> Result<()> {
    let name = format!("{whose}.{}", kind.name());
    match (kind, version.run) {
        (Kind::Metrics, Some(run)) => metrics(on, run, &name, &mut evidence.metrics, room, whole).await,
        (Kind::Params, Some(run)) => {
            let query = "SELECT param_key, value FROM params WHERE run = $1 AND param_key > $2 ORDER BY param_key LIMIT $3";
            texts(on, (query, RUN_TEXTS), run.into(), &name, &mut evidence.params, room, whole).await
        }
        (Kind::RunTags, Some(run)) => {
            let query = "SELECT tag_key, value FROM run_tags WHERE run = $1 AND tag_key > $2 ORDER BY tag_key LIMIT $3";
            texts(on, (query, RUN_TEXTS), run.into(), &name, &mut evidence.run_tags, room, whole).await
        }
        (Kind::Tags, _) => {
            let query = "SELECT tag_key, value FROM model_version_tags WHERE version_uid = $1 AND tag_key > $2 ORDER BY tag_key LIMIT $3";
            texts(on, (query, VERSION_TAGS), version.uid.as_str().into(), &name, &mut evidence.tags, room, whole).await
        }
        (_, None) => Ok(()),
    }
}

async fn metrics<C: ConnectionTrait>(
    on: &C,
    run: i64,
    name: &str,
    into: &mut BTreeMap<String, EvidenceMetric>,
    room: &mut Room,
    whole: bool,
) -> Result<()> {
    let query = "SELECT k.name, l.value, l.time, l.step FROM latest_metrics l JOIN metric_keys k ON k.id = l.metric \
                 WHERE l.run = $1 AND k.name > $2 ORDER BY k.name LIMIT $3";
    let mut after = String::new();
    loop {
        let page = sql::all(on, query, bind![run, after.clone(), METRICS]).await?;
        for row in &page {
            let (key, metric): (String, _) =
                (row.get(0)?, EvidenceMetric { stored: row.get(1)?, timestamp: row.get(2)?, step: row.get(3)? });
            after.clone_from(&key);
            let text = format!("{} {} {}", metric_value::decode(metric.stored), metric.timestamp, metric.step);
            if room.holds(name, &key, &text) {
                into.insert(key, metric);
            } else if !whole {
                return Ok(());
            }
        }
        if page.len() < METRICS.unsigned_abs() as usize {
            return Ok(());
        }
    }
}

async fn texts<C: ConnectionTrait>(
    on: &C,
    (query, entries): (&str, i64),
    of: Value,
    name: &str,
    into: &mut BTreeMap<String, String>,
    room: &mut Room,
    whole: bool,
) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = sql::all(on, query, bind![of.clone(), after.clone(), entries]).await?;
        for row in &page {
            let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
            after.clone_from(&key);
            if room.holds(name, &key, &value) {
                into.insert(key, value);
            } else if !whole {
                return Ok(());
            }
        }
        if page.len() < entries.unsigned_abs() as usize {
            return Ok(());
        }
    }
}

/// Keeps a record for a request. A record is stored once, however many requests rest on it.
pub async fn insert(tx: &Tx, request_uid: &str, kept: &KeptEvidence) -> Result<()> {
    let KeptEvidence { digest, text, runs } = kept;
    let insert = "INSERT INTO evidence (digest, record, candidate_run, holder_run, created) SELECT $1, $2, $3, $4, $5 \
                  WHERE NOT EXISTS (SELECT 1 FROM evidence e WHERE e.digest = $1) ON CONFLICT (digest) DO NOTHING";
    let values = bind![digest.as_str(), text.as_str(), runs.candidate.clone(), runs.holder.clone(), tx.now()];
    sql::execute(&**tx, insert, values).await?;
    let insert = "INSERT INTO request_evidence (request_uid, digest, created) SELECT $1, $2, $3 \
                  WHERE NOT EXISTS (SELECT 1 FROM request_evidence e WHERE e.request_uid = $1 AND e.digest = $2) ON CONFLICT DO NOTHING";
    sql::execute(&**tx, insert, bind![request_uid, digest.as_str(), tx.now()]).await?;
    Ok(())
}

/// The runs that a record tells of.
pub async fn runs<C: ConnectionTrait>(on: &C, digest: &str) -> Result<EvidenceRuns> {
    let row = sql::one(on, "SELECT candidate_run, holder_run FROM evidence WHERE digest = $1", bind![digest]).await?;
    Ok(EvidenceRuns { candidate: row.get(0)?, holder: row.get(1)? })
}

/// A record by its digest.
pub async fn by_digest<C: ConnectionTrait>(on: &C, digest: &str) -> Result<Option<String>> {
    sql::first(on, "SELECT record FROM evidence WHERE digest = $1", bind![digest]).await?.map(|row| row.get(0)).transpose()
}
