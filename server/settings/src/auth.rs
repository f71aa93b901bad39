//! `[auth]`: which tokens of the default tenant are believed.

use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::units;

/// Which tokens of the default tenant are believed.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Secret that signs the tokens (HS256, HS384, HS512); at least 32 bytes are wise. Empty or blank counts
    /// as unset, and without it only `serve --dev` starts. The plain variable `JWT_SECRET` sets it too.
    #[serde(with = "units::secret")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live"))]
    pub jwt_secret: Option<SecretString>,

    /// The `iss` a token must carry. Unset: not looked at. The plain variable `JWT_ISSUER` sets it too.
    #[serde(with = "units::text")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live"))]
    pub jwt_issuer: Option<String>,

    /// The `aud` a token must carry, alone or in a list. Unset: not looked at. The plain variable
    /// `JWT_AUDIENCE` sets it too.
    #[serde(with = "units::text")]
    #[schemars(with = "Option<String>", extend("x-reload" = "live"))]
    pub jwt_audience: Option<String>,

    /// How long a token is still believed after its `exp`, for clocks that differ.
    #[serde(with = "units::duration")]
    #[schemars(with = "String", extend("x-reload" = "live"))]
    pub leeway: Duration,
}
