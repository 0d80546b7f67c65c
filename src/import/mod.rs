//! Moving in: what an MLflow server or its database holds is brought here, with its ids, numbers and times.
//! Sources are only read. Nothing of the wire stands here, and no rule of promotion: a stage or alias is set by
//! the store's own transitions, with the authority `import`, which the database's triggers know.
//!
//! What was decided:
//! - Every object is written in one transaction with its row in `import_objects` and its row in the ledger (actor:
//!   the command line). So an import can be killed and run again: what is remembered is not made twice, and metric
//!   points are their own key. A run is complete when its fingerprint is noted, behind its points.
//! - A source is known by its address without credentials, or by `--source`, and keeps its own memory.
//! - Ids of runs are kept; ids of experiments as well where they are free, else the experiment gets a new one, or is
//!   the one of the same name. Experiment 0 is always ours.
//! - A model is never mixed with one that was made here: it comes under a name with a suffix. So does what has a name
//!   that our rules refuse. Aliases are not renamed, for a renamed alias leads nobody anywhere: they are left out.
//! - Stages and aliases come only with the first import of a model, which lasts until all of the model was brought, and
//!   only before a version of it is moved here: a server that anybody may edit must not become a way round the gates.
//!   Nor is a name taken under which another model was promoted here.
//! - User ids stay labels; nobody becomes a user by an import.

mod actions;
mod address;
mod artifacts;
mod database;
mod database_registry;
mod fit;
mod folder;
mod found;
mod http;
mod http_json;
mod logged_models;
mod registry;
mod report;
mod schema;
mod source;
mod tracking;

use std::sync::Arc;

use serde_json::Value;

use crate::access::{Access, Caller, ClientAddress, Credential, Subject, entry};
use crate::domain::ledger::Entry;
use crate::service;
use crate::store::blobs::BlobError;
use crate::store::metrics::LogError;
use crate::store::{Recorded, Store, StoreError, Tx, WriteError, imports};

pub use address::Address;
use artifacts::Artifacts;

pub use artifacts::ArtifactPlace;
pub use report::{Line, Progress, Report};

/// What is asked for.
pub struct Options {
    /// The server or database to read.
    pub from: Address,
    /// Where its artifacts are, if they are wanted.
    pub artifacts: Option<ArtifactPlace>,
    /// Under what name the source is remembered; its address without credentials for none.
    pub source: Option<String>,
}

/// Why an import cannot go on. What can be left out is not an error but stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source; says what to do.
    #[error("{0}")]
    Source(String),
    /// Our own database.
    #[error("this server's database: {0}")]
    Store(#[from] StoreError),
    /// Our own artifact store.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The service.
    #[error(transparent)]
    Service(#[from] service::Error),
    /// Metric points.
    #[error("metric points: {0}")]
    Points(#[from] LogError),
}

impl WriteError for Error {
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Store(StoreError::Conflict))
    }

    fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)))
    }
}

type Result<T> = std::result::Result<T, Error>;

/// What every part of one import needs. Cheap to clone.
#[derive(Clone)]
struct Import {
    access: Arc<Access>,
    /// How the source is remembered.
    source: Arc<str>,
    /// How the source is named to people and in the ledger.
    from: Arc<str>,
}

impl Import {
    fn store(&self) -> &Store {
        &self.access.store
    }

    /// Records a change as the command line's, saying where the object comes from.
    async fn record(&self, tx: &Tx, action: &str, subject: &Subject<'_>, payload: Value) -> Result<Recorded<()>> {
        Ok(tx.record(&self.entry(tx.now(), action, subject, payload)).await?)
    }

    fn entry(&self, now: i64, action: &str, subject: &Subject<'_>, mut payload: Value) -> Entry {
        if let Some(fields) = payload.as_object_mut() {
            fields.insert("imported_from".to_owned(), Value::from(&*self.from));
        }
        entry(&Caller::without_user(Credential::CommandLine, ""), action, "", ClientAddress::NONE, now, subject, &payload)
    }
}

/// Brings everything, and reports what was found there, what is here and what was left out.
pub async fn run(access: &Arc<Access>, options: Options, progress: &Progress) -> Result<Report> {
    let source = source::Source::open(&options.from).await?;
    let name = options.source.unwrap_or_else(|| options.from.shown());
    let import = Import { access: access.clone(), source: name.into(), from: options.from.shown().into() };
    service::ensure_default_experiment(import.store()).await?;
    let mut report = Report::default();
    let before = imports::counts(import.store().reader(), &import.source).await?;
    let artifacts = match options.artifacts {
        Some(place) => Some(Artifacts::open(place).await?),
        None => None,
    };
    let totals = source.totals().await?;
    let experiments = tracking::experiments(&import, &source, &totals, &mut report, progress).await?;
    let runs = tracking::Runs { import: &import, source: &source, totals, experiments: &experiments, artifacts: artifacts.as_ref() };
    let links = runs.bring(&mut report, progress).await?;
    let logged_models =
        logged_models::LoggedModels { import: &import, source: &source, experiments: &experiments, artifacts: artifacts.as_ref() };
    logged_models.bring(links, &mut report, progress).await?;
    registry::Registry::new(&import, &source).bring(totals.versions, &mut report, progress).await?;
    report.left_out_kinds(source.left_out().await?);
    report.here(&before, &imports::counts(import.store().reader(), &import.source).await?);
    progress.end();
    Ok(report)
}
