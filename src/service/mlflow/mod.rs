//! Operations in which MLflow means something else by the same words. They convert and call the function
//! that means it; no rule stands here.

mod artifacts;
mod multipart;
mod registry;
mod server_info;
mod tracking;

pub use artifacts::*;
pub use multipart::*;
pub use registry::*;
pub use server_info::*;
pub use tracking::*;
