//! What a probe prints.

use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use http::Uri;
use serde_json::{Map, Value, json};

use super::REFUSED;
use super::failure::ProbeFailure;
use super::steps::{ProbeStep, ProbeTimes};
use crate::cli::{print_stderr, print_stdout};

/// The result of a probe.
pub(super) struct ProbeReport<'a> {
    pub(super) url: &'a Uri,
    pub(super) topic: &'a str,
    pub(super) times: &'a ProbeTimes,
    /// `None` if it has succeeded.
    pub(super) failure: Option<ProbeFailure>,
}

impl ProbeReport<'_> {
    /// 0, 1 if the server does not work, 2 if it has refused the probe.
    pub(super) fn exit_code(&self) -> ExitCode {
        match &self.failure {
            None => ExitCode::SUCCESS,
            Some(failure) if failure.is_refusal => REFUSED.into(),
            Some(_) => ExitCode::FAILURE,
        }
    }

    /// Prints it for a person.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn print(&self) -> io::Result<()> {
        let Some(failure) = &self.failure else {
            return print_stdout(format_args!(
                "{} works: a broadcast to `{}` was received\n{}",
                self.url,
                self.topic,
                self.table()
            ));
        };
        print_stderr(format_args!("error: {}: {:#}", self.url, failure.error));
        if let Some(hint) = failure.hint {
            print_stderr(format_args!("hint: {hint}"));
        }
        print_stdout(self.table())
    }

    /// Prints it as one JSON object.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn print_json(&self) -> io::Result<()> {
        let failure = self.failure.as_ref().map(|failure| {
            json!({
                "step": self.times.step().key(),
                "error": format!("{:#}", failure.error),
                "hint": failure.hint,
                "refused": failure.is_refusal,
            })
        });
        print_object(Some((self.url, self.topic)), Some(self.times), failure)
    }

    /// How long each step took, one a line.
    fn table(&self) -> String {
        let mut table = String::new();
        let taken = ProbeStep::ALL.into_iter().filter_map(|step| Some((step.label(), self.times.of(step)?)));
        let total = self.failure.is_none().then(|| ("total", self.times.total()));
        for (label, time) in taken.chain(total) {
            let _infallible = writeln!(table, "  {label:<10} {:>10.3} ms", milliseconds(time));
        }
        table
    }
}

/// Prints why there is nothing to probe, as the JSON object that a probe prints.
///
/// # Errors
/// When stdout is closed.
pub(super) fn print_unprepared_json(error: &anyhow::Error) -> io::Result<()> {
    let error = format!("{error:#}");
    let failure = json!({ "step": "prepare", "error": error, "hint": null, "refused": false });
    print_object(None, None, Some(failure))
}

/// Prints the object, which has the same keys whatever is known.
fn print_object(
    room: Option<(&Uri, &str)>,
    times: Option<&ProbeTimes>,
    failure: Option<Value>,
) -> io::Result<()> {
    let mut fields = Map::from_iter([
        ("works".to_owned(), failure.is_none().into()),
        ("url".to_owned(), room.map(|(url, _)| url.to_string()).into()),
        ("topic".to_owned(), room.map(|(_, topic)| topic).into()),
    ]);
    let of = |step| times.and_then(|times| times.of(step));
    let steps = ProbeStep::ALL.map(|step| (format!("{}_ms", step.key()), of(step)));
    let steps = steps.into_iter().chain([("total_ms".to_owned(), times.map(ProbeTimes::total))]);
    fields.extend(steps.map(|(key, time)| (key, time.map(milliseconds).into())));
    fields.insert("failure".to_owned(), failure.into());
    print_stdout(format_args!("{}\n", Value::Object(fields)))
}

/// To a microsecond.
fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1_000.0
}
