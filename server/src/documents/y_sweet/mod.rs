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

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use serde_json::json;

use self::backend::YSweetBackend;
use self::client_token::ClientTokenRequest;
use self::document_id::{DocumentId, NewDocument};
use self::refusal::YSweetRefusal;
use super::Documents;
use crate::node::Node;
use crate::routes::{ACTION, Access, Operation, RequestHead, Route, RouteHandler, RoutedRequest};

/// The routes of y-sweet's SDK.
pub fn routes(documents: &Arc<Documents>) -> Vec<Route> {
    let of_backend = |path, id, summary, handler| {
        Route::new(ACTION, &[path], Access::Tenant, Operation { id, summary }, handler)
            .body_limit("documents.max_body_size", |settings| settings.documents.max_body_size)
    };
    vec![
        of_backend(
            "/doc/new",
            "createDocument",
            "Chooses the id of a document, or checks the one in the body.",
            RouteHandler::new(documents, create),
        )
        .describe(description::create()),
        of_backend(
            "/doc/{id}/auth",
            "createDocumentToken",
            "Signs a token with which a client opens the document.",
            RouteHandler::new(documents, sign),
        )
        .describe(description::sign()),
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
