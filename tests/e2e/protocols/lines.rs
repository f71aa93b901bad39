//! A protocol of text lines: `join <topic>`, `send <JSON>`, `leave`. One room at a time.
//!
//! What the room sends is encoded as in Phoenix V2: events are encoded by crate `wire` for the dialects it knows, and
//! a dialect of a test is not among them. Everything else is its own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::{
    Audience, Bundle, Dialect, Disconnect, Frame, Group, Member, Membership, Outbox, Privacy, Receives,
    RoomKey, Space,
};
use realtime_server::auth::Claims;
use realtime_server::close_reason::CloseReason;
use realtime_server::routes::{Answer, Description, Operation};
use realtime_server::sessions::{
    ClientContext, HandshakeError, KeptClaims, MessageHead, Protocol, RequestTarget, Services, Session,
};
use realtime_server::telemetry::codes::Code;
use realtime_server::workers::Offload;
use realtime_server::{broadcast, query, response};
use wire::phoenix::V2;
use wire::supabase::Broadcast;
use wire::websocket::FrameBuilder;

/// Bytes from which a line is large: far more than what a worker parses itself.
pub(super) const LARGE_LINE: usize = 200_000;

/// Clients connect at `/lines?format=1&key=<token>`.
pub(super) struct LinesProtocol {
    /// Called when a session begins to handle a large line.
    pub(super) on_large_line: Arc<dyn Fn() + Send + Sync>,
}

impl Default for LinesProtocol {
    fn default() -> Self {
        Self { on_large_line: Arc::new(|| {}) }
    }
}

impl Protocol for LinesProtocol {
    type Claims = Claims;

    fn paths(&self) -> &'static [&'static str] {
        &["/lines"]
    }

    fn operation(&self) -> Operation {
        Operation { id: "openLines", summary: "Opens a WebSocket of text lines." }
    }

    fn description(&self) -> Description {
        let text = |status| Answer::text(status, "Refused.");
        let refusals = [400, 401, 403, 404, 429, 503].map(StatusCode::from_u16);
        refusals.into_iter().flatten().map(text).fold(Description::new("lines"), Description::answer)
    }

    fn subprotocol(&self, _: &HeaderMap) -> Option<HeaderValue> {
        None
    }

    fn dialect(&self, _: &HeaderMap, uri: &Uri) -> Result<Dialect, HandshakeError> {
        let refused = HandshakeError::of(StatusCode::BAD_REQUEST, Code::UnsupportedProtocolVersion);
        if query::parameter(uri, "format").as_deref() == Some("1") { Ok(V2) } else { Err(refused) }
    }

    fn token<'a>(&self, _: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>> {
        query::parameter(uri, "key")
    }

    fn refusal(&self, error: &HandshakeError) -> Response<Bytes> {
        response::page(error.status, "text/plain", format!("refused: {}", error.text))
    }

    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        _: Arc<KeptClaims>,
        _: &RequestTarget,
    ) -> Box<dyn Session> {
        let on_large_line = Arc::clone(&self.on_large_line);
        Box::new(LinesSession { services, client, membership: None, on_large_line })
    }
}

struct LinesSession {
    services: Arc<Services>,
    client: ClientContext,
    membership: Option<Membership>,
    on_large_line: Arc<dyn Fn() + Send + Sync>,
}

impl LinesSession {
    fn join(&mut self, topic: &str) {
        let key = RoomKey {
            tenant: Arc::clone(&self.client.tenant.id),
            space: Space::Phoenix,
            privacy: Privacy::Public,
            topic: topic.into(),
        };
        let (outbox, dialect) = (Arc::clone(&self.client.outbox), self.client.dialect);
        let member = Member { outbox, dialect, group: Group::DEFAULT, receives: Receives::Everything };
        let reply = line(&format!("joined {topic}"));
        self.membership = Some(self.services.node.hub.join(key, member, &reply));
    }

    fn send(&self, payload: &str) {
        let Some(membership) = &self.membership else { return };
        let (tenant, mut bundle) = (&self.client.tenant, Bundle::default());
        let event = Broadcast::Text { payload };
        broadcast::gather(tenant, membership, &event, Audience::Others, &mut bundle).expect("within limits");
        broadcast::send(tenant, membership, bundle, Audience::Others);
    }
}

impl Session for LinesSession {
    fn outbox(&self) -> &Arc<Outbox> {
        &self.client.outbox
    }

    fn offload(&self) -> &Arc<Offload> {
        &self.services.node.offload
    }

    fn text(&mut self, message: &str) {
        if message.len() >= LARGE_LINE {
            (self.on_large_line)();
        }
        match message.split_once(' ') {
            Some(("join", topic)) => self.join(topic),
            Some(("send", payload)) => self.send(payload),
            _ => {
                self.membership = None;
                self.client.outbox.reply(&line("left"));
            }
        }
    }

    fn binary(&mut self, _: &[u8]) {}

    fn skipped(&mut self, _: &MessageHead<'_>) {}

    fn broken(&mut self, why: CloseReason) -> Disconnect {
        why.into()
    }

    fn flush(&mut self) {}

    fn close(&mut self) {
        self.membership = None;
    }

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
