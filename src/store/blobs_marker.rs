//! The marker of an artifact store: an object that names the database whose files are in it. Replicas with another store
//! would show files that are not there, and lose new ones to each other.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::blobs::{BlobError, Blobs, fault};

/// The object's key.
pub const MARKER: &str = "stagegate-store";
/// What stands in it before the database's uid.
const WORDS: &str = "artifacts of the Stagegate database ";

impl Blobs {
    /// The uid of the database that the store is marked for.
    pub async fn marker(&self) -> Result<Option<String>, BlobError> {
        let found = match self.backend().get(&Path::from(MARKER)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(fault(&error)),
        };
        let bytes = found.bytes().await.map_err(|error| fault(&error))?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim().strip_prefix(WORDS).unwrap_or_default().to_owned()))
    }

    /// Marks the store for a database.
    pub async fn mark(&self, database: &str) -> Result<(), BlobError> {
        let text = format!("{WORDS}{database}\n");
        self.backend().put(&Path::from(MARKER), PutPayload::from(text.into_bytes())).await.map(|_| ()).map_err(|error| fault(&error))
    }
}
