//! Decides which tokens of a tenant's users are believed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::Algorithm;
use secrecy::ExposeSecret;
use settings::Auth;

use super::jwks::JwksSource;
use super::key_set::KeySet;
use super::keys::{KeySource, Kind, Secrets, kid, no_signer};
use super::remarks::Remarks;
use super::rules::Rules;
use super::token::Token;
use super::{Claims, KeyId, TokenError};
use crate::telemetry::reports::Reports;

/// Decides which tokens are believed. One per tenant and settings.
#[derive(Debug, Clone)]
pub struct Verifier {
    secrets: Secrets,
    /// Keys that the settings name.
    named: KeySet,
    /// Keys that are fetched.
    fetched: Option<Arc<JwksSource>>,
    rules: Rules,
    remarks: Remarks,
}

impl Verifier {
    /// Believes tokens as `auth` says: signed with one of its keys, carrying what it demands, and up to its
    /// leeway after they expire. Keys at `auth.jwks_url` come from `fetched`.
    pub fn new(auth: &Auth, fetched: Option<Arc<JwksSource>>) -> Self {
        let secrets = auth.jwt_secret.iter().chain(&auth.jwt_secrets);
        let named = auth.jwt_jwks.as_ref().map(|text| {
            KeySet::parse(text.expose_secret(), KeySource::Settings).unwrap_or_else(KeySet::unreadable)
        });
        Self {
            secrets: Secrets::new(secrets),
            named: named.unwrap_or_default(),
            fetched,
            rules: Rules::for_users(auth),
            remarks: Remarks::default(),
        }
    }

    /// Remarks in `reports` on genuine tokens that are odd.
    #[must_use]
    pub fn remarking(self, reports: &Reports) -> Self {
        Self { remarks: Remarks::to(reports), ..self }
    }

    /// Where it fetches keys; to be handed on to the verifier that replaces this one.
    pub fn fetched(&self) -> Option<&Arc<JwksSource>> {
        self.fetched.as_ref()
    }

    /// Whether it holds a key at all, or knows where to get some. Without one it refuses every token.
    pub fn has_keys(&self) -> bool {
        !self.secrets.is_empty() || !self.named.is_empty() || self.fetched.is_some()
    }

    /// What of `auth.jwt_jwks` had to be left out, and why; for whoever wrote it. See also
    /// [`check_jwks`](super::check_jwks).
    pub fn problems(&self) -> &[String] {
        self.named.problems()
    }

    /// Whether it still holds the key that signed a token.
    pub fn holds(&self, key: KeyId) -> bool {
        let fetched = || self.fetched.as_ref().is_some_and(|source| source.holds(key));
        self.secrets.hold(key) || self.named.holds(key) || fetched()
    }

    /// Whether keys that it fetched have been withdrawn since this was last asked.
    pub fn has_lost_keys(&self) -> bool {
        self.fetched.as_ref().is_some_and(|source| source.has_lost_keys())
    }

    /// What `token` says, if it is to be believed at `now`.
    ///
    /// # Errors
    /// The first rule it breaks. In time linear in its length, and never with a panic, whatever it holds. If it
    /// names a key that may have been published just now, that is looked for, but not waited for.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let token = Token::read(token)?;
        let key = self.signer(&token)?;
        self.remarks.look_at(&token.claims, now);
        self.rules.check(&token.claims, now)?;
        Claims::of(&token, key)
    }

    /// As [`verify`](Self::verify), for whoever can wait: a key that nobody knows yet is fetched first.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub async fn verify_fetching(&self, token: &str, now: SystemTime) -> Result<Claims, TokenError> {
        let verdict = self.verify(token, now);
        match (&verdict, &self.fetched) {
            (Err(error), Some(source)) if self.is_looking_into(error) => {
                source.answer().await;
                self.verify(token, now)
            }
            _ => verdict,
        }
    }

    /// Whether a token that was refused with `error` names a key that may have been published just now.
    pub fn is_looking_into(&self, error: &TokenError) -> bool {
        self.fetched.is_some() && matches!(error, TokenError::Signer { kid: Some(_) })
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
            Kind::Public(algorithm) => algorithm
                .and_then(|algorithm| self.public_signer(token, algorithm))
                .unwrap_or_else(|| Err(no_signer(token))),
        }
    }

    /// Whether the key that `token` names signed it; `None` if the settings hold no such key for `algorithm`.
    fn named_signer(&self, token: &Token, algorithm: Algorithm) -> Option<Result<KeyId, TokenError>> {
        self.named.judge(kid(token)?, algorithm, token).map(verdict)
    }

    /// As [`named_signer`](Self::named_signer), and with the keys that are fetched.
    fn public_signer(&self, token: &Token, algorithm: Algorithm) -> Option<Result<KeyId, TokenError>> {
        let named = self.named_signer(token, algorithm);
        if named.is_some() {
            return named;
        }
        let (kid, source) = (kid(token)?, self.fetched.as_ref()?);
        let judged = source.judge(kid, algorithm, token);
        if judged.is_none() {
            source.ask();
        }
        judged.map(verdict)
    }
}

fn verdict((key, genuine): (KeyId, bool)) -> Result<KeyId, TokenError> {
    if genuine { Ok(key) } else { Err(TokenError::Signature) }
}

#[cfg(test)]
mod tests;
