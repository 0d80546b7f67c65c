//! What MLflow's own operations mean where that differs from ours. They convert, and do what ours do.

mod artifacts;
mod multipart;
mod server_info;

pub use artifacts::*;
pub use multipart::*;
pub use server_info::*;
