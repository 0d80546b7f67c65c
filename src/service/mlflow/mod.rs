//! Operations in which MLflow means something else by the same words. They convert and call the function
//! that means it; no rule stands here.

mod registry;

pub use registry::*;
