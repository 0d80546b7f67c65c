//! The registry and the logged models in MLflow's own database.

use std::collections::HashMap;

use sea_orm::Value;

use super::Result;
use super::database::{Database, PART, fault, page};
use super::found::{self, Link, LoggedModel, Model, ModelMetric, Page, Version};
use crate::bind;
use crate::store::{StoreError, sql};

type Read<T> = std::result::Result<T, StoreError>;

impl Database {
    /// Registered models behind a name.
    pub async fn models(&self, after: Option<&str>) -> Result<Page<Model>> {
        let own = if self.schema.workspaces() { " AND v.workspace = m.workspace" } else { "" };
        let query = format!(
            "SELECT m.name, COALESCE(m.description, ''), COALESCE(m.creation_time, 0), COALESCE(m.last_updated_time, 0), \
             CAST(COALESCE((SELECT MAX(v.version) FROM model_versions v WHERE v.name = m.name{own}), 0) AS BIGINT) \
             FROM registered_models m WHERE m.name > $1{} ORDER BY m.name LIMIT $2",
            self.ours("m")
        );
        let rows = self.all(&query, bind![after.unwrap_or_default(), PART]).await?;
        let names: Vec<Value> =
            rows.iter().map(|row| row.get::<String>(0).map(Value::from)).collect::<std::result::Result<_, _>>().map_err(fault)?;
        let ours = if self.schema.workspaces() { "workspace = 'default' AND " } else { "" };
        let mut tags =
            self.pairs(&format!("SELECT name, \"key\", value FROM registered_model_tags WHERE {ours}name IN"), names.clone()).await?;
        let mut aliases = if self.schema.aliases() {
            let query = format!("SELECT name, alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE {ours}name IN");
            self.pairs(&query, names).await?
        } else {
            HashMap::new()
        };
        let read = |row: &sql::Row| {
            let name: String = row.get(0)?;
            let (tags, aliases) = (tags.remove(&name).unwrap_or_default(), aliases.remove(&name).unwrap_or_default());
            let aliases = aliases.into_iter().filter_map(|(alias, version)| Some((alias, version.parse().ok()?))).collect();
            Ok(Model {
                name,
                description: row.get(1)?,
                created: row.get(2)?,
                updated: row.get(3)?,
                last_version: row.get(4)?,
                tags,
                aliases,
            })
        };
        let items: Vec<Model> = rows.iter().map(read).collect::<std::result::Result<_, _>>().map_err(fault)?;
        Ok(page(items, |last| last.name.clone()))
    }

    /// Live versions behind a model's name and a number, by both.
    pub async fn versions(&self, after: Option<&str>) -> Result<Page<Version>> {
        let after: (String, i64) = after.and_then(|after| serde_json::from_str(after).ok()).unwrap_or_default();
        let query = format!(
            "SELECT v.name, CAST(v.version AS BIGINT), COALESCE(v.description, ''), COALESCE(v.user_id, ''), COALESCE(v.current_stage, 'None'), \
             COALESCE(v.source, ''), COALESCE(v.run_id, ''), COALESCE(v.run_link, ''), COALESCE(v.creation_time, 0), \
             COALESCE(v.last_updated_time, 0) FROM model_versions v WHERE (v.name, v.version) > ($1, $2) \
             AND COALESCE(v.current_stage, '') <> 'Deleted_Internal'{} ORDER BY v.name, v.version LIMIT $3",
            self.ours("v")
        );
        let rows = self.all(&query, bind![after.0, after.1, PART]).await?;
        let names = rows.iter().map(|row| row.get::<String>(0)).collect::<std::result::Result<Vec<_>, _>>().map_err(fault)?;
        let ours = if self.schema.workspaces() { "workspace = 'default' AND " } else { "" };
        // The number comes first, so that no name can be taken for another.
        let query = format!("SELECT CAST(version AS TEXT) || '/' || name, \"key\", value FROM model_version_tags WHERE {ours}name IN");
        let mut distinct = names.clone();
        distinct.dedup();
        let mut tags = self.pairs(&query, distinct.into_iter().map(Value::from).collect()).await?;
        let read = |row: &sql::Row| {
            let (model, version): (String, i64) = (row.get(0)?, row.get(1)?);
            let tags = tags.remove(&format!("{version}/{model}")).unwrap_or_default();
            Ok(Version {
                model,
                version,
                description: row.get(2)?,
                user_id: row.get(3)?,
                stage: row.get(4)?,
                source: row.get(5)?,
                run_id: row.get(6)?,
                run_link: row.get(7)?,
                created: row.get(8)?,
                updated: row.get(9)?,
                tags,
            })
        };
        let items: Vec<Version> = rows.iter().map(read).collect::<std::result::Result<_, _>>().map_err(fault)?;
        Ok(page(items, |last| serde_json::json!([last.model, last.version]).to_string()))
    }

    /// Logged models behind an id, deleted ones as well.
    pub async fn logged_models(&self, after: Option<&str>) -> Result<Page<LoggedModel>> {
        if !self.schema.logged_models() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let query = format!(
            "SELECT g.model_id, CAST(g.experiment_id AS BIGINT), g.name, COALESCE(g.model_type, ''), COALESCE(g.source_run_id, ''), \
             CAST(g.status AS BIGINT), COALESCE(g.lifecycle_stage, 'active'), g.artifact_location, g.creation_timestamp_ms, \
             g.last_updated_timestamp_ms FROM logged_models g WHERE g.model_id > $1{} ORDER BY g.model_id LIMIT $2",
            self.ours_by_experiment("g.experiment_id")
        );
        let rows = self.all(&query, bind![after.unwrap_or_default(), PART]).await?;
        let ids = rows.iter().map(|row| row.get::<String>(0).map(Value::from)).collect::<Read<Vec<_>>>().map_err(fault)?;
        let mut params =
            self.pairs("SELECT model_id, param_key, param_value FROM logged_model_params WHERE model_id IN", ids.clone()).await?;
        let mut tags = self.pairs("SELECT model_id, tag_key, tag_value FROM logged_model_tags WHERE model_id IN", ids.clone()).await?;
        let mut metrics = self.model_metrics(&ids).await?;
        let mut links = self.links(&ids).await?;
        let read = |row: &sql::Row| {
            let model_id: String = row.get(0)?;
            Ok(LoggedModel {
                experiment: row.get(1)?,
                name: row.get(2)?,
                model_type: row.get(3)?,
                source_run_id: row.get(4)?,
                status: i32::try_from(row.get::<i64>(5)?).unwrap_or_default(),
                active: row.get::<String>(6)? != "deleted",
                artifact_uri: row.get(7)?,
                created: row.get(8)?,
                updated: row.get(9)?,
                params: params.remove(&model_id).unwrap_or_default(),
                tags: tags.remove(&model_id).unwrap_or_default(),
                metrics: metrics.remove(&model_id).unwrap_or_default(),
                links: links.remove(&model_id).unwrap_or_default(),
                model_id,
            })
        };
        let items: Vec<LoggedModel> = rows.iter().map(read).collect::<Read<_>>().map_err(fault)?;
        Ok(page(items, |last| last.model_id.clone()))
    }

    async fn model_metrics(&self, models: &[Value]) -> Result<HashMap<String, Vec<ModelMetric>>> {
        let mut found: HashMap<String, Vec<ModelMetric>> = HashMap::new();
        if models.is_empty() {
            return Ok(found);
        }
        let query = format!(
            "SELECT model_id, metric_name, CAST(metric_value AS DOUBLE PRECISION), metric_timestamp_ms, metric_step, run_id, \
             COALESCE(dataset_name, ''), COALESCE(dataset_digest, '') FROM logged_model_metrics WHERE model_id IN {}",
            sql::rows_of(1, 1, models.len())
        );
        for row in self.all(&query, models.to_vec()).await? {
            let read = || -> Read<_> {
                // There is no mark for NaN here: the database has NULL, or NaN itself.
                let value = row.get::<Option<f64>>(2)?.unwrap_or(f64::NAN);
                let metric = ModelMetric {
                    key: row.get(1)?,
                    value: found::value(value, false),
                    time: row.get(3)?,
                    step: row.get(4)?,
                    run_id: row.get(5)?,
                    dataset_name: row.get(6)?,
                    dataset_digest: row.get(7)?,
                };
                Ok((row.get(0)?, metric))
            };
            let (model, metric): (String, ModelMetric) = read().map_err(fault)?;
            found.entry(model).or_default().push(metric);
        }
        Ok(found)
    }

    async fn links(&self, models: &[Value]) -> Result<HashMap<String, Vec<Link>>> {
        let mut found: HashMap<String, Vec<Link>> = HashMap::new();
        if models.is_empty() {
            return Ok(found);
        }
        let step = if self.schema.input_steps() { "step" } else { "CAST(0 AS BIGINT)" };
        let query = format!(
            "SELECT source_id, destination_id, destination_type, {step} FROM inputs WHERE destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT') \
             AND destination_id IN {}",
            sql::rows_of(1, 1, models.len())
        );
        for row in self.all(&query, models.to_vec()).await? {
            let read = || -> Read<_> {
                let made = row.get::<String>(2)? == "MODEL_OUTPUT";
                Ok(Link { run_id: row.get(0)?, model_id: row.get(1)?, made_at: made.then_some(row.get(3)?) })
            };
            let link = read().map_err(fault)?;
            found.entry(link.model_id.clone()).or_default().push(link);
        }
        Ok(found)
    }
}
