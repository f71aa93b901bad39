//! A page that stays the same until the process ends, with an entity tag.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use ring::digest;
use serde_json::{Value, json};

use crate::response;
use crate::routes::{Answer, Description};

/// What this module's routes are about.
const TAG: &str = "description";

/// The page. All responses share its text.
#[derive(Debug)]
pub(super) struct FixedPage {
    text: Bytes,
    content_type: &'static str,
    /// Identifies the text.
    etag: HeaderValue,
}

impl FixedPage {
    pub(super) fn new(content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let digest = digest::digest(&digest::SHA256, &text);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]));
        let etag = HeaderValue::try_from(etag).expect("base64 is a header value");
        Self { text, content_type, etag }
    }

    /// The page, or 304 if the client has it.
    pub(super) fn respond(&self, request: &HeaderMap) -> Response<Bytes> {
        let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|list| list.to_str().ok());
        let is_known = |tag: &str| tag.trim().trim_start_matches("W/").as_bytes() == self.etag.as_bytes();
        let mut response = if known.flat_map(|list| list.split(',')).any(is_known) {
            response::empty(StatusCode::NOT_MODIFIED)
        } else {
            response::page(StatusCode::OK, self.content_type, self.text.clone())
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // Kept, and asked for again each time: another version of the server has another page at this path.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// The description of a route with a page.
pub(super) fn describe(media_type: &'static str, schema: Value) -> Description {
    let tag = || json!({"type": "string"});
    let tagged = |answer: Answer| answer.header("etag", "Identifies the version of the page.", tag());
    Description::new(TAG)
        .parameter("header", "if-none-match", "Entity tags of versions that the client has.", tag())
        .answer(tagged(Answer::empty(StatusCode::OK, "The page.").content(media_type, schema)))
        .answer(tagged(Answer::empty(StatusCode::NOT_MODIFIED, "The client has the page.")))
}
