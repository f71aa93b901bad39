//! Which traces are recorded, by settings that may change while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};
use settings::{SpanSampler, Traces};

/// Decides about the first span of each trace on this node. Those below it follow, so that none is recorded in part because the
/// settings change meanwhile.
#[derive(Debug, Clone)]
pub(super) struct LiveSampler(Arc<ArcSwap<Sampler>>);

impl LiveSampler {
    pub(super) fn new(settings: &Traces) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(of(settings))))
    }

    /// Decides by these settings from now on.
    pub(super) fn apply(&self, settings: &Traces) {
        self.0.store(Arc::new(of(settings)));
    }
}

fn of(settings: &Traces) -> Sampler {
    let ratio = Sampler::TraceIdRatioBased(settings.sampler_ratio);
    match settings.sampler {
        SpanSampler::AlwaysOn => Sampler::AlwaysOn,
        SpanSampler::AlwaysOff => Sampler::AlwaysOff,
        SpanSampler::TraceIdRatio => ratio,
        SpanSampler::ParentBasedAlwaysOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        SpanSampler::ParentBasedAlwaysOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        SpanSampler::ParentBasedTraceIdRatio => Sampler::ParentBased(Box::new(ratio)),
    }
}

impl ShouldSample for LiveSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let local = parent.map(|parent| parent.span().span_context().clone());
        if let Some(local) = local.filter(|context| context.is_valid() && !context.is_remote()) {
            return as_parent(&local);
        }
        self.0.load().should_sample(parent, trace, name, kind, attributes, links)
    }
}

fn as_parent(parent: &SpanContext) -> SamplingResult {
    let decision =
        if parent.is_sampled() { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
    SamplingResult { decision, attributes: Vec::new(), trace_state: parent.trace_state().clone() }
}
