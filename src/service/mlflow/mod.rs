//! What MLflow's own operations mean where that differs from ours. They convert, and do what ours do.

mod artifacts;
mod multipart;

pub use artifacts::*;
pub use multipart::*;
