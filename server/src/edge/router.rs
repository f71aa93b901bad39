//! Which path leads where. Every path of Supabase Realtime exists twice: as the server has it, and as its
//! gateway shows it to clients, because here no gateway stands in front (docs/protocol/websocket.md#paths).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tracing::{Instrument, Span};

use super::caller::Caller;
use super::handshake::Handshake;
use super::request_id::{self, X_REQUEST_ID};
use super::request_log::Line;
use crate::node::Node;
use crate::query;
use crate::response::{empty, json};
use crate::sessions::{Protocol, Services};
use crate::telemetry::codes::Code;
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};
use crate::{admin, broadcast};

/// What a gateway would strip.
const GATEWAY_PREFIX: [&str; 2] = ["realtime", "v1"];

/// Answers requests.
pub(super) struct Router {
    node: Arc<Node>,
    protocols: Arc<[Arc<dyn Protocol>]>,
    handshake: Handshake,
}

impl Router {
    pub(super) fn new(services: Arc<Services>, protocols: Arc<[Arc<dyn Protocol>]>) -> Self {
        Self { node: Arc::clone(&services.node), protocols, handshake: Handshake::new(services) }
    }

    /// Answers one request of `caller`, gives it its id, and tells the log.
    pub(super) async fn handle(
        &self,
        request: Request<Incoming>,
        caller: Arc<Caller>,
    ) -> Response<Full<Bytes>> {
        let id = request_id::choose(request.headers(), &self.node.settings().server.request_id_baggage_key);
        let origin = Arc::new(RequestContext::new(&id, caller.address));
        let (line, span) = (Line::begin(&request), origin.span());
        let mut response = self.route(request, caller, origin).instrument(span.clone()).await;
        if !line.is_health_check() || self.node.settings().telemetry.log_health_checks {
            span.in_scope(|| line.end(response.status()));
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, request_id::value(&id));
        if self.node.is_leaving() && !headers.contains_key(header::UPGRADE) {
            // The next request of this client had better go elsewhere.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(Full::new)
    }

    async fn route(
        &self,
        request: Request<Incoming>,
        caller: Arc<Caller>,
        origin: Arc<RequestContext>,
    ) -> Response<Bytes> {
        let path = request.uri().path().to_owned();
        // Operators' pages are what gateways filter by path, so they are found under exactly one.
        let exact: Vec<&str> = path.strip_prefix('/').unwrap_or(&path).split('/').collect();
        if let Some(answer) = admin::answer(&self.node, request.method(), &exact, request.headers()).await {
            return answer;
        }
        // In everything else empty segments do not count: SDKs append to addresses that end with a slash.
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let inner = segments.strip_prefix(&GATEWAY_PREFIX).unwrap_or(&segments);
        if let Some(protocol) = self.protocol_at(inner) {
            return match *request.method() {
                Method::GET => self.handshake.answer(protocol, request, caller, origin).await,
                _ => empty(StatusCode::BAD_REQUEST),
            };
        }
        match (request.method(), inner) {
            // To HEAD, hyper sends what GET would get, without the body.
            (&Method::GET | &Method::HEAD, []) => admin::greeting(),
            (&Method::GET | &Method::HEAD, ["health"]) => admin::health(&self.node),
            (&Method::GET | &Method::HEAD, ["healthcheck"]) => admin::healthcheck(),
            (&Method::GET | &Method::HEAD, ["readyz"]) => admin::readyz(&self.node),
            (_, ["readyz"]) => admin::wrong_method("GET, HEAD"),
            (_, ["api", "broadcast"] | ["api", "broadcast", _, "events", _]) => {
                if !accepts_json(request.headers()) {
                    return json(StatusCode::NOT_ACCEPTABLE, &"Not Acceptable".into());
                }
                let segments: Vec<String> = inner.iter().map(|segment| (*segment).to_owned()).collect();
                self.broadcast(request, &segments).await
            }
            _ => not_found(),
        }
    }

    /// The protocol whose clients connect at this path.
    fn protocol_at(&self, segments: &[&str]) -> Option<&Arc<dyn Protocol>> {
        let is_at = |path: &&str| path.split('/').eq(segments.iter().copied());
        self.protocols.iter().find(|protocol| protocol.paths().iter().any(is_at))
    }

    /// The endpoints for broadcasts, with what a browser needs to call them from another origin.
    async fn broadcast(&self, request: Request<Incoming>, segments: &[String]) -> Response<Bytes> {
        let cors = self.node.settings().broadcast.cors;
        let mut response = match *request.method() {
            Method::OPTIONS if cors => preflight(request.headers()),
            Method::POST => self.post_broadcast(request, segments).await,
            _ => not_found(),
        };
        if cors {
            let anyone = HeaderValue::from_static("*");
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
        }
        response
    }

    async fn post_broadcast(&self, request: Request<Incoming>, segments: &[String]) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        // Nothing is read until it is awaited, and that is once the caller has been let in.
        let body = self.collect(body);
        let tenant = self.node.tenant_for_request(&head.headers, &head.uri);
        let caller =
            broadcast::http::Caller { node: &self.node, tenant, headers: &head.headers, uri: &head.uri };
        match segments {
            [_, _, topic, _, event] => {
                let private = query::parameter(&head.uri, "private").as_deref() == Some("true");
                let decode = |segment| percent_decode_str(segment).decode_utf8();
                let (Ok(topic), Ok(event)) = (decode(topic), decode(event)) else {
                    return json(StatusCode::BAD_REQUEST, &"Bad Request".into());
                };
                caller.single(&topic, &event, private, body).await
            }
            _ => caller.batch(body).await,
        }
    }

    /// The whole body, if it is small enough and comes in time.
    async fn collect(&self, body: Incoming) -> Result<Bytes, StatusCode> {
        let settings = self.node.settings();
        let limit = usize::try_from(settings.broadcast.max_body_size.as_u64()).unwrap_or(usize::MAX);
        let collected =
            within(settings.server.handshake_timeout, Limited::new(body, limit).collect()).await?;
        match collected {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_broken) => Err(StatusCode::BAD_REQUEST),
        }
    }
}

async fn within<F: Future>(timeout: Duration, future: F) -> Result<F::Output, StatusCode> {
    tokio::time::timeout(timeout, future).await.map_err(|_elapsed| StatusCode::REQUEST_TIMEOUT)
}

/// Whether the sender can do with JSON, which is all it gets (docs/protocol/http.md#content-negotiation).
fn accepts_json(request: &http::HeaderMap) -> bool {
    let mut accepted = request.get_all(header::ACCEPT).iter().peekable();
    let json = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", "application/json"].iter().any(|good| kind.eq_ignore_ascii_case(good))
    };
    accepted.peek().is_none()
        || accepted.any(|list| list.to_str().is_ok_and(|list| list.split(',').any(json)))
}

/// What a browser asks before it sends a request to another origin.
fn preflight(request: &http::HeaderMap) -> Response<Bytes> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    // Named one by one, as asked: `*` does not cover `authorization`.
    let asked = request.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
    for names in &asked {
        headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    let usual = HeaderValue::from_static("authorization, apikey, content-type, x-client-info");
    headers.entry(header::ACCESS_CONTROL_ALLOW_HEADERS).or_insert(usual);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The answer where no controller is (docs/protocol/http.md#errors-without-a-controller).
fn not_found() -> Response<Bytes> {
    Span::current().record(ERROR_CODE, Code::PathNotFound.name());
    json(StatusCode::NOT_FOUND, &"Not Found".into())
}
