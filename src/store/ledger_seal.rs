//! The seal: the newest checkpoint in files beside the database, so that a log that was cut or rewritten since is seen
//! by whoever still has the file. It is the signed note itself, and serves as a kept checkpoint everywhere.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ledger as rows;
use super::{Store, StoreError, sql};
use crate::bind;
use crate::clock;
use crate::domain::ledger::{self, CheckpointError, Hashes, LedgerKey, NEW_ORIGIN, VerifiedCheckpoint, origin_number};

type Result<T> = std::result::Result<T, StoreError>;

/// The file's name in each of its folders.
pub const FILE_NAME: &str = "ledger-checkpoint";
/// No signed note is longer; of a longer file no more is read.
const NOTE_BYTES: usize = 64 * 1024;

/// Where the newest checkpoint is sealed: in the data folder, and in the folders that are given as sinks.
#[derive(Debug, Clone, Default)]
pub struct Seals(Vec<PathBuf>);

/// A sealed checkpoint that was found.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The file.
    pub file: PathBuf,
    /// The signed note, as it is in the file.
    pub note: String,
}

impl Seals {
    /// Seals in these folders.
    pub fn within(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(folders.into_iter().map(|folder| folder.join(FILE_NAME)).collect())
    }

    /// The first of the sinks, the data folder not among them, that holds no checkpoint.
    pub fn bare_sink(&self) -> Option<&Path> {
        self.0.iter().skip(1).find(|file| !file.exists()).and_then(|file| file.parent())
    }

    /// What is sealed. A file that is not there is none: the first start writes it. Errors when one cannot be read.
    pub fn read(&self) -> io::Result<Vec<Sealed>> {
        let mut found = Vec::new();
        for file in &self.0 {
            match fs::read(file) {
                Ok(bytes) => {
                    let note = String::from_utf8_lossy(bytes.get(..NOTE_BYTES).unwrap_or(&bytes)).into_owned();
                    found.push(Sealed { file: file.clone(), note });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(named(file, error)),
            }
        }
        Ok(found)
    }

    /// Writes a checkpoint wherever an older one stands, or none. One of an earlier origin is older.
    pub fn renew(&self, key: &LedgerKey, note: &str) -> io::Result<()> {
        let Ok(new) = key.verify(note) else { return Err(io::Error::other("the checkpoint to seal is not of this ledger")) };
        let age = |checkpoint: &VerifiedCheckpoint| (origin_number(&checkpoint.origin), checkpoint.size);
        let mut outcome = Ok(());
        for file in &self.0 {
            let kept = fs::read_to_string(file).ok().and_then(|kept| key.verify(&kept).ok());
            if kept.is_none_or(|kept| age(&kept) < age(&new)) {
                // The others are written all the same.
                outcome = outcome.and(write(file, note).map_err(|error| named(file, error)));
            }
        }
        outcome
    }
}

fn named(file: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("sealed checkpoint {}: {error}", file.display()))
}

/// The file has the old content or the new one, whatever happens meanwhile.
fn write(file: &Path, note: &str) -> io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("."));
    let fresh = folder.join(format!(".{FILE_NAME}.{}", clock::new_uid()));
    let written = File::create_new(&fresh).and_then(|mut out| {
        out.write_all(note.as_bytes())?;
        out.sync_all()?;
        fs::rename(&fresh, file)
    });
    if written.is_err() {
        // What was begun is of no use; the error that is told is the first.
        let _ = fs::remove_file(&fresh);
    }
    written?;
    File::open(folder)?.sync_all()
}

/// In which way the log in the tables is not the one that a checkpoint covers; none when it is, or when a signed row
/// admits that the rows were lost. A few look-ups: it goes by the tree's stored hashes, not by the rows.
pub async fn contradiction(store: &Store, key: &LedgerKey, note: &str) -> Result<Option<String>> {
    let sealed = match key.verify(note) {
        Ok(sealed) => sealed,
        Err(CheckpointError::Malformed) => return Ok(Some("it is no checkpoint".to_owned())),
        Err(_) => return Ok(Some("it is of another ledger, or the ledger's key was replaced".to_owned())),
    };
    let on = store.reader();
    let newest = match rows::newest_checkpoint(on).await? {
        Some((_, note)) => key.verify(&note).ok(),
        None => None,
    };
    let Some(newest) = newest else {
        return Ok(Some(format!("it covers {} rows, and the database has no good checkpoint", sealed.size)));
    };
    if newest.origin != sealed.origin && loss_is_admitted(store, key, &sealed, newest.size).await? {
        return Ok(None);
    }
    if newest.size < sealed.size {
        return Ok(Some(format!("it covers {} rows, the database's newest checkpoint only {}", sealed.size, newest.size)));
    }
    let root = ledger::tree_root(sealed.size);
    let stored = Hashes(rows::stored_hashes(on, &root.needs).await?);
    let same = root.run(&stored).ok() == Some(sealed.root);
    Ok((!same).then(|| format!("the first {} rows are not those that it covers", sealed.size)))
}

/// Whether a signed row says that the ledger went on under a new origin, and rows of the checkpoint were lost.
async fn loss_is_admitted(store: &Store, key: &LedgerKey, sealed: &VerifiedCheckpoint, signed: u64) -> Result<bool> {
    let query = "SELECT e.object_id, p.position FROM ledger_entries e JOIN ledger_positions p ON p.entry = e.id \
                 WHERE e.action = $1 AND p.position < $2 ORDER BY p.position";
    let mut origin = key.first_origin().to_owned();
    let mut of_sealed = origin == sealed.origin;
    for row in sql::all(store.reader(), query, bind![NEW_ORIGIN, signed.cast_signed()]).await? {
        if of_sealed {
            return Ok(row.get::<i64>(1)?.cast_unsigned() < sealed.size);
        }
        origin = row.get(0)?;
        of_sealed = origin == sealed.origin;
    }
    // An origin of which no row is left was lost with them, if a later one is there now.
    Ok(!of_sealed && origin_number(&origin) > origin_number(&sealed.origin))
}

impl Store {
    /// The same store, with the places where its newest checkpoint is sealed.
    #[must_use]
    pub fn with_seals(self, seals: Seals) -> Self {
        Self { seals, ..self }
    }

    /// Where the newest checkpoint is sealed.
    pub fn seals(&self) -> &Seals {
        &self.seals
    }
}
