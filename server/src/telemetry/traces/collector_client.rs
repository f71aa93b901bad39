//! The client of requests to the collector over HTTP: the one of all requests that this server sends (`outgoing.rs`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseBodyTooLarge};
use parking_lot::Mutex;

use crate::outgoing::{OutgoingClient, RequestKind, with_sources};
use crate::pem;

/// Bytes of a response that are read. It has at most a count and a sentence.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// Why the last request failed. The exporter says only that it did.
#[derive(Debug, Clone, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    /// The reason, once.
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().take()
    }
}

/// Sends requests to the collector.
#[derive(Debug)]
pub(super) struct CollectorClient {
    client: OutgoingClient,
    failure: LastFailure,
}

impl CollectorClient {
    /// A client that trusts the `authorities` (PEM) alone, or those of the system.
    pub(super) fn new(authorities: Option<&[u8]>, failure: LastFailure) -> anyhow::Result<Self> {
        let client = match authorities {
            None => OutgoingClient::new(RequestKind::Once),
            Some(pem) => {
                OutgoingClient::trusting(RequestKind::Once, pem::certificates(pem).unwrap_or_default())?
            }
        };
        Ok(Self { client, failure })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::from))?;
        let mut received = self.client.get()?.execute(request).await.map_err(reqwest::Error::without_url)?;
        let mut response = Response::builder().status(received.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(received.headers());
        }
        let mut body = Vec::new();
        while let Some(part) = received.chunk().await? {
            if body.len() + part.len() > RESPONSE_BYTES_MAX {
                return Err(ResponseBodyTooLarge::new().into());
            }
            body.extend_from_slice(&part);
        }
        Ok(response.body(Bytes::from(body))?)
    }
}

impl HttpClient for CollectorClient {
    // As `async_trait` writes it, by which the trait is declared.
    fn send_bytes<'a, 'f>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let result = self.send(request).await;
            if let Err(error) = &result {
                *self.failure.0.lock() = Some(with_sources(&**error));
            }
            result
        })
    }
}
