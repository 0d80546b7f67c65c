//! What several commands start with: the folder, the database, the keys.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use super::Failure;
use crate::access::{Access, MasterKey};
use crate::config::DataOptions;
use crate::store::blobs::Blobs;
use crate::store::{self, Store};

/// Opens the database, its schema up to date; makes the data folder when it is not there.
pub async fn store(data: &DataOptions) -> Result<Store, Failure> {
    let folder = data.folder();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| format!("data folder {}: {error}", folder.display()))?;
    let url = data.database()?;
    let store = Store::open(url.exposed()).await.map_err(|error| format!("cannot open the database ({url}): {error}"))?;
    Ok(store.with_seals(data.seals()?))
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
