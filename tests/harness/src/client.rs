//! A WebSocket client of one dialect.
//!
//! Frames are read only when a test asks for one; [`Client::settle`] keeps the frames that come before its
//! reply for later reads. The library answers pings whenever the socket is read; as in a browser, nothing else shows them.

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::WAIT_MAX;
use crate::endpoint::Stream;
use crate::expect::matches;

/// A serializer version of the Phoenix protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// `vsn=1.0.0`: one object per frame.
    V1,
    /// `vsn=2.0.0`: an array of five, or bytes.
    #[default]
    V2,
}

impl Dialect {
    /// The value of `vsn`.
    pub fn version(self) -> &'static str {
        match self {
            Dialect::V1 => "1.0.0",
            Dialect::V2 => "2.0.0",
        }
    }
}

/// A received frame, or the end of the connection.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// A text frame that is JSON.
    Json(Value),
    /// A text frame that is not JSON.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A WebSocket pong.
    Pong,
    /// A close frame; 1005 when it has no code.
    Closed(u16),
    /// The end of the connection without a close frame.
    Gone,
}

impl fmt::Display for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frame::Json(value) => write!(out, "{value}"),
            Frame::Text(text) => write!(out, "text that is not JSON: {text:?}"),
            Frame::Binary(bytes) => write!(out, "binary {}", hex_dump(bytes)),
            Frame::Pong => write!(out, "a pong"),
            Frame::Closed(code) => write!(out, "the end: close frame {code}"),
            Frame::Gone => write!(out, "the end: no close frame"),
        }
    }
}

/// Bytes in hex as in a script, followed by their length and their text.
pub(crate) fn hex_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes.iter().take(512) {
        out.push_str(&format!("{byte:02x} "));
    }
    format!("{}({} bytes: {:?})", out, bytes.len(), String::from_utf8_lossy(&bytes[..bytes.len().min(512)]))
}

/// A connected client.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<Stream>,
    dialect: Dialect,
    unread: VecDeque<Frame>,
    joins: u64,
    barriers: u64,
}

impl Client {
    pub(crate) fn new(socket: WebSocketStream<Stream>, dialect: Dialect) -> Client {
        Client { socket, dialect, unread: VecDeque::new(), joins: 0, barriers: 0 }
    }

    /// The dialect of the handshake.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Sends a text frame.
    ///
    /// # Panics
    /// When the connection is closed, or accepts no bytes for [`WAIT_MAX`].
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.send(Message::text(text.into())).await.expect("a text frame is sent");
    }

    /// Sends JSON as a text frame.
    ///
    /// # Panics
    /// As [`Client::send_text`].
    pub async fn send_json(&mut self, value: &Value) {
        self.send_text(value.to_string()).await;
    }

    /// Sends a binary frame.
    ///
    /// # Panics
    /// As [`Client::send_text`].
    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.send(Message::binary(bytes)).await.expect("a binary frame is sent");
    }

    /// Sends a binary frame, unless the connection is over. That is seen by what is read next.
    pub async fn try_send_binary(&mut self, bytes: Vec<u8>) {
        let _sent = self.send(Message::binary(bytes)).await;
    }

    /// Sends a push in the client's dialect, with the join_ref of its first join.
    ///
    /// # Panics
    /// As [`Client::send_text`].
    pub async fn push(&mut self, reference: &str, topic: &str, event: &str, payload: &Value) {
        let text = self.encode(Some("1"), reference, topic, event, payload);
        self.send_text(text).await;
    }

    /// The next frame.
    ///
    /// # Panics
    /// When nothing comes for [`WAIT_MAX`].
    pub async fn next(&mut self) -> Frame {
        self.receive().await.expect("a frame comes")
    }

    /// Waits for a ping; the pong is on its way.
    ///
    /// # Panics
    /// When something else comes first, or nothing for [`WAIT_MAX`].
    pub async fn next_ping(&mut self) {
        let next = timeout(WAIT_MAX, self.socket.next()).await.expect("a ping comes");
        assert!(matches!(next, Some(Ok(Message::Ping(_)))), "expected a ping, got {next:?}");
    }

    /// The next frame, which must be JSON.
    ///
    /// # Panics
    /// When it is anything else.
    pub async fn next_json(&mut self) -> Value {
        match self.next().await {
            Frame::Json(value) => value,
            other => panic!("expected JSON, got {other}"),
        }
    }

    /// Joins `topic` with this `config` and waits for the ok reply.
    ///
    /// # Panics
    /// When the next frame is not that reply.
    pub async fn join(&mut self, topic: &str, config: Value) {
        self.try_join(topic, &config).await.expect("the join succeeds");
    }

    /// Waits for the end of the connection. Returns the close code, or `None` without a close frame.
    ///
    /// # Panics
    /// When another frame comes first, or nothing for [`WAIT_MAX`].
    pub async fn expect_close(&mut self) -> Option<u16> {
        match self.next().await {
            Frame::Closed(code) => Some(code),
            Frame::Gone => None,
            other => panic!("expected the end, got {other}"),
        }
    }

    /// Discards frames until the connection ends. Returns the close code, or `None`.
    ///
    /// # Panics
    /// When nothing comes for [`WAIT_MAX`].
    pub async fn drain_to_close(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Frame::Closed(code) => return Some(code),
                Frame::Gone => return None,
                _ => {}
            }
        }
    }

    /// As [`Client::drain_to_close`] without a limit of time, for callers with a limit of their own.
    pub async fn end(&mut self) -> Option<u16> {
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    }

    /// Waits until the server has handled every frame of this client. Other frames stay unread.
    ///
    /// # Panics
    /// When the heartbeat is not answered.
    pub async fn settle(&mut self) {
        assert!(self.try_settle().await.expect("a heartbeat is answered"), "the connection is over");
    }

    /// All frames that come before the reply to a heartbeat sent now.
    ///
    /// # Panics
    /// When the heartbeat is not answered.
    pub async fn received(&mut self) -> Vec<Frame> {
        self.settle().await;
        self.unread.drain(..).collect()
    }

    /// Asserts that the client has nothing to read.
    ///
    /// # Panics
    /// When it has.
    pub async fn expect_quiet(&mut self) {
        self.try_quiet().await.expect("no frame comes");
    }

    /// Whether the connection is over, by close frame or without.
    pub fn is_over(frame: &Frame) -> bool {
        matches!(frame, Frame::Closed(_) | Frame::Gone)
    }

    pub(crate) async fn send(&mut self, message: Message) -> Result<()> {
        timeout(WAIT_MAX, self.socket.send(message))
            .await
            .context("the server accepts no bytes")?
            .context("sending failed")
    }

    pub(crate) async fn receive(&mut self) -> Result<Frame> {
        match self.unread.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read().await,
        }
    }

    pub(crate) async fn try_join(&mut self, topic: &str, config: &Value) -> Result<()> {
        self.joins += 1;
        let reference = self.joins.to_string();
        let join = self.encode(Some(&reference), &reference, topic, "phx_join", &json!({"config": config}));
        self.send(Message::text(join)).await?;
        let response = json!({"status": "ok", "response": {"postgres_changes": []}});
        let reply = self.reply(Some(&reference), &json!(reference), topic, &response);
        self.expect_json(&reply).await
    }

    pub(crate) async fn try_leave(&mut self, topic: &str) -> Result<()> {
        let leave = self.encode(None, "leave", topic, "phx_leave", &json!({}));
        self.send(Message::text(leave)).await?;
        self.expect_event(topic, "phx_reply").await?;
        self.expect_event(topic, "phx_close").await
    }

    /// As [`Client::settle`]; false when the connection is over, which the next read returns.
    pub(crate) async fn try_settle(&mut self) -> Result<bool> {
        let Ok(expected) = self.barrier().await else { return Ok(false) };
        loop {
            match self.read().await? {
                Frame::Json(value) if value == expected => return Ok(true),
                other => {
                    let over = Client::is_over(&other);
                    self.unread.push_back(other);
                    if over {
                        return Ok(false);
                    }
                }
            }
        }
    }

    pub(crate) async fn try_quiet(&mut self) -> Result<()> {
        let expected = self.barrier().await?;
        self.expect_json(&expected).await
    }

    /// Sends a heartbeat and returns the reply to wait for.
    async fn barrier(&mut self) -> Result<Value> {
        self.barriers += 1;
        let reference = format!("barrier {}", self.barriers);
        let heartbeat = self.encode(None, &reference, "phoenix", "heartbeat", &json!({}));
        self.send(Message::text(heartbeat)).await?;
        Ok(self.reply(None, &json!(reference), "phoenix", &json!({"status": "ok", "response": {}})))
    }

    async fn expect_json(&mut self, expected: &Value) -> Result<()> {
        let got = self.receive().await?;
        ensure!(
            matches!(&got, Frame::Json(value) if matches(expected, value)),
            "expected: {expected}\n     got: {got}"
        );
        Ok(())
    }

    async fn expect_event(&mut self, topic: &str, event: &str) -> Result<()> {
        let got = self.receive().await?;
        let is_expected = match (&got, self.dialect) {
            (Frame::Json(value), Dialect::V1) => value["topic"] == topic && value["event"] == event,
            (Frame::Json(value), Dialect::V2) => value[2] == topic && value[3] == event,
            _ => false,
        };
        ensure!(is_expected, "expected: {event} of {topic}\n     got: {got}");
        Ok(())
    }

    async fn read(&mut self) -> Result<Frame> {
        let is_shown = |next: &Result<Message, Error>| ready(!matches!(next, Ok(Message::Ping(_))));
        let next =
            timeout(WAIT_MAX, (&mut self.socket).filter(is_shown).next()).await.context("no frame came")?;
        Ok(match next {
            None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) => Frame::Gone,
            Some(Err(error)) => return Err(error).context("reading failed"),
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(value) => Frame::Json(value),
                Err(_) => Frame::Text(text.to_string()),
            },
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes.to_vec()),
            Some(Ok(Message::Pong(_))) => Frame::Pong,
            Some(Ok(Message::Close(close))) => Frame::Closed(close.map_or(1005, |frame| frame.code.into())),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => bail!("neither pings nor raw frames are shown"),
        })
    }

    fn encode(
        &self,
        join_ref: Option<&str>,
        reference: &str,
        topic: &str,
        event: &str,
        payload: &Value,
    ) -> String {
        match self.dialect {
            Dialect::V1 => json!({"topic": topic, "event": event, "payload": payload, "ref": reference, "join_ref": join_ref}),
            Dialect::V2 => json!([join_ref, reference, topic, event, payload]),
        }
        .to_string()
    }

    fn reply(&self, join_ref: Option<&str>, reference: &Value, topic: &str, payload: &Value) -> Value {
        match self.dialect {
            Dialect::V1 => {
                json!({"topic": topic, "event": "phx_reply", "payload": payload, "ref": reference})
            }
            Dialect::V2 => json!([join_ref, reference, topic, "phx_reply", payload]),
        }
    }
}
