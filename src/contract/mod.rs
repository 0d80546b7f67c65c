//! The contract as code: the generated messages and services, the table of operations with their
//! access rules, the messages' JSON, and the descriptor set for reflection. No rule is decided here, nothing
//! is started.

pub mod json;
mod permission;

/// The generated messages, servers and clients, in modules named as their packages.
#[allow(clippy::all, clippy::pedantic, missing_docs, rustdoc::all)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/contract.rs"));
}

use crate::domain::limits;

pub use operations::{OPERATIONS, add_services, rest_routes};
pub use permission::UnknownPermission;
pub use proto::stagegate::mlflow::v1 as mlflow;
pub use proto::stagegate::options::v1::{ObjectKind, Permission, Record};
pub use proto::stagegate::v1;

#[allow(clippy::all, clippy::pedantic)]
mod operations {
    use super::{Clause, ObjectKind, Operation, Permission, Record, Rule, Subject, proto};
    include!(concat!(env!("OUT_DIR"), "/operations.rs"));
}

#[allow(clippy::all, clippy::pedantic)]
mod spelling {
    use super::{json, proto};
    include!(concat!(env!("OUT_DIR"), "/json.rs"));
}

/// The encoded `FileDescriptorSet` of all of `proto/`, options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stagegate.bin"));

/// One operation as its proto declares it.
#[derive(Debug)]
pub struct Operation {
    /// The service's full name: `stagegate.v1.TrackingService`.
    pub service: &'static str,
    /// The method's name: `CreateRun`.
    pub name: &'static str,
    /// The path of the gRPC call: `/stagegate.v1.TrackingService/CreateRun`.
    pub path: &'static str,
    /// How the ledger names it: `stagegate.v1.TrackingService/CreateRun`.
    pub full_name: &'static str,
    /// The request message's full name.
    pub input: &'static str,
    /// Whether the request is a stream; its first message decides access.
    pub client_streaming: bool,
    /// Whether the response is a stream.
    pub server_streaming: bool,
    /// The REST routes: verb and path.
    pub http: &'static [(&'static str, &'static str)],
    /// Who may call it and what the ledger keeps.
    pub rule: Rule,
}

impl Operation {
    /// Whether something that the caller sends stays on the server, so that quotas count it. Signing out and revoking
    /// tokens are left out: a quota must not keep stolen tokens alive.
    pub fn keeps_something(&self) -> bool {
        let exempt = |permission: Permission| permission.only_reads() || permission == Permission::TokensRevoke;
        self.rule.clauses.iter().any(|clause| !exempt(clause.permission))
    }
}

/// See `stagegate.options.v1.Rule`.
#[derive(Debug)]
pub struct Rule {
    /// Callable without credentials.
    pub public: bool,
    /// Callable by every signed-in principal.
    pub signed_in: bool,
    /// Callable, too, with a password that somebody else set.
    pub password_due: bool,
    /// Callable, too, by who has used up a quota of the day.
    pub beyond_quota: bool,
    /// What the ledger keeps.
    pub record: Record,
    /// What must hold, all of it.
    pub clauses: &'static [Clause],
}

impl Rule {
    /// The bytes that a message may have, or the body of a REST request.
    pub fn message_bytes(&self) -> usize {
        if self.public { limits::PUBLIC_MESSAGE_BYTES } else { limits::MESSAGE_BYTES }
    }
}

/// See `stagegate.options.v1.Clause`.
#[derive(Debug)]
pub struct Clause {
    /// The permission that the caller needs.
    pub permission: Permission,
    /// The kind of object it is needed on.
    pub kind: ObjectKind,
    /// Request fields that name the object.
    pub fields: &'static [&'static str],
    /// The request field with the target stage, or empty.
    pub stage_field: &'static str,
    /// The request field with the target alias, or empty.
    pub alias_field: &'static str,
    /// Holds by itself when none of the fields is set.
    pub optional: bool,
    /// The query filters by the permission; no single object is named.
    pub filtered: bool,
}

/// A request whose rule can read the fields that it names.
pub trait Subject: Sync {
    /// The text of a field named in the operation's rule; none when it is not set or empty.
    fn subject(&self, path: &str) -> Option<&str>;
}

/// The operation of a gRPC path, if there is one.
pub fn operation_by_path(path: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().copied().find(|operation| operation.path == path)
}
