//! Why a broadcast is refused: a status and a JSON body.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::response;
use crate::routes::BodyError;

pub(super) struct Rejection {
    status: StatusCode,
    body: Value,
}

impl Rejection {
    /// A refusal with one text.
    pub(super) fn message(status: StatusCode, text: &str) -> Self {
        Self { status, body: json!({ "message": text }) }
    }

    /// 422 with the errors of each field.
    pub(super) fn errors(errors: Value) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, body: json!({ "errors": errors }) }
    }

    /// The body is not JSON.
    pub(super) fn not_json() -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: "Bad Request".into() }
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        response::json(self.status, &self.body)
    }
}

impl From<BodyError> for Rejection {
    fn from(error: BodyError) -> Self {
        Self { status: error.status(), body: error.to_string().into() }
    }
}
