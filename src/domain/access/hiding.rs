//! Whether an object is there is told only to those who may know. Who may neither do what was asked nor read the object
//! gets the answer that a missing one would get, and is asked the same questions on the way to it.

use super::limits::about;
use super::{Effect, Object, ObjectClass, Scope, Snapshot, TokenLimits};
use crate::contract::Permission::{self, *};

/// What the check makes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Admitted,
    /// As if there were no such object, and perhaps there is none.
    Absent,
    /// A permission is missing.
    Denied,
}

impl Snapshot {
    /// What to answer to someone who asks for something on the object that was found, if any. `absent` is what the
    /// request would be about if there were none.
    ///
    /// Making a thing is the exception: its name is free or it is not, and that cannot be hidden.
    pub fn judge(&self, user_uid: &str, limits: &TokenLimits, permission: Permission, found: Option<&Object>, absent: &Object) -> Verdict {
        let may = |permission, object: &Object| self.decide(user_uid, limits, permission, object).allowed;
        let object = found.unwrap_or(absent);
        let allowed = may(permission, object);
        if allowed && found.is_some() {
            return Verdict::Admitted;
        }
        // All of this is asked whether there is an object or not, so that time does not tell either.
        let (makes, denied) =
            (matches!(permission, ModelsCreate | ExperimentsCreate), self.denied_somewhere(user_uid, permission, absent.class));
        let (readable, allowed_if_absent) = (may(read_of(permission), object), may(permission, absent));
        match found {
            Some(_) if makes || readable || !allowed_if_absent => Verdict::Denied,
            None if !allowed_if_absent => Verdict::Denied,
            None if makes || !denied => Verdict::Admitted,
            Some(_) | None => Verdict::Absent,
        }
    }

    /// Whether some grant denies a user a permission on things of a class. Only then can there be an object that it hides
    /// from one who would be told of a missing one.
    fn denied_somewhere(&self, user_uid: &str, permission: Permission, class: ObjectClass) -> bool {
        self.grants_of(user_uid).any(|grant| {
            let persona = self.persona(&grant.persona);
            let other_class = match grant.scope {
                Scope::Experiment(_) | Scope::Experiments(_) => class == ObjectClass::Model,
                Scope::Model(_) | Scope::Models(_) => class == ObjectClass::Experiment,
                Scope::Server => false,
            };
            grant.effect == Effect::Deny
                && !other_class
                && persona.is_some_and(|persona| persona.rights.iter().any(|right| right.permission == permission))
        })
    }
}

/// What lets somebody know that an object is there.
fn read_of(permission: Permission) -> Permission {
    match about(permission) {
        ObjectClass::Experiment => ExperimentsRead,
        ObjectClass::Model => ModelsRead,
        ObjectClass::Server | ObjectClass::User => UsersRead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{ADMIN, BUILT_IN, Grant, Principal, Scope, User, UserKind};

    fn granted(grants: &[(&str, &Scope, Effect)]) -> Snapshot {
        let (uid, name, person_uid) = ("ann".to_owned(), "ann".to_owned(), "p".to_owned());
        let (generation, password_temporary, makers) = (0, false, Vec::new());
        let user =
            User { uid, name, kind: UserKind::Person, person_uid, active: true, signs_in: true, generation, password_temporary, makers };
        let grant = |(persona, scope, effect): &(&str, &Scope, Effect)| Grant {
            uid: format!("{persona} {scope:?} {effect:?}"),
            principal: Principal::User("ann".into()),
            persona: (*persona).into(),
            scope: (*scope).clone(),
            targets: Vec::new(),
            effect: *effect,
            created: 0,
            created_by: String::new(),
        };
        Snapshot { users: [("ann".into(), user)].into(), grants: grants.iter().map(grant).collect(), ..Snapshot::default() }
    }

    /// Every permission, every built-in persona, allowed and denied on every kind of scope: who may not read an object
    /// gets one answer, whether it is there or not.
    #[test]
    fn an_object_that_may_not_be_read_looks_like_none() {
        let scopes = |class: ObjectClass| match class {
            ObjectClass::Model => [Scope::Server, Scope::Model("1".into()), Scope::Models("credit-*".into()), Scope::Models("x*".into())],
            _ => [Scope::Server, Scope::Experiment("1".into()), Scope::Experiments("credit-*".into()), Scope::Experiments("x*".into())],
        };
        let all = TokenLimits::default();
        let (mut hidden, mut absences) = (0, 0);
        for class in [ObjectClass::Model, ObjectClass::Experiment] {
            let found = Object { owner: Some("bob".into()), ..Object::named(class, "1", "credit-1") };
            for absent in [Object { uid: None, owner: None, ..found.clone() }, Object::SERVER] {
                for persona in BUILT_IN {
                    for (allow, deny) in scopes(class).iter().flat_map(|allow| scopes(class).map(|deny| (allow.clone(), deny))) {
                        let ann = granted(&[(persona, &allow, Effect::Allow), (ADMIN, &deny, Effect::Deny)]);
                        for permission in Permission::every().filter(|one| !matches!(one, ModelsCreate | ExperimentsCreate)) {
                            if ann.decide("ann", &all, read_of(permission), &found).allowed || about(permission) != class {
                                continue;
                            }
                            hidden += 1;
                            let there = ann.judge("ann", &all, permission, Some(&found), &absent);
                            let missing = ann.judge("ann", &all, permission, None, &absent);
                            assert_eq!(there, missing, "{persona} on {allow:?}, denied on {deny:?}: {permission:?}");
                            assert_ne!(there, Verdict::Admitted);
                            absences += u32::from(there == Verdict::Absent);
                        }
                    }
                }
            }
        }
        assert!(hidden > 1_000 && absences > 100, "{hidden} {absences}");
    }

    #[test]
    fn what_may_be_read_is_denied_in_words_and_what_is_missing_is_missing() {
        let all = TokenLimits::default();
        let found = Object::named(ObjectClass::Model, "1", "credit-1");
        let absent = Object { uid: None, ..found.clone() };
        let viewer = granted(&[("viewer", &Scope::Server, Effect::Allow)]);
        assert_eq!(viewer.judge("ann", &all, ModelsEdit, Some(&found), &absent), Verdict::Denied);
        assert_eq!(viewer.judge("ann", &all, ModelsRead, Some(&found), &absent), Verdict::Admitted);
        assert_eq!(viewer.judge("ann", &all, ModelsRead, None, &absent), Verdict::Admitted, "the operation says that there is none");
        assert_eq!(granted(&[]).judge("ann", &all, ModelsRead, None, &absent), Verdict::Denied);
        let partly = granted(&[(ADMIN, &Scope::Server, Effect::Allow), (ADMIN, &Scope::Model("1".into()), Effect::Deny)]);
        assert_eq!(partly.judge("ann", &all, ModelsRead, Some(&found), &absent), Verdict::Absent);
        assert_eq!(partly.judge("ann", &all, ModelsRead, None, &absent), Verdict::Absent);
        assert_eq!(partly.judge("ann", &all, ModelsCreate, None, &absent), Verdict::Admitted, "what is not there can be made");
    }
}
