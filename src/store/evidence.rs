//! What a promotion rests on, gathered from a version, its run and their tags.

use std::collections::BTreeMap;

use sea_orm::ConnectionTrait;

use super::versions::VersionRow;
use super::{StoreError, sql};
use crate::bind;
use crate::domain::evidence::{EvidenceMetric, EvidenceVersion};

type Result<T> = std::result::Result<T, StoreError>;

/// A version as it is now.
pub async fn of_version<C: ConnectionTrait>(on: &C, version: &VersionRow) -> Result<EvidenceVersion> {
    let mut evidence = EvidenceVersion {
        model_uid: version.model_uid.clone(),
        name: version.model_name.clone(),
        version: i32::try_from(version.version).unwrap_or(i32::MAX),
        source: version.source.clone(),
        source_digest: version.source_digest.clone(),
        run_id: version.run_id.clone(),
        metrics: BTreeMap::new(),
        params: BTreeMap::new(),
        run_tags: BTreeMap::new(),
        tags: texts(on, "SELECT tag_key, value FROM model_version_tags WHERE version_uid = $1", version.uid.as_str()).await?,
    };
    if let Some(run) = version.run {
        evidence.params = texts(on, "SELECT param_key, value FROM params WHERE run = $1", run).await?;
        evidence.run_tags = texts(on, "SELECT tag_key, value FROM run_tags WHERE run = $1", run).await?;
        let query = "SELECT k.name, l.value, l.time, l.step FROM latest_metrics l JOIN metric_keys k ON k.id = l.metric WHERE l.run = $1";
        for row in sql::all(on, query, bind![run]).await? {
            let metric = EvidenceMetric { stored: row.get(1)?, timestamp: row.get(2)?, step: row.get(3)? };
            evidence.metrics.insert(row.get(0)?, metric);
        }
    }
    Ok(evidence)
}

async fn texts<C: ConnectionTrait>(on: &C, query: &str, id: impl Into<sea_orm::Value>) -> Result<BTreeMap<String, String>> {
    sql::all(on, query, bind![id.into()]).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
