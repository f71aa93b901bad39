//! The routes at which clients open a WebSocket: those of each protocol.

use std::sync::Arc;

use bytes::Bytes;
use http::{Extensions, Method, Request, Response, StatusCode};
use serde_json::json;

use super::handshake::Handshake;
use crate::routes::{Access, Answer, Description, OtherMethod, Route, RouteHandler, RoutedRequest};
use crate::sessions::{Protocol, Services};

/// One protocol, with the handshake that all of them share.
struct Upgrade {
    handshake: Arc<Handshake>,
    protocol: Arc<dyn Protocol>,
}

/// The routes of `protocols`.
pub fn upgrade_routes(services: &Arc<Services>, protocols: &[Arc<dyn Protocol>]) -> Vec<Route> {
    let handshake = Arc::new(Handshake::new(Arc::clone(services)));
    let route = |protocol: &Arc<dyn Protocol>| {
        let upgrade = Upgrade { handshake: Arc::clone(&handshake), protocol: Arc::clone(protocol) };
        let handler = RouteHandler::new(&Arc::new(upgrade), respond);
        Route::new(&[Method::GET], protocol.paths(), Access::Tenant, protocol.operation(), handler)
            .other_method(OtherMethod::BadRequest)
            .describe(describe(protocol.description()))
    };
    protocols.iter().map(route).collect()
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

async fn respond(upgrade: Arc<Upgrade>, request: RoutedRequest) -> Response<Bytes> {
    let mut head = request.head.into_parts();
    let (caller, context) = (take(&mut head.extensions), take(&mut head.extensions));
    let request = Request::from_parts(head, ());
    upgrade.handshake.answer(&upgrade.protocol, request, caller, context).await
}

/// What the router has attached to the request.
fn take<T: Send + Sync + 'static>(extensions: &mut Extensions) -> Arc<T> {
    extensions.remove().expect("the router attaches the caller and the context to each request")
}
