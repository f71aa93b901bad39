//! HTTP routes: what a slice declares about each of its endpoints.
//!
//! A route states everything that is decided before its handler runs: methods, paths, access, the size of a body. Slices
//! declare routes, `app` collects them in one [`RouteTable`], and `edge` enforces what they state, so that authorization of
//! operators, method checks and body limits exist once. The generated page `docs/http.md` lists them, and the OpenAPI
//! document describes them in full.

mod description;
mod path;
mod request;
pub mod schema;
mod table;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response};
use settings::{ByteSize, Settings};

pub use self::description::{Answer, BYTES_TYPE, Description, JSON_TYPE, MediaType, TEXT_TYPE};
pub use self::path::{LastParameter, PathParameters};
use self::path::{Matching, PathPattern, RequestPath};
pub use self::request::{BodyError, ReceivedBody, RequestBody, RequestHead, RoutedRequest};
pub use self::table::RouteTable;

/// The methods of a page. hyper removes the body from the response to HEAD.
pub const PAGE: &[Method] = &[Method::GET, Method::HEAD];

/// The method of an action.
pub const ACTION: &[Method] = &[Method::POST];

/// Who may use a route. Checked before the handler runs, and before the body is read. Operators' routes and that of the
/// metrics exist exactly as declared, because gateways filter them by path; the others below the gateway's prefix as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every client that reaches the port.
    Public,
    /// The bearer of an operator token, others get 401 (docs/protocol/tokens.md#operator-tokens).
    Operator,
    /// As `Operator`, but others get 403 without a body, as from upstream's management API
    /// (docs/protocol/http.md#management-api).
    Management,
    /// Every client, or with `admin.metrics_jwt_secret` the bearer of a metrics token; others get 403.
    Metrics,
    /// The bearer of a token of the tenant that the request names. The handler verifies it, because other documented
    /// checks precede that one (docs/protocol/http.md#broadcast-checks).
    Tenant,
    /// As `Tenant`, but the handshake of a WebSocket succeeds without a token as well: the client sends one later, or reads in the close
    /// code why it is refused (docs/protocol/documents.md).
    WebSocket,
}

impl Access {
    /// How literally the paths of routes with this access are compared.
    fn matching(self) -> Matching {
        match self {
            Self::Operator | Self::Metrics => Matching::Exact,
            Self::Public | Self::Tenant | Self::WebSocket => Matching::Lenient,
            Self::Management => Matching::Prefixed,
        }
    }
}

/// The response to a method that no route at the path takes. Upstream's paths keep upstream's responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherMethod {
    /// 404, as for an unknown path.
    NotFound,
    /// 405 with the header `allow`.
    NotAllowed,
    /// 400 without a body.
    BadRequest,
}

/// The name of a route for API descriptions (OpenAPI's `operationId` and `summary`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Unique among all routes.
    pub id: &'static str,
    /// What the route does, in one sentence.
    pub summary: &'static str,
}

/// The largest body that a route takes.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit {
    /// The setting that limits it.
    pub key: &'static str,
    /// The value of that setting.
    pub value: fn(&Settings) -> ByteSize,
}

/// The code behind a route, with the state it needs.
#[derive(Clone)]
pub struct RouteHandler(Arc<dyn Fn(RoutedRequest) -> HandlerFuture + Send + Sync>);

/// A response under way.
type HandlerFuture = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

impl RouteHandler {
    /// A handler that awaits something, the body for example.
    pub fn new<S, F>(state: &Arc<S>, respond: fn(Arc<S>, RoutedRequest) -> F) -> Self
    where
        S: Send + Sync + 'static,
        F: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let state = Arc::clone(state);
        Self(Arc::new(move |request| Box::pin(respond(Arc::clone(&state), request))))
    }

    /// A handler that needs the head of the request only, and responds without awaiting.
    pub fn immediate<S>(state: &Arc<S>, respond: fn(&S, &RequestHead) -> Response<Bytes>) -> Self
    where
        S: Send + Sync + 'static,
    {
        let state = Arc::clone(state);
        Self(Arc::new(move |request| Box::pin(std::future::ready(respond(&state, &request.head)))))
    }
}

/// One operation, at one or several paths.
#[derive(Clone)]
pub struct Route {
    methods: &'static [Method],
    paths: Vec<PathPattern>,
    access: Access,
    operation: Operation,
    handler: RouteHandler,
    other_method: OtherMethod,
    body_limit: Option<BodyLimit>,
    cross_origin: Option<fn(&Settings) -> bool>,
    negotiated: bool,
    health_check: bool,
    description: Description,
}

impl Route {
    /// A route without a body, whose other methods are not found. A path may hold parameters: `/rooms/{id}/close`. How
    /// literally it is compared follows from `access`.
    pub fn new(
        methods: &'static [Method],
        paths: &[&'static str],
        access: Access,
        operation: Operation,
        handler: RouteHandler,
    ) -> Self {
        Self {
            methods,
            paths: paths.iter().map(|path| PathPattern::new(path, access.matching())).collect(),
            access,
            operation,
            handler,
            other_method: OtherMethod::NotFound,
            body_limit: None,
            cross_origin: None,
            negotiated: false,
            health_check: false,
            description: Description::default(),
        }
    }

    /// Describes what it receives and how it responds.
    #[must_use]
    pub fn describe(self, description: Description) -> Self {
        Self { description, ..self }
    }

    /// Chooses how much of a path its last parameter is.
    #[must_use]
    pub fn last_parameter(self, extent: LastParameter) -> Self {
        let paths = self.paths.into_iter().map(|path| path.last_parameter(extent)).collect();
        Self { paths, ..self }
    }

    /// Chooses the response to other methods.
    #[must_use]
    pub fn other_method(self, other_method: OtherMethod) -> Self {
        Self { other_method, ..self }
    }

    /// Takes a body, up to the value of the setting `key`.
    #[must_use]
    pub fn body_limit(self, key: &'static str, value: fn(&Settings) -> ByteSize) -> Self {
        Self { body_limit: Some(BodyLimit { key, value }), ..self }
    }

    /// Allows browsers at other origins while `is_enabled`, preflight requests included
    /// (docs/protocol/http.md#cors).
    #[must_use]
    pub fn cross_origin(self, is_enabled: fn(&Settings) -> bool) -> Self {
        Self { cross_origin: Some(is_enabled), ..self }
    }

    /// Refuses clients that do not accept JSON (docs/protocol/http.md#content-negotiation).
    #[must_use]
    pub fn negotiated(self) -> Self {
        Self { negotiated: true, ..self }
    }

    /// Is requested by what watches the server, so that connections are reserved for it (`server.reserved_sockets`).
    #[must_use]
    pub fn health_check(self) -> Self {
        Self { health_check: true, ..self }
    }
}

/// What the edge enforces, and what descriptions print.
impl Route {
    /// The methods that the handler takes.
    pub fn methods(&self) -> &'static [Method] {
        self.methods
    }

    /// The path of a request for it, as it is declared.
    pub fn declared_path(&self, path: &str) -> Option<&'static str> {
        let path = RequestPath::split(path);
        let declared = self.paths.iter().find(|pattern| pattern.parameters(&path).is_some());
        declared.map(|pattern| pattern.text)
    }

    /// The paths as they were declared.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.paths.iter().map(|path| path.text)
    }

    /// Whether the route exists below the gateway's prefix as well.
    pub fn is_below_gateway_prefix(&self) -> bool {
        self.access.matching() != Matching::Exact
    }

    /// Who may use it.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Its name in descriptions.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The response to other methods.
    pub fn on_other_method(&self) -> OtherMethod {
        self.other_method
    }

    /// The largest body that it takes; `None` if it takes none.
    pub fn max_body(&self) -> Option<BodyLimit> {
        self.body_limit
    }

    /// Whether browsers at other origins may use it.
    pub fn is_cross_origin(&self, settings: &Settings) -> bool {
        self.cross_origin.is_some_and(|is_enabled| is_enabled(settings))
    }

    /// Whether settings can allow browsers at other origins to use it.
    pub fn can_be_cross_origin(&self) -> bool {
        self.cross_origin.is_some()
    }

    /// Whether the client must accept JSON.
    pub fn is_negotiated(&self) -> bool {
        self.negotiated
    }

    /// What it receives and how it responds.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Whether the internal listener serves it as well (`[server.internal]`): it is for operators, or for what watches the
    /// server.
    pub fn is_internal(&self) -> bool {
        self.health_check || self.is_for_operators()
    }

    /// Whether it is for operators and readers of the metrics, and not for clients.
    pub fn is_for_operators(&self) -> bool {
        matches!(self.access, Access::Operator | Access::Management | Access::Metrics)
    }

    /// Whether connections are reserved for it.
    pub fn is_health_check(&self) -> bool {
        self.health_check
    }

    /// Runs the handler.
    pub async fn respond(&self, request: RoutedRequest) -> Response<Bytes> {
        (self.handler.0)(request).await
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Route").field(&self.operation.id).finish()
    }
}
