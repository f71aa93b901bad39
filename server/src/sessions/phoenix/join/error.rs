//! Why a join is refused.

use std::borrow::Cow;

use crate::auth::{AuthorizationError, TokenError};
use crate::broadcast::replay::ReplayError;
use crate::sessions::phoenix::rights;
use crate::sessions::phoenix::tokens::{self, TokenRefusal};
use crate::telemetry::codes::Code;
use crate::tenants::RecordsError;

/// Why a join is refused: an operational code and a sentence (docs/protocol/channels.md#join-checks).
pub(super) struct JoinError {
    pub(super) code: Code,
    pub(super) text: Cow<'static, str>,
}

pub(super) const TENANT_NOT_FOUND: JoinError =
    JoinError::new(Code::TenantNotFound, "Tenant with the given ID does not exist");
pub(super) const OUT_OF_MEMORY: JoinError = JoinError::new(Code::MemoryLimitReached, tokens::OUT_OF_MEMORY);
pub(super) const PAYLOAD_TOO_LARGE: JoinError =
    JoinError::new(Code::InvalidJoinPayload, "The payload is too large");
/// Earlier messages cannot be read. Without them the client would take them for none.
pub(super) const REPLAY_UNABLE: JoinError =
    JoinError::new(Code::UnableToReplayMessages, "Realtime was unable to replay messages");
pub(super) const REPLAY_INVALID: JoinError =
    JoinError::new(Code::UnableToReplayMessages, "Replay params are not valid");
pub(super) const PRIVATE_UNREADABLE: JoinError =
    JoinError::new(Code::InvalidJoinPayload, "`private` must be a boolean");

impl JoinError {
    /// An error with the code's own text.
    pub(super) const fn of(code: Code) -> Self {
        Self::new(code, code.text())
    }

    pub(super) const fn new(code: Code, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }
}

impl JoinError {
    /// What the policies of a room say, or why they say nothing. One that fails denies.
    pub(super) fn unauthorized(error: AuthorizationError, topic: &str) -> Self {
        match error.code {
            Code::RlsPolicyError => Self::may_not_read(topic),
            code => Self { code, text: error.text },
        }
    }

    /// The earlier messages that a join asks for cannot be read.
    pub(super) fn unreplayed(error: &ReplayError) -> Self {
        match error {
            ReplayError::Database(RecordsError::OutOfMemory) => OUT_OF_MEMORY,
            ReplayError::Database(RecordsError::Unavailable)
            | ReplayError::History(_)
            | ReplayError::TimedOut => REPLAY_UNABLE,
        }
    }

    /// The policies of a room allow the client to read nothing.
    pub(super) fn may_not_read(topic: &str) -> Self {
        Self { code: Code::Unauthorized, text: rights::may_not_read(topic).into() }
    }
}

impl From<TokenError> for JoinError {
    fn from(error: TokenError) -> Self {
        Self { code: error.code(), text: error.refresh_text().into() }
    }
}

impl From<TokenRefusal> for JoinError {
    fn from(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::OverRate(code) => Self::of(code),
            TokenRefusal::OutOfMemory => OUT_OF_MEMORY,
            TokenRefusal::Token(error) => error.into(),
        }
    }
}
