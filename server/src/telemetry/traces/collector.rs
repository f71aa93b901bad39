//! The collector that spans are sent to, by one of the protocols of OTLP.
//!
//! Requests are sent by what sends all others of this server, and nothing is read from the environment: the exporters of
//! OpenTelemetry read the variables `OTEL_*` beside what they are given, which no setting overrides.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::collector_error::CollectorError;
use super::grpc_collector::GrpcCollector;
use super::http_collector::HttpCollector;
use crate::backoff::Backoff;

/// How often a request is sent at most, at growing intervals. A pause of the collector that is shorter than that loses no spans.
const ATTEMPTS_MAX: u32 = 3;

/// The longest waits before the second and the third attempt.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];

/// Where spans are sent.
pub(super) enum Collector {
    Http(HttpCollector),
    Grpc(Box<GrpcCollector>),
}

impl Collector {
    /// Sends a request, again if the collector cannot accept it now, within `limit`.
    pub(super) async fn send(
        &self,
        request: &ExportTraceServiceRequest,
        limit: Duration,
    ) -> Result<ExportTraceServiceResponse, CollectorError> {
        let deadline = Instant::now() + limit;
        let mut backoff = Backoff::new(WAITS[0], WAITS[1]);
        let mut attempts = 1;
        loop {
            let sent = timeout_at(deadline, self.attempt(request)).await;
            let Ok(sent) = sent else {
                return Err(CollectorError::lasting("there was no answer in time".to_owned()));
            };
            let after = sent.as_ref().err().and_then(|error| error.retry_after);
            let wait = after.map(|after| after.max(backoff.next_wait()));
            // It would not be answered in time. What the collector asks for may be any number of seconds.
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = wait.filter(|wait| attempts < ATTEMPTS_MAX && *wait < left);
            let Some(wait) = wait else { return sent };
            sleep(wait).await;
            attempts += 1;
        }
    }

    async fn attempt(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, CollectorError> {
        match self {
            Self::Http(collector) => collector.send(request).await,
            Self::Grpc(collector) => collector.send(request).await,
        }
    }
}
