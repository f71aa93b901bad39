//! What a route receives and how it responds: what the OpenAPI document says beyond what the route declares for the edge to
//! enforce. A slice describes its routes where it declares them.
//!
//! Responses that follow from the declaration, such as 413 from the limit of the body, are added by the document
//! (`server/src/openapi/general.rs`).

use http::StatusCode;
use serde_json::{Value, json};

/// JSON, as the document names its type. Responses have a charset in addition.
pub const JSON_TYPE: &str = "application/json";

/// Text.
pub const TEXT_TYPE: &str = "text/plain";

/// Anything.
pub const BYTES_TYPE: &str = "application/octet-stream";

/// What a route receives and how it responds.
#[derive(Debug, Clone, Default)]
pub struct Description {
    tag: &'static str,
    parameters: Vec<Value>,
    body: Vec<MediaType>,
    body_optional: bool,
    answers: Vec<Answer>,
}

/// A body: its type, and the schema of what it contains.
#[derive(Debug, Clone)]
pub struct MediaType {
    pub(crate) media_type: &'static str,
    pub(crate) schema: Value,
}

/// One response. A route may have several with one status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    pub(crate) content: Option<MediaType>,
    pub(crate) headers: Vec<(&'static str, Value)>,
}

impl Description {
    /// A route among those of `tag`, without parameters, body and responses.
    pub fn new(tag: &'static str) -> Self {
        Self { tag, ..Self::default() }
    }

    /// Receives a parameter at `place`: `path`, `query` or `header`. Only those of the path are required.
    #[must_use]
    pub fn parameter(mut self, place: &'static str, name: &'static str, text: &str, schema: Value) -> Self {
        self.parameters.push(json!({
            "name": name,
            "in": place,
            "required": place == "path",
            "description": text,
            "schema": schema,
        }));
        self
    }

    /// Receives what selects a tenant beside the name of the host (docs/protocol/http.md#tenant-selection).
    #[must_use]
    pub fn tenant_selection(self) -> Self {
        let text = "The tenant, instead of the first label of the host name.";
        self.parameter("header", "x-tenant", text, json!({"type": "string"})).parameter(
            "query",
            "tenant",
            text,
            json!({"type": "string"}),
        )
    }

    /// Receives a body of this type, or of one of several.
    #[must_use]
    pub fn body(mut self, media_type: &'static str, schema: Value) -> Self {
        self.body.push(MediaType { media_type, schema });
        self
    }

    /// May be requested without a body.
    #[must_use]
    pub fn or_no_body(self) -> Self {
        Self { body_optional: true, ..self }
    }

    /// Responds so.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answers.push(answer);
        self
    }

    /// Responds with JSON of this schema.
    #[must_use]
    pub fn json(self, status: StatusCode, text: &'static str, schema: Value) -> Self {
        self.answer(Answer::json(status, text, schema))
    }

    /// Responds without a body.
    #[must_use]
    pub fn empty(self, status: StatusCode, text: &'static str) -> Self {
        self.answer(Answer::empty(status, text))
    }
}

/// What the document reads.
impl Description {
    /// What the route is about, in one word.
    pub fn tag(&self) -> &'static str {
        self.tag
    }

    /// Parameter objects of OpenAPI.
    pub fn parameters(&self) -> &[Value] {
        &self.parameters
    }

    /// The types of body that it takes.
    pub fn bodies(&self) -> &[MediaType] {
        &self.body
    }

    /// Whether a request may have none.
    pub fn is_body_optional(&self) -> bool {
        self.body_optional
    }

    /// How it responds.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }
}

impl Answer {
    /// A response without a body.
    pub fn empty(status: StatusCode, text: &'static str) -> Self {
        Self { status, text, content: None, headers: Vec::new() }
    }

    /// A response with JSON of this schema.
    pub fn json(status: StatusCode, text: &'static str, schema: Value) -> Self {
        Self::empty(status, text).content(JSON_TYPE, schema)
    }

    /// A response with text.
    pub fn text(status: StatusCode, text: &'static str) -> Self {
        Self::empty(status, text).content(TEXT_TYPE, json!({"type": "string"}))
    }

    /// Has a body of this type.
    #[must_use]
    pub fn content(mut self, media_type: &'static str, schema: Value) -> Self {
        self.content = Some(MediaType { media_type, schema });
        self
    }

    /// Has a header, described by a header object of OpenAPI.
    #[must_use]
    pub fn header(mut self, name: &'static str, text: &str, schema: Value) -> Self {
        self.headers.push((name, json!({"description": text, "schema": schema})));
        self
    }
}
