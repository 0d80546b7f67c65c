//! The decision, and its reason.

use super::{Effect, Grant, Scope, Snapshot, TokenLimits};
use crate::contract::Permission::{self, *};
use crate::domain::glob;

/// What an object is, as far as scopes can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectClass {
    /// The server as a whole, and what resolves to nothing.
    Server,
    /// An experiment and all in it.
    Experiment,
    /// A registered model and all that belongs to it.
    Model,
    /// A user: its own tokens and password.
    User,
}

/// What is asked about.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub class: ObjectClass,
    /// The id of the experiment or model; none when it does not exist.
    pub uid: Option<String>,
    /// The name of the experiment or model.
    pub name: Option<String>,
    /// The id of the user who created the very object.
    pub owner: Option<String>,
    /// The target as written, for permissions about targets.
    pub target: Option<String>,
}

impl Object {
    /// The server as a whole.
    pub const SERVER: Self = Self { class: ObjectClass::Server, uid: None, name: None, owner: None, target: None };

    /// An experiment or model of an id and a name.
    pub fn named(class: ObjectClass, uid: &str, name: &str) -> Self {
        Self { class, uid: Some(uid.to_owned()), name: Some(name.to_owned()), ..Self::SERVER }
    }
}

/// Yes or no, and by which grant.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// One sentence for people.
    pub reason: String,
    /// The ids of the grants that bear on it, the deciding one first.
    pub grants: Vec<String>,
}

/// Which objects of a class a user may see, for a query to filter by.
#[derive(Debug, Clone, Default)]
pub struct Visibility {
    /// Everything that is not taken.
    pub all: bool,
    /// These ids.
    pub uids: Vec<String>,
    /// Names that match one of these.
    pub patterns: Vec<String>,
    /// What the user created.
    pub own: bool,
    /// Nothing at all.
    pub none: bool,
    /// Not these ids.
    pub denied_uids: Vec<String>,
    /// No names that match one of these.
    pub denied_patterns: Vec<String>,
    /// Of all this only names that match: the limit of a token.
    pub only_pattern: Option<String>,
    /// Of all this only what the maker of a token may see as well.
    pub within: Option<Box<Visibility>>,
}

/// What everybody may do to their own user.
const ON_ONESELF: [Permission; 6] = [UsersRead, PasswordsSet, TokensCreate, TokensRead, TokensRevoke, GrantsRead];

/// Permissions that grants can limit to targets.
pub(super) const ABOUT_TARGETS: [Permission; 7] =
    [StagesTransition, StagesPromote, AliasesSet, RequestsCreate, RequestsWithdraw, RequestsApprove, RequestsReject];

impl Visibility {
    /// Whether it lets nothing through.
    pub fn is_nothing(&self) -> bool {
        self.none || !(self.all || self.own) && self.uids.is_empty() && self.patterns.is_empty()
    }
}

impl Snapshot {
    /// Whether a user may do something to an object. Nothing is allowed that was not granted; a denying
    /// grant wins; a token can do no more than its user and its own limits allow.
    pub fn decide(&self, user_uid: &str, limits: &TokenLimits, permission: Permission, object: &Object) -> Decision {
        let refused = |reason: String| Decision { allowed: false, reason, grants: Vec::new() };
        if !self.users.get(user_uid).is_some_and(|user| user.active) {
            return refused("the user does not exist or is deactivated".to_owned());
        }
        if let Some(reason) = limits.refuse(permission, object) {
            return refused(reason);
        }
        if let Some(maker) = &limits.maker
            && !self.decide(maker, &TokenLimits::default(), permission, &as_if_own(object, user_uid, maker)).allowed
        {
            let name = self.users.get(maker).map(|user| user.name.as_str()).unwrap_or_default();
            return refused(format!(
                "the token gives no more than {name}, who made it, holds, and {name} does not hold `{}` here",
                permission.name()
            ));
        }
        if object.class == ObjectClass::User && object.owner.as_deref() == Some(user_uid) && ON_ONESELF.contains(&permission) {
            return Decision { allowed: true, reason: "everybody may do this to their own user".to_owned(), grants: Vec::new() };
        }
        let bearing: Vec<&Grant> = self.grants_of(user_uid).filter(|grant| self.bears(grant, user_uid, permission, object)).collect();
        let deciding = bearing
            .iter()
            .find(|grant| grant.effect == Effect::Deny)
            .or_else(|| bearing.iter().find(|grant| grant.effect == Effect::Allow));
        let Some(deciding) = deciding else {
            return refused(format!("no grant gives `{}` here", permission.name()));
        };
        let allowed = deciding.effect == Effect::Allow;
        let verb = if allowed { "gives" } else { "denies" };
        let mut grants = vec![deciding.uid.clone()];
        grants.extend(bearing.iter().filter(|grant| grant.uid != deciding.uid).map(|grant| grant.uid.clone()));
        let reason = format!("the grant {} of the persona {} {verb} `{}`", deciding.uid, deciding.persona, permission.name());
        Decision { allowed, reason, grants }
    }

    /// Which objects of a class a user may do something to.
    pub fn visibility(&self, user_uid: &str, limits: &TokenLimits, permission: Permission, class: ObjectClass) -> Visibility {
        let mut visible = Visibility::default();
        limits.narrow(permission, class, &mut visible);
        if visible.none || !self.users.get(user_uid).is_some_and(|user| user.active) {
            visible.none = true;
            return visible;
        }
        if let Some(maker) = &limits.maker {
            visible.within = Some(Box::new(self.visibility(maker, &TokenLimits::default(), permission, class)));
        }
        for grant in self.grants_of(user_uid) {
            // No search asks for a permission that personas limit to one's own objects; where one did, a
            // narrower scope than the server would show nothing rather than too much.
            let Some(right) = self.right(grant, permission).filter(|right| !right.own || grant.scope == Scope::Server) else {
                continue;
            };
            let deny = grant.effect == Effect::Deny;
            if deny && !grant.targets.is_empty() {
                continue;
            }
            match (&grant.scope, class) {
                (Scope::Server, _) if deny => visible.none = true,
                (Scope::Server, _) if right.own => visible.own = true,
                (Scope::Server, _) => visible.all = true,
                (Scope::Experiment(uid), ObjectClass::Experiment) | (Scope::Model(uid), ObjectClass::Model) => {
                    if deny { &mut visible.denied_uids } else { &mut visible.uids }.push(uid.clone());
                }
                (Scope::Experiments(pattern), ObjectClass::Experiment) | (Scope::Models(pattern), ObjectClass::Model) => {
                    if deny { &mut visible.denied_patterns } else { &mut visible.patterns }.push(pattern.clone());
                }
                _ => {}
            }
        }
        visible
    }

    fn bears(&self, grant: &Grant, user_uid: &str, permission: Permission, object: &Object) -> bool {
        let Some(right) = self.right(grant, permission) else { return false };
        let owned = !right.own || object.owner.as_deref() == Some(user_uid);
        let target_fits = grant.targets.is_empty()
            || if ABOUT_TARGETS.contains(&permission) {
                object.target.as_ref().is_some_and(|target| grant.targets.contains(target))
            } else {
                // A denial of some targets leaves everything else as it is.
                grant.effect == Effect::Allow
            };
        owned && target_fits && covers(&grant.scope, object)
    }

    /// The right that a grant's persona gives; the one on everything before the one on one's own.
    fn right(&self, grant: &Grant, permission: Permission) -> Option<super::Right> {
        let persona = self.persona(&grant.persona)?;
        persona.rights.into_iter().filter(|right| right.permission == permission).min_by_key(|right| right.own)
    }
}

/// An object as the maker of a user's token would meet it: what belongs to the user counts as the maker's own.
pub(super) fn as_if_own(object: &Object, user_uid: &str, maker: &str) -> Object {
    let owner = object.owner.as_ref().map(|owner| if owner == user_uid { maker.to_owned() } else { owner.clone() });
    Object { owner, ..object.clone() }
}

fn covers(scope: &Scope, object: &Object) -> bool {
    let uid_is = |class, uid: &String| object.class == class && object.uid.as_ref() == Some(uid);
    let name_matches =
        |class, pattern: &str| object.class == class && object.name.as_ref().is_some_and(|name| glob::matches(pattern, name));
    match scope {
        Scope::Server => true,
        Scope::Experiment(uid) => uid_is(ObjectClass::Experiment, uid),
        Scope::Model(uid) => uid_is(ObjectClass::Model, uid),
        Scope::Experiments(pattern) => name_matches(ObjectClass::Experiment, pattern),
        Scope::Models(pattern) => name_matches(ObjectClass::Model, pattern),
    }
}
