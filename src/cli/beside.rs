//! What commands share that work on a database beside a running server: they call the service's own
//! functions, as the command line itself, so that ledger and epoch follow.

use std::sync::Arc;

use super::{Failure, setup};
use crate::access::{Access, Call, Caller, Credential};
use crate::config::DataOptions;
use crate::contract::operation_by_path;
use crate::service::Error;
use crate::store::access as rows;

/// The database of a server, which must have been set up before.
pub async fn open(data: &DataOptions) -> Result<Arc<Access>, Failure> {
    let store = setup::existing(data).await?;
    if rows::count_users(store.reader()).await? == 0 {
        let what = "run `stagegate serve` once, which makes the first, or give the right --data-dir or --database-url";
        return Err(format!("the database has no users yet: {what}").into());
    }
    setup::access(data, &store).await
}

/// A call of the command line for an operation of `AccessService`.
pub fn call(access: &Arc<Access>, operation: &str) -> Result<Call, Failure> {
    let path = format!("/stagegate.v1.AccessService/{operation}");
    let operation = operation_by_path(&path).ok_or_else(|| format!("there is no operation {path}"))?;
    Ok(access.own_call(operation, Caller::without_user(Credential::CommandLine, "")))
}

/// An error in the words of the command line.
pub fn failure(error: Error) -> Failure {
    match error {
        Error::Invalid(invalid) => {
            let said: Vec<String> = invalid.violations().iter().map(|wrong| format!("{} {}", flag(&wrong.field), wrong.message)).collect();
            said.join("; ").into()
        }
        Error::AlreadyExists { kind: "user", name, .. } => {
            format!("the name {name:?} is taken; names are never given twice, so choose another").into()
        }
        Error::NotFound { kind: "user", name } => format!("there is no user {name:?}; `stagegate user list` shows them").into(),
        Error::NotFound { kind: "persona", name } => {
            let built_in = crate::domain::access::BUILT_IN.join(", ");
            format!("there is no persona {name:?}; the built-in ones are {built_in}").into()
        }
        Error::NotFound { kind: "token", name } => {
            format!("there is no token {name:?}; `stagegate token list --user NAME` shows them").into()
        }
        other => other.to_string().into(),
    }
}

/// How a field of a request is called on the command line.
fn flag(field: &str) -> &str {
    match field {
        "user_name" => "NAME",
        "display_name" => "--display-name",
        "ttl_ms" => "--ttl",
        "persona" => "--persona",
        "description" => "--description",
        "model_pattern" => "--model-pattern",
        "experiment_pattern" => "--experiment-pattern",
        other => other,
    }
}
