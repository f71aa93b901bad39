//! `[auth]`: how tokens of the default tenant are verified.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// How tokens of the default tenant are verified.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secret that signs the tokens (HS256, HS384, HS512); use at least 32 bytes. Empty or blank means
    /// unset; without any key to verify tokens with, only `serve --dev` starts.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secret: Option<SecretString>,

    /// Further secrets that tokens may be signed with, so that a secret can be rotated while its tokens are valid.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secrets: Vec<SecretString>,

    /// Public keys (RS256 to RS512, ES256, ES384, EdDSA), and secrets by key id, as a JSON Web Key Set:
    /// `{"keys": […]}` in quotes. A secret, because it may hold some.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true, "x-kind" = "jwks"))]
    pub jwt_jwks: Option<SecretString>,

    /// Where to fetch a JSON Web Key Set: the `jwks_uri` of an identity provider. Fetched again every `jwks_refresh`,
    /// and when a token names an unknown key; while it cannot be fetched, the last one stays in use. A secret,
    /// because it may contain a password or a key.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true, "x-kind" = "url", "x-schemes" = ["http://", "https://"]))]
    pub jwks_url: Option<SecretString>,

    /// How often `jwks_url` is fetched.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1s"))]
    pub jwks_refresh: Duration,

    /// How long `jwks_url` may take to answer.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live", "x-min" = "1ms"))]
    pub jwks_timeout: Duration,

    /// Handshakes and requests that may wait while the key of their token is fetched; further ones are answered with 503.
    /// One client address gets at most half of them. See also `server.max_waiting_for_keys`.
    #[schemars(extend("x-reload" = "live"))]
    pub jwks_max_waiting: NonZeroUsize,

    /// Claims a token must carry, each with the value it must have: `{ aal = "aal2" }`. A token without the
    /// claim is refused. Those in `[auth]` apply to operator tokens and tokens for `/metrics` too.
    #[schemars(extend("x-reload" = "live"))]
    pub claim_validators: BTreeMap<String, serde_json::Value>,

    /// The `iss` a token must carry. Unset: not checked.
    #[schemars(extend("x-reload" = "live"))]
    pub jwt_issuer: Option<String>,

    /// The `aud` a token must carry, alone or in a list. Unset: not checked.
    #[schemars(extend("x-reload" = "live"))]
    pub jwt_audience: Option<String>,

    /// Whether a token gives only the rooms that its claim `permissions.rooms` lists: without that claim none, instead of all. The
    /// value in `[auth]` applies to tenants of the store too.
    #[schemars(extend("x-reload" = "live"))]
    pub require_permissions: bool,

    /// How long a token is still accepted after its `exp`, and how long before its `nbf`, to allow for clock skew.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "marks::DurationText", extend("x-reload" = "live"))]
    pub leeway: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_secrets: Vec::new(),
            jwt_jwks: None,
            jwks_url: None,
            jwks_refresh: Duration::from_secs(600),
            jwks_timeout: Duration::from_secs(5),
            jwks_max_waiting: NonZeroUsize::new(512).expect("not zero"),
            claim_validators: BTreeMap::new(),
            jwt_issuer: None,
            jwt_audience: None,
            require_permissions: false,
            leeway: Duration::ZERO,
        }
    }
}

/// Whether nothing has changed. Not in constant time: both sides are the operator's own.
impl PartialEq for Auth {
    fn eq(&self, other: &Self) -> bool {
        fn exposed<'a>(secrets: impl IntoIterator<Item = &'a SecretString>) -> Vec<&'a str> {
            secrets.into_iter().map(ExposeSecret::expose_secret).collect()
        }
        // Field by field, so that a new one is not forgotten here.
        let Self {
            jwt_secret,
            jwt_secrets,
            jwt_jwks,
            jwks_url,
            jwks_refresh,
            jwks_timeout,
            jwks_max_waiting,
            claim_validators,
            jwt_issuer,
            jwt_audience,
            require_permissions,
            leeway,
        } = self;
        exposed(jwt_secret) == exposed(&other.jwt_secret)
            && exposed(jwt_secrets) == exposed(&other.jwt_secrets)
            && exposed(jwt_jwks) == exposed(&other.jwt_jwks)
            && exposed(jwks_url) == exposed(&other.jwks_url)
            && (*jwks_refresh, *jwks_timeout) == (other.jwks_refresh, other.jwks_timeout)
            && *jwks_max_waiting == other.jwks_max_waiting
            && *claim_validators == other.claim_validators
            && *jwt_issuer == other.jwt_issuer
            && *jwt_audience == other.jwt_audience
            && *require_permissions == other.require_permissions
            && *leeway == other.leeway
    }
}
