//! `stagegate ledger`: verification, export and checkpoints, beside a running server or without one.

use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::{Failure, beside, setup};
use crate::access::{MasterKey, ledger_key_is_authentic};
use crate::config::DataOptions;
use crate::domain::ledger::{Cosigner, ExportError, LedgerKey, Line, ROW_KEY_PURPOSE, Report, RowKey, Verifier, read_export};
use crate::service::{self, Export};
use crate::store::{Store, ledger};

/// The commands about the ledger.
#[derive(Subcommand)]
pub enum LedgerCommand {
    /// Recompute every row and the tree, and compare them with the sealed checkpoint in the data folder. Exit status:
    /// 0 sound and vouched for to the last row, 1 not sound, 2 cannot be checked, 3 sound as far as it goes, but no
    /// checkpoint vouches for the last rows.
    #[command(after_help = "Examples:\n  stagegate ledger verify --data-dir /var/lib/stagegate\n  \
        stagegate ledger verify --state\n  \
        stagegate ledger verify --export ledger.jsonl --key 'stagegate.…+…+…' --against kept-checkpoint")]
    Verify {
        /// Verify this export instead of the database.
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Compare also with a checkpoint that was kept elsewhere: it shows a rewritten or cut-off ledger.
        #[arg(long, value_name = "CHECKPOINT_FILE")]
        against: Option<PathBuf>,
        /// The ledger's public key, kept elsewhere; without it the one in the database or export is believed.
        #[arg(long, value_name = "VERIFIER_KEY")]
        key: Option<String>,
        /// Compare also the tables with what the rows say: stages, aliases, holdings, gates, requests, users, groups,
        /// personas and grants. A change that left no row is named, and the ledger is not sound then.
        #[arg(long, conflicts_with = "export")]
        state: bool,
    },
    /// Write all rows and checkpoints as lines of JSON.
    #[command(after_help = "Example:\n  stagegate ledger export --output ledger.jsonl")]
    Export {
        /// The file to write; it must not be there yet. Standard output when it is not given.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Go on under a new origin, after the database was restored from a backup and before it is served again. The
    /// rows behind the backup are lost, and the ledger says so instead of contradicting the checkpoints that cover
    /// them. Prints the first checkpoint of the new origin, to be kept elsewhere.
    #[command(
        after_help = "Example:\n  stagegate ledger new-origin --against kept-checkpoint --reason 'disk of db-1 lost; backup of 3 May' > kept-checkpoint-2"
    )]
    NewOrigin {
        /// What happened, for auditors.
        #[arg(long)]
        reason: String,
        /// The newest checkpoint that was kept elsewhere: the new origin names it.
        #[arg(long, value_name = "CHECKPOINT_FILE")]
        against: Option<PathBuf>,
    },
    /// Print the newest signed checkpoint, to be kept elsewhere.
    #[command(after_help = "Example:\n  stagegate ledger checkpoint > kept-checkpoint")]
    Checkpoint,
}

/// Runs a command about the ledger.
pub async fn run(data: &DataOptions, command: LedgerCommand) -> Result<ExitCode, Failure> {
    match command {
        LedgerCommand::Verify { export, against, key, state } => {
            let note = against.as_deref().map(read).transpose()?;
            let report = match export {
                Some(_) if !data.checkpoint_sink.is_empty() => {
                    return Err("--checkpoint-sink is not compared with an export: give the checkpoint that it keeps as --against".into());
                }
                Some(file) => verify_export(data, &file, key, note.as_deref())?,
                None => match emptied(data).await? {
                    Some(told) => {
                        println!("{told}");
                        return Ok(ExitCode::from(1));
                    }
                    None => verify_database(data, key, note.as_deref(), state).await?,
                },
            };
            println!("{report}");
            Ok(status(&report))
        }
        LedgerCommand::Export { output } => export(data, output.as_deref()).await,
        LedgerCommand::NewOrigin { reason, against } => {
            let kept = against.as_deref().map(read).transpose()?;
            let access = beside::open(data).await?;
            let begun = match service::check_tail(&access.store, &access.keys().ledger_verifier).await {
                Ok(()) => service::start_new_origin(&access, &reason, kept.as_deref()).await,
                Err(error) => Err(error),
            };
            access.store.close(false).await;
            print!("{}", begun.map_err(beside::failure)?);
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::Checkpoint => {
            let store = open(data).await?;
            let newest = ledger::newest_checkpoint(store.reader()).await?;
            let (_, note) = newest.ok_or("there is no checkpoint yet: a running server signs one within a second of the first row")?;
            print!("{note}");
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Zero only when nothing is wrong and checkpoints vouch for every row.
fn status(report: &Report) -> ExitCode {
    match (report.sound(), report.vouched()) {
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(3),
        (false, _) => ExitCode::from(1),
    }
}

async fn open(data: &DataOptions) -> Result<Store, Failure> {
    setup::existing(data).await
}

async fn keys(store: &Store) -> Result<(String, String), Failure> {
    let keys = ledger::verifier_key(store.reader()).await?;
    keys.ok_or_else(|| "the database has no ledger key: no server was ever started on it".into())
}

/// What is told of a database without a ledger beside which one is sealed. Errors when a sink holds no checkpoint to
/// compare with: its folder may be another one, or not mounted.
async fn emptied(data: &DataOptions) -> Result<Option<String>, Failure> {
    let seals = data.seals()?;
    if let Some(sink) = seals.bare_sink() {
        return Err(format!("--checkpoint-sink: {} holds no checkpoint, so nothing can be compared with it", sink.display()).into());
    }
    let Some(sealed) = seals.read()?.into_iter().next() else { return Ok(None) };
    let there = match Store::open_if_there(&data.database()?).await? {
        Some(store) => ledger::verifier_key(store.reader()).await?.is_some(),
        None => false,
    };
    let told = || format!("the ledger is NOT sound: there is none in the database, and {} seals one", sealed.file.display());
    Ok((!there).then(told))
}

async fn verify_database(data: &DataOptions, key: Option<String>, against: Option<&str>, state: bool) -> Result<Report, Failure> {
    let store = open(data).await?;
    let stored = keys(&store).await?.1;
    let mut replaced = false;
    match MasterKey::load(&data.master_key(), true) {
        Ok(master) => {
            store.authenticate_rows(RowKey::new(&master.derive(ROW_KEY_PURPOSE)));
            replaced = !ledger_key_is_authentic(&store, &master, &stored).await?;
        }
        Err(error) => eprintln!("stagegate: whether the server wrote the rows and made the key is not checked: {error}"),
    }
    let witnesses = data.witnesses()?.into_iter().map(|(witness, _)| witness).collect();
    let mut report = service::verify(&store, &key.unwrap_or(stored), against, witnesses, state).await?;
    if replaced {
        report.bad(None, "", "the ledger's key in the table secret_keys was not made by this server: somebody replaced it".to_owned());
    }
    Ok(report)
}

/// What the lines of an export must add up to.
struct Reading {
    verifier: Option<Verifier>,
    key: Option<String>,
    against: Option<String>,
    witnesses: Vec<Cosigner>,
    ended: bool,
    fault: Option<service::Error>,
}

impl Reading {
    fn line(&mut self, line: Line) {
        let Some(verifier) = &mut self.verifier else { return self.first(line) };
        if self.ended {
            verifier.bad(None, "", "lines follow the last line of the export".to_owned());
        }
        match line {
            Line::Begin { .. } => verifier.bad(None, "", "a second export begins within the first".to_owned()),
            Line::Entry { position, entry } => verifier.row(position, &entry, &[]),
            Line::Text { sha256, text } => verifier.text(&sha256, &text),
            Line::Checkpoint { note } => verifier.checkpoint(&note),
            Line::End { entries } => {
                self.ended = true;
                let size = verifier.size();
                if entries != size {
                    verifier.bad(Some(size), "", format!("missing: the export says that it has {entries} rows, {size} are there"));
                }
            }
        }
    }

    fn first(&mut self, line: Line) {
        let Line::Begin { format: 1, verifier_key, .. } = line else {
            let reason = "the first line does not begin an export of format 1";
            self.fault.get_or_insert_with(|| service::Error::invalid("export", reason));
            return;
        };
        let key = self.key.clone().unwrap_or_else(|| verifier_key.clone());
        match service::verifier(&key, self.against.as_deref()) {
            Ok(mut verifier) => {
                if !same_key(&key, &verifier_key) {
                    verifier.bad(None, "", "the export names another key than the one given".to_owned());
                }
                verifier.count_cosignatures(std::mem::take(&mut self.witnesses));
                self.verifier = Some(verifier);
            }
            Err(error) => {
                self.fault.get_or_insert(error);
            }
        }
    }
}

/// Whether two verifier keys are one key, be it under different origins of the ledger.
fn same_key(one: &str, other: &str) -> bool {
    match (LedgerKey::parse(one), LedgerKey::parse(other)) {
        (Ok(one), Ok(other)) => one.of_origin(one.first_origin()) == other.of_origin(other.first_origin()),
        _ => false,
    }
}

fn verify_export(data: &DataOptions, file: &Path, key: Option<String>, against: Option<&str>) -> Result<Report, Failure> {
    let opened = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let witnesses = data.witnesses()?.into_iter().map(|(witness, _)| witness).collect();
    let mut reading = Reading { verifier: None, key, against: against.map(str::to_owned), witnesses, ended: false, fault: None };
    let read = read_export(BufReader::new(opened), |line| reading.line(line));
    if let Some(fault) = reading.fault {
        return Err(fault.into());
    }
    match (read, reading.verifier) {
        (Ok(()), None) => Err(format!("{}: is empty", file.display()).into()),
        (Err(error @ ExportError::Io(_)), _) | (Err(error), None) => Err(format!("{}: {error}", file.display()).into()),
        (Err(error @ ExportError::Line { .. }), Some(mut verifier)) => {
            let next = verifier.size();
            verifier.bad(Some(next), "", format!("the export cannot be read on: {error}"));
            Ok(verifier.finish())
        }
        (Ok(()), Some(mut verifier)) => {
            if !reading.ended {
                let next = verifier.size();
                verifier.bad(Some(next), "", "the export ends before its last line".to_owned());
            }
            Ok(verifier.finish())
        }
    }
}

async fn export(data: &DataOptions, output: Option<&Path>) -> Result<ExitCode, Failure> {
    let store = open(data).await?;
    let (origin, key) = keys(&store).await?;
    let mut export = Export::new(store, &origin, &key).await?;
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(File::create_new(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!("{} is there already: give another name, or remove it first", path.display()),
            _ => format!("{}: {error}", path.display()),
        })?),
        None => Box::new(std::io::stdout().lock()),
    };
    while let Some(lines) = export.next().await? {
        out.write_all(lines.as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()).into())
}
