//! How HTTP routes refuse a request whose tenant or token is not accepted: the same status and text at all of them. Each route has a form
//! of its own for the body.

use http::StatusCode;

use super::{AuthenticationError, Node, NotAuthenticated};
use crate::telemetry::codes::{Code, Scope};

/// There is no tenant of the name in the request.
pub const UNKNOWN_TENANT: &str = "Tenant not found in database";

/// The tenant is suspended.
pub const SUSPENDED: &str = "Realtime was disabled for this tenant";

/// The token is missing or not accepted.
pub const UNAUTHORIZED: &str = "Unauthorized";

/// The refusal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRefusal {
    /// The status of the response.
    pub status: StatusCode,
    /// What is reported.
    pub code: Code,
    /// What its sender reads.
    pub text: &'static str,
}

impl HttpRefusal {
    fn of(error: &AuthenticationError) -> Self {
        let with_text_of = |status, code: Code| Self { status, code, text: code.text() };
        match error {
            AuthenticationError::TooManyFromAddress => {
                with_text_of(StatusCode::TOO_MANY_REQUESTS, Code::AddressRateLimitReached)
            }
            AuthenticationError::UnknownTenant => {
                Self { status: StatusCode::UNAUTHORIZED, code: Code::TenantNotFound, text: UNKNOWN_TENANT }
            }
            AuthenticationError::TenantUnavailable(_) => {
                with_text_of(StatusCode::SERVICE_UNAVAILABLE, Code::TenantLookupFailed)
            }
            AuthenticationError::Suspended => {
                Self { status: StatusCode::FORBIDDEN, code: Code::RealtimeDisabledForTenant, text: SUSPENDED }
            }
            AuthenticationError::Token(error) => {
                Self { status: StatusCode::UNAUTHORIZED, code: error.code(), text: UNAUTHORIZED }
            }
            AuthenticationError::TooManyWaiting(error) => {
                with_text_of(StatusCode::SERVICE_UNAVAILABLE, error.code())
            }
        }
    }
}

impl Node {
    /// Reports why a request is refused, and returns what it is answered.
    pub fn refuse_http(&self, refused: &NotAuthenticated) -> HttpRefusal {
        let refusal = HttpRefusal::of(&refused.error);
        let reports = refused.tenant.as_ref().map_or(&self.reports, |tenant| &tenant.reports);
        match &refused.error {
            AuthenticationError::Token(error) => reports.record(refusal.code.at(Scope::Http), error),
            _ => reports.record(refusal.code.at(Scope::Http), refusal.text),
        }
        refusal
    }
}
