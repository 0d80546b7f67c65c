//! Who is who, at one moment.

use std::collections::{HashMap, HashSet};

use super::{Object, Persona, TokenLimits, built_in};
use crate::contract::Permission;

/// What kind of principal a user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserKind {
    /// A login of a person.
    Person,
    /// Signs in with tokens only; a person owns it.
    ServiceAccount,
}

impl UserKind {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "PERSON",
            Self::ServiceAccount => "SERVICE_ACCOUNT",
        }
    }

    /// The kind of a stored text; what is no service account is a person's.
    pub fn parse(text: &str) -> Self {
        if text == Self::ServiceAccount.as_str() { Self::ServiceAccount } else { Self::Person }
    }
}

/// A login or service account.
#[derive(Debug, Clone)]
pub struct User {
    /// Immutable.
    pub uid: String,
    /// As shown.
    pub name: String,
    /// Whether it is a login.
    pub kind: UserKind,
    /// The person behind it.
    pub person_uid: String,
    /// Whether its credentials work.
    pub active: bool,
    /// Whether it can sign in as itself: with a password. Tokens do not count, for they end.
    pub signs_in: bool,
}

/// A named set of users.
#[derive(Debug, Clone)]
pub struct Group {
    /// Immutable.
    pub uid: String,
    /// As shown.
    pub name: String,
    /// Ids of its users.
    pub members: HashSet<String>,
}

/// Whom a grant reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A user or service account, by id.
    User(String),
    /// A group, by id.
    Group(String),
}

/// Where a grant holds. Objects are bound by id, patterns bind names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Server,
    /// One experiment.
    Experiment(String),
    /// One registered model.
    Model(String),
    /// Experiments whose names match.
    Experiments(String),
    /// Registered models whose names match.
    Models(String),
}

/// Whether a grant gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Gives.
    Allow,
    /// Takes, whatever else gives.
    Deny,
}

/// A persona bound to a principal on a scope.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Immutable.
    pub uid: String,
    /// Whom it reaches.
    pub principal: Principal,
    /// The persona's name.
    pub persona: String,
    /// Where it holds.
    pub scope: Scope,
    /// Targets that permissions about targets are limited to; none: all.
    pub targets: Vec<String>,
    /// Gives or takes.
    pub effect: Effect,
    /// Unix milliseconds.
    pub created: i64,
    /// The id of the user who made it; empty for the server.
    pub created_by: String,
}

/// Users, groups, personas, grants and revoked tokens, at one moment.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    /// Counts the changes to access; a snapshot of an older epoch is out of date.
    pub epoch: i64,
    /// By id.
    pub users: HashMap<String, User>,
    /// By id.
    pub groups: HashMap<String, Group>,
    /// Custom personas by name.
    pub personas: HashMap<String, Persona>,
    /// All of them.
    pub grants: Vec<Grant>,
    /// Tokens that were revoked before they expire, by id.
    pub revoked: HashSet<String>,
}

impl Snapshot {
    /// The user of a name, whatever its letter case.
    pub fn user_by_name(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.name.eq_ignore_ascii_case(name))
    }

    /// The group of a name, whatever its letter case.
    pub fn group_by_name(&self, name: &str) -> Option<&Group> {
        self.groups.values().find(|group| group.name.eq_ignore_ascii_case(name))
    }

    /// A built-in or custom persona.
    pub fn persona(&self, name: &str) -> Option<Persona> {
        built_in(name).or_else(|| self.personas.get(name).cloned())
    }

    /// The groups of a user.
    pub fn groups_of<'a>(&'a self, user_uid: &'a str) -> impl Iterator<Item = &'a Group> {
        self.groups.values().filter(move |group| group.members.contains(user_uid))
    }

    /// The grants that reach a user, itself or through groups.
    pub fn grants_of<'a>(&'a self, user_uid: &'a str) -> impl Iterator<Item = &'a Grant> {
        self.grants.iter().filter(move |grant| match &grant.principal {
            Principal::User(uid) => uid == user_uid,
            Principal::Group(uid) => self.groups.get(uid).is_some_and(|group| group.members.contains(user_uid)),
        })
    }

    /// The active logins that can sign in, hold the persona `admin` on the server, and can still manage access: whatever
    /// else is denied to them, they can undo it.
    pub fn admins(&self) -> Vec<&User> {
        let holds_persona = |user: &User| {
            let mut grants = self.grants_of(&user.uid);
            grants.any(|grant| grant.persona == super::ADMIN && grant.scope == Scope::Server && grant.effect == Effect::Allow)
        };
        let manages = |user: &User| {
            let may = |permission| self.decide(&user.uid, &TokenLimits::default(), permission, &Object::SERVER).allowed;
            may(Permission::GrantsManage) && may(Permission::UsersManage)
        };
        let counts = |user: &&User| user.active && user.signs_in && user.kind == UserKind::Person && holds_persona(user) && manages(user);
        self.users.values().filter(counts).collect()
    }
}
