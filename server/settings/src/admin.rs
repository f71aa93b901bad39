//! `[admin]`: tokens of operators, for status, metrics and administration.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::units;

/// Tokens of operators, for status, metrics and administration. Operator tokens (JWT, HS256) have no `role`; tokens
/// of users are never accepted here, nor operator tokens anywhere else.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Secret that signs operator tokens. Unset: `/status` and `/admin/…` are closed.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secret: Option<SecretString>,

    /// Further secrets that operator tokens may be signed with, so that a secret can be rotated.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secrets: Vec<SecretString>,

    /// Operator tokens that are refused although their signature is valid: ones that leaked.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true, "x-commas" = true))]
    pub token_blocklist: Vec<SecretString>,

    /// Secret that signs tokens for `/metrics`. Unset: `/metrics` needs no token.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub metrics_jwt_secret: Option<SecretString>,

    /// Tokens for `/metrics` that are refused although their signature is valid.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true, "x-commas" = true))]
    pub metrics_token_blocklist: Vec<SecretString>,
}
