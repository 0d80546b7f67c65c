//! `stagegate user`.

use std::io::Read;

use clap::Subcommand;

use super::{Failure, beside};
use crate::config::DataOptions;
use crate::contract::v1;
use crate::domain::limits;
use crate::service;

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user with a persona on the whole server. Names are never given twice.
    #[command(after_help = "Examples:\n  stagegate user create maria --persona manager --display-name 'Maria Silva'\n  \
        printf %s \"$PASSWORD\" | stagegate user create jo --persona data_scientist --password-stdin")]
    Create {
        /// 1 to 128 letters, digits and `. _ - + @`.
        name: String,
        /// viewer, data_scientist, ml_engineer, manager, auditor, trainer, deployer, admin, or a custom one.
        #[arg(long)]
        persona: String,
        /// Read the password (15 to 1,024 characters) from standard input, which the user must change before anything else;
        /// without it the user has tokens only.
        #[arg(long)]
        password_stdin: bool,
        /// For people; at most 250 characters.
        #[arg(long, default_value = "")]
        display_name: String,
    },
    /// List users and service accounts: name, kind, active or not, display name, separated by tabs.
    #[command(after_help = "Example:\n  stagegate user list --data-dir /var/lib/stagegate")]
    List,
    /// Deactivate a user: password and tokens stop working within a second.
    #[command(after_help = "Example:\n  stagegate user deactivate jo")]
    Deactivate {
        /// The user's name.
        name: String,
    },
}

/// Runs a command about users.
pub async fn run(data: &DataOptions, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Create { name, persona, password_stdin, display_name } => {
            let password = if password_stdin { read_password()? } else { String::new() };
            let request = v1::CreateUserRequest { user_name: name, display_name, password, persona, ..Default::default() };
            create(data, request).await
        }
        UserCommand::List => list(data).await,
        UserCommand::Deactivate { name } => deactivate(data, name).await,
    }
}

async fn create(data: &DataOptions, request: v1::CreateUserRequest) -> Result<(), Failure> {
    let name = request.user_name.clone();
    let persona = request.persona.clone();
    let access = beside::open(data).await?;
    let made = service::create_user(&beside::call(&access, "CreateUser")?, request).await;
    access.store.close(false).await;
    made.map_err(beside::failure)?;
    println!("The user {name} was made, as {persona}.");
    Ok(())
}

async fn list(data: &DataOptions) -> Result<(), Failure> {
    let access = beside::open(data).await?;
    let call = beside::call(&access, "ListUsers")?;
    let mut page_token = String::new();
    loop {
        let max_results = i32::try_from(limits::PAGE)?;
        let page = service::list_users(&call, v1::ListUsersRequest { max_results, page_token }).await.map_err(beside::failure)?;
        for user in page.users {
            let kind = if user.kind() == v1::UserKind::ServiceAccount { "service_account" } else { "person" };
            let active = if user.active { "active" } else { "deactivated" };
            println!("{}\t{kind}\t{active}\t{}", user.user_name, user.display_name);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn deactivate(data: &DataOptions, name: String) -> Result<(), Failure> {
    let access = beside::open(data).await?;
    let request = v1::UpdateUserRequest { user_name: name.clone(), active: Some(false), ..Default::default() };
    let updated = service::update_user(&beside::call(&access, "UpdateUser")?, request).await;
    access.store.close(false).await;
    updated.map_err(beside::failure)?;
    println!("The user {name} is deactivated.");
    Ok(())
}

/// The password on standard input, without the line's end that `echo` adds.
fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    // Four bytes a character, the line's end, and one more to tell that it is too long.
    let most = limits::PASSWORD_MAX * 4 + 3;
    std::io::stdin()
        .take(most as u64)
        .read_to_string(&mut text)
        .map_err(|error| format!("the password on standard input cannot be read: {error}"))?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err("--password-stdin was given, but standard input holds no password; pipe it in".into());
    }
    Ok(password.to_owned())
}
