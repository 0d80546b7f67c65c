//! Tests of the real server from outside: each starts the binary on a folder or database of its own.

#[macro_use]
mod house;

mod contract;
mod hostile;
mod promotion_sql;
