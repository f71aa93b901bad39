//! The routes at which clients open a WebSocket: those of each protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, StatusCode};
use serde_json::json;

use super::handshake::Handshake;
use crate::routes::{Access, Answer, Description, OtherMethod, Route, RouteHandler, RoutedRequest};
use crate::sessions::{Protocol, RequestTarget, Services, Unauthenticated};

/// One protocol, with the handshake that all of them share.
struct Upgrade<P> {
    handshake: Arc<Handshake>,
    protocol: Arc<P>,
}

/// A protocol that is served, whatever the claims of its clients.
pub struct ServedProtocol(Box<RouteOf>);

/// Builds the route of one protocol.
type RouteOf = dyn FnOnce(&Arc<Handshake>) -> Route + Send;

impl ServedProtocol {
    /// Serves `protocol` at its paths.
    pub fn new<P: Protocol>(protocol: Arc<P>) -> Self {
        Self(Box::new(move |handshake| route(protocol, handshake)))
    }
}

/// The routes of `protocols`.
pub fn upgrade_routes(services: &Arc<Services>, protocols: Vec<ServedProtocol>) -> Vec<Route> {
    let handshake = Arc::new(Handshake::new(Arc::clone(services)));
    protocols.into_iter().map(|ServedProtocol(route)| route(&handshake)).collect()
}

fn route<P: Protocol>(protocol: Arc<P>, handshake: &Arc<Handshake>) -> Route {
    let (paths, operation, description) = (protocol.paths(), protocol.operation(), protocol.description());
    let last = protocol.last_parameter();
    let access = match protocol.unauthenticated() {
        Unauthenticated::Refused => Access::Tenant,
        Unauthenticated::Closed | Unauthenticated::Accepted(_) => Access::WebSocket,
    };
    let upgrade = Upgrade { handshake: Arc::clone(handshake), protocol };
    let handler = RouteHandler::new(&Arc::new(upgrade), respond);
    Route::new(&[Method::GET], paths, access, operation, handler)
        .last_parameter(last)
        .other_method(OtherMethod::BadRequest)
        .describe(describe(description))
}

/// Adds what all protocols have in common: the headers of a handshake, and the responses of the edge (`upgrade.rs`).
fn describe(description: Description) -> Description {
    let constant = |value| json!({"const": value});
    let upgrade = |answer: Answer| answer.header("upgrade", "The protocol.", constant("websocket"));
    description
        .parameter("header", "connection", "Has `upgrade`.", constant("Upgrade"))
        .parameter("header", "upgrade", "Has `websocket`.", constant("websocket"))
        .parameter("header", "sec-websocket-version", "The version of the protocol.", constant("13"))
        .parameter(
            "header",
            "sec-websocket-key",
            "16 random bytes in base64, whose last digit has two bits.",
            json!({"type": "string", "pattern": "^[A-Za-z0-9+/]{21}[AQgw]==$"}),
        )
        .answer(upgrade(Answer::empty(StatusCode::SWITCHING_PROTOCOLS, "The WebSocket is open.")))
        .answer(Answer::text(StatusCode::BAD_REQUEST, "It is not a WebSocket handshake."))
        .answer(upgrade(Answer::text(StatusCode::UPGRADE_REQUIRED, "It asks for another version.")).header(
            "sec-websocket-version",
            "The version that is supported.",
            constant("13"),
        ))
}

async fn respond<P: Protocol>(upgrade: Arc<Upgrade<P>>, request: RoutedRequest) -> Response<Bytes> {
    let parameters = request.head.parameters().clone();
    let mut head = request.head.into_parts();
    let (caller, context) = (take(&mut head.extensions), take(&mut head.extensions));
    let request = Request::from_parts(head, ());
    let target = RequestTarget { uri: request.uri().clone(), parameters };
    upgrade.handshake.answer(&upgrade.protocol, (request, target), caller, context).await
}

/// What the router has attached to the request.
fn take<T: Send + Sync + 'static>(extensions: &mut Extensions) -> Arc<T> {
    extensions.remove().expect("the router attaches the caller and the context to each request")
}
