//! Variables of the environment: a misspelt one is refused, and what others set is not.

use std::process::Command;
use std::time::Duration;

use crate::house::{bare_command, run_to_its_end};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command: Command = bare_command();
    command.args(arguments).env("STAGEGATE_DATA_DIR", folder.path()).envs(variables.iter().copied());
    let (status, said, _) = run_to_its_end(command, Duration::from_secs(30));
    (status.success(), said)
}

#[test]
fn an_unknown_variable_is_refused_and_the_nearest_known_one_named() {
    for (misspelt, meant) in [
        ("STAGEGATE_DATABSE_URL", "STAGEGATE_DATABASE_URL"),
        ("STAGEGATE_DATABASE_PASSWORD", "STAGEGATE_DATABASE_PASSWORD_FILE"),
        ("STAGEGATE_ADMIN_PASWORD", "STAGEGATE_ADMIN_PASSWORD"),
        ("STAGEGATE_ALLOWED_HOST", "STAGEGATE_ALLOWED_HOSTS"),
        ("STAGEGATE_LOGS", "STAGEGATE_LOG"),
        ("STAGEGATE_QUOTA_LEDGER_ROW", "STAGEGATE_QUOTA_LEDGER_ROWS"),
        ("STAGEGATE_listen", "STAGEGATE_LISTEN"),
    ] {
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"], &["user", "list"], &["ledger", "verify"]] {
            let (went_well, said) = run(arguments, &[(misspelt, "a-secret-word")]);
            assert!(!went_well && said.contains(misspelt) && said.contains(&format!("`{meant}`")), "{arguments:?}: {said}");
            assert!(!said.contains("a-secret-word"), "{said}");
        }
    }
    // Who means the port is not taken for Kubernetes.
    let (went_well, said) = run(&["migrate"], &[("STAGEGATE_PORT", "5000")]);
    assert!(!went_well && said.contains("STAGEGATE_PORT"), "{said}");
}

/// Kubernetes gives each container variables for the services of its namespace; one is often called as the program.
#[test]
fn what_kubernetes_sets_for_services_is_passed_over() {
    let mut set = Vec::new();
    for service in ["STAGEGATE", "STAGEGATE_DB", "STAGEGATE_POSTGRES_RW"] {
        set.push((format!("{service}_SERVICE_HOST"), "10.96.0.17"));
        set.push((format!("{service}_SERVICE_PORT"), "5000"));
        set.push((format!("{service}_SERVICE_PORT_GRPC_WEB"), "5000"));
        set.push((format!("{service}_PORT"), "tcp://10.96.0.17:5000"));
        for protocol in ["TCP", "UDP", "SCTP"] {
            set.push((format!("{service}_PORT_5000_{protocol}"), "tcp://10.96.0.17:5000"));
            set.push((format!("{service}_PORT_5000_{protocol}_PROTO"), "tcp"));
            set.push((format!("{service}_PORT_5000_{protocol}_PORT"), "5000"));
            set.push((format!("{service}_PORT_5000_{protocol}_ADDR"), "10.96.0.17"));
        }
    }
    // What tests set for themselves.
    set.push(("STAGEGATE_TEST_ANYTHING".to_owned(), "1"));
    let set: Vec<(&str, &str)> = set.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (went_well, said) = run(&["migrate"], &set);
    assert!(went_well, "{said}");
}

#[test]
fn a_bad_log_filter_stops_the_start_and_its_bad_part_is_named() {
    for (filter, bad) in [
        ("inof", "inof"),
        ("info,sqlx=wran", "sqlx=wran"),
        ("info,,=,debug", "="),
        ("stagegate=debug,verbose", "verbose"),
        ("info,stagegate[=debug", "stagegate[=debug"),
    ] {
        let (went_well, said) = run(&["serve", "--listen", "127.0.0.1:0"], &[("STAGEGATE_LOG", filter)]);
        assert!(!went_well && said.contains("STAGEGATE_LOG") && said.contains(&format!("`{bad}`")), "{filter}: {said}");
    }
}
