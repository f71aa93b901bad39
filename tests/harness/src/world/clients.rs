//! The clients of a server: WebSockets, HTTP requests, and bare connections.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::World;
use crate::WAIT_MAX;
use crate::client::{Client, Dialect};
use crate::http::{self, Request, Response};
use crate::openapi::Api;
use crate::raw::{RawFrame, RawSocket};
use crate::tokens::Token;

/// The path supabase-js uses.
pub(crate) const SOCKET: &str = "/realtime/v1/websocket";

impl World {
    /// A V2 client of a tenant, with a valid token.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect_for(&self, id: &str) -> Client {
        let token = self.tenant_token_issuer(id).token(Token::Valid);
        let target = format!("{SOCKET}?tenant={id}&apikey={token}&vsn=2.0.0");
        self.connect_to(Dialect::V2, &target).await.expect("the handshake succeeds")
    }

    /// A V2 client with a valid token.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect(&self) -> Client {
        self.connect_as(Dialect::V2, Token::Valid).await
    }

    /// A client of this dialect, with a token of this kind.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn connect_as(&self, dialect: Dialect, token: Token) -> Client {
        self.connect_to(dialect, &self.target(SOCKET, dialect, token)).await.expect("the handshake succeeds")
    }

    /// A client at this request target, which should ask for this dialect.
    ///
    /// # Errors
    /// When the handshake is refused.
    pub async fn connect_to(&self, dialect: Dialect, target: &str) -> Result<Client> {
        self.connect_with_headers(dialect, target, &[]).await
    }

    /// As [`connect_to`](Self::connect_to), with more headers.
    ///
    /// # Errors
    /// When the handshake is refused.
    pub async fn connect_with_headers(
        &self,
        dialect: Dialect,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client> {
        let mut request =
            format!("ws://{}{target}", self.address()).into_client_request().context("not a URL")?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().context("not a header")?);
        }
        let stream = self.endpoint.open().await?;
        let handshake =
            timeout(WAIT_MAX, client_async(request, stream)).await.context("no answer to the handshake")?;
        Ok(Client::new(handshake.context("the handshake failed")?.0, dialect))
    }

    /// The request target of a handshake.
    pub fn target(&self, path: &str, dialect: Dialect, token: Token) -> String {
        let apikey = match token {
            Token::Nothing => String::new(),
            token => format!("apikey={}&", self.token(token)),
        };
        format!("{path}?{apikey}vsn={}", dialect.version())
    }

    /// Sends an HTTP request, and checks the answer against the OpenAPI document of the server.
    ///
    /// # Panics
    /// When no answer comes, or one that is not documented.
    pub async fn send(&self, request: Request) -> Response {
        let response = self.send_bytes(&request.encode(&self.address().to_string())).await;
        if let Some(Err(error)) = self.api().map(|api| api.check(request.line(), &response)) {
            panic!("not as the OpenAPI document says: {error}");
        }
        response
    }

    /// The OpenAPI document of the server, if it runs in this process.
    fn api(&self) -> Option<&Api> {
        if let Some(server) = &*self.server.lock().expect("no test panics here") {
            self.api.get_or_init(|| Api::of(Arc::clone(server.routes())));
        }
        self.api.get()
    }

    /// Sends an HTTP request, which may fail.
    ///
    /// # Errors
    /// When there is no connection, or no answer.
    pub async fn try_send(&self, request: Request) -> Result<Response> {
        http::exchange(&self.endpoint, &request.encode(&self.address().to_string())).await
    }

    /// Sends bytes that should be an HTTP request.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn send_bytes(&self, request: &[u8]) -> Response {
        http::exchange(&self.endpoint, request).await.expect("an answer comes")
    }

    /// A WebSocket whose frames the test reads and writes, after its handshake.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn raw(&self) -> RawSocket {
        self.raw_with_early_frames(&[]).await
    }

    /// As [`World::raw`]; `None` if the handshake is refused.
    pub async fn try_raw(&self) -> Option<RawSocket> {
        RawSocket::open(&self.endpoint, &self.target(SOCKET, Dialect::V2, Token::Valid), &[]).await.ok()
    }

    /// As [`World::raw`], with frames that do not wait for the answer to the handshake: they come in one
    /// write with it.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn raw_with_early_frames(&self, early: &[RawFrame]) -> RawSocket {
        self.raw_at(&self.target(SOCKET, Dialect::V2, Token::Valid), early).await
    }

    /// As [`World::raw_with_early_frames`], at this request target.
    ///
    /// # Panics
    /// When the handshake is refused.
    pub async fn raw_at(&self, target: &str, early: &[RawFrame]) -> RawSocket {
        RawSocket::open(&self.endpoint, target, early).await.expect("the handshake succeeds")
    }

    /// A bare TCP connection.
    ///
    /// # Panics
    /// When the port is closed.
    pub async fn dial(&self) -> RawSocket {
        RawSocket::dial(&self.endpoint).await.expect("the server listens")
    }

    /// The value of a metric without labels.
    ///
    /// # Panics
    /// When the server shows no such number.
    pub async fn number(&self, metric: &str) -> f64 {
        let page = self.send(Request::get("/metrics")).await.text();
        let mut values = page.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        let value = values.next().unwrap_or_else(|| panic!("no metric {metric}"));
        value.parse().expect("a number")
    }
}
