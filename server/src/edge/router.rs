//! Responds to requests: finds the route, enforces what it declares, and runs its handler.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tracing::{Instrument, Span};

use super::caller::Caller;
use super::listener_kind::ListenerKind;
use super::request_id::{self, X_REQUEST_ID};
use super::request_log::RequestLog;
use super::request_span::RequestSpan;
use super::sockets::{Purpose, Shortage};
use super::{authorise, cors, head_check, request_body};
use crate::node::{LifecyclePhase, Node};
use crate::response::{self, empty, json};
use crate::routes::{OtherMethod, PathParameters, RequestBody, RequestHead, Route};
use crate::routes::{RouteTable, RoutedRequest};
use crate::telemetry::codes::Code;
use crate::telemetry::request_context::{ERROR_CODE, RequestContext};

/// The operation of requests for a path without a route.
const NO_OPERATION: &str = "none";

/// Responds to the requests of all connections of a listener.
pub(super) struct Router {
    node: Arc<Node>,
    routes: Arc<RouteTable>,
    listener: ListenerKind,
}

impl Router {
    pub(super) fn new(node: Arc<Node>, routes: Arc<RouteTable>, listener: ListenerKind) -> Self {
        Self { node, routes, listener }
    }

    /// Responds to one request of `caller`, gives it an id, and logs it.
    pub(super) async fn handle(
        &self,
        mut request: Request<Incoming>,
        caller: Arc<Caller>,
    ) -> Response<Full<Bytes>> {
        let id = request_id::choose(request.headers(), &self.node.settings().server.request_id_baggage_key);
        let found = self.routes.find(request.method(), request.uri().path());
        let route = found.as_ref().map(|(route, _)| *route);
        let traced = RequestSpan::start(&self.node.traces, route, &request);
        let context = RequestContext::new(&id, caller.address).in_trace(traced.context());
        let context = Arc::new(context);
        let (log, span) = (RequestLog::start(&request), context.span());
        let (socket, payer) = (Arc::clone(&caller.socket), Arc::clone(&caller.payer));
        let (purpose, address) = (socket.purpose(), caller.address);
        request.extensions_mut().insert(Arc::clone(&payer));
        request.extensions_mut().insert(caller);
        // Handlers of upgrade routes keep it for as long as their WebSocket is open.
        request.extensions_mut().insert(context);
        let started = Instant::now();
        let operation = route.map_or(NO_OPERATION, |route| route.operation().id);
        let responding = async {
            match purpose {
                Purpose::HealthChecks(shortage) if !route.is_some_and(Route::is_health_check) => {
                    socket.count_refused(shortage);
                    too_many_sockets(shortage)
                }
                _ => self.respond(request, found).await,
            }
        };
        let mut response = response::retry_later(responding.instrument(span.clone()).await);
        payer.reset();
        self.node.metrics.http.note(operation, response.status(), started.elapsed());
        traced.finish(&response, &id, address);
        if !log.is_health_check() || self.node.settings().telemetry.log_health_checks {
            span.in_scope(|| log.finish(&response, &self.node.metrics.line_limits));
        }
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, request_id::value(&id));
        let ends = self.node.lifecycle.has_reached(LifecyclePhase::NotReady) || purpose != Purpose::Any;
        if ends && !headers.contains_key(header::UPGRADE) {
            // The client's next request should reach another node, or a connection that is not reserved.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(Full::new)
    }

    /// Enforces what precedes the handler of the route that was found: the form of the head, content negotiation, CORS, the method.
    async fn respond(
        &self,
        request: Request<Incoming>,
        found: Option<(&Route, PathParameters)>,
    ) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        if let Err(reason) = head_check::check(&head) {
            return bad_request(reason);
        }
        let Some((route, parameters)) = found else {
            return not_found();
        };
        if head.uri.scheme().is_some() && !route.is_below_gateway_prefix() {
            // It exists exactly as it is declared: a gateway that filters by path may not look into whole URIs.
            return not_found();
        }
        if !self.listener.serves(route) {
            return self.served_elsewhere();
        }
        if route.is_negotiated() && !accepts_json(&head.headers) {
            return json(StatusCode::NOT_ACCEPTABLE, &"Not Acceptable".into());
        }
        let is_cross_origin = route.is_cross_origin(&self.node.settings());
        let mut response = if is_cross_origin && head.method == Method::OPTIONS {
            cors::preflight(route, &head.headers)
        } else if route.methods().contains(&head.method) {
            self.call(route, head, parameters, body).await
        } else {
            self.other_method(route, &head)
        };
        if is_cross_origin {
            cors::allow_any_origin(response.headers_mut());
        }
        response
    }

    /// Runs the handler of `route`, if the client may use it.
    async fn call(
        &self,
        route: &Route,
        head: Parts,
        parameters: PathParameters,
        body: Incoming,
    ) -> Response<Bytes> {
        let caller = head.extensions.get::<Arc<Caller>>().expect("attached to each request");
        let (network, closing) = (caller.network, caller.socket.closing_notify());
        match authorise::operator(&self.node, route.access(), &head.headers, network) {
            Ok(operator) => {
                let body = self.body(route, body);
                let is_operator = operator.is_some();
                let head = RequestHead::new(head, parameters, operator, closing);
                let mut response = route.respond(RoutedRequest { head, body }).await;
                if is_operator {
                    self.node.reports.attribute(&mut response);
                }
                response
            }
            Err(refusal) => authorise::refused(route.access(), &refusal),
        }
    }

    /// The response to a request for a route that the other listener serves. Clients are not referred to operators' port.
    fn served_elsewhere(&self) -> Response<Bytes> {
        if self.listener != ListenerKind::Internal {
            return not_found();
        }
        Span::current().record(ERROR_CODE, Code::PathNotFound.name());
        let port = self.node.settings().server.port;
        let text = format!(
            "Not Found: this is the internal port (server.internal.port), for operators and health checks. Clients use \
             server.port, {port}"
        );
        json(StatusCode::NOT_FOUND, &text.into())
    }

    fn other_method(&self, route: &Route, head: &Parts) -> Response<Bytes> {
        match route.on_other_method() {
            OtherMethod::NotFound => not_found(),
            OtherMethod::BadRequest => empty(StatusCode::BAD_REQUEST),
            OtherMethod::NotAllowed => {
                let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &"Method Not Allowed".into());
                let allowed = self.routes.allowed_methods(head.uri.path());
                let allowed = HeaderValue::from_str(&allowed).expect("methods are tokens");
                response.headers_mut().insert(header::ALLOW, allowed);
                response
            }
        }
    }

    /// The body, within the limit of `route` and the time for a request. Nothing is read before it is polled.
    fn body(&self, route: &Route, body: Incoming) -> RequestBody {
        let settings = self.node.settings();
        let limit = route.max_body().map_or(0, |limit| (limit.value)(&settings).as_u64());
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let timeout = settings.server.handshake_timeout;
        RequestBody::new(move |memory| request_body::read(body, limit, timeout, memory))
    }
}

/// Whether the client accepts JSON (docs/protocol/http.md#content-negotiation).
fn accepts_json(request: &http::HeaderMap) -> bool {
    let mut accepted = request.get_all(header::ACCEPT).iter().peekable();
    let json = |range: &str| {
        let kind = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", "application/json"].iter().any(|good| kind.eq_ignore_ascii_case(good))
    };
    accepted.peek().is_none()
        || accepted.any(|list| list.to_str().is_ok_and(|list| list.split(',').any(json)))
}

/// The response to a request whose connection is reserved for health checks.
fn too_many_sockets(shortage: Shortage) -> Response<Bytes> {
    let code = shortage.code();
    Span::current().record(ERROR_CODE, code.name());
    json(StatusCode::SERVICE_UNAVAILABLE, &code.text().into())
}

/// The response to a request with an invalid head. Where the next request would begin is uncertain, so there is none.
fn bad_request(reason: &'static str) -> Response<Bytes> {
    let mut response = json(StatusCode::BAD_REQUEST, &format!("Bad Request: {reason}").into());
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The response at paths without a route (docs/protocol/http.md#errors-without-a-controller).
fn not_found() -> Response<Bytes> {
    Span::current().record(ERROR_CODE, Code::PathNotFound.name());
    json(StatusCode::NOT_FOUND, &"Not Found".into())
}
