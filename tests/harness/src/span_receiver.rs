//! A collector under the control of a test: takes spans by OTLP, over HTTP or gRPC, and keeps them.
//!
//! The messages are declared here, field by field as OTLP numbers them, so that nothing of what encodes them decodes them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

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

/// A span that it got.
#[derive(Debug, Clone)]
pub struct ReceivedSpan {
    /// The id of its trace, in hexadecimal digits.
    pub trace_id: String,
    /// Its own id.
    pub span_id: String,
    /// That of the span above; empty if there is none.
    pub parent_span_id: String,
    /// The header `tracestate`.
    pub trace_state: String,
    /// Its name.
    pub name: String,
    /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub began: u64,
    /// Nanoseconds since 1970.
    pub ended: u64,
    /// Its attributes, numbers as text.
    pub attributes: BTreeMap<String, String>,
    /// Those of the process.
    pub resource: BTreeMap<String, String>,
    /// Whether it failed.
    pub is_error: bool,
}

impl ReceivedSpan {
    /// An attribute; empty without it.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
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

fn received(of_resource: ResourceSpans) -> Vec<ReceivedSpan> {
    let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
    let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
    let received = |span: Span| ReceivedSpan {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: hex(&span.parent_span_id),
        trace_state: span.trace_state,
        name: span.name,
        kind: span.kind,
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        resource: resource.clone(),
        is_error: span.status.is_some_and(|status| status.code == 2),
    };
    spans.map(received).collect()
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: AnyValue| {
        let number = value.int_value.map(|number| number.to_string());
        value.string_value.or(number).expect("text or a number")
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value.unwrap_or_default()))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
    #[prost(int64, optional, tag = "3")]
    int_value: Option<i64>,
}
