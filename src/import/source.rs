//! A source, whatever it is.

use tokio::sync::mpsc;

use super::database::Database;
use super::found::{Experiment, LoggedModel, Model, Page, Point, Run, Totals, Version};
use super::http::Http;
use super::{Address, Result};

/// Where objects come from.
pub enum Source {
    /// MLflow's database.
    Database(Database),
    /// MLflow's server.
    Http(Http),
}

impl Source {
    /// Opens a source. Errors say what to do.
    pub async fn open(address: &Address) -> Result<Self> {
        match address {
            Address::Sqlite(_) | Address::Postgres(_) => Database::open(address).await.map(Self::Database),
            Address::Http(url) => Http::open(url).await.map(Self::Http),
        }
    }

    /// What there is, as far as it is known before it is read.
    pub async fn totals(&self) -> Result<Totals> {
        match self {
            Self::Database(database) => database.totals().await,
            Self::Http(_) => Ok(Totals::default()),
        }
    }

    /// What there is that an import does not bring, as far as it is known.
    pub async fn left_out(&self) -> Result<Vec<(&'static str, i64)>> {
        match self {
            Self::Database(database) => database.left_out().await,
            // A server does not tell.
            Self::Http(_) => Ok(Vec::new()),
        }
    }

    pub async fn experiments(&self, after: Option<&str>) -> Result<Page<Experiment>> {
        match self {
            Self::Database(database) => database.experiments(after).await,
            Self::Http(http) => http.experiments(after).await,
        }
    }

    /// Runs of all experiments; a server has to be told which there are.
    pub async fn runs(&self, experiments: &[i64], after: Option<&str>) -> Result<Page<Run>> {
        match self {
            Self::Database(database) => database.runs(after).await,
            Self::Http(http) => http.runs(experiments, after).await,
        }
    }

    /// All metric points of some runs, in parts. Parts are read ahead while earlier ones are written.
    pub fn points(&self, runs: &[&Run]) -> mpsc::Receiver<Result<Vec<Point>>> {
        match self {
            Self::Database(database) => database.points(runs),
            Self::Http(http) => http.points(runs),
        }
    }

    /// Logged models of all experiments; a server has to be told which there are.
    pub async fn logged_models(&self, experiments: &[i64], after: Option<&str>) -> Result<Page<LoggedModel>> {
        match self {
            Self::Database(database) => database.logged_models(after).await,
            Self::Http(http) => http.logged_models(experiments, after).await,
        }
    }

    pub async fn models(&self, after: Option<&str>) -> Result<Page<Model>> {
        match self {
            Self::Database(database) => database.models(after).await,
            Self::Http(http) => http.models(after).await,
        }
    }

    pub async fn versions(&self, after: Option<&str>) -> Result<Page<Version>> {
        match self {
            Self::Database(database) => database.versions(after).await,
            Self::Http(http) => http.versions(after).await,
        }
    }
}
