//! The calls of the management API that the command line makes.
//!
//! That `create` never overwrites and `update` never creates is for the server to decide, in the moment in which it writes: a look
//! before the write would leave a gap. So each write says what it requires, by `If-None-Match: *` or `If-Match: *`.

use http::{HeaderName, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in the name of a tenant. A dot as well, since `..` is a step upwards in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// What is done, with which tenant.
#[derive(Debug, Clone, Copy)]
pub(super) enum ApiCall<'a> {
    List,
    Show(&'a str),
    Create(&'a str),
    Update(&'a str),
    Delete(&'a str),
}

impl<'a> ApiCall<'a> {
    /// The method of the request.
    pub(super) fn method(self) -> Method {
        match self {
            Self::List | Self::Show(_) => Method::GET,
            Self::Create(_) | Self::Update(_) => Method::PUT,
            Self::Delete(_) => Method::DELETE,
        }
    }

    /// The tenant, if it is one.
    pub(super) fn tenant(self) -> Option<&'a str> {
        match self {
            Self::List => None,
            Self::Show(id) | Self::Create(id) | Self::Update(id) | Self::Delete(id) => Some(id),
        }
    }

    /// The path of the request.
    pub(super) fn path(self) -> String {
        let tenant = self.tenant().map(|id| format!("/{}", utf8_percent_encode(id, ENCODED)));
        format!("/api/tenants{}", tenant.unwrap_or_default())
    }

    /// The header that says what must be there, if anything.
    pub(super) fn precondition(self) -> Option<HeaderName> {
        match self {
            Self::List | Self::Show(_) => None,
            Self::Create(_) => Some(header::IF_NONE_MATCH),
            Self::Update(_) | Self::Delete(_) => Some(header::IF_MATCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        for (id, path) in [
            ("acme-1_b", "/api/tenants/acme-1_b"),
            ("..", "/api/tenants/%2E%2E"),
            ("a/b?c#d", "/api/tenants/a%2Fb%3Fc%23d"),
            ("ä %", "/api/tenants/%C3%A4%20%25"),
        ] {
            assert_eq!(ApiCall::Show(id).path(), path);
        }
        assert_eq!(ApiCall::List.path(), "/api/tenants");
    }
}
