//! A collector under the control of a test: takes spans by OTLP, over HTTP or gRPC, and keeps them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::otlp_spans::{ExportRequest, ExportResponse, PartialSuccess, ReceivedSpan, received};
use crate::received_body::{decompressed, header, read};
use crate::{Certificate, WAIT_MAX};

/// A running collector; stops on drop.
#[derive(Debug)]
pub struct SpanReceiver {
    url: String,
    transport: Transport,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    accepts: watch::Sender<Accepts>,
    headers: watch::Sender<HeaderMap>,
    spans: watch::Sender<Vec<ReceivedSpan>>,
}

/// How spans come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Http,
    Grpc,
}

impl SpanReceiver {
    /// A collector that takes `http/protobuf`.
    pub async fn http() -> Self {
        Self::start(Transport::Http, None).await
    }

    /// A collector that takes `grpc`.
    pub async fn grpc() -> Self {
        Self::start(Transport::Grpc, None).await
    }

    /// The same, over TLS with this certificate.
    pub async fn http_over_tls(certificate: &Certificate) -> Self {
        Self::start(Transport::Http, Some(certificate.acceptor(&[b"http/1.1"]))).await
    }

    /// The same, over TLS with this certificate.
    pub async fn grpc_over_tls(certificate: &Certificate) -> Self {
        Self::start(Transport::Grpc, Some(certificate.acceptor(&[b"h2"]))).await
    }

    async fn start(transport: Transport, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        // The certificate is for this name.
        let url = match &tls {
            None => format!("http://{address}"),
            Some(_) => format!("https://localhost:{}", address.port()),
        };
        let (headers, spans) = (watch::Sender::default(), watch::Sender::default());
        let shared = Arc::new(Shared { accepts: watch::Sender::new(Accepts::Everything), headers, spans });
        let serving = tokio::spawn(serve(listener, (transport, tls), Arc::clone(&shared)));
        Self { url, transport, shared, serving }
    }

    /// Whether it takes gRPC.
    pub fn is_grpc(&self) -> bool {
        self.transport == Transport::Grpc
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Treats like this what comes from now on.
    pub fn accept(&self, accepts: Accepts) {
        self.shared.accepts.send_replace(accepts);
    }

    /// The headers of the last request.
    pub fn headers(&self) -> HeaderMap {
        self.shared.headers.borrow().clone()
    }

    /// What it has received.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.spans.borrow().clone()
    }

    /// Waits until it has spans of all these names, and returns all that it has.
    ///
    /// # Panics
    /// When it does not get them within [`WAIT_MAX`].
    pub async fn wait_for(&self, names: &[&str]) -> Vec<ReceivedSpan> {
        let mut spans = self.shared.spans.subscribe();
        let has_all =
            |spans: &Vec<ReceivedSpan>| names.iter().all(|name| spans.iter().any(|span| span.name == **name));
        let received = timeout(WAIT_MAX, spans.wait_for(has_all)).await;
        let Ok(received) = received else { panic!("{names:?} of {:?}", self.spans()) };
        received.expect("it runs").clone()
    }
}

/// What a collector does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// It accepts all.
    Everything,
    /// It refuses all.
    Nothing,
    /// It refuses one, and accepts all after that.
    NothingNow,
    /// The same, and asks to wait for as many seconds as 64 bits have.
    NothingForAges,
    /// It accepts all requests, and rejects one span of each.
    AllButOne,
}

impl Drop for SpanReceiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    (transport, tls): (Transport, Option<TlsAcceptor>),
    shared: Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve_connection(stream, transport, shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve_connection(stream, transport, shared).await;
                    }
                }
            }
        });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    transport: Transport,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| receive(Arc::clone(&shared), transport, request));
    let stream = TokioIo::new(stream);
    match transport {
        Transport::Http => drop(http1::Builder::new().serve_connection(stream, service).await),
        Transport::Grpc => {
            drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await);
        }
    }
}

type ResponseBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn receive(
    shared: Arc<Shared>,
    transport: Transport,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let Some((head, body)) = read(request).await else {
        return Ok(respond(transport, StatusCode::BAD_REQUEST, &[]));
    };
    shared.headers.send_replace(head.headers.clone());
    let accepts = *shared.accepts.borrow();
    match accepts {
        Accepts::Nothing => return Ok(respond(transport, StatusCode::BAD_REQUEST, &[])),
        Accepts::NothingNow => {
            shared.accepts.send_replace(Accepts::Everything);
            return Ok(respond(transport, StatusCode::SERVICE_UNAVAILABLE, &[]));
        }
        Accepts::NothingForAges => {
            shared.accepts.send_replace(Accepts::Everything);
            let mut refusal = respond(transport, StatusCode::SERVICE_UNAVAILABLE, &[]);
            refusal.headers_mut().insert("retry-after", HeaderValue::from(u64::MAX));
            return Ok(refusal);
        }
        Accepts::Everything | Accepts::AllButOne => {}
    }
    let message = match transport {
        Transport::Http => {
            assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
            assert_eq!(head.headers["content-type"], "application/x-protobuf");
            body
        }
        Transport::Grpc => {
            assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
            let (prefix, message) = body.split_at(5);
            assert_eq!(prefix[1..], u32::try_from(message.len()).expect("short").to_be_bytes());
            match prefix[0] {
                0 => message.to_vec(),
                _ => decompressed(header(&head.headers, "grpc-encoding"), message),
            }
        }
    };
    let request = ExportRequest::decode(&*message).expect("a message of OTLP");
    shared.spans.send_modify(|all| all.extend(request.resource_spans.into_iter().flat_map(received)));
    let partial_success = match accepts {
        Accepts::AllButOne => Some(PartialSuccess { rejected_spans: 1, error_message: "too old".into() }),
        _ => None,
    };
    let response = ExportResponse { partial_success };
    Ok(respond(transport, StatusCode::OK, &response.encode_to_vec()))
}

/// A gRPC response has its status in the trailers.
fn respond(transport: Transport, status: StatusCode, message: &[u8]) -> Response<ResponseBody> {
    let (body, trailers) = match transport {
        Transport::Http => (message.to_vec(), None),
        Transport::Grpc => {
            let code = match status {
                StatusCode::OK => "0",
                StatusCode::SERVICE_UNAVAILABLE => "14",
                _ => "3",
            };
            let trailers: HeaderMap =
                [(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))]
                    .into_iter()
                    .collect();
            let length = u32::try_from(message.len()).expect("short").to_be_bytes();
            ([&[0], &length[..], message].concat(), Some(Ok(trailers)))
        }
    };
    let body = Full::new(Bytes::from(body)).with_trailers(async move { trailers });
    let mut response = Response::new(body.boxed());
    match transport {
        Transport::Http => *response.status_mut() = status,
        Transport::Grpc => {
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        }
    }
    response
}
