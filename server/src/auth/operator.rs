//! Who may ask the server about itself, and tell it what to do (docs/protocol/tokens.md#operator-tokens).
//!
//! An operator's token is signed with a secret of `[admin]` and has no `role`; it needs no other claim. A
//! user's token is never one, even where both are signed with the same secret, as in self-hosted set-ups of
//! Supabase: there a token that names a person counts as a user's, since users of the Realtime SDK have no
//! `role` either. The reverse holds without us: nobody is a user without a `role`.

use std::time::SystemTime;

use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use settings::{Admin, Auth};
use subtle::ConstantTimeEq;

use super::TokenError;
use super::keys::{Kind, Secrets, no_signer};
use super::remarks::Remarks;
use super::rules::Rules;
use super::token::{Token, clean};
use crate::telemetry::reports::{Reports, SUB_CHARS_MAX};

/// Claims by which a token without a `role` may still be a user's.
const OF_PEOPLE: [&str; 2] = ["sub", "permissions"];

/// Decides who is an operator.
#[derive(Debug)]
pub struct Operators {
    management: Gate,
    /// `None` if everybody may read the numbers.
    metrics: Option<Gate>,
}

/// An operator whose token is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    sub: Option<Box<str>>,
}

impl Operator {
    /// Who it is, if the token says so; for the log.
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody is: no secret is configured.
    #[error("no secret for these tokens is configured")]
    Closed,
    /// There is no token, or more than one.
    #[error("there is no header `authorization: Bearer <token>`, or more than one")]
    NoToken,
    /// The token is on the blocklist.
    #[error("the token is on the blocklist")]
    Blocked,
    /// It is a user's.
    #[error("the token is a user's: it has a `role`, or names a person and is signed with the users' secret")]
    User,
    /// It is not believed.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Operators {
    /// As `admin` has it. The claim validators and the leeway of `auth`, which is the default tenant's, count
    /// here too.
    pub fn new(admin: &Admin, auth: &Auth) -> Self {
        let secrets = Secrets::new(admin.jwt_secret.iter().chain(&admin.jwt_secrets));
        let gate = |secrets, blocklist| Gate::new(secrets, blocklist, auth);
        let metrics = admin.metrics_jwt_secret.as_ref();
        Self {
            management: gate(secrets, &admin.token_blocklist),
            metrics: metrics.map(|one| gate(Secrets::new([one]), &admin.metrics_token_blocklist)),
        }
    }

    /// Remarks in `reports` on genuine tokens that are odd.
    #[must_use]
    pub fn remarking(self, reports: &Reports) -> Self {
        let remarking = |gate: Gate| Gate { remarks: Remarks::to(reports), ..gate };
        Self { management: remarking(self.management), metrics: self.metrics.map(remarking) }
    }

    /// Who sent these headers, if they may manage the server.
    ///
    /// # Errors
    /// If not.
    pub fn admit(&self, headers: &HeaderMap, now: SystemTime) -> Result<Operator, Denied> {
        self.management.admit(headers, now)
    }

    /// Whether whoever sent these headers may read the numbers.
    ///
    /// # Errors
    /// If not.
    pub fn admit_to_metrics(&self, headers: &HeaderMap, now: SystemTime) -> Result<(), Denied> {
        self.metrics.as_ref().map_or(Ok(()), |gate| gate.admit(headers, now).map(drop))
    }
}

/// One kind of token.
#[derive(Debug)]
struct Gate {
    secrets: Secrets,
    /// Those of the default tenant's users, to know when one of them opens this gate as well.
    of_users: Secrets,
    blocklist: Box<[SecretString]>,
    rules: Rules,
    remarks: Remarks,
}

impl Gate {
    fn new(secrets: Secrets, blocklist: &[SecretString], auth: &Auth) -> Self {
        // Cleaned like what they are compared with, or a disguised token would not be recognised.
        let blocklist = blocklist.iter().filter_map(|token| clean(token.expose_secret()));
        Self {
            secrets,
            of_users: Secrets::new(auth.jwt_secret.iter().chain(&auth.jwt_secrets)),
            blocklist: blocklist.map(SecretString::from).collect(),
            rules: Rules::for_operators(auth),
            remarks: Remarks::default(),
        }
    }

    fn admit(&self, headers: &HeaderMap, now: SystemTime) -> Result<Operator, Denied> {
        if self.secrets.is_empty() {
            return Err(Denied::Closed);
        }
        let token = Token::read(bearer(headers).ok_or(Denied::NoToken)?)?;
        if self.blocks(&token) {
            return Err(Denied::Blocked);
        }
        let Kind::Secret(algorithm) = Kind::of(&token)? else { return Err(no_signer(&token).into()) };
        let key = self.secrets.signer(&token, algorithm).ok_or(TokenError::Signature)?;
        self.remarks.look_at(&token.claims, now);
        let names_somebody = || OF_PEOPLE.iter().any(|claim| token.claims.contains_key(*claim));
        if token.claims.contains_key("role") || (self.of_users.hold(key) && names_somebody()) {
            return Err(Denied::User);
        }
        self.rules.check(&token.claims, now)?;
        let sub = token.claims.get("sub").and_then(Value::as_str);
        Ok(Operator { sub: sub.map(|sub| sub.chars().take(SUB_CHARS_MAX).collect()) })
    }

    fn blocks(&self, token: &Token) -> bool {
        let same =
            |blocked: &SecretString| blocked.expose_secret().as_bytes().ct_eq(token.text().as_bytes()).into();
        // Every entry is compared, so that the time does not tell which one it was.
        self.blocklist.iter().filter(|blocked| same(blocked)).count() > 0
    }
}

/// The token of the one `authorization` header, whose scheme is spelled exactly so.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()?.strip_prefix("Bearer ")
}

#[cfg(test)]
mod tests;
