//! Decides which tokens of a tenant's users are believed.

use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;
use secrecy::ExposeSecret;
use settings::Auth;

use super::key_set::{KeySet, Origin};
use super::keys::{Kind, Secrets, kid, no_signer};
use super::rules::Rules;
use super::token::Token;
use super::{Claims, KeyId, TokenError};

/// Decides which tokens are believed. One per tenant and settings.
#[derive(Debug, Clone)]
pub struct Verifier {
    secrets: Secrets,
    /// Keys that the settings name.
    named: KeySet,
    rules: Rules,
}

impl Verifier {
    /// Believes tokens as `auth` says: signed with one of its keys, carrying what it demands, and up to its
    /// leeway after they expire.
    pub fn new(auth: &Auth) -> Self {
        let secrets = auth.jwt_secret.iter().chain(&auth.jwt_secrets);
        let named = auth.jwt_jwks.as_ref().map(|text| {
            KeySet::parse(text.expose_secret(), Origin::Settings).unwrap_or_else(KeySet::unreadable)
        });
        Self {
            secrets: Secrets::new(secrets),
            named: named.unwrap_or_default(),
            rules: Rules::for_users(auth),
        }
    }

    /// Whether it holds a key at all. Without one it refuses every token.
    pub fn has_keys(&self) -> bool {
        !self.secrets.is_empty() || !self.named.is_empty()
    }

    /// What of `auth.jwt_jwks` had to be left out, and why; for whoever wrote it. See also
    /// [`check_jwks`](super::check_jwks).
    pub fn problems(&self) -> &[String] {
        self.named.problems()
    }

    /// Whether it still holds the key that signed a token.
    pub fn holds(&self, key: KeyId) -> bool {
        self.secrets.hold(key) || self.named.holds(key)
    }

    /// What `token` says, if it is to be believed at `now`.
    ///
    /// # Errors
    /// The first rule it breaks. In time linear in its length, and never with a panic, whatever it holds.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let token = Token::read(token)?;
        let key = self.signer(&token)?;
        self.rules.check(&token.claims, now)?;
        token.granted(key)
    }

    /// Whether what a token said is still to be believed at `now`. Its signature does not change, but the keys
    /// we hold may: ask the newest verifier.
    ///
    /// # Errors
    /// [`TokenError::Expired`] or [`TokenError::Revoked`], and no other.
    pub fn recheck(&self, claims: &Claims, now: SystemTime) -> Result<(), TokenError> {
        self.rules.check_expiry(claims.expires_at, now)?;
        if self.holds(claims.key) { Ok(()) } else { Err(TokenError::Revoked) }
    }

    /// How long what a token said is still to be believed after `now`; zero if it is over.
    pub fn time_left(&self, claims: &Claims, now: SystemTime) -> Duration {
        self.rules.time_left(claims.expires_at, now)
    }

    /// The key that signed `token`: the one it names, if that is of the kind it says, else one of the secrets.
    fn signer(&self, token: &Token) -> Result<KeyId, TokenError> {
        match Kind::of(token)? {
            Kind::Secret(algorithm) => match self.named_signer(token, algorithm) {
                Some(verdict) => verdict,
                None if self.secrets.is_empty() => Err(no_signer(token)),
                None => self.secrets.signer(token, algorithm).ok_or(TokenError::Signature),
            },
            Kind::Public(Some(algorithm)) => {
                self.named_signer(token, algorithm).unwrap_or_else(|| Err(no_signer(token)))
            }
            Kind::Public(None) => Err(no_signer(token)),
        }
    }

    /// Whether the key that `token` names signed it; `None` if we hold no such key for `algorithm`.
    fn named_signer(&self, token: &Token, algorithm: Algorithm) -> Option<Result<KeyId, TokenError>> {
        let (key, genuine) = self.named.judge(kid(token)?, algorithm, token)?;
        Some(if genuine { Ok(key) } else { Err(TokenError::Signature) })
    }
}

#[cfg(test)]
mod tests;
