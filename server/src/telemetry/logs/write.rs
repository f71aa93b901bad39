//! How a line is spelled: as text for people, or as one JSON object for machines.
//!
//! One event is one line, whatever somebody put into it: a client must not be able to write lines of its own,
//! nor to steer the terminal of whoever reads along.

use std::fmt;

use serde_json::Value;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

use super::line::{Home, Line};

/// `2026-11-22T03:04:05.678901Z  INFO Listening address=127.0.0.1:4000`
pub(super) struct Text(pub(super) Home);

/// `{"timestamp":"2026-11-22T03:04:05.678901Z","level":"INFO","message":"Listening",…}`
pub(super) struct Json(pub(super) Home);

impl<S> FormatEvent<S, JsonFields> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let line = Line::of(event, context, &self.0);
        SystemTime.format_time(&mut to)?;
        match colour(line.level).filter(|_| to.has_ansi_escapes()) {
            Some(colour) => write!(to, " \u{1b}[{colour}m{:>5}\u{1b}[0m ", line.level.as_str())?,
            None => write!(to, " {:>5} ", line.level.as_str())?,
        }
        write!(to, "{}", Printable(&line.message))?;
        for (name, value) in &line.fields {
            match value {
                Value::String(text) if is_word(text) => write!(to, " {name}={text}")?,
                // As JSON, which quotes and escapes what needs it; the rest of what steers a terminal goes.
                other => write!(to, " {name}={}", Printable(&other.to_string()))?,
            }
        }
        writeln!(to)
    }
}

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Line { level, target, message, mut fields } = Line::of(event, context, &self.0);
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        write!(to, r#"{{"timestamp":"{time}","level":"{level}","message":{}"#, Value::from(message))?;
        fields.insert("target".into(), target.into());
        for (name, value) in fields.iter().filter(|(name, _)| !FIRST.contains(&name.as_str())) {
            write!(to, ",{}:{value}", Value::from(name.as_str()))?;
        }
        to.write_str("}\n")
    }
}

/// The names that every object begins with; no field may be there a second time.
const FIRST: [&str; 3] = ["timestamp", "level", "message"];

fn colour(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        _ => None,
    }
}

/// Whether a value needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\'))
}

/// Text in which whatever would break the line, or steer a terminal, is escaped.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            // The bidirectional controls can make a line read as another one.
            if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                write!(f, "{}", c.escape_unicode())
            } else {
                fmt::Write::write_char(f, c)
            }
        })
    }
}
