//! What distinguishes the protocols that clients use over a WebSocket: paths, handshake, sessions.
//!
//! The edge keeps what all of them have in common: the WebSocket, the limits, the tenant, the verification of the
//! token. It knows a protocol by this trait alone; `app` lists them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri};
use hub::Dialect;

use super::{ClientContext, Services, Session};
use crate::routes::{Description, Operation};
use crate::telemetry::codes::Code;

/// A protocol that clients use over a WebSocket.
pub trait Protocol: Send + Sync {
    /// The paths at which its clients connect, without the prefix of upstream's gateway.
    fn paths(&self) -> &'static [&'static str];

    /// The name of its route in descriptions.
    fn operation(&self) -> Operation;

    /// What its handshakes receive, and the responses to those that it refuses.
    fn description(&self) -> Description;

    /// The WebSocket subprotocol that is confirmed to clients that offer it.
    fn subprotocol(&self) -> Option<&'static str>;

    /// The dialect that a handshake asks for.
    ///
    /// # Errors
    /// When this protocol has no such dialect. Answered before anything is counted.
    fn dialect(&self, headers: &HeaderMap, uri: &Uri) -> Result<Dialect, HandshakeError>;

    /// The token by which a handshake is decided.
    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>>;

    /// The response to a handshake that is refused.
    fn refusal(&self, error: &HandshakeError) -> Response<Bytes>;

    /// The session of a client whose handshake was accepted.
    fn session(&self, services: Arc<Services>, client: ClientContext) -> Box<dyn Session>;
}

/// Why a handshake is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandshakeError {
    /// The status of the response.
    pub status: StatusCode,
    /// The code in the log.
    pub code: Code,
    /// What the client is told.
    pub text: Cow<'static, str>,
}

impl HandshakeError {
    /// An error with the code's own text.
    pub const fn of(status: StatusCode, code: Code) -> Self {
        Self { status, code, text: Cow::Borrowed(code.text()) }
    }
}
