//! The handshake of Hocuspocus clients, which need no token for it (docs/protocol/documents.md#hocuspocus).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::Dialect;
use serde_json::json;

use super::HocuspocusSession;
use crate::auth::{Credentials, RoomClaims, confirmed_subprotocol};
use crate::documents::HOCUSPOCUS;
use crate::response;
use crate::routes::schema::{named, object};
use crate::routes::{Description, Operation};
use crate::sessions::{
    ClientContext, HandshakeError, KeptClaims, Protocol, RequestTarget, Services, Session, Unauthenticated,
};

/// The protocol of Hocuspocus: documents and tokens are in the messages.
#[derive(Debug)]
pub struct HocuspocusProtocol;

impl Protocol for HocuspocusProtocol {
    type Claims = RoomClaims;

    fn paths(&self) -> &'static [&'static str] {
        &["/hocuspocus"]
    }

    fn operation(&self) -> Operation {
        Operation {
            id: "openDocuments",
            summary: "Opens a WebSocket of the Hocuspocus protocol, version 2 to 4.",
        }
    }

    fn description(&self) -> Description {
        let schema = || named("Refusal", object(json!({"error": {"type": "string"}})));
        Description::new("documents")
            .tenant_selection()
            .json(StatusCode::TOO_MANY_REQUESTS, "The address or the tenant is over a limit.", schema())
            .json(StatusCode::SERVICE_UNAVAILABLE, "The server is over a limit.", schema())
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        HeaderValue::from_str(confirmed_subprotocol(headers)?).ok()
    }

    fn dialect(&self, _: &HeaderMap, _: &Uri) -> Result<Dialect, HandshakeError> {
        Ok(HOCUSPOCUS)
    }

    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        Credentials::for_rooms(headers, uri)
    }

    fn refusal(&self, error: &HandshakeError) -> Response<Bytes> {
        response::json(error.status, &json!({ "error": error.text }))
    }

    fn unauthenticated(&self) -> Unauthenticated {
        Unauthenticated::Accepted(|services, client, _missing, _target| {
            Box::new(HocuspocusSession::new(services, client, None))
        })
    }

    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims<RoomClaims>>,
        _target: &RequestTarget,
    ) -> Box<dyn Session> {
        Box::new(HocuspocusSession::new(services, client, Some(claims)))
    }
}
