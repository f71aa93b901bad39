//! Traces of a server that is built without the feature `otel`: there are none.

use http::HeaderMap;

use super::{SpanName, SpanResults};

/// There are no spans to identify.
#[derive(Debug, Clone, PartialEq)]
pub enum NoTraceContext {}

impl NoTraceContext {
    /// Always `None`: no node sends any.
    pub fn from_bytes(_bytes: &[u8; 25]) -> Option<Self> {
        None
    }

    /// Cannot be called: there is no value to encode.
    pub fn to_bytes(&self) -> [u8; 25] {
        match *self {}
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> &str {
        match *self {}
    }

    /// The id of the span.
    pub fn span_id(&self) -> &str {
        match *self {}
    }
}

/// No span.
#[derive(Debug, Default)]
pub struct NoTraceSpan;

impl NoTraceSpan {
    /// No span.
    pub const NONE: Self = Self;

    /// Always `None`.
    pub fn context(&self) -> Option<NoTraceContext> {
        None
    }

    /// Always false.
    pub fn is_recorded(&self) -> bool {
        false
    }

    /// Does nothing.
    pub fn note(&mut self, _key: &'static str, _value: &str) {}

    /// Does nothing.
    pub fn note_number(&mut self, _key: &'static str, _value: i64) {}

    /// Does nothing.
    pub fn fail(&mut self, _kind: &'static str) {}

    /// Does nothing.
    pub fn rename(&mut self, _name: impl FnOnce() -> String) {}
}

/// Begins no spans.
#[derive(Debug, Clone, Default)]
pub struct NoTraces;

impl NoTraces {
    /// Nothing that begins spans.
    ///
    /// # Errors
    /// When the settings ask for traces.
    pub fn start(
        settings: &settings::Traces,
        _instance: &str,
        _results: SpanResults<'_>,
    ) -> anyhow::Result<Self> {
        check(settings).map_err(|(_key, error)| error)?;
        Ok(Self)
    }

    /// Does nothing.
    pub fn stop(&self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Does nothing.
    pub fn apply(&self, _settings: &settings::Traces) {}

    /// Always false.
    pub fn is_on(&self) -> bool {
        false
    }

    /// No span.
    pub fn request(&self, _method: &'static str, _headers: &HeaderMap) -> NoTraceSpan {
        NoTraceSpan
    }

    /// No span.
    pub fn below(&self, _parent: Option<&NoTraceContext>, _name: SpanName) -> NoTraceSpan {
        NoTraceSpan
    }
}

/// Checks that the settings ask for no traces.
///
/// # Errors
/// When they do.
pub fn check(settings: &settings::Traces) -> Result<(), (&'static str, anyhow::Error)> {
    if settings.is_on() {
        return Err((
            "exporter",
            anyhow::anyhow!("this server was built without traces (the feature `otel`)"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_traces_they_cannot_be_turned_on() {
        let mut settings = settings::Traces::default();
        assert!(check(&settings).is_ok());
        settings.exporter = settings::SpanExporter::Otlp;
        let (key, error) = check(&settings).expect_err("it was built without");
        assert_eq!(key, "exporter");
        assert!(error.to_string().contains("built without traces"), "{error}");
        settings.disabled = true;
        assert!(check(&settings).is_ok());
    }
}
