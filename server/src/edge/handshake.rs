//! The WebSocket handshake: the checks that all protocols have in common, in their documented order, then a session
//! (docs/protocol/websocket.md#handshake-checks).
//!
//! A refusal is answered after a pause, so that clients that retry at once do so less often. The number of pauses is
//! bounded; beyond it refusals are answered at once. No other request waits for them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hub::Dialect;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug};

use super::caller::Caller;
use super::request_deadline::RequestDeadline;
use super::tls::ServerTlsStream;
use super::upgrade;
use super::websocket::{Connection, ConnectionConfig, Readable};
use crate::addresses::Addresses;
use crate::auth::TokenError;
use crate::permit::{Permit, Permits};
use crate::sessions::{Admission, ClientContext, HandshakeError, Protocol, Services, Session};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::tenants::{Tenant, TenantStatus};

/// Turns requests into sessions.
pub(super) struct Handshake {
    services: Arc<Services>,
    /// The configuration of the newest connections, shared by all that began under the same settings.
    config: Mutex<Arc<ConnectionConfig>>,
    /// Refusals that are waiting for their answer.
    pauses: Permits,
    addresses: Addresses,
}

/// What a WebSocket is counted by until it ends: among the WebSockets of the server, of its tenant and of its
/// address; the caller holds the permit of its socket.
type ConnectionPermits = (Permit, Permit, Permit, Arc<Caller>);

/// A refused handshake, with the tenant it was meant for, if there is such a tenant.
struct Refused {
    tenant: Option<Arc<Tenant>>,
    error: HandshakeError,
}

impl Handshake {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let config = Mutex::new(Arc::new(ConnectionConfig::of(&services.node.settings())));
        Self { services, config, pauses: Permits::default(), addresses: Addresses::default() }
    }

    /// Answers a GET for a WebSocket of `protocol`.
    pub(super) async fn answer(
        &self,
        protocol: &Arc<dyn Protocol>,
        request: Request<()>,
        caller: Arc<Caller>,
        context: Arc<RequestContext>,
    ) -> Response<Bytes> {
        let node = &self.services.node;
        let dialect = match protocol.dialect(request.headers(), request.uri()) {
            Ok(dialect) => dialect,
            Err(error) => {
                Span::current().record(ERROR_CODE, error.code.name());
                return protocol.refusal(&error);
            }
        };
        let Some(connection) = node.acquire_connection() else {
            node.metrics.node.connections_refused.increment(1);
            let code = Code::ServerConnectionLimitReached;
            node.reports.record(code.at(Scope::Handshake), code.text());
            return protocol.refusal(&HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, code));
        };
        let max = node.settings().server.max_connections_per_address;
        let Some(of_address) = self.addresses.acquire(caller.address, max) else {
            drop(connection);
            node.metrics.node.connections_refused_by_address.increment(1);
            let (status, code) = (StatusCode::TOO_MANY_REQUESTS, Code::AddressConnectionLimitReached);
            let refused = Refused { tenant: None, error: HandshakeError::of(status, code) };
            return self.refuse(&**protocol, refused).await;
        };
        match self.admit(&**protocol, &request).await {
            Ok((admission, of_tenant)) => {
                let permits = (connection, of_tenant, of_address, caller);
                self.upgrade(Arc::clone(protocol), request, (dialect, admission, context), permits)
            }
            Err(refused) => {
                // Not held while the refusal waits: another client may use them.
                drop((connection, of_address));
                self.refuse(&**protocol, refused).await
            }
        }
    }

    /// The checks of docs/protocol/websocket.md#handshake-checks, in their order.
    async fn admit(
        &self,
        protocol: &dyn Protocol,
        request: &Request<()>,
    ) -> Result<(Admission, Permit), Refused> {
        let unknown = HandshakeError::of(StatusCode::NOT_FOUND, Code::TenantNotFound);
        let Some(tenant) = self.services.node.tenant_for_request(request.headers(), request.uri()).await
        else {
            return Err(Refused { tenant: None, error: unknown });
        };
        let policy = tenant.policy();
        let refused = |error| Err(Refused { tenant: Some(Arc::clone(&tenant)), error });
        match policy.status {
            TenantStatus::Open => {}
            TenantStatus::Suspended => {
                let (status, code) = (StatusCode::FORBIDDEN, Code::RealtimeDisabledForTenant);
                let text = "Realtime was disabled for this tenant".into();
                return refused(HandshakeError { status, code, text });
            }
            TenantStatus::Removed => return refused(unknown),
        }
        let verified = match protocol.token(request.headers(), request.uri()) {
            Some(token) => policy.verifier.verify_fetching(&token, SystemTime::now()).await,
            None => Err(TokenError::Missing),
        };
        let claims = match verified {
            Ok(claims) => claims,
            Err(error) => {
                let (code, text) = (error.handshake_code(), error.handshake_text().into());
                return refused(HandshakeError { status: StatusCode::UNAUTHORIZED, code, text });
            }
        };
        let limited = |code| refused(HandshakeError::of(StatusCode::TOO_MANY_REQUESTS, code));
        let permit = tenant.connections.acquire(tenant.allowance.max_connections());
        let Some(permit) = permit.filter(|_| tenant.has_room()) else {
            return limited(Code::ConnectionRateLimitReached);
        };
        // Checked, not counted: the join is counted.
        if !tenant.allowance.joins.has_any(Instant::now()) {
            return limited(Code::JoinsRateLimitReached);
        }
        Ok((Admission { generation: policy.generation, tenant, claims }, permit))
    }

    async fn refuse(&self, protocol: &dyn Protocol, refused: Refused) -> Response<Bytes> {
        let Refused { tenant, error } = refused;
        let node = &self.services.node;
        // Not labelled with an unknown name from the request: clients would choose the labels of our metrics.
        let reports = tenant.as_ref().map_or(&node.reports, |tenant| &tenant.reports);
        reports.record(error.code.at(Scope::Handshake), &error.text);
        let (pause, max) = {
            let server = &node.settings().server;
            (server.connect_error_backoff, server.max_pending_refusals.get())
        };
        if let Some(_pause) = self.pauses.acquire(max) {
            tokio::time::sleep(pause).await;
        }
        protocol.refusal(&error)
    }

    fn upgrade(
        &self,
        protocol: Arc<dyn Protocol>,
        mut request: Request<()>,
        client: (Dialect, Admission, Arc<RequestContext>),
        permits: ConnectionPermits,
    ) -> Response<Bytes> {
        let response = match upgrade::response(&request, protocol.subprotocol()) {
            Ok(response) => response,
            Err(refused) => {
                Span::current().record(ERROR_CODE, Code::NotAWebSocketHandshake.name());
                return *refused;
            }
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (services, config) = (Arc::clone(&self.services), self.config());
        self.services.tasks.spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let (dialect, admission, context) = client;
            let client = ClientContext::new(&services, dialect, admission, Arc::clone(&context));
            let session = protocol.session(Arc::clone(&services), client);
            let tasks = &services.tasks;
            // Each kind of stream has a connection of its own: what TLS needs costs the others nothing.
            let upgraded = match upgraded.downcast::<TokioIo<RequestDeadline<TcpStream>>>() {
                Ok(parts) => return serve(parts, session, config, (permits, context), tasks).await,
                Err(upgraded) => upgraded,
            };
            if let Ok(parts) = upgraded.downcast::<TokioIo<RequestDeadline<ServerTlsStream>>>() {
                serve(parts, session, config, (permits, context), tasks).await;
            }
        });
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

/// Starts the connection on what hyper leaves, its read buffer included.
async fn serve<S>(
    parts: Parts<TokioIo<RequestDeadline<S>>>,
    session: Box<dyn Session>,
    config: Arc<ConnectionConfig>,
    held: (ConnectionPermits, Arc<RequestContext>),
    tasks: &TaskTracker,
) where
    S: AsyncRead + AsyncWrite + Readable + Send + Unpin + 'static,
{
    let connection =
        Connection::new(parts.io.into_inner().into_inner(), &parts.read_buf, session, config).await;
    // A task of its own, of just the connection's size: the task of the upgrade is larger by hyper's state.
    tasks.spawn(async move {
        let (permits, context) = held;
        connection.await;
        debug!(parent: &context.span(), "The WebSocket has ended");
        drop(permits);
    });
}
