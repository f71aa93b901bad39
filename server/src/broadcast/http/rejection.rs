//! Why a broadcast is refused: a status and a JSON body.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::response;
use crate::routes::BodyError;
use crate::telemetry::codes::Code;

/// What is wrong with a request that is refused without an operational code.
const INVALID_REQUEST: &str = "InvalidRequest";

pub(super) struct Rejection {
    status: StatusCode,
    body: Value,
    /// With what it is reported, if it is.
    code: Option<Code>,
}

impl Rejection {
    /// A refusal with one text.
    pub(super) fn message(status: StatusCode, code: Code, text: &str) -> Self {
        Self { status, body: json!({ "message": text }), code: Some(code) }
    }

    /// 422 with the errors of each field.
    pub(super) fn errors(errors: Value) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body: json!({ "errors": errors }), code: None }
    }

    /// The body is not JSON.
    pub(super) fn not_json() -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: "Bad Request".into(), code: None }
    }

    /// The body cannot be read, which is reported with `code`.
    pub(super) fn unread(error: BodyError, code: Code) -> Self {
        Self { code: Some(code), ..error.into() }
    }

    /// As spans have it.
    pub(super) fn kind(&self) -> &'static str {
        self.code.map_or(INVALID_REQUEST, Code::name)
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        response::json(self.status, &self.body)
    }
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        Self { status: error.status(), body: error.to_string().into(), code: None }
    }
}
