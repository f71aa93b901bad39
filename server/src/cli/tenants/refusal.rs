//! What a server refuses, in lines for a person. Nothing of the request is repeated but the name of the tenant.

use std::fmt::Write as _;

use anyhow::anyhow;
use http::StatusCode;
use serde_json::Value;

use super::call::ApiCall;
use super::credentials;
use super::output::printable;

/// The error for a response of this status that is none of success.
pub(super) fn error(call: ApiCall<'_>, status: StatusCode, body: &[u8]) -> anyhow::Error {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let id = call.tenant().unwrap_or_default();
    match (status, call) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => anyhow!(
            "the server refuses the operator's token ({}). It accepts what is signed with its API_JWT_SECRET \
             (admin.jwt_secret), and without that setting no operator at all. `realtime-server token --operator` prints a \
             token; give it with --token-file or in {}",
            status.as_u16(),
            credentials::VARIABLE
        ),
        (StatusCode::NOT_FOUND, ApiCall::Show(_)) => anyhow!("there is no tenant `{id}`"),
        (StatusCode::PRECONDITION_FAILED, ApiCall::Create(_)) => {
            anyhow!("there is a tenant `{id}` already; `update` changes it")
        }
        (StatusCode::PRECONDITION_FAILED, ApiCall::Update(_)) => {
            anyhow!("there is no tenant `{id}`; `create` creates it")
        }
        (StatusCode::PRECONDITION_FAILED, _) => anyhow!("there is no tenant `{id}`"),
        (StatusCode::UNPROCESSABLE_ENTITY, _) if body["errors"].is_object() => {
            anyhow!("the server refuses it:{}", fields(&body["errors"]))
        }
        (StatusCode::SERVICE_UNAVAILABLE, _) => {
            anyhow!("the server cannot do it now; try again: {}", message(status, &body))
        }
        _ => anyhow!("the server refuses it ({}): {}", status.as_u16(), message(status, &body)),
    }
}

/// The text of the server, or what its status means.
fn message(status: StatusCode, body: &Value) -> String {
    let text = body["message"].as_str().or(body.as_str());
    printable(text.or(status.canonical_reason()).unwrap_or("no reason is given"))
}

/// A line for each error of each field.
fn fields(errors: &Value) -> String {
    let mut text = String::new();
    add_fields(&mut text, "", errors);
    text
}

/// Errors are texts in lists, by field; those of an extension are in an object of its own.
fn add_fields(text: &mut String, field: &str, errors: &Value) {
    match errors {
        Value::Object(fields) => {
            for (name, errors) in fields {
                let dot = if field.is_empty() { "" } else { "." };
                add_fields(text, &format!("{field}{dot}{name}"), errors);
            }
        }
        Value::Array(errors) => errors.iter().for_each(|error| add_fields(text, field, error)),
        Value::String(error) => {
            let _written = write!(text, "\n  {}: {}", printable(field), printable(error));
        }
        other => {
            let _written = write!(text, "\n  {}: {other}", printable(field));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_error_of_a_field_is_a_line() {
        let errors = json!({
            "extensions": [{}, {"settings": ["db_host can't be blank", "region is invalid"]}],
            "jwt_secret": ["can't be blank"],
        });
        let expected = "\n  extensions.settings: db_host can't be blank\n  extensions.settings: region is invalid\n  \
                        jwt_secret: can't be blank";
        assert_eq!(fields(&errors), expected);
    }

    #[test]
    fn what_is_no_json_of_ours_is_described_by_its_status() {
        let error = |status, body: &[u8]| error(ApiCall::List, status, body).to_string();
        assert_eq!(error(StatusCode::BAD_GATEWAY, b"<html>"), "the server refuses it (502): Bad Gateway");
        assert_eq!(
            error(StatusCode::CONFLICT, br#"{"message":"a\u001b[1mb"}"#),
            "the server refuses it (409): a\u{fffd}[1mb"
        );
        assert_eq!(error(StatusCode::NOT_FOUND, b""), "the server refuses it (404): Not Found");
    }
}
