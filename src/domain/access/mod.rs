//! Who may do what: personas, grants and the decision. Pure: it is handed a snapshot of who is who and
//! says yes or no, and by which grant.

mod decision;
mod delegation;
mod limits;
mod persona;
mod snapshot;
#[cfg(test)]
mod tests;

pub use decision::{Decision, Object, ObjectClass, Visibility};
pub use delegation::Delegated;
pub use limits::TokenLimits;
pub use persona::{ADMIN, BUILT_IN, Persona, Right, built_in};
pub use snapshot::{Effect, Grant, Group, Principal, Scope, Snapshot, User, UserKind};
