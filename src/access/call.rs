//! A call that has passed the check. Only the check makes one, so a service function that is handed a
//! `Call` need not ask again.

use std::sync::Arc;

use super::Access;
use super::ClientAddress;
use super::refusal::Refused;
use super::token::Claims;
use crate::clock;
use crate::contract::{Operation, Permission, Record};
use crate::domain::access::{Decision, Object, ObjectClass, Snapshot, Standing, TokenLimits, UserKind, Visibility};
use crate::domain::ledger::{Entry, Outcome, payload_digest, take_out};
use crate::domain::person::{Deed, Login, Maker, makers_of};
use crate::domain::request::Actor;
use crate::store::usage::Amounts;
use crate::store::{Store, WORKSPACE};

/// How the caller proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// Not at all: a public operation.
    None,
    /// User name and password.
    Password,
    /// A token.
    Token,
    /// A token that was made on the server's command line.
    CommandLineToken,
    /// The command line itself, beside the database.
    CommandLine,
    /// The server, by itself.
    System,
}

impl Credential {
    /// As the ledger names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Token => "token",
            Self::CommandLineToken => "command_line_token",
            Self::CommandLine => "command_line",
            Self::System => "system",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's immutable id.
    pub user_uid: String,
    /// The user's name.
    pub user_name: String,
    /// Whether it is a login.
    pub kind: UserKind,
    /// The person behind it.
    pub person_uid: String,
    /// The person who made the token for someone else.
    pub issuer_person: Option<String>,
    /// The token's id.
    pub token_id: Option<String>,
    /// When the token expires, in Unix milliseconds.
    pub token_expires: Option<i64>,
    /// What the token is limited to.
    pub limits: TokenLimits,
    /// How the caller proved it.
    pub credential: Credential,
    /// What the credential stands on.
    pub standing: Standing,
    /// When a password was proven for it, in Unix milliseconds; none for what is no sign-in.
    pub signed_in: Option<i64>,
    /// Somebody else set the password that was proven: it can only be changed.
    pub password_due: bool,
    /// Who stands behind the login and the token.
    pub makers: Vec<Maker>,
    /// What the token said.
    pub claims: Option<Claims>,
}

impl Caller {
    /// What the credential stands on, as [`Access::caller_again`] takes it: what the token said or, of a password, the
    /// generation.
    pub fn claims_text(&self) -> Option<String> {
        let password = || serde_json::json!(self.standing.generation);
        Some(self.claims.as_ref().map_or_else(password, |claims| serde_json::json!(claims)).to_string())
    }

    /// Nobody: the caller of a public operation.
    pub(super) fn nobody() -> Self {
        Self::without_user(Credential::None, "")
    }

    /// One of the server's own, without a user: the command line or the server itself.
    pub fn without_user(credential: Credential, name: &str) -> Self {
        Self {
            user_uid: String::new(),
            user_name: name.to_owned(),
            kind: UserKind::ServiceAccount,
            person_uid: String::new(),
            issuer_person: None,
            token_id: None,
            token_expires: None,
            limits: TokenLimits::default(),
            credential,
            standing: Standing::default(),
            signed_in: None,
            password_due: false,
            makers: Vec::new(),
            claims: None,
        }
    }

    /// The login that acts.
    pub fn login(&self) -> Login {
        Login { uid: self.user_uid.clone(), name: self.user_name.clone() }
    }

    /// Who stands behind what this caller does to a login of a person.
    pub fn makers_of(&self, deed: Deed, person: &str) -> Vec<Maker> {
        if self.user_uid.is_empty() {
            return vec![Maker::command_line(deed)];
        }
        makers_of(deed, &self.login(), &self.actor(), person)
    }

    /// Whether the credential is still good. What has no user is the server's own.
    pub fn stands(&self, snapshot: &Snapshot) -> bool {
        self.user_uid.is_empty() || snapshot.stands(&self.user_uid, self.token_id.as_deref(), &self.standing)
    }

    /// Whom four eyes count.
    pub fn actor(&self) -> Actor {
        Actor {
            person: self.person_uid.clone(),
            name: self.user_name.clone(),
            issuer: self.issuer_person.clone(),
            makers: self.makers.clone(),
        }
    }
}

/// What a ledger row says of the object that was changed.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// `registered_model`, `run`, …
    pub kind: &'a str,
    /// The immutable id.
    pub id: &'a str,
    /// The name at this time.
    pub name: &'a str,
    /// The registered model or experiment it belongs to, by id.
    pub scope: &'a str,
}

/// A call that has passed the check. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    inner: Arc<Inner>,
}

struct Inner {
    access: Arc<Access>,
    operation: &'static Operation,
    caller: Caller,
    request_id: String,
    source: ClientAddress,
    origin: Option<String>,
    on: String,
}

impl Call {
    pub(super) fn new(
        access: Arc<Access>,
        operation: &'static Operation,
        caller: Caller,
        request_id: String,
        source: ClientAddress,
        origin: Option<String>,
        on: String,
    ) -> Self {
        Self { inner: Arc::new(Inner { access, operation, caller, request_id, source, origin, on }) }
    }

    /// The object that the call names, in the words of refusals: `registered model "enet"`.
    pub fn subject(&self) -> &str {
        &self.inner.on
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.inner.access.store
    }

    /// Credentials, keys and the snapshot.
    pub fn access(&self) -> &Arc<Access> {
        &self.inner.access
    }

    /// The operation as its proto declares it.
    pub fn operation(&self) -> &'static Operation {
        self.inner.operation
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.inner.caller
    }

    /// Counts what the call has stored: its row of the ledger, if its rule asks for one, and so many bytes of its
    /// message.
    pub fn charge(&self, database_bytes: usize) {
        let operation = self.operation();
        if operation.keeps_something() {
            let ledger_rows = u64::from(operation.rule.record != Record::Nothing);
            let amounts = Amounts { ledger_rows, database_bytes: database_bytes as u64, ..Amounts::default() };
            self.access().usage.add(&self.caller().user_uid, amounts);
        }
    }

    /// Counts bytes of a file that the call has stored.
    pub fn charge_artifact(&self, artifact_bytes: u64) {
        self.access().usage.add(&self.caller().user_uid, Amounts { artifact_bytes, ..Amounts::default() });
    }

    /// Errors when the caller has used up a quota of today. For streams, whose check lies back.
    pub async fn within_quotas(&self) -> Result<(), Refused> {
        self.access().usage.check(self.store(), &self.caller().user_uid).await
    }

    /// What the client sees in the response metadata.
    pub fn request_id(&self) -> &str {
        &self.inner.request_id
    }

    /// The network address of the caller.
    pub fn source(&self) -> ClientAddress {
        self.inner.source
    }

    /// Scheme and host under which the client says that it reaches the server. Good for addresses that only this
    /// client is told, and for nothing else: a client can say what it likes.
    pub fn origin(&self) -> Option<&str> {
        self.inner.origin.as_deref()
    }

    /// A further question to the same grants, for what a rule cannot say.
    pub fn decide(&self, snapshot: &Snapshot, permission: Permission, object: &Object) -> Decision {
        let caller = self.caller();
        snapshot.decide(&caller.user_uid, &caller.limits, permission, object)
    }

    /// The caller is still who they were: the credential stands and the token has not expired. For what outlasts its
    /// check. Errors when not.
    pub async fn still_known(&self) -> Result<Arc<Snapshot>, Refused> {
        let snapshot = self.access().snapshot().await?;
        let caller = self.caller();
        if !caller.stands(&snapshot) {
            return Err(Refused::Unauthenticated);
        }
        match caller.token_expires {
            Some(expires) if expires <= clock::now_ms() => Err(Refused::expired(expires.unsigned_abs() / 1_000)),
            _ => Ok(snapshot),
        }
    }

    /// The same for a stream whose rule is about the server as a whole: the permissions still hold, too.
    pub async fn still_admitted(&self) -> Result<(), Refused> {
        if matches!(self.caller().credential, Credential::CommandLine | Credential::System) {
            return Ok(());
        }
        let snapshot = self.still_known().await?;
        for clause in self.operation().rule.clauses {
            if !self.decide(&snapshot, clause.permission, &Object::SERVER).allowed {
                let on = self.subject().to_owned();
                return Err(Refused::Denied { permission: clause.permission, on, hint: String::new() });
            }
        }
        Ok(())
    }

    /// Which objects of a class the caller may do something to.
    pub fn visibility(&self, snapshot: &Snapshot, permission: Permission, class: ObjectClass) -> Visibility {
        let caller = self.caller();
        snapshot.visibility(&caller.user_uid, &caller.limits, permission, class)
    }

    /// The ledger row of this call for an object, with a payload of names, comments, before and after.
    pub fn entry(&self, now: i64, subject: &Subject<'_>, payload: &serde_json::Value) -> Entry {
        entry(self.caller(), self.operation().full_name, self.request_id(), self.source(), now, subject, payload)
    }
}

/// A ledger row that says something went well.
pub fn entry(
    caller: &Caller,
    action: &str,
    request_id: &str,
    source: ClientAddress,
    now: i64,
    subject: &Subject<'_>,
    payload: &serde_json::Value,
) -> Entry {
    let mut payload = payload.clone();
    let texts = take_out(&mut payload);
    let payload = payload.to_string();
    let salt = clock::new_uid();
    Entry {
        entry_id: clock::new_uid(),
        workspace_id: WORKSPACE.to_owned(),
        time: now,
        actor_id: caller.user_uid.clone(),
        actor_name: caller.user_name.clone(),
        person_id: caller.person_uid.clone(),
        on_behalf_of: caller.issuer_person.clone().unwrap_or_default(),
        token_id: caller.token_id.clone().unwrap_or_default(),
        credential: caller.credential.as_str().to_owned(),
        request_id: request_id.to_owned(),
        source_address: source.to_string(),
        action: action.to_owned(),
        object_kind: subject.kind.to_owned(),
        object_id: subject.id.to_owned(),
        object_name: subject.name.to_owned(),
        scope_id: subject.scope.to_owned(),
        outcome: Outcome::Ok,
        reason: String::new(),
        payload_digest: payload_digest(&salt, &payload),
        salt,
        payload: Some(payload),
        texts,
    }
}
