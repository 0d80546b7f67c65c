//! What a token is limited to, besides what its user may do.

use super::decision::{Object, ObjectClass, Visibility};
use crate::contract::Permission::{self, *};
use crate::domain::glob;

/// What a token is limited to. A pattern of one kind of name leaves out all other kinds: the other pattern names the
/// other kind, and what is about the server or users is named permission by permission.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Permissions; none: all.
    pub permissions: Vec<Permission>,
    /// A pattern of model names.
    pub model_pattern: Option<String>,
    /// A pattern of experiment names.
    pub experiment_pattern: Option<String>,
    /// The id of the user who made it for somebody else: it gives nothing that this one does not hold as well.
    pub maker: Option<String>,
}

/// Permissions on experiments and what is in them.
const ON_EXPERIMENTS: [Permission; 8] =
    [ExperimentsRead, ExperimentsCreate, ExperimentsEdit, ExperimentsDelete, ExperimentsPurge, RunsCreate, RunsEdit, RunsDelete];
/// Permissions on registered models and what belongs to them.
const ON_MODELS: [Permission; 18] = [
    ModelsRead,
    ModelsCreate,
    ModelsEdit,
    ModelsDelete,
    ModelsPurge,
    VersionsCreate,
    VersionsEdit,
    VersionsDelete,
    VersionsDownload,
    StagesTransition,
    StagesPromote,
    AliasesSet,
    RequestsCreate,
    RequestsWithdraw,
    RequestsApprove,
    RequestsReject,
    CommentsCreate,
    CommentsEdit,
];

/// The kind of object that a permission is about. What concerns users counts as the server's.
pub(super) fn about(permission: Permission) -> ObjectClass {
    if ON_EXPERIMENTS.contains(&permission) {
        ObjectClass::Experiment
    } else if ON_MODELS.contains(&permission) {
        ObjectClass::Model
    } else {
        ObjectClass::Server
    }
}

impl TokenLimits {
    /// Whether a pattern limits it at all.
    fn patterned(&self) -> bool {
        self.model_pattern.is_some() || self.experiment_pattern.is_some()
    }

    fn pattern(&self, class: ObjectClass) -> Option<&String> {
        match class {
            ObjectClass::Model => self.model_pattern.as_ref(),
            ObjectClass::Experiment => self.experiment_pattern.as_ref(),
            ObjectClass::Server | ObjectClass::User => None,
        }
    }

    /// Why a token of these limits is of no use for something, if so.
    pub(super) fn refuse(&self, permission: Permission, object: &Object) -> Option<String> {
        if !self.permissions.is_empty() && !self.permissions.contains(&permission) {
            return Some(format!("the token is not good for `{}`", permission.name()));
        }
        if !self.patterned() {
            return None;
        }
        let fits = match object.class {
            ObjectClass::Model | ObjectClass::Experiment => {
                let name = object.name.as_ref();
                self.pattern(object.class).is_some_and(|pattern| name.is_some_and(|name| glob::matches(pattern, name)))
            }
            ObjectClass::Server | ObjectClass::User => about(permission) == ObjectClass::Server && self.permissions.contains(&permission),
        };
        (!fits).then(|| format!("the token is only good for {}", self.described()))
    }

    fn described(&self) -> String {
        let of = |what: &str, pattern: &Option<String>| pattern.as_ref().map(|pattern| format!("{what} named `{pattern}`"));
        let kinds = [of("models", &self.model_pattern), of("experiments", &self.experiment_pattern)];
        kinds.into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// Leaves of what a user may see only what a token of these limits reaches.
    pub(super) fn narrow(&self, permission: Permission, class: ObjectClass, visible: &mut Visibility) {
        let other_permission = !self.permissions.is_empty() && !self.permissions.contains(&permission);
        let other_kind = self.patterned() && self.pattern(class).is_none();
        visible.none |= other_permission || other_kind;
        visible.only_pattern = self.pattern(class).cloned();
    }

    /// A permission that the patterns leave nothing of, if there is one: somebody has forgotten a pattern.
    pub fn useless(&self) -> Option<Permission> {
        let reaches = |permission: &&Permission| match about(**permission) {
            class @ (ObjectClass::Model | ObjectClass::Experiment) => self.pattern(class).is_some(),
            ObjectClass::Server | ObjectClass::User => true,
        };
        self.permissions.iter().find(|permission| self.patterned() && !reaches(permission)).copied()
    }

    /// Whether other limits let nothing through that these hold back.
    pub fn cover(&self, other: &Self) -> bool {
        let held = |permission: &Permission| {
            self.permissions.contains(permission)
                || self.permissions.is_empty() && !(self.patterned() && about(*permission) == ObjectClass::Server)
        };
        let permissions = other.permissions.iter().all(held) && (self.permissions.is_empty() || !other.permissions.is_empty());
        let within = |class| match (self.pattern(class), other.pattern(class)) {
            (_, None) => true,
            (Some(own), Some(pattern)) => glob::matches(own, pattern),
            (None, Some(_)) => false,
        };
        let kinds = !self.patterned() || other.patterned() && within(ObjectClass::Model) && within(ObjectClass::Experiment);
        permissions && kinds
    }
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
