//! MLflow keeps prompts as registered models with a tag. Searches of models and versions leave them out
//! unless they are asked for.

use super::{Comparison, Filter, Key, Test, TextOp};

/// The key of the tag whose value `true` makes a registered model a prompt, on it and on its versions.
pub const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// What a search of registered models or versions says about prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptScope {
    /// Leave out the models that are prompts, and their versions. No comparison with the tag remains.
    Exclude,
    /// The filter asks for prompts itself, through comparisons that remain: no rule beside it.
    Only,
}

/// Decides about prompts as MLflow does. The first comparison with the tag counts: `= 'true'` and
/// `!= 'false'` ask for prompts, in any letter case. Otherwise every comparison with the tag is dropped,
/// so that what has no such tag is found by `!= 'true'` and `= 'false'`.
pub fn prompt_rule(filter: &mut Filter) -> PromptScope {
    let concerns = |clause: &Comparison| matches!(&clause.key, Key::Tag(key) if key == PROMPT_TAG);
    let asks = |clause: &Comparison| match &clause.test {
        Test::Text { op: TextOp::Eq, value } => value.eq_ignore_ascii_case("true"),
        Test::Text { op: TextOp::Ne, value } => value.eq_ignore_ascii_case("false"),
        _ => false,
    };
    if filter.clauses.iter().find(|clause| concerns(clause)).is_some_and(asks) {
        return PromptScope::Only;
    }
    filter.clauses.retain(|clause| !concerns(clause));
    PromptScope::Exclude
}
