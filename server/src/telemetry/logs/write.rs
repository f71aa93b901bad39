//! How a line is formatted: as text for people, or as one JSON object for machines.
//!
//! One event is one line, whatever its fields contain: a client must not be able to forge lines, nor to send control
//! sequences to a terminal that shows the log.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use super::line::{LogLine, is_layout_control};
use super::party;

/// Formats lines with the given static fields as
/// `2026-11-22T03:04:05.678901Z  INFO Listening address=127.0.0.1:4000`
pub(super) struct Text(pub(super) Map<String, Value>);

/// Formats lines with the given static fields as
/// `{"timestamp":"2026-11-22T03:04:05.678901Z","level":"INFO","message":"Listening",…}`
pub(super) struct Json(pub(super) Map<String, Value>);

impl<S> FormatEvent<S, JsonFields> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut output: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = LogLine::new(event, context, &self.0);
        SystemTime.format_time(&mut output)?;
        match colour(line.level).filter(|_| output.has_ansi_escapes()) {
            Some(colour) => write!(output, " \u{1b}[{colour}m{:>5}\u{1b}[0m ", line.level.as_str())?,
            None => write!(output, " {:>5} ", line.level.as_str())?,
        }
        write!(output, "{}", Printable(&line.message))?;
        for (name, value) in &line.fields {
            match value {
                Value::String(text) if is_word(text) => write!(output, " {name}={text}")?,
                // JSON quotes and escapes most of what is not printable, `Printable` the rest.
                other => write!(output, " {name}={}", Printable(&other.to_string()))?,
            }
        }
        party::leave_for_writer(line.party);
        writeln!(output)
    }
}

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut output: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let LogLine { level, target, message, mut fields, party } = LogLine::new(event, context, &self.0);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        write!(output, r#"{{"timestamp":"{time}","level":"{level}","message":{}"#, Value::from(message))?;
        fields.insert("target".into(), target.into());
        for (name, value) in fields.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())) {
            write!(output, ",{}:{value}", Value::from(name.as_str()))?;
        }
        party::leave_for_writer(party);
        output.write_str("}\n")
    }
}

/// The names that every object begins with. A field of one of these names is left out, so that none is duplicate.
const RESERVED: [&str; 3] = ["timestamp", "level", "message"];

fn colour(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        _ => None,
    }
}

/// Whether a value of the text format needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}

/// Displays text with everything escaped that would break the line or control a terminal.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() || is_layout_control(c) {
                write!(f, "{}", c.escape_unicode())
            } else {
                fmt::Write::write_char(f, c)
            }
        })
    }
}
