//! The management API of a server (docs/protocol/http.md#tenants), as the command line uses it.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::call::ApiCall;
use super::{Access, credentials, refusal};
use crate::cli::http_client::ServerConnection;
use crate::cli::input::{self, Input};
use crate::cli::target::{self, Target};

/// Longest response that is read: a list of hundreds of thousands of tenants.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A server, and the right to manage its tenants.
#[derive(Debug)]
pub(super) struct Api {
    /// In the order in which they are tried.
    targets: Vec<Target>,
    /// Marked as sensitive.
    authorization: HeaderValue,
    timeout: Duration,
}

impl Api {
    /// The API of the server that `access` selects. `inputs` are what else is read, since stdin can be read once.
    ///
    /// # Errors
    /// When there is no server or no token.
    pub(super) fn of(access: &Access, inputs: &[&Input]) -> anyhow::Result<Self> {
        input::check_stdin_once(access.token_file.iter().chain(inputs.iter().copied()))?;
        let targets = match &access.url {
            Some(url) => vec![Target::at(url.clone())],
            // The one that is recorded first: it is the server with this data folder, whatever listens at the address in the
            // settings.
            None => {
                let found = target::find(&access.config)?.into_iter().rev();
                found.map(Target::for_operators).collect::<Result<_, _>>()?
            }
        };
        let token = credentials::token(access)?;
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()))
            .ok()
            .context("the operator's token has characters that no token has")?;
        authorization.set_sensitive(true);
        Ok(Self { targets, authorization, timeout: access.timeout })
    }

    /// Sends a request with these fields of a tenant, if any, and returns the body of the response.
    ///
    /// # Errors
    /// When no server answers in time, and what the server refuses.
    pub(super) async fn send(self, call: ApiCall<'_>, fields: Option<Value>) -> anyhow::Result<Bytes> {
        let exchange = self.exchange(call, fields);
        let late =
            |_elapsed| Err(anyhow!("no response in time (--timeout); what was asked for may be done or not"));
        timeout(self.timeout, exchange).await.unwrap_or_else(late)
    }

    async fn exchange(&self, call: ApiCall<'_>, fields: Option<Value>) -> anyhow::Result<Bytes> {
        let (target, mut connection) = self.connect().await?;
        let body = fields.map(|fields| json!({ "tenant": fields }).to_string()).unwrap_or_default();
        let request = self.head(call).body(Full::from(body))?;
        let url = target.url(&call.path())?;
        let response = connection.send(&url, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow!("the response cannot be read: {error}"))?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(refusal::error(call, status, &body)) }
    }

    fn head(&self, call: ApiCall<'_>) -> Builder {
        let head = Request::builder()
            .method(call.method())
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json");
        match call.precondition() {
            Some(header) => head.header(header, "*"),
            None => head,
        }
    }

    /// A connection to the first server that accepts one.
    async fn connect(&self) -> anyhow::Result<(&Target, ServerConnection)> {
        let mut failure = None;
        for target in &self.targets {
            match ServerConnection::open(&target.base, &target.proxies, &target.trust).await {
                Ok(connection) => return Ok((target, connection)),
                Err(error) => failure = failure.or(Some((target, error))),
            }
        }
        match failure {
            Some((target, error)) => Err(error.context(format!(
                "no server at {}; is it running? --url selects another one",
                described(target)
            ))),
            None => bail!("there is no server"),
        }
    }
}

/// Its address, without what may be a password.
fn described(target: &Target) -> String {
    let base = &target.base;
    let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", base.scheme_str().unwrap_or_default(), base.host().unwrap_or_default())
}
