//! `[admin]`: tokens of operators, for status, metrics and administration.

use bytesize::ByteSize;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{marks, units};

/// Tokens of operators, for status, metrics and administration. Operator tokens (JWT, HS256) have no `role`; tokens
/// of users are never accepted here, nor operator tokens anywhere else.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Secret that signs operator tokens. Unset: `/status`, `/admin/…` and `/api/tenants` are closed.
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

    /// Largest body of a request about a tenant; larger ones are answered with 413.
    #[serde(with = "units::size")]
    #[schemars(with = "marks::SizeText", extend("x-reload" = "live", "x-min" = "1 KiB"))]
    pub max_body_size: ByteSize,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_secrets: Vec::new(),
            token_blocklist: Vec::new(),
            metrics_jwt_secret: None,
            metrics_token_blocklist: Vec::new(),
            max_body_size: ByteSize::b(8_000_000),
        }
    }
}
