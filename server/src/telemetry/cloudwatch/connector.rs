//! Sends the requests of the AWS SDK with the client that the server uses for all of its requests.
//!
//! So there is one TLS, which trusts whom the system trusts, and no second HTTP client is compiled.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use http_body_util::BodyExt as _;

use crate::outgoing::{OutgoingClient, RequestKind, ResponseBodyError, bounded_body};

/// Bytes of a response, which has some hundred.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// The client of all requests: of metrics, and for credentials.
pub(super) fn http_client() -> SharedHttpClient {
    SharedHttpClient::new(OutgoingConnector {
        client: Arc::new(OutgoingClient::new(RequestKind::Once)),
        timeout: None,
    })
}

#[derive(Debug, Clone)]
struct OutgoingConnector {
    client: Arc<OutgoingClient>,
    timeout: Option<Duration>,
}

impl HttpClient for OutgoingConnector {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // The services with the credentials of an instance or a task have one, which is short, because they are not everywhere. Requests
        // without one have that of the whole operation (`client.rs`): the SDK's time to connect alone is too short for an answer.
        let timeout =
            settings.read_timeout().map(|read| settings.connect_timeout().unwrap_or_default() + read);
        SharedHttpConnector::new(Self { client: Arc::clone(&self.client), timeout })
    }
}

impl HttpConnector for OutgoingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move { this.send(request).await })
    }
}

impl OutgoingConnector {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (head, body) = request.into_parts();
        // Compressed here, if it is.
        let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
        let client = self.client.get().map_err(|error| ConnectorError::user(error.into()))?;
        let request = client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
        let request = match self.timeout {
            Some(timeout) => request.timeout(timeout),
            None => request,
        };
        let response = request.send().await.map_err(connector_error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = bounded_body(response, RESPONSE_BYTES_MAX).await.map_err(body_error)?;
        let status =
            status.as_u16().try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
        let mut response = HttpResponse::new(status, body.into());
        for (name, value) in &headers {
            // What is not text is none of those that the SDK reads.
            if let Ok(value) = value.to_str() {
                response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(response)
    }
}

fn body_error(error: ResponseBodyError) -> ConnectorError {
    match error {
        ResponseBodyError::Incomplete(error) => connector_error(error),
        ResponseBodyError::TooLong(_) => ConnectorError::other(error.into(), None),
    }
}

fn connector_error(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() { ConnectorError::timeout(error.into()) } else { ConnectorError::io(error.into()) }
}
