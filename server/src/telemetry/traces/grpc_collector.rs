//! Spans in requests of gRPC.

use std::error::Error as _;
use std::time::Duration;

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use settings::OtlpCompression;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::collector_error::{CollectorError, RESPONSE_BYTES_MAX};
use crate::outgoing::with_sources;

/// A collector that is sent requests of gRPC.
pub(super) struct GrpcCollector {
    endpoint: Endpoint,
    compression: OtlpCompression,
    metadata: MetadataMap,
}

impl GrpcCollector {
    /// The one at this endpoint.
    pub(super) fn new(endpoint: Endpoint, headers: HeaderMap, compression: OtlpCompression) -> Self {
        Self { endpoint, compression, metadata: MetadataMap::from_headers(headers) }
    }

    /// A client with a connection of its own, which begins with the first request: one whose peer has gone without a word would be
    /// used again until the system gives it up.
    fn client(&self) -> TraceServiceClient<Channel> {
        let client = TraceServiceClient::new(self.endpoint.connect_lazy())
            .max_decoding_message_size(RESPONSE_BYTES_MAX)
            .accept_compressed(CompressionEncoding::Gzip);
        match self.compression {
            OtlpCompression::None => client,
            OtlpCompression::Gzip => client.send_compressed(CompressionEncoding::Gzip),
        }
    }

    /// Sends a request, once.
    pub(super) async fn send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, CollectorError> {
        let mut request = Request::new(request.clone());
        *request.metadata_mut() = self.metadata.clone();
        let sent = self.client().export(request).await;
        sent.map(tonic::Response::into_inner).map_err(|status| CollectorError {
            text: text(&status),
            retry_after: may_succeed_later(status.code()).then_some(Duration::ZERO),
        })
    }
}

/// Without the details and metadata of the status, which are for programs.
fn text(status: &Status) -> String {
    let (code, message) = (status.code().description(), status.message());
    match status.source() {
        Some(source) => format!("{code}: {message}: {}", with_sources(source)),
        None => format!("{code}: {message}"),
    }
}

/// Whether OTLP lets a client send the same request again.
fn may_succeed_later(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}
