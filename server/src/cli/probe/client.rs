//! A client of one room, in the Phoenix protocol, version 2: it joins, sends one broadcast, and receives it.

use anyhow::anyhow;
use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderValue;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::Probe;
use super::failure::{ProbeFailure, printable};
use super::steps::{ProbeStep, ProbeTimes};
use crate::cli::http_client;

/// Longer than anything that a room without other members sends.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The `ref` of the join, which is the `join_ref` of the channel as well.
const JOIN_REF: &str = "1";

/// The `ref` of the broadcast.
const BROADCAST_REF: &str = "2";

/// A client with an open WebSocket.
struct RoomClient<'a, S> {
    socket: WebSocketStream<S>,
    probe: &'a Probe,
}

/// Does on `stream` all that follows the connection: handshake, join, broadcast.
pub(super) async fn exchange<S>(stream: S, probe: &Probe, times: &mut ProbeTimes) -> Result<(), ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    times.begin(ProbeStep::Handshake);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let request = handshake(probe).map_err(ProbeFailure::broken)?;
    let opened = client_async_with_config(request, stream, Some(limits)).await;
    let (socket, _response) = opened.map_err(ProbeFailure::of_handshake)?;
    let mut client = RoomClient { socket, probe };
    times.begin(ProbeStep::Join);
    client.join().await?;
    times.begin(ProbeStep::RoundTrip);
    client.send_and_receive().await?;
    times.end();
    client.leave().await;
    Ok(())
}

/// The request of the handshake. The token is in a header: of queries, proxies write logs.
fn handshake(probe: &Probe) -> anyhow::Result<Request> {
    let url = format!("{}?vsn=2.0.0", probe.url).replacen("http", "ws", 1);
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert(http::header::HOST, HeaderValue::try_from(http_client::host(&probe.url)?)?);
    let mut token = HeaderValue::try_from(probe.token.expose_secret())
        .map_err(|_invalid| anyhow!("the token has characters that no token has"))?;
    token.set_sensitive(true);
    headers.insert("x-api-key", token);
    if let Some(tenant) = &probe.tenant {
        headers.insert("x-tenant", HeaderValue::try_from(tenant)?);
    }
    Ok(request)
}

impl<S: AsyncRead + AsyncWrite + Unpin> RoomClient<'_, S> {
    async fn join(&mut self) -> Result<(), ProbeFailure> {
        let config = json!({
            "broadcast": { "self": true, "ack": true },
            "presence": { "enabled": false },
            "private": self.probe.private,
        });
        let payload = json!({ "config": config, "access_token": self.probe.token.expose_secret() });
        self.send(JOIN_REF, "phx_join", &payload).await?;
        loop {
            let message = self.next().await?;
            if is_reply(&message, JOIN_REF) {
                return accepted("the join", &message);
            }
        }
    }

    async fn send_and_receive(&mut self) -> Result<(), ProbeFailure> {
        let sent = json!({ "type": "broadcast", "event": "probe", "payload": { "id": self.probe.id } });
        self.send(BROADCAST_REF, "broadcast", &sent).await?;
        loop {
            let message = self.next().await?;
            if is_reply(&message, BROADCAST_REF) {
                accepted("the broadcast", &message)?;
            }
            if message[3] == "broadcast" && message[4]["payload"] == sent["payload"] {
                return Ok(());
            }
        }
    }

    /// Closes the connection in order; that this fails does not matter any more.
    async fn leave(&mut self) {
        let _best_effort = self.send("3", "phx_leave", &json!({})).await;
        let _best_effort = self.socket.close(None).await;
    }

    async fn send(&mut self, reference: &str, event: &str, payload: &Value) -> Result<(), ProbeFailure> {
        let message = json!([JOIN_REF, reference, self.probe.topic, event, payload]).to_string();
        self.socket.send(Message::text(message)).await.map_err(|error| ProbeFailure::broken(error.into()))
    }

    /// The next message of the topic.
    async fn next(&mut self) -> Result<Value, ProbeFailure> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap_or_default();
                    if message[2] == *self.probe.topic {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    let why = frame.map(|frame| format!(": {} {}", frame.code, frame.reason));
                    let why = why.as_deref().map(printable).unwrap_or_default();
                    return Err(ProbeFailure::broken(anyhow!("the server has closed the connection{why}")));
                }
                Some(Ok(_other)) => {}
                Some(Err(error)) => return Err(ProbeFailure::broken(error.into())),
                None => return Err(ProbeFailure::broken(anyhow!("the server has closed the connection"))),
            }
        }
    }
}

fn is_reply(message: &Value, reference: &str) -> bool {
    message[3] == "phx_reply" && message[1] == reference
}

/// The result of `what`, by the reply to it.
fn accepted(what: &str, reply: &Value) -> Result<(), ProbeFailure> {
    let payload = &reply[4];
    if payload["status"] == "ok" {
        return Ok(());
    }
    let reason = &payload["response"]["reason"];
    let reason = reason.as_str().map_or_else(|| payload["response"].to_string(), str::to_owned);
    Err(ProbeFailure::refused(what, &reason))
}
