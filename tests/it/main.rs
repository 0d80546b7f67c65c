//! Tests of the real server from outside: each starts the binary on a folder or database of its own.

#[macro_use]
mod house;

mod access_matrix;
mod artifact_doors;
mod artifact_files;
mod artifact_parts;
mod contract;
mod faults;
mod hostile;
mod ledger;
mod logged_model_search;
mod logged_models;
mod metric_samples;
mod migrations;
mod promotion;
mod promotion_attacks;
mod promotion_sql;
mod promotion_sql_more;
mod promotion_sql_races;
mod promotion_walks;
mod registry;
mod replicas;
mod rest;
mod strangers;
