//! The content of one log line, before it is formatted: a message, and fields by name.
//!
//! Fields are flat, so that they can be queried: those of the event, those of its spans, and the static ones of this
//! node. Of two with one name the event's precedes that of a span, and an inner span's that of an outer one.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};
use settings::Regions;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::{FmtContext, FormattedFields, format::JsonFields};
use tracing_subscriber::registry::LookupSpan;

use super::party;

/// The fields that every line has: the region and the cluster of this node, as far as they are set.
pub(super) fn static_fields(regions: &Regions) -> Map<String, Value> {
    let fields = [("region", &regions.name), ("cluster", &regions.cluster)].into_iter();
    fields.filter_map(|(field, name)| Some((field.to_owned(), name.as_deref()?.into()))).collect()
}

/// Bytes of a message after escaping. The longest are those about settings.
const MESSAGE_BYTES_MAX: usize = 4 * 1024;

/// Bytes of a field after escaping.
const FIELD_BYTES_MAX: usize = 2 * 1024;

/// The longest escape of a character in either format.
const ESCAPE_BYTES_MAX: usize = 8;

/// The beginning of `text` that has at most `bytes_max` bytes after escaping, in either format, with an ellipsis in place
/// of the rest: a client may send what is longer escaped than sent.
pub fn shortened(text: &str, bytes_max: usize) -> Cow<'_, str> {
    const ELLIPSIS: char = '…';
    if text.len() * ESCAPE_BYTES_MAX <= bytes_max {
        return text.into();
    }
    let ends = text.char_indices().scan(0, |bytes, (index, c)| {
        *bytes += match c {
            '"' | '\\' => 2,
            c if c.is_control() || is_layout_control(c) => ESCAPE_BYTES_MAX,
            c => c.len_utf8(),
        };
        Some((index + c.len_utf8(), *bytes))
    });
    // The last end that fits, and the last that leaves room for the ellipsis.
    let (mut end, mut end_before_ellipsis) = (0, 0);
    for (index, bytes) in ends.take_while(|(_, bytes)| *bytes <= bytes_max) {
        end = index;
        if bytes + ELLIPSIS.len_utf8() <= bytes_max {
            end_before_ellipsis = index;
        }
    }
    if end == text.len() {
        return text.into();
    }
    format!("{}{ELLIPSIS}", &text[..end_before_ellipsis]).into()
}

/// Characters that can make a terminal show other text than the line has.
pub(super) fn is_layout_control(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The content of one line.
#[derive(Debug)]
pub(super) struct LogLine {
    pub(super) level: Level,
    pub(super) target: String,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
    /// The tenant that the line counts for; no name if there is none.
    pub(super) party: String,
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
            party: String::new(),
        };
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            line.fields.extend(fields.and_then(parse).unwrap_or_default());
        }
        event.record(&mut line);
        line.shorten();
        line
    }

    /// Bounds what one line can have, wherever its texts come from.
    fn shorten(&mut self) {
        if let Cow::Owned(message) = shortened(&self.message, MESSAGE_BYTES_MAX) {
            self.message = message;
        }
        for value in self.fields.values_mut() {
            if let Value::String(text) = value
                && let Cow::Owned(short) = shortened(text, FIELD_BYTES_MAX)
            {
                *text = short;
            }
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            // The module, in the events that `tracing-log` makes of records of the crate `log`.
            ("log.target", Value::String(target)) => self.target = target,
            (party::FIELD, Value::String(party)) => self.party = party,
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
