//! Verifies the tokens of operators and of `/metrics` (docs/protocol/tokens.md#operator-tokens).
//!
//! An operator's token is signed with a secret of `[admin]` and has no `role`; it needs no other claim. A user's token is
//! never accepted, even where both are signed with the same secret, as in self-hosted installations of Supabase: there a
//! token that names someone by `sub` is taken for a user's, since users of the Realtime SDK have no `role` either, unless it
//! has the claim `operator: true`. Conversely, a token
//! without a `role` and without a `sub`, or with that claim, is never accepted for a user.

use std::time::SystemTime;

use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use settings::{Admin, Auth, Seed};
use subtle::ConstantTimeEq;

use super::TokenError;
use super::keys::{KeyKind, Secrets, unknown_key};
use super::rules::Rules;
use super::token::{Token, clean};
use super::warnings::TokenWarnings;
use crate::telemetry::reports::{Reports, SUB_CHARS_MAX};

/// Authenticates operators.
#[derive(Debug)]
pub struct Operators {
    management: OperatorVerifier,
    /// `None` if `/metrics` needs no token.
    metrics: Option<OperatorVerifier>,
}

/// An operator whose token is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    sub: Option<Box<str>>,
}

impl Operator {
    /// The `sub` of the token, if it has one; for the log.
    pub fn sub(&self) -> Option<&str> {
        self.sub.as_deref()
    }
}

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No secret is configured, so every request is.
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
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Denied {
    /// Whether it counts towards the rate of the address: the request has no token that a secret of operators has signed.
    /// Without a secret nothing is verified.
    pub fn is_unverified(&self) -> bool {
        match self {
            Self::NoToken | Self::Blocked => true,
            Self::Token(error) => !error.is_signed(),
            Self::Closed | Self::User => false,
        }
    }
}

impl Operators {
    /// Accepts the secrets of `admin`, which the users of the tenant that `seed` creates may have as well as those of `auth`, the
    /// default tenant's. The claim validators and the leeway of `auth` apply here too.
    pub fn new(admin: &Admin, auth: &Auth, seed: &Seed) -> Self {
        let secrets = Secrets::new(admin.jwt_secret.iter().chain(&admin.jwt_secrets));
        let verifier = |secrets, blocklist| OperatorVerifier::new(secrets, blocklist, auth, seed);
        let metrics = admin.metrics_jwt_secret.as_ref();
        Self {
            management: verifier(secrets, &admin.token_blocklist),
            metrics: metrics.map(|one| verifier(Secrets::new([one]), &admin.metrics_token_blocklist)),
        }
    }

    /// Reports tokens with implausible claims to `reports`.
    #[must_use]
    pub fn reporting_to(self, reports: &Reports) -> Self {
        let reporting = |verifier: OperatorVerifier| OperatorVerifier {
            warnings: TokenWarnings::to(reports),
            ..verifier
        };
        Self { management: reporting(self.management), metrics: self.metrics.map(reporting) }
    }

    /// The operator who sent these headers.
    ///
    /// # Errors
    /// If the headers have no accepted token.
    pub fn authenticate(&self, headers: &HeaderMap, now: SystemTime) -> Result<Operator, Denied> {
        self.management.authenticate(headers, now)
    }

    /// Whether anyone may read `/metrics`.
    pub fn are_metrics_public(&self) -> bool {
        self.metrics.is_none()
    }

    /// Checks that a request with these headers may read `/metrics`.
    ///
    /// # Errors
    /// If a token is required and the headers have no accepted one.
    pub fn authenticate_for_metrics(&self, headers: &HeaderMap, now: SystemTime) -> Result<(), Denied> {
        self.metrics.as_ref().map_or(Ok(()), |verifier| verifier.authenticate(headers, now).map(drop))
    }
}

/// Verifies tokens of one purpose.
#[derive(Debug)]
struct OperatorVerifier {
    secrets: Secrets,
    /// The secrets of the users of the default tenant and of the one that is created at the start, which may be among `secrets`.
    user_secrets: Secrets,
    blocklist: Box<[SecretString]>,
    rules: Rules,
    warnings: TokenWarnings,
}

impl OperatorVerifier {
    fn new(secrets: Secrets, blocklist: &[SecretString], auth: &Auth, seed: &Seed) -> Self {
        // Cleaned like the tokens they are compared with, so that an encoded form of a token is blocked too.
        let blocklist = blocklist.iter().filter_map(|token| clean(token.expose_secret()));
        Self {
            secrets,
            user_secrets: Secrets::new(
                auth.jwt_secret.iter().chain(&auth.jwt_secrets).chain(&seed.jwt_secret),
            ),
            blocklist: blocklist.map(SecretString::from).collect(),
            rules: Rules::for_operators(auth),
            warnings: TokenWarnings::default(),
        }
    }

    fn authenticate(&self, headers: &HeaderMap, now: SystemTime) -> Result<Operator, Denied> {
        if self.secrets.is_empty() {
            return Err(Denied::Closed);
        }
        let token = Token::read(bearer(headers).ok_or(Denied::NoToken)?)?;
        if self.blocks(&token) {
            return Err(Denied::Blocked);
        }
        let KeyKind::Secret(algorithm) = KeyKind::of(&token)? else { return Err(unknown_key(&token).into()) };
        let key = self.secrets.signer(&token, algorithm).ok_or(TokenError::Signature)?;
        self.warnings.check(&token.claims, now);
        let may_be_users = self.user_secrets.contains(key) && !is_marked(&token.claims);
        if token.claims.contains_key("role") || (may_be_users && is_users(&token.claims)) {
            return Err(Denied::User);
        }
        self.rules.check(&token.claims, now)?;
        let sub = token.claims.get("sub").and_then(Value::as_str);
        Ok(Operator { sub: sub.map(|sub| sub.chars().take(SUB_CHARS_MAX).collect()) })
    }

    fn blocks(&self, token: &Token) -> bool {
        let same =
            |blocked: &SecretString| blocked.expose_secret().as_bytes().ct_eq(token.text().as_bytes()).into();
        // Every entry is compared, so that the time does not reveal which one it was.
        self.blocklist.iter().filter(|blocked| same(blocked)).count() > 0
    }
}

/// Whether a token that a user may have, by its secret, says that it is an operator's.
fn is_marked(claims: &Map<String, Value>) -> bool {
    claims.get("operator") == Some(&Value::Bool(true))
}

/// Whether claims without a `role` are those of a user. An empty `sub` names no one: operators' tokens of upstream's guide
/// have one.
fn is_users(claims: &Map<String, Value>) -> bool {
    claims.get("sub").is_some_and(|sub| sub != "") || claims.contains_key("permissions")
}

/// The token of the only `authorization` header, whose scheme must be exactly `Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    only.to_str().ok()?.strip_prefix("Bearer ")
}

#[cfg(test)]
mod tests;
