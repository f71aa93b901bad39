//! Why a probe failed: the error, what to do about it, and whether the server has refused it or does not work.

use std::io;
use std::time::Duration;

use anyhow::anyhow;
use http::{Response, StatusCode, header};
use settings::format_duration;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};

use super::steps::ProbeStep;

/// Characters of a response or reason that are printed.
const TEXT_LENGTH_MAX: usize = 300;

/// What to do when the connection ends instead of a response.
const WITHOUT_RESPONSE: &str = "the server may expect a PROXY protocol header from this address \
     (server.proxy_protocol_from): probe the load balancer that sends one, or from another network";

/// Why a probe failed.
#[derive(Debug)]
pub(super) struct ProbeFailure {
    pub(super) error: anyhow::Error,
    /// What to do about it, if that is known.
    pub(super) hint: Option<&'static str>,
    /// Whether the server works and has refused the probe.
    pub(super) is_refusal: bool,
}

impl ProbeFailure {
    /// The server cannot be reached, or does not do what it should.
    pub(super) fn broken(error: anyhow::Error) -> Self {
        Self { error, hint: None, is_refusal: false }
    }

    /// A step has taken too long.
    pub(super) fn late(step: ProbeStep, timeout: Duration) -> Self {
        let error = anyhow!("{} within {} (--timeout)", step.missing(), format_duration(timeout));
        Self::broken(error)
    }

    /// TLS was not negotiated.
    pub(super) fn of_tls(error: anyhow::Error) -> Self {
        let cause = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>());
        let hint = match cause.and_then(|cause| cause.get_ref()?.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => Some(
                "let SSL_CERT_FILE name the authority that has issued it, or --cert-file the certificate itself",
            ),
            Some(rustls::Error::InvalidMessage(_)) => {
                Some("the port does not seem to speak TLS: try http:// instead of https://")
            }
            _ => cause.filter(|cause| is_end(cause)).map(|_ended| WITHOUT_RESPONSE),
        };
        Self { error, hint, is_refusal: false }
    }

    /// The handshake was not completed.
    pub(super) fn of_handshake(error: Error) -> Self {
        match error {
            Error::Http(response) => Self::of_response(&response),
            error => {
                let is_ended = match &error {
                    Error::Io(cause) => is_end(cause),
                    error => matches!(error, Error::Protocol(ProtocolError::HandshakeIncomplete)),
                };
                let error = anyhow::Error::from(error).context("no WebSocket");
                Self { error, hint: is_ended.then_some(WITHOUT_RESPONSE), is_refusal: false }
            }
        }
    }

    fn of_response(response: &Response<Option<Vec<u8>>>) -> Self {
        let status = response.status();
        let body = response.body().as_deref().unwrap_or_default();
        let location = response.headers().get(header::LOCATION).map(http::HeaderValue::as_bytes);
        let text = printable(&String::from_utf8_lossy(location.unwrap_or(body)));
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(
                "the token must be signed with the secret of this server or tenant: see --token, --jwt-secret-file and --tenant",
            ),
            StatusCode::NOT_FOUND => {
                Some("see whether the path of the address is right, and whether the tenant exists (--tenant)")
            }
            status if status.is_redirection() => Some("probe the address that it names"),
            StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                Some("the proxy does not reach the server")
            }
            StatusCode::OK => {
                Some("what answers there is no WebSocket: a proxy may not pass the handshake on")
            }
            _ => None,
        };
        let colon = if text.is_empty() { "" } else { ": " };
        let error = anyhow!("the handshake is answered with {status}{colon}{text}");
        Self { error, hint, is_refusal: status.is_client_error() }
    }

    /// The server has refused what the probe asked for, for this reason.
    pub(super) fn refused(what: &str, reason: &str) -> Self {
        let error = anyhow!("{what} is refused: {}", printable(reason));
        Self { error, hint: None, is_refusal: true }
    }
}

/// Whether the other side has closed the connection.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// What is printed of a text of the server, which may hold anything.
pub(super) fn printable(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).take(TEXT_LENGTH_MAX).collect();
    text.trim().to_owned()
}
