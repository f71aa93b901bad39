//! One span, or none.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Status};
use opentelemetry_sdk::trace::Span;

use super::TraceContext;

/// The attribute with the kind of an error, by the semantic conventions.
const ERROR_TYPE: &str = "error.type";

/// A span that ends when it is dropped; none without traces. Boxed, because tasks and messages of which there are many hold one.
#[derive(Debug, Default)]
pub struct TraceSpan(pub(super) Option<Box<Span>>);

impl TraceSpan {
    /// No span.
    pub const NONE: Self = Self(None);

    /// Identifies it, also if it is not recorded.
    pub fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|span| TraceContext(span.span_context().clone()))
    }

    /// Whether anything is done with what is noted in it.
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|span| span.is_recording())
    }

    /// Notes an attribute.
    pub fn note(&mut self, key: &'static str, value: &str) {
        self.set(|| KeyValue::new(key, value.to_owned()));
    }

    /// Notes an attribute that is a number.
    pub fn note_number(&mut self, key: &'static str, value: i64) {
        self.set(|| KeyValue::new(key, value));
    }

    /// Notes that it failed, by a word of which there are few, such as an operational code.
    pub fn fail(&mut self, kind: &'static str) {
        self.set(|| KeyValue::new(ERROR_TYPE, kind));
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(Cow::Borrowed("")));
        }
    }

    /// Gives it another name.
    pub fn rename(&mut self, name: impl FnOnce() -> String) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.update_name(name());
        }
    }

    fn set(&mut self, attribute: impl FnOnce() -> KeyValue) {
        if let Some(span) = self.0.as_mut().filter(|span| span.is_recording()) {
            span.set_attribute(attribute());
        }
    }
}
