//! The WebSocket handshake: the documented checks in their order, then a session
//! (docs/protocol/websocket.md#handshake-checks).
//!
//! A refusal waits a little before it is said, so that clients that retry at once do so less often. Only
//! so many wait; the others are answered at once. Nobody else waits for them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hub::Dialect;
use hyper::body::Incoming;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug};
use wire::phoenix;

use super::caller::{Addresses, Caller};
use super::request_deadline::RequestDeadline;
use super::tls::Secure;
use super::upgrade;
use super::websocket::{Connection, ConnectionConfig, Readable};
use crate::auth::{Credentials, TokenError};
use crate::permit::{Permit, Permits};
use crate::query;
use crate::response;
use crate::sessions::Services;
use crate::sessions::phoenix::{Admitted, Phoenix};
use crate::telemetry::codes::{self, Code};
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::tenants::{Tenant, TenantStatus};

/// Turns requests into sessions.
pub(super) struct Handshake {
    services: Arc<Services>,
    /// That of the newest connections, shared by all that began under the same settings.
    config: Mutex<Arc<ConnectionConfig>>,
    /// Refusals that wait now.
    pauses: Permits,
    addresses: Addresses,
}

/// What a WebSocket keeps of its handshake.
struct Guest {
    origin: Arc<RequestContext>,
    /// Among the WebSockets of the server, of its tenant and of its address; the caller holds that of its socket.
    permits: (Permit, Permit, Permit, Arc<Caller>),
}

/// Why a handshake is refused.
struct HandshakeError {
    /// Whom it wanted to join, if there is such a tenant.
    tenant: Option<Arc<Tenant>>,
    status: StatusCode,
    code: Code,
    text: String,
}

impl HandshakeError {
    fn new(status: StatusCode, code: Code, text: &str) -> Self {
        Self { tenant: None, status, code, text: text.to_owned() }
    }
}

impl Handshake {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let config = Mutex::new(Arc::new(ConnectionConfig::by(&services.node.settings())));
        Self { services, config, pauses: Permits::default(), addresses: Addresses::default() }
    }

    /// Answers a GET for the WebSocket.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        caller: Arc<Caller>,
        origin: Arc<RequestContext>,
    ) -> Response<Bytes> {
        let Some(dialect) = phoenix::protocol(query::parameter(request.uri(), "vsn").as_deref()) else {
            Span::current().record(ERROR_CODE, Code::UnsupportedProtocolVersion.name());
            return response::empty(StatusCode::FORBIDDEN);
        };
        let Some(connection) = self.services.node.acquire_connection() else {
            self.services.node.metrics.node.connections_refused.increment(1);
            let code = Code::ServerConnectionLimitReached;
            self.services.node.reports.record(code.at(codes::Scope::Handshake), code.text());
            return response::json(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "error": "Too many connections" }),
            );
        };
        let max = self.services.node.settings().server.max_connections_per_address;
        let Some(of_address) = self.addresses.acquire(caller.address, max) else {
            drop(connection);
            self.services.node.metrics.node.connections_refused_by_address.increment(1);
            let (status, code) = (StatusCode::TOO_MANY_REQUESTS, Code::AddressConnectionLimitReached);
            return self.refuse(HandshakeError::new(status, code, code.text())).await;
        };
        match self.admit(&request).await {
            Ok((admitted, of_tenant)) => {
                let guest = Guest { origin, permits: (connection, of_tenant, of_address, caller) };
                self.upgrade(request, dialect, admitted, guest)
            }
            Err(refusal) => {
                // Not held while the refusal waits: another client may use them.
                drop((connection, of_address));
                self.refuse(refusal).await
            }
        }
    }

    /// The checks of docs/protocol/websocket.md#handshake-checks, in their order.
    async fn admit(&self, request: &Request<Incoming>) -> Result<(Admitted, Permit), HandshakeError> {
        let unknown = Code::TenantNotFound;
        let not_found = HandshakeError::new(StatusCode::NOT_FOUND, unknown, unknown.text());
        let tenant =
            self.services.node.tenant_for_request(request.headers(), request.uri()).ok_or(not_found)?;
        let policy = tenant.policy();
        let refused = |status, code, text: &str| {
            Err(HandshakeError {
                tenant: Some(Arc::clone(&tenant)),
                ..HandshakeError::new(status, code, text)
            })
        };
        match policy.status {
            TenantStatus::Open => {}
            TenantStatus::Suspended => {
                let text = "Realtime was disabled for this tenant";
                return refused(StatusCode::FORBIDDEN, Code::RealtimeDisabledForTenant, text);
            }
            TenantStatus::Removed => {
                return refused(StatusCode::NOT_FOUND, unknown, unknown.text());
            }
        }
        let verified = match Credentials::of(request.headers(), request.uri()).for_handshake() {
            Some(token) => policy.verifier.verify_fetching(&token, SystemTime::now()).await,
            None => Err(TokenError::Missing),
        };
        let claims = match verified {
            Ok(claims) => claims,
            Err(error) => {
                let (code, text) = (error.handshake_code(), error.handshake_text());
                return refused(StatusCode::UNAUTHORIZED, code, &text);
            }
        };
        let permit = tenant.connections.acquire(tenant.allowance.max_connections());
        let Some(permit) = permit.filter(|_| tenant.has_room()) else {
            let code = Code::ConnectionRateLimitReached;
            return refused(StatusCode::TOO_MANY_REQUESTS, code, code.text());
        };
        // Looked at, not counted: the join will be.
        if !tenant.allowance.joins.has_any(Instant::now()) {
            let code = Code::JoinsRateLimitReached;
            return refused(StatusCode::TOO_MANY_REQUESTS, code, code.text());
        }
        Ok((Admitted { generation: policy.generation, tenant, claims }, permit))
    }

    async fn refuse(&self, refusal: HandshakeError) -> Response<Bytes> {
        let HandshakeError { tenant, status, code, text } = refusal;
        // Not by the name that was said: whoever knocks would choose the labels of our metrics.
        let reports = tenant.as_ref().map_or(&self.services.node.reports, |tenant| &tenant.reports);
        reports.record(code.at(codes::Scope::Handshake), &text);
        let (pause, max) = {
            let server = &self.services.node.settings().server;
            (server.connect_error_backoff, server.max_pending_refusals.get())
        };
        if let Some(_pause) = self.pauses.acquire(max) {
            tokio::time::sleep(pause).await;
        }
        response::json(status, &json!({ "error": text }))
    }

    fn upgrade(
        &self,
        mut request: Request<Incoming>,
        dialect: Dialect,
        admitted: Admitted,
        guest: Guest,
    ) -> Response<Bytes> {
        let response = match upgrade::response(&request) {
            Ok(response) => response,
            Err(refused) => {
                Span::current().record(ERROR_CODE, Code::NotAWebSocketHandshake.name());
                return *refused;
            }
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let (services, tasks) = (Arc::clone(&self.services), self.services.tasks.clone());
        let config = self.config();
        self.services.tasks.spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let session = Phoenix::new(services, dialect, admitted, Arc::clone(&guest.origin));
            // Each kind of stream has a connection of its own: what TLS needs costs the others nothing.
            let upgraded = match upgraded.downcast::<TokioIo<RequestDeadline<TcpStream>>>() {
                Ok(parts) => return converse(parts, session, config, guest, &tasks).await,
                Err(upgraded) => upgraded,
            };
            if let Ok(parts) = upgraded.downcast::<TokioIo<RequestDeadline<Secure>>>() {
                converse(parts, session, config, guest, &tasks).await;
            }
        });
        response
    }
}

impl Handshake {
    /// What connections that begin now are treated with. A setting that changes counts for those that come.
    fn config(&self) -> Arc<ConnectionConfig> {
        let current = ConnectionConfig::by(&self.services.node.settings());
        let mut shared = self.config.lock();
        if **shared != current {
            *shared = Arc::new(current);
        }
        Arc::clone(&shared)
    }
}

/// Starts the connection on what hyper leaves us, its read buffer included.
async fn converse<S>(
    parts: Parts<TokioIo<RequestDeadline<S>>>,
    session: Phoenix,
    config: Arc<ConnectionConfig>,
    guest: Guest,
    tasks: &TaskTracker,
) where
    S: AsyncRead + AsyncWrite + Readable + Send + Unpin + 'static,
{
    let connection =
        Connection::new(parts.io.into_inner().into_inner(), &parts.read_buf, session, config).await;
    // A task of its own, of just the connection's size: the caller's carries hyper's upgrade along.
    tasks.spawn(async move {
        connection.await;
        debug!(parent: &guest.origin.span(), "The WebSocket has ended");
        drop(guest.permits);
    });
}
