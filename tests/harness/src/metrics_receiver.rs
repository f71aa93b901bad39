//! A receiver of pushed metrics under the control of a test: keeps what it gets, and accepts it, refuses it, or does not respond.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::WAIT_MAX;
use crate::received_body::{header, read};

/// A running receiver; stops on drop.
#[derive(Debug)]
pub struct MetricsReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// One request that it got.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// When it was received.
    pub at: Instant,
    /// Its method.
    pub method: Method,
    /// Its target.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed if the headers say that it is compressed.
    pub page: String,
}

#[derive(Debug)]
struct Shared {
    /// The status of the next responses; without one there are no responses.
    status: watch::Sender<Option<StatusCode>>,
    pushed: watch::Sender<Vec<Pushed>>,
}

impl MetricsReceiver {
    /// A receiver that accepts everything.
    ///
    /// # Panics
    /// When this machine has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let status = watch::Sender::new(Some(StatusCode::NO_CONTENT));
        let shared = Arc::new(Shared { status, pushed: watch::Sender::default() });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, serving }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its pages, with a key in the query.
    pub fn url(&self) -> String {
        format!("http://{}/import?key=hush", self.address)
    }

    /// Responds with this status from now on.
    pub fn respond_with(&self, status: StatusCode) {
        self.shared.status.send_replace(Some(status));
    }

    /// Accepts requests from now on and sends no response.
    pub fn stop_responding(&self) {
        self.shared.status.send_replace(None);
    }

    /// What it has received.
    pub fn pushed(&self) -> Vec<Pushed> {
        self.shared.pushed.borrow().clone()
    }

    /// Waits until it has received `count` requests, and returns all.
    ///
    /// # Panics
    /// When it does not within [`WAIT_MAX`].
    pub async fn wait_for(&self, count: usize) -> Vec<Pushed> {
        let mut pushed = self.shared.pushed.subscribe();
        let received = pushed.wait_for(|pushed| pushed.len() >= count);
        timeout(WAIT_MAX, received).await.expect("requests come in time").expect("it runs").clone()
    }

    /// Waits for so many requests more.
    pub async fn wait_for_more(&self, count: usize) -> Vec<Pushed> {
        let before = self.shared.pushed.borrow().len();
        self.wait_for(before + count).await
    }
}

impl Drop for MetricsReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Pushed {
    /// A header; empty without it.
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| receive(Arc::clone(&shared), request));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn receive(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = read(request).await.expect("a whole body");
    let page = String::from_utf8(body).expect("text");
    let pushed =
        Pushed { at: Instant::now(), method: head.method, uri: head.uri, headers: head.headers, page };
    shared.pushed.send_modify(|all| all.push(pushed));
    let mut status = shared.status.subscribe();
    let status = *status.wait_for(Option::is_some).await.expect("it runs");
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status.expect("waited for one");
    Ok(response)
}
