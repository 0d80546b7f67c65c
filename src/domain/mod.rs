//! Rules without input or output: limits, names, stages, gates, requests, evidence, who may do what,
//! the search language, the ledger's bytes. No clock, no random numbers, no database, no wire.

pub mod access;
pub mod artifact_owner;
pub mod artifact_path;
pub mod confusable;
pub mod evidence;
pub mod field;
pub mod gate;
pub mod glob;
pub mod ids;
pub mod key_value;
pub mod ledger;
pub mod limits;
pub mod manifest;
pub mod metric_value;
pub mod page_token;
pub mod person;
pub mod request;
pub mod run_name;
pub mod search;
pub mod source;
pub mod stage;
pub mod text;
pub mod url;
pub mod version_ref;
