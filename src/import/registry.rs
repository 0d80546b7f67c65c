//! Brings registered models, versions, stages and aliases.

use std::collections::HashMap;

use serde_json::json;

use super::fit;
use super::found::{Model, Version};
use super::report::{Progress, Report};
use super::source::Source;
use super::tracking::{mended, object, of_one};
use super::{Error, Import, Result, actions};
use crate::access::Subject;
use crate::clock;
use crate::domain::ledger::{Holders, ModelNow, VersionNow, with_now};
use crate::domain::source::{self as version_source, Source as VersionSource};
use crate::domain::{limits, stage, text};
use crate::service::look_alikes;
use crate::store::artifacts::{self, ManifestFile};
use crate::store::gates;
use crate::store::imports::{self, Closed, Imported, Kind};
use crate::store::logged_models::{self, LoggedModelRow};
use crate::store::models::{self, ModelRow};
use crate::store::moves::{self, Authority, Move};
use crate::store::versions::{self, VersionRow};
use crate::store::{Kept, Recorded, StoreError, Tx, version_files};

/// One import's registry.
pub struct Registry<'a> {
    import: &'a Import,
    source: &'a Source,
    /// Models here by their names there.
    models: HashMap<String, ModelHere>,
}

/// A model as it is here.
#[derive(Debug, Clone)]
struct ModelHere {
    uid: String,
    name: String,
}

impl<'a> Registry<'a> {
    /// Nothing brought yet.
    pub fn new(import: &'a Import, source: &'a Source) -> Self {
        Self { import, source, models: HashMap::new() }
    }

    /// Brings everything; `versions` is how many there are, if that is known.
    pub async fn bring(&mut self, versions: Option<i64>, report: &mut Report, progress: &Progress) -> Result<()> {
        progress.begin("registered models", None);
        let mut aliases = Vec::new();
        let mut after = None;
        loop {
            let page = self.source.models(after.as_deref()).await?;
            for model in page.items {
                self.model(&model, report).await?;
                aliases.extend(model.aliases.into_iter().map(|(alias, version)| (model.name.clone(), alias, version)));
                progress.step(1);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        progress.begin("versions", versions);
        let mut after = None;
        loop {
            let page = self.source.versions(after.as_deref()).await?;
            for version in page.items {
                self.version(&version, report).await?;
                progress.step(1);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        for (model, alias, version) in aliases {
            self.alias(&model, &alias, version, report).await?;
        }
        self.complete().await
    }

    /// Ends the first import of the models that were brought: from now on their stages and aliases are moved here.
    async fn complete(&self) -> Result<()> {
        let names: Vec<String> = self.models.keys().cloned().collect();
        for some in names.chunks(500) {
            let input = (self.import.clone(), some.to_vec());
            let written = self.import.store().write(input, |tx, (import, names)| {
                Box::pin(async move {
                    for name in names {
                        imports::complete(tx, &import.source, Kind::Model, name, "complete", 0).await?;
                    }
                    // Making the models was recorded.
                    Ok::<_, Error>(Recorded::nothing(()))
                })
            });
            written.await?;
        }
        Ok(())
    }

    async fn model(&mut self, found: &Model, report: &mut Report) -> Result<()> {
        report.models.there += 1;
        report.model_tags.there += found.tags.len() as i64;
        report.aliases.there += found.aliases.len() as i64;
        let written =
            self.import.store().write((self.import.clone(), found.clone()), |tx, (import, found)| Box::pin(make_model(tx, import, found)));
        match written.await.map(Kept::into_value) {
            Ok(Some(here)) => {
                if here.name != found.name {
                    report.renamed("registered model", &found.name, &here.name);
                }
                self.models.insert(found.name.clone(), here);
            }
            Ok(None) => report.left_out(format!("registered model {:?}: it was imported before and is deleted here", found.name)),
            Err(error) if of_one(&error) => report.left_out(format!("registered model {:?}: {error}", found.name)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn version(&self, found: &Version, report: &mut Report) -> Result<()> {
        report.versions.there += 1;
        report.version_tags.there += found.tags.len() as i64;
        report.stages.there += i64::from(found.stage != stage::NONE);
        let Some(model) = self.models.get(&found.model) else {
            report.left_out(format!("version {} of {:?}: its model is not here", found.version, found.model));
            return Ok(());
        };
        let input = (self.import.clone(), model.clone(), found.clone());
        let written = self.import.store().write(input, |tx, (import, model, found)| Box::pin(make_version(tx, import, model, found)));
        match written.await.map(Kept::into_value) {
            Ok(None) => {}
            Ok(Some(why)) => report.left_out(format!("stage {} of version {} of {:?}: {why}", found.stage, found.version, found.model)),
            Err(Error::Store(StoreError::Duplicate(_))) => {
                report.left_out(format!("version {} of {:?}: a version with this number was made here", found.version, found.model));
            }
            Err(error) if of_one(&error) => report.left_out(format!("version {} of {:?}: {error}", found.version, found.model)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn alias(&self, model: &str, alias: &str, version: i64, report: &mut Report) -> Result<()> {
        let Some(here) = self.models.get(model) else { return Ok(()) };
        if let Err(error) = text::alias("alias", alias) {
            report.left_out(format!("alias {alias:?} of {model:?}: it {}; set another one", error.message));
            return Ok(());
        }
        let input = (self.import.clone(), here.clone(), model.to_owned(), alias.to_owned(), version);
        let written = self.import.store().write(input, |tx, (import, here, model, alias, version)| {
            Box::pin(async move { set_alias(tx, import, here, model, alias, *version).await })
        });
        match written.await.map(Kept::into_value) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => {
                report.left_out(format!("alias {alias:?} of {model:?}: {why}"));
                Ok(())
            }
            Err(error) if of_one(&error) => {
                report.left_out(format!("alias {alias:?} of {model:?}: {error}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Makes a model, or finds what it is here; none when it was deleted here since.
async fn make_model(tx: &Tx, import: &Import, found: &Model) -> Result<Recorded<Option<ModelHere>>> {
    if let Some(known) = imports::find(&**tx, &import.source, Kind::Model, &[&found.name]).await?.remove(&found.name) {
        let Some(row) = live_model(tx, &known.here).await? else { return Ok(Recorded::nothing(None)) };
        let changed = imports::keep_model(tx, &row, found.last_version).await?;
        let here = ModelHere { uid: row.uid, name: row.name };
        if !changed {
            return Ok(Recorded::nothing(Some(here)));
        }
        let subject = Subject { kind: "registered_model", id: &here.uid, name: &here.name, scope: &here.uid };
        let payload = json!({"after": {"last_version": found.last_version}});
        let recorded = import.record(tx, actions::UPDATE_REGISTERED_MODEL, &subject, payload).await?;
        return Ok(recorded.map(|()| Some(here)));
    }
    let mut name = fit::model_name(&found.name).into_owned();
    // A name under which another model was promoted, or that looks like another's, is not taken by an import either.
    if models::by_name(&**tx, &name).await?.is_some()
        || models::was_promoted(&**tx, "", &name).await?
        || models::look_alike(tx, "", &name).await?.is_some()
    {
        name = fit::with_suffix(&name, &import.source, limits::MODEL_NAME);
    }
    let or_now = |time: i64| if time > 0 { time } else { tx.now() };
    let row = ModelRow {
        uid: clock::new_uid(),
        name,
        description: fit::value(&found.description).into_owned(),
        created: or_now(found.created),
        updated: or_now(found.updated),
        created_by: String::new(),
    };
    models::insert(tx, &row, None).await?;
    imports::keep_model(tx, &row, found.last_version).await?;
    let tags = mended(&found.tags);
    for (key, value) in &tags {
        models::set_tag(tx, &row.uid, key, value).await?;
    }
    let imported = Imported { here: row.uid.clone(), here_id: 0, fingerprint: String::new(), points: 0 };
    imports::remember(tx, &import.source, Kind::Model, &found.name, &imported).await?;
    let subject = Subject { kind: "registered_model", id: &row.uid, name: &row.name, scope: &row.uid };
    let payload = json!({"there": {"name": found.name}, "description": row.description, "tags": object(&tags)});
    let now = ModelNow { name: Some(row.name.clone()), ..ModelNow::default() };
    let recorded = import.record(tx, actions::CREATE_REGISTERED_MODEL, &subject, with_now(payload, &now)).await?;
    Ok(recorded.map(|()| Some(ModelHere { uid: row.uid, name: row.name })))
}

async fn live_model(tx: &Tx, uid: &str) -> Result<Option<ModelRow>> {
    let Some(row) = models::by_uid(&**tx, uid).await? else { return Ok(None) };
    // A deleted model keeps its uid, and its name may be another model's.
    Ok(models::by_name(&**tx, &row.name).await?.filter(|live| live.uid == uid))
}

/// Makes a version with its number and files, and puts it into its stage; or says why it does not stand there.
async fn make_version(tx: &Tx, import: &Import, model: &ModelHere, found: &Version) -> Result<Recorded<Option<String>>> {
    let key = version_key(&found.model, found.version);
    if let Some(known) = imports::find(&**tx, &import.source, Kind::Version, &[&key]).await?.remove(&key) {
        // What stage it has there now was told once, at its first import; after that stages are moved here.
        let told = known.fingerprint == found.stage;
        let why = || format!("it was imported in the stage {}; move it here, or ask for its promotion", known.fingerprint);
        return Ok(Recorded::nothing((!told).then(why)));
    }
    let logged_model = logged_model_of(tx, &found.source).await?;
    let mut run = if found.run_id.is_empty() { None } else { versions::run_of(&**tx, &found.run_id).await? };
    let mut run_id = fit::value(&found.run_id).into_owned();
    if let Some(model) = logged_model.as_ref().filter(|model| run.is_none() && model.source_run.is_some()) {
        (run, run_id) = (model.source_run, model.source_run_id.clone());
    }
    let files = match &logged_model {
        Some(model) => Some(artifacts::manifest_of_logged_model(&**tx, model.id).await?).filter(|files| !files.is_empty()),
        None => files_of(tx, import, found).await?,
    };
    let or_now = |time: i64| if time > 0 { time } else { tx.now() };
    let version = VersionRow {
        uid: clock::new_uid(),
        model_uid: model.uid.clone(),
        model_name: model.name.clone(),
        version: found.version,
        description: fit::value(&found.description).into_owned(),
        source: fit::value(&found.source).into_owned(),
        source_digest: version_files::digest_of(files.as_deref().unwrap_or_default()),
        run_id,
        run,
        logged_model: logged_model.as_ref().map(|model| model.id),
        model_id: logged_model.map(|model| model.model_id).unwrap_or_default(),
        run_link: fit::value(&found.run_link).into_owned(),
        current_stage: stage::NONE.to_owned(),
        created: or_now(found.created),
        updated: or_now(found.updated),
        created_by: String::new(),
    };
    versions::insert(tx, &version).await?;
    artifacts::insert_manifest(tx, &version.uid, files.as_deref().unwrap_or_default()).await?;
    let tags = mended(&found.tags);
    for (key, value) in &tags {
        versions::set_tag(tx, &version.uid, key, value).await?;
    }
    if let Some(row) = models::by_uid(&**tx, &model.uid).await? {
        imports::keep_model(tx, &row, found.version).await?;
    }
    let imported = Imported { here: version.uid.clone(), here_id: 0, fingerprint: found.stage.clone(), points: 0 };
    imports::remember(tx, &import.source, Kind::Version, &key, &imported).await?;
    let payload = json!({
        "there": {"name": found.model, "user_id": found.user_id}, "source": version.source, "source_digest": version.source_digest,
        "run_id": version.run_id, "description": version.description, "tags": object(&tags),
    });
    let recorded = record(tx, import, actions::CREATE_MODEL_VERSION, &version, with_now(payload, &VersionNow::from(&version))).await?;
    let stage_kept = set_stage(tx, import, &version, &found.stage).await?;
    imports::keep_version_time(tx, &version.uid, version.updated).await?;
    Ok(recorded.map(|()| stage_kept))
}

/// The logged model that a version was made of, if it is here.
async fn logged_model_of(tx: &Tx, source: &str) -> Result<Option<LoggedModelRow>> {
    match version_source::parse("source", source) {
        Ok(VersionSource::LoggedModel { model_id }) => Ok(logged_models::by_model_id(&**tx, &model_id).await?),
        _ => Ok(None),
    }
}

/// The files of a version whose source lies in what was imported; none when it lies elsewhere.
async fn files_of(tx: &Tx, import: &Import, found: &Version) -> Result<Option<Vec<ManifestFile>>> {
    let found_files = match version_source::parse("source", &found.source) {
        Ok(VersionSource::Version { name, version }) => {
            let key = version_key(&name, version.into());
            let copied = imports::find(&**tx, &import.source, Kind::Version, &[&key]).await?.remove(&key);
            match copied {
                Some(copied) => artifacts::manifest_of_version(&**tx, &copied.here).await?,
                None => Vec::new(),
            }
        }
        Ok(VersionSource::Run { run_id, path }) => files_below(tx, &run_id, &path).await?,
        // A path of the old server's own disk or bucket: …/RUN_ID/artifacts/PATH.
        _ if !found.run_id.is_empty() => {
            let root = format!("/{}/artifacts", found.run_id);
            match found.source.split_once(&root) {
                Some((_, path)) if path.is_empty() || path.starts_with('/') => {
                    files_below(tx, &found.run_id, path.trim_matches('/')).await?
                }
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    };
    Ok(Some(found_files).filter(|files| !files.is_empty()))
}

async fn files_below(tx: &Tx, run_id: &str, path: &str) -> Result<Vec<ManifestFile>> {
    let Some(run) = versions::run_of(&**tx, run_id).await? else { return Ok(Vec::new()) };
    Ok(artifacts::manifest_of_run(&**tx, run, path).await?)
}

/// A model's name has no `/`, so this names one version.
fn version_key(model: &str, version: i64) -> String {
    format!("{model}/{version}")
}

/// Puts a new version into the stage that it has there; or says why it does not stand there.
async fn set_stage(tx: &Tx, import: &Import, version: &VersionRow, found: &str) -> Result<Option<String>> {
    let Ok(stage) = stage::stage("stage", found) else { return Ok(Some("this server has no such stage".to_owned())) };
    if stage == stage::NONE {
        return Ok(None);
    }
    if let Some(closed) = imports::closed(&**tx, &version.model_uid).await? {
        return Ok(Some(why_closed(closed).to_owned()));
    }
    let gated = gates::in_force(&**tx, &version.model_uid, stage).await?.is_some();
    let other = if gated { versions::in_stage(&**tx, &version.model_uid, stage).await?.into_iter().next() } else { None };
    // What MLflow serves for a stage is the version with the highest number.
    let (into, note) = match &other {
        Some(other) if other.version > version.version => {
            (stage::ARCHIVED, format!("it is archived, for version {} is there", other.version))
        }
        Some(other) => (stage, format!("version {} is archived for it", other.version)),
        None => (stage, String::new()),
    };
    let transition = transition(tx, version, into, stage::NONE, Authority::Import).await?;
    if let Some(other) = other.filter(|_| into == stage) {
        let gives_way = self::transition(tx, &other, stage::ARCHIVED, stage, Authority::Consequence(transition)).await?;
        moves::set_stage(tx, &other.uid, stage::ARCHIVED, gives_way).await?;
        let payload = json!({"before": stage, "after": stage::ARCHIVED, "because_of": version.version, "authority": "import"});
        let now = VersionNow { stage: Some(stage::ARCHIVED.to_owned()), ..VersionNow::default() };
        let _ = record(tx, import, actions::TRANSITION_STAGE, &other, with_now(payload, &now)).await?;
    }
    moves::set_stage(tx, &version.uid, into, transition).await?;
    let mut now = VersionNow { stage: Some(into.to_owned()), ..VersionNow::default() };
    if stage::in_use(into) {
        now.holders = hold(tx, version, into, transition).await?;
    }
    let payload = json!({"before": stage::NONE, "after": into, "authority": "import"});
    let _ = record(tx, import, actions::TRANSITION_STAGE, version, with_now(payload, &now)).await?;
    Ok((!note.is_empty()).then(|| format!("a stage that a gate protects holds one version; {note}")))
}

fn why_closed(closed: Closed) -> &'static str {
    match closed {
        Closed::Imported => "stages and aliases come only with the first import of a model; ask for its promotion here",
        Closed::MovedHere => "versions of the model were moved here; ask for its promotion here",
    }
}

/// Points an alias at its version, once; or says why it does not.
async fn set_alias(
    tx: &Tx,
    import: &Import,
    model: &ModelHere,
    model_there: &str,
    alias: &str,
    number: i64,
) -> Result<Recorded<Option<String>>> {
    let key = version_key(model_there, number);
    let Some(known) = imports::find(&**tx, &import.source, Kind::Version, &[&key]).await?.remove(&key) else {
        return Ok(Recorded::nothing(Some(format!("version {number} is not here"))));
    };
    let alias_key = format!("{model_there}/{alias}");
    if let Some(before) = imports::find(&**tx, &import.source, Kind::Alias, &[&alias_key]).await?.remove(&alias_key) {
        let moved = before.here != known.here;
        return Ok(Recorded::nothing(
            moved.then(|| format!("it points at version {number} there now; it was imported before, so move it here")),
        ));
    }
    let target = format!("@{alias}");
    if let Some(closed) = imports::closed(&**tx, &model.uid).await? {
        return Ok(Recorded::nothing(Some(why_closed(closed).to_owned())));
    }
    let Some(version) = versions::by_uid(&**tx, &known.here).await? else {
        return Ok(Recorded::nothing(Some(format!("version {number} is deleted here"))));
    };
    if let Some(other) = look_alikes::other_alias(tx, &model.uid, alias).await? {
        return Ok(Recorded::nothing(Some(format!("it {}", look_alikes::taken_for(&other)))));
    }
    let transition = transition(tx, &version, &target, "", Authority::Import).await?;
    moves::set_alias(tx, &model.uid, alias, &version.uid, transition).await?;
    let now = VersionNow { holders: hold(tx, &version, &target, transition).await?, ..VersionNow::default() };
    let imported = Imported { here: version.uid.clone(), here_id: transition, fingerprint: "complete".to_owned(), points: 0 };
    imports::remember(tx, &import.source, Kind::Alias, &alias_key, &imported).await?;
    let payload = json!({"alias": alias, "before": null, "after": number, "authority": "import"});
    Ok(record(tx, import, actions::SET_ALIAS, &version, with_now(payload, &now)).await?.map(|()| None))
}

async fn transition(tx: &Tx, version: &VersionRow, target: &str, from: &str, authority: Authority<'_>) -> Result<i64> {
    let a_move = Move {
        model_uid: &version.model_uid,
        version_uid: Some(&version.uid),
        target,
        from,
        authority,
        gate: None,
        actor_uid: "",
        actor_name: "",
    };
    Ok(moves::insert_transition(tx, &a_move).await?)
}

/// From now on; who held it there before is not known.
async fn hold(tx: &Tx, version: &VersionRow, target: &str, transition: i64) -> Result<Holders> {
    moves::end_holding(tx, &version.model_uid, target).await?;
    moves::begin_holding(tx, &version.model_uid, target, &version.uid, transition).await?;
    Ok(Holders::from([(target.to_owned(), Some(version.uid.clone()))]))
}

async fn record(tx: &Tx, import: &Import, operation: &str, version: &VersionRow, payload: serde_json::Value) -> Result<Recorded<()>> {
    let name = format!("{}/{}", version.model_name, version.version);
    let subject = Subject { kind: "model_version", id: &version.uid, name: &name, scope: &version.model_uid };
    import.record(tx, operation, &subject, payload).await
}
