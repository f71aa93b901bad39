//! The WebSocket handshake: the checks that all protocols have in common, in their documented order, then a session
//! (docs/protocol/websocket.md#handshake-checks).
//!
//! A refusal is answered after a pause, so that clients that retry at once do so less often. The number of pauses is
//! bounded and shared between addresses, because each holds a socket; beyond it refusals are answered at once. No other
//! request waits for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hub::{Dialect, MemoryKind, Payer};
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug};

use super::caller::Caller;
use super::request_deadline::RequestDeadline;
use super::sockets::SocketPermits;
use super::tls::ServerTlsStream;
use super::upgrade;
use super::websocket::{Connection, ConnectionConfig, Readable};
use crate::addresses::Addresses;
use crate::node::{Authenticated, AuthenticationError};
use crate::permit::Permit;
use crate::sessions::{
    Admission, ClientContext, HandshakeError, KeptClaims, KeptHeaders, Protocol, Services, Session,
};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::Answered;
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::telemetry::traces::{SpanName, TENANT, TraceSpan};
use crate::tenants::Tenant;
use crate::workers::in_time_slices;

/// Turns requests into sessions.
pub(super) struct Handshake {
    services: Arc<Services>,
    /// The configuration of the newest connections, shared by all that began under the same settings.
    config: Mutex<Arc<ConnectionConfig>>,
    /// Refusals that are waiting for their answer.
    pauses: Addresses,
    /// WebSockets.
    addresses: Addresses,
}

/// What a WebSocket is counted by until it ends: among the sockets of the server and in their buffers, and among the WebSockets of the server, of
/// its tenant, and of its address if limits per address apply to it.
type ConnectionPermits = (SocketPermits, WebSocketPermits);

/// The permits of a WebSocket, without that of its socket.
type WebSocketPermits = (Permit, Permit, Option<Permit>);

const SERVER_FULL: HandshakeError =
    HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, Code::ServerConnectionLimitReached);
const MEMORY_FULL: HandshakeError =
    HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, Code::ConnectionMemoryLimitReached);
const ADDRESS_FULL: HandshakeError =
    HandshakeError::of(StatusCode::TOO_MANY_REQUESTS, Code::AddressConnectionLimitReached);

/// A refused handshake, with the tenant it was meant for, if there is such a tenant.
struct Refused {
    tenant: Option<Arc<Tenant>>,
    error: HandshakeError,
}

impl Handshake {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let config = Mutex::new(Arc::new(ConnectionConfig::of(&services.node.settings())));
        Self { services, config, pauses: Addresses::default(), addresses: Addresses::default() }
    }

    /// Answers a GET for a WebSocket of `protocol`.
    pub(super) async fn answer(
        &self,
        protocol: &Arc<dyn Protocol>,
        request: Request<()>,
        caller: Arc<Caller>,
        context: Arc<RequestContext>,
    ) -> Response<Bytes> {
        let dialect = match protocol.dialect(request.headers(), request.uri()) {
            Ok(dialect) => dialect,
            Err(error) => {
                Span::current().record(ERROR_CODE, error.code.name());
                return protocol.refusal(&error);
            }
        };
        let mut span = self.services.node.traces.below(context.trace(), SpanName::Handshake);
        let started = Instant::now();
        let admitted = self.admit(&**protocol, &request, &caller).await;
        let outcome = if admitted.is_ok() { Answered::Ok } else { Answered::Error };
        self.services.node.metrics.common.note_handshake(outcome, dialect, started.elapsed());
        note(&mut span, &admitted);
        // A refusal may wait before it is answered.
        drop(span);
        match admitted {
            Ok((admission, permits)) => {
                let client = (dialect, admission, context);
                // Taken when the response is decided: a socket that is refused waits for its next request.
                let permits = || Some((caller.socket.upgrade()?, permits));
                self.upgrade(Arc::clone(protocol), request, client, permits)
            }
            Err(refused) => self.refuse(&**protocol, refused, caller.network).await,
        }
    }

    /// The checks of docs/protocol/websocket.md#handshake-checks, in their order. Nothing is held while the token waits for
    /// its key: the permits are acquired once it is verified.
    async fn admit(
        &self,
        protocol: &dyn Protocol,
        request: &Request<()>,
        caller: &Caller,
    ) -> Result<(Admission, WebSocketPermits), Refused> {
        self.check_room(caller.network).map_err(|error| Refused { tenant: None, error })?;
        let (headers, uri) = (request.headers(), request.uri());
        let authenticated =
            self.services.node.authenticate((headers, uri), protocol.token(headers, uri), caller.address);
        let Authenticated { tenant, policy, claims } = authenticated
            .await
            .map_err(|refused| Refused { tenant: refused.tenant, error: authentication(&refused.error) })?;
        let accepted = self.acquire(&tenant, caller).and_then(|permits| {
            let claims = KeptClaims::of_handshake(claims, &policy, &tenant.memory).ok_or(MEMORY_FULL)?;
            let headers = KeptHeaders::of(headers, &policy, &tenant.memory).ok_or(MEMORY_FULL)?;
            Ok((claims, headers, permits))
        });
        match accepted {
            Ok((claims, headers, permits)) => {
                Ok((Admission { generation: policy.generation, tenant, claims, headers }, permits))
            }
            Err(error) => Err(Refused { tenant: Some(tenant), error }),
        }
    }

    /// Refuses at once what would be refused in the end.
    fn check_room(&self, network: Option<IpAddr>) -> Result<(), HandshakeError> {
        let node = &self.services.node;
        if !node.has_room_for_connection() {
            return Err(SERVER_FULL);
        }
        let max = node.settings().server.max_connections_per_address;
        let has_room = network.is_none_or(|network| self.addresses.has_room(network, max));
        if has_room { Ok(()) } else { Err(ADDRESS_FULL) }
    }

    /// The permits of a WebSocket whose token is verified: of the server, of its address, and of its tenant.
    fn acquire(&self, tenant: &Tenant, caller: &Caller) -> Result<WebSocketPermits, HandshakeError> {
        let node = &self.services.node;
        let connection = node.acquire_connection().ok_or(SERVER_FULL)?;
        let max = node.settings().server.max_connections_per_address;
        let of_address = match caller.network {
            Some(network) => Some(self.addresses.acquire(network, max).ok_or(ADDRESS_FULL)?),
            None => None,
        };
        let limited = |code| HandshakeError::of(StatusCode::TOO_MANY_REQUESTS, code);
        let (max, share) = (tenant.allowance.max_connections(), node.max_connections_of_tenant());
        let of_tenant = tenant.connections.acquire(max.min(share)).ok_or_else(|| {
            let is_own = max <= share;
            limited(if is_own {
                Code::TenantConnectionLimitReached
            } else {
                Code::TenantConnectionShareReached
            })
        })?;
        if !tenant.has_room() {
            return Err(limited(Code::ConnectionRateLimitReached));
        }
        if !caller.socket.fits(&tenant.memory) {
            tenant.memory.count_refusal(MemoryKind::Connections);
            return Err(MEMORY_FULL);
        }
        // Checked, not counted: the join is counted.
        if !tenant.allowance.joins.has_any(Instant::now()) {
            return Err(limited(Code::JoinsRateLimitReached));
        }
        Ok((connection, of_tenant, of_address))
    }

    async fn refuse(
        &self,
        protocol: &dyn Protocol,
        refused: Refused,
        network: Option<IpAddr>,
    ) -> Response<Bytes> {
        let Refused { tenant, error } = refused;
        let node = &self.services.node;
        // Not labelled with an unknown name from the request: clients would choose the labels of our metrics.
        let reports = tenant.as_ref().map_or(&node.reports, |tenant| &tenant.reports);
        reports.record(error.code.at(Scope::Handshake), &error.text);
        match error.code {
            Code::ServerConnectionLimitReached => node.metrics.node.connections_refused.increment(1),
            Code::AddressConnectionLimitReached => {
                node.metrics.node.connections_refused_by_address.increment(1);
            }
            _ => {}
        }
        if is_answered_at_once(error.code) {
            return protocol.refusal(&error);
        }
        let (pause, max) = {
            let server = &node.settings().server;
            (server.connect_error_backoff, server.max_pending_refusals.get())
        };
        if let Some(_pause) = self.pauses.acquire_share(network, max) {
            tokio::time::sleep(pause).await;
        }
        protocol.refusal(&error)
    }

    fn upgrade(
        &self,
        protocol: Arc<dyn Protocol>,
        mut request: Request<()>,
        client: (Dialect, Admission, Arc<RequestContext>),
        permits: impl FnOnce() -> Option<ConnectionPermits>,
    ) -> Response<Bytes> {
        let mut response = match upgrade::response(&request, protocol.subprotocol()) {
            Ok(response) => response,
            Err(refused) => {
                Span::current().record(ERROR_CODE, Code::NotAWebSocketHandshake.name());
                return *refused;
            }
        };
        client.1.tenant.reports.attribute(&mut response);
        let upgrade = hyper::upgrade::on(&mut request);
        let (services, config) = (Arc::clone(&self.services), self.config());
        // `None` if the socket was closed for another one meanwhile.
        let Some(permits) = permits() else { return response };
        let payer = Arc::new(Payer::new(client.1.tenant.memory.party()));
        self.services.tasks.spawn(in_time_slices(payer, async move {
            let Ok(upgraded) = upgrade.await else { return };
            let (dialect, admission, context) = client;
            let client = ClientContext::new(&services, dialect, admission, Arc::clone(&context));
            let session = protocol.session(Arc::clone(&services), client);
            let tasks = &services.tasks;
            // Each kind of stream has a connection of its own: what TLS needs costs the others nothing.
            let upgraded = match upgraded.downcast::<TokioIo<RequestDeadline<TcpStream>>>() {
                Ok(parts) => return serve(parts, session, config, (permits, context), tasks),
                Err(upgraded) => upgraded,
            };
            if let Ok(parts) = upgraded.downcast::<TokioIo<RequestDeadline<ServerTlsStream>>>() {
                serve(parts, session, config, (permits, context), tasks);
            }
        }));
        response
    }

    /// The configuration of connections that begin now. A changed setting applies to new connections.
    fn config(&self) -> Arc<ConnectionConfig> {
        let current = ConnectionConfig::of(&self.services.node.settings());
        let mut shared = self.config.lock();
        if **shared != current {
            *shared = Arc::new(current);
        }
        Arc::clone(&shared)
    }
}

/// Notes the outcome of the checks.
fn note(span: &mut TraceSpan, admitted: &Result<(Admission, WebSocketPermits), Refused>) {
    let tenant = match admitted {
        Ok((admission, _)) => Some(&admission.tenant),
        Err(Refused { tenant, error }) => {
            span.fail(error.code.name());
            tenant.as_ref()
        }
    };
    if let Some(tenant) = tenant {
        span.note(TENANT, &tenant.id);
    }
}

/// What a caller is answered who is not authenticated.
fn authentication(error: &AuthenticationError) -> HandshakeError {
    match error {
        AuthenticationError::TooManyFromAddress => {
            HandshakeError::of(StatusCode::TOO_MANY_REQUESTS, Code::AddressRateLimitReached)
        }
        AuthenticationError::UnknownTenant => HandshakeError::of(StatusCode::NOT_FOUND, Code::TenantNotFound),
        AuthenticationError::TenantUnavailable(_) => {
            HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, Code::TenantLookupFailed)
        }
        AuthenticationError::Suspended => {
            let (status, code) = (StatusCode::FORBIDDEN, Code::RealtimeDisabledForTenant);
            HandshakeError { status, code, text: "Realtime was disabled for this tenant".into() }
        }
        AuthenticationError::Token(error) => {
            let (code, text) = (error.handshake_code(), error.handshake_text().into());
            HandshakeError { status: StatusCode::UNAUTHORIZED, code, text }
        }
        AuthenticationError::TooManyWaiting(error) => {
            HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, error.code())
        }
    }
}

/// Whether a refusal has no pause, because there are too many callers already: a pause would hold a socket of each.
fn is_answered_at_once(code: Code) -> bool {
    matches!(
        code,
        Code::ServerConnectionLimitReached
            | Code::AddressRateLimitReached
            | Code::JwksWaitLimitReached
            | Code::ServerJwksWaitLimitReached
            | Code::ConnectionMemoryLimitReached
    )
}

/// Starts the connection on what hyper leaves, its read buffer included.
fn serve<S>(
    parts: Parts<TokioIo<RequestDeadline<S>>>,
    session: Box<dyn Session>,
    config: Arc<ConnectionConfig>,
    held: (ConnectionPermits, Arc<RequestContext>),
    tasks: &TaskTracker,
) where
    S: AsyncRead + AsyncWrite + Readable + Send + Unpin + 'static,
{
    let charge = session.outbox().memory().charge(MemoryKind::Connections, S::CONNECTION_BYTES);
    let (stream, held_back) = parts.io.into_inner().into_inner();
    let received = [&parts.read_buf[..], &held_back].concat();
    let connection = Connection::new(stream, &received, session, config);
    // A task of its own, of just the connection's size: the task of the upgrade is larger by hyper's state.
    tasks.spawn(async move {
        let (permits, context) = held;
        connection.await;
        debug!(parent: &context.span(), "The WebSocket has ended");
        drop((permits, charge));
    });
}
