//! What comes over the network: connections, the gRPC face, the REST face, and the few plain HTTP paths. No meaning of
//! an operation stands here.

pub mod connection;
mod error;
mod frames;
pub mod grpc;
mod guard;
mod health;
pub mod hosts;
mod message_room;
mod not_kept;
mod open_calls;
mod plain;
pub mod proxies;
pub mod request_body;
pub mod rest;
pub mod server;
mod socket;
mod sources;
pub mod surface;
mod tiles;
