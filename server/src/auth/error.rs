//! Why a token is not believed, in the exact words that clients and their users match on
//! (docs/protocol/tokens.md#token-errors).

use crate::telemetry::codes::Code;

/// Why a token is not believed. On a handshake the status is 401 for all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none. Said by whoever looked for it.
    #[error("API key is missing")]
    Missing,
    /// It is no token.
    #[error("The token provided is not a valid JWT")]
    Malformed,
    /// It was signed with another key, or changed since.
    #[error("Failed to validate JWT signature")]
    Signature,
    /// We hold no key for the algorithm it names.
    #[error("Failed to generate JWT signer{}, check your JWT secret or JWKS configuration", for_key(.kid))]
    Signer {
        /// The key it asks for, shortened and made printable.
        kid: Option<String>,
    },
    /// It was believed once, but the key that signed it has been taken away since.
    #[error("The key that signed this token is no longer accepted")]
    Revoked,
    /// It is over.
    #[error("Token has expired {seconds_ago} seconds ago")]
    Expired {
        /// Since when.
        seconds_ago: i64,
    },
    /// Its `nbf` is still to come.
    #[error("Token is not valid for another {seconds} seconds")]
    TooEarly {
        /// Until when.
        seconds: i64,
    },
    /// It does not say who its holder is, or when it ends.
    #[error("Fields `role` and `exp` are required in JWT")]
    MissingClaims,
    /// When it ends is not a number.
    #[error("Token expiration time is invalid")]
    InvalidExpiry,
    /// This claim is not there, or not what it must be.
    #[error("Claim `{0}` is missing or not accepted")]
    Rejected(String),
}

impl TokenError {
    /// What a refused handshake says in its body.
    pub fn handshake_text(&self) -> String {
        match self {
            Self::Expired { .. } => "Token has expired".into(),
            Self::TooEarly { .. } => "Token is not valid yet".into(),
            other => other.to_string(),
        }
    }

    /// What a refused join says as its `reason`, after the code, and the `system` message when a token sent
    /// later ends a room's membership.
    pub fn refresh_text(&self) -> String {
        self.to_string()
    }

    /// The word that operators search their logs for.
    pub fn code(&self) -> Code {
        match self {
            Self::Missing => Code::MissingAPIKey,
            Self::Malformed => Code::MalformedJWT,
            Self::Signature => Code::JwtSignatureError,
            Self::Signer { .. } => Code::JwtSignerError,
            Self::Revoked => Code::JwtKeyRevoked,
            Self::Expired { .. }
            | Self::TooEarly { .. }
            | Self::MissingClaims
            | Self::InvalidExpiry
            | Self::Rejected(_) => Code::InvalidJWTToken,
        }
    }

    /// The same for a handshake, which has one word for most of them
    /// (docs/protocol/websocket.md#handshake-token-errors).
    pub fn handshake_code(&self) -> Code {
        match self {
            Self::Missing
            | Self::Malformed
            | Self::Expired { .. }
            | Self::TooEarly { .. }
            | Self::MissingClaims => self.code(),
            Self::Signature
            | Self::Signer { .. }
            | Self::Revoked
            | Self::InvalidExpiry
            | Self::Rejected(_) => Code::ErrorConnectingToWebsocket,
        }
    }

    /// Whether another try may succeed: the token was good and only its time is over, or its time is about to come (the
    /// issuer's clock is a little ahead). A membership that ends so is told `phx_error`, on which clients join again; any
    /// other end is for good.
    pub fn may_join_again(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Revoked | Self::TooEarly { .. })
    }
}

fn for_key(kid: &Option<String>) -> String {
    kid.as_ref().map(|kid| format!(" for key ID (kid) \"{kid}\"")).unwrap_or_default()
}
