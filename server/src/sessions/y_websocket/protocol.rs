//! The handshake of y-websocket and y-sweet clients (docs/protocol/documents.md#y-websocket).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::Dialect;
use serde_json::json;

use super::YWebsocketSession;
use crate::auth::{Credentials, RoomClaims, confirmed_subprotocol};
use crate::documents::Y_WEBSOCKET;
use crate::response;
use crate::routes::schema::{named, object};
use crate::routes::{Description, LastParameter, Operation};
use crate::sessions::document_client::DocumentAddress;
use crate::sessions::{
    ClientContext, HandshakeError, KeptClaims, Protocol, RequestTarget, Services, Session, Unauthenticated,
};

/// The protocol of y-websocket: the document is in the path.
#[derive(Debug)]
pub struct YWebsocketProtocol;

impl Protocol for YWebsocketProtocol {
    type Claims = RoomClaims;

    fn paths(&self) -> &'static [&'static str] {
        &["/yjs/{document}"]
    }

    fn last_parameter(&self) -> LastParameter {
        LastParameter::Rest
    }

    fn operation(&self) -> Operation {
        Operation {
            id: "openDocument",
            summary: "Opens a WebSocket of the y-websocket protocol for one document.",
        }
    }

    fn description(&self) -> Description {
        let document = json!({"type": "string", "minLength": 1});
        let schema = || named("Refusal", object(json!({"error": {"type": "string"}})));
        Description::new("documents")
            .parameter("path", "document", "`<room>` or `<room>/<document>`.", document)
            .parameter("query", "token", "The token of the user.", json!({"type": "string"}))
            .tenant_selection()
            .json(StatusCode::TOO_MANY_REQUESTS, "The address or the tenant is over a limit.", schema())
            .json(StatusCode::SERVICE_UNAVAILABLE, "The server is over a limit.", schema())
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        HeaderValue::from_str(confirmed_subprotocol(headers)?).ok()
    }

    fn dialect(&self, _: &HeaderMap, _: &Uri) -> Result<Dialect, HandshakeError> {
        Ok(Y_WEBSOCKET)
    }

    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        Credentials::for_rooms(headers, uri)
    }

    fn refusal(&self, error: &HandshakeError) -> Response<Bytes> {
        response::json(error.status, &json!({ "error": error.text }))
    }

    fn unauthenticated(&self) -> Unauthenticated {
        // A browser does not say why a handshake was refused, so that its client would try again for ever.
        Unauthenticated::Closed
    }

    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims<RoomClaims>>,
        target: &RequestTarget,
    ) -> Box<dyn Session> {
        let address = target.parameters.get("document").and_then(DocumentAddress::decode);
        Box::new(YWebsocketSession::new(services, client, claims, address))
    }
}
