//! `stagegate token`.

use std::time::Duration;

use clap::Subcommand;

use super::{Failure, beside};
use crate::config::DataOptions;
use crate::contract::v1;
use crate::domain::limits;
use crate::service;

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a bearer token and print it, alone. Decisions made with it are marked as made on the command line.
    #[command(after_help = "Examples:\n  export MLFLOW_TRACKING_TOKEN=$(stagegate token create --user trainer-eu)\n  \
        stagegate token create --user jo --ttl 8h --description 'notebook' --permission models.read")]
    Create {
        /// Whose.
        #[arg(long)]
        user: String,
        /// How long it is good, such as 90d, 8h or 30m; 1s to 365d.
        #[arg(long, default_value = "90d", value_parser = time_to_live)]
        ttl: Duration,
        /// For people; at most 250 characters.
        #[arg(long, default_value = "")]
        description: String,
        /// A permission to limit it to, such as runs.edit; may be given several times.
        #[arg(long)]
        permission: Vec<String>,
        /// The models to limit it to: a name in which `*` stands for any characters. With it alone, the token does nothing
        /// on experiments.
        #[arg(long, default_value = "")]
        model_pattern: String,
        /// The experiments to limit it to, in the same way. A pattern of one kind leaves out every other kind, and the
        /// server and users as far as no permission names them.
        #[arg(long, default_value = "")]
        experiment_pattern: String,
    },
    /// List a user's tokens, the newest first, never their text: id, origin, good, expired or revoked, expiry, description,
    /// separated by tabs.
    #[command(after_help = "Example:\n  stagegate token list --user jo")]
    List {
        /// Whose.
        #[arg(long)]
        user: String,
    },
    /// Revoke a token; within a second it is refused everywhere.
    #[command(after_help = "Example:\n  stagegate token revoke 4f0c2d6a8b1e4c7d9a3f5b2e1d0c9b8a")]
    Revoke {
        /// The token's id, as `stagegate token list` shows it.
        id: String,
    },
}

/// How long a token shall be good, in the units of the command line.
fn time_to_live(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_secs(1), Duration::from_millis(limits::TOKEN_TTL_MAX_MS.unsigned_abs()));
    let asked = humantime::parse_duration(text).map_err(|error| format!("{error}; give a time such as 90d, 8h or 30m"))?;
    if (least..=most).contains(&asked) { Ok(asked) } else { Err("must be between 1s and 365d".to_owned()) }
}

/// Runs a command about tokens.
pub async fn run(data: &DataOptions, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { user, ttl, description, permission, model_pattern, experiment_pattern } => {
            let ttl_ms = Some(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
            let request =
                v1::CreateTokenRequest { user_name: user, description, ttl_ms, permissions: permission, model_pattern, experiment_pattern };
            create(data, request).await
        }
        TokenCommand::List { user } => list(data, &user).await,
        TokenCommand::Revoke { id } => {
            let access = beside::open(data).await?;
            let call = beside::call(&access, "RevokeToken")?;
            let revoked = service::revoke_token(&call, v1::RevokeTokenRequest { token_id: id.clone() }).await;
            access.store.close(false).await;
            revoked.map_err(beside::failure)?;
            println!("The token {id} is revoked.");
            Ok(())
        }
    }
}

async fn create(data: &DataOptions, request: v1::CreateTokenRequest) -> Result<(), Failure> {
    let access = beside::open(data).await?;
    let made = service::create_token(&beside::call(&access, "CreateToken")?, request).await;
    access.store.close(false).await;
    println!("{}", made.map_err(beside::failure)?.token_text);
    Ok(())
}

async fn list(data: &DataOptions, user: &str) -> Result<(), Failure> {
    let access = beside::open(data).await?;
    let call = beside::call(&access, "ListTokens")?;
    let mut page_token = String::new();
    loop {
        let max_results = i32::try_from(limits::PAGE)?;
        let request = v1::ListTokensRequest { user_name: user.to_owned(), max_results, page_token };
        let page = service::list_tokens(&call, request).await.map_err(beside::failure)?;
        for token in &page.tokens {
            println!("{}", line(token));
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn line(token: &v1::Token) -> String {
    let origin = match token.origin() {
        v1::TokenOrigin::SignIn => "sign_in",
        v1::TokenOrigin::CommandLine => "command_line",
        v1::TokenOrigin::Api | v1::TokenOrigin::Unspecified => "api",
    };
    let state = match (token.revoked, token.expiry_time <= crate::clock::now_ms()) {
        (true, _) => "revoked",
        (false, true) => "expired",
        (false, false) => "good",
    };
    let seconds = u64::try_from(token.expiry_time / 1_000).unwrap_or_default();
    let expiry = humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + Duration::from_secs(seconds));
    format!("{}\t{origin}\t{state}\t{expiry}\t{}", token.token_id, token.description)
}
