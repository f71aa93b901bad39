//! Where clients reach the server: at `server.public_url`, or where the backend has reached it. A client is given the tenant in the query
//! if the host of that address does not name it.

use http::{StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::document_id::DocumentId;
use super::refusal::YSweetRefusal;
use crate::routes::RequestHead;
use crate::tenants::{Tenant, is_named_explicitly};

/// What is encoded in the name of a tenant.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where clients of a tenant reach the server.
pub(super) struct ClientAddress {
    is_secure: bool,
    /// Host, port and path, without a slash at the end.
    place: String,
    /// What follows the path of the WebSocket, to name the tenant.
    query: String,
}

/// The address for clients of `tenant`, whose backend has sent `head`.
pub(super) fn of(
    settings: &settings::Server,
    head: &RequestHead,
    tenant: &Tenant,
) -> Result<ClientAddress, YSweetRefusal> {
    let (is_secure, place) = match &settings.public_url {
        Some(url) => {
            let (scheme, place) = url.split_once("://").unwrap_or(("http", url));
            (matches!(scheme, "https" | "wss"), place.trim_end_matches('/').to_owned())
        }
        None => (settings.tls.cert_file.is_some(), place_of(head)?),
    };
    // A request at the public address is one for the default tenant, unless it names another.
    let host_suffices = settings.public_url.is_none() || *tenant.id == *settings.default_tenant;
    let query = if host_suffices && !is_named_explicitly(head.headers(), head.uri()) {
        String::new()
    } else {
        format!("?tenant={}", utf8_percent_encode(&tenant.id, ENCODED))
    };
    Ok(ClientAddress { is_secure, place, query })
}

/// Where a request was sent to: the host and the port, and what its path has before that of the route.
fn place_of(head: &RequestHead) -> Result<String, YSweetRefusal> {
    let host = || head.headers().get(header::HOST)?.to_str().ok();
    // A request target with a host in it wins over the header (RFC 9112 §3.2.2).
    let authority = head.uri().authority().map(|authority| authority.as_str()).or_else(host);
    let host = authority.and_then(|authority| authority.rsplit('@').next()).filter(|host| !host.is_empty());
    let missing = || YSweetRefusal::new(StatusCode::BAD_REQUEST, "the request has no header `Host`");
    let path = head.uri().path();
    let prefix = path.find("/doc/").map_or("", |at| path[..at].trim_end_matches('/'));
    Ok(format!("{}{prefix}", host.ok_or_else(missing)?))
}

impl ClientAddress {
    /// The address of WebSockets, to which clients append the id of their document.
    pub(super) fn websocket(&self) -> String {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        format!("{scheme}://{}/yjs{}", self.place, self.query)
    }

    /// The address of the document over HTTP.
    pub(super) fn http(&self, id: &DocumentId) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}/d/{}", self.place, id.as_str())
    }
}
