//! Which tenant a request names: header `x-tenant`, else query parameter `tenant`, else the first label of
//! the host name (docs/protocol/http.md#tenant-selection).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, Uri, header};

use crate::query;

/// How a request names its tenant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// By a header or parameter. If there is no such tenant, the request is refused.
    Explicitly(Cow<'a, str>),
    /// By the first label of the host name, which may have nothing to do with tenants.
    ByHost(&'a str),
    /// It does not name one.
    NotAtAll,
}

/// Whether the head of a request names its tenant by a header or parameter, and not by its host.
pub fn is_named_explicitly(headers: &HeaderMap, uri: &Uri) -> bool {
    matches!(Named::in_head(headers, uri), Named::Explicitly(_))
}

impl<'a> Named<'a> {
    /// The tenant that the head of a request names.
    pub(super) fn in_head(headers: &'a HeaderMap, uri: &'a Uri) -> Self {
        let header = headers.get("x-tenant").map(|value| String::from_utf8_lossy(value.as_bytes()));
        let is_given = |id: &Cow<'_, str>| !id.is_empty();
        if let Some(id) = header.filter(is_given).or_else(|| query::parameter(uri, "tenant").filter(is_given))
        {
            return Self::Explicitly(id);
        }
        let host = || headers.get(header::HOST)?.to_str().ok();
        // A request target with a host in it wins over the header (RFC 9112 §3.2.2).
        uri.host().or_else(host).and_then(first_label).map_or(Self::NotAtAll, Self::ByHost)
    }
}

/// The first label of a host name. Addresses have none, and `localhost` names a machine rather than a tenant.
fn first_label(host: &str) -> Option<&str> {
    let name = host.split(':').next().unwrap_or(host);
    let is_address =
        host.starts_with('[') || host.parse::<Ipv6Addr>().is_ok() || name.parse::<Ipv4Addr>().is_ok();
    let label = name.split('.').next().unwrap_or(name);
    (!is_address && !name.eq_ignore_ascii_case("localhost") && !label.is_empty()).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_of_a_host_name_is_a_tenant_and_addresses_name_none() {
        for (host, label) in [
            ("acme.example.com", Some("acme")),
            ("acme.example.com:4000", Some("acme")),
            ("acme", Some("acme")),
            ("acme.localhost:80", Some("acme")),
            ("localhost", None),
            ("LocalHost:4000", None),
            ("127.0.0.1:4000", None),
            ("[::1]:4000", None),
            ("::1", None),
            ("", None),
            (".example.com", None),
            (":80", None),
        ] {
            assert_eq!(first_label(host), label, "{host}");
        }
    }
}
