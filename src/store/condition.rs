//! Whether the database takes writes. Looking costs one short query, or none; only after a write has failed is one tried.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::{Engine, Store, StoreError, Unrecorded, WriteError, sql};
use crate::bind;
use crate::clock;

/// A disk with less room than this is full.
const ROOM: u64 = 1024 * 1024;

/// Why a server cannot take calls now, in words for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not answer.
    #[error("the database does not answer")]
    Away,
    /// It is a standby, or set to read only.
    #[error("the database is read-only")]
    ReadOnly,
    /// Its disk is full.
    #[error("the database's disk is full")]
    Full,
    /// The file is no longer where it was.
    #[error("the database's file is gone")]
    Gone,
    /// The last write failed, and so does each that is tried.
    #[error("the database takes no writes")]
    NoWrites,
}

/// What is known of the database without asking it.
#[derive(Debug, Default)]
pub struct Condition {
    /// A write failed because the database was not available, and none has succeeded since.
    doubted: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    /// Connections from before this are not used any more: they belong to a database that only read.
    renewed: Mutex<Option<Instant>>,
}

impl Condition {
    /// What was found at the last look.
    pub fn trouble(&self) -> Option<Trouble> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a write ended.
    pub(super) fn note<T, E: WriteError>(&self, outcome: &Result<T, E>) {
        if outcome.as_ref().is_err_and(WriteError::is_unavailable) {
            self.doubted.store(true, Ordering::Relaxed);
        }
    }

    fn renew_connections(&self) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age may be used.
    pub(super) fn is_fresh(&self, age: Duration) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|renewed| age < renewed.elapsed())
    }
}

impl Store {
    /// Looks whether the database takes writes, and remembers it.
    pub async fn look(&self) -> Option<Trouble> {
        let found = self.trouble_now().await;
        let mut known = self.condition.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *known = found;
        found
    }

    /// What was found at the last look.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    async fn trouble_now(&self) -> Option<Trouble> {
        let found = match self.engine {
            Engine::Sqlite => self.file.as_deref().and_then(of_file),
            Engine::Postgres => self.of_server().await.unwrap_or(Some(Trouble::Away)),
        };
        if found.is_some() || !self.condition.doubted.load(Ordering::Relaxed) {
            return found;
        }
        // A write that fails meanwhile raises the doubt again.
        self.condition.doubted.store(false, Ordering::Relaxed);
        match self.try_write().await {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(%error, "a write was tried and failed");
                self.condition.doubted.store(true, Ordering::Relaxed);
                Some(Trouble::NoWrites)
            }
        }
    }

    async fn of_server(&self) -> Result<Option<Trouble>, StoreError> {
        let doubted = self.condition.doubted.load(Ordering::Relaxed);
        if doubted {
            self.condition.renew_connections();
        }
        let query = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
        let read_only: bool = sql::one(&self.control, query, []).await?.get(0)?;
        if read_only && !doubted {
            // The next look asks anew, over a connection that knows what holds then.
            self.condition.renew_connections();
        }
        Ok(read_only.then_some(Trouble::ReadOnly))
    }

    async fn try_write(&self) -> Result<(), StoreError> {
        self.write_unrecorded(Unrecorded::Trial, clock::now_ms(), |tx, now| {
            Box::pin(async move {
                let query =
                    "INSERT INTO settings (name, value) VALUES ('write_tried', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
                sql::execute(&**tx, query, bind![now.to_string()]).await.map(|_| ())
            })
        })
        .await
    }
}

/// What the file system says without a write.
fn of_file(file: &Path) -> Option<Trouble> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !file.exists() {
        return Some(Trouble::Gone);
    }
    if access(file, AccessFlags::W_OK).is_err() || access(folder, AccessFlags::W_OK).is_err() {
        return Some(Trouble::ReadOnly);
    }
    let system = statvfs(folder).ok()?;
    if system.flags().contains(FsFlags::ST_RDONLY) {
        return Some(Trouble::ReadOnly);
    }
    (system.blocks_available() * system.fragment_size() < ROOM).then_some(Trouble::Full)
}
