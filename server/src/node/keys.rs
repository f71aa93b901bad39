//! Whether any tenant can verify a token: asked at the start, on a reload, and by `config check`. And which keys of key
//! sets cannot be used.
//!
//! A server without a key refuses everybody. That is a mistake, and one that would end every channel if a
//! running server made it.

use std::fmt;

use secrecy::ExposeSecret;
use settings::{Auth, Settings};

use crate::auth::{Verifier, check_jwks};

/// No tenant holds a key to verify tokens with, nor knows where to get one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoVerificationKey {
    /// What is wrong with the keys that key sets hold, a sentence each.
    unusable: Vec<String>,
}

impl NoVerificationKey {
    /// `None` if a tenant has a key.
    pub fn find(settings: &Settings) -> Option<Self> {
        let tenants = settings.every_tenant();
        let has_keys = tenants.values().any(|tenant| {
            // One that fetches its keys has none at first, and nothing is fetched for a question.
            tenant.auth.jwks_url.is_some() || Verifier::new(&tenant.auth, None).has_keys()
        });
        (!has_keys).then(|| {
            let unusable = sets(settings).flat_map(|(name, auth)| match problems(auth) {
                problems if problems.is_empty() => vec![format!("{name} holds no key for signatures")],
                problems => problems.into_iter().map(|problem| format!("{name}: {problem}")).collect(),
            });
            Self { unusable: unusable.collect() }
        })
    }

    /// Why the key sets are no help, if there are any; to follow a sentence.
    pub fn about_key_sets(&self) -> String {
        match self.unusable.as_slice() {
            [] => String::new(),
            unusable => format!(", and no key of the key sets can be used ({})", unusable.join("; ")),
        }
    }
}

impl fmt::Display for NoVerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no secret to verify tokens with{}", self.about_key_sets())
    }
}

/// The keys of key sets that the server leaves out, a sentence each. A running one tells them in its log.
pub fn unusable_keys(settings: &Settings) -> Vec<String> {
    let left_out = sets(settings).flat_map(|(name, auth)| {
        problems(auth).into_iter().map(move |key| format!("{name} is used without {key}"))
    });
    left_out.collect()
}

/// Who has a key set, by the name of its key.
fn sets(settings: &Settings) -> impl Iterator<Item = (String, &Auth)> {
    let tenants = settings.tenants.iter();
    let tenants = tenants.map(|(id, tenant)| (format!("tenants.{id}.auth.jwt_jwks"), &tenant.auth));
    let all = std::iter::once(("auth.jwt_jwks".to_owned(), &settings.auth)).chain(tenants);
    all.filter(|(_, auth)| auth.jwt_jwks.is_some())
}

/// What of a key set cannot be used. One that is no set at all would have been a problem of the settings.
fn problems(auth: &Auth) -> Vec<String> {
    let set = auth.jwt_jwks.as_ref().map(|set| check_jwks(set.expose_secret()));
    set.and_then(Result::ok).unwrap_or_default()
}
