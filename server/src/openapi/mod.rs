//! The OpenAPI document of everything that this server answers over HTTP (docs/protocol/http.md#openapi).
//!
//! It is written once, at the start, from the table of all routes: methods, paths, access and limits from what each route
//! declares, bodies and responses from its description. Tests compare it with real responses.

mod document;
mod general;
mod operation;
mod schemas;
mod security;

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ring::digest;
use serde_json::json;

pub use self::document::document;
use crate::response;
use crate::routes::{
    Access, Answer, Description, JSON_TYPE, Operation, PAGE, RequestHead, Route, RouteHandler, RouteTable,
};

/// What this module's routes are about.
const TAG: &str = "description";

/// The document, once the table of routes is complete. It has its own route as well.
#[derive(Debug, Default)]
pub struct ApiDocument(OnceLock<Page>);

/// A page that stays the same until the process ends.
#[derive(Debug)]
struct Page {
    text: Bytes,
    /// Identifies the text.
    etag: HeaderValue,
}

impl ApiDocument {
    /// Writes the document of these routes. A second call changes nothing.
    pub fn write(&self, routes: &RouteTable) {
        let _written_before = self.0.set(Page::new(document(routes).to_string().into()));
    }
}

impl Page {
    fn new(text: Bytes) -> Self {
        let digest = digest::digest(&digest::SHA256, &text);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]));
        Self { text, etag: HeaderValue::try_from(etag).expect("base64 is a header value") }
    }

    /// The page, or 304 if the client has it.
    fn respond(&self, content_type: &'static str, request: &HeaderMap) -> Response<Bytes> {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        let is_known = |tag: &str| tag.trim().trim_start_matches("W/").as_bytes() == self.etag.as_bytes();
        let mut response = if known.flat_map(|list| list.split(',')).any(is_known) {
            response::empty(StatusCode::NOT_MODIFIED)
        } else {
            response::page(StatusCode::OK, content_type, self.text.clone())
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // Kept, and asked for again each time: another version of the server has another document at this path.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// The routes that describe the others.
pub fn routes(document: &Arc<ApiDocument>) -> Vec<Route> {
    let operation = Operation { id: "getOpenApi", summary: "Describes all routes as an OpenAPI document." };
    let handler = RouteHandler::immediate(document, show_document);
    let route = Route::new(PAGE, &["/api/openapi"], Access::Public, operation, handler);
    vec![route.describe(describe(JSON_TYPE, json!({"type": "object", "required": ["openapi", "paths"]})))]
}

fn show_document(document: &ApiDocument, head: &RequestHead) -> Response<Bytes> {
    let page = document.0.get().expect("it is written before the listener starts");
    page.respond(response::JSON, head.headers())
}

/// A page with an entity tag.
fn describe(media_type: &'static str, schema: serde_json::Value) -> Description {
    let tag = || json!({"type": "string"});
    let tagged = |answer: Answer| answer.header("etag", "Identifies the version of the page.", tag());
    Description::new(TAG)
        .parameter("header", "if-none-match", "Entity tags of versions that the client has.", tag())
        .answer(tagged(Answer::empty(StatusCode::OK, "The page.").content(media_type, schema)))
        .answer(tagged(Answer::empty(StatusCode::NOT_MODIFIED, "The client has the page.")))
}
