//! Tests of the real server from outside: each starts the binary on a folder or database of its own.

#[macro_use]
mod house;

mod access_matrix;
mod approvals;
mod artifact_damage;
mod artifact_doors;
mod artifact_files;
mod artifact_marker;
mod artifact_parts;
mod attacks;
mod contract;
mod environment;
mod faults;
mod first_starts;
mod forged_keys;
mod hidden;
mod hostile;
mod large_values;
mod last_admin;
mod ledger;
mod ledger_state;
mod load;
mod logged_model_search;
mod logged_models;
mod makers;
mod makers_sql;
mod metric_samples;
mod migrations;
mod misspelt;
mod promotion;
mod promotion_sql;
mod promotion_sql_more;
mod promotion_sql_races;
mod promotion_walks;
mod quotas;
mod readiness;
mod recorded;
mod registry;
mod replicas;
mod rest;
mod secrets;
mod sign_ins;
mod stops;
mod strangers;
mod token_limits;
