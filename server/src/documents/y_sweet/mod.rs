//! The HTTP routes of y-sweet's SDK (docs/protocol/documents.md#y-sweet): with them a backend names documents, and gets for each of its
//! users the address and the token with which y-sweet's client opens one.
//!
//! A document is there from its first change on, so nothing is created here. Its id is the name of a room, whose document `default` it is.

mod address;
mod backend;
mod client_token;
mod description;
mod document_id;
mod refusal;
mod store_check;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;

use self::backend::YSweetBackend;
use self::client_token::ClientTokenRequest;
use self::document_id::{DocumentId, NewDocument};
use self::refusal::YSweetRefusal;
use super::Documents;
use crate::node::{Node, Readiness};
use crate::response;
use crate::routes::{ACTION, Access, Operation, PAGE, RequestHead, Route, RouteHandler, RoutedRequest};

/// The check of the store is requested with POST, and by earlier versions of the SDK with GET.
const CHECK: &[Method] = &[Method::GET, Method::POST];

/// The routes of y-sweet's SDK.
pub fn routes(documents: &Arc<Documents>) -> Vec<Route> {
    let of_backend = |methods, path, id, summary, handler| {
        Route::new(methods, &[path], Access::Tenant, Operation { id, summary }, handler)
    };
    let with_body = |path, id, summary, handler| {
        of_backend(ACTION, path, id, summary, handler)
            .body_limit("documents.max_body_size", |settings| settings.documents.max_body_size)
    };
    vec![
        with_body(
            "/doc/new",
            "createDocument",
            "Chooses the id of a document, or checks the one in the body.",
            RouteHandler::new(documents, create),
        )
        .describe(description::create()),
        with_body(
            "/doc/{id}/auth",
            "createDocumentToken",
            "Signs a token with which a client opens the document.",
            RouteHandler::new(documents, sign),
        )
        .describe(description::sign()),
        of_backend(
            CHECK,
            "/check_store",
            "checkDocumentStore",
            "Reports whether the store returns documents.",
            RouteHandler::new(documents, check_store),
        )
        .describe(description::check_store()),
        Route::new(
            PAGE,
            &["/ready"],
            Access::Public,
            Operation { id: "getYSweetReadiness", summary: "Reports readiness as y-sweet does." },
            RouteHandler::immediate(&documents.node, ready),
        )
        .health_check()
        .describe(description::ready()),
    ]
}

async fn create(documents: Arc<Documents>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let backend = match YSweetBackend::authenticate(&documents.node, &head).await {
        Ok(backend) => backend,
        Err(refusal) => return refusal.response(),
    };
    let id = backend.read::<NewDocument>(body).await.and_then(NewDocument::id);
    backend.respond(id.map(|id| json!({ "docId": id.as_str() })))
}

async fn sign(documents: Arc<Documents>, request: RoutedRequest) -> Response<Bytes> {
    let RoutedRequest { head, body } = request;
    let backend = match YSweetBackend::authenticate(&documents.node, &head).await {
        Ok(backend) => backend,
        Err(refusal) => return refusal.response(),
    };
    let signed = signed(&documents.node, &backend, &head, backend.read(body).await);
    backend.respond(signed)
}

fn signed(
    node: &Node,
    backend: &YSweetBackend,
    head: &RequestHead,
    request: Result<ClientTokenRequest, YSweetRefusal>,
) -> Result<serde_json::Value, YSweetRefusal> {
    let (id, request) = (DocumentId::parse(head.parameter("id"))?, request?);
    let token = client_token::sign(backend, &id, &request)?;
    let address = address::of(&node.settings().server, head, &backend.tenant)?;
    Ok(json!({
        "url": address.websocket(),
        "baseUrl": address.http(&id),
        "docId": id.as_str(),
        "token": token,
        "authorization": request.authorization,
    }))
}

async fn check_store(documents: Arc<Documents>, request: RoutedRequest) -> Response<Bytes> {
    let backend = match YSweetBackend::authenticate(&documents.node, &request.head).await {
        Ok(backend) => backend,
        Err(refusal) => return refusal.response(),
    };
    backend.respond(Ok(match store_check::check(&documents, &backend.tenant).await {
        Ok(()) => json!({ "ok": true }),
        Err(text) => json!({ "ok": false, "error": text }),
    }))
}

fn ready(node: &Node, _: &RequestHead) -> Response<Bytes> {
    match node.readiness() {
        Readiness::Ready | Readiness::Degraded => response::json(StatusCode::OK, &json!({ "ok": true })),
        Readiness::Stopping => response::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "ok": false })),
    }
}
