//! The WebSocket handshake: the documented checks in their order, then a session (§1).
//!
//! A refusal waits a little before it is said, so that clients that retry at once do so less often. Only
//! so many wait; the others are answered at once. Nobody else waits for them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hub::Dialect;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug};
use wire::phoenix;

use super::caller::{AddressPlace, Addresses, Caller};
use super::websocket::{Connection, Patience};
use crate::answer;
use crate::auth::{Claims, TokenError};
use crate::node::{Node, Place};
use crate::sessions::phoenix::Phoenix;
use crate::telemetry::origin::Origin;
use crate::tenants::Tenant;

/// Turns requests into sessions.
pub(super) struct Handshake {
    node: Arc<Node>,
    tasks: TaskTracker,
    patience: Arc<Patience>,
    /// Refusals that may wait at once.
    pauses: Semaphore,
    addresses: Addresses,
}

/// What a WebSocket keeps of its handshake.
struct Guest {
    origin: Arc<Origin>,
    /// Its places: among the WebSockets, among those of its address, among the sockets.
    places: (Place, AddressPlace, Arc<Caller>),
}

/// Why a handshake is refused.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    text: String,
}

impl Handshake {
    pub(super) fn new(node: Arc<Node>, tasks: TaskTracker) -> Self {
        let settings = node.settings();
        let (server, outbox) = (&settings.server, &settings.outbox);
        let bytes = |size: settings::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        let patience = Arc::new(Patience {
            ping_interval: server.ping_interval,
            idle_timeout: server.idle_timeout,
            stall_timeout: outbox.stall_timeout,
            close_timeout: server.close_timeout,
            max_message_size: bytes(server.max_frame_size),
            read_buffer_size: bytes(server.read_buffer_size),
        });
        let pauses = Semaphore::new(server.max_pending_refusals.get().min(Semaphore::MAX_PERMITS));
        drop(settings);
        Self { node, tasks, patience, pauses, addresses: Addresses::default() }
    }

    /// Answers a GET for the WebSocket.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Arc<Caller>,
        origin: Arc<Origin>,
    ) -> Response<Bytes> {
        let query = Query::of(request.uri().query().unwrap_or_default());
        let Some(dialect) = phoenix::protocol(query.vsn.as_deref()) else {
            return answer::empty(StatusCode::FORBIDDEN);
        };
        let header =
            request.headers().get("x-api-key").map(|value| String::from_utf8_lossy(value.as_bytes()));
        let token = header.as_deref().or(query.api_key.as_deref());
        let tenant = &self.node.default_tenant;
        let Some(seat) = self.node.take_connection() else {
            self.node.metrics.node.connections_refused.increment(1);
            return answer::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "error": "Too many connections" }),
            );
        };
        let bound = self.node.settings().server.max_connections_per_address;
        let Some(place) = self.addresses.take(caller.address, bound) else {
            drop(seat);
            self.node.metrics.node.connections_refused_by_address.increment(1);
            let (status, code) = (StatusCode::TOO_MANY_REQUESTS, "AddressConnectionLimitReached");
            let text = "Too many connections from this address".into();
            return self.refuse(tenant, Refusal { status, code, text }).await;
        };
        match self.admit(tenant, token).await {
            Ok(claims) => {
                let guest = Guest { origin, places: (seat, place, caller) };
                self.upgrade(request, dialect, claims, guest)
            }
            Err(refusal) => {
                // Not kept while the refusal waits: someone else may come in.
                drop((seat, place));
                self.refuse(tenant, refusal).await
            }
        }
    }

    /// The checks of §1.4, in their order.
    async fn admit(&self, tenant: &Tenant, token: Option<&str>) -> Result<Claims, Refusal> {
        let unbelieved = |error: TokenError| Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: error.code(),
            text: error.handshake_text(),
        };
        let token = token.ok_or_else(|| unbelieved(TokenError::Missing))?;
        let claims = tenant.verifier.verify_fetching(token, SystemTime::now()).await.map_err(unbelieved)?;
        let too_many =
            |code, text: &str| Refusal { status: StatusCode::TOO_MANY_REQUESTS, code, text: text.into() };
        if tenant.users() >= tenant.allowance.max_concurrent_users {
            return Err(too_many("ConnectionRateLimitReached", "Too many connected users"));
        }
        // Looked at, not counted: the join will be.
        if !tenant.allowance.joins.has_any(Instant::now()) {
            return Err(too_many("JoinsRateLimitReached", "Too many joins per second"));
        }
        Ok(claims)
    }

    async fn refuse(&self, tenant: &Tenant, refusal: Refusal) -> Response<Bytes> {
        let Refusal { status, code, text } = refusal;
        self.node.metrics.count_error(&tenant.id, code);
        Span::current().record("error_code", code);
        debug!(tenant = %tenant.id, "Refused a handshake: {text}");
        if let Ok(_pause) = self.pauses.try_acquire() {
            let pause = self.node.settings().server.connect_error_backoff;
            tokio::time::sleep(pause).await;
        }
        answer::json(status, &json!({ "error": text }))
    }

    fn upgrade(
        &self,
        mut request: Request<Incoming>,
        dialect: Dialect,
        claims: Claims,
        guest: Guest,
    ) -> Response<Bytes> {
        let response = match create_response_with_body(&request, Bytes::new) {
            Ok(response) => response,
            Err(why) => {
                let mut response = Response::new(Bytes::from(format!("not a WebSocket handshake: {why}\n")));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                return response;
            }
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (node, tasks) = (Arc::clone(&self.node), self.tasks.clone());
        let patience = Arc::clone(&self.patience);
        self.tasks.spawn(async move {
            let Some((stream, early)) = upgraded(upgrade).await else { return };
            let tenant = Arc::clone(&node.default_tenant);
            let session = Phoenix::new(node, tenant, dialect, claims, Arc::clone(&guest.origin));
            let connection = Connection::new(stream, &early, session, patience).await;
            // A task of its own, of just the connection's size: this one carries hyper's upgrade along.
            tasks.spawn(async move {
                connection.await;
                debug!(parent: &guest.origin.span(), "The WebSocket has ended");
                drop(guest.places);
            });
        });
        response
    }
}

/// The socket and what was read from it beyond the handshake.
async fn upgraded(upgrade: OnUpgrade) -> Option<(TcpStream, Bytes)> {
    let upgraded = upgrade.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().ok()?;
    Some((parts.io.into_inner(), parts.read_buf))
}

/// What of the query matters (§1.2); everything else is ignored.
#[derive(Default)]
struct Query {
    api_key: Option<String>,
    vsn: Option<String>,
}

impl Query {
    fn of(query: &str) -> Self {
        let mut found = Self::default();
        for (name, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let value = || Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
            match name {
                "apikey" => found.api_key = value(),
                "vsn" => found.vsn = value(),
                _ => {}
            }
        }
        found
    }
}
