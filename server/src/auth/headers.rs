//! Headers of a request as policies of a database read them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

/// Those headers for which `is_kept` is true, as a JSON object. Lines of one name are joined as RFC 9110 §5.3 has it, so that no
/// line of a client hides that of a proxy.
pub fn headers_as_json(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> Arc<str> {
    let kept = headers.keys().filter(|name| is_kept(name));
    let values = kept.map(|name| {
        let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
        (name.to_string(), lines.collect::<Vec<_>>().join(", ").into())
    });
    Value::Object(values.collect::<Map<_, _>>()).to_string().into()
}
