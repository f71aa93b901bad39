//! A protocol as those of documents are: the rest of the path is a name, tokens have no role, and a browser is never refused by
//! a response. A session answers with lines: first what it was opened with, then to `token <jwt>` whose token it is.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::{Dialect, Disconnect, Frame, Outbox};
use realtime_server::auth::{Credentials, RoomClaims, TokenError, confirmed_subprotocol};
use realtime_server::close_reason::CloseReason;
use realtime_server::response;
use realtime_server::routes::{Answer, Description, LastParameter, Operation};
use realtime_server::sessions::{
    ClientContext, HandshakeError, KeptClaims, MessageHead, Protocol, RequestTarget, Services, Session,
    Unauthenticated,
};
use realtime_server::workers::Offload;
use serde_json::json;
use wire::phoenix::V2;
use wire::websocket::FrameBuilder;

/// Clients connect at `/documents/<name>`.
pub(super) struct DocumentsProtocol {
    pub(super) unauthenticated: Unauthenticated,
}

impl Protocol for DocumentsProtocol {
    type Claims = RoomClaims;

    fn paths(&self) -> &'static [&'static str] {
        &["/documents/{document}"]
    }

    fn last_parameter(&self) -> LastParameter {
        LastParameter::Rest
    }

    fn operation(&self) -> Operation {
        Operation { id: "openLines", summary: "Opens a WebSocket of a document." }
    }

    fn description(&self) -> Description {
        let text = |status| Answer::text(status, "Refused.");
        let refusals = [401, 403, 404, 429, 503].map(StatusCode::from_u16);
        let description = Description::new("documents").parameter(
            "path",
            "document",
            "The document.",
            json!({"type": "string"}),
        );
        refusals.into_iter().flatten().map(text).fold(description, Description::answer)
    }

    fn subprotocol(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        HeaderValue::from_str(confirmed_subprotocol(headers)?).ok()
    }

    fn dialect(&self, _: &HeaderMap, _: &Uri) -> Result<Dialect, HandshakeError> {
        Ok(V2)
    }

    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        Credentials::for_rooms(headers, uri)
    }

    fn refusal(&self, error: &HandshakeError) -> Response<Bytes> {
        response::page(error.status, "text/plain", error.text.clone().into_owned())
    }

    fn unauthenticated(&self) -> Unauthenticated {
        self.unauthenticated
    }

    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims<RoomClaims>>,
        target: &RequestTarget,
    ) -> Box<dyn Session> {
        begin(services, client, target, &format!("as {}", claims.sub))
    }
}

/// A session without claims.
pub(super) fn begin_without_claims(
    services: Arc<Services>,
    client: ClientContext,
    error: TokenError,
    target: &RequestTarget,
) -> Box<dyn Session> {
    begin(services, client, target, &format!("without claims: {error}"))
}

fn begin(
    services: Arc<Services>,
    client: ClientContext,
    target: &RequestTarget,
    who: &str,
) -> Box<dyn Session> {
    let document = target.parameters.get("document").expect("the path has it");
    client.outbox.reply(&line(&format!("{document} {who}")));
    Box::new(DocumentsSession { services, client })
}

struct DocumentsSession {
    services: Arc<Services>,
    client: ClientContext,
}

impl Session for DocumentsSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.client.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &self.services.node.offload
    }

    fn text(&mut self, message: &str) {
        let Some(token) = message.strip_prefix("token ").map(str::to_owned) else { return };
        let node = Arc::clone(&self.services.node);
        let (tenant, outbox) = (Arc::clone(&self.client.tenant), Arc::clone(&self.client.outbox));
        let address = self.client.context.client_address();
        self.services.tasks.spawn(async move {
            let authenticated = node.authenticate_connected::<RoomClaims>(&tenant, &token, address).await;
            let answer = match authenticated {
                Ok(authenticated) => format!("token of {}", authenticated.claims.sub),
                Err(error) => format!("refused: {error}"),
            };
            outbox.reply(&line(&answer));
        });
    }

    fn binary(&mut self, _: &[u8]) {}

    fn skipped(&mut self, _: &MessageHead<'_>) {}

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        why.into()
    }

    fn flush(&mut self) {}

    fn close(&mut self) {}

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _: Instant) {}

    fn caught_up(&mut self) {}

    fn count(&self, _: u64, _: u64) {}
}

fn line(text: &str) -> Frame {
    let mut frame = FrameBuilder::text(text.len());
    frame.push_str(text);
    frame.finish()
}
