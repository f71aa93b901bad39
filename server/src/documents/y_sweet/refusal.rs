//! Why a request of y-sweet's SDK is refused. The SDK shows the status to the backend, and the text is for who reads the response.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::response;
use crate::routes::BodyError;
use crate::telemetry::codes::Code;

/// A refusal: a status and a JSON body.
pub(super) struct YSweetRefusal {
    status: StatusCode,
    body: Value,
}

impl YSweetRefusal {
    pub(super) fn new(status: StatusCode, text: &str) -> Self {
        Self { status, body: json!({ "error": text }) }
    }

    /// The body is not a JSON object.
    pub(super) fn not_an_object() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the body is not a JSON object")
    }

    pub(super) fn response(&self) -> Response<Bytes> {
        response::json(self.status, &self.body)
    }
}

impl From<BodyError> for YSweetRefusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::OutOfMemory => Self::new(error.status(), Code::MemoryLimitReached.text()),
            // As at all routes (docs/protocol/http.md#errors-without-a-controller).
            _ => Self { status: error.status(), body: error.to_string().into() },
        }
    }
}
