//! What several commands start with: the folder, the database, the keys.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use super::Failure;
use crate::access::{Access, MasterKey};
use crate::config::DataOptions;
use crate::domain::url::DatabaseUrl;
use crate::store::blobs::Blobs;
use crate::store::{self, StartLock, Store, StoreError};

/// The database that is there, its schema untouched.
pub async fn existing(data: &DataOptions) -> Result<Store, Failure> {
    let url = data.database()?;
    let store = Store::open_existing(url.exposed()).await.map_err(unopened(&url))?;
    Ok(store.with_seals(data.seals()?))
}

/// The database that is there, its schema untouched; where there is none, a new one, and the lock under which its keys are
/// made.
pub async fn existing_or_new(data: &DataOptions) -> Result<(Store, Option<StartLock>), Failure> {
    let url = data.database()?;
    if let Some(store) = Store::open_if_there(&url).await.map_err(unopened(&url))? {
        return Ok((store.with_seals(data.seals()?), None));
    }
    let lock = lock(data).await?;
    Ok((current(data, &lock).await?, Some(lock)))
}

/// The lock of a start; makes the data folder when it is not there.
pub async fn lock(data: &DataOptions) -> Result<StartLock, Failure> {
    let folder = data.folder();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("data folder {}: {error}", folder.display()))?;
    let url = data.database()?;
    Ok(StartLock::take(&url).await.map_err(unopened(&url))?)
}

/// The database, its schema brought up to date.
pub async fn current(data: &DataOptions, lock: &StartLock) -> Result<Store, Failure> {
    let url = data.database()?;
    let store = Store::open_locked(&url, lock).await.map_err(unopened(&url))?;
    Ok(store.with_seals(data.seals()?))
}

/// What is said when a database cannot be opened.
pub fn unopened(url: &DatabaseUrl) -> impl Fn(StoreError) -> String {
    move |error| format!("cannot open the database ({url}): {error}")
}

/// Opens the place of the artifacts' bytes.
pub async fn blobs(data: &DataOptions) -> Result<Blobs, Failure> {
    Ok(Blobs::open(data.artifacts(), &data.folder().join("artifacts")).await?)
}

/// Opens the keys of a database.
pub async fn access(data: &DataOptions, store: &Store) -> Result<Arc<Access>, Failure> {
    let in_use = !store::access::keys(store.reader()).await?.is_empty();
    let master = MasterKey::load(&data.master_key(), in_use)?;
    Ok(Access::open(store.clone(), master).await?)
}
