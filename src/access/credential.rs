//! From an `authorization` header to a caller.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::call::{Caller, Credential};
use super::refusal::Refused;
use super::token::{self, Claims};
use super::{Access, ClientAddress};
use crate::clock;
use crate::domain::access::{Snapshot, TokenLimits, User};
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
            Some(claims) => claims,
            // The key may be newer than what we hold. Making one raises the epoch, so made-up names cost one
            // look at it, which all who wait share, and never a reading of the keys.
            None if token::names_unknown_key(&self.keys(), text) => {
                let epoch = self.refresh().await?.epoch;
                self.follow_keys(epoch).await.map_err(|_| Refused::Unauthenticated)?;
                token::verify(&self.keys(), text).ok_or(Refused::Unauthenticated)?
            }
            None => return Err(Refused::Unauthenticated),
        };
        let token_id = claims.jti.clone();
        let caller = self.bearer(claims).await?;
        self.used_tokens.insert(token_id, clock::now_ms());
        Ok(caller)
    }

    /// The caller of a credential that was proved earlier, for what outlasts the call that came with it: the user, and
    /// what the token said ([`Caller::claims_text`]). Errors when it is no longer good.
    pub async fn caller_again(&self, user_uid: &str, claims: Option<&str>) -> Result<Caller, Refused> {
        if let Some(text) = claims {
            let claims: Claims = serde_json::from_str(text).map_err(|_| Refused::Unauthenticated)?;
            let over = claims.sub != user_uid || claims.exp < clock::now_ms().unsigned_abs() / 1_000;
            return if over { Err(Refused::Unauthenticated) } else { self.bearer(claims).await };
        }
        let snapshot = self.snapshot().await?;
        let user = snapshot.users.get(user_uid).filter(|user| user.active).ok_or(Refused::Unauthenticated)?;
        Ok(caller(user, Credential::Password))
    }

    /// The caller of a token that is authentic and has not expired.
    async fn bearer(&self, claims: Claims) -> Result<Caller, Refused> {
        let mut snapshot = self.snapshot().await?;
        if !snapshot.users.contains_key(&claims.sub) {
            // The command line may have made the user a moment ago.
            snapshot = self.refresh().await?;
        }
        let user = snapshot.users.get(&claims.sub).filter(|user| user.active).ok_or(Refused::Unauthenticated)?;
        if snapshot.revoked.contains(&claims.jti) {
            return Err(Refused::Unauthenticated);
        }
        Ok(token_caller(user, claims))
    }

    async fn by_basic(&self, value: &str, source: ClientAddress) -> Result<Caller, Refused> {
        let decoded = STANDARD.decode(value).map_err(|_| Refused::Unauthenticated)?;
        let text = String::from_utf8(decoded).map_err(|_| Refused::Unauthenticated)?;
        let (name, password) = text.split_once(':').ok_or(Refused::Unauthenticated)?;
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
        let user = user.ok_or(Refused::Unauthenticated)?;
        let mut snapshot: Arc<Snapshot> = self.snapshot().await?;
        if !snapshot.users.contains_key(&user.uid) {
            snapshot = self.refresh().await?;
        }
        let user = snapshot.users.get(&user.uid).filter(|user| user.active).ok_or(Refused::Unauthenticated)?;
        Ok(caller(user, Credential::Password))
    }
}

fn caller(user: &User, credential: Credential) -> Caller {
    Caller {
        user_uid: user.uid.clone(),
        user_name: user.name.clone(),
        kind: user.kind,
        person_uid: user.person_uid.clone(),
        issuer_person: None,
        token_id: None,
        token_expires: None,
        limits: TokenLimits::default(),
        credential,
        claims: None,
    }
}

fn token_caller(user: &User, claims: Claims) -> Caller {
    let mut caller = caller(user, if claims.cli { Credential::CommandLineToken } else { Credential::Token });
    caller.limits = TokenLimits {
        permissions: rows::known_permissions(&claims.perm),
        model_pattern: claims.models.clone(),
        experiment_pattern: claims.experiments.clone(),
    };
    // A limit to permissions that this version does not know must not become no limit.
    if caller.limits.permissions.is_empty() && !claims.perm.is_empty() {
        caller.limits.permissions = vec![crate::contract::Permission::Unspecified];
    }
    caller.issuer_person = claims.by.clone().filter(|person| *person != user.person_uid);
    caller.token_expires = Some(i64::try_from(claims.exp).unwrap_or(i64::MAX).saturating_mul(1_000));
    caller.token_id = Some(claims.jti.clone());
    caller.claims = Some(claims);
    caller
}
