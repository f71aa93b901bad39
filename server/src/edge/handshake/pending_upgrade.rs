//! A WebSocket whose handshake is about to be answered: the response, and the connection behind it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use hub::{MemoryKind, Payer};
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;
use tracing::{Span, debug};

use crate::edge::caller::Caller;
use crate::edge::request_deadline::RequestDeadline;
use crate::edge::sockets::SocketPermits;
use crate::edge::tls::ServerTlsStream;
use crate::edge::upgrade;
use crate::edge::websocket::{Connection, ConnectionConfig, Readable};
use crate::permit::Permit;
use crate::sessions::Session;
use crate::telemetry::codes::Code;
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::workers::in_time_slices;

/// What a WebSocket is counted by until it ends: among the sockets of the server and in their buffers, and as `WebSocketPermits`.
type ConnectionPermits = (SocketPermits, WebSocketPermits);

/// What a WebSocket is counted by among the WebSockets of the server, of its tenant, if its token was accepted, and of its address if
/// limits per address apply to it.
pub(super) type WebSocketPermits = (Permit, Option<Permit>, Option<Permit>);

/// A WebSocket that is about to be opened.
pub(super) struct PendingUpgrade {
    pub(super) permits: WebSocketPermits,
    /// Whose time the beginning takes.
    pub(super) payer: Payer,
    /// Begins its session.
    pub(super) session: Box<dyn FnOnce() -> Box<dyn Session> + Send>,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) context: Arc<RequestContext>,
}

impl PendingUpgrade {
    /// The response to the handshake, which confirms `subprotocol`. The connection is one of `tasks`.
    pub(super) fn answer(
        self,
        mut request: Request<()>,
        subprotocol: Option<HeaderValue>,
        caller: &Caller,
        tasks: &TaskTracker,
    ) -> Response<Bytes> {
        let response = match upgrade::response(&request, subprotocol) {
            Ok(response) => response,
            Err(refused) => {
                Span::current().record(ERROR_CODE, Code::NotAWebSocketHandshake.name());
                return *refused;
            }
        };
        let Self { permits, payer, session, config, context } = self;
        let upgrade = hyper::upgrade::on(&mut request);
        // Taken when the response is decided: a socket that is refused waits for its next request. `None` if the socket was closed for
        // another one meanwhile.
        let Some(socket) = caller.socket.upgrade() else { return response };
        let held = ((socket, permits), context);
        let of_connection = tasks.clone();
        tasks.spawn(in_time_slices(Arc::new(payer), async move {
            let Ok(upgraded) = upgrade.await else { return };
            let session = session();
            // Each kind of stream has a connection of its own: what TLS needs costs the others nothing.
            let upgraded = match upgraded.downcast::<TokioIo<RequestDeadline<TcpStream>>>() {
                Ok(parts) => return serve(parts, session, config, held, &of_connection),
                Err(upgraded) => upgraded,
            };
            if let Ok(parts) = upgraded.downcast::<TokioIo<RequestDeadline<ServerTlsStream>>>() {
                serve(parts, session, config, held, &of_connection);
            }
        }));
        response
    }
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
