//! Headers of a request as policies of a database read them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

/// Those headers for which `is_kept` is true, as a JSON object. Of a header with several lines it has the last.
pub fn headers_as_json(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> Arc<str> {
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    let values =
        kept.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    Value::Object(values.collect::<Map<_, _>>()).to_string().into()
}
