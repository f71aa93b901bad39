//! `[admin]`: who may ask the server about itself, and tell it what to do.

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::units;

/// Who may ask the server about itself, and tell it what to do. Operators sign tokens (JWT, HS256) without a
/// `role`; the tokens of users never work here, nor these anywhere else.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Secret that signs operator tokens. Unset: `/status`, `/admin/…` and the management API are closed.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secret: Option<SecretString>,

    /// Further secrets believed beside `jwt_secret`, while one is being changed.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub jwt_secrets: Vec<SecretString>,

    /// Operator tokens that are refused although they are signed well: ones that leaked.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true, "x-commas" = true))]
    pub token_blocklist: Vec<SecretString>,

    /// Secret that signs the tokens of whoever reads `/metrics`. Unset: `/metrics` is open to everybody who
    /// reaches the port.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live", "x-secret" = true))]
    pub metrics_jwt_secret: Option<SecretString>,

    /// Tokens for `/metrics` that are refused although they are signed well.
    #[serde(with = "units::secrets")]
    #[schemars(with = "Vec<String>", extend("x-reload" = "live", "x-secret" = true, "x-commas" = true))]
    pub metrics_token_blocklist: Vec<SecretString>,
}
