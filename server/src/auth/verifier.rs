//! Verifies the tokens of a tenant's users.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;
use secrecy::ExposeSecret;
use settings::Auth;

use super::jwks::{JwksSource, TooManyWaiting};
use super::key_set::KeySet;
use super::keys::{KeyKind, KeySource, Secrets, kid, unknown_key};
use super::rules::Rules;
use super::token::Token;
use super::warnings::TokenWarnings;
use super::{KeyId, TokenClaims, TokenError};
use crate::telemetry::reports::Reports;

/// Verifies tokens. One per tenant and settings.
#[derive(Debug, Clone)]
pub struct Verifier {
    secrets: Secrets,
    /// Keys of `auth.jwt_jwks`.
    configured: KeySet,
    /// Keys of `auth.jwks_url`.
    fetched: Option<Arc<JwksSource>>,
    rules: Rules,
    warnings: TokenWarnings,
}

impl Verifier {
    /// Accepts tokens by the keys and the rules of `auth`. Keys at `auth.jwks_url` come from `fetched`.
    pub fn new(auth: &Auth, fetched: Option<Arc<JwksSource>>) -> Self {
        let secrets = auth.jwt_secret.iter().chain(&auth.jwt_secrets);
        let configured = auth.jwt_jwks.as_ref().map(|text| {
            KeySet::parse(text.expose_secret(), KeySource::Settings).unwrap_or_else(KeySet::unreadable)
        });
        Self {
            secrets: Secrets::new(secrets),
            configured: configured.unwrap_or_default(),
            fetched,
            rules: Rules::for_users(auth),
            warnings: TokenWarnings::default(),
        }
    }

    /// Reports tokens with implausible claims to `reports`.
    #[must_use]
    pub fn reporting_to(self, reports: &Reports) -> Self {
        Self { warnings: TokenWarnings::to(reports), ..self }
    }

    /// Its fetched keys, which the verifier that replaces this one keeps.
    pub fn fetched(&self) -> Option<&Arc<JwksSource>> {
        self.fetched.as_ref()
    }

    /// Whether it has a key or a URL of keys. Without either it refuses every token.
    pub fn has_keys(&self) -> bool {
        !self.secrets.is_empty() || !self.configured.is_empty() || self.fetched.is_some()
    }

    /// Which keys of `auth.jwt_jwks` are left out, and why. See also [`check_jwks`](super::check_jwks).
    pub fn problems(&self) -> &[String] {
        self.configured.problems()
    }

    /// Whether it still accepts the key that signed a token.
    pub fn accepts_key(&self, key: KeyId) -> bool {
        let fetched = || self.fetched.as_ref().is_some_and(|source| source.may_contain(key));
        self.secrets.contains(key) || self.configured.contains(key) || fetched()
    }

    /// Whether fetched keys have been withdrawn since the last call.
    pub fn take_keys_withdrawn(&self) -> bool {
        self.fetched.as_ref().is_some_and(|source| source.take_keys_withdrawn())
    }

    /// The claims of `token`, if it is valid at `now`. Takes time linear in the length of the token.
    ///
    /// # Errors
    /// The first rule it breaks. An unknown key id starts a fetch of the keys, which is not awaited.
    pub fn verify<C: TokenClaims>(&self, token: &str, now: SystemTime) -> Result<C, TokenError> {
        let token = Token::read(token)?;
        let key = self.signer(&token)?;
        self.warnings.check(&token.claims, now);
        self.rules.check(&token.claims, now)?;
        C::of(&token, key)
    }

    /// As [`verify`](Self::verify) for a token from `network`, but awaits the fetch that an unknown key id starts.
    ///
    /// # Errors
    /// When too many tokens wait already.
    pub async fn verify_fetching<C: TokenClaims>(
        &self,
        token: &str,
        now: SystemTime,
        network: Option<IpAddr>,
    ) -> Result<Result<C, TokenError>, TooManyWaiting> {
        let result = self.verify(token, now);
        match (&result, &self.fetched) {
            (Err(error), Some(source)) if self.is_fetching_key_for(error) => {
                source.fetched(network).await?;
                Ok(self.verify(token, now))
            }
            _ => Ok(result),
        }
    }

    /// Whether a token that was refused with `error` names a key that a fetch may still find.
    pub fn is_fetching_key_for(&self, error: &TokenError) -> bool {
        self.fetched.is_some() && matches!(error, TokenError::Signer { kid: Some(_) })
    }

    /// Checks that a token that was accepted before is still valid at `now`. Its signature does not change, but the
    /// keys may, so the caller uses the newest verifier.
    ///
    /// # Errors
    /// [`TokenError::Expired`] or [`TokenError::Revoked`], and no other.
    pub fn recheck(&self, claims: &impl TokenClaims, now: SystemTime) -> Result<(), TokenError> {
        self.rules.check_expiry(claims.expires_at(), now)?;
        if self.accepts_key(claims.key()) { Ok(()) } else { Err(TokenError::Revoked) }
    }

    /// How long a token is still valid after `now`; zero if it has expired.
    pub fn time_left(&self, claims: &impl TokenClaims, now: SystemTime) -> Duration {
        self.rules.time_left(claims.expires_at(), now)
    }

    /// The key that signed `token`: the one it names, if that verifies its algorithm, else one of the secrets.
    fn signer(&self, token: &Token) -> Result<KeyId, TokenError> {
        match KeyKind::of(token)? {
            KeyKind::Secret(algorithm) => match self.configured_signer(token, algorithm) {
                Some(result) => result,
                None if self.secrets.is_empty() => Err(unknown_key(token)),
                None => self.secrets.signer(token, algorithm).ok_or(TokenError::Signature),
            },
            KeyKind::Public(algorithm) => algorithm
                .and_then(|algorithm| self.public_signer(token, algorithm))
                .unwrap_or_else(|| Err(unknown_key(token))),
        }
    }

    /// Whether the key that `token` names signed it; `None` if the settings have no such key for `algorithm`.
    fn configured_signer(&self, token: &Token, algorithm: Algorithm) -> Option<Result<KeyId, TokenError>> {
        self.configured.check_signature(kid(token)?, algorithm, token).map(signer_or_error)
    }

    /// As [`configured_signer`](Self::configured_signer), and with the keys that are fetched.
    fn public_signer(&self, token: &Token, algorithm: Algorithm) -> Option<Result<KeyId, TokenError>> {
        let configured = self.configured_signer(token, algorithm);
        if configured.is_some() {
            return configured;
        }
        let (kid, source) = (kid(token)?, self.fetched.as_ref()?);
        let checked = source.check_signature(kid, algorithm, token);
        if checked.is_none() {
            source.request_fetch();
        }
        checked.map(signer_or_error)
    }
}

/// The id of a key whose signature is valid.
fn signer_or_error((key, is_valid): (KeyId, bool)) -> Result<KeyId, TokenError> {
    if is_valid { Ok(key) } else { Err(TokenError::Signature) }
}

#[cfg(test)]
mod tests;
