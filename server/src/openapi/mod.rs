//! The OpenAPI document of everything that this server answers over HTTP (docs/protocol/http.md#openapi).
//!
//! It is written once, at the start, from the table of all routes: methods, paths, access and limits from what each route
//! declares, bodies and responses from its description. Tests compare it with real responses. A
//! page shows it (`viewer.rs`).

mod document;
mod fixed_page;
mod general;
mod operation;
mod schemas;
mod security;
mod viewer;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use serde_json::json;

pub use self::document::document;
use self::fixed_page::{FixedPage, describe};
use crate::response;
use crate::routes::{Access, JSON_TYPE, Operation, PAGE, RequestHead, Route, RouteHandler, RouteTable};

/// The document, once the table of routes is complete. It has its own route as well.
#[derive(Debug, Default)]
pub struct ApiDocument(OnceLock<FixedPage>);

impl ApiDocument {
    /// Writes the document of these routes. A second call changes nothing.
    pub fn write(&self, routes: &RouteTable) {
        let _written_before = self.0.set(FixedPage::new(response::JSON, document(routes).to_string()));
    }
}

/// The routes that describe the others.
pub fn routes(document: &Arc<ApiDocument>) -> Vec<Route> {
    let operation = Operation { id: "getOpenApi", summary: "Describes all routes as an OpenAPI document." };
    let handler = RouteHandler::immediate(document, show_document);
    let route = Route::new(PAGE, &["/api/openapi"], Access::Public, operation, handler);
    let schema = json!({"type": "object", "required": ["openapi", "paths"]});
    vec![route.describe(describe(JSON_TYPE, schema)), viewer::route()]
}

fn show_document(document: &ApiDocument, head: &RequestHead) -> Response<Bytes> {
    let page = document.0.get().expect("it is written before the listener starts");
    page.respond(head.headers())
}
