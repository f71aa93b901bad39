//! Begins spans, and runs the task that sends them.

use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::trace::{SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanLimits};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exporter;
use super::queue::SpanQueue;
use super::sampler::LiveSampler;
use super::sender::SpanSender;
use super::{SpanName, SpanResults, TraceContext, TraceSpan};
use crate::version::VERSION;

/// The name of a server that the settings give none: upstream's.
const SERVICE: &str = "realtime";

/// Begins spans, unless traces are off. Clones begin them for the same collector.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    tracer: SdkTracer,
    sampler: LiveSampler,
    /// Ends the task that sends spans.
    stop: CancellationToken,
    sending: TaskTracker,
}

impl Traces {
    /// What begins spans by these settings; nothing does if traces are off. `instance` identifies this run of this process.
    ///
    /// # Errors
    /// When the settings name what cannot be used.
    pub fn start(
        settings: &settings::Traces,
        instance: &str,
        (metrics, status, report): SpanResults<'_>,
    ) -> anyhow::Result<Self> {
        if !settings.is_on() {
            return Ok(Self::default());
        }
        let collector = exporter::collector(settings).map_err(|(_key, error)| error)?;
        let (queue, ended) = SpanQueue::new(settings.queue_spans.get(), metrics.clone());
        let resource = resource(settings, instance);
        let sender =
            SpanSender::new(settings, collector, (&resource).into(), ended, (metrics, status, report));
        let sampler = LiveSampler::new(settings);
        // Whatever the builder is not given, it reads from the environment: the sampler, the limits, the resource.
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler.clone())
            .with_span_limits(SpanLimits::default())
            .with_span_processor(queue)
            .with_resource(resource)
            .build();
        let scope = InstrumentationScope::builder("realtime-server").with_version(VERSION).build();
        let tracer = provider.tracer_with_scope(scope);
        let (stop, sending) = (CancellationToken::new(), TaskTracker::new());
        sending.spawn(sender.run(stop.clone()));
        Ok(Self(Some(Arc::new(Recorder { tracer, sampler, stop, sending }))))
    }

    /// Sends what waits, and ends what sends spans: nothing begins any more.
    pub async fn stop(&self) {
        if let Some(recorder) = &self.0 {
            recorder.stop.cancel();
            recorder.sending.close();
            recorder.sending.wait().await;
        }
    }

    /// Applies which traces are recorded.
    pub fn apply(&self, settings: &settings::Traces) {
        if let Some(recorder) = &self.0 {
            recorder.sampler.apply(settings);
        }
    }

    /// Whether there are spans.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a request with these headers, whose trace it continues.
    pub fn request(&self, method: &'static str, headers: &HeaderMap) -> TraceSpan {
        let Some(recorder) = &self.0 else { return TraceSpan::NONE };
        recorder.begin(method, SpanKind::Server, TraceContext::of_headers(headers).as_ref())
    }

    /// Begins a span below `parent`; none if its trace is not recorded.
    pub fn below(&self, parent: Option<&TraceContext>, name: SpanName) -> TraceSpan {
        let (Some(recorder), Some(parent)) = (&self.0, parent.filter(|parent| parent.is_sampled())) else {
            return TraceSpan::NONE;
        };
        recorder.begin(name.as_str(), kind(name), Some(parent))
    }
}

impl Recorder {
    fn begin(&self, name: &'static str, kind: SpanKind, parent: Option<&TraceContext>) -> TraceSpan {
        let context = match parent {
            Some(parent) => Context::new().with_remote_span_context(parent.0.clone()),
            None => Context::new(),
        };
        let span = self.tracer.span_builder(name).with_kind(kind).start_with_context(&self.tracer, &context);
        TraceSpan(Some(Box::new(span)))
    }
}

fn kind(name: SpanName) -> SpanKind {
    match name {
        SpanName::Handshake | SpanName::Join => SpanKind::Internal,
        SpanName::Broadcast => SpanKind::Producer,
        SpanName::Authorization => SpanKind::Client,
        SpanName::Receipt => SpanKind::Consumer,
    }
}

/// What all spans of this process have in common.
fn resource(settings: &settings::Traces, instance: &str) -> Resource {
    let attributes = &settings.resource_attributes;
    let text = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let default = |key: &str, value: &str| (!attributes.contains_key(key)).then(|| text(key, value));
    let service = match &settings.service_name {
        Some(name) => Some(text("service.name", name)),
        None => default("service.name", SERVICE),
    };
    let own = [
        default("service.instance.id", instance),
        default("service.version", VERSION),
        default("telemetry.sdk.language", "rust"),
        default("telemetry.sdk.name", "opentelemetry"),
    ];
    let given = attributes.iter().map(|(key, value)| text(key, value));
    // Of two attributes with one key the later one stays.
    let all = given.chain(own.into_iter().flatten()).chain(service);
    Resource::builder_empty().with_attributes(all).build()
}
