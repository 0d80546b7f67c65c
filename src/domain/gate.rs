//! Gates: what protects a target. Which gate protects a target of a model is told by the database, see `store::gates`.

/// A rule that protects one target on the models that match its pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Stays the same over all its versions.
    pub gate_id: String,
    /// Counts up with each change.
    pub version: i32,
    /// The target as written: `Production`, `@champion`.
    pub target: String,
    /// The models that it covers.
    pub model_pattern: String,
    /// How many persons must approve; at least 1.
    pub approvals_required: i32,
    /// Whether those who may promote can move a version without a request.
    pub direct_moves_allowed: bool,
    /// Whether those who ask and those who approve may have logins that the same third person made.
    pub common_maker_allowed: bool,
    /// How long a request stays open, in milliseconds.
    pub expires_after_ms: Option<i64>,
    /// The person who wrote this version; none for the gates that the server comes with.
    pub author_person: Option<String>,
}

/// The gates that every server begins with: the schema makes them, without a row in the ledger.
pub fn built_in() -> [Gate; 2] {
    let gate = |gate_id: &str, target: &str| Gate {
        gate_id: gate_id.to_owned(),
        version: 1,
        target: target.to_owned(),
        model_pattern: "*".to_owned(),
        approvals_required: 1,
        direct_moves_allowed: true,
        common_maker_allowed: true,
        expires_after_ms: None,
        author_person: None,
    };
    [gate("default-production", "Production"), gate("no-gate", "")]
}
