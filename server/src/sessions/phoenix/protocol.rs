//! The handshake of Phoenix clients (docs/protocol/websocket.md).

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::Dialect;
use serde_json::json;
use wire::phoenix;

use super::PhoenixSession;
use crate::auth::{Claims, Credentials, subprotocols};
use crate::query;
use crate::response;
use crate::routes::schema::{named, object};
use crate::routes::{Answer, Description, Operation};
use crate::sessions::{
    ClientContext, HandshakeError, KeptClaims, Protocol, RequestTarget, Services, Session,
};
use crate::telemetry::codes::Code;

/// The subprotocol that phoenix.js 1.8 offers beside its token.
const SUBPROTOCOL: &str = "phoenix";

/// The Phoenix channel protocol of supabase-js and the other Supabase clients.
#[derive(Debug)]
pub struct PhoenixProtocol;

impl Protocol for PhoenixProtocol {
    type Claims = Claims;

    fn paths(&self) -> &'static [&'static str] {
        // As the server has it, and as clients see it behind upstream's gateway.
        &["/socket/websocket", "/websocket"]
    }

    fn operation(&self) -> Operation {
        Operation { id: "openSocket", summary: "Opens a WebSocket of the Phoenix protocol, version 1 or 2." }
    }

    fn description(&self) -> Description {
        let refusals = [
            (StatusCode::UNAUTHORIZED, "The token is missing or not accepted."),
            (StatusCode::FORBIDDEN, "The tenant is suspended."),
            (StatusCode::NOT_FOUND, "There is no such tenant."),
            (StatusCode::TOO_MANY_REQUESTS, "The address or the tenant is over a limit."),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server is over a limit, or the tenant cannot be looked up.",
            ),
        ];
        let schema = || named("Refusal", object(json!({"error": {"type": "string"}})));
        let refused = |description: Description, (status, text)| description.json(status, text, schema());
        let version = json!({"type": "string", "enum": ["1.0.0", "2.0.0"]});
        let description = Description::new("websocket")
            .parameter("query", "vsn", "The version of the serializer; 1.0.0 without it.", version)
            .tenant_selection()
            .answer(Answer::text(StatusCode::FORBIDDEN, "There is no such version. The text is empty."));
        refusals.into_iter().fold(description, refused)
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        subprotocols(headers).find(|offered| *offered == SUBPROTOCOL)?;
        Some(HeaderValue::from_static(SUBPROTOCOL))
    }

    fn dialect(&self, _: &HeaderMap, uri: &Uri) -> Result<Dialect, HandshakeError> {
        let version = query::parameter(uri, "vsn");
        let refused = HandshakeError::of(StatusCode::FORBIDDEN, Code::UnsupportedProtocolVersion);
        phoenix::dialect_of_version(version.as_deref()).ok_or(refused)
    }

    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        Credentials::of(headers, uri).for_handshake()
    }

    fn refusal(&self, error: &HandshakeError) -> Response<Bytes> {
        match error.code {
            // As upstream, without a text. It has the type of one, so that it differs from other refusals with this status.
            Code::UnsupportedProtocolVersion => response::page(error.status, "text/plain; charset=utf-8", ""),
            _ => response::json(error.status, &json!({ "error": error.text })),
        }
    }

    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims>,
        _: &RequestTarget,
    ) -> Box<dyn Session> {
        Box::new(PhoenixSession::new(services, client, claims))
    }
}
