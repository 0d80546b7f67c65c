//! Variables of the environment. A misspelt one must not be passed over: a limit or an address would be missing.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::ConfigError;

const PREFIX: &str = "STAGEGATE_";
/// What tests set for themselves.
const TESTS: &str = "STAGEGATE_TEST_";
/// The first admin's password: a variable without a flag, which everybody on the machine could read.
pub const ADMIN_PASSWORD: &str = "STAGEGATE_ADMIN_PASSWORD";
/// How far apart two names may be for one to be called a misspelling of the other.
const ALIKE: f64 = 0.7;

/// Refuses a variable with our prefix that is no setting of any command.
pub fn check(commands: &Command, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), ConfigError> {
    let mut known = vec![ADMIN_PASSWORD.to_owned()];
    collect(commands, &mut known);
    for (name, value) in variables {
        let name = name.to_string_lossy();
        let ours = name.starts_with(PREFIX) && !name.starts_with(TESTS);
        if ours && !known.iter().any(|known| *known == name) && !is_of_a_service(&name, &value) {
            return Err(ConfigError::NoVariable {
                name: name.chars().filter(|c| !c.is_control()).collect(),
                meant: nearest(&name, &known),
            });
        }
    }
    Ok(())
}

/// The variables of a command and those below it, as their definition names them.
fn collect(command: &Command, known: &mut Vec<String>) {
    known.extend(command.get_arguments().filter_map(|argument| argument.get_env()).filter_map(OsStr::to_str).map(str::to_owned));
    for below in command.get_subcommands() {
        collect(below, known);
    }
}

/// Whether Kubernetes sets it: it gives each container the addresses of the services in its namespace, so that a
/// service called `stagegate` or `stagegate-db` makes variables with our prefix.
fn is_of_a_service(name: &str, value: &OsStr) -> bool {
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.to_string_lossy().starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") && is_address {
        return true;
    }
    // …_PORT_5000_TCP, and that with _PROTO, _PORT or _ADDR.
    let Some((_, tail)) = name.split_once("_PORT_") else { return false };
    let mut parts = tail.split('_');
    let number = parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let protocol = matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"));
    number && protocol && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR")) && parts.next().is_none()
}

fn nearest(name: &str, known: &[String]) -> Option<String> {
    let tail = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_uppercase();
    let likeness = |known: &&String| strsim::normalized_damerau_levenshtein(&tail(name), &tail(known));
    let begins = |known: &&String| if tail(known).starts_with(&tail(name)) { 1.0 } else { 0.0 };
    let score = |known: &&String| likeness(known).max(begins(known));
    known.iter().max_by(|one, other| score(one).total_cmp(&score(other))).filter(|known| score(known) >= ALIKE).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_kubernetes_are_told_from_settings() {
        let is = |name: &str, value: &str| is_of_a_service(name, OsStr::new(value));
        assert!(is("STAGEGATE_SERVICE_HOST", "10.0.0.1") && is("STAGEGATE_DB_SERVICE_PORT_PG", "5432"));
        assert!(is("STAGEGATE_PORT", "tcp://10.0.0.1:5000") && !is("STAGEGATE_PORT", "5000"));
        assert!(is("STAGEGATE_PORT_5000_TCP", "tcp://10.0.0.1:5000") && is("STAGEGATE_A_B_PORT_53_UDP_ADDR", "10.0.0.1"));
        assert!(!is("STAGEGATE_PORT_X_TCP", "") && !is("STAGEGATE_PORT_1_TCP_MORE", "") && !is("STAGEGATE_LISTEN_PORTS", "1"));
    }

    #[test]
    fn the_nearest_setting_is_named_if_there_is_one() {
        let known = ["STAGEGATE_LISTEN", "STAGEGATE_DATABASE_URL", "STAGEGATE_DATABASE_PASSWORD_FILE"].map(str::to_owned);
        assert_eq!(nearest("STAGEGATE_DATABSE_URL", &known).as_deref(), Some("STAGEGATE_DATABASE_URL"));
        assert_eq!(nearest("STAGEGATE_DATABASE_PASSWORD", &known).as_deref(), Some("STAGEGATE_DATABASE_PASSWORD_FILE"));
        assert_eq!(nearest("STAGEGATE_ZZZZ", &known), None);
    }
}
