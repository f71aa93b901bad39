//! What distinguishes the protocols that clients use over a WebSocket: paths, handshake, sessions.
//!
//! The edge keeps what all of them have in common: the WebSocket, the limits, the tenant, the verification of the
//! token. It knows a protocol by this trait alone; `app` lists them.
//!
//! A protocol decides what becomes of clients without an accepted token ([`Unauthenticated`]): a response that refuses the handshake is
//! what clients of the Phoenix protocol expect, and what browsers hide from clients of documents.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use hub::Dialect;

use super::{ClientContext, KeptClaims, Services, Session};
use crate::auth::{TokenClaims, TokenError};
use crate::routes::{Description, LastParameter, Operation, PathParameters};
use crate::telemetry::codes::Code;

/// A protocol that clients use over a WebSocket.
pub trait Protocol: Send + Sync + 'static {
    /// What its sessions know of a verified token.
    type Claims: TokenClaims + Sync + 'static;

    /// The paths at which its clients connect, without the prefix of upstream's gateway. A segment `{name}` is a parameter.
    fn paths(&self) -> &'static [&'static str];

    /// How much of a path its last parameter is.
    fn last_parameter(&self) -> LastParameter {
        LastParameter::Segment
    }

    /// The name of its route in descriptions.
    fn operation(&self) -> Operation;

    /// What its handshakes receive, and the responses to those that it refuses.
    fn description(&self) -> Description;

    /// The WebSocket subprotocol that is confirmed to the client that sends these headers: one of those that it offers.
    fn subprotocol(&self, headers: &HeaderMap) -> Option<HeaderValue>;

    /// The dialect that a handshake asks for.
    ///
    /// # Errors
    /// When this protocol has no such dialect. Answered before anything is counted.
    fn dialect(&self, headers: &HeaderMap, uri: &Uri) -> Result<Dialect, HandshakeError>;

    /// The token by which a handshake is decided.
    fn token<'a>(&self, headers: &'a HeaderMap, uri: &'a Uri) -> Option<Cow<'a, str>>;

    /// The response to a handshake that is refused.
    fn refusal(&self, error: &HandshakeError) -> Response<Bytes>;

    /// What becomes of clients whose token is missing or not accepted.
    fn unauthenticated(&self) -> Unauthenticated {
        Unauthenticated::Refused
    }

    /// The session of a client whose handshake was accepted, with the claims of its token.
    fn session(
        &self,
        services: Arc<Services>,
        client: ClientContext,
        claims: Arc<KeptClaims<Self::Claims>>,
        target: &RequestTarget,
    ) -> Box<dyn Session>;
}

/// What becomes of clients whose token is missing or not accepted. Other reasons for a refusal, such as limits, are always answered with
/// a response: clients come back, and should.
#[derive(Clone, Copy)]
pub enum Unauthenticated {
    /// The response refuses their handshake.
    Refused,
    /// Their WebSocket is opened, and closed at once with a [`DocumentCloseReason`](crate::close_reason::DocumentCloseReason).
    Closed,
    /// They get this session, in which a token may follow; a missing one does not count against their address. If the tenant does not
    /// exist or is suspended, as `Closed`.
    Accepted(SessionWithoutClaims),
}

/// Begins the session of a client that is not authenticated, or not yet.
pub type SessionWithoutClaims =
    fn(Arc<Services>, ClientContext, TokenError, &RequestTarget) -> Box<dyn Session>;

/// What a handshake asks for. Its query may contain the token, so it is neither kept nor logged.
#[derive(Clone)]
pub struct RequestTarget {
    /// Path and query, not decoded.
    pub uri: Uri,
    /// The parameters of the path, not decoded.
    pub parameters: PathParameters,
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
