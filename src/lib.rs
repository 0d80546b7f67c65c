//! Stagegate: ML experiment tracking and governed promotion of models. See `ARCHITECTURE.md` for the
//! rooms and what may import what.

pub mod access;
pub mod cli;
pub mod clock;
pub mod config;
pub mod contract;
pub mod domain;
pub mod import;
pub mod memory;
pub mod service;
pub mod store;
pub mod wire;
