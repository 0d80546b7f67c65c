//! `stagegate user`.

use std::io::Read;

use clap::Subcommand;

use super::{Failure, setup};
use crate::config::DataOptions;
use crate::contract::v1;
use crate::domain::access::UserKind;
use crate::service::{self, NewUser};
use crate::store::access as rows;

/// What can be done to users.
#[derive(Subcommand)]
pub enum UserCommand {
    /// Make a user. Without --password-stdin it signs in with tokens only.
    #[command(after_help = "Example:\n  printf %s \"$PASSWORD\" | stagegate user create ann --persona data_scientist --password-stdin")]
    Create {
        /// 1 to 128 letters, digits and `. _ - + @`; never given twice.
        name: String,
        /// What it may do on the whole server: viewer, data_scientist, ml_engineer, manager, auditor,
        /// trainer, deployer, admin, or a custom persona.
        #[arg(long)]
        persona: String,
        /// Read the password from standard input; a line feed at its end does not count.
        #[arg(long)]
        password_stdin: bool,
        /// For people.
        #[arg(long, default_value = "")]
        display_name: String,
    },
    /// List all users.
    List,
    /// Deactivate a user: its passwords and tokens stop working.
    Deactivate {
        /// The user's name.
        name: String,
    },
}

/// Runs the command beside the database; a running server takes it up within a second.
pub async fn run(data: &DataOptions, command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Create { name, persona, password_stdin, display_name } => {
            let password = if password_stdin { Some(read_password()?) } else { None };
            let call = setup::call(data, "CreateUser").await?;
            let password_hash = match password {
                Some(password) => {
                    crate::domain::text::password("password", &password).map_err(|error| error.to_string())?;
                    call.access().passwords.hash(&password).await
                }
                None => None,
            };
            let kind = UserKind::Person;
            service::make_user(&call, NewUser { name: name.clone(), display_name, kind, person_of: String::new(), password_hash, persona }).await?;
            println!("The user {name} was made.");
        }
        UserCommand::List => {
            let call = setup::call(data, "ListUsers").await?;
            let mut after = String::new();
            loop {
                let page = rows::users_after(call.store().reader(), &after, 500).await?;
                let Some(last) = page.last() else { break };
                after = crate::domain::text::canonical_principal(&last.name);
                for user in page {
                    let state = if user.active { "active" } else { "deactivated" };
                    println!("{}\t{}\t{state}\t{}", user.name, user.kind.as_str(), user.display_name);
                }
            }
        }
        UserCommand::Deactivate { name } => {
            let call = setup::call(data, "UpdateUser").await?;
            service::update_user(&call, v1::UpdateUserRequest { user_name: name.clone(), display_name: None, active: Some(false) }).await?;
            println!("The user {name} is deactivated.");
        }
    }
    Ok(())
}

fn read_password() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().take(8 * 1024).read_to_string(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
