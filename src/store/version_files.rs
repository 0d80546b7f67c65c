//! The files of a version, which are served only when they are those that its digest stands for: rows can be changed by
//! whoever owns the database, and the digest is what was approved and what the ledger tells.

use std::collections::HashMap;
use std::sync::Arc;

use moka::sync::Cache;

use super::artifacts::{self, ManifestFile};
use super::{Store, StoreError};
use crate::domain::manifest;

/// Bytes of paths and digests that are kept for the next look.
const KEPT_BYTES: u64 = 32 * 1024 * 1024;

/// Size and SHA-256 of each file, by path.
#[derive(Debug)]
pub struct VersionFiles(HashMap<String, (i64, String)>);

impl VersionFiles {
    /// Whether this is the version's file at a path.
    pub fn has(&self, path: &str, size: i64, sha256: &str) -> bool {
        self.0.get(path).is_some_and(|(known_size, known)| *known_size == size && known == sha256)
    }

    fn bytes(&self) -> u32 {
        let bytes: usize = self.0.iter().map(|(path, (_, sha256))| path.len() + sha256.len() + 100).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// What was compared already, by digest: one digest stands for one set of files, whatever rows say later.
#[derive(Clone)]
pub(super) struct Compared(Cache<String, Arc<VersionFiles>>);

impl Default for Compared {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(KEPT_BYTES).weigher(|_, files: &Arc<VersionFiles>| files.bytes()).build())
    }
}

impl Store {
    /// The files of a version whose digest this is. Errors when the rows tell of other files than the digest.
    pub async fn version_files(&self, uid: &str, digest: &str) -> Result<Arc<VersionFiles>, StoreError> {
        let compared = &self.compared().0;
        if let Some(known) = compared.get(digest) {
            return Ok(known);
        }
        let files = artifacts::manifest_of_version(self.reader(), uid).await?;
        let found = digest_of(&files);
        if found != digest {
            let told = format!("the version {uid} has the digest {digest}, but the files in the database have {found}");
            return Err(StoreError::Internal(told));
        }
        let files = Arc::new(VersionFiles(files.into_iter().map(|file| (file.path, (file.size, file.sha256))).collect()));
        if !files.0.is_empty() {
            compared.insert(digest.to_owned(), files.clone());
        }
        Ok(files)
    }
}

/// The digest of a version with these files.
pub fn digest_of(files: &[ManifestFile]) -> String {
    if files.is_empty() {
        return manifest::UNVERIFIED.to_owned();
    }
    let files: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size, file.sha256.as_str())).collect();
    manifest::digest(&files)
}
