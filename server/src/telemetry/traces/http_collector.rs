//! Spans in requests of HTTP/1.1: the protocol `http/protobuf` of OTLP.

use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use settings::OtlpCompression;

use super::collector_error::{CollectorError, RESPONSE_BYTES_MAX};
use crate::outgoing::{NoTrustStore, OutgoingClient, RequestKind, bounded_body, with_sources};
use crate::pem;
use crate::telemetry::compression::{GZIP, gzip};

/// A collector that is sent requests of HTTP.
pub(super) struct HttpCollector {
    client: OutgoingClient,
    url: String,
    headers: HeaderMap,
    compression: OtlpCompression,
}

impl HttpCollector {
    /// The one at `url`, whose certificate is signed by the `authorities` (PEM), or by those of the system.
    pub(super) fn new(
        url: String,
        mut headers: HeaderMap,
        compression: OtlpCompression,
        authorities: Option<&[u8]>,
    ) -> Result<Self, NoTrustStore> {
        let client = match authorities {
            None => OutgoingClient::new(RequestKind::Once),
            Some(pem) => {
                OutgoingClient::trusting(RequestKind::Once, pem::certificates(pem).unwrap_or_default())?
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if compression == OtlpCompression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(GZIP));
        }
        Ok(Self { client, url, headers, compression })
    }

    /// Sends a request, once.
    pub(super) async fn send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, CollectorError> {
        let message = request.encode_to_vec();
        let body = match self.compression {
            OtlpCompression::None => message,
            OtlpCompression::Gzip => gzip(&message),
        };
        let client = self.client.get().map_err(|error| CollectorError::lasting(error.to_string()))?;
        let request = client.post(&self.url).headers(self.headers.clone()).body(body);
        let failed = |error: reqwest::Error| CollectorError {
            // A collector that starts again listens in a moment.
            retry_after: error.is_connect().then_some(Duration::ZERO),
            text: with_sources(&error.without_url()),
        };
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            let retry_after = may_succeed_later(status).then(|| retry_after(response.headers()));
            return Err(CollectorError { text: format!("the answer was {status}"), retry_after });
        }
        let body = bounded_body(response, RESPONSE_BYTES_MAX).await;
        let body = body.map_err(|error| CollectorError::lasting(with_sources(&error)))?;
        // The status is what decides. A body that is not of OTLP says nothing of spans that were rejected.
        Ok(ExportTraceServiceResponse::decode(&*body).unwrap_or_default())
    }
}

/// Whether OTLP lets a client send the same request again.
fn may_succeed_later(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What the header asks to wait; nothing without it. As a date it is not read: it is seconds away at most.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or_default())
}
