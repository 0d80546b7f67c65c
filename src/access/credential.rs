//! From an `authorization` header to a caller.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::call::{Caller, Credential};
use super::refusal::Refused;
use super::token::{self, Claims, Fault};
use super::{Access, ClientAddress};
use crate::clock;
use crate::domain::access::{Snapshot, Standing, TokenLimits, User};
use crate::domain::person::{Deed, Login, Maker};
use crate::domain::{limits, text};
use crate::store::access as rows;

/// No bearer token and no Basic header is longer.
const HEADER_BYTES: usize = 8 * 1024;

impl Access {
    /// Refuses a request without good credentials, for paths where there is no operation to admit it to.
    pub async fn known(&self, headers: &HeaderMap, source: ClientAddress) -> Result<(), Refused> {
        self.authenticate(headers, source).await?.map(drop).ok_or(Refused::Unauthenticated)
    }

    /// The caller of a request's headers; none when they carry no credentials. Errors when the
    /// credentials are not good, whatever is wrong with them.
    pub(super) async fn authenticate(&self, headers: &HeaderMap, source: ClientAddress) -> Result<Option<Caller>, Refused> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(header) = given.next() else { return Ok(None) };
        let text = header.to_str().map_err(|_| Refused::Unauthenticated)?;
        if given.next().is_some() || text.len() > HEADER_BYTES {
            return Err(Refused::Unauthenticated);
        }
        let (scheme, value) = text.split_once(' ').ok_or(Refused::Unauthenticated)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            self.by_token(value.trim()).await.map(Some)
        } else if scheme.eq_ignore_ascii_case("basic") {
            self.by_basic(value.trim(), source).await.map(Some)
        } else {
            Err(Refused::Unauthenticated)
        }
    }

    async fn by_token(&self, text: &str) -> Result<Caller, Refused> {
        let claims = match token::verify(&self.keys(), text) {
            Ok(claims) => claims,
            Err(Fault::Expired(at)) => return Err(Refused::expired(at)),
            // The key may be newer than what we hold. Making one raises the epoch, so made-up names cost one
            // look at it, which all who wait share, and never a reading of the keys.
            Err(Fault::NotOurs) if token::names_unknown_key(&self.keys(), text) => {
                let epoch = self.refresh().await?.epoch;
                self.follow_keys(epoch).await.map_err(|_| Refused::Unauthenticated)?;
                token::verify(&self.keys(), text).map_err(|fault| match fault {
                    Fault::Expired(at) => Refused::expired(at),
                    Fault::NotOurs => Refused::Unauthenticated,
                })?
            }
            Err(Fault::NotOurs) => return Err(Refused::Unauthenticated),
        };
        let token_id = claims.jti.clone();
        let caller = self.bearer(claims).await?;
        self.used_tokens.insert(token_id, clock::now_ms());
        Ok(caller)
    }

    /// The caller of a credential that was proved earlier, for what outlasts the call that came with it: the user, and
    /// what it stood on ([`Caller::claims_text`]). Errors when it is no longer good.
    pub async fn caller_again(&self, user_uid: &str, claims: Option<&str>) -> Result<Caller, Refused> {
        let text = claims.unwrap_or_default();
        if let Ok(generation) = text.parse::<i64>() {
            let snapshot = self.snapshot().await?;
            let same = |user: &&User| user.active && user.generation == generation;
            let user = snapshot.users.get(user_uid).filter(same).ok_or(Refused::Unauthenticated)?;
            return Ok(caller(user, Credential::Password));
        }
        let claims: Claims = serde_json::from_str(text).map_err(|_| Refused::Unauthenticated)?;
        let over = claims.sub != user_uid || claims.exp < clock::now_ms().unsigned_abs() / 1_000;
        if over { Err(Refused::Unauthenticated) } else { self.bearer(claims).await }
    }

    /// The caller of a token that is authentic and has not expired.
    async fn bearer(&self, claims: Claims) -> Result<Caller, Refused> {
        let mut snapshot = self.snapshot().await?;
        let knows = |snapshot: &Snapshot| snapshot.users.get(&claims.sub).is_some_and(|user| user.generation >= claims.r#gen);
        if !knows(&snapshot) {
            // The user may have been made, or have signed in with a new password, elsewhere a moment ago.
            snapshot = self.refresh().await?;
        }
        let user = snapshot.users.get(&claims.sub).ok_or(Refused::Unauthenticated)?;
        let caller = token_caller(&snapshot, user, claims);
        if !caller.stands(&snapshot) {
            return Err(Refused::Unauthenticated);
        }
        Ok(caller)
    }

    async fn by_basic(&self, value: &str, source: ClientAddress) -> Result<Caller, Refused> {
        let decoded = STANDARD.decode(value).map_err(|_| Refused::Unauthenticated)?;
        let text = String::from_utf8(decoded).map_err(|_| Refused::Unauthenticated)?;
        let (name, password) = text.split_once(':').ok_or(Refused::Unauthenticated)?;
        // Tools that know nothing but a user and a password are given a token for one; whose it is stands in it.
        if token::is_token(password) {
            return self.by_token(password).await;
        }
        let caller = self.by_password(name, password, source).await?;
        self.sign_ins.by_basic(&self.store, &caller, source).await?;
        Ok(caller)
    }

    /// The caller of a user name and a password. Takes equally long for a user that does not exist.
    pub async fn by_password(&self, name: &str, password: &str, source: ClientAddress) -> Result<Caller, Refused> {
        if name.len() > limits::PRINCIPAL_NAME || password.chars().count() > limits::PASSWORD_MAX {
            self.sign_ins.failed(None, source, false);
            return Err(Refused::Unauthenticated);
        }
        if let Err(throttled) = self.passwords.braked(name, &source.network()) {
            self.sign_ins.failed(None, source, false);
            return Err(Refused::Throttled(throttled));
        }
        let user = match text::principal_name("user_name", name) {
            Ok(()) => rows::user_by_name(self.store.reader(), name).await?.filter(|user| user.active),
            // No user has such a name; it takes as long as any other that is not known.
            Err(_) => None,
        };
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        match self.passwords.verify(name, &source.network(), password, stored).await {
            Ok(true) => {}
            Ok(false) => {
                self.sign_ins.failed(user.as_ref(), source, true);
                return Err(Refused::Unauthenticated);
            }
            Err(throttled) => {
                self.sign_ins.failed(user.as_ref(), source, false);
                return Err(Refused::Throttled(throttled));
            }
        }
        let row = user.ok_or(Refused::Unauthenticated)?;
        let mut snapshot: Arc<Snapshot> = self.snapshot().await?;
        // What is known of the user must be of the very password that was proven.
        if snapshot.users.get(&row.uid).is_none_or(|user| user.generation != row.generation) {
            snapshot = self.refresh().await?;
        }
        let same = |user: &&User| user.active && user.generation == row.generation;
        let user = snapshot.users.get(&row.uid).filter(same).ok_or(Refused::Unauthenticated)?;
        let mut caller = caller(user, Credential::Password);
        caller.signed_in = Some(clock::now_ms());
        caller.password_due = user.password_temporary;
        Ok(caller)
    }
}

fn caller(user: &User, credential: Credential) -> Caller {
    Caller {
        user_uid: user.uid.clone(),
        kind: user.kind,
        person_uid: user.person_uid.clone(),
        standing: Standing { generation: user.generation, ..Standing::default() },
        makers: user.makers.clone(),
        ..Caller::without_user(credential, &user.name)
    }
}

fn token_caller(snapshot: &Snapshot, user: &User, claims: Claims) -> Caller {
    let mut caller = caller(user, if claims.cli { Credential::CommandLineToken } else { Credential::Token });
    let maker = claims.by.as_ref().and_then(|(uid, _)| snapshot.users.get(uid));
    caller.limits = TokenLimits {
        permissions: rows::known_permissions(&claims.perm),
        model_pattern: claims.models.clone(),
        experiment_pattern: claims.experiments.clone(),
        maker: claims.by.as_ref().map(|(uid, _)| uid.clone()),
    };
    // A limit to permissions that this version does not know must not become no limit.
    if caller.limits.permissions.is_empty() && !claims.perm.is_empty() {
        caller.limits.permissions = vec![crate::contract::Permission::Unspecified];
    }
    caller.issuer_person = maker.map(|maker| maker.person_uid.clone()).filter(|person| *person != user.person_uid);
    if claims.cli {
        caller.makers.push(Maker::command_line(Deed::Token));
    }
    if let Some(maker) = maker.filter(|maker| maker.person_uid != user.person_uid) {
        caller.makers.push(Maker { person: maker.person_uid.clone(), login: login(maker), deed: Deed::Token, through: None });
    }
    // Vouching for the user does not reach back: who stood behind the making of a token stays behind the token.
    for behind in claims.makers.iter().filter_map(|uid| snapshot.users.get(uid)) {
        let known = caller.makers.iter().any(|maker| maker.person == behind.person_uid);
        if !known && behind.person_uid != user.person_uid {
            let through = Some(login(maker.unwrap_or(user)));
            caller.makers.push(Maker { person: behind.person_uid.clone(), login: login(behind), deed: Deed::Token, through });
        }
    }
    let ms = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    caller.standing = Standing { generation: claims.r#gen, ancestors: claims.up.clone(), maker: claims.by.clone() };
    caller.signed_in = claims.auth_time.map(ms);
    caller.password_due = user.password_temporary && claims.auth_time.is_some();
    caller.token_expires = Some(ms(claims.exp));
    caller.token_id = Some(claims.jti.clone());
    caller.claims = Some(claims);
    caller
}

fn login(user: &User) -> Login {
    Login { uid: user.uid.clone(), name: user.name.clone() }
}
