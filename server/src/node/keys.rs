//! Whether any tenant can verify a token: checked at the start, on a reload, and by `config check`. And which keys of key
//! sets cannot be used.
//!
//! A server without a key refuses all clients. That is a mistake, and applied to a running server it would end every
//! channel.

use std::fmt;

use secrecy::ExposeSecret;
use settings::{Auth, Settings};

use crate::auth::{Verifier, check_jwks};

/// No tenant has a key to verify tokens with, nor a URL to fetch one from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoVerificationKey {
    /// What is wrong with the keys in key sets, a sentence each.
    unusable: Vec<String>,
}

impl NoVerificationKey {
    /// Looks for a key in all tenants, the one that is created at the start included; `None` if one has a key, or if the tenants
    /// and their keys are in the store.
    pub fn find(settings: &Settings) -> Option<Self> {
        if settings.seed.tenant_with_key().is_some() || settings.tenants_are_stored() {
            return None;
        }
        let tenants = settings.every_tenant();
        let has_keys = tenants.values().any(|tenant| {
            // A tenant that fetches its keys has none yet, and this check fetches nothing.
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

    /// Why the key sets hold no usable key, if there are any: a clause that follows a sentence.
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

/// The keys of key sets that the server does not use, a sentence each. A running server logs them.
pub fn unusable_keys(settings: &Settings) -> Vec<String> {
    let unused = sets(settings).flat_map(|(name, auth)| {
        problems(auth).into_iter().map(move |key| format!("{name} is used without {key}"))
    });
    unused.collect()
}

/// All key sets, with the name of the setting.
fn sets(settings: &Settings) -> impl Iterator<Item = (String, &Auth)> {
    let tenants = settings.tenants.iter();
    let tenants = tenants.map(|(id, tenant)| (format!("tenants.{id}.auth.jwt_jwks"), &tenant.auth));
    let all = std::iter::once(("auth.jwt_jwks".to_owned(), &settings.auth)).chain(tenants);
    all.filter(|(_, auth)| auth.jwt_jwks.is_some())
}

/// The keys of a set that cannot be used. Text that is no key set is refused when the settings are loaded.
fn problems(auth: &Auth) -> Vec<String> {
    let set = auth.jwt_jwks.as_ref().map(|set| check_jwks(set.expose_secret()));
    set.and_then(Result::ok).unwrap_or_default()
}
