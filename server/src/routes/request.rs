//! What a handler receives: the head of a request, and a body that is read on demand.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::str::Utf8Error;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, StatusCode, Uri};
use hub::{MemoryCharge, Party, Payer, TenantMemory};
use percent_encoding::percent_decode_str;
use tokio::sync::Notify;

use super::PathParameters;
use crate::auth::Operator;
use crate::query;
use crate::telemetry::request_context::RequestContext;
use crate::telemetry::traces::TraceContext;
use crate::workers;

/// A request at a route that may be used by its sender.
pub struct RoutedRequest {
    /// All but the body.
    pub head: RequestHead,
    /// The body, not read yet.
    pub body: RequestBody,
}

/// The head of a request, with what its route has found in it.
#[derive(Debug)]
pub struct RequestHead {
    parts: Parts,
    parameters: PathParameters,
    operator: Option<Operator>,
    closing: Arc<Notify>,
}

impl RequestHead {
    /// The head with the parameters of its path, with the operator who sent it at routes for operators, and with what closes
    /// its connection.
    pub fn new(
        parts: Parts,
        parameters: PathParameters,
        operator: Option<Operator>,
        closing: Arc<Notify>,
    ) -> Self {
        Self { parts, parameters, operator, closing }
    }

    /// Notified, it closes the connection at once, whatever was sent of a response.
    pub fn closing(&self) -> &Arc<Notify> {
        &self.closing
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The request target.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The address of the client.
    ///
    /// # Panics
    /// If the request did not come through the router, which attaches the context to each.
    pub fn client_address(&self) -> IpAddr {
        let context = self.parts.extensions.get::<Arc<RequestContext>>();
        context.expect("the router attaches the context to each request").client_address()
    }

    /// The span of the request, if there are traces.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.parts.extensions.get::<Arc<RequestContext>>()?.trace()
    }

    /// Waits for the turn of `party`, whose time it is that the rest of the request takes.
    pub async fn continue_for(&self, party: Party) {
        if let Some(payer) = self.parts.extensions.get::<Arc<Payer>>() {
            workers::continue_for(party, payer).await;
        }
    }

    /// A parameter of the path, as it is in the request target.
    ///
    /// # Panics
    /// If the path of the route has no such parameter.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).expect("the path of the route has this parameter")
    }

    /// The parameters of the path.
    pub fn parameters(&self) -> &PathParameters {
        &self.parameters
    }

    /// A parameter of the path, percent-decoded.
    ///
    /// # Errors
    /// If it is not UTF-8 then.
    pub fn decoded_parameter(&self, name: &str) -> Result<Cow<'_, str>, Utf8Error> {
        percent_decode_str(self.parameter(name)).decode_utf8()
    }

    /// A parameter of the query, percent-decoded.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        query::parameter(&self.parts.uri, name)
    }

    /// The subject of the operator token, if the route requires such a token and it has one. For the log.
    pub fn operator_sub(&self) -> Option<&str> {
        self.operator.as_ref()?.sub()
    }

    /// The head as it was received, with its extensions.
    pub fn into_parts(self) -> Parts {
        self.parts
    }
}

/// The body of a request. It is read when the handler calls [`read`](Self::read), within the limits of its route.
pub struct RequestBody(Box<dyn FnOnce(Arc<TenantMemory>) -> BodyFuture + Send>);

/// A body that is being read.
type BodyFuture = Pin<Box<dyn Future<Output = Result<ReceivedBody, BodyError>> + Send>>;

impl RequestBody {
    /// A body that `read` reads.
    pub fn new<F>(read: impl FnOnce(Arc<TenantMemory>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<ReceivedBody, BodyError>> + Send + 'static,
    {
        Self(Box::new(|memory| Box::pin(read(memory))))
    }

    /// Reads the body to its end. A large one is charged to `memory`, and waits until there is some.
    ///
    /// # Errors
    /// When it is over the limit of the route, finds no memory or does not end in time, or breaks off.
    pub async fn read(self, memory: &Arc<TenantMemory>) -> Result<ReceivedBody, BodyError> {
        (self.0)(Arc::clone(memory)).await
    }
}

/// A whole body, with its charge.
#[derive(Debug)]
pub struct ReceivedBody {
    bytes: Vec<u8>,
    charge: Option<MemoryCharge>,
}

impl ReceivedBody {
    /// A body with the charge for it, if it is large.
    pub fn new(bytes: Vec<u8>, charge: Option<MemoryCharge>) -> Self {
        Self { bytes, charge }
    }

    /// The bytes, and the charge for them.
    pub fn into_parts(self) -> (Vec<u8>, Option<MemoryCharge>) {
        (self.bytes, self.charge)
    }
}

impl Deref for ReceivedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body could not be read (docs/protocol/http.md#errors-without-a-controller).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is over the limit of the route.
    // Upstream's text; the status has been renamed since.
    #[error("Request Entity Too Large")]
    TooLarge,
    /// It did not end within `server.handshake_timeout`.
    #[error("Request Timeout")]
    TimedOut,
    /// The memory of the tenant was used up until then.
    #[error("Too Many Requests")]
    OutOfMemory,
    /// It broke off, or is not what its headers announce.
    #[error("Bad Request")]
    Broken,
}

impl BodyError {
    /// The status of the response; the text of the error is its body, as a JSON string.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::OutOfMemory => StatusCode::TOO_MANY_REQUESTS,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}
