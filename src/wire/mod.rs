//! What comes over the network: connections, the gRPC face, the REST face, and the few plain HTTP paths. No meaning of
//! an operation stands here.

pub mod error;
pub mod grpc;
pub mod request_body;
pub mod rest;
pub mod server;
pub mod surface;
