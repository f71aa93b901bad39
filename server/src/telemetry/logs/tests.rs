//! Lines as they are written, word for word but for the time.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::{debug, error, error_span, info, trace, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// What was written.
#[derive(Debug, Clone, Default)]
pub(in crate::telemetry) struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Page {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Page {
    pub(in crate::telemetry) fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no test panics here"));
        String::from_utf8(bytes).expect("text").lines().map(ToOwned::to_owned).collect()
    }

    /// The only line, without its time.
    fn line(&self) -> String {
        let lines = self.lines();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        line.split_once(' ').expect("a time first").1.to_owned()
    }

    fn json(&self) -> Value {
        let lines = self.lines();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        serde_json::from_str(line).expect("a JSON object")
    }
}

fn telemetry(format: LogFormat) -> Telemetry {
    Telemetry { log_format: format, log_level: LogLevel::Trace, ..Telemetry::default() }
}

fn regions() -> Regions {
    Regions { name: Some("eu".into()), cluster: Some("blue".into()), ..Regions::default() }
}

/// Logs what `say` says, and returns the page.
pub(in crate::telemetry) fn said(format: LogFormat, say: impl FnOnce(&Logs)) -> Page {
    said_in(format, &Regions::default(), say)
}

/// The same, in a place.
fn said_in(format: LogFormat, regions: &Regions, say: impl FnOnce(&Logs)) -> Page {
    let telemetry = &telemetry(format);
    let page = Page::default();
    let (subscriber, logs) = subscriber(telemetry, regions, page.clone(), Paint::Plain);
    tracing::subscriber::with_default(subscriber, || say(&logs));
    page
}

#[test]
fn text_is_one_readable_line() {
    let say = |_: &Logs| warn!(error_code = "Code", project = "acme", n = 3, "Code: what happened");
    let line = said(LogFormat::Text, say).line();
    assert_eq!(line, " WARN Code: what happened error_code=Code n=3 project=acme");
    let line = said_in(LogFormat::Text, &regions(), |_| info!("Hello")).line();
    assert_eq!(line, " INFO Hello cluster=blue region=eu");
    let line = said(LogFormat::Text, |_| error!(a = "", b = "x y", c = ?Some(1), d = true, "Hm")).line();
    assert_eq!(line, r#"ERROR Hm a="" b="x y" c=Some(1) d=true"#);
}

#[test]
fn json_is_one_flat_object_with_a_time_a_machine_can_read() {
    let say = |_: &Logs| {
        let span = error_span!(
            "request",
            request_id = "id-1",
            client_address = "::1",
            error_code = tracing::field::Empty
        );
        span.record("error_code", "Late");
        let _entered = span.enter();
        error!(project = "acme", n = 3_u64, half = 0.5, gone = false, "Code: what happened");
    };
    let line = said_in(LogFormat::Json, &regions(), say).json();
    let time = line["timestamp"].as_str().expect("text");
    assert!(time.len() == 27 && time.ends_with('Z') && &time[10..11] == "T", "{time}");
    let mut rest = line.clone();
    rest.as_object_mut().expect("an object").remove("timestamp");
    assert_eq!(
        rest,
        json!({
            "level": "ERROR", "message": "Code: what happened", "target": module_path!(),
            "request_id": "id-1", "client_address": "::1", "error_code": "Late",
            "project": "acme", "n": 3, "half": 0.5, "gone": false, "region": "eu", "cluster": "blue",
        })
    );
}

#[test]
fn a_span_may_be_named_without_being_entered_and_the_event_wins() {
    let say = |_: &Logs| {
        let outer = error_span!("connection", request_id = "outer", project = "acme");
        let inner = error_span!(parent: &outer, "request", request_id = "inner");
        info!(parent: &inner, project = "event", "Said");
    };
    let line = said(LogFormat::Json, say).json();
    assert_eq!((&line["request_id"], &line["project"]), (&json!("inner"), &json!("event")));
}

#[test]
fn no_field_is_there_twice() {
    let say = |_: &Logs| info!(level = "mine", timestamp = "never", target = "x", "Once");
    let page = said(LogFormat::Json, say);
    let line = page.lines().remove(0);
    for name in ["level", "timestamp", "target", "message"] {
        assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{line}");
    }
    assert!(line.contains(r#""level":"INFO""#), "{line}");
}

#[test]
fn nobody_writes_lines_of_their_own_or_steers_a_terminal() {
    let nasty = "a\nINFO forged\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}z\"";
    for format in [LogFormat::Text, LogFormat::Json] {
        let page = said(format, |_| {
            info!(field = nasty, debug = ?nasty, shown = %nasty, "Heard {nasty}");
        });
        let lines = page.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
        let steers = |c: char| c.is_control() || c == '\u{202e}';
        assert!(format == LogFormat::Json || !lines[0].contains(steers), "{lines:?}");
    }
}

#[test]
fn levels_change_while_it_runs() {
    let speak = || {
        error!("error");
        debug!("debug");
        trace!(target: "realtime_server::edge::websocket", "edge");
        debug!(target: "realtime_server::bus", "bus");
    };
    let mut telemetry = Telemetry { log_level: LogLevel::Error, ..telemetry(LogFormat::Text) };
    let page = Page::default();
    let (subscriber, logs) = subscriber(&telemetry, &Regions::default(), page.clone(), Paint::Plain);
    tracing::subscriber::with_default(subscriber, || {
        let heard = |telemetry: &Telemetry| {
            logs.apply(telemetry);
            speak();
            page.lines()
                .iter()
                .map(|line| line.rsplit(' ').next().expect("a word").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(heard(&telemetry), ["error"]);
        telemetry.log_level = LogLevel::Debug;
        assert_eq!(heard(&telemetry), ["error", "debug", "bus"]);
        telemetry.log_modules.insert("realtime_server::edge".into(), LogLevel::Trace);
        telemetry.log_modules.insert("realtime_server::bus".into(), LogLevel::Warn);
        assert_eq!(heard(&telemetry), ["error", "debug", "edge"]);
        telemetry.log_modules.clear();
        telemetry.log_level = LogLevel::Error;
        assert_eq!(heard(&telemetry), ["error"]);
    });
}

// The crate that reads WebSockets, for one, traces every frame.
#[test]
fn what_others_trace_is_never_written() {
    let mut telemetry = telemetry(LogFormat::Text);
    telemetry.log_modules.insert("theirs".into(), LogLevel::Trace);
    let page = Page::default();
    let (subscriber, _logs) = subscriber(&telemetry, &Regions::default(), page.clone(), Paint::Plain);
    tracing::subscriber::with_default(subscriber, || {
        trace!(target: "theirs::protocol", "a payload");
        trace!(target: "whoever", "a token");
        debug!(target: "theirs::protocol", "harmless");
        trace!(target: "hub", "ours");
    });
    let words: Vec<_> =
        page.lines().iter().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(words, ["harmless", "ours"]);
}
