//! Lines as they are written, exact but for the time.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing::{debug, error, error_span, info, trace, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// A writer that keeps what was written.
#[derive(Debug, Clone, Default)]
pub(in crate::telemetry) struct Output(Arc<Mutex<Vec<u8>>>);

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Output {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Output {
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

/// Runs `log` and returns what it has logged, at any level.
pub(in crate::telemetry) fn logged(format: LogFormat, log: impl FnOnce(&Logs)) -> Output {
    logged_in(format, &Regions::default(), log)
}

/// As [`logged`], on a node in these regions.
fn logged_in(format: LogFormat, regions: &Regions, log: impl FnOnce(&Logs)) -> Output {
    let telemetry = &telemetry(format);
    let output = Output::default();
    let (subscriber, logs) = subscriber(telemetry, regions, output.clone(), Colours::None);
    tracing::subscriber::with_default(subscriber, || log(&logs));
    output
}

#[test]
fn text_is_one_readable_line() {
    let log = |_: &Logs| warn!(error_code = "Code", project = "acme", n = 3, "Code: what happened");
    let line = logged(LogFormat::Text, log).line();
    assert_eq!(line, " WARN Code: what happened error_code=Code n=3 project=acme");
    let line = logged_in(LogFormat::Text, &regions(), |_| info!("Hello")).line();
    assert_eq!(line, " INFO Hello cluster=blue region=eu");
    let line = logged(LogFormat::Text, |_| error!(a = "", b = "x y", c = ?Some(1), d = true, "Hm")).line();
    assert_eq!(line, r#"ERROR Hm a="" b="x y" c=Some(1) d=true"#);
}

#[test]
fn json_is_one_flat_object_with_a_time_a_machine_can_read() {
    let log = |_: &Logs| {
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
    let line = logged_in(LogFormat::Json, &regions(), log).json();
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
fn a_parent_span_need_not_be_entered_and_the_fields_of_the_event_win() {
    let log = |_: &Logs| {
        let outer = error_span!("connection", request_id = "outer", project = "acme");
        let inner = error_span!(parent: &outer, "request", request_id = "inner");
        info!(parent: &inner, project = "event", "Done");
    };
    let line = logged(LogFormat::Json, log).json();
    assert_eq!((&line["request_id"], &line["project"]), (&json!("inner"), &json!("event")));
}

#[test]
fn no_field_is_duplicate() {
    let log = |_: &Logs| info!(level = "mine", timestamp = "never", target = "x", "Once");
    let output = logged(LogFormat::Json, log);
    let line = output.lines().remove(0);
    for name in ["level", "timestamp", "target", "message"] {
        assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{line}");
    }
    assert!(line.contains(r#""level":"INFO""#), "{line}");
}

#[test]
fn a_field_can_neither_forge_a_line_nor_control_a_terminal() {
    let hostile = "a\nINFO forged\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}z\"";
    for format in [LogFormat::Text, LogFormat::Json] {
        let output = logged(format, |_| {
            info!(field = hostile, debug = ?hostile, shown = %hostile, "Received {hostile}");
        });
        let lines = output.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'), "{lines:?}");
        let is_control = |c: char| c.is_control() || c == '\u{202e}';
        assert!(format == LogFormat::Json || !lines[0].contains(is_control), "{lines:?}");
    }
}

#[test]
fn a_field_and_a_message_have_bounded_lengths_after_escaping() {
    for hostile in ["x", "\\", "\u{1b}", "\u{202e}", "é", "\u{10ffff}"] {
        let text = hostile.repeat(10_000);
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format, |_| info!(field = text, shown = %text, "{text}")).lines().remove(0);
            assert!(line.len() < 4_096 + 2 * 2_048 + 300, "{} bytes of {hostile:?}", line.len());
            assert!(line.contains('…') && line.len() > 2_000, "{line}");
        }
    }
    assert_eq!(shortened("12345678", 8), "12345678");
    assert_eq!(shortened("123456789", 8), "12345…");
    assert_eq!(shortened("\"\"\"\"\"", 8), "\"\"…");
    assert_eq!(shortened("ééééé", 8), "éé…");
}

#[test]
fn levels_change_while_it_runs() {
    let log_all = || {
        error!("error");
        debug!("debug");
        trace!(target: "realtime_server::edge::websocket", "edge");
        debug!(target: "realtime_server::bus", "bus");
    };
    let mut telemetry = Telemetry { log_level: LogLevel::Error, ..telemetry(LogFormat::Text) };
    let output = Output::default();
    let (subscriber, logs) = subscriber(&telemetry, &Regions::default(), output.clone(), Colours::None);
    tracing::subscriber::with_default(subscriber, || {
        let levels_logged = |telemetry: &Telemetry| {
            logs.apply(telemetry);
            log_all();
            output
                .lines()
                .iter()
                .map(|line| line.rsplit(' ').next().expect("a last word").to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(levels_logged(&telemetry), ["error"]);
        telemetry.log_level = LogLevel::Debug;
        assert_eq!(levels_logged(&telemetry), ["error", "debug", "bus"]);
        telemetry.log_modules.insert("realtime_server::edge".into(), LogLevel::Trace);
        telemetry.log_modules.insert("realtime_server::bus".into(), LogLevel::Warn);
        assert_eq!(levels_logged(&telemetry), ["error", "debug", "edge"]);
        telemetry.log_modules.clear();
        telemetry.log_level = LogLevel::Error;
        assert_eq!(levels_logged(&telemetry), ["error"]);
    });
}

// The WebSocket crate, for one, traces every frame.
#[test]
fn trace_lines_of_external_crates_are_never_written() {
    let mut telemetry = telemetry(LogFormat::Text);
    telemetry.log_modules.insert("external".into(), LogLevel::Trace);
    let output = Output::default();
    let (subscriber, _logs) = subscriber(&telemetry, &Regions::default(), output.clone(), Colours::None);
    tracing::subscriber::with_default(subscriber, || {
        trace!(target: "external::protocol", "a payload");
        trace!(target: "another", "a token");
        debug!(target: "external::protocol", "harmless");
        trace!(target: "hub", "own");
    });
    let words: Vec<_> =
        output.lines().iter().map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(words, ["harmless", "own"]);
}
