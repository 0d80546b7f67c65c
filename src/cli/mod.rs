//! The command line: one file for each command.

mod artifacts;
mod beside;
mod import;
mod instance;
mod ledger;
mod open_files;
mod serve;
mod setup;
mod token;
mod user;

pub use instance::Instance;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use nix::sys::stat::{Mode, umask};

use crate::config::{self, DataOptions, ServeOptions};
use crate::store::Store;

/// Why a command failed, in one line for its user.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// ML experiment tracking and governed promotion of models.
#[derive(Parser)]
#[command(name = "stagegate", version, about, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    data: DataOptions,
    /// A TOML file with the sections [data] and [serve]; flags and variables win over it.
    #[arg(long, env = "STAGEGATE_CONFIG", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    #[command(after_help = "Example:\n  stagegate serve --data-dir /var/lib/stagegate --listen 127.0.0.1:5000")]
    Serve {
        #[command(flatten)]
        serve: ServeOptions,
    },
    /// Bring the database's schema up to date, and stop.
    #[command(after_help = "Example:\n  stagegate migrate --database-url postgres://stagegate@db/stagegate")]
    Migrate,
    /// Verify and export the record of everything that happened.
    Ledger {
        #[command(subcommand)]
        command: ledger::LedgerCommand,
    },
    /// Make, list and deactivate users, also while the server runs.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make, list and revoke tokens, also while the server runs.
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Say which artifact store is this database's.
    #[command(subcommand)]
    Artifacts(artifacts::ArtifactsCommand),
    /// Move in from another server, also while this one runs.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Print the version.
    Version,
}

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    let cli = match definition().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return refused(error),
    };
    // Databases, keys and artifacts are nobody else's to read.
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(4 * 1024 * 1024)
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(cli)));
    outcome.unwrap_or_else(|error| {
        eprintln!("stagegate: {error}");
        ExitCode::from(2)
    })
}

/// All commands. What settings are at now is not in the help: it may be a password.
fn definition() -> clap::Command {
    fn hidden(command: clap::Command) -> clap::Command {
        command.mut_args(|argument| argument.hide_env_values(true)).mut_subcommands(hidden)
    }
    hidden(Cli::command())
}

/// Says what is wrong with the arguments; not with what is given, if that may hold a password.
fn refused(error: clap::Error) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let is_secret = |text: &str| text.contains("://") || text.contains('@') || text.contains("password=");
    let texts = |value: &ContextValue| match value {
        ContextValue::String(text) => vec![text.clone()],
        ContextValue::Strings(texts) => texts.clone(),
        _ => Vec::new(),
    };
    if !asked && error.context().flat_map(|(_, value)| texts(value)).any(|text| is_secret(&text)) {
        let argument = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(argument)) if !is_secret(argument) => format!(" for {argument}"),
            _ => String::new(),
        };
        eprintln!(
            "stagegate: what is given{argument} is no argument here, and is not repeated, because it may hold a password; see --help"
        );
        return ExitCode::from(2);
    }
    // Whoever stops reading takes nothing from the outcome.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

async fn run(mut cli: Cli) -> Result<ExitCode, Failure> {
    if !matches!(cli.command, Command::Version) {
        config::environment::check(&Cli::command(), std::env::vars_os())?;
    }
    match cli.command {
        Command::Serve { mut serve } => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, Some(&mut serve))?;
            serve::serve(&cli.data, &serve).await?;
        }
        Command::Migrate => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            let url = cli.data.database()?;
            // Beside a running server there is nothing to do, and no lock to have.
            let store = match Store::open_if_current(&url).await.map_err(setup::unopened(&url))? {
                Some(store) => store,
                None => setup::current(&cli.data, &setup::lock(&cli.data).await?).await?,
            };
            store.close(false).await;
            println!("The schema is up to date.");
        }
        Command::Ledger { command } => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            return ledger::run(&cli.data, command).await;
        }
        Command::User(command) => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            user::run(&cli.data, command).await?;
        }
        Command::Token(command) => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            token::run(&cli.data, command).await?;
        }
        Command::Artifacts(command) => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            artifacts::run(&cli.data, command).await?;
        }
        Command::Import(command) => {
            config::fill_from(cli.config.as_deref(), &mut cli.data, None)?;
            return import::run(&cli.data, command).await;
        }
        Command::Version => println!("stagegate {}", env!("CARGO_PKG_VERSION")),
    }
    Ok(ExitCode::SUCCESS)
}
