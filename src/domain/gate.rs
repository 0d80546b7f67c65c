//! Gates: what protects a target, and which gate applies to a model.

use super::glob;

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
    };
    [gate("default-production", "Production"), gate("no-gate", "")]
}

/// The gate that protects `target` on the model `model`: of those that cover it the one with the most
/// specific pattern; of equally specific ones the one with the greater id, so that the choice is stable.
pub fn applicable<'a>(gates: &'a [Gate], model: &str, target: &str) -> Option<&'a Gate> {
    gates
        .iter()
        .filter(|gate| gate.target == target && glob::matches(&gate.model_pattern, model))
        .max_by_key(|gate| (glob::specificity(&gate.model_pattern), &gate.gate_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(gate_id: &str, target: &str, model_pattern: &str) -> Gate {
        Gate {
            gate_id: gate_id.into(),
            version: 1,
            target: target.into(),
            model_pattern: model_pattern.into(),
            approvals_required: 1,
            direct_moves_allowed: true,
            common_maker_allowed: true,
            expires_after_ms: None,
        }
    }

    #[test]
    fn the_most_specific_gate_applies() {
        let gates = [
            gate("a", "Production", "*"),
            gate("b", "Production", "fraud-*"),
            gate("c", "Production", "fraud-eu"),
            gate("d", "@champion", "*"),
        ];
        let id = |model, target| applicable(&gates, model, target).map(|gate| gate.gate_id.as_str());
        assert_eq!(id("fraud-eu", "Production"), Some("c"));
        assert_eq!(id("fraud-us", "Production"), Some("b"));
        assert_eq!(id("churn", "Production"), Some("a"));
        assert_eq!(id("ｆｒａｕｄ－ｅｕ", "Production"), Some("c"), "the same name in another form");
        assert_eq!(id("churn", "Staging"), None);
        assert_eq!(id("churn", "@champion"), Some("d"));
    }

    #[test]
    fn of_equals_the_same_one_is_chosen_in_any_order() {
        let mut gates = vec![gate("a", "Production", "fr*"), gate("b", "Production", "*ud")];
        let chosen = |gates: &[Gate]| applicable(gates, "fraud", "Production").map(|gate| gate.gate_id.clone());
        assert_eq!(chosen(&gates).as_deref(), Some("b"));
        gates.reverse();
        assert_eq!(chosen(&gates).as_deref(), Some("b"));
    }
}
