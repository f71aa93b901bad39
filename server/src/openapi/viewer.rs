//! A page that shows the OpenAPI document and sends requests (docs/protocol/http.md#openapi).
//!
//! It is one file of our own, because a viewer such as Swagger UI is larger than the rest of the server's assets by far, and
//! a page without further files works below every path. Its policy allows this script and this style, by their digests, and
//! requests to the server itself: no other host is asked, and what a document contains cannot become code.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header};
use ring::digest;
use serde_json::json;

use super::fixed_page::{FixedPage, describe};
use crate::routes::{Access, Operation, PAGE, RequestHead, Route, RouteHandler};

const STYLE: &str = include_str!("viewer/viewer.css");
const SCRIPT: &str = include_str!("viewer/viewer.js");

const HTML: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Realtime Server: HTTP</title>\n",
    "<link rel=\"icon\" href=\"data:,\">\n<style>",
    include_str!("viewer/viewer.css"),
    "</style>\n</head>\n<body>\n<header><h1>Realtime Server</h1>\n",
    "<label>Token <input id=\"token\" type=\"password\" autocomplete=\"off\"></label></header>\n",
    "<main>Loading…</main>\n<script>",
    include_str!("viewer/viewer.js"),
    "</script>\n</body>\n</html>\n",
);

/// The page and its headers.
struct Viewer {
    page: FixedPage,
    headers: [(HeaderName, HeaderValue); 3],
}

static VIEWER: LazyLock<Viewer> = LazyLock::new(|| {
    let fixed = HeaderValue::from_static;
    let policy = HeaderValue::try_from(policy()).expect("a policy is a header value");
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
    ];
    Viewer { page: FixedPage::new("text/html; charset=utf-8", HTML), headers }
});

/// What the page may do.
fn policy() -> String {
    let digest = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(SCRIPT),
        digest(STYLE),
    )
}

/// The route of the page, at upstream's path.
pub(super) fn route() -> Route {
    let operation = Operation { id: "getViewer", summary: "Shows the OpenAPI document as a page." };
    let handler = RouteHandler::immediate(&Arc::new(()), |(), head| show(head));
    Route::new(PAGE, &["/swaggerui"], Access::Public, operation, handler)
        .describe(describe("text/html", json!({"type": "string"})))
}

fn show(head: &RequestHead) -> Response<Bytes> {
    let Viewer { page, headers } = &*VIEWER;
    let mut response = page.respond(head.headers());
    response.headers_mut().extend(headers.iter().cloned());
    response
}
