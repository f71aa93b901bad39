//! What a request requires of the tenant that it writes (RFC 9110 §13.1): `If-None-Match: *` that there is none, so that one is
//! created and never overwritten; `If-Match: *` that there is one. It is checked against what the write replaces, so two
//! requests at the same time do not both find that there is none.
//!
//! Representations have no entity tags, so other values of these headers mean nothing here, as in upstream.

use http::{HeaderMap, HeaderName, header};

use super::failure::Failure;

/// What a request requires of the tenant that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precondition {
    /// Nothing: a write creates or changes.
    None,
    /// That there is no such tenant.
    IsNew,
    /// That there is one.
    Exists,
}

impl Precondition {
    /// That of a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let is_any = |name: HeaderName| headers.get(name).is_some_and(|value| value == "*");
        if is_any(header::IF_NONE_MATCH) {
            Self::IsNew
        } else if is_any(header::IF_MATCH) {
            Self::Exists
        } else {
            Self::None
        }
    }

    /// Checks it against `tenant`, what is stored now.
    pub(super) fn check<T>(self, tenant: Option<&T>) -> Result<(), Failure> {
        match (self, tenant) {
            (Self::IsNew, Some(_)) => Err(Failure::NotNew),
            (Self::Exists, None) => Err(Failure::DoesNotExist),
            _ => Ok(()),
        }
    }
}
