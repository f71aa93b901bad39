//! Accepts connections and serves HTTP on them until they are upgraded or closed: on the main listener, and on the internal
//! one.
//!
//! Every socket has a deadline for its first request. The number of sockets is bounded, in total and for each address
//! (`sockets.rs`), above the limit of WebSockets, so that a server whose WebSockets are all taken still responds to health
//! checks and refuses handshakes.

use std::convert::Infallible;
use std::hash::RandomState;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, header};
use hub::{Party, Payer, TimeSlice};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use settings::ByteSize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::acceptor::{Acceptor, ClientStream, read_proxy_header};
use super::caller::Caller;
use super::head_scanner::Following;
use super::listener_kind::ListenerKind;
use super::request_deadline::{RequestDeadline, RequestProgress, RequestTimeouts};
use super::router::Router;
use super::sockets::{Socket, SocketTable};
use crate::node::Node;
use crate::response::UNAVAILABLE;
use crate::routes::RouteTable;
use crate::telemetry::line_limits::LineKind;
use crate::workers::{Workers, in_time_slices};

/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 4_096;

/// The pause after a failure to accept, which usually means that no file descriptor is free. Closed connections free
/// some.
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Failures closer to each other than this are logged once. While descriptors are short, every connection that closes
/// lets one more be accepted, and the next one fails again.
const LOG_QUIET_PERIOD: Duration = Duration::from_secs(10);

/// An open port, and what is served on it.
pub struct Listener {
    kind: ListenerKind,
    socket: TcpListener,
    acceptor: Acceptor,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// When the address is in use, not of this machine, or not permitted.
    pub fn bind(
        kind: ListenerKind,
        address: SocketAddr,
        acceptor: Acceptor,
        settings: &settings::Server,
    ) -> io::Result<Self> {
        Ok(Self { kind, socket: bind(address, settings)?, acceptor })
    }

    /// Its address, with the port that the system chose if none was asked for.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

fn bind(address: SocketAddr, settings: &settings::Server) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server takes over a port whose old connections the kernel still remembers.
    socket.set_reuseaddr(true)?;
    // All of these are inherited by the accepted sockets. Frames are written whole, so waiting for more bytes to send would only
    // delay them.
    socket.set_nodelay(true)?;
    let bytes = |size: ByteSize| u32::try_from(size.as_u64()).unwrap_or(u32::MAX);
    socket.set_send_buffer_size(bytes(settings.send_buffer_size))?;
    // Before `listen`: a client learns from the handshake how far the window can grow.
    socket.set_recv_buffer_size(bytes(settings.receive_buffer_size))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The state that all connections of the listener share.
struct ListenerContext {
    node: Arc<Node>,
    acceptor: Acceptor,
    router: Router,
    sockets: Arc<SocketTable>,
    workers: Arc<Workers>,
    /// Hashes addresses to parties.
    parties: RandomState,
    stop: CancellationToken,
}

impl ListenerContext {
    /// Whom the time of a client is charged to before its tenant is known.
    fn payer(&self, address: IpAddr) -> Arc<Payer> {
        let counted_as = self.node.client_network(address).unwrap_or(address);
        Arc::new(Payer::new(Party::of_address(counted_as, &self.parties)))
    }
}

/// Accepts connections until `stop`, each a task of `tasks`.
pub async fn run(
    node: Arc<Node>,
    listener: Listener,
    (workers, tasks): (Arc<Workers>, TaskTracker),
    routes: Arc<RouteTable>,
    stop: CancellationToken,
) {
    let Listener { kind, socket: listener, acceptor } = listener;
    let router = Router::new(Arc::clone(&node), routes, kind);
    let sockets = SocketTable::new(Arc::clone(&node), kind, acceptor.connection_bytes());
    let stopping = stop.clone();
    let context = Arc::new(ListenerContext {
        node,
        acceptor,
        router,
        sockets,
        workers,
        parties: RandomState::new(),
        stop: stopping,
    });
    let (mut last_failure, mut time_slice) = (None::<Instant>, TimeSlice::of(Party::NODE));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let begun = time_slice.begin().await;
                spawn_connection(&context, stream, address.ip(), &tasks);
                time_slice.end_with_another(begun);
            }
            Err(error) if concerns_one_client(&error) => {
                debug!("A client closed its connection before it was accepted: {error}")
            }
            Err(error) => {
                if last_failure.replace(Instant::now()).is_none_or(|last| last.elapsed() > LOG_QUIET_PERIOD) {
                    warn!("Cannot accept connections: {error}");
                }
                tokio::time::sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

fn spawn_connection(context: &Arc<ListenerContext>, stream: TcpStream, peer: IpAddr, tasks: &TaskTracker) {
    // A load balancer is not counted: its clients are, once it has sent their addresses.
    let network =
        (!context.acceptor.is_load_balancer(peer)).then(|| context.node.client_network(peer)).flatten();
    let Ok(socket) = context.sockets.admit(network) else {
        // Best effort, without waiting, because other connections are to be accepted. Not with tokio's `try_write`,
        // which writes only if tokio knows that the socket is ready; for a new one it assumes so (1.54.1) but does not
        // promise it. A socket taken out of tokio does not block either.
        let _best_effort = stream.into_std().and_then(|mut stream| stream.write(UNAVAILABLE));
        return;
    };
    socket.limit_buffers(&stream);
    let context = Arc::clone(context);
    context.clone().workers.serve(tasks, stream, move |stream| async move {
        let closing = Arc::clone(&socket);
        // Not in time slices: a connection that is closed for another one is gone at once.
        tokio::select! {
            () = closing.closing() => {}
            () = serve_client(&context, stream, peer, socket) => {}
        }
    });
}

/// Serves one client, in the time slices of its address, or of the tenant whose request it sends.
async fn serve_client(context: &Arc<ListenerContext>, stream: TcpStream, peer: IpAddr, socket: Arc<Socket>) {
    let accepted = tokio::select! {
        () = context.stop.cancelled() => return,
        accepted = in_time_slices(context.payer(peer), accept(context, stream, peer, &socket)) => accepted,
    };
    let Some((stream, address)) = accepted else { return };
    let payer = context.payer(address);
    let network = context.node.client_network(address);
    let caller = Arc::new(Caller::new(address, network, socket, Arc::clone(&payer)));
    match stream {
        ClientStream::Plain(stream) => in_time_slices(payer, serve(context, stream, caller)).await,
        ClientStream::Tls(stream) => in_time_slices(payer, serve(context, stream, caller)).await,
    }
}

/// Prepares a connection for HTTP: reads the header of a load balancer and negotiates TLS. `None` if it is not served, which
/// is logged or counted.
async fn accept(
    context: &ListenerContext,
    mut stream: TcpStream,
    peer: IpAddr,
    socket: &Socket,
) -> Option<(ClientStream, IpAddr)> {
    let (node, acceptor) = (&context.node, &context.acceptor);
    if acceptor.begins_before_http(peer) {
        // Its client has to send several times, so it waits from its first turn on.
        socket.wait_for_request();
    }
    let mut deadline = tokio::time::Instant::now() + socket.head_timeout();
    let mut address = peer;
    if acceptor.is_load_balancer(peer) {
        address = read_proxy_header(node, &mut stream, peer, deadline).await?;
        let counted = context.node.client_network(address).map_or(Ok(()), |network| socket.count_by(network));
        if counted.is_err() {
            let _best_effort = stream.try_write(UNAVAILABLE);
            return None;
        }
        deadline = deadline.min(tokio::time::Instant::now() + socket.head_timeout());
    }
    Some((acceptor.negotiate(node, stream, address, deadline).await?, address))
}

/// Serves requests on one connection until it is upgraded or closed.
async fn serve<S>(context: &Arc<ListenerContext>, stream: S, caller: Arc<Caller>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Copied, because a snapshot of the settings must not be held for the lifetime of a connection.
    let (timeouts, idle_timeout, head_size) = {
        let settings = context.node.settings();
        let (server, stall) = (&settings.server, settings.outbox.stall_timeout);
        // A client that reads slowly keeps its connection no longer than one that sends nothing.
        let response = stall.max(server.keep_alive_timeout);
        let timeouts = RequestTimeouts { head: caller.socket.head_timeout(), stall, response };
        (timeouts, server.keep_alive_timeout, server.max_header_size.as_u64())
    };
    let progress = RequestProgress::default();
    let (client_address, socket) = (caller.address, Arc::clone(&caller.socket));
    let stream = RequestDeadline::new(stream, timeouts, progress.clone(), Arc::clone(&socket));
    let has_sent = AtomicBool::new(false);
    let service = service_fn(move |request| {
        let following = Following::of(&request);
        let is_first = !has_sent.swap(true, Ordering::Relaxed);
        let (begun, busy) = (progress.begin(following), caller.socket.begin_request());
        let (context, caller) = (Arc::clone(context), Arc::clone(&caller));
        async move {
            if !is_first {
                // A client may send hundreds at once: the others get their turn before each of them, and new input is
                // looked for. hyper handles sixteen in a row and then wakes itself, which comes before new input.
                tokio::task::yield_now().await;
            }
            let mut response = context.router.handle(request, caller).await;
            if following == Following::Unbounded && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            begun.respond(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle_timeout)
        .max_buf_size(usize::try_from(head_size).unwrap_or(usize::MAX))
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = context.stop.cancelled() => {
            // A request in progress is completed; an idle connection is closed.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        log_failure(&context.node, &error, client_address);
    }
}

fn log_failure(node: &Node, error: &hyper::Error, client_address: IpAddr) {
    if error.is_parse() {
        // hyper has responded with 400 or 431, and no request will be logged.
        if node.metrics.line_limits.admit(LineKind::RefusedBytes) {
            warn!(%client_address, "Refused bytes that are not an HTTP request: {error}");
        }
    } else {
        debug!(%client_address, "An HTTP connection ended: {error}");
    }
}

fn concerns_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{MemoryLimit, SocketBuffers};

    // The kernel grows the buffer of a fast sender up to 6 MiB, which nothing here would know of.
    #[tokio::test]
    async fn an_accepted_connection_has_the_buffers_of_the_settings() -> io::Result<()> {
        let settings = settings::Server {
            host: [127, 0, 0, 1].into(),
            port: 0,
            send_buffer_size: ByteSize::kib(64),
            receive_buffer_size: ByteSize::kib(96),
            ..settings::Server::default()
        };
        let listener = bind(settings.address(), &settings)?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, _) = listener.accept().await?;
        assert_eq!(buffers_of(stream)?, (128 << 10, 192 << 10));
        Ok(())
    }

    #[tokio::test]
    async fn an_accepted_connection_has_no_larger_buffers_than_there_is_room_for() -> io::Result<()> {
        let mut settings = settings::Server {
            host: [127, 0, 0, 1].into(),
            port: 0,
            send_buffer_size: ByteSize::kib(192),
            receive_buffer_size: ByteSize::kib(64),
            ..settings::Server::default()
        };
        let (listener, buffers) = (bind(settings.address(), &settings)?, Arc::new(SocketBuffers::default()));
        let mut accepted = Vec::new();
        for budget in [128, 0] {
            settings.socket_buffer_budget = Some(ByteSize::mib(budget));
            let _client = TcpStream::connect(listener.local_addr()?).await?;
            let (stream, _) = listener.accept().await?;
            let _grant = buffers.limit(&stream, &settings, MemoryLimit::of(&settings));
            accepted.push(buffers_of(stream)?);
        }
        assert_eq!(
            accepted,
            [(256 << 10, 128 << 10), (128 << 10, 128 << 10)],
            "128 KiB beyond the least, and none"
        );
        Ok(())
    }

    /// The sizes of the buffers for sending and receiving, which are double what Linux was told.
    fn buffers_of(stream: TcpStream) -> io::Result<(u32, u32)> {
        let socket = TcpSocket::from_std_stream(stream.into_std()?);
        Ok((socket.send_buffer_size()?, socket.recv_buffer_size()?))
    }
}
