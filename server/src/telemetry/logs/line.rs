//! What one line of the log holds, before it is spelled: a message, and fields by name.
//!
//! Fields lie flat beside each other, so that they can be queried: those of the event, of the spans around it,
//! and where this node is. Whoever is nearer to the event wins.

use std::fmt;

use serde_json::{Map, Value};
use settings::Regions;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, format::JsonFields};
use tracing_subscriber::registry::LookupSpan;

/// Where this node is, for every line.
#[derive(Debug, Default)]
pub(super) struct Home(Map<String, Value>);

impl Home {
    pub(super) fn new(regions: &Regions) -> Self {
        let known = [("region", &regions.name), ("cluster", &regions.cluster)].into_iter();
        let known = known.filter_map(|(field, name)| Some((field.to_owned(), name.as_deref()?.into())));
        Self(known.collect())
    }
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
}

impl Line {
    /// What `event` says.
    pub(super) fn of<S>(event: &Event<'_>, context: &FmtContext<'_, S, JsonFields>, home: &Home) -> Self
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut line = Self {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: String::new(),
            fields: home.0.clone(),
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
            // How crates that do not know spans tell where they are.
            ("log.target", Value::String(target)) => self.target = target,
            (name, _) if name.starts_with("log.") => {}
            // A raw identifier is written so because its name is a keyword; the name is what is meant.
            (name, value) => {
                self.fields.insert(name.trim_start_matches("r#").to_owned(), value);
            }
        }
    }
}

/// The fields of a span. Those that were recorded later are already among them.
fn parse(fields: &FormattedFields<JsonFields>) -> Option<Map<String, Value>> {
    serde_json::from_str(fields).ok()
}

impl Visit for Line {
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
