//! Which artifact store belongs to the database. Asked once, at the start.

use super::{Error, Result};
use crate::bind;
use crate::clock;
use crate::store::blobs_marker::MARKER;
use crate::store::{Store, StoreError, Tx, Unrecorded, sql};

/// The setting with the database's uid, which its store's marker names.
const DATABASE: &str = "database";
/// The setting that says that there is a marked store.
const MARKED: &str = "artifact_store";

/// Compares the artifact store's marker with the database; marks the store of a first start. Errors when it is another
/// database's store, or an unmarked one while the database has a marked one.
pub async fn check_artifact_store(store: &Store) -> Result<()> {
    let database = database_uid(store).await?;
    let expected = setting(store, MARKED).await?.is_some();
    match store.blobs()?.marker().await? {
        Some(marked) if marked == database => {}
        Some(_) => {
            return Err(Error::precondition(
                "ARTIFACT_STORE",
                format!(
                    "the artifact store belongs to another database (its marker `{MARKER}` names it): give the right --artifacts-url or \
                     --database-url; if it is meant to be this one's from now on, run `stagegate artifacts adopt`"
                ),
            ));
        }
        None if expected => {
            return Err(Error::precondition(
                "ARTIFACT_STORE",
                format!(
                    "the artifact store is not the one of this database: it has no marker `{MARKER}`. All replicas share one store: give its \
                     --artifacts-url. If it was moved, move the marker with the files, or run `stagegate artifacts adopt`"
                ),
            ));
        }
        None => store.blobs()?.mark(&database).await?,
    }
    if !expected {
        keep(store, MARKED, "marked").await?;
    }
    Ok(())
}

/// Declares that the artifact store is this database's. Gives what its marker said before.
pub async fn adopt_artifact_store(store: &Store) -> Result<Option<String>> {
    let database = database_uid(store).await?;
    let before = store.blobs()?.marker().await?;
    store.blobs()?.mark(&database).await?;
    keep(store, MARKED, "marked").await?;
    Ok(before.filter(|before| *before != database))
}

async fn database_uid(store: &Store) -> Result<String> {
    if let Some(uid) = setting(store, DATABASE).await? {
        return Ok(uid);
    }
    keep(store, DATABASE, &clock::new_uid()).await?;
    setting(store, DATABASE).await?.ok_or_else(|| Error::Internal("the database's uid was not kept".to_owned()))
}

async fn setting(store: &Store, name: &str) -> Result<Option<String>> {
    let row = sql::first(store.reader(), "SELECT value FROM settings WHERE name = $1", bind![name]).await?;
    Ok(row.map(|row| row.get(0)).transpose()?)
}

/// Keeps a setting; what is there already stays.
async fn keep(store: &Store, name: &'static str, value: &str) -> Result<()> {
    let input = (name, value.to_owned());
    store.write_unrecorded(Unrecorded::FirstStart, input, |tx, (name, value)| Box::pin(insert(tx, name, value))).await?;
    Ok(())
}

async fn insert(tx: &Tx, name: &str, value: &str) -> std::result::Result<(), StoreError> {
    let query = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    sql::execute(&**tx, query, bind![name, value]).await.map(|_| ())
}
