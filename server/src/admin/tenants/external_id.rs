//! The name of a tenant: in the path of a request, or in its body.

use serde_json::{Map, Value};
use settings::NO_TENANT;

use super::cast;
use super::invalid::FieldError;

/// As a label of a host name (RFC 1035, 2.3.4), which is how clients of upstream select their tenant.
pub(super) const BYTES_MAX: usize = 63;

/// The name in the body of a POST; empty without one, which is then refused with all else that is invalid.
pub(super) fn in_body(body: &Map<String, Value>) -> &str {
    body.get("external_id").and_then(Value::as_str).unwrap_or_default()
}

/// Checks the name of a new tenant.
pub(super) fn check_new(external_id: &str, body: &Map<String, Value>) -> Result<(), FieldError> {
    if external_id.trim().is_empty() {
        let is_other_type = body.get("external_id").is_some_and(|value| !cast::is_empty(value));
        return Err(if is_other_type { FieldError::Invalid } else { FieldError::Blank });
    }
    // What a host name carries, with the underscore of container names, which resolvers and proxies accept as well. Host names
    // have no case, and most clients write them in lower case.
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_allowed = |byte: u8| is_alphanumeric(byte) || matches!(byte, b'-' | b'_');
    let begins = external_id.bytes().next().is_some_and(is_alphanumeric);
    if !external_id.bytes().all(is_allowed) || !begins {
        return Err(FieldError::Format);
    }
    if external_id == NO_TENANT {
        return Err(FieldError::Reserved);
    }
    if external_id.len() > BYTES_MAX { Err(FieldError::TooLong(BYTES_MAX)) } else { Ok(()) }
}

/// Checks that a body leaves the name of a tenant as it is. Its case is no difference, and stays.
pub(super) fn check_same(external_id: &str, body: &Map<String, Value>) -> Result<(), FieldError> {
    match body.get("external_id") {
        None => Ok(()),
        Some(Value::String(given)) if given.eq_ignore_ascii_case(external_id) => Ok(()),
        Some(value) if cast::is_empty(value) => Err(FieldError::Blank),
        Some(Value::String(_)) => Err(FieldError::Fixed),
        Some(_) => Err(FieldError::Invalid),
    }
}
