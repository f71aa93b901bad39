//! The content of one log line, before it is formatted: a message, and fields by name.
//!
//! Fields are flat, so that they can be queried: those of the event, those of its spans, and the static ones of this
//! node. Of two with one name the event's precedes that of a span, and an inner span's that of an outer one.

use std::fmt;

use serde_json::{Map, Value};
use settings::Regions;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, format::JsonFields};
use tracing_subscriber::registry::LookupSpan;

/// The fields that every line has: the region and the cluster of this node, as far as they are set.
pub(super) fn static_fields(regions: &Regions) -> Map<String, Value> {
    let fields = [("region", &regions.name), ("cluster", &regions.cluster)].into_iter();
    fields.filter_map(|(field, name)| Some((field.to_owned(), name.as_deref()?.into()))).collect()
}

/// The content of one line.
#[derive(Debug)]
pub(super) struct LogLine {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
}

impl LogLine {
    /// The line of `event`, with the fields of its spans and the `static_fields`.
    pub(super) fn new<S>(
        event: &Event<'_>,
        context: &FmtContext<'_, S, JsonFields>,
        static_fields: &Map<String, Value>,
    ) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut line = Self {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: String::new(),
            fields: static_fields.clone(),
        };
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            line.fields.extend(fields.and_then(parse).unwrap_or_default());
        }
        event.record(&mut line);
        line
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            // The module, in the events that `tracing-log` makes of records of the crate `log`.
            ("log.target", Value::String(target)) => self.target = target,
            (name, _) if name.starts_with("log.") => {}
            // A field whose name is a keyword is a raw identifier in the macro's arguments.
            (name, value) => {
                self.fields.insert(name.trim_start_matches("r#").to_owned(), value);
            }
        }
    }
}

/// The fields of a span, with those that were recorded after it began.
fn parse(fields: &FormattedFields<JsonFields>) -> Option<Map<String, Value>> {
    serde_json::from_str(fields).ok()
}

impl Visit for LogLine {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
