//! `stagegate token`.

use clap::Subcommand;

use super::{Failure, setup};
use crate::config::DataOptions;
use crate::domain::limits;
use crate::service::{self, AskedToken};
use crate::store::access as rows;

/// What can be done to tokens.
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a bearer token; its text alone goes to standard output. Decisions made with it are marked.
    #[command(after_help = "Example:\n  export MLFLOW_TRACKING_TOKEN=$(stagegate token create --user trainer-eu --ttl 30d)")]
    Create {
        /// The user's name.
        #[arg(long)]
        user: String,
        /// How long it is good, such as 90d or 12h; at most 365d.
        #[arg(long, default_value = "90d", value_parser = humantime::parse_duration)]
        ttl: std::time::Duration,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
    },
    /// List a user's tokens, never their text.
    List {
        /// The user's name.
        #[arg(long)]
        user: String,
    },
    /// Revoke a token; within a second it is refused everywhere.
    Revoke {
        /// As `token list` shows it.
        token_id: String,
    },
}

/// Runs the command beside the database.
pub async fn run(data: &DataOptions, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { user, ttl, description } => {
            let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            if !(1_000..=limits::TOKEN_TTL_MAX_MS).contains(&ttl) {
                return Err("--ttl must be between 1s and 365d".into());
            }
            crate::domain::text::value("--description", &description, limits::DISPLAY_NAME).map_err(|error| error.to_string())?;
            let call = setup::call(data, "CreateToken").await?;
            let row = find(&call, &user).await?;
            let asked = AskedToken { ttl, description, ..AskedToken::default() };
            let (text, _) = service::make_token(&call, row, asked).await?;
            println!("{text}");
        }
        TokenCommand::List { user } => {
            let call = setup::call(data, "ListTokens").await?;
            let row = find(&call, &user).await?;
            let mut before = (i64::MAX, String::new());
            loop {
                let page = rows::tokens_before(call.store().reader(), &row.uid, (before.0, &before.1), 500).await?;
                let Some(last) = page.last() else { break };
                before = (last.created, last.token_id.clone());
                for token in page {
                    let state = if token.revoked.is_some() { "revoked" } else { "good" };
                    println!("{}\t{}\t{state}\texpires {}\t{}", token.token_id, token.origin, token.expires, token.description);
                }
            }
        }
        TokenCommand::Revoke { token_id } => {
            let call = setup::call(data, "RevokeToken").await?;
            if rows::token(call.store().reader(), &token_id).await?.is_none() {
                return Err(format!("there is no token {token_id}").into());
            }
            service::revoke(&call, token_id).await?;
            println!("The token is revoked.");
        }
    }
    Ok(())
}

async fn find(call: &crate::access::Call, name: &str) -> Result<rows::UserRow, Failure> {
    let found = rows::user_by_name(call.store().reader(), name).await?;
    found.ok_or_else(|| format!("there is no user {name:?}; `stagegate user list` shows all").into())
}
