//! The WebSocket handshake: the checks that all protocols have in common, in their documented order, then a session
//! (docs/protocol/websocket.md#handshake-checks).
//!
//! A refusal is answered after a pause, so that clients that retry at once do so less often. The number of pauses is
//! bounded and shared between addresses, because each holds a socket; beyond it refusals are answered at once. No other
//! request waits for them.

mod pending_upgrade;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hub::{Disconnect, MemoryKind, Payer, TenantMemory};
use parking_lot::Mutex;
use tracing::Span;

use self::pending_upgrade::{PendingUpgrade, WebSocketPermits};
use super::caller::Caller;
use super::websocket::ConnectionConfig;
use crate::addresses::Addresses;
use crate::auth::TokenError;
use crate::close_reason::DocumentCloseReason;
use crate::node::{AuthenticationError, NotAuthenticated};
use crate::permit::Permit;
use crate::sessions::{
    Admission, ClientContext, HandshakeError, KeptClaims, KeptHeaders, Protocol, RefusedSession,
    RequestTarget, Services, Session, SessionWithoutClaims, Unauthenticated,
};
use crate::telemetry::codes::{Code, Scope};
use crate::telemetry::metrics::Answered;
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::telemetry::traces::{SpanName, TENANT, TraceSpan};
use crate::tenants::{Policy, Tenant};

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

const SERVER_FULL: HandshakeError =
    HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, Code::ServerConnectionLimitReached);
const MEMORY_FULL: HandshakeError =
    HandshakeError::of(StatusCode::SERVICE_UNAVAILABLE, Code::ConnectionMemoryLimitReached);
const ADDRESS_FULL: HandshakeError =
    HandshakeError::of(StatusCode::TOO_MANY_REQUESTS, Code::AddressConnectionLimitReached);

/// A handshake that was accepted.
struct Admitted {
    admission: Admission,
    permits: WebSocketPermits,
    session: SessionFactory,
}

/// What is known of the sender of a handshake.
enum Verified<C> {
    /// What its token states.
    Claims(C),
    /// Nothing, because of this error. It may send a token in its session, which begins so.
    Nothing(SessionWithoutClaims, TokenError),
}

/// Begins the session of a client.
type SessionFactory = Box<dyn FnOnce(Arc<Services>, ClientContext) -> Box<dyn Session> + Send>;

/// A refused handshake, with the tenant it was meant for, if there is such a tenant.
struct Refused {
    tenant: Option<Arc<Tenant>>,
    error: HandshakeError,
    /// The client is to be refused by this, on an open WebSocket.
    close: Option<Disconnect>,
}

impl Refused {
    /// Refused by a response.
    fn by_response(tenant: Option<Arc<Tenant>>, error: HandshakeError) -> Self {
        Self { tenant, error, close: None }
    }
}

impl Handshake {
    pub(super) fn new(services: Arc<Services>) -> Self {
        let config = Mutex::new(Arc::new(ConnectionConfig::of(&services.node.settings())));
        Self { services, config, pauses: Addresses::default(), addresses: Addresses::default() }
    }

    /// Answers a GET for a WebSocket of `protocol`.
    pub(super) async fn answer<P: Protocol>(
        &self,
        protocol: &Arc<P>,
        (request, target): (Request<()>, RequestTarget),
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
        let admitted = self.admit(protocol, (&request, target), &caller).await;
        let outcome = if admitted.is_ok() { Answered::Ok } else { Answered::Error };
        self.services.node.metrics.common.note_handshake(outcome, dialect, started.elapsed());
        note(&mut span, &admitted);
        // A refusal may wait before it is answered.
        drop(span);
        let subprotocol = protocol.subprotocol(request.headers());
        let tasks = &self.services.tasks;
        match admitted {
            Ok(Admitted { admission, permits, session }) => {
                let (tenant, services) = (Arc::clone(&admission.tenant), Arc::clone(&self.services));
                let of_client = Arc::clone(&context);
                let session = Box::new(move || {
                    let client = ClientContext::new(&services, dialect, admission, of_client);
                    session(services, client)
                });
                let (payer, config) = (Payer::new(tenant.memory.party()), self.config());
                let upgrade = PendingUpgrade { permits, payer, session, config, context };
                let mut response = upgrade.answer(request, subprotocol, &caller, tasks);
                tenant.reports.attribute(&mut response);
                response
            }
            Err(refused) => match self.refuse(&**protocol, refused, &caller, context).await {
                Ok(upgrade) => upgrade.answer(request, subprotocol, &caller, tasks),
                Err(response) => response,
            },
        }
    }

    /// The checks of docs/protocol/websocket.md#handshake-checks, in their order. Nothing is held while the token waits for
    /// its key: the permits are acquired once it is verified.
    async fn admit<P: Protocol>(
        &self,
        protocol: &Arc<P>,
        (request, target): (&Request<()>, RequestTarget),
        caller: &Caller,
    ) -> Result<Admitted, Refused> {
        self.check_room(caller.network).map_err(|error| Refused::by_response(None, error))?;
        let (tenant, policy, verified) = self.authenticate(&**protocol, request, caller).await?;
        let accepted = self.acquire(&tenant, caller).and_then(|permits| {
            let headers = KeptHeaders::of(request.headers(), &policy, &tenant.memory).ok_or(MEMORY_FULL)?;
            let session: SessionFactory = match verified {
                Verified::Claims(claims) => {
                    let claims =
                        KeptClaims::of_handshake(claims, &policy, &tenant.memory).ok_or(MEMORY_FULL)?;
                    let protocol = Arc::clone(protocol);
                    Box::new(move |services, client| protocol.session(services, client, claims, &target))
                }
                Verified::Nothing(begin, error) => {
                    Box::new(move |services, client| begin(services, client, error, &target))
                }
            };
            Ok((headers, session, permits))
        });
        match accepted {
            Ok((headers, session, permits)) => {
                let admission = Admission { generation: policy.generation, tenant, headers };
                Ok(Admitted { admission, permits, session })
            }
            Err(error) => Err(Refused::by_response(Some(tenant), error)),
        }
    }

    /// The tenant of a request, and what its token states, if the protocol requires one.
    async fn authenticate<P: Protocol>(
        &self,
        protocol: &P,
        request: &Request<()>,
        caller: &Caller,
    ) -> Result<(Arc<Tenant>, Arc<Policy>, Verified<P::Claims>), Refused> {
        let (node, headers, uri) = (&self.services.node, request.headers(), request.uri());
        let (token, unauthenticated) = (protocol.token(headers, uri), protocol.unauthenticated());
        let refused = |tenant, error: &AuthenticationError| {
            let close = match unauthenticated {
                Unauthenticated::Refused => None,
                Unauthenticated::Closed | Unauthenticated::Accepted(_) => close_of(error),
            };
            Refused { tenant, error: authentication(error), close }
        };
        let found = node.open_tenant((headers, uri), token.as_deref(), caller.address).await;
        let (tenant, policy) = found.map_err(|NotAuthenticated { tenant, error }| refused(tenant, &error))?;
        let verified = match (token, unauthenticated) {
            // It comes later, or in vain; the session limits the time for that.
            (None, Unauthenticated::Accepted(_)) => Err(TokenError::Missing.into()),
            (token, _) => node.verify(&policy, token.as_deref(), caller.address).await,
        };
        let verified = match (verified, unauthenticated) {
            (Ok(claims), _) => Verified::Claims(claims),
            (Err(AuthenticationError::Token(error)), Unauthenticated::Accepted(begin)) => {
                Verified::Nothing(begin, error)
            }
            (Err(error), _) => return Err(refused(Some(tenant), &error)),
        };
        Ok((tenant, policy, verified))
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
        let (connection, of_address) = self.acquire_of_server(caller.network)?;
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
        check_memory(caller, &tenant.memory)?;
        // Checked, not counted: the join is counted.
        if !tenant.allowance.joins.has_any(Instant::now()) {
            return Err(limited(Code::JoinsRateLimitReached));
        }
        Ok((connection, Some(of_tenant), of_address))
    }

    /// The permits of a WebSocket of any tenant: of the server and of its address.
    fn acquire_of_server(&self, network: Option<IpAddr>) -> Result<(Permit, Option<Permit>), HandshakeError> {
        let node = &self.services.node;
        let connection = node.acquire_connection().ok_or(SERVER_FULL)?;
        let max = node.settings().server.max_connections_per_address;
        let of_address = match network {
            Some(network) => Some(self.addresses.acquire(network, max).ok_or(ADDRESS_FULL)?),
            None => None,
        };
        Ok((connection, of_address))
    }

    /// Refuses a handshake after a pause: by a response, or by a WebSocket that is closed, if it can be opened.
    async fn refuse<P: Protocol>(
        &self,
        protocol: &P,
        refused: Refused,
        caller: &Caller,
        context: Arc<RequestContext>,
    ) -> Result<PendingUpgrade, Response<Bytes>> {
        self.report(&refused);
        let Refused { tenant, error, close } = refused;
        if !is_answered_at_once(error.code) {
            self.pause(caller.network).await;
        }
        let Some(disconnect) = close else { return Err(protocol.refusal(&error)) };
        let node = &self.services.node;
        let memory = Arc::clone(tenant.as_ref().map_or(&node.common_memory, |tenant| &tenant.memory));
        let acquired = check_memory(caller, &memory).and_then(|()| self.acquire_of_server(caller.network));
        let (connection, of_address) = acquired.map_err(|error| protocol.refusal(&error))?;
        let (payer, config, offload) = (Payer::new(memory.party()), self.config(), Arc::clone(&node.offload));
        let session = Box::new(move || {
            let session: Box<dyn Session> = Box::new(RefusedSession::new(disconnect, memory, offload));
            session
        });
        Ok(PendingUpgrade { permits: (connection, None, of_address), payer, session, config, context })
    }

    fn report(&self, refused: &Refused) {
        let Refused { tenant, error, .. } = refused;
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
    }

    /// Waits before a refusal, unless too many wait.
    async fn pause(&self, network: Option<IpAddr>) {
        let (pause, max) = {
            let server = &self.services.node.settings().server;
            (server.connect_error_backoff, server.max_pending_refusals.get())
        };
        if let Some(_pause) = self.pauses.acquire_share(network, max) {
            tokio::time::sleep(pause).await;
        }
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
fn note(span: &mut TraceSpan, admitted: &Result<Admitted, Refused>) {
    let tenant = match admitted {
        Ok(Admitted { admission, .. }) => Some(&admission.tenant),
        Err(Refused { tenant, error, .. }) => {
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

/// How a caller who is not authenticated is closed, where that is final for it. Otherwise it should come back.
fn close_of(error: &AuthenticationError) -> Option<Disconnect> {
    match error {
        AuthenticationError::Token(error) => {
            Some(DocumentCloseReason::Unauthorized.with_text(&error.handshake_text()))
        }
        AuthenticationError::UnknownTenant => {
            Some(DocumentCloseReason::Forbidden.with_text(Code::TenantNotFound.text()))
        }
        AuthenticationError::Suspended => {
            Some(DocumentCloseReason::Forbidden.with_text("tenant is suspended"))
        }
        AuthenticationError::TooManyFromAddress
        | AuthenticationError::TenantUnavailable(_)
        | AuthenticationError::TooManyWaiting(_) => None,
    }
}

/// Checks that `memory` has room for the connection.
fn check_memory(caller: &Caller, memory: &Arc<TenantMemory>) -> Result<(), HandshakeError> {
    if caller.socket.fits(memory) {
        return Ok(());
    }
    memory.count_refusal(MemoryKind::Connections);
    Err(MEMORY_FULL)
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
