//! Accepts connections and serves HTTP on them until they become something else.
//!
//! Every socket has a deadline for its first request, and their number is bounded: beyond the WebSocket
//! limit there is room for requests, so that health checks and refusals still get through a full house.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::acceptor::{Acceptor, Stream};
use super::caller::Caller;
use super::request_deadline::{RequestDeadline, Serving};
use super::router::Router;
use crate::node::Node;
use crate::routes::RouteTable;
use crate::sessions::Services;

/// Connections the kernel holds for us until we accept them.
const BACKLOG: u32 = 4_096;

/// How long to wait when the system has no more sockets to give: they come back as clients leave.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Failures closer to each other than this are one spell, and told once: while the system has no sockets, a
/// client that leaves lets one in, and the next fails again.
const SPELL: Duration = Duration::from_secs(10);

/// Said to a socket for which there is no room at all.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Opens the port named in the settings.
///
/// # Errors
/// When it cannot be had: in use, not of this machine, or not allowed.
pub fn bind(settings: &settings::Server) -> io::Result<TcpListener> {
    let address = SocketAddr::new(settings.host, settings.port);
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server takes over a port whose old connections the kernel still remembers.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What every connection needs.
struct ListenerContext {
    node: Arc<Node>,
    acceptor: Acceptor,
    router: Router,
    stop: CancellationToken,
}

/// Accepts until `stop`.
pub async fn run(
    services: Arc<Services>,
    listener: TcpListener,
    acceptor: Acceptor,
    routes: Arc<RouteTable>,
    stop: CancellationToken,
) {
    let (node, tasks) = (Arc::clone(&services.node), services.tasks.clone());
    let router = Router::new(Arc::clone(&node), routes);
    let context = Arc::new(ListenerContext { node, acceptor, router, stop: stop.clone() });
    let mut last_failure: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => admit(&context, stream, address.ip(), &tasks),
            Err(error) if is_about_one_client(&error) => {
                debug!("A client left before it was accepted: {error}")
            }
            Err(error) => {
                if last_failure.replace(Instant::now()).is_none_or(|last| last.elapsed() > SPELL) {
                    warn!("Cannot accept connections: {error}");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

fn admit(context: &Arc<ListenerContext>, stream: TcpStream, address: IpAddr, tasks: &TaskTracker) {
    let Some(socket) = context.node.acquire_socket() else {
        // Best effort, without waiting: the next client is at the door. Not with `try_write`, which writes
        // only if tokio thinks the socket ready: of one just accepted it does (1.54.1), and promises nothing. A
        // socket taken from tokio does not block either.
        let _said = stream.into_std().and_then(|mut stream| stream.write(FULL));
        return;
    };
    let context = Arc::clone(context);
    tasks.spawn(async move {
        // Frames are small and written whole; waiting for more to send would only delay them.
        let _best_effort = stream.set_nodelay(true);
        let entered = tokio::select! {
            () = context.stop.cancelled() => return,
            entered = context.acceptor.pass(&context.node, stream, address) => entered,
        };
        let Some((stream, address)) = entered else { return };
        let caller = Arc::new(Caller::new(address, socket));
        match stream {
            Stream::Plain(stream) => serve(&context, stream, caller).await,
            Stream::Secure(stream) => serve(&context, stream, caller).await,
        }
    });
}

async fn serve<S>(context: &Arc<ListenerContext>, stream: S, caller: Arc<Caller>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // Copied out, because a snapshot is not to be held for as long as a connection lives.
    let (head_timeout, idle_timeout, head_size) = {
        let server = &context.node.settings().server;
        (server.handshake_timeout, server.keep_alive_timeout, server.max_header_size.as_u64())
    };
    let serving = Serving::default();
    let stream = RequestDeadline::new(stream, head_timeout, serving.clone());
    let client_address = caller.address;
    let service = service_fn(move |request| {
        let (context, caller, answering) = (Arc::clone(context), Arc::clone(&caller), serving.begin());
        async move {
            let response = context.router.handle(request, caller).await;
            drop(answering);
            Ok::<_, std::convert::Infallible>(response)
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
            // A request under way is answered; a connection kept for the next one is closed.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match served {
        // Answered with 400 or 431 before it was a request, so nobody else tells of it.
        Err(error) if error.is_parse() => warn!(%client_address, "Refused what is no HTTP request: {error}"),
        Err(error) => debug!(%client_address, "An HTTP connection ended: {error}"),
        Ok(()) => {}
    }
}

fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
