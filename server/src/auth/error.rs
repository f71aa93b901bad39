//! Why a token is refused, in the exact texts that clients match on (docs/protocol/tokens.md#token-errors).

use super::permissions::PermissionsError;
use crate::telemetry::codes::Code;

/// Why a token is refused. A handshake has status 401 for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request has no token. Returned by the code that reads requests.
    #[error("API key is missing")]
    Missing,
    /// The text is no JWT.
    #[error("The token provided is not a valid JWT")]
    Malformed,
    /// The signature is invalid: another key has signed it, or it was changed since.
    #[error("Failed to validate JWT signature")]
    Signature,
    /// There is no key for the algorithm and the key id it names.
    #[error("Failed to generate JWT signer{}, check your JWT secret or JWKS configuration", for_key(.kid))]
    Signer {
        /// The key id, shortened and made printable.
        kid: Option<String>,
    },
    /// It was accepted, but the key that signed it has been removed since.
    #[error("The key that signed this token is no longer accepted")]
    Revoked,
    /// It has expired.
    #[error("Token has expired {seconds_ago} seconds ago")]
    Expired {
        /// Seconds since its `exp`.
        seconds_ago: i64,
    },
    /// Its `nbf` is in the future.
    #[error("Token is not valid for another {seconds} seconds")]
    TooEarly {
        /// Seconds until its `nbf`, less the leeway.
        seconds: i64,
    },
    /// `exp` is missing, or this claim that the use of the token requires.
    #[error("Fields `{0}` and `exp` are required in JWT")]
    MissingClaims(&'static str),
    /// `exp` is not a number.
    #[error("Token expiration time is invalid")]
    InvalidExpiry,
    /// This claim is missing or has another value than required.
    #[error("Claim `{0}` is missing or not accepted")]
    Rejected(String),
    /// The claim `permissions` cannot be used.
    #[error("Claim `permissions` {0}")]
    Permissions(#[from] PermissionsError),
}

impl TokenError {
    /// The body of a refused handshake.
    pub fn handshake_text(&self) -> String {
        match self {
            Self::Expired { .. } => "Token has expired".into(),
            Self::TooEarly { .. } => "Token is not valid yet".into(),
            other => other.to_string(),
        }
    }

    /// The `reason` of a refused join, after the code, and the `system` message when a later token ends a room's
    /// membership.
    pub fn refresh_text(&self) -> String {
        self.to_string()
    }

    /// The operational code.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing => Code::MissingAPIKey,
            Self::Malformed => Code::MalformedJWT,
            Self::Signature => Code::JwtSignatureError,
            Self::Signer { .. } => Code::JwtSignerError,
            Self::Revoked => Code::JwtKeyRevoked,
            Self::Expired { .. }
            | Self::TooEarly { .. }
            | Self::MissingClaims(_)
            | Self::InvalidExpiry
            | Self::Rejected(_)
            | Self::Permissions(_) => Code::InvalidJWTToken,
        }
    }

    /// The operational code of a refused handshake, which is one code for most errors
    /// (docs/protocol/websocket.md#handshake-token-errors).
    pub fn handshake_code(&self) -> Code {
        match self {
            Self::Missing
            | Self::Malformed
            | Self::Expired { .. }
            | Self::TooEarly { .. }
            | Self::MissingClaims(_)
            | Self::Permissions(_) => self.code(),
            Self::Signature
            | Self::Signer { .. }
            | Self::Revoked
            | Self::InvalidExpiry
            | Self::Rejected(_) => Code::ErrorConnectingToWebsocket,
        }
    }

    /// Whether a key of the tenant has signed the token, so that it is the token of a client of the tenant.
    pub fn is_signed(&self) -> bool {
        match self {
            Self::Missing | Self::Malformed | Self::Signature | Self::Signer { .. } => false,
            Self::Revoked
            | Self::Expired { .. }
            | Self::TooEarly { .. }
            | Self::MissingClaims(_)
            | Self::InvalidExpiry
            | Self::Rejected(_)
            | Self::Permissions(_) => true,
        }
    }

    /// Whether another join may succeed: the token was valid before, or will be soon (the issuer's clock is a little
    /// ahead). The client then receives `phx_error` for its membership, on which it joins again; any other end is final.
    pub fn may_join_again(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Revoked | Self::TooEarly { .. })
    }
}

fn for_key(kid: &Option<String>) -> String {
    kid.as_ref().map(|kid| format!(" for key ID (kid) \"{kid}\"")).unwrap_or_default()
}
